//! Every opcode against the naive executor, on every instruction set, over random shapes.

mod support;

use pliant_runtime::image::record::{
    Binary, ChainFunction, Opcode, Operand, Record, Reduce, Space, Ternary, Unary, flags,
};
use pliant_runtime::kernels::Level;
use pliant_runtime::plan::{Exact, Plan};
use support::{Memory, Random, operand, record, unary};

fn levels() -> Vec<Level> {
    [Some(Level::BASELINE), Level::avx2(), Level::avx512()]
        .into_iter()
        .flatten()
        .collect()
}

/// Runs the record on every instruction set: the same bits each time, and as the naive executor has it. Where the
/// record computes a polynomial, to `tolerance` times the larger of 1 and the value; 0 asks for the same bits.
fn check(record: Record, memory: &Memory, tolerance: f32) {
    let records = [record];
    let plan = Plan::new_checked(&records, memory.sizes()).unwrap_or_else(|error| panic!("{error}: {record:?}"));
    let mut expected = memory.clone();
    support::run(&record, &mut expected);
    let mut exact: Option<Memory> = None;
    for level in levels() {
        let mut actual = memory.clone();
        plan.run_on(level, false, &mut actual.spaces()).unwrap();
        match &exact {
            Some(exact) => assert!(exact.same_bits(&actual), "{level:?} {record:?}"),
            None => exact = Some(actual.clone()),
        }
        #[cfg(feature = "std")]
        assert!(
            prepared(&records, level, memory).same_bits(&actual),
            "prepared, {level:?} {record:?}"
        );
        if tolerance == 0.0 {
            assert!(expected.same_bits(&actual), "{level:?} {record:?}");
        } else {
            compare(&expected, &actual, tolerance, &record);
        }
        let mut fast = memory.clone();
        plan.run_on(level, true, &mut fast.spaces()).unwrap();
        compare(&expected, &fast, tolerance.max(2e-5), &record);
    }
    let mut default = memory.clone();
    plan.run::<Exact>(&mut default.spaces()).unwrap();
    assert!(exact.unwrap().same_bits(&default));
}

fn compare(expected: &Memory, actual: &Memory, tolerance: f32, record: &Record) {
    for (expected, actual) in expected.0.iter().flatten().zip(actual.0.iter().flatten()) {
        let close = (expected - actual).abs() <= tolerance * expected.abs().max(1.0);
        let nan = expected.is_nan() && actual.is_nan();
        assert!(
            close || nan || expected.to_bits() == actual.to_bits(),
            "{expected} {actual} {record:?}"
        );
    }
}

/// What a prepared plan of these records makes of the memory.
#[cfg(feature = "std")]
fn prepared(records: &[Record], level: Level, memory: &Memory) -> Memory {
    let plan = pliant_runtime::plan::PreparedPlan::new(records, memory.sizes()).unwrap();
    let mut memory = memory.clone();
    plan.run_on(level, false, &mut memory.spaces()).unwrap();
    memory
}

const NONE: u32 = Operand::NONE.0;

#[test]
fn matrix_products() {
    let mut random = Random(1);
    let memory = Memory::random(&mut random, 20_000);
    let sizes = [
        1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 40, 48, 49, 64, 100, 129, 130,
    ];
    for round in 0..400 {
        let (m, n) = (random.pick(&sizes), random.pick(&sizes));
        let k = if round % 8 == 0 { 300 } else { random.pick(&sizes) };
        let batch = if round % 4 == 0 { random.pick(&[1, 2, 3]) } else { 1 };
        let transposed = random.below(2) == 1;
        let (rows, columns) = if transposed { (k, m) } else { (m, k) };
        let row = columns + random.below(3);
        let shared = random.below(2) == 0;
        let a_batch = if random.below(4) == 0 { 0 } else { rows * row };
        let w_batch = if shared { 0 } else { k * n };
        let bias = random.below(3);
        let activation = random.pick(&[Unary::Identity, Unary::Relu, Unary::Neg, Unary::Abs, Unary::Tanh]);
        let with_epilogue = random.below(3) == 0;
        let mut bits = 0;
        if transposed {
            bits |= flags::TRANSPOSE_A;
        }
        if bias == 2 {
            bits |= flags::ACCUMULATE;
        }
        let bias_batch = if bias == 1 && !shared { n } else { 0 };
        let (epilogue, epilogue_function) = if with_epilogue {
            (operand(Space::Adapted, 3), Binary::TanhGradient as u32)
        } else {
            (NONE, 0)
        };
        let words = [
            operand(Space::Arena, random.below(20)),
            operand(Space::Input, random.below(20)),
            operand(Space::Const, random.below(20)),
            if bias == 1 { operand(Space::Bank, 5) } else { NONE },
            epilogue,
            batch as u32,
            m as u32,
            k as u32,
            n as u32,
            a_batch as u32,
            w_batch as u32,
            bias_batch as u32,
            row as u32,
            epilogue_function,
        ];
        if batch * rows * row + 20 > 20_000 || batch * k * n + 20 > 20_000 || batch * m * n + 20 > 20_000 {
            continue;
        }
        let tolerance = if activation == Unary::Tanh { 1e-6 } else { 0.0 };
        check(
            record(Opcode::MatMul, activation as u8, bits, &words),
            &memory,
            tolerance,
        );
    }
}

