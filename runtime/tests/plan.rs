//! What a plan refuses, and that what it accepts runs without a panic and within its bounds.

mod support;

use pliant_runtime::image::record::{Binary, ChainFunction, Opcode, Operand, Record, Space, Unary, flags};
#[cfg(feature = "std")]
use pliant_runtime::kernels::Level;
#[cfg(feature = "std")]
use pliant_runtime::plan::PreparedPlan;
use pliant_runtime::plan::{AdaptedRef, Exact, Fast, Plan, PlanError, RecordProblem, SpaceSizes, Spaces};
use support::{Memory, Random, operand, record, unary};

const NONE: u32 = Operand::NONE.0;

fn sizes() -> SpaceSizes {
    SpaceSizes([100; Space::COUNT])
}

fn problem(record: Record) -> Option<RecordProblem> {
    match Plan::new_checked(&[record], sizes()) {
        Ok(_) => None,
        Err(PlanError::Record { index: 0, problem }) => Some(problem),
        Err(other) => panic!("{other}"),
    }
}

/// `[2][3] x [3][4]`, everything in its own space.
fn product() -> Record {
    let words = [
        operand(Space::Arena, 0),
        operand(Space::Input, 0),
        operand(Space::Const, 0),
        NONE,
        NONE,
        1,
        2,
        3,
        4,
        0,
        0,
        0,
        3,
        0,
    ];
    record(Opcode::MatMul, 0, 0, &words)
}

/// Instructions: function, count, then out, operands and parameters.
fn chain(instructions: &[(ChainFunction, u32, [u32; 4])]) -> Record {
    let mut words = [0; 16];
    words[0] = Opcode::Chain as u32 | (instructions.len() as u32) << 8;
    for (to, (function, count, rest)) in words[1..].chunks_exact_mut(5).zip(instructions) {
        to[0] = u32::from(function.bits()) | count << 8;
        to[1..].copy_from_slice(rest);
    }
    Record { words }
}

fn with(mut record: Record, changes: &[(usize, u32)]) -> Record {
    for &(word, value) in changes {
        record.words[word] = value;
    }
    record
}

