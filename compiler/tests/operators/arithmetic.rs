//! Functions of two values, with broadcasting.

use crate::harness::{Check, f, i, random};

#[test]
fn add() {
    Check::new(
        vec![f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2], &[10.0, 20.0])],
        |g, x| g.add(x[0], x[1]),
    )
    .gives(&[2, 2], &[11.0, 22.0, 13.0, 24.0])
    .gradients_to_order(2);
}

#[test]
fn add_integers() {
    Check::new(vec![i(&[2], &[1.0, 2.0]), i(&[], &[3.0])], |g, x| g.add(x[0], x[1])).gives(&[2], &[4.0, 5.0]);
}

#[test]
fn sub() {
    Check::new(vec![f(&[2], &[10.0, 20.0]), f(&[2, 1], &[1.0, 2.0])], |g, x| {
        g.sub(x[0], x[1])
    })
    .gives(&[2, 2], &[9.0, 19.0, 8.0, 18.0])
    .gradients_to_order(2);
}

#[test]
fn mul() {
    Check::new(
        vec![f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2, 1], &[2.0, -3.0])],
        |g, x| g.mul(x[0], x[1]),
    )
    .gives(&[2, 2], &[2.0, 4.0, -9.0, -12.0])
    .gradients_to_order(2);
}

#[test]
fn mul_three_axes_by_a_scalar() {
    Check::new(vec![random(&[2, 3, 2], -1.0, 1.0, 1), f(&[], &[0.7])], |g, x| {
        g.mul(x[0], x[1])
    })
    .gradients_to_order(2);
}

#[test]
fn div() {
    Check::new(
        vec![f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2], &[2.0, -4.0])],
        |g, x| g.div(x[0], x[1]),
    )
    .gives(&[2, 2], &[0.5, -0.5, 1.5, -1.0])
    .gradients_to_order(3);
}

#[test]
fn div_stretches_both() {
    Check::new(vec![f(&[3, 1], &[1.0, 2.0, 3.0]), f(&[1, 2], &[2.0, -1.5])], |g, x| {
        g.div(x[0], x[1])
    })
    .gradients_to_order(2);
}

#[test]
fn pow() {
    Check::new(vec![f(&[2, 2], &[2.0, 3.0, 0.5, 1.5]), f(&[2], &[3.0, 0.5])], |g, x| {
        g.pow(x[0], x[1])
    })
    .gives(&[2, 2], &[8.0, 3f64.sqrt(), 0.125, 1.5f64.sqrt()])
    .gradients_to_order(3);
}

#[test]
fn pow_by_a_constant() {
    for exponent in [-1.0, 0.0, 1.0, 2.0, 3.0] {
        Check::new(vec![f(&[3], &[2.0, -1.5, 0.5])], |g, x| {
            let exponent = g.scalar(exponent);
            g.pow(x[0], exponent)
        })
        .gives(&[3], &[2.0, -1.5, 0.5].map(|x: f64| x.powf(exponent.into())))
        .gradients_to_order(2);
    }
}

#[test]
fn min() {
    Check::new(vec![f(&[2, 2], &[1.0, 5.0, 3.0, 0.0]), f(&[2], &[2.0, 4.0])], |g, x| {
        g.min(x[0], x[1])
    })
    .gives(&[2, 2], &[1.0, 4.0, 2.0, 0.0])
    .gradients_to_order(2);
}

#[test]
fn max() {
    Check::new(
        vec![f(&[2, 2], &[1.0, 5.0, 3.0, f64::NAN]), f(&[2], &[2.0, 4.0])],
        |g, x| g.max(x[0], x[1]),
    )
    .gives(&[2, 2], &[2.0, 5.0, 3.0, f64::NAN]);
    Check::new(vec![f(&[2, 2], &[1.0, 5.0, 3.0, 0.0]), f(&[2], &[2.0, 4.0])], |g, x| {
        let max = g.max(x[0], x[1])?;
        g.square(max)
    })
    .gives(&[2, 2], &[4.0, 25.0, 9.0, 16.0])
    .gradients_to_order(2);
}
