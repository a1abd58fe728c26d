//! A scan for short patterns in a sequence of symbols: one shared matrix over every window, a one-dimensional convolution, and
//! a mixture of what its columns find.
//!
//! An observation has one channel a position: the number of the symbol there. So a sequence of sixty bases is sixty inputs,
//! and becomes one-hot only inside the graph.

use super::{Layout, Parameter};
use crate::graph::{Graph, GraphError, Tensor, ValueId};

/// Added to a sum of likelihood ratios before its logarithm: that of a sequence in which nothing fits stays finite.
const LEAST_RATIO: f32 = 1e-30;
/// What the losses of the detectors count beside the credit that the mixture gives them, in [`Scan::loss`].
const DETECTION: f32 = 10.0;
const CREDIT: f32 = 0.5;
/// A detector is given credit by `log(c + ratio)`; this is `-log c`: what lies far below it does not count against it.
const CREDIT_FLOOR: f32 = 1.2;

/// Detectors of a pattern, each a position-weight matrix (Stormo 2000, "DNA binding sites: representation and discovery"):
/// for each of `window` positions the logarithm of how much likelier each symbol is there than by chance, learned as logits
/// that a softmax over the symbols normalises.
///
/// What a detector says of a sequence is the logarithm of its mean likelihood ratio over all windows, on both strands where the
/// sequence has two; what the network says is that of the mixture of the detectors:
///
/// `l_f(x) = log mean_j exp(sum_k log(4 p_fk(x_(j+k)))) + b_f`, `output = s log sum_f softmax(h)_f exp(l_f) + o`.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::policy::{Layout, Scan};
///
/// let scan = Scan { length: 60, symbols: 4, window: 10, detectors: 64, both_strands: true };
/// let mut graph = Graph::new();
/// let parameters: Vec<_> = scan
///     .parameters()
///     .iter()
///     .map(|p| graph.input(&p.name, DType::F32, &p.shape).unwrap())
///     .collect();
/// let x = graph.input("x", DType::F32, &[20, 60]).unwrap();
/// let y = scan.forward(&mut graph, Layout::Rows, &parameters, x).unwrap();
/// assert_eq!(graph.shape(y), [20, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// Positions of a sequence: elements of an observation, each the number of a symbol from 0. A number that is no symbol's
    /// (-1) is a position of which nothing is known.
    pub length: usize,
    /// Symbols that there are.
    pub symbols: usize,
    /// Positions of a window, at most `length`.
    pub window: usize,
    /// Detectors.
    pub detectors: usize,
    /// Whether the reverse complement of a sequence is read too, by the same detectors: symbols `s` and `symbols - 1 - s` are
    /// partners, as A and T, C and G are in the order A, C, G, T.
    pub both_strands: bool,
}

impl Scan {
    /// Name of the detectors' weights, which start as words: [`WORD`](Self::WORD) for one symbol at each position, 0 for the
    /// others.
    pub const DETECTORS: &str = "detector.weight";

    /// Name of what the output is multiplied by, 1/2 at first.
    pub const SCALE: &str = "output.scale";

    /// The logit of a word's symbol: with four symbols it then has 2/3, the probability that two draws of one column of
    /// Dirichlet(0.2) agree.
    pub const WORD: f32 = 1.791_759_5;

