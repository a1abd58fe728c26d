//! What is passed where a derivative does not exist.

use crate::harness::{Check, f};

#[test]
fn relu_is_flat_at_zero() {
    Check::new(vec![f(&[1], &[0.0])], |g, x| g.relu(x[0])).gradient_is(&[&[0.0]]);
}

#[test]
fn abs_is_flat_at_zero() {
    Check::new(vec![f(&[1], &[0.0])], |g, x| g.abs(x[0])).gradient_is(&[&[0.0]]);
}

#[test]
fn clip_passes_at_its_bounds_and_not_outside() {
    Check::new(vec![f(&[4], &[-1.0, 2.0, -1.5, 2.5])], |g, x| g.clip(x[0], -1.0, 2.0))
        .gradient_is(&[&[1.0, 1.0, 0.0, 0.0]]);
}

#[test]
fn ties_go_to_the_first_operand() {
    Check::new(vec![f(&[1], &[3.0]), f(&[1], &[3.0])], |g, x| g.max(x[0], x[1])).gradient_is(&[&[1.0], &[0.0]]);
    Check::new(vec![f(&[1], &[3.0]), f(&[1], &[3.0])], |g, x| g.min(x[0], x[1])).gradient_is(&[&[1.0], &[0.0]]);
}

#[test]
fn reduce_max_shares_ties() {
    Check::new(vec![f(&[4], &[3.0, 1.0, 3.0, 2.0])], |g, x| {
        g.reduce_max(x[0], &[0], false)
    })
    .gradient_is(&[&[0.5, 0.0, 0.5, 0.0]]);
}

#[test]
fn powers_at_zero() {
    // 0^0 = 1 is flat in its base; 0^2 has slope 0 both ways.
    Check::new(vec![f(&[2], &[0.0, 0.0]), f(&[2], &[0.0, 2.0])], |g, x| {
        g.pow(x[0], x[1])
    })
    .gives(&[2], &[1.0, 0.0])
    .gradient_is(&[&[0.0, 0.0], &[0.0, 0.0]]);
}
