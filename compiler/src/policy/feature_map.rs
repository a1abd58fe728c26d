//! Feature engineering as part of a policy: fixed functions of the observation that the first layer is given beside it, so
//! that what was computed in training is computed on the device, by the same graph.

use super::Layout;
use crate::graph::{Graph, GraphError, Tensor, ValueId};

/// Fixed features of (scaled) inputs, in this order: the inputs themselves, sines, cosines, differences, products, then
/// sines and cosines of random projections.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::policy::FeatureMap;
///
/// // An angle and a speed: the two, the angle's sine and cosine, and the speed's square.
/// let map = FeatureMap { angles: vec![0], products: vec![vec![1, 1]], ..FeatureMap::new(2) };
/// assert_eq!(map.width(), 5);
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[10, 2]).unwrap();
/// let features = map.apply(&mut graph, x).unwrap();
/// assert_eq!(graph.shape(features), [10, 5]);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureMap {
    /// Numbers in one input.
    pub inputs: usize,
    /// Inputs, in radians, whose sine and cosine are features.
    pub angles: Vec<usize>,
    /// Pairs of inputs whose difference, first minus second, is a feature.
    pub differences: Vec<[usize; 2]>,
    /// Inputs that are multiplied: two or more each, the same one again for a power.
    pub products: Vec<Vec<usize>>,
    /// Random Fourier features (Rahimi and Recht 2007): a projection `[inputs]` each, of which sine and cosine are features.
    pub projections: Vec<Vec<f32>>,
}

impl FeatureMap {
    /// Nothing but the inputs.
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs,
            ..Self::default()
        }
    }

    /// Numbers in one row of features.
    pub fn width(&self) -> usize {
        self.inputs + 2 * self.angles.len() + self.differences.len() + self.products.len() + 2 * self.projections.len()
    }

    /// Names of the features, from names of the inputs.
    ///
    /// # Panics
    /// With fewer names than inputs.
    pub fn names(&self, inputs: &[String]) -> Vec<String> {
        let mut names = inputs[..self.inputs].to_vec();
        names.extend(self.angles.iter().map(|&input| format!("sin {}", inputs[input])));
        names.extend(self.angles.iter().map(|&input| format!("cos {}", inputs[input])));
        let difference = |[a, b]: &[usize; 2]| format!("{} - {}", inputs[*a], inputs[*b]);
        names.extend(self.differences.iter().map(difference));
        let product = |factors: &Vec<usize>| {
            let factors: Vec<&str> = factors.iter().map(|&input| inputs[input].as_str()).collect();
            factors.join(" * ")
        };
        names.extend(self.products.iter().map(product));
        for wave in ["sin", "cos"] {
            names.extend((0..self.projections.len()).map(|index| format!("{wave} of projection {index}")));
        }
        names
    }

    /// 1 for a feature that is made of inputs that are there, 0 for others; `plain` says of each input whether it is a
    /// feature as it is, `angles` whether it is an angle. A difference is of plain inputs; so is a product.
    pub fn mask(&self, plain: &[bool], angle: &[bool]) -> Vec<f32> {
        let flag = |there: bool| f32::from(u8::from(there));
        let mut mask: Vec<f32> = plain.iter().map(|&there| flag(there)).collect();
        for _ in 0..2 {
            mask.extend(self.angles.iter().map(|&input| flag(angle[input])));
        }
        mask.extend(
            self.differences
                .iter()
                .map(|pair| flag(pair.iter().all(|&input| plain[input]))),
        );
        mask.extend(
            self.products
                .iter()
                .map(|factors| flag(factors.iter().all(|&input| plain[input]))),
        );
        mask.extend(core::iter::repeat_n(1.0, 2 * self.projections.len()));
        mask
    }

    /// The features `[.., rows, width]` of `x` `[.., rows, inputs]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when `x` has another width.
    pub fn apply(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId, GraphError> {
        let mut parts = vec![x];
        if !self.angles.is_empty() {
            let angles = self.pick(graph, x, self.angles.iter().map(|&input| vec![(input, 1.0)]))?;
            parts.push(graph.sin(angles)?);
            parts.push(graph.cos(angles)?);
        }
        if !self.differences.is_empty() {
            let columns = self.differences.iter().map(|&[a, b]| vec![(a, 1.0), (b, -1.0)]);
            parts.push(self.pick(graph, x, columns)?);
        }
        // Products of as many factors lie side by side.
        let most = self.products.iter().map(Vec::len).max().unwrap_or(0);
        let mut product = None;
        for place in 0..most {
            // Past its last factor a product is multiplied by one: a column of zeros plus one.
            let own = |factors: &Vec<usize>| factors.get(place).map(|&input| vec![(input, 1.0)]).unwrap_or_default();
            let mut factor = self.pick(graph, x, self.products.iter().map(own))?;
            if self.products.iter().any(|factors| factors.len() <= place) {
                let ones = self
                    .products
                    .iter()
                    .map(|factors| f32::from(u8::from(factors.len() <= place)));
                let ones = graph
                    .constant(Tensor::f32(&[self.products.len()], ones.collect::<Vec<_>>()).expect("one a product"));
                factor = graph.add(factor, ones)?;
            }
            product = Some(match product {
                None => factor,
                Some(product) => graph.mul(product, factor)?,
            });
        }
        parts.extend(product);
        if !self.projections.is_empty() {
            let columns = self
                .projections
                .iter()
                .map(|weights| weights.iter().copied().enumerate().collect());
            let projected = self.pick(graph, x, columns)?;
            parts.push(graph.sin(projected)?);
            parts.push(graph.cos(projected)?);
        }
        if parts.len() == 1 {
            return Ok(x);
        }
        let axis = graph.shape(x).len() - 1;
        graph.concat(&parts, axis)
    }

    /// As [`apply`](Self::apply), for instances in rows or in columns.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_in(&self, graph: &mut Graph, layout: Layout, x: ValueId) -> Result<ValueId, GraphError> {
        match layout {
            Layout::Rows => self.apply(graph, x),
            Layout::Columns => {
                let rows = graph.transpose_matrix(x)?;
                let features = self.apply(graph, rows)?;
                graph.transpose_matrix(features)
            }
        }
    }

    /// Weighted sums of inputs, a column each: a product with a constant matrix.
    fn pick(
        &self,
        graph: &mut Graph,
        x: ValueId,
        columns: impl ExactSizeIterator<Item = Vec<(usize, f32)>>,
    ) -> Result<ValueId, GraphError> {
        let width = columns.len();
        let mut matrix = vec![0.0; self.inputs * width];
        for (column, terms) in columns.enumerate() {
            for (input, weight) in terms {
                matrix[input * width + column] += weight;
            }
        }
        let matrix = graph.constant(Tensor::f32(&[self.inputs, width], matrix).expect("inputs by columns"));
        graph.matmul(x, matrix)
    }
}
