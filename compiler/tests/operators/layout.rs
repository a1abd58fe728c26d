//! Operators that move elements. A sine before them makes the higher orders tell something.

use crate::harness::{Check, f, i, random};

const SIX: [f64; 6] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];

#[test]
fn transpose() {
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| g.transpose(x[0], &[1, 0]))
        .gives(&[3, 2], &[0.1, 0.4, 0.2, 0.5, 0.3, 0.6]);
    Check::new(vec![random(&[2, 3, 2, 1], -1.0, 1.0, 3)], |g, x| {
        let sine = g.sin(x[0])?;
        g.transpose(sine, &[2, 0, 3, 1])
    })
    .gradients_to_order(2);
}

#[test]
fn reshape() {
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| {
        let cube = g.mul(x[0], x[0])?;
        let flat = g.reshape(cube, &[6])?;
        g.reshape(flat, &[3, 2])
    })
    .gives(&[3, 2], &SIX.map(|x| x * x))
    .gradients_to_order(2);
}

#[test]
fn expand() {
    Check::new(vec![f(&[2, 1], &[0.5, -0.5])], |g, x| {
        let sine = g.sin(x[0])?;
        g.expand(sine, &[2, 2, 3])
    })
    .gives(
        &[2, 2, 3],
        &[0.5, 0.5, 0.5, -0.5, -0.5, -0.5, 0.5, 0.5, 0.5, -0.5, -0.5, -0.5].map(f64::sin),
    )
    .gradients_to_order(2);
}

#[test]
fn squeeze_and_unsqueeze() {
    Check::new(vec![f(&[2, 1, 3, 1], &SIX)], |g, x| {
        let sine = g.sin(x[0])?;
        g.squeeze(sine, &[3, 1])
    })
    .gives(&[2, 3], &SIX.map(f64::sin))
    .gradients_to_order(2);
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| {
        let sine = g.sin(x[0])?;
        g.unsqueeze(sine, &[0, 3])
    })
    .gives(&[1, 2, 3, 1], &SIX.map(f64::sin))
    .gradients_to_order(2);
}

#[test]
fn concat() {
    Check::new(
        vec![
            f(&[2, 1], &[0.1, 0.2]),
            f(&[2, 2], &[0.3, 0.4, 0.5, 0.6]),
            f(&[2, 1], &[0.7, 0.8]),
        ],
        |g, x| {
            let joined = g.concat(x, 1)?;
            g.sin(joined)
        },
    )
    .gives(&[2, 4], &[0.1, 0.3, 0.4, 0.7, 0.2, 0.5, 0.6, 0.8].map(f64::sin))
    .gradients_to_order(2);
}

#[test]
fn slice() {
    Check::new(vec![f(&[2, 3], &SIX)], |g, x| {
        let sine = g.sin(x[0])?;
        g.slice(sine, 1, 1, 3)
    })
    .gives(&[2, 2], &[0.2, 0.3, 0.5, 0.6].map(f64::sin))
    .gradients_to_order(2);
}

#[test]
fn slices_that_tile_overlap_and_leave_gaps() {
    Check::new(vec![random(&[2, 7], -1.0, 1.0, 5)], |g, x| {
        let ranges = [(1, 0, 3), (1, 3, 5), (1, 6, 7), (1, 2, 4), (0, 1, 2), (1, 2, 4)];
        let mut total = g.scalar(0.0);
        for (n, (axis, start, end)) in ranges.into_iter().enumerate() {
            let part = g.slice(x[0], axis, start, end)?;
            let scaled = g.scale(part, 1.0 + n as f32)?;
            let sine = g.sin(scaled)?;
            let sum = g.sum_all(sine)?;
            total = g.add(total, sum)?;
        }
        g.square(total)
    })
    .gradients_to_order(2);
}

#[test]
fn gather() {
    Check::new(vec![f(&[3, 2], &SIX), i(&[4], &[2.0, 0.0, 2.0, 1.0])], |g, x| {
        let sine = g.sin(x[0])?;
        g.gather(sine, x[1], 0)
    })
    .gives(&[4, 2], &[0.5, 0.6, 0.1, 0.2, 0.5, 0.6, 0.3, 0.4].map(f64::sin))
    .gradients_to_order(2);
}

#[test]
fn gather_in_the_middle_by_a_matrix() {
    Check::new(
        vec![random(&[2, 3, 2], -1.0, 1.0, 7), i(&[2, 2], &[2.0, 0.0, 2.0, 1.0])],
        |g, x| {
            let picked = g.gather(x[0], x[1], 1)?;
            g.sin(picked)
        },
    )
    .gradients_to_order(2);
    Check::new(vec![random(&[2, 3], -1.0, 1.0, 8), i(&[], &[1.0])], |g, x| {
        let picked = g.gather(x[0], x[1], 1)?;
        g.sin(picked)
    })
    .gradients_to_order(2);
}

#[test]
fn scatter_add() {
    let inputs = vec![
        f(&[3], &[1.0, 2.0, 3.0]),
        i(&[4], &[2.0, 0.0, 2.0, 1.0]),
        f(&[4], &[0.1, 0.2, 0.3, 0.4]),
    ];
    Check::new(inputs, |g, x| {
        let added = g.scatter_add(x[0], x[1], x[2], 0)?;
        g.square(added)
    })
    .gives(&[3], &[1.2 * 1.2, 2.4 * 2.4, 3.4 * 3.4])
    .gradients_to_order(2);
    let inputs = vec![
        random(&[2, 3, 2], -1.0, 1.0, 9),
        i(&[2], &[2.0, 2.0]),
        random(&[2, 2, 2], -1.0, 1.0, 10),
    ];
    Check::new(inputs, |g, x| {
        let added = g.scatter_add(x[0], x[1], x[2], 1)?;
        g.sin(added)
    })
    .gradients_to_order(2);
}
