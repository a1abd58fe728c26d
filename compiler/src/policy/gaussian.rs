//! Actions sampled from independent normal distributions whose width does not depend on the state.

use super::Layout;
use crate::graph::{Graph, GraphError, ValueId};

/// `ln(2 pi) / 2`.
const HALF_LOG_TWO_PI: f32 = 0.918_938_5;

/// A diagonal normal distribution; the logarithms of the standard deviations are parameters of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// Least logarithm of the standard deviation: below, the parameter has no effect and no gradient. Minus infinity for
    /// none.
    pub floor: f32,
}

impl Gaussian {
    /// The logarithm of the standard deviation from its parameter.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `log_std` is not single precision.
    pub fn floored(&self, graph: &mut Graph, log_std: ValueId) -> Result<ValueId, GraphError> {
        if self.floor == f32::NEG_INFINITY {
            return Ok(log_std);
        }
        let floor = graph.scalar(self.floor);
        graph.max(log_std, floor)
    }

    /// Logarithm of the density of `action` `[.., rows, actions]`: `[.., rows, 1]`.
    ///
    /// `sum_a -((action - mean) / std)^2 / 2 - log_std - ln(2 pi) / 2`; `log_std` broadcasts against the actions.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not broadcast.
    ///
    /// ```
    /// use pliant_compiler::graph::{DType, Graph};
    /// use pliant_compiler::policy::Gaussian;
    /// use pliant_compiler::reference::{Tensor64, evaluate};
    ///
    /// let mut graph = Graph::new();
    /// let mean = graph.input("mean", DType::F32, &[1, 2]).unwrap();
    /// let log_std = graph.input("log_std", DType::F32, &[2]).unwrap();
    /// let action = graph.input("action", DType::F32, &[1, 2]).unwrap();
    /// let log_probability = Gaussian::log_probability(&mut graph, mean, log_std, action).unwrap();
    /// graph.output("log_probability", log_probability).unwrap();
    /// let values = evaluate(
    ///     &graph,
    ///     &[
    ///         ("mean", Tensor64::new(&[1, 2], vec![0.0, 1.0])),
    ///         ("log_std", Tensor64::new(&[2], vec![0.0, 0.0])),
    ///         ("action", Tensor64::new(&[1, 2], vec![0.0, 2.0])),
    ///     ],
    /// )
    /// .unwrap();
    /// assert!((values[0].data[0] - (-1.837_877 - 0.5)).abs() < 1e-5);
    /// ```
    pub fn log_probability(
        graph: &mut Graph,
        mean: ValueId,
        log_std: ValueId,
        action: ValueId,
    ) -> Result<ValueId, GraphError> {
        Self::log_probability_in(graph, Layout::Rows, mean, log_std, action)
    }

    /// As [`log_probability`](Self::log_probability), for instances in rows or in columns: `[1, instances]` for `mean` and
    /// `action` `[actions, instances]` and `log_std` `[actions, 1]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not broadcast.
    pub fn log_probability_in(
        graph: &mut Graph,
        layout: Layout,
        mean: ValueId,
        log_std: ValueId,
        action: ValueId,
    ) -> Result<ValueId, GraphError> {
        let difference = graph.sub(action, mean)?;
        let narrow = graph.neg(log_std)?;
        let inverse_std = graph.exp(narrow)?;
        let standardised = graph.mul(difference, inverse_std)?;
        let square = graph.square(standardised)?;
        let half = graph.scale(square, -0.5)?;
        let constant = graph.scalar(HALF_LOG_TWO_PI);
        let width = graph.add(log_std, constant)?;
        let terms = graph.sub(half, width)?;
        let axis = layout.elements_axis(graph, terms);
        graph.reduce_sum(terms, &[axis], true)
    }
}
