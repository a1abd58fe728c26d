//! A plan executor as naive as can be, record builders and a small generator of numbers: what the kernels are tested
//! against.
#![allow(dead_code, unreachable_pub)] // Every test crate uses its own part.

use pliant_runtime::image::record::{
    Binary, ChainFunction, Instruction, Opcode, Operand, Record, Reduce, Scaled, Space, Ternary, Unary, flags,
};
use pliant_runtime::plan::{AdaptedRef, SpaceSizes, Spaces};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// One of the values.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// Uniform in [-1, 1).
    pub fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }
}

/// The eight spaces, by number.
#[derive(Clone, Debug)]
pub struct Memory(pub [Vec<f32>; Space::COUNT]);

impl Memory {
    pub fn random(random: &mut Random, elements: usize) -> Self {
        Self(core::array::from_fn(|_| random.values(elements)))
    }

    pub fn sizes(&self) -> SpaceSizes {
        SpaceSizes(core::array::from_fn(|i| self.0[i].len() as u32))
    }

    pub fn spaces(&mut self) -> Spaces<'_> {
        let [constants, adapted, arena, state, input, output, accumulator, bank] = &mut self.0;
        Spaces {
            constants,
            input,
            bank,
            adapted: AdaptedRef::Exclusive(adapted),
            arena,
            state,
            output,
            accumulator,
        }
    }

    /// Whether all values are the same bit for bit. All NaN are alike: sign and payload are the core's own.
    pub fn same_bits(&self, other: &Self) -> bool {
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        self.0.iter().flatten().zip(other.0.iter().flatten()).all(same)
    }
}

pub fn operand(space: Space, offset: usize) -> u32 {
    Operand::new(space, offset as u32).unwrap().0
}

pub fn record(opcode: Opcode, function: u8, flags: u32, rest: &[u32]) -> Record {
    let mut words = [0; 16];
    words[0] = opcode as u32 | u32::from(function) << 8 | flags;
    words[1..=rest.len()].copy_from_slice(rest);
    Record { words }
}

pub fn unary(function: Unary, out: u32, a: u32, count: usize, parameters: [f32; 2]) -> Record {
    let rest = [out, a, count as u32, parameters[0].to_bits(), parameters[1].to_bits()];
    record(Opcode::Unary, function as u8, 0, &rest)
}

/// One value of a unary function, in f64.
pub fn unary64(function: Unary, a: f64, p: f64, q: f64) -> f64 {
    match function {
        Unary::Identity => a,
        Unary::Neg => -a,
        Unary::Abs => a.abs(),
        Unary::Sqrt => a.sqrt(),
        Unary::Exp => a.exp(),
        Unary::Log => a.ln(),
        Unary::Sin => a.sin(),
        Unary::Cos => a.cos(),
        Unary::Tanh => a.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-a).exp()),
        Unary::Relu => {
            if a <= 0.0 {
                0.0
            } else {
                a
            }
        }
        Unary::Softplus => a.max(0.0) + (-a.abs()).exp().ln_1p() + if a.is_nan() { a } else { 0.0 },
        Unary::Not => 1.0 - a,
        Unary::Clip => {
            let low = if a < p { p } else { a };
            if low > q { q } else { low }
        }
        Unary::Reciprocal => 1.0 / a,
        Unary::Square => a * a,
        Unary::Affine => f64::from((a as f32) * (p as f32)) + q,
        Unary::Sign => {
            if a == 0.0 {
                0.0
            } else {
                a.signum()
            }
        }
    }
}

/// One value of a binary function: exact ones in the order the format gives, `Pow` in f64.
pub fn binary32(function: Binary, a: f32, b: f32) -> f32 {
    let truth = |condition: bool| f32::from(u8::from(condition));
    match function {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Pow => f64::from(a).powf(f64::from(b)) as f32,
        Binary::Min if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Min => a.min(b),
        Binary::Max if a.is_nan() || b.is_nan() => f32::NAN,
        Binary::Max => a.max(b),
        Binary::Greater => truth(a > b),
        Binary::Less => truth(a < b),
        Binary::Equal => truth(a == b),
        Binary::And => truth(a != 0.0 && b != 0.0),
        Binary::Or => truth(a != 0.0 || b != 0.0),
        Binary::TanhGradient => a * (1.0 - b * b),
        Binary::ReluGradient if b.is_nan() => f32::NAN,
        Binary::ReluGradient => {
            if b > 0.0 {
                a
            } else {
                0.0
            }
        }
        Binary::SigmoidGradient => a * (b * (1.0 - b)),
    }
}