/// Runs the record on every instruction set, and compares no more than the bits of the space that is written: each value that
/// Miri looks at costs it a microsecond.
fn run_everywhere(record: Record, memory: &Memory) {
    let records = [record];
    let plan = Plan::new_checked(&records, memory.sizes()).unwrap();
    let run = |level, fast| {
        let mut memory = memory.clone();
        plan.run_on(level, fast, &mut memory.spaces()).unwrap();
        let [_, _, arena, ..] = memory.0;
        arena
    };
    let wanted = run(Level::BASELINE, false);
    for level in levels() {
        let found = run(level, false);
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(wanted.iter().zip(&found).all(same), "{level:?} {record:?}");
        #[cfg(feature = "std")]
        {
            let [_, _, found, ..] = prepared(&records, level, memory).0;
            assert!(wanted.iter().zip(&found).all(same), "prepared, {level:?} {record:?}");
        }
        run(level, true);
    }
}

/// Every kernel on every instruction set, with shapes that take each width of a tile once: few enough values for Miri, which
/// looks at every access of the code that is `unsafe`.
#[test]
fn small_shapes_of_every_kernel() {
    let mut random = Random(11);
    let memory = Memory::random(&mut random, 1200);
    let check = |record: Record, memory: &Memory, tolerance: f32| match cfg!(miri) {
        true => run_everywhere(record, memory),
        false => check(record, memory, tolerance),
    };
    let (out, a, b, c) = (
        operand(Space::Arena, 5),
        operand(Space::Input, 3),
        operand(Space::Const, 1),
        operand(Space::State, 2),
    );
    let shapes = [
        (1, 3, 131),
        (1, 2, 124),
        (15, 2, 63),
        (13, 2, 47),
        (9, 3, 31),
        (8, 3, 23),
        (17, 2, 3),
    ];
    for (index, (m, k, n)) in shapes.into_iter().enumerate() {
        for transposed in [false, true] {
            let row = if transposed { m } else { k };
            let bits = if transposed { flags::TRANSPOSE_A } else { 0 };
            let (bias, bits) = match index % 3 {
                0 => (c, bits),
                1 => (NONE, bits | flags::ACCUMULATE),
                _ => (NONE, bits),
            };
            let (epilogue, function) = match transposed {
                true => (operand(Space::Adapted, 3), Binary::ReluGradient as u32),
                false => (NONE, 0),
            };
            let words = [out, a, b, bias, epilogue, 1, m, k, n, 0, 0, 0, row, function];
            check(record(Opcode::MatMul, Unary::Relu as u8, bits, &words), &memory, 0.0);
        }
    }
    // Two turned planes, whole blocks and the rest.
    let words = [out, a, 1, 2, 17, 18, 0, 306, 18, 1, 0, 306, 1, 17];
    check(record(Opcode::Copy, 0, 0, &words), &memory, 0.0);
    check(unary(Unary::Tanh, out, a, 67, [0.0; 2]), &memory, 1e-6);
    check(unary(Unary::Relu, out, out, 67, [0.0; 2]), &memory, 0.0);
    let words = [out, a, b, 1, 3, 23, 0, 23, 1, 0, 0, 1];
    check(record(Opcode::Binary, Binary::Mul as u8, 0, &words), &memory, 0.0);
    let words = [out, a, b, c, 3, 23, 23, 1, 0, 1, 1, 0];
    check(
        record(Opcode::Ternary, Ternary::AddProduct as u8, 0, &words),
        &memory,
        0.0,
    );
    let words = [out, a, 3, 5, 7, 1f32.to_bits()];
    check(record(Opcode::Reduce, Reduce::Sum as u8, 0, &words), &memory, 0.0);
    let words = [out, a, b, 2, 5, 3, 17];
    for opcode in [Opcode::Gather, Opcode::ScatterAdd] {
        check(record(opcode, 0, 0, &words), &memory, 0.0);
    }
    check(record(Opcode::Fill, 0, 0, &[out, 37, 2f32.to_bits()]), &memory, 0.0);
    check(record(Opcode::Gru, 0, 0, &[out, a, b, c, 2, 19]), &memory, 2e-6);
    // Chains of three instructions, one after the other, in which each reads what the one before wrote.
    let numbers = (0..=255).filter_map(ChainFunction::from_bits);
    let some = numbers.step_by(if cfg!(miri) { 7 } else { 1 });
    for function in some {
        let mut words = [0; 16];
        words[0] = Opcode::Chain as u32 | 3 << 8;
        for (index, instruction) in words[1..].chunks_exact_mut(5).enumerate() {
            let at = |index: usize| operand(Space::Arena, 5 + 100 * index);
            let first = if index == 0 { a } else { at(index - 1) };
            instruction.copy_from_slice(&[u32::from(function.bits()) | 99 << 8, at(index), first, b, c]);
            instruction[2 + function.operands()..].fill(0);
            for word in instruction[2 + function.operands()..]
                .iter_mut()
                .take(function.parameters())
            {
                *word = 0.5f32.to_bits();
            }
        }
        check(Record { words }, &memory, 4e-6);
    }
}

