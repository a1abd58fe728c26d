//! Lowered plans against the f64 reference, and against themselves lowered in every other way, on random graphs.

mod support;

use pliant_compiler::graph::{DType, Graph, Tensor, ValueId};
use pliant_compiler::image::{Bindings, LowerOptions, LoweredPlan, lower};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::image::record::{Opcode, Record};
use support::{Memory, Random, same_bits};

/// Most elements of a generated value.
const LARGEST: usize = 400;

/// A random graph whose values stay near one, with its inputs.
struct Case {
    graph: Graph,
    inputs: Vec<(String, Vec<usize>, Vec<f32>)>,
}

fn random_shape(random: &mut Random) -> Vec<usize> {
    let rank = random.below(5);
    (0..rank).map(|_| [1, 2, 3, 4, 5][random.below(5)]).collect()
}

/// A shape that broadcasts to `shape`.
fn narrower(random: &mut Random, shape: &[usize]) -> Vec<usize> {
    let skip = random.below(shape.len() + 1);
    shape[skip..]
        .iter()
        .map(|&size| if random.below(3) == 0 { 1 } else { size })
        .collect()
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut case = Self {
            graph: Graph::new(),
            inputs: Vec::new(),
        };
        let mut values = Vec::new();
        for _ in 0..2 + random.below(3) {
            let shape = random_shape(&mut random);
            values.push(case.fresh(&mut random, &shape));
        }
        for _ in 0..4 + random.below(28) {
            let value = values[random.below(values.len())];
            let made = case.step(&mut random, value, &values);
            if case.graph.shape(made).iter().product::<usize>() <= LARGEST {
                values.push(made);
            }
        }
        // The last ones, so that chains matter, and some others, so that values have several uses.
        let last = *values.last().expect("there are values");
        case.graph.output("last", last).unwrap();
        for index in 0..random.below(4) {
            let value = values[random.below(values.len())];
            case.graph.output(&format!("other{index}"), value).unwrap();
        }
        case
    }

    fn fresh(&mut self, random: &mut Random, shape: &[usize]) -> ValueId {
        let count = shape.iter().product();
        let data = random.values(count);
        match random.below(4) {
            0 => self.graph.constant(Tensor::f32(shape, data).unwrap()),
            1 if random.below(3) == 0 => self.graph.full(shape, random.signed()).unwrap(),
            _ => {
                let name = format!("input{}", self.inputs.len());
                let value = self.graph.input(&name, DType::F32, shape).unwrap();
                self.inputs.push((name, shape.to_vec(), data));
                value
            }
        }
    }

    /// An operand of a shape that broadcasts against `shape`: an existing value if one fits.
    fn partner(&mut self, random: &mut Random, shape: &[usize], values: &[ValueId]) -> ValueId {
        let same: Vec<ValueId> = values
            .iter()
            .copied()
            .filter(|&v| self.graph.shape(v) == shape)
            .collect();
        if !same.is_empty() && random.below(3) > 0 {
            return same[random.below(same.len())];
        }
        let shape = narrower(random, shape);
        self.fresh(random, &shape)
    }

    fn step(&mut self, random: &mut Random, a: ValueId, values: &[ValueId]) -> ValueId {
        let shape = self.graph.shape(a).to_vec();
        let rank = shape.len();
        match random.below(27) {
            26 if rank >= 1 => self.gates(random, a, values),
            0 => self.graph.tanh(a).unwrap(),
            1 => self.graph.relu(a).unwrap(),
            2 => self.graph.sigmoid(a).unwrap(),
            3 => self.graph.sin(a).unwrap(),
            4 => {
                let square = self.graph.square(a).unwrap();
                let one = self.graph.scalar(1.0);
                let sum = self.graph.add(square, one).unwrap();
                self.graph.log(sum).unwrap()
            }
            5 => {
                let b = self.partner(random, &shape, values);
                self.graph.add(a, b).unwrap()
            }
            6 => {
                let b = self.partner(random, &shape, values);
                self.graph.sub(b, a).unwrap()
            }
            7 | 8 => {
                let (b, c) = (
                    self.partner(random, &shape, values),
                    self.partner(random, &shape, values),
                );
                let product = self.graph.mul(a, b).unwrap();
                let sum = match random.below(3) {
                    0 => self.graph.add(product, c),
                    1 => self.graph.sub(c, product),
                    _ => self.graph.sub(product, c),
                };
                sum.unwrap()
            }
            9 => {
                // Back through tanh, relu, sigmoid.
                let b = self.partner(random, &shape, values);
                let one = self.graph.scalar(1.0);
                match random.below(3) {
                    0 => {
                        let y = self.graph.tanh(b).unwrap();
                        let square = self.graph.square(y).unwrap();
                        let slope = self.graph.sub(one, square).unwrap();
                        self.graph.mul(a, slope).unwrap()
                    }
                    1 => {
                        let y = self.graph.sigmoid(b).unwrap();
                        let rest = self.graph.sub(one, y).unwrap();
                        let slope = self.graph.mul(y, rest).unwrap();
                        self.graph.mul(slope, a).unwrap()
                    }
                    _ => {
                        let zero = self.graph.scalar(0.0);
                        let active = self.graph.greater(b, zero).unwrap();
                        self.graph.where_(active, a, zero).unwrap()
                    }
                }
            }
            10 => self.graph.scale(a, random.signed()).unwrap(),
            11 => {
                let shift = self.graph.scalar(random.signed());
                let scaled = self.graph.scale(a, random.signed()).unwrap();
                if random.below(2) == 0 {
                    self.graph.add(scaled, shift)
                } else {
                    self.graph.sub(shift, scaled)
                }
                .unwrap()
            }
            12 | 13 if rank >= 2 => {
                let mut permutation: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    permutation.swap(i, random.below(i + 1));
                }
                self.graph.transpose(a, &permutation).unwrap()
            }
            14 if rank >= 1 => {
                let axis = random.below(rank);
                let start = random.below(shape[axis]);
                let end = start + 1 + random.below(shape[axis] - start);
                self.graph.slice(a, axis, start, end).unwrap()
            }
            15 if rank >= 1 => {
                // Reshape: merge two neighbouring axes or flatten.
                if rank >= 2 && random.below(2) == 0 {
                    let axis = random.below(rank - 1);
                    let mut merged = shape.clone();
                    merged[axis] *= merged.remove(axis + 1);
                    self.graph.reshape(a, &merged).unwrap()
                } else {
                    let count = shape.iter().product();
                    self.graph.reshape(a, &[count]).unwrap()
                }
            }
            16 => {
                let mut wide = vec![1 + random.below(3)];
                wide.extend(&shape);
                self.graph.expand(a, &wide).unwrap()
            }
            17 if rank >= 1 => {
                let axis = random.below(rank);
                let mut other = shape.clone();
                other[axis] = 1 + random.below(3);
                let b = self.fresh(random, &other);
                let parts = if random.below(2) == 0 { [a, b] } else { [b, a] };
                self.graph.concat(&parts, axis).unwrap()
            }
            18 | 19 if rank >= 1 => {
                let axes: Vec<usize> = (0..rank).filter(|_| random.below(2) == 0).collect();
                let keep = random.below(2) == 0;
                match random.below(4) {
                    0 => self.graph.reduce_max(a, &axes, keep).unwrap(),
                    1 => self.graph.reduce_sum(a, &axes, keep).unwrap(),
                    2 => {
                        let sum = self.graph.reduce_sum(a, &axes, keep).unwrap();
                        self.graph.scale(sum, 0.1).unwrap()
                    }
                    _ => self.graph.reduce_mean(a, &axes, keep).unwrap(),
                }
            }
            20..=22 if rank >= 2 => self.product(random, a, values),
            23 if rank >= 1 => {
                let axis = random.below(rank);
                if random.below(2) == 0 {
                    self.graph.softmax(a, axis).unwrap()
                } else {
                    self.graph.log_softmax(a, axis).unwrap()
                }
            }
            24 if rank >= 1 => {
                let axis = random.below(rank);
                let picked: Vec<i64> = (0..1 + random.below(4))
                    .map(|_| random.below(shape[axis]) as i64)
                    .collect();
                let indices = self.graph.constant(Tensor::i64(&[picked.len()], picked).unwrap());
                let gathered = self.graph.gather(a, indices, axis).unwrap();
                if random.below(2) == 0 {
                    return gathered;
                }
                let base = self.fresh(random, &shape);
                self.graph.scatter_add(base, indices, gathered, axis).unwrap()
            }
            _ => {
                let b = self.partner(random, &shape, values);
                let condition = self.graph.greater(a, b).unwrap();
                let bounded = self.graph.clip(a, -0.7, 0.8).unwrap();
                self.graph.where_(condition, bounded, b).unwrap()
            }
        }
    }

    /// A matrix product with everything that may be fused to it.
    fn product(&mut self, random: &mut Random, a: ValueId, values: &[ValueId]) -> ValueId {
        let shape = self.graph.shape(a).to_vec();
        let rank = shape.len();
        let (k, n) = (shape[rank - 1], 1 + random.below(6));
        let batched = random.below(2) == 0;
        let transposed = random.below(2) == 0;
        let mut weights = if batched {
            shape[..rank - 2].to_vec()
        } else {
            Vec::new()
        };
        weights.extend(if transposed { [n, k] } else { [k, n] });
        let mut w = self.fresh(random, &weights);
        if transposed {
            w = self.graph.transpose_matrix(w).unwrap();
        }
        let mut value = self.graph.matmul(a, w).unwrap();
        if random.below(2) == 0 {
            let mut bias = vec![n];
            if batched && random.below(2) == 0 {
                bias = shape[..rank - 2].to_vec();
                bias.extend([1, n]);
            }
            let bias = self.fresh(random, &bias);
            value = self.graph.add(value, bias).unwrap();
        }
        if random.below(2) == 0 {
            value = self.graph.tanh(value).unwrap();
        }
        if random.below(2) == 0 {
            let out = self.graph.shape(value).to_vec();
            let other = self.partner(random, &out, values);
            value = match random.below(3) {
                0 => self.graph.add(value, other),
                1 => self.graph.mul(other, value),
                _ => {
                    let y = self.graph.tanh(other).unwrap();
                    let one = self.graph.scalar(1.0);
                    let square = self.graph.square(y).unwrap();
                    let slope = self.graph.sub(one, square).unwrap();
                    self.graph.mul(value, slope)
                }
            }
            .unwrap();
        }
        if random.below(4) == 0 {
            value = self.graph.transpose_matrix(value).unwrap();
        }
        value
    }

    /// The gates of a gated recurrent unit with this state; or what is nearly that, by one difference.
    fn gates(&mut self, random: &mut Random, state: ValueId, values: &[ValueId]) -> ValueId {
        let shape = self.graph.shape(state).to_vec();
        let axis = random.below(shape.len());
        let hidden = shape[axis];
        let mut wide = shape.clone();
        wide[axis] *= 3;
        let (input, recurrent) = (self.fresh(random, &wide), self.fresh(random, &wide));
        let state = if random.below(3) == 0 {
            self.partner(random, &shape, values)
        } else {
            state
        };
        let different = random.below(12);
        let blocks = |case: &mut Self, value: ValueId, start: usize, end: usize| {
            case.graph.slice(value, axis, start * hidden, end * hidden).unwrap()
        };
        let mut flip = |a: ValueId, b: ValueId| if random.below(2) == 0 { (a, b) } else { (b, a) };
        let (a, b) = flip(blocks(self, input, 0, 2), blocks(self, recurrent, 0, 2));
        let sums = self.graph.add(a, b).unwrap();
        let gates = self.graph.sigmoid(sums).unwrap();
        let (mut reset, update) = (blocks(self, gates, 0, 1), blocks(self, gates, 1, 2));
        if different == 0 {
            reset = update;
        }
        let share = if different == 1 { 1 } else { 2 };
        let (a, b) = flip(reset, blocks(self, recurrent, share, share + 1));
        let kept = self.graph.mul(a, b).unwrap();
        let (a, b) = flip(blocks(self, input, 2, 3), kept);
        let sum = self.graph.add(a, b).unwrap();
        let candidate = self.graph.tanh(sum).unwrap();
        let one = self.graph.scalar(if different == 2 { 2.0 } else { 1.0 });
        let rest = self.graph.sub(one, update).unwrap();
        let (a, b) = flip(rest, candidate);
        let new = self.graph.mul(a, b).unwrap();
        let (a, b) = flip(if different == 3 { reset } else { update }, state);
        let old = self.graph.mul(a, b).unwrap();
        let (a, b) = flip(new, old);
        let next = self.graph.add(a, b).unwrap();
        match different {
            // Somebody else wants a gate.
            4 => self.graph.add(next, update).unwrap(),
            5 => self.graph.add(next, candidate).unwrap(),
            _ => next,
        }
    }

    fn reference(&self) -> Vec<Tensor64> {
        let inputs: Vec<(&str, Tensor64)> = self
            .inputs
            .iter()
            .map(|(name, shape, data)| {
                (
                    name.as_str(),
                    Tensor64::new(shape, data.iter().map(|&v| f64::from(v)).collect()),
                )
            })
            .collect();
        evaluate(&self.graph, &inputs).unwrap()
    }

    fn lower(&self, options: &LowerOptions) -> LoweredPlan {
        lower(&self.graph, &Bindings::new(), options).unwrap()
    }

    fn run(&self, plan: &LoweredPlan) -> Vec<Vec<f32>> {
        let mut memory = Memory::of(plan);
        for (name, _, data) in &self.inputs {
            memory.set(plan, name, data);
        }
        memory.run(plan);
        plan.outputs.iter().map(|slot| memory.get(plan, &slot.name)).collect()
    }
}