#[test]
fn every_rule_is_enforced() {
    use RecordProblem::{
        Bounds, Empty, Flags, Function, Opcode as UnknownOpcode, OutputStrides, Overlap, ReadOnly, Scale, UnusedWord,
    };
    let p = product();
    assert_eq!(problem(p), None);
    assert_eq!(problem(with(p, &[(0, 77)])), Some(UnknownOpcode(77)));
    assert_eq!(problem(with(p, &[(0, 1 | 11 << 8)])), Some(Function(11)));
    assert_eq!(problem(with(p, &[(0, 1 | 1 << 20)])), Some(Flags));
    assert_eq!(problem(with(p, &[(15, 1)])), Some(UnusedWord(15)));
    assert_eq!(problem(with(p, &[(12, 4)])), Some(UnusedWord(12)));
    assert_eq!(problem(with(p, &[(14, 1)])), Some(UnusedWord(14)));
    assert_eq!(problem(with(p, &[(8, 0)])), Some(Empty));
    assert_eq!(problem(with(p, &[(1, operand(Space::Arena, 93))])), Some(Bounds(1)));
    assert_eq!(problem(with(p, &[(1, operand(Space::Arena, 92))])), None);
    assert_eq!(problem(with(p, &[(2, operand(Space::Input, 95))])), Some(Bounds(2)));
    assert_eq!(problem(with(p, &[(13, 98)])), Some(Bounds(2)));
    assert_eq!(problem(with(p, &[(13, u32::MAX)])), Some(Bounds(2)));
    assert_eq!(problem(with(p, &[(3, operand(Space::Const, 89))])), Some(Bounds(3)));
    assert_eq!(problem(with(p, &[(3, NONE)])), Some(RecordProblem::Operand(3)));
    assert_eq!(problem(with(p, &[(2, 9 << 28)])), Some(RecordProblem::Operand(2)));
    assert_eq!(problem(with(p, &[(4, operand(Space::Bank, 97))])), Some(Bounds(4)));
    assert_eq!(
        problem(with(p, &[(5, operand(Space::Bank, 0)), (14, 99)])),
        Some(Function(99))
    );
    assert_eq!(problem(with(p, &[(1, operand(Space::Input, 50))])), Some(ReadOnly));
    assert_eq!(problem(with(p, &[(2, operand(Space::Arena, 7))])), Some(Overlap(2)));
    assert_eq!(problem(with(p, &[(2, operand(Space::Arena, 8))])), None);
    // The epilogue operand is laid out like the output, but may not be the output.
    assert_eq!(
        problem(with(p, &[(5, operand(Space::Arena, 0)), (14, 2)])),
        Some(Overlap(5))
    );
    let accumulate = Opcode::MatMul as u32 | flags::ACCUMULATE;
    assert_eq!(
        problem(with(p, &[(0, accumulate), (4, operand(Space::Bank, 0))])),
        Some(Flags)
    );
    assert_eq!(
        problem(with(p, &[(6, u32::MAX), (7, u32::MAX), (9, u32::MAX)])),
        Some(Bounds(1))
    );

    let u = unary(
        Unary::Exp,
        operand(Space::Arena, 0),
        operand(Space::Arena, 0),
        10,
        [0.0; 2],
    );
    assert_eq!(problem(u), None);
    assert_eq!(problem(with(u, &[(2, operand(Space::Arena, 1))])), Some(Overlap(2)));
    assert_eq!(problem(with(u, &[(2, operand(Space::Arena, 10))])), None);
    assert_eq!(problem(with(u, &[(4, 1)])), Some(UnusedWord(4)));
    assert_eq!(problem(with(u, &[(0, 2 | 18 << 8)])), Some(Function(18)));
    assert_eq!(problem(with(u, &[(0, 2 | flags::ACCUMULATE)])), Some(Flags));

    let (x, y) = (operand(Space::Arena, 0), operand(Space::Input, 0));
    let b = record(
        Opcode::Binary,
        Binary::Add as u8,
        0,
        &[x, x, y, 2, 3, 4, 12, 4, 1, 0, 0, 1],
    );
    assert_eq!(problem(b), None);
    assert_eq!(problem(with(b, &[(7, 4), (8, 8)])), Some(Overlap(2)));
    assert_eq!(problem(with(b, &[(10, 97)])), Some(Bounds(3)));
    assert_eq!(problem(with(b, &[(10, 96)])), None);

    let r = record(Opcode::Reduce, 0, 0, &[x, y, 2, 3, 4, 0.5f32.to_bits()]);
    assert_eq!(problem(r), None);
    assert_eq!(
        problem(with(r, &[(0, Opcode::Reduce as u32 | flags::ACCUMULATE)])),
        Some(Scale)
    );
    assert_eq!(
        problem(with(r, &[(0, Opcode::Reduce as u32 | flags::TRANSPOSE_A)])),
        Some(Flags)
    );

    let c = record(Opcode::Copy, 0, 0, &[x, y, 1, 2, 3, 4, 0, 12, 4, 1, 0, 1, 2, 6]);
    assert_eq!(problem(c), None);
    assert_eq!(problem(with(c, &[(8, 11)])), Some(OutputStrides));
    assert_eq!(problem(with(c, &[(10, 0)])), Some(OutputStrides));
    // Any stride will do for a dimension of length 1.
    assert_eq!(problem(with(c, &[(7, u32::MAX), (11, u32::MAX)])), None);

    let h = chain(&[
        (ChainFunction::Unary(Unary::Clip), 10, [x, y, 0, 1f32.to_bits()]),
        (ChainFunction::Binary(Binary::Add), 10, [x, y, y, 0]),
    ]);
    assert_eq!(problem(h), None);
    assert_eq!(problem(with(h, &[(0, Opcode::Chain as u32)])), Some(Function(0)));
    assert_eq!(
        problem(with(h, &[(0, Opcode::Chain as u32 | 4 << 8)])),
        Some(Function(4))
    );
    assert_eq!(
        problem(with(h, &[(0, Opcode::Chain as u32 | 1 << 8)])),
        Some(UnusedWord(6))
    );
    assert_eq!(problem(with(h, &[(6, h.words[6] & 0xFF)])), Some(Empty));
    assert_eq!(problem(with(h, &[(6, h.words[6] | 31)])), Some(Function(63)));
    assert_eq!(problem(with(h, &[(8, x)])), Some(Overlap(8)));
    assert_eq!(problem(with(h, &[(9, operand(Space::State, 91))])), Some(Bounds(9)));
    assert_eq!(problem(with(h, &[(10, 1)])), Some(UnusedWord(10)));
    assert_eq!(problem(with(h, &[(7, operand(Space::Const, 0))])), Some(ReadOnly));
    assert_eq!(problem(with(h, &[(7, operand(Space::Adapted, 0))])), Some(ReadOnly));

    let u = record(
        Opcode::Gru,
        0,
        0,
        &[x, y, operand(Space::Const, 0), operand(Space::State, 0), 2, 16],
    );
    assert_eq!(problem(u), None);
    assert_eq!(problem(with(u, &[(0, Opcode::Gru as u32 | 1 << 8)])), Some(Function(1)));
    assert_eq!(
        problem(with(u, &[(0, Opcode::Gru as u32 | flags::ACCUMULATE)])),
        Some(Flags)
    );
    assert_eq!(problem(with(u, &[(7, 1)])), Some(UnusedWord(7)));
    assert_eq!(problem(with(u, &[(5, 0)])), Some(Empty));
    assert_eq!(problem(with(u, &[(1, operand(Space::Const, 0))])), Some(ReadOnly));
    assert_eq!(problem(with(u, &[(1, operand(Space::Arena, 69))])), Some(Bounds(1)));
    for word in [2, 3] {
        assert_eq!(
            problem(with(u, &[(word, operand(Space::Input, 5))])),
            Some(Bounds(word as u8))
        );
        assert_eq!(problem(with(u, &[(word, operand(Space::Input, 4))])), None);
        assert_eq!(
            problem(with(u, &[(word, x), (6, 1), (5, 3)])),
            Some(Overlap(word as u8))
        );
    }
    assert_eq!(problem(with(u, &[(4, operand(Space::State, 69))])), Some(Bounds(4)));
    // The state may be the output, as a whole.
    assert_eq!(problem(with(u, &[(4, x)])), None);
    assert_eq!(problem(with(u, &[(4, operand(Space::Arena, 1))])), Some(Overlap(4)));
    assert_eq!(problem(with(u, &[(5, u32::MAX), (6, u32::MAX)])), Some(Bounds(1)));

    let g = record(Opcode::Gather, 0, 0, &[x, y, operand(Space::Const, 0), 2, 5, 3, 4]);
    assert_eq!(problem(g), None);
    assert_eq!(problem(with(g, &[(3, operand(Space::Const, 98))])), Some(Bounds(3)));
    assert_eq!(problem(with(g, &[(5, 13)])), Some(Bounds(2)));
}