#[test]
fn unary_functions_of_every_length_and_in_place() {
    let mut random = Random(2);
    let memory = Memory::random(&mut random, 1000);
    for &function in Unary::ALL {
        for count in [1, 2, 7, 16, 31, 64, 255, 256, 257, 900] {
            let parameters = match function {
                Unary::Clip => [-0.5, 0.25],
                Unary::Affine => [3.0, -0.5],
                _ => [0.0; 2],
            };
            // Logarithms near zero and reciprocals are tested on their own: here, where the values lie.
            let exact = !matches!(
                function,
                Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Sigmoid | Unary::Softplus
            );
            let tolerance = if exact { 0.0 } else { 1e-6 };
            let apart = unary(
                function,
                operand(Space::Output, 3),
                operand(Space::State, 5),
                count,
                parameters,
            );
            check(apart, &memory, tolerance);
            let in_place = unary(
                function,
                operand(Space::State, 5),
                operand(Space::State, 5),
                count,
                parameters,
            );
            check(in_place, &memory, tolerance);
        }
    }
}

/// A layer's bias, or a scale, where the batch lies in columns: beside the output and in its place.
#[test]
fn rows_with_one_number_each() {
    let memory = Memory::random(&mut Random(4), 8_000);
    for function in [Binary::Add, Binary::Mul, Binary::Sub] {
        let vectors = [(1, 16), (5, 16), (120, 16), (9, 15), (7, 17), (3, 32)];
        for (rows, columns) in [(1, 64), (3, 63), (16, 64), (5, 65), (48, 128), (7, 200)]
            .into_iter()
            .chain(vectors)
        {
            let (out, a, b) = (
                operand(Space::Arena, 3),
                operand(Space::State, 5),
                operand(Space::Const, 2),
            );
            for a in [a, out] {
                let words = [out, a, b, 1, rows, columns, 0, columns, 1, 0, 1, 0];
                check(record(Opcode::Binary, function as u8, 0, &words), &memory, 0.0);
            }
        }
    }
}

