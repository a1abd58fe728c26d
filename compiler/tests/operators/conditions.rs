//! Comparisons, logic, selection and casts.

use crate::harness::{Check, b, f, i};
use pliant_compiler::graph::DType;

const TABLE: [f64; 4] = [0.0, 0.0, 1.0, 1.0];
const OTHER: [f64; 4] = [0.0, 1.0, 0.0, 1.0];

#[test]
fn greater() {
    Check::new(vec![f(&[3], &[1.0, 2.0, 3.0]), f(&[], &[2.0])], |g, x| {
        g.greater(x[0], x[1])
    })
    .gives(&[3], &[0.0, 0.0, 1.0]);
}

#[test]
fn less() {
    Check::new(vec![f(&[3], &[1.0, 2.0, f64::NAN]), f(&[], &[2.0])], |g, x| {
        g.less(x[0], x[1])
    })
    .gives(&[3], &[1.0, 0.0, 0.0]);
}

#[test]
fn equal() {
    Check::new(vec![i(&[3], &[1.0, 2.0, 3.0]), i(&[2, 1], &[2.0, 3.0])], |g, x| {
        g.equal(x[0], x[1])
    })
    .gives(&[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn and() {
    Check::new(vec![b(&[4], &TABLE), b(&[4], &OTHER)], |g, x| g.and(x[0], x[1])).gives(&[4], &[0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn or() {
    Check::new(vec![b(&[4], &TABLE), b(&[4], &OTHER)], |g, x| g.or(x[0], x[1])).gives(&[4], &[0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn not() {
    Check::new(vec![b(&[2], &[0.0, 1.0])], |g, x| g.not(x[0])).gives(&[2], &[1.0, 0.0]);
}

#[test]
fn where_() {
    let inputs = vec![b(&[2, 1], &[1.0, 0.0]), f(&[2], &[1.0, 2.0]), f(&[], &[7.0])];
    Check::new(inputs, |g, x| {
        let a = g.square(x[1])?;
        g.where_(x[0], a, x[2])
    })
    .gives(&[2, 2], &[1.0, 4.0, 7.0, 7.0])
    .gradients_to_order(2);
}

#[test]
fn where_on_a_compared_leaf() {
    Check::new(vec![f(&[4], &[-2.0, -0.5, 0.5, 2.0])], |g, x| {
        let zero = g.scalar(0.0);
        let positive = g.greater(x[0], zero)?;
        let (square, sine) = (g.square(x[0])?, g.sin(x[0])?);
        g.where_(positive, square, sine)
    })
    .gives(&[4], &[(-2f64).sin(), (-0.5f64).sin(), 0.25, 4.0])
    .gradients_to_order(3);
}

#[test]
fn cast() {
    Check::new(vec![f(&[4], &[-1.5, 0.0, 0.25, 2.5])], |g, x| g.cast(x[0], DType::I64))
        .gives(&[4], &[-1.0, 0.0, 0.0, 2.0]);
    Check::new(vec![f(&[4], &[-1.5, 0.0, 0.25, 2.5])], |g, x| g.cast(x[0], DType::Bool))
        .gives(&[4], &[1.0, 0.0, 1.0, 1.0]);
    Check::new(vec![b(&[2], &[1.0, 0.0])], |g, x| g.cast(x[0], DType::F32)).gives(&[2], &[1.0, 0.0]);
}