/// The instructions of a chain as records of their own.
fn instructions(record: &Record) -> Vec<Record> {
    let dense = |instruction: &Instruction, first: u32| {
        let mut words = [0; 16];
        words[0] = first;
        words[1..4].copy_from_slice(&instruction.words[1..4]);
        words
    };
    let each = record.instructions().iter().map(|instruction| {
        let (count, [.., b, c]) = (instruction.count(), instruction.words);
        let words = match instruction.function().unwrap() {
            ChainFunction::Unary(function) => {
                let mut words = dense(instruction, Opcode::Unary as u32 | u32::from(function as u8) << 8);
                words[3..6].copy_from_slice(&[count, b, c]);
                words
            }
            ChainFunction::Binary(function) => {
                let mut words = dense(instruction, Opcode::Binary as u32 | u32::from(function as u8) << 8);
                words[4..13].copy_from_slice(&[1, 1, count, 0, 0, 1, 0, 0, 1]);
                words
            }
            ChainFunction::Ternary(function) => {
                let mut words = dense(instruction, Opcode::Ternary as u32 | u32::from(function as u8) << 8);
                words[4..13].copy_from_slice(&[c, 1, count, 0, 1, 0, 1, 0, 1]);
                words
            }
            ChainFunction::Scaled(Scaled::AddScaled) => unreachable!("computed on its own"),
        };
        Record { words }
    });
    each.collect()
}