    /// `detector.weight` `[window * symbols, detectors]`, `detector.bias` `[detectors]` and `mixture.weight` `[detectors]`
    /// (logits); `output.scale` and `output.bias` `[1]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![
            Parameter::new(Self::DETECTORS, &[self.window * self.symbols, self.detectors]),
            Parameter::new("detector.bias", &[self.detectors]),
            Parameter::new("mixture.weight", &[self.detectors]),
            Parameter::new(Self::SCALE, &[1]),
            Parameter::new("output.bias", &[1]),
        ]
    }

    /// Which of [`parameters`](Self::parameters) adapt: the detectors and the mixture. What a score has to reach is the same
    /// for every task.
    pub const fn adapts() -> [bool; 5] {
        [true, false, true, false, false]
    }

    /// Windows in a sequence, both strands together.
    pub const fn windows(&self) -> usize {
        (self.length - self.window + 1) * self.strands()
    }

    const fn strands(&self) -> usize {
        if self.both_strands { 2 } else { 1 }
    }

    /// `[.., rows, 1]` for `x` of shape `[.., rows, length]`: above 0 where the pattern is likely there.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn forward(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        x: ValueId,
    ) -> Result<ValueId, GraphError> {
        let rows = match layout {
            Layout::Rows => x,
            Layout::Columns => graph.transpose_matrix(x)?,
        };
        let found = self.found(graph, parameters, rows)?;
        let axis = graph.shape(found).len() - 1;
        let weighted = graph.add(found, parameters[2])?;
        let together = log_sum_exp(graph, weighted, axis)?;
        let weights_axis = graph.shape(parameters[2]).len() - 1;
        let whole = log_sum_exp(graph, parameters[2], weights_axis)?;
        let ratio = graph.sub(together, whole)?;
        let scaled = graph.mul(ratio, parameters[3])?;
        let output = graph.add(scaled, parameters[4])?;
        match layout {
            Layout::Rows => Ok(output),
            Layout::Columns => graph.transpose_matrix(output),
        }
    }

    /// What a gradient step on the device descends, `[.., rows, 1]`; `fields` are `x` and the targets, 1 or -1.
    ///
    /// Each detector learns by itself to tell the two apart, as if there were no other, so that a few steps find the pattern
    /// from whichever start is near it; and the mixture gives credit to those that do. The gradient of a detector is that of
    /// expectation maximisation of one occurrence a sequence (Bailey and Elkan 1994), a step along it.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn loss(&self, graph: &mut Graph, parameters: &[ValueId], fields: &[ValueId]) -> Result<ValueId, GraphError> {
        let found = self.found(graph, parameters, fields[0])?;
        let axis = graph.shape(found).len() - 1;
        let margin = graph.mul(found, fields[1])?;
        let missed = graph.neg(margin)?;
        let missed = graph.softplus(missed)?;
        let missed = graph.scale(missed, DETECTION)?;
        let held = graph.stop_gradient(found)?;
        let floor = graph.scalar(CREDIT_FLOOR);
        let held = graph.add(held, floor)?;
        let held = graph.softplus(held)?;
        let held = graph.mul(held, fields[1])?;
        let credit = graph.mul(held, parameters[2])?;
        let credit = graph.scale(credit, CREDIT)?;
        let loss = graph.sub(missed, credit)?;
        graph.reduce_sum(loss, &[axis], true)
    }

    /// What accepts an adaptation and what meta-training minimises: the logistic loss of the output, `[.., rows, 1]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn score(&self, graph: &mut Graph, parameters: &[ValueId], fields: &[ValueId]) -> Result<ValueId, GraphError> {
        let output = self.forward(graph, Layout::Rows, parameters, fields[0])?;
        let margin = graph.mul(output, fields[1])?;
        let missed = graph.neg(margin)?;
        graph.softplus(missed)
    }

    /// What each detector says of a sequence: `[.., rows, detectors]`.
    fn found(&self, graph: &mut Graph, parameters: &[ValueId], x: ValueId) -> Result<ValueId, GraphError> {
        let windows = self.unfolded(graph, x)?;
        let weight = self.log_odds(graph, parameters[0])?;
        let sums = graph.matmul(windows, weight)?;
        let mut shape = graph.shape(x).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.windows();
        }
        shape.push(self.detectors);
        let axis = shape.len() - 2;
        let sums = graph.reshape(sums, &shape)?;
        // At most 4^window: no greatest one need be taken out.
        let ratios = graph.exp(sums)?;
        let total = graph.reduce_sum(ratios, &[axis], false)?;
        let mean = graph.scale(total, 1.0 / self.windows() as f32)?;
        let least = graph.scalar(LEAST_RATIO);
        let mean = graph.add(mean, least)?;
        let logarithm = graph.log(mean)?;
        graph.add(logarithm, parameters[1])
    }

    /// Logarithms of how much likelier than by chance: logits normalised over the symbols of each position.
    fn log_odds(&self, graph: &mut Graph, logits: ValueId) -> Result<ValueId, GraphError> {
        let shape = graph.shape(logits).to_vec();
        let mut apart = shape[..shape.len() - 2].to_vec();
        apart.extend([self.window, self.symbols, self.detectors]);
        let axis = apart.len() - 2;
        let positions = graph.reshape(logits, &apart)?;
        let normalised = graph.log_softmax(positions, axis)?;
        let chance = graph.scalar((self.symbols as f32).ln());
        let odds = graph.add(normalised, chance)?;
        graph.reshape(odds, &shape)
    }

    /// Every window of every sequence as a row of one matrix: `[.., rows * windows, window * symbols]`. Windows that begin at
    /// the same remainder lie side by side, so that each remainder is one slice.
    fn unfolded(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId, GraphError> {
        let axis = graph.shape(x).len() - 1;
        let mut strands = vec![x];
        if self.both_strands {
            let backwards: Vec<i64> = (0..self.length as i64).rev().collect();
            let backwards = graph.constant(Tensor::i64(&[self.length], backwards).expect("one a position"));
            let reversed = graph.gather(x, backwards, axis)?;
            let greatest = graph.scalar((self.symbols - 1) as f32);
            strands.push(graph.sub(greatest, reversed)?);
        }
        let mut parts = Vec::new();
        for strand in strands {
            let one_hot = self.one_hot(graph, strand)?;
            for remainder in 0..self.window.min(self.length - self.window + 1) {
                let windows = (self.length - remainder) / self.window;
                let start = remainder * self.symbols;
                parts.push(graph.slice(one_hot, axis, start, start + windows * self.window * self.symbols)?);
            }
        }
        let all = graph.concat(&parts, axis)?;
        let mut shape = graph.shape(all).to_vec();
        let rows = shape[axis - 1];
        shape[axis - 1] = rows * self.windows();
        shape[axis] = self.window * self.symbols;
        graph.reshape(all, &shape)
    }

    /// 1 for the symbol that is there, 0 for others: `[.., rows, length * symbols]`.
    fn one_hot(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId, GraphError> {
        let rank = graph.shape(x).len();
        let apart = graph.unsqueeze(x, &[rank])?;
        let symbols: Vec<f32> = (0..self.symbols).map(|symbol| symbol as f32).collect();
        let symbols = graph.constant(Tensor::f32(&[self.symbols], symbols).expect("one a symbol"));
        let difference = graph.sub(apart, symbols)?;
        let distance = graph.abs(difference)?;
        let one = graph.scalar(1.0);
        let near = graph.sub(one, distance)?;
        let one_hot = graph.relu(near)?;
        let mut shape = graph.shape(x).to_vec();
        shape[rank - 1] = self.length * self.symbols;
        graph.reshape(one_hot, &shape)
    }
}

/// `log sum exp` over an axis, which stays with one element.
fn log_sum_exp(graph: &mut Graph, value: ValueId, axis: usize) -> Result<ValueId, GraphError> {
    let greatest = graph.reduce_max(value, &[axis], true)?;
    let greatest = graph.stop_gradient(greatest)?;
    let less = graph.sub(value, greatest)?;
    let ratios = graph.exp(less)?;
    let sum = graph.reduce_sum(ratios, &[axis], true)?;
    let logarithm = graph.log(sum)?;
    graph.add(logarithm, greatest)
}
