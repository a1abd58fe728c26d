//! Device images assembled by hand: a linear model with one input and one output, small enough for closed formulas.
//!
//! The images are written with the crate's own structs; the compiler's writer has its own tests.

// Each test file uses its share.
#![allow(dead_code)]

use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::record::{Binary, Opcode, Operand, Record, Reduce, Space, Unary, flags};
use pliant_runtime::image::{
    AdaptationSpec, CRC_START, FORMAT_VERSION, Field, FieldKind, Header, MAGIC, Objective, PlanHeader, PlanKind,
    SECTION_ALIGNMENT, SectionEntry, SectionKind, StateEntry, Workspace, crc32,
};

/// The bytes of an image, aligned.
#[derive(Clone)]
pub(crate) struct Bytes(Vec<u128>);

impl core::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[derive(Clone)]
pub(crate) struct PlanParts {
    pub(crate) kind: PlanKind,
    pub(crate) input: u32,
    pub(crate) output: u32,
    pub(crate) arena: u32,
    pub(crate) records: Vec<Record>,
}

/// Everything an image is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) contract: Contract,
    pub(crate) constants: Vec<f32>,
    pub(crate) adapted: Vec<f32>,
    pub(crate) states: Vec<StateEntry>,
    pub(crate) accumulator: u32,
    pub(crate) plans: Vec<PlanParts>,
    pub(crate) spec: Option<AdaptationSpec>,
}