/// Runs one record as the specification says it, one element at a time, with indices that panic out of bounds.
pub fn run(record: &Record, memory: &mut Memory) {
    if record.opcode() == Some(Opcode::Chain) {
        for instruction in record.instructions() {
            let mut single = Record { words: [0; 16] };
            single.words[0] = Opcode::Chain as u32 | 1 << 8;
            single.words[1..6].copy_from_slice(&instruction.words);
            if let Some(ChainFunction::Scaled(Scaled::AddScaled)) = instruction.function() {
                let place = |word: usize| {
                    let operand = Operand(instruction.words[word]);
                    (operand.space().unwrap() as usize, operand.offset() as usize)
                };
                let ((to, out), (from_a, a), (from_b, b)) = (place(1), place(2), place(3));
                for i in 0..instruction.count() as usize {
                    let factor = f32::from_bits(instruction.words[4]);
                    memory.0[to][out + i] = memory.0[from_a][a + i] + memory.0[from_b][b + i] * factor;
                }
            } else {
                instructions(&single).iter().for_each(|record| run(record, memory));
            }
        }
        return;
    }
    let w = record.words.map(|word| word as usize);
    let at = |word: usize| {
        let operand = record.operand(word);
        (operand.space().unwrap() as usize, operand.offset() as usize)
    };
    let function = record.function();
    let (out_space, out) = at(1);
    // Operands keep their old values while the output is written: the output may be one of them.
    let old = memory.clone();
    let get = |(space, offset): (usize, usize), i: usize| old.0[space][offset + i];
    let accumulate = record.has(flags::ACCUMULATE);
    let output = &mut memory.0[out_space];
    match record.opcode().unwrap() {
        Opcode::MatMul => {
            let (batch, m, k, n) = (w[6], w[7], w[8], w[9]);
            let transposed = record.has(flags::TRANSPOSE_A);
            for b in 0..batch {
                for i in 0..m {
                    for j in 0..n {
                        let to = (b * m + i) * n + j;
                        let mut sum = if !record.operand(4).is_none() {
                            get(at(4), b * w[12] + j)
                        } else if accumulate {
                            get((out_space, out), to)
                        } else {
                            0.0
                        };
                        for term in 0..k {
                            let (row, column) = if transposed { (term, i) } else { (i, term) };
                            let a = get(at(2), b * w[10] + row * w[13] + column);
                            sum += a * get(at(3), b * w[11] + term * n + j);
                        }
                        let activation = Unary::from_bits(function).unwrap();
                        let mut value = unary64(activation, f64::from(sum), 0.0, 0.0) as f32;
                        if !record.operand(5).is_none() {
                            value = binary32(Binary::from_bits(w[14] as u8).unwrap(), value, get(at(5), to));
                        }
                        output[out + to] = value;
                    }
                }
            }
        }
        Opcode::Unary => {
            let (p, q) = (f32::from_bits(record.words[4]), f32::from_bits(record.words[5]));
            for i in 0..w[3] {
                let a = f64::from(get(at(2), i));
                output[out + i] = unary64(Unary::from_bits(function).unwrap(), a, f64::from(p), f64::from(q)) as f32;
            }
        }
        Opcode::Binary => {
            let (dims, a, b) = (&w[4..7], &w[7..10], &w[10..13]);
            for i in 0..dims[0] {
                for j in 0..dims[1] {
                    for k in 0..dims[2] {
                        let stride = |s: &[usize]| i * s[0] + j * s[1] + k * s[2];
                        let (a, b) = (get(at(2), stride(a)), get(at(3), stride(b)));
                        output[out + (i * dims[1] + j) * dims[2] + k] =
                            binary32(Binary::from_bits(function).unwrap(), a, b);
                    }
                }
            }
        }
        Opcode::Ternary => {
            for i in 0..w[5] {
                for j in 0..w[6] {
                    let a = get(at(2), i * w[7] + j * w[8]);
                    let b = get(at(3), i * w[9] + j * w[10]);
                    let c = get(at(4), i * w[11] + j * w[12]);
                    output[out + i * w[6] + j] = match Ternary::from_bits(function).unwrap() {
                        Ternary::Where => {
                            if a != 0.0 {
                                b
                            } else {
                                c
                            }
                        }
                        Ternary::AddProduct => a + b * c,
                        Ternary::SubProduct => a - b * c,
                    };
                }
            }
        }
        Opcode::Reduce => {
            let (outer, reduced, inner) = (w[3], w[4], w[5]);
            let function = Reduce::from_bits(function).unwrap();
            for o in 0..outer {
                for i in 0..inner {
                    let mut result = match function {
                        _ if accumulate => get((out_space, out), o * inner + i),
                        Reduce::Sum => 0.0,
                        Reduce::Max => f32::NEG_INFINITY,
                    };
                    for r in 0..reduced {
                        let value = get(at(2), (o * reduced + r) * inner + i);
                        result = match function {
                            Reduce::Sum => result + value,
                            Reduce::Max => binary32(Binary::Max, result, value),
                        };
                    }
                    output[out + o * inner + i] = result * f32::from_bits(record.words[6]);
                }
            }
        }
        Opcode::Copy => {
            let (d, to, from) = (&w[3..7], &w[7..11], &w[11..15]);
            for i in 0..d[0] {
                for j in 0..d[1] {
                    for k in 0..d[2] {
                        for l in 0..d[3] {
                            let stride = |s: &[usize]| i * s[0] + j * s[1] + k * s[2] + l * s[3];
                            output[out + stride(to)] = get(at(2), stride(from));
                        }
                    }
                }
            }
        }
        opcode @ (Opcode::Gather | Opcode::ScatterAdd) => {
            let (outer, axis, indices, inner) = (w[4], w[5], w[6], w[7]);
            for o in 0..outer {
                for j in 0..indices {
                    let index = (get(at(3), j) as usize).min(axis - 1);
                    for i in 0..inner {
                        let (whole, picked) = ((o * axis + index) * inner + i, (o * indices + j) * inner + i);
                        if opcode == Opcode::Gather {
                            output[out + picked] = get(at(2), whole);
                        } else {
                            output[out + whole] += get(at(2), picked);
                        }
                    }
                }
            }
        }
        Opcode::Fill => output[out..out + w[2]].fill(f32::from_bits(record.words[3])),
        Opcode::Gru => {
            let (outer, count) = (w[5], w[6]);
            let sigmoid = |x: f32| unary64(Unary::Sigmoid, f64::from(x), 0.0, 0.0) as f32;
            for o in 0..outer {
                for i in 0..count {
                    let share = |word: usize, gate: usize| get(at(word), (o * 3 + gate) * count + i);
                    let reset = sigmoid(share(2, 0) + share(3, 0));
                    let update = sigmoid(share(2, 1) + share(3, 1));
                    let candidate = f64::from(share(2, 2) + reset * share(3, 2)).tanh() as f32;
                    let at_element = o * count + i;
                    output[out + at_element] = (1.0 - update) * candidate + update * get(at(4), at_element);
                }
            }
        }
        Opcode::Chain => unreachable!("run above"),
    }
}
