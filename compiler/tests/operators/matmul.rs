//! Matrix products: plain, batched, broadcast either way.

use crate::harness::{Check, f, random};

#[test]
fn literal() {
    Check::new(
        vec![
            f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            f(&[2, 3], &[1.0, 0.0, -1.0, 2.0, 1.0, 0.0]),
        ],
        |g, x| g.matmul(x[0], x[1]),
    )
    .gives(&[2, 3], &[5.0, 2.0, -1.0, 11.0, 4.0, -3.0])
    .gradients_to_order(3);
}

#[test]
fn batched_and_broadcast() {
    let shapes: [(&[usize], &[usize], &[usize]); 7] = [
        (&[3, 2, 4], &[3, 4, 2], &[3, 2, 2]),
        (&[3, 2, 4], &[4, 2], &[3, 2, 2]),
        (&[2, 4], &[3, 4, 2], &[3, 2, 2]),
        (&[3, 2, 4], &[1, 4, 2], &[3, 2, 2]),
        (&[1, 2, 4], &[3, 4, 2], &[3, 2, 2]),
        (&[2, 1, 2, 3], &[3, 3, 1], &[2, 3, 2, 1]),
        (&[2, 3], &[1, 1, 3, 2], &[1, 1, 2, 2]),
    ];
    for (a, b, out) in shapes {
        let check = Check::new(vec![random(a, -1.0, 1.0, 1), random(b, -1.0, 1.0, 2)], |g, x| {
            let product = g.matmul(x[0], x[1])?;
            assert_eq!(g.shape(product), out);
            g.tanh(product)
        });
        check.gradients_to_order(2);
    }
}