impl Parts {
    pub(crate) fn write(&self) -> Bytes {
        let mut buffer = [0; 2048];
        let contract = self.contract.encode(&mut buffer).unwrap().to_vec();
        let mut sections: Vec<(SectionKind, u16, Vec<u8>)> = vec![(SectionKind::Contract, 0, contract)];
        let mut push = |kind, bytes: &[u8]| {
            if !bytes.is_empty() {
                sections.push((kind, 0, bytes.to_vec()));
            }
        };
        push(SectionKind::Constants, bytemuck::cast_slice(&self.constants));
        push(SectionKind::AdaptedInitial, bytemuck::cast_slice(&self.adapted));
        push(SectionKind::States, bytemuck::cast_slice(&self.states));
        push(
            SectionKind::Adaptation,
            self.spec.as_ref().map_or(&[], bytemuck::bytes_of),
        );
        for plan in &self.plans {
            let adapts = plan
                .records
                .iter()
                .any(|record| record.operand(1).space() == Some(Space::Adapted));
            let macs: u64 = plan.records.iter().map(Record::macs).sum();
            let header = PlanHeader {
                kind: plan.kind as u32,
                records: plan.records.len() as u32,
                input: plan.input,
                output: plan.output,
                arena: plan.arena,
                flags: u32::from(adapts) * PlanHeader::WRITES_ADAPTED,
                macs: [macs as u32, (macs >> 32) as u32],
            };
            let bytes = [bytemuck::bytes_of(&header), bytemuck::cast_slice(&plan.records)].concat();
            sections.push((SectionKind::Plan, plan.kind as u16, bytes));
        }

        let mut at = Header::BYTES + sections.len() * SectionEntry::BYTES;
        let mut table = Vec::new();
        for (kind, instance, bytes) in &sections {
            at = at.next_multiple_of(SECTION_ALIGNMENT);
            let flags = if kind.required() { SectionEntry::REQUIRED } else { 0 };
            let length = bytes.len() as u32;
            table.push(SectionEntry {
                kind: *kind as u16,
                instance: *instance,
                flags,
                offset: at as u32,
                length,
            });
            at += bytes.len();
        }
        let length = at.next_multiple_of(SECTION_ALIGNMENT);
        let mut memory = vec![0u128; length / 16];
        let image: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        for (entry, (_, _, bytes)) in table.iter().zip(&sections) {
            image[entry.offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        image[Header::BYTES..][..table.len() * SectionEntry::BYTES].copy_from_slice(bytemuck::cast_slice(&table));
        let mut header = Header {
            magic: MAGIC,
            version: FORMAT_VERSION,
            length: length as u32,
            crc: 0,
            section_count: table.len() as u32,
            reserved: [0; 2],
            workspace: self.workspace(),
            reserved_end: [0; 8],
        };
        image[..Header::BYTES].copy_from_slice(bytemuck::bytes_of(&header));
        header.crc = crc32(&image[CRC_START..]);
        image[..Header::BYTES].copy_from_slice(bytemuck::bytes_of(&header));
        Bytes(memory)
    }

    fn workspace(&self) -> Workspace {
        let act = &self.plans[0];
        let learn = |size: fn(&PlanParts) -> u32| self.plans[1..].iter().map(size).max().unwrap_or(0);
        Workspace {
            constants: self.constants.len() as u32,
            adapted: self.adapted.len() as u32,
            bank: 0,
            state: self.states.iter().map(|state| state.elements().unwrap()).sum(),
            accumulator: self.accumulator,
            act_arena: act.arena,
            act_input: act.input,
            act_output: act.output,
            learn_arena: learn(|plan| plan.arena),
            learn_input: learn(|plan| plan.input),
            learn_output: learn(|plan| plan.output),
            support_rows: self.spec.map_or(0, |spec| spec.capacity),
            support_row_width: self.spec.map_or(0, |spec| spec.row_width()),
            reserved: [0; 3],
        }
    }
}

type At = (Space, u32);

fn operand((space, offset): At) -> u32 {
    Operand::new(space, offset).unwrap().0
}

fn record(opcode: Opcode, function: u8, flags: u32, words: &[u32]) -> Record {
    let mut record = Record { words: [0; 16] };
    record.words[0] = opcode as u32 | u32::from(function) << 8 | flags;
    record.words[1..=words.len()].copy_from_slice(words);
    record
}

/// `out[m][n] = a[m][k] w[k][n] + bias[n]`, or added to the old output without a bias.
pub(crate) fn matmul(out: At, a: At, w: At, bias: Option<At>, [m, k, n]: [u32; 3]) -> Record {
    let (bias, flags) = bias.map_or((Operand::NONE.0, flags::ACCUMULATE), |bias| (operand(bias), 0));
    let none = Operand::NONE.0;
    let words = [operand(out), operand(a), operand(w), bias, none, 1, m, k, n, 0, 0, 0, k];
    record(Opcode::MatMul, 0, flags, &words)
}

/// `out[i] = function(a[i * a stride], b[i * b stride])`.
pub(crate) fn binary(function: Binary, out: At, a: (At, u32), b: (At, u32), count: u32) -> Record {
    let words = [
        operand(out),
        operand(a.0),
        operand(b.0),
        1,
        1,
        count,
        0,
        0,
        a.1,
        0,
        0,
        b.1,
    ];
    record(Opcode::Binary, function as u8, 0, &words)
}

pub(crate) fn unary(function: Unary, out: At, a: At, count: u32) -> Record {
    record(Opcode::Unary, function as u8, 0, &[operand(out), operand(a), count])
}

/// `out[i] = a[i] * scale + shift`.
pub(crate) fn affine(out: At, a: At, count: u32, scale: f32, shift: f32) -> Record {
    let words = [operand(out), operand(a), count, scale.to_bits(), shift.to_bits()];
    record(Opcode::Unary, Unary::Affine as u8, 0, &words)
}

/// `out[0] += sum a`.
pub(crate) fn add_sum(out: At, a: At, count: u32) -> Record {
    let words = [operand(out), operand(a), 1, count, 1, 1f32.to_bits()];
    record(Opcode::Reduce, Reduce::Sum as u8, flags::ACCUMULATE, &words)
}

pub(crate) fn fill(out: At, count: u32, value: f32) -> Record {
    record(Opcode::Fill, 0, 0, &[operand(out), count, value.to_bits()])
}

/// The gates of a recurrent unit of `count` elements.
pub(crate) fn gru(out: At, input: At, recurrent: At, state: At, count: u32) -> Record {
    let words = [
        operand(out),
        operand(input),
        operand(recurrent),
        operand(state),
        1,
        count,
    ];
    record(Opcode::Gru, 0, 0, &words)
}

const INPUT: Space = Space::Input;
const ARENA: Space = Space::Arena;
const ADAPTED: Space = Space::Adapted;
const SUMS: Space = Space::Accumulator;

/// Rows in a chunk of both models.
pub(crate) const CHUNK: u32 = 4;

fn plan(kind: PlanKind, sizes: [u32; 3], records: Vec<Record>) -> PlanParts {
    let [input, output, arena] = sizes;
    PlanParts {
        kind,
        input,
        output,
        arena,
        records,
    }
}

fn contract() -> Contract {
    let mut contract = Contract::new(10.0);
    let position = Channel::observation("position", "m")
        .with_normaliser(1.0, 2.0)
        .with_clip(5.0);
    contract.observe(position).unwrap();
    let speed = Channel::action("speed", "m/s")
        .with_range(-10.0, 10.0)
        .with_normaliser(0.5, 4.0)
        .with_safe(0.25);
    contract.actuate(speed).unwrap();
    contract
}

/// `parameters -= step scale * step size * sums / weight sum`, step sizes in the constants.
fn apply(parameters: u32) -> PlanParts {
    let (gradient, scaled, step) = ((ARENA, 0), (ARENA, parameters), (ARENA, 2 * parameters));
    let records = vec![
        binary(
            Binary::Div,
            gradient,
            ((SUMS, 0), 1),
            ((SUMS, parameters), 0),
            parameters,
        ),
        binary(Binary::Mul, scaled, ((Space::Const, 0), 1), (gradient, 1), parameters),
        binary(Binary::Mul, step, ((INPUT, 0), 0), (scaled, 1), parameters),
        binary(Binary::Sub, (ADAPTED, 0), ((ADAPTED, 0), 1), (step, 1), parameters),
    ];
    plan(PlanKind::Apply, [1, 0, 3 * parameters], records)
}

/// `y = w x + b`, adapted by the squared error `0.5 (y - target)^2` with the step sizes `[0.1, 0.2]`.
pub(crate) fn supervised(adapted: [f32; 2], step_scales: &[f32], capacity: u32) -> Parts {
    let (x, target, weight) = ((INPUT, 0), (INPUT, CHUNK), (INPUT, 2 * CHUNK));
    let (error, weighted) = ((ARENA, 0), (ARENA, CHUNK));
    let errors = || {
        vec![
            matmul(error, x, (ADAPTED, 0), Some((ADAPTED, 1)), [CHUNK, 1, 1]),
            binary(Binary::Sub, error, (error, 1), (target, 1), CHUNK),
            binary(Binary::Mul, weighted, (error, 1), (weight, 1), CHUNK),
        ]
    };
    let mut accumulate = errors();
    accumulate.extend([
        matmul((SUMS, 0), x, weighted, None, [1, CHUNK, 1]),
        add_sum((SUMS, 1), weighted, CHUNK),
        add_sum((SUMS, 2), weight, CHUNK),
    ]);
    let mut score = errors();
    score.extend([
        binary(Binary::Mul, error, (error, 1), (weighted, 1), CHUNK),
        affine(weighted, error, CHUNK, 0.5, 0.0),
        add_sum((SUMS, 0), weighted, CHUNK),
        add_sum((SUMS, 1), weight, CHUNK),
    ]);
    let act = matmul((Space::Output, 0), x, (ADAPTED, 0), Some((ADAPTED, 1)), [1, 1, 1]);
    Parts {
        contract: contract(),
        constants: vec![0.1, 0.2],
        adapted: adapted.to_vec(),
        states: Vec::new(),
        accumulator: 3,
        plans: vec![
            plan(PlanKind::Act, [1, 1, 0], vec![act]),
            plan(PlanKind::Begin, [0, 0, 0], vec![fill((SUMS, 0), 3, 0.0)]),
            plan(PlanKind::Accumulate, [3 * CHUNK, 0, 2 * CHUNK], accumulate),
            apply(2),
            plan(PlanKind::Score, [3 * CHUNK, 0, 2 * CHUNK], score),
        ],
        spec: Some(
            AdaptationSpec::new(Objective::Supervised)
                .with_rows(capacity, CHUNK)
                .with_fields(&[Field::new(FieldKind::Input, 1), Field::new(FieldKind::Target, 1)])
                .with_step_scales(step_scales),
        ),
    }
}

/// A gated recurrent unit of two elements between one input and one output; it does not adapt.
pub(crate) fn gated() -> Parts {
    const HIDDEN: u32 = 2;
    const GATES: u32 = 3 * HIDDEN;
    let mut parts = supervised([0.0; 2], &[1.0], 4);
    parts.plans.truncate(1);
    (parts.spec, parts.adapted, parts.accumulator) = (None, Vec::new(), 0);
    // Weights of the input, of the state and of the output, then the biases.
    let weights = GATES + HIDDEN * GATES + HIDDEN;
    parts.constants = (0..weights + 2 * GATES + 1)
        .map(|index| 0.25 * ((index * 7) % 11) as f32 - 1.25)
        .collect();
    parts.states = vec![StateEntry {
        dtype: 0,
        reset: 0,
        offset: 0,
        initial: StateEntry::ZERO,
        shape: [1, 1, 1, HIDDEN],
    }];
    let constant = |offset: u32| (Space::Const, offset);
    let (state, input, recurrent) = ((Space::State, 0), (ARENA, 0), (ARENA, GATES));
    let biases = weights;
    parts.plans[0] = plan(
        PlanKind::Act,
        [1, 1, 2 * GATES],
        vec![
            matmul(input, (INPUT, 0), constant(0), Some(constant(biases)), [1, 1, GATES]),
            matmul(
                recurrent,
                state,
                constant(GATES),
                Some(constant(biases + GATES)),
                [1, HIDDEN, GATES],
            ),
            gru(state, input, recurrent, state, HIDDEN),
            matmul(
                (Space::Output, 0),
                state,
                constant(GATES + HIDDEN * GATES),
                Some(constant(biases + 2 * GATES)),
                [1, HIDDEN, 1],
            ),
        ],
    );
    parts
}

/// A Gaussian policy with mean `w s + b` and log standard deviation `l`, adapted by the gradient of
/// `-advantage * log-probability` (the ratio form at ratio 1) with the step sizes `[0.1, 0.2, 0.3]`.
pub(crate) fn policy_gradient(adapted: [f32; 3], steps: usize, capacity: u32) -> Parts {
    let [observation, action, old, advantage, weight] = [0, 1, 2, 3, 4].map(|field| (INPUT, field * CHUNK));
    let [z, deviation, log_deviation, a, b] = [0, 1, 2, 3, 4].map(|place| (ARENA, place * CHUNK));
    // log_deviation[i] = l; deviation = e^l; z = (action - mean) / deviation.
    let standardised = || {
        vec![
            matmul(z, observation, (ADAPTED, 0), Some((ADAPTED, 1)), [CHUNK, 1, 1]),
            binary(Binary::Sub, z, (action, 1), (z, 1), CHUNK),
            fill(log_deviation, CHUNK, 0.0),
            binary(Binary::Add, log_deviation, (log_deviation, 1), ((ADAPTED, 2), 0), CHUNK),
            unary(Unary::Exp, deviation, log_deviation, CHUNK),
            binary(Binary::Div, z, (z, 1), (deviation, 1), CHUNK),
        ]
    };
    let mut accumulate = standardised();
    accumulate.extend([
        // a = -advantage * weight; b = a * z / deviation; then a * (z^2 - 1).
        binary(Binary::Mul, a, (advantage, 1), (weight, 1), CHUNK),
        unary(Unary::Neg, a, a, CHUNK),
        binary(Binary::Mul, b, (a, 1), (z, 1), CHUNK),
        binary(Binary::Div, b, (b, 1), (deviation, 1), CHUNK),
        matmul((SUMS, 0), observation, b, None, [1, CHUNK, 1]),
        add_sum((SUMS, 1), b, CHUNK),
        unary(Unary::Square, z, z, CHUNK),
        affine(z, z, CHUNK, 1.0, -1.0),
        binary(Binary::Mul, b, (a, 1), (z, 1), CHUNK),
        add_sum((SUMS, 2), b, CHUNK),
        add_sum((SUMS, 3), weight, CHUNK),
    ]);
    let mut score = standardised();
    score.extend([
        // a = log ratio; b = (ratio - 1) - log ratio.
        unary(Unary::Square, z, z, CHUNK),
        affine(a, z, CHUNK, -0.5, -0.918_938_5),
        binary(Binary::Sub, a, (a, 1), (log_deviation, 1), CHUNK),
        binary(Binary::Sub, a, (a, 1), (old, 1), CHUNK),
        unary(Unary::Exp, b, a, CHUNK),
        affine(b, b, CHUNK, 1.0, -1.0),
        binary(Binary::Sub, b, (b, 1), (a, 1), CHUNK),
        binary(Binary::Mul, b, (b, 1), (weight, 1), CHUNK),
        add_sum((SUMS, 0), b, CHUNK),
        add_sum((SUMS, 1), weight, CHUNK),
    ]);
    let act = vec![
        matmul(
            (Space::Output, 0),
            observation,
            (ADAPTED, 0),
            Some((ADAPTED, 1)),
            [1, 1, 1],
        ),
        unary(Unary::Identity, (Space::Output, 1), (ADAPTED, 2), 1),
    ];
    let fields = [
        Field::new(FieldKind::Observation, 1),
        Field::new(FieldKind::Action, 1),
        Field::new(FieldKind::LogProbability, 1),
        Field::new(FieldKind::Advantage, 1),
    ];
    let mut spec = AdaptationSpec::new(Objective::PolicyGradient)
        .with_rows(capacity, CHUNK)
        .with_fields(&fields)
        .with_step_scales(&[1.0, 0.5, 0.25, 0.125][..steps]);
    (spec.trajectories, spec.horizon, spec.baseline_features) = (3, 5, 1);
    (spec.gamma, spec.lambda, spec.baseline_ridge) = (0.99, 0.9, 1e-5);
    Parts {
        contract: contract(),
        constants: vec![0.1, 0.2, 0.3],
        adapted: adapted.to_vec(),
        states: Vec::new(),
        accumulator: 4,
        plans: vec![
            plan(PlanKind::Act, [1, 2, 0], act),
            plan(PlanKind::Begin, [0, 0, 0], vec![fill((SUMS, 0), 4, 0.0)]),
            plan(PlanKind::Accumulate, [5 * CHUNK, 0, 5 * CHUNK], accumulate),
            apply(3),
            plan(PlanKind::Score, [5 * CHUNK, 0, 5 * CHUNK], score),
        ],
        spec: Some(spec),
    }
}
