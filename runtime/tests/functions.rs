//! Errors of the elementwise functions against f64, and what they make of NaN, infinities, zeros and subnormals.

mod support;

use pliant_runtime::image::record::{Binary, Opcode, Space, Unary};
use pliant_runtime::plan::{AdaptedRef, Exact, Plan, SpaceSizes, Spaces};
use support::{Random, operand, record, unary, unary64};

fn apply(function: Unary, inputs: &[f32], parameters: [f32; 2]) -> Vec<f32> {
    let records = [unary(
        function,
        operand(Space::Output, 0),
        operand(Space::Input, 0),
        inputs.len(),
        parameters,
    )];
    let n = inputs.len() as u32;
    let plan = Plan::new_checked(
        &records,
        SpaceSizes::default().with(Space::Input, n).with(Space::Output, n),
    )
    .unwrap();
    let mut output = vec![0.0; inputs.len()];
    plan.run::<Exact>(&mut Spaces {
        input: inputs,
        output: &mut output,
        ..Spaces::default()
    })
    .unwrap();
    output
}

fn apply2(function: Binary, a: &[f32], b: &[f32]) -> Vec<f32> {
    let n = a.len() as u32;
    let words = [
        operand(Space::Output, 0),
        operand(Space::Input, 0),
        operand(Space::Const, 0),
        1,
        1,
        n,
        0,
        0,
        1,
        0,
        0,
        1,
    ];
    let records = [record(Opcode::Binary, function as u8, 0, &words)];
    let sizes = SpaceSizes::default()
        .with(Space::Input, n)
        .with(Space::Output, n)
        .with(Space::Const, n);
    let plan = Plan::new_checked(&records, sizes).unwrap();
    let mut output = vec![0.0; a.len()];
    let mut spaces = Spaces {
        input: a,
        constants: b,
        output: &mut output,
        adapted: AdaptedRef::default(),
        ..Spaces::default()
    };
    plan.run::<Exact>(&mut spaces).unwrap();
    output
}

/// Distance of two neighbouring `f32` at `x`.
fn ulp(x: f64) -> f64 {
    let exponent = (x.abs().max(f64::from(f32::MIN_POSITIVE))).log2().floor();
    (exponent - 23.0).exp2()
}

/// Greatest error in ulp and absolute over a million inputs in `[low, high]`.
fn error(function: Unary, low: f32, high: f32) -> (f64, f64) {
    let mut random = Random(9);
    let inputs: Vec<f32> = (0..1_000_000)
        .map(|_| low + (high - low) * (0.5 * random.value() + 0.5))
        .collect();
    let outputs = apply(function, &inputs, [0.0; 2]);
    let (mut worst, mut absolute) = (0.0f64, 0.0f64);
    for (&x, &y) in inputs.iter().zip(&outputs) {
        let exact = unary64(function, f64::from(x), 0.0, 0.0);
        let difference = (f64::from(y) - exact).abs();
        worst = worst.max(difference / ulp(exact));
        absolute = absolute.max(difference);
    }
    println!("{function:?} [{low}, {high}]: {worst:.2} ulp, {absolute:.2e}");
    (worst, absolute)
}

#[test]
fn errors_are_as_documented() {
    assert!(error(Unary::Exp, -87.0, 88.7).0 < 1.0);
    assert!(error(Unary::Exp, -1.0, 1.0).0 < 1.0);
    assert!(error(Unary::Exp, -104.0, -87.0).0 < 1.0);
    assert!(error(Unary::Log, 1e-30, 1e30).0 < 1.0);
    assert!(error(Unary::Log, 0.5, 2.0).0 < 1.0);
    assert!(error(Unary::Log, 1e-45, 1e-38).0 < 1.0);
    for (low, high) in [(-4.0, 4.0), (-100.0, 100.0), (-12_800.0, 12_800.0)] {
        assert!(error(Unary::Sin, low, high).1 < 1.2e-7);
        assert!(error(Unary::Cos, low, high).1 < 1.2e-7);
    }
    for (low, high) in [(-1e-3, 1e-3), (-1.0, 1.0), (-20.0, 20.0)] {
        assert!(error(Unary::Tanh, low, high).1 < 4.5e-7);
        assert!(error(Unary::Sigmoid, low, high).1 < 3e-7);
    }
    // Small results are as precise as large ones.
    assert!(error(Unary::Tanh, -0.3, 0.3).0 < 7.0);
    assert!(error(Unary::Softplus, -30.0, 1.0).1 < 2e-7);
    assert!(error(Unary::Softplus, 1.0, 80.0).0 < 2.0);
    assert!(error(Unary::Sqrt, 0.0, 1e30).0 <= 0.5);
}

#[test]
fn tanh_and_sigmoid_stay_in_range_and_rise() {
    let inputs: Vec<f32> = (-100_000..=100_000).map(|i| i as f32 * 1e-4).collect();
    for (function, low) in [(Unary::Tanh, -1.0), (Unary::Sigmoid, 0.0)] {
        let outputs = apply(function, &inputs, [0.0; 2]);
        assert!(outputs.iter().all(|&y| (low..=1.0).contains(&y)));
        assert!(outputs.windows(2).all(|pair| pair[1] - pair[0] > -6e-7));
    }
    assert_eq!(
        apply(Unary::Tanh, &[f32::INFINITY, f32::NEG_INFINITY, 100.0], [0.0; 2])[0],
        apply(Unary::Tanh, &[8.0], [0.0; 2])[0]
    );
}