#[test]
fn binary_functions_with_every_broadcast() {
    let mut random = Random(3);
    let mut memory = Memory::random(&mut random, 8_000);
    // Equal values and zeros, so that comparisons and truth values have something to find.
    for space in &mut memory.0 {
        space.iter_mut().step_by(3).for_each(|x| *x = 0.5);
        space.iter_mut().step_by(7).for_each(|x| *x = 0.0);
    }
    let sizes = [1, 1, 2, 3, 4, 5, 16, 40, 63, 64, 65, 100, 300];
    for round in 0..600 {
        let dims: [usize; 3] = core::array::from_fn(|_| random.pick(&sizes));
        if dims.iter().product::<usize>() > 6_000 {
            continue;
        }
        let dense = [dims[1] * dims[2], dims[2], 1];
        let mut strides = || -> [usize; 3] {
            match random.below(4) {
                0 => dense,
                1 => core::array::from_fn(|i| if random.below(2) == 0 { 0 } else { dense[i] }),
                2 => [1, dims[0], dims[0] * dims[1]],
                _ => core::array::from_fn(|_| random.below(4)),
            }
        };
        let (a, b) = (strides(), strides());
        let function = Binary::ALL[round % Binary::ALL.len()];
        let words = |out: u32, first: u32, second: u32, a: [usize; 3], b: [usize; 3]| {
            let numbers = dims.iter().chain(&a).chain(&b).map(|&x| x as u32);
            let words: Vec<u32> = [out, first, second].into_iter().chain(numbers).collect();
            record(Opcode::Binary, function as u8, 0, &words)
        };
        let (x, y, z) = (
            operand(Space::Accumulator, 11),
            operand(Space::Input, 7),
            operand(Space::Const, 1),
        );
        let tolerance = if function == Binary::Pow { 1e-6 } else { 0.0 };
        check(words(x, y, z, a, b), &memory, tolerance);
        check(words(x, x, z, dense, b), &memory, tolerance);
        check(words(x, y, x, a, dense), &memory, tolerance);
        check(words(x, x, x, dense, dense), &memory, tolerance);
    }
}

#[test]
fn ternary_functions_with_every_broadcast() {
    let mut random = Random(4);
    let mut memory = Memory::random(&mut random, 9_000);
    memory.0[Space::Input as usize]
        .iter_mut()
        .step_by(2)
        .for_each(|x| *x = 0.0);
    let sizes = [1, 2, 3, 5, 16, 64, 65, 90];
    for round in 0..300 {
        let dims = [random.pick(&sizes), random.pick(&sizes)];
        let dense = [dims[1], 1];
        let mut strides = || match random.below(4) {
            0 => dense,
            1 => [0, 1],
            2 => [1, 0],
            _ => [random.below(4), random.below(4)],
        };
        let (a, b, c) = (strides(), strides(), strides());
        let function = Ternary::ALL[round % Ternary::ALL.len()];
        let out = operand(Space::Adapted, 4);
        let words = |operands: [u32; 3], strides: [[usize; 2]; 3]| {
            let numbers = dims.iter().chain(strides.iter().flatten()).map(|&x| x as u32);
            let words: Vec<u32> = core::iter::once(out).chain(operands).chain(numbers).collect();
            record(Opcode::Ternary, function as u8, 0, &words)
        };
        let (x, y, z) = (
            operand(Space::Input, 0),
            operand(Space::Const, 9),
            operand(Space::Bank, 2),
        );
        check(words([x, y, z], [a, b, c]), &memory, 0.0);
        check(words([out, y, z], [dense, b, c]), &memory, 0.0);
        check(words([x, y, out], [a, b, dense]), &memory, 0.0);
    }
}

#[test]
fn reductions() {
    let mut random = Random(5);
    let memory = Memory::random(&mut random, 15_000);
    let sizes = [1, 2, 3, 4, 7, 8, 9, 16, 64, 70, 100, 130, 600];
    for round in 0..400 {
        let (outer, reduced, inner) = (
            random.pick(&sizes),
            random.pick(&sizes),
            random.pick(&[1, 1, 2, 4, 9, 64, 100]),
        );
        if outer * reduced * inner > 14_000 {
            continue;
        }
        let accumulate = round % 3 == 0;
        let scale = if accumulate { 1.0 } else { 0.25f32 };
        let words = [
            operand(Space::Accumulator, 2),
            operand(Space::Arena, 3),
            outer as u32,
            reduced as u32,
            inner as u32,
            scale.to_bits(),
        ];
        let function = Reduce::ALL[round % 2];
        let bits = if accumulate { flags::ACCUMULATE } else { 0 };
        check(record(Opcode::Reduce, function as u8, bits, &words), &memory, 0.0);
    }
}