#[test]
fn the_macs_are_counted() {
    assert_eq!(product().macs(), 2 * 3 * 4);
    let u = unary(
        Unary::Exp,
        operand(Space::Arena, 0),
        operand(Space::Arena, 0),
        10,
        [0.0; 2],
    );
    let records = [product(), u];
    assert_eq!(Plan::new_checked(&records, sizes()).unwrap().macs(), 24 + 10);
    let (x, y) = (operand(Space::Arena, 0), operand(Space::State, 0));
    let add = ChainFunction::Binary(Binary::Add);
    assert_eq!(chain(&[(add, 3, [x, y, y, 0]), (add, 4, [x, y, y, 0])]).macs(), 7);
}

#[test]
fn short_slices_and_shared_parameters_are_refused() {
    let records = [product()];
    let plan = Plan::new_checked(&records, sizes()).unwrap();
    let mut memory = Memory::random(&mut Random(1), 100);
    assert_eq!(plan.run::<Exact>(&mut memory.spaces()), Ok(()));
    memory.0[Space::Input as usize].pop();
    let error = plan.run::<Exact>(&mut memory.spaces()).unwrap_err();
    assert_eq!(
        error,
        PlanError::Space {
            space: Space::Input,
            needed: 100,
            given: 99
        }
    );

    let records = [with(product(), &[(1, operand(Space::Adapted, 0))])];
    let plan = Plan::new_checked(&records, sizes()).unwrap();
    assert!(plan.writes_adapted());
    let mut memory = Memory::random(&mut Random(1), 100);
    let adapted = memory.0[Space::Adapted as usize].clone();
    let mut spaces = memory.spaces();
    spaces.adapted = AdaptedRef::Shared(&adapted);
    assert_eq!(plan.run::<Exact>(&mut spaces), Err(PlanError::AdaptedShared));
    assert_eq!(
        plan.run_range::<Exact>(1..3, &mut memory.spaces()),
        Err(PlanError::Range)
    );
    assert_eq!(plan.run_range::<Exact>(0..1, &mut memory.spaces()), Ok(()));
}