fn unfused() -> LowerOptions {
    LowerOptions {
        fuse: false,
        ..LowerOptions::default()
    }
}

#[test]
fn random_graphs_give_the_reference_values_and_the_same_bits_however_lowered() {
    let mut gates = 0;
    for seed in 0..2000 {
        let case = Case::new(seed);
        let plan = case.lower(&LowerOptions::default());
        let is_gru = |record: &&Record| record.opcode() == Some(Opcode::Gru);
        gates += plan.records.iter().filter(is_gru).count();
        let fused = case.run(&plan);
        for ((value, expected), port) in fused.iter().zip(case.reference()).zip(case.graph.outputs()) {
            assert_eq!(value.len(), expected.data.len());
            let scale = expected.data.iter().fold(1.0_f64, |scale, v| scale.max(v.abs()));
            for (a, b) in value.iter().zip(&expected.data) {
                assert!(
                    (f64::from(*a) - b).abs() <= 1e-4 * scale,
                    "seed {seed}, output {}: {a} instead of {b}",
                    port.name
                );
            }
        }
        for options in [
            unfused(),
            LowerOptions {
                alignment: 16,
                ..LowerOptions::default()
            },
            LowerOptions {
                compact: true,
                ..LowerOptions::default()
            },
            LowerOptions {
                max_macs_per_record: Some(7),
                ..LowerOptions::default()
            },
        ] {
            let plan = case.lower(&options);
            let other = case.run(&plan);
            for ((a, b), port) in fused.iter().zip(&other).zip(case.graph.outputs()) {
                assert!(
                    same_bits(a, b),
                    "seed {seed}, {options:?}, output {}: {a:?} and {b:?}",
                    port.name
                );
            }
        }
    }
    assert!(gates >= 62, "{gates} recurrent units were found");
}