#[test]
fn strided_copies() {
    let mut random = Random(6);
    let memory = Memory::random(&mut random, 6_000);
    for _ in 0..600 {
        let dims: [usize; 4] = core::array::from_fn(|_| random.pick(&[1, 1, 2, 3, 8, 9, 17, 30]));
        if dims.iter().product::<usize>() > 4_000 {
            continue;
        }
        // The output dense in a random order of the dimensions, with gaps at times.
        let mut order = [0, 1, 2, 3];
        for i in (1..4).rev() {
            order.swap(i, random.below(i + 1));
        }
        let mut out = [0; 4];
        let mut stride = 1;
        for &axis in &order {
            out[axis] = stride;
            stride *= dims[axis];
            if random.below(5) == 0 && stride < 5_000 {
                stride += 1;
            }
        }
        let from: [usize; 4] = match random.below(3) {
            0 => [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1],
            1 => [1, dims[0], dims[0] * dims[1], dims[0] * dims[1] * dims[2]],
            _ => core::array::from_fn(|_| random.below(40)),
        };
        if stride > 5_900 {
            continue;
        }
        let numbers = dims.iter().chain(&out).chain(&from).map(|&x| x as u32);
        let words: Vec<u32> = [operand(Space::State, 6), operand(Space::Input, 1)]
            .into_iter()
            .chain(numbers)
            .collect();
        check(record(Opcode::Copy, 0, 0, &words), &memory, 0.0);
    }
}

#[test]
fn gathers_and_scatters_with_wild_indices() {
    let mut random = Random(7);
    let mut memory = Memory::random(&mut random, 5_000);
    for x in &mut memory.0[Space::Input as usize] {
        *x = random.pick(&[
            0.0,
            1.0,
            2.0,
            2.9,
            5.0,
            1e9,
            -3.0,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ]);
    }
    for round in 0..200 {
        let (outer, axis) = (random.pick(&[1, 2, 3]), random.pick(&[1, 2, 6, 20]));
        let (indices, inner) = (random.pick(&[1, 2, 9, 30]), random.pick(&[1, 2, 16, 20]));
        let opcode = if round % 2 == 0 {
            Opcode::Gather
        } else {
            Opcode::ScatterAdd
        };
        let words = [
            operand(Space::Output, 1),
            operand(Space::Const, 2),
            operand(Space::Input, random.below(100)),
            outer as u32,
            axis as u32,
            indices as u32,
            inner as u32,
        ];
        check(record(opcode, 0, 0, &words), &memory, 0.0);
    }
}

#[test]
fn chains_of_every_function() {
    let mut random = Random(8);
    let mut memory = Memory::random(&mut random, 1000);
    for space in &mut memory.0 {
        space.iter_mut().step_by(3).for_each(|x| *x = 0.5);
        space.iter_mut().step_by(7).for_each(|x| *x = 0.0);
    }
    for function in (0..=255).filter_map(ChainFunction::from_bits) {
        for count in [1, 2, 15, 16, 17, 64, 100, 256, 300] {
            // The second reads what the first writes.
            let mut words = [0; 16];
            words[0] = Opcode::Chain as u32 | 2 << 8;
            let operands = [
                operand(Space::State, 5),
                operand(Space::Arena, 500),
                operand(Space::Const, 3),
            ];
            for (index, instruction) in words[1..11].chunks_exact_mut(5).enumerate() {
                instruction[0] = u32::from(function.bits()) | count << 8;
                instruction[1] = operand(Space::Arena, 300 * index);
                let first = if index == 0 {
                    operand(Space::Arena, 600)
                } else {
                    operand(Space::Arena, 0)
                };
                instruction[2..].copy_from_slice(&[first, operands[1], operands[2]]);
                let used = 2 + function.operands();
                instruction[used..].fill(0);
                if function.operands() > 1 {
                    instruction[3] = operands[0];
                }
                if function.operands() > 2 {
                    instruction[4] = operands[2];
                }
                for (word, parameter) in instruction[used..]
                    .iter_mut()
                    .zip([-0.5f32, 0.75])
                    .take(function.parameters())
                {
                    *word = parameter.to_bits();
                }
            }
            let slow = matches!(
                function,
                ChainFunction::Unary(
                    Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Sigmoid | Unary::Softplus
                ) | ChainFunction::Binary(Binary::Pow)
            );
            check(Record { words }, &memory, if slow { 2e-6 } else { 0.0 });
        }
    }
}

