//! Functions of one value.

use crate::harness::{Check, f};
use core::f64::consts::{E, FRAC_PI_2, LN_2};

#[test]
fn neg() {
    Check::new(vec![f(&[3], &[1.0, -2.0, 0.5])], |g, x| g.neg(x[0]))
        .gives(&[3], &[-1.0, 2.0, -0.5])
        .gradients_to_order(2);
}

#[test]
fn abs() {
    Check::new(vec![f(&[3], &[1.0, -2.0, 0.5])], |g, x| g.abs(x[0]))
        .gives(&[3], &[1.0, 2.0, 0.5])
        .gradients_to_order(2);
}

#[test]
fn sign() {
    Check::new(vec![f(&[4], &[1.5, -2.0, 0.0, f64::NAN])], |g, x| g.sign(x[0]))
        .gives(&[4], &[1.0, -1.0, 0.0, f64::NAN]);
}

#[test]
fn sqrt() {
    Check::new(vec![f(&[3], &[4.0, 0.25, 1.0])], |g, x| g.sqrt(x[0]))
        .gives(&[3], &[2.0, 0.5, 1.0])
        .gradients_to_order(2);
}

#[test]
fn exp() {
    Check::new(vec![f(&[3], &[0.0, 1.0, -1.0])], |g, x| g.exp(x[0]))
        .gives(&[3], &[1.0, E, 1.0 / E])
        .gradients_to_order(3);
}

#[test]
fn log() {
    Check::new(vec![f(&[3], &[1.0, E, 2.0])], |g, x| g.log(x[0]))
        .gives(&[3], &[0.0, 1.0, LN_2])
        .gradients_to_order(2);
}

#[test]
fn sin() {
    Check::new(vec![f(&[3], &[0.0, FRAC_PI_2, 0.3])], |g, x| g.sin(x[0]))
        .gives(&[3], &[0.0, 1.0, 0.3f64.sin()])
        .gradients_to_order(3);
}

#[test]
fn cos() {
    Check::new(vec![f(&[3], &[0.0, 1.0, -0.3])], |g, x| g.cos(x[0]))
        .gives(&[3], &[1.0, 1f64.cos(), 0.3f64.cos()])
        .gradients_to_order(3);
}

#[test]
fn tanh() {
    Check::new(vec![f(&[3], &[0.0, 0.5, -2.0])], |g, x| g.tanh(x[0]))
        .gives(&[3], &[0.0, 0.462_117_157_260_009_76, -0.964_027_580_075_816_9])
        .gradients_to_order(3);
}

#[test]
fn sigmoid() {
    Check::new(vec![f(&[3], &[0.0, 2.0, -2.0])], |g, x| g.sigmoid(x[0]))
        .gives(&[3], &[0.5, 0.880_797_077_977_882_4, 0.119_202_922_022_117_56])
        .gradients_to_order(3);
}

#[test]
fn relu() {
    Check::new(vec![f(&[3], &[-1.0, 0.5, 2.0])], |g, x| g.relu(x[0]))
        .gives(&[3], &[0.0, 0.5, 2.0])
        .gradients_to_order(2);
}

#[test]
fn softplus() {
    Check::new(vec![f(&[3], &[0.0, 1.0, -700.0])], |g, x| g.softplus(x[0]))
        .gives(&[3], &[LN_2, (1.0 + E).ln(), (-700f64).exp()])
        .gradients_to_order(2);
}

#[test]
fn clip() {
    Check::new(vec![f(&[4], &[-3.0, -0.5, 0.5, 3.0])], |g, x| g.clip(x[0], -1.0, 2.0))
        .gives(&[4], &[-1.0, -0.5, 0.5, 2.0])
        .gradients_to_order(2);
}

#[test]
fn clip_inside_a_product() {
    Check::new(vec![f(&[4], &[-3.0, -0.5, 0.5, 3.0])], |g, x| {
        let clipped = g.clip(x[0], -1.0, 2.0)?;
        let square = g.square(x[0])?;
        g.mul(clipped, square)
    })
    .gives(&[4], &[-9.0, -0.125, 0.125, 18.0])
    .gradients_to_order(2);
}

#[test]
fn identity() {
    Check::new(vec![f(&[2], &[-1.0, 2.0])], |g, x| {
        let same = g.identity(x[0])?;
        g.square(same)
    })
    .gives(&[2], &[1.0, 4.0])
    .gradients_to_order(2);
}

#[test]
fn stop_gradient() {
    Check::new(vec![f(&[2], &[-1.0, 2.0])], |g, x| {
        let stopped = g.stop_gradient(x[0])?;
        g.mul(stopped, x[0])
    })
    .gives(&[2], &[1.0, 4.0])
    .gradient_is(&[&[-1.0, 2.0]]);
}
