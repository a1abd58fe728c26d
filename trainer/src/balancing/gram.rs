//! Scalar products of the tasks' gradients.

/// `M_ij = g_i . g_j`, symmetric.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    tasks: usize,
    values: Vec<f64>,
}

impl Gram {
    /// From a row-major matrix of as many rows as columns, made symmetric.
    ///
    /// # Panics
    /// When `values` is not square.
    pub fn new(tasks: usize, values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        assert_eq!(values.len(), tasks * tasks, "one product for each pair of tasks");
        let mean = |index: usize| {
            let (row, column) = (index / tasks, index % tasks);
            0.5 * (values[index] + values[column * tasks + row])
        };
        Self {
            tasks,
            values: (0..values.len()).map(mean).collect(),
        }
    }

    /// Of these gradients, one a task.
    ///
    /// ```
    /// use pliant_trainer::balancing::Gram;
    /// let gram = Gram::of(&[vec![1.0, 0.0], vec![-1.0, 2.0]]);
    /// assert_eq!([gram.at(0, 0), gram.at(0, 1), gram.at(1, 1)], [1.0, -1.0, 5.0]);
    /// assert_eq!(gram.conflict_rate(), 1.0);
    /// ```
    pub fn of(gradients: &[Vec<f64>]) -> Self {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let row = |a: &Vec<f64>| gradients.iter().map(|b| product(a, b)).collect::<Vec<f64>>();
        Self::new(gradients.len(), gradients.iter().flat_map(row))
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// `g_row . g_column`
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.tasks + column]
    }

    /// `g_task . sum_i c_i g_i`
    pub fn row_times(&self, task: usize, coefficients: &[f64]) -> f64 {
        let row = &self.values[task * self.tasks..][..self.tasks];
        row.iter().zip(coefficients).map(|(product, c)| product * c).sum()
    }

    /// The products among some of the tasks.
    pub fn among(&self, tasks: &[usize]) -> Self {
        let row = |&a: &usize| tasks.iter().map(move |&b| self.at(a, b));
        Self {
            tasks: tasks.len(),
            values: tasks.iter().flat_map(row).collect(),
        }
    }

    /// Share of the pairs of tasks whose gradients have a negative cosine; tasks with a zero gradient are left out. NaN
    /// where there is no pair.
    pub fn conflict_rate(&self) -> f64 {
        let there: Vec<usize> = (0..self.tasks).filter(|&task| self.at(task, task) > 0.0).collect();
        let pairs = there.len() * there.len().saturating_sub(1) / 2;
        let conflicts =
            |(index, &a): (usize, &usize)| there[index + 1..].iter().filter(|&&b| self.at(a, b) < 0.0).count();
        there.iter().enumerate().map(conflicts).sum::<usize>() as f64 / pairs as f64
    }
}