/// The records that a [`Opcode::Gru`] stands for, `outer` times, working in the accumulator.
fn gates_one_by_one([out, a, b, state]: [u32; 4], outer: u32, count: u32) -> Vec<Record> {
    let scratch = operand(Space::Accumulator, 0);
    let mut records = Vec::new();
    for o in 0..outer {
        let (a, b) = (a + 3 * count * o, b + 3 * count * o);
        let (out, state) = (out + count * o, state + count * o);
        let update = scratch + count;
        let two = |function: Binary, out: u32, a: u32, b: u32, count: u32| {
            record(
                Opcode::Binary,
                function as u8,
                0,
                &[out, a, b, 1, 1, count, 0, 0, 1, 0, 0, 1],
            )
        };
        let sum_of_product = |out: u32, a: u32, b: u32, c: u32| {
            let words = [out, a, b, c, 1, count, 0, 1, 0, 1, 0, 1];
            record(Opcode::Ternary, Ternary::AddProduct as u8, 0, &words)
        };
        let candidate = scratch + 2 * count;
        let rest = scratch + 3 * count;
        records.extend([
            two(Binary::Add, scratch, a, b, 2 * count),
            unary(Unary::Sigmoid, scratch, scratch, 2 * count as usize, [0.0; 2]),
            sum_of_product(candidate, a + 2 * count, scratch, b + 2 * count),
            unary(Unary::Tanh, candidate, candidate, count as usize, [0.0; 2]),
            unary(Unary::Affine, rest, update, count as usize, [-1.0, 1.0]),
            two(Binary::Mul, candidate, rest, candidate, count),
            sum_of_product(out, candidate, update, state),
        ]);
    }
    records
}

#[test]
fn recurrent_gates_have_the_bits_of_the_records_they_stand_for() {
    let mut random = Random(21);
    let mut memory = Memory::random(&mut random, 2000);
    // Far out too, where the functions are flat, and what is not a number.
    for space in &mut memory.0 {
        space.iter_mut().step_by(5).for_each(|x| *x *= 40.0);
        space.iter_mut().skip(1).step_by(97).for_each(|x| *x = f32::NAN);
        space.iter_mut().skip(2).step_by(89).for_each(|x| *x = -0.0);
    }
    let places = [
        operand(Space::Arena, 3),
        operand(Space::Input, 7),
        operand(Space::Const, 1),
        operand(Space::State, 2),
    ];
    for (outer, count) in [(1, 1), (1, 8), (1, 16), (1, 17), (3, 5), (7, 16), (2, 100), (9, 64)] {
        for in_place in [false, true] {
            let [out, a, b, state] = places;
            let state = if in_place { out } else { state };
            let fused = record(Opcode::Gru, 0, 0, &[out, a, b, state, outer, count]);
            check(fused, &memory, 2e-6);
            assert_eq!(fused.macs(), u64::from(9 * outer * count));
            let apart = gates_one_by_one([out, a, b, state], outer, count);
            let run = |records: &[Record], level: Level| {
                let mut memory = memory.clone();
                let plan = Plan::new_checked(records, memory.sizes()).unwrap();
                plan.run_on(level, false, &mut memory.spaces()).unwrap();
                memory.0[Space::Arena as usize].clone()
            };
            for level in levels() {
                let (one, many) = (run(&[fused], level), run(&apart, level));
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(one.iter().zip(&many).all(same), "{level:?} {outer} x {count}");
            }
        }
    }
}

#[test]
fn fill() {
    let memory = Memory::random(&mut Random(8), 100);
    let words = [operand(Space::Arena, 3), 90, 2.5f32.to_bits()];
    check(record(Opcode::Fill, 0, 0, &words), &memory, 0.0);
}