/// A record with words that are likely to pass, then some of them replaced by anything.
fn wild_record(random: &mut Random) -> Record {
    let opcode = random.pick(&[
        Opcode::MatMul,
        Opcode::Unary,
        Opcode::Binary,
        Opcode::Ternary,
        Opcode::Reduce,
        Opcode::Copy,
        Opcode::Gather,
        Opcode::ScatterAdd,
        Opcode::Fill,
        Opcode::Gru,
    ]);
    let mut words = [0u32; 16];
    words[0] = opcode as u32;
    let spaces = [
        Space::Arena,
        Space::State,
        Space::Output,
        Space::Accumulator,
        Space::Adapted,
        Space::Const,
        Space::Input,
        Space::Bank,
    ];
    let near = |random: &mut Random, spaces: &[Space]| operand(random.pick(spaces), random.below(40));
    words[1] = near(random, &spaces[..5]);
    let (operands, last) = match opcode {
        Opcode::MatMul => (2..6, 14),
        Opcode::Unary => (2..3, 4),
        Opcode::Binary => (2..4, 13),
        Opcode::Ternary => (2..5, 13),
        Opcode::Reduce => (2..3, 7),
        Opcode::Copy => (2..3, 15),
        Opcode::Gather | Opcode::ScatterAdd => (2..4, 8),
        Opcode::Fill | Opcode::Chain => (2..2, 4),
        Opcode::Gru => (2..5, 7),
    };
    for word in operands.clone() {
        words[word] = near(random, &spaces);
    }
    for word in operands.end..last {
        words[word] = random.below(6) as u32;
    }
    match opcode {
        Opcode::MatMul => {
            words[0] |= (random.below(11) as u32) << 8 | (random.below(4) as u32) << 16;
            if words[0] & flags::ACCUMULATE != 0 || random.below(2) == 0 {
                (words[4], words[12]) = (NONE, 0);
            }
            if random.below(2) == 0 {
                (words[5], words[14]) = (NONE, 0);
            } else {
                words[14] = random.below(15) as u32;
            }
        }
        Opcode::Unary => words[0] |= (random.below(18) as u32) << 8,
        Opcode::Binary => words[0] |= (random.below(15) as u32) << 8,
        Opcode::Ternary => words[0] |= (random.below(3) as u32) << 8,
        Opcode::Reduce => {
            words[0] |= (random.below(2) as u32) << 8 | (random.below(2) as u32) << 17;
            words[6] = 1f32.to_bits();
        }
        _ => {}
    }
    for _ in 0..random.below(3) {
        let word = random.below(16);
        words[word] = match random.below(5) {
            0 => random.next() as u32,
            1 => random.below(200) as u32,
            2 => u32::MAX,
            3 => words[word] ^ 1 << random.below(32),
            _ => near(random, &spaces),
        };
    }
    Record { words }
}

