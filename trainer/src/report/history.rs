//! The learning curve of a run, thinned as it grows.

use serde::{Deserialize, Serialize};

/// Named measurements over iterations. However long the run, it keeps between half of and all of `limit` points, each the
/// mean over equally many iterations: when it is full, neighbours are merged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    names: Vec<String>,
    points: Vec<Point>,
    limit: usize,
    /// Iterations in a full point.
    stride: u64,
    sums: Vec<f64>,
    pending: u64,
}

/// One point of a learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The last iteration averaged.
    pub iteration: u64,
    /// The mean of each measurement since the point before, in the order of [`History::names`].
    pub values: Vec<f32>,
}

impl History {
    /// An empty history of the measurements `names`, at most `limit` points (an even number, at least 2).
    pub fn new(names: &[&str], limit: usize) -> Self {
        Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            points: Vec::new(),
            limit: limit.max(2).next_multiple_of(2),
            stride: 1,
            sums: vec![0.0; names.len()],
            pending: 0,
        }
    }

    /// What is measured.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The points so far, the oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Adds the measurements of one iteration, as many as there are names.
    pub fn record(&mut self, iteration: u64, values: &[f32]) {
        for (sum, &value) in self.sums.iter_mut().zip(values) {
            *sum += f64::from(value);
        }
        self.pending += 1;
        if self.pending < self.stride {
            return;
        }
        let values = self.sums.iter().map(|sum| (sum / self.pending as f64) as f32).collect();
        self.points.push(Point { iteration, values });
        self.sums.fill(0.0);
        self.pending = 0;
        if self.points.len() == self.limit {
            self.points = self
                .points
                .chunks_exact(2)
                .map(|pair| Point {
                    iteration: pair[1].iteration,
                    values: pair[0]
                        .values
                        .iter()
                        .zip(&pair[1].values)
                        .map(|(a, b)| 0.5 * (a + b))
                        .collect(),
                })
                .collect();
            self.stride *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_means_and_bounds_the_length() {
        let mut history = History::new(&["iteration"], 8);
        for iteration in 1..=1000u16 {
            history.record(u64::from(iteration), &[f32::from(iteration)]);
            assert!(history.points().len() < 8);
        }
        assert!(history.points().len() >= 4);
        let mut before = 0;
        for point in history.points() {
            // The mean of an arithmetic series is the mean of its ends.
            assert_eq!(point.values[0], (before + 1 + point.iteration) as f32 / 2.0);
            before = point.iteration;
        }
    }
}