#[test]
fn power_is_as_documented() {
    let mut random = Random(10);
    let a: Vec<f32> = (0..500_000).map(|_| (random.value() * 20.0).exp2()).collect();
    let b: Vec<f32> = (0..500_000).map(|_| random.value() * 4.0).collect();
    let mut worst = 0.0f64;
    for ((&a, &b), &y) in a.iter().zip(&b).zip(&apply2(Binary::Pow, &a, &b)) {
        let exact = f64::from(a).powf(f64::from(b));
        worst = worst.max((f64::from(y) - exact).abs() / ulp(exact));
    }
    println!("Pow: {worst:.2} ulp");
    assert!(worst < 2.0);

    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        0.5,
        -0.5,
        3.0,
        -3.0,
        1e30,
        -1e30,
        1e-30,
        16_777_215.0,
        16_777_216.0,
        8_388_609.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE / 8.0,
        2.5,
    ];
    for &a in &special {
        for &b in &special {
            let y = apply2(Binary::Pow, &[a], &[b])[0];
            let exact = a.powf(b);
            let close = y == exact || (y.is_nan() && exact.is_nan()) || (y - exact).abs() <= 3e-7 * exact.abs();
            assert!(
                close && (y.is_nan() || y.is_sign_negative() == exact.is_sign_negative()),
                "{a}^{b} = {y}, not {exact}"
            );
        }
    }
    for (a, b) in [(f32::NAN, 0.0), (1.0, f32::NAN), (f32::NAN, f32::NAN)] {
        assert!(apply2(Binary::Pow, &[a], &[b])[0].is_nan());
    }
}

#[test]
fn nan_in_nan_out() {
    for &function in Unary::ALL {
        let parameters = if matches!(function, Unary::Clip | Unary::Affine) {
            [-1.0, 1.0]
        } else {
            [0.0; 2]
        };
        assert!(apply(function, &[f32::NAN], parameters)[0].is_nan(), "{function:?}");
        // In a whole vector as well as in the rest of one.
        let outputs = apply(function, &[f32::NAN; 37], parameters);
        assert!(outputs.iter().all(|y| y.is_nan()), "{function:?}");
    }
    use Binary::{Add, Div, Max, Min, Mul, Pow, ReluGradient, SigmoidGradient, Sub, TanhGradient};
    for function in [Add, Sub, Mul, Div, Pow, Min, Max, TanhGradient, SigmoidGradient] {
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            assert!(apply2(function, &[a], &[b])[0].is_nan(), "{function:?} {a} {b}");
        }
    }
    assert!(apply2(ReluGradient, &[1.0], &[f32::NAN])[0].is_nan());
    for function in [Binary::Greater, Binary::Less, Binary::Equal] {
        assert_eq!(apply2(function, &[f32::NAN, 1.0], &[1.0, f32::NAN]), [0.0, 0.0]);
    }
    // As a truth value NaN is true: it is not zero.
    assert_eq!(apply2(Binary::And, &[f32::NAN], &[1.0]), [1.0]);
}

#[test]
fn edges() {
    let infinity = f32::INFINITY;
    let one = |function, x| apply(function, &[x], [0.0; 2])[0];
    assert_eq!(one(Unary::Exp, 0.0), 1.0);
    assert_eq!(one(Unary::Exp, infinity), infinity);
    assert_eq!(one(Unary::Exp, 89.0), infinity);
    assert_eq!(one(Unary::Exp, -infinity), 0.0);
    assert_eq!(one(Unary::Exp, -200.0), 0.0);
    assert_eq!(one(Unary::Log, 1.0), 0.0);
    assert_eq!(one(Unary::Log, 0.0), -infinity);
    assert_eq!(one(Unary::Log, -0.0), -infinity);
    assert_eq!(one(Unary::Log, infinity), infinity);
    assert!(one(Unary::Log, -1.0).is_nan());
    assert!(one(Unary::Log, -infinity).is_nan());
    assert!((one(Unary::Log, f32::from_bits(1)) + 103.278_93).abs() < 1e-5);
    assert!(one(Unary::Sin, infinity).is_nan() && one(Unary::Cos, -infinity).is_nan());
    for x in [1e6, -1e9, 3e20, f32::MAX] {
        assert!(
            one(Unary::Sin, x).abs() <= 1.0 && one(Unary::Cos, x).abs() <= 1.0,
            "{x}"
        );
    }
    assert_eq!(one(Unary::Relu, -0.0).to_bits(), 0);
    assert_eq!(one(Unary::Sign, -0.0), 0.0);
    assert_eq!(one(Unary::Softplus, infinity), infinity);
    assert_eq!(one(Unary::Softplus, -infinity), 0.0);
    assert_eq!(apply(Unary::Clip, &[-2.0, 0.5, 2.0], [-1.0, 1.0]), [-1.0, 0.5, 1.0]);
}