/// Instructions that are likely to pass, then perhaps a word replaced by anything.
fn wild_chain(random: &mut Random) -> Record {
    let mut words = [0u32; 16];
    let count = 1 + random.below(3);
    words[0] = Opcode::Chain as u32 | (count as u32) << 8;
    let spaces = [Space::Arena, Space::State, Space::Output, Space::Accumulator];
    for instruction in words[1..].chunks_exact_mut(5).take(count) {
        let kinds = [(0, 18), (32, 15), (64, 3), (96, 1)];
        let (first, functions) = random.pick(&kinds);
        let function = ChainFunction::from_bits(first + random.below(functions) as u8).unwrap();
        // Rounding differences of polynomials, which a later instruction may enlarge, are tested elsewhere.
        let rounds = matches!(
            function,
            ChainFunction::Unary(Unary::Exp | Unary::Log | Unary::Sin | Unary::Cos)
        ) || matches!(
            function,
            ChainFunction::Unary(Unary::Tanh | Unary::Sigmoid | Unary::Softplus)
        ) || function == ChainFunction::Binary(Binary::Pow);
        let function = if rounds {
            ChainFunction::Binary(Binary::Sub)
        } else {
            function
        };
        instruction[0] = u32::from(function.bits()) | (random.below(30) as u32) << 8;
        let operands = 1 + function.operands();
        for word in &mut instruction[1..1 + operands] {
            *word = operand(random.pick(&spaces), random.below(80));
        }
        for word in instruction[1 + operands..].iter_mut().take(function.parameters()) {
            *word = 0.5f32.to_bits();
        }
    }
    if random.below(4) == 0 {
        let word = random.below(16);
        words[word] = if random.below(2) == 0 {
            random.next() as u32
        } else {
            words[word] ^ 1 << random.below(32)
        };
    }
    Record { words }
}

/// A prepared plan refuses what a plan refuses, and gives its bits on every instruction set.
#[test]
#[cfg(feature = "std")]
fn prepared_chains_give_the_same_bits() {
    let mut random = Random(17);
    let original = Memory::random(&mut random, 110);
    let levels = [Some(Level::BASELINE), Level::avx2(), Level::avx512()];
    let (mut refused, mut changed) = (0, 0);
    for _ in 0..20_000 {
        let mut record = wild_chain(&mut random);
        record.words[0] = Opcode::Chain as u32 | 3 << 8;
        let word = 1 + random.below(15);
        record.words[word] = match random.below(3) {
            0 => random.next() as u32,
            1 => record.words[word] ^ 1 << random.below(32),
            _ => operand(Space::Const, random.below(200)),
        };
        let records = [record; 2];
        let Ok(plan) = Plan::new_checked(&records, original.sizes()) else {
            assert!(PreparedPlan::new(&records, original.sizes()).is_err(), "{record:?}");
            refused += 1;
            continue;
        };
        let prepared = PreparedPlan::new(&records, original.sizes()).unwrap();
        for level in levels.into_iter().flatten() {
            let (mut one, mut other) = (original.clone(), original.clone());
            plan.run_on(level, false, &mut one.spaces()).unwrap();
            prepared.run_on(level, false, &mut other.spaces()).unwrap();
            assert!(one.same_bits(&other), "{record:?}");
            changed += usize::from(!one.same_bits(&original));
        }
    }
    assert!(refused > 1000, "{refused} refused");
    assert!(changed > 1000, "{changed} changed something");
    // Every function over a whole block, a half one and a rest.
    for function in (0..128).filter_map(ChainFunction::from_bits) {
        let mut record = Record { words: [0; 16] };
        record.words[0] = Opcode::Chain as u32 | 1 << 8;
        record.words[1] = u32::from(function.bits()) | 99 << 8;
        record.words[2] = operand(Space::Arena, 5);
        let operands = function.operands();
        for (at, space) in [Space::Input, Space::Const, Space::State]
            .into_iter()
            .take(operands)
            .enumerate()
        {
            record.words[3 + at] = operand(space, 2 + at);
        }
        for parameter in record.words[3 + operands..].iter_mut().take(function.parameters()) {
            *parameter = 0.5f32.to_bits();
        }
        let plan = Plan::new_checked(core::slice::from_ref(&record), original.sizes()).unwrap();
        let prepared = PreparedPlan::new(&[record], original.sizes()).unwrap();
        for level in levels.into_iter().flatten() {
            let (mut one, mut other) = (original.clone(), original.clone());
            plan.run_on(level, false, &mut one.spaces()).unwrap();
            prepared.run_on(level, false, &mut other.spaces()).unwrap();
            assert!(one.same_bits(&other), "{function:?} on {level:?}");
        }
    }
}

