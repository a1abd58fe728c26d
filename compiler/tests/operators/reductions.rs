//! Sums, means, largest elements and softmax.

use crate::harness::{Check, f, random};

const SIX: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0];

#[test]
fn reduce_sum() {
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| g.reduce_sum(x[0], &[1], false)).gives(&[2], &[6.0, 16.0]);
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| g.reduce_sum(x[0], &[0], true)).gives(&[1, 3], &[5.0, 7.0, 10.0]);
    Check::new(vec![random(&[2, 3, 2], -1.0, 1.0, 1)], |g, x| {
        let sine = g.sin(x[0])?;
        let sum = g.reduce_sum(sine, &[2, 0], false)?;
        g.square(sum)
    })
    .gradients_to_order(3);
}

#[test]
fn reduce_mean() {
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| g.mean_all(x[0])).gives(&[], &[22.0 / 6.0]);
    Check::new(vec![random(&[2, 3, 2], -1.0, 1.0, 2)], |g, x| {
        let mean = g.reduce_mean(x[0], &[1], true)?;
        let centred = g.sub(x[0], mean)?;
        let square = g.square(centred)?;
        g.reduce_mean(square, &[0, 1], false)
    })
    .gradients_to_order(2);
}

#[test]
fn reduce_max() {
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| {
        let max = g.reduce_max(x[0], &[1], false)?;
        g.square(max)
    })
    .gives(&[2], &[9.0, 49.0])
    .gradients_to_order(2);
    Check::new(vec![f(&[3, 2], &SIX)], |g, x| g.reduce_max(x[0], &[0], true))
        .gives(&[1, 2], &[5.0, 7.0])
        .gradients_to_order(2);
}

#[test]
fn softmax() {
    let third = 1.0 / 3.0;
    Check::new(vec![f(&[1, 3], &[1000.0, 1000.0, 1000.0])], |g, x| g.softmax(x[0], 1)).gives(&[1, 3], &[third; 3]);
    Check::new(vec![random(&[2, 3, 2], -1.0, 1.0, 3)], |g, x| g.softmax(x[0], 1)).gradients_to_order(3);
}

#[test]
fn log_softmax() {
    let log = -(3f64.ln());
    Check::new(vec![f(&[1, 3], &[-1000.0, -1000.0, -1000.0])], |g, x| {
        g.log_softmax(x[0], 1)
    })
    .gives(&[1, 3], &[log; 3]);
    Check::new(vec![random(&[3, 2], -1.0, 1.0, 4)], |g, x| g.log_softmax(x[0], 0)).gradients_to_order(3);
}
