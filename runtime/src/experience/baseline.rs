//! The linear feature baseline: ridge regression of discounted returns on `[s, s^2, t, t^2, t^3, 1]`.

use crate::kernels::functions;

/// Features of an observation with `observation` channels: `s`, `s^2`, `t`, `t^2`, `t^3`, `1`.
pub const fn baseline_width(observation: usize) -> usize {
    2 * observation + 4
}

/// Values of scratch memory that a [`Baseline`] needs: the lower triangle of the Gram matrix and three vectors.
pub const fn baseline_scratch(observation: usize) -> usize {
    let width = baseline_width(observation);
    triangle(width) + 3 * width
}

/// Elements before row `row` of a packed lower triangle.
const fn triangle(row: usize) -> usize {
    row * (row + 1) / 2
}

/// Writes `[s, s^2, t, t^2, t^3, 1]` with `t = step / 100` into `features[baseline_width]` (Duan et al. 2016, and the
/// reference code of Finn et al. 2017). Observations are the normalised ones, bounded by the contract's clip.
pub fn baseline_features(observation: &[f32], step: u32, features: &mut [f32]) {
    let t = step as f32 / 100.0;
    let tail = [t, t * t, t * t * t, 1.0];
    let squares = observation.iter().map(|s| s * s);
    let values = observation.iter().copied().chain(squares).chain(tail);
    features
        .iter_mut()
        .zip(values)
        .for_each(|(feature, value)| *feature = value);
}

/// A ridge fit folded row by row, in the caller's scratch memory: Gram matrix, then Cholesky factors in place.
///
/// Single precision suffices because each feature's ridge is a share of its own squared sum, which bounds the condition
/// number, and because a feature whose pivot is lost in rounding (a constant channel beside the constant feature) is
/// left out rather than divided by. It cannot fail; with finite rows the weights are finite.
#[derive(Debug)]
pub struct Baseline<'m> {
    width: usize,
    /// Lower triangle, row by row.
    gram: &'m mut [f32],
    /// Products of features and targets; after solving the weights.
    weights: &'m mut [f32],
    /// Least pivot of each feature that counts as one.
    least_pivot: &'m mut [f32],
    /// Features of the row at hand.
    features: &'m mut [f32],
}

impl<'m> Baseline<'m> {
    /// A baseline on `observation` channels in `scratch[..`[`baseline_scratch`]`]`; `None` when that is too short. What
    /// the scratch held is kept: [`clear`](Self::clear) starts a new fit.
    pub fn new(observation: usize, scratch: &'m mut [f32]) -> Option<Self> {
        let width = baseline_width(observation);
        let (gram, rest) = scratch.split_at_mut_checked(triangle(width))?;
        let (weights, rest) = rest.split_at_mut_checked(width)?;
        let (least_pivot, rest) = rest.split_at_mut_checked(width)?;
        let features = rest.get_mut(..width)?;
        Some(Self {
            width,
            gram,
            weights,
            least_pivot,
            features,
        })
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Forgets every row.
    pub fn clear(&mut self) {
        self.gram.fill(0.0);
        self.weights.fill(0.0);
    }

    /// Adds a row: the normalised observation, its time step in the episode, and the return to fit.
    pub fn add(&mut self, observation: &[f32], step: u32, target: f32) {
        baseline_features(observation, step, self.features);
        let mut rest = &mut *self.gram;
        for (count, (feature, product)) in (1..).zip(self.features.iter().zip(self.weights.iter_mut())) {
            let Some((row, after)) = rest.split_at_mut_checked(count) else {
                return;
            };
            row.iter_mut()
                .zip(self.features.iter())
                .for_each(|(sum, other)| *sum += feature * other);
            *product += feature * target;
            rest = after;
        }
    }

    /// Adds the ridge. Then [`factor`](Self::factor) each column in turn.
    pub fn prepare(&mut self, ridge: f32) {
        for index in 0..self.width {
            let diagonal = triangle(index) + index;
            if let (Some(diagonal), Some(least)) = (self.gram.get_mut(diagonal), self.least_pivot.get_mut(index)) {
                let added = ridge * *diagonal;
                *diagonal += added;
                // Without rounding every pivot is at least what the ridge added.
                *least = 0.1 * added;
            }
        }
    }

    /// Cholesky factor of one column, from those before it: at most `width^2 / 4` multiplications.
    pub fn factor(&mut self, column: usize) {
        let Some((head, tail)) = self.gram.split_at_mut_checked(triangle(column + 1)) else {
            return;
        };
        let Some((pivot, before)) = head.get_mut(triangle(column)..).and_then(|row| row.split_last_mut()) else {
            return;
        };
        let squared = before.iter().fold(*pivot, |left, factor| left - factor * factor);
        let least = self.least_pivot.get(column).copied().unwrap_or(0.0);
        // 0 stands for a feature that is left out. A NaN pivot is left out too.
        *pivot = if squared > least { functions::sqrt(squared) } else { 0.0 };
        let reciprocal = if *pivot > 0.0 { 1.0 / *pivot } else { 0.0 };
        let mut rest = tail;
        for count in column + 2..=self.width {
            let Some((row, after)) = rest.split_at_mut_checked(count) else {
                return;
            };
            if let Some((own, rest_of_row)) = row.split_at_mut_checked(column)
                && let Some(entry) = rest_of_row.first_mut()
            {
                let left = own.iter().zip(before.iter()).fold(*entry, |left, (a, b)| left - a * b);
                *entry = left * reciprocal;
            }
            rest = after;
        }
    }

    /// Forward and back substitution once every column is factored: `width^2` multiplications. Then
    /// [`predict`](Self::predict) works.
    pub fn finish(&mut self) {
        for row in 0..self.width {
            self.substitute(row, |gram, weights| {
                let row = gram.get(triangle(row)..triangle(row + 1))?;
                let (pivot, before) = row.split_last()?;
                let sum = before
                    .iter()
                    .zip(weights)
                    .fold(0.0, |sum, (factor, weight)| sum + factor * weight);
                Some((sum, *pivot))
            });
        }
        for row in (0..self.width).rev() {
            self.substitute(row, |gram, weights| {
                let pivot = *gram.get(triangle(row) + row)?;
                let mut sum = 0.0;
                for (below, weight) in weights.iter().enumerate().skip(row + 1) {
                    sum += gram.get(triangle(below) + row)? * weight;
                }
                Some((sum, pivot))
            });
        }
    }

    /// `weights[row] = (weights[row] - sum) / pivot`, or 0 for a feature that is left out.
    fn substitute(&mut self, row: usize, parts: impl Fn(&[f32], &[f32]) -> Option<(f32, f32)>) {
        let Some((sum, pivot)) = parts(self.gram, self.weights) else {
            return;
        };
        if let Some(weight) = self.weights.get_mut(row) {
            *weight = if pivot > 0.0 { (*weight - sum) / pivot } else { 0.0 };
        }
    }

    /// [`prepare`](Self::prepare), every [`factor`](Self::factor), [`finish`](Self::finish).
    pub fn solve(&mut self, ridge: f32) {
        self.prepare(ridge);
        for column in 0..self.width {
            self.factor(column);
        }
        self.finish();
    }

    /// The value of a state: features times weights, in index order.
    pub fn predict(&mut self, observation: &[f32], step: u32) -> f32 {
        baseline_features(observation, step, self.features);
        self.features
            .iter()
            .zip(self.weights.iter())
            .fold(0.0, |sum, (feature, weight)| sum + feature * weight)
    }
}