/// Whatever the checks accept, the naive executor runs without leaving a space (its indices would panic), and the kernels
/// give the same.
#[test]
fn accepted_records_stay_in_bounds() {
    let mut random = Random(11);
    let original = Memory::random(&mut random, 100);
    let mut accepted = [0; 12];
    let mut chains = Random(13);
    for round in 0..450_000 {
        let record = if round < 400_000 {
            wild_record(&mut random)
        } else {
            wild_chain(&mut chains)
        };
        let records = [record];
        let Ok(plan) = Plan::new_checked(&records, original.sizes()) else {
            continue;
        };
        accepted[record.words[0] as u8 as usize] += 1;
        let (mut expected, mut exact, mut fast) = (original.clone(), original.clone(), original.clone());
        support::run(&record, &mut expected);
        plan.run::<Exact>(&mut exact.spaces()).unwrap();
        plan.run::<Fast>(&mut fast.spaces()).unwrap();
        for ((expected, exact), fast) in expected
            .0
            .iter()
            .flatten()
            .zip(exact.0.iter().flatten())
            .zip(fast.0.iter().flatten())
        {
            // Polynomials and powers differ by rounding, which a later function may enlarge near its poles.
            let same = |a: f32, b: f32, tolerance: f32| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(1.0)
            };
            assert!(
                same(*expected, *exact, 1e-5) && same(*expected, *fast, 1e-4),
                "{record:?} {expected} {exact} {fast}"
            );
        }
    }
    println!("accepted by opcode: {accepted:?}");
    assert!(accepted[1..].iter().all(|&count| count > 500), "{accepted:?}");
}

/// Words with no sense at all are refused or run; nothing panics.
#[test]
fn random_words_never_panic() {
    let mut random = Random(12);
    let mut memory = Memory::random(&mut random, 50);
    for _ in 0..200_000 {
        let mut words = [0; 16].map(|_: u32| random.next() as u32);
        words[0] = random.below(13) as u32 | (random.below(20) as u32) << 8 | (random.below(4) as u32) << 16;
        for word in &mut words[1..] {
            match random.below(4) {
                0 => *word = 0,
                1 => *word &= 7,
                2 => *word &= 0x7000_000F,
                _ => {}
            }
        }
        let records = [Record { words }];
        if let Ok(plan) = Plan::new_checked(&records, memory.sizes()) {
            plan.run::<Exact>(&mut memory.spaces()).unwrap();
        }
    }
    let mut spaces = Spaces::default();
    assert_eq!(
        Plan::new_checked(&[], SpaceSizes::default())
            .unwrap()
            .run::<Exact>(&mut spaces),
        Ok(())
    );
}
