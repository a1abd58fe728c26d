//! Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"): a weight matrix moves along the
//! nearest semi-orthogonal matrix to its momentum, so that no direction of the matrix runs ahead of the others.

use pliant_compiler::graph::{Graph, GraphError, ValueId};

use super::clip::norm;

/// Rows and columns that a parameter must have at least to be moved so: smaller ones are biases, and last layers of few
/// outputs, in which there is little to make orthogonal.
const LEAST: usize = 4;
/// Coefficients of the quintic iteration and how often it is applied (Jordan et al. 2024): chosen by them for a steep
/// slope at zero, so that singular values end between about 0.7 and 1.2 and not at 1.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;
/// Keeps a momentum of zeros from being divided by zero.
const TINY: f32 = 1e-12;

/// Whether a parameter of this shape is a matrix that Muon moves: two axes of at least 4 each.
pub(super) fn is_muon_matrix(shape: &[usize]) -> bool {
    shape.len() == 2 && shape.iter().all(|&size| size >= LEAST)
}

/// The direction in which a matrix with this `momentum` (`[rows, columns]`) moves, with the root mean square `scale`
/// (of a matrix with full rank: the singular values are only about 1).
///
/// Of `U S V^T` it is `scale sqrt(max(rows, columns)) U V^T`. Liu et al. 2025 ("Muon is scalable for LLM training") scale
/// so, with 0.2 to move as far as Adam.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// let mut graph = Graph::new();
/// let momentum = graph.input("momentum", DType::F32, &[16, 48])?;
/// let direction = pliant_trainer::optim::muon_direction(&mut graph, momentum, 0.1)?;
/// assert_eq!(graph.shape(direction), [16, 48]);
/// # Ok::<(), pliant_compiler::graph::GraphError>(())
/// ```
///
/// # Errors
/// A `momentum` that is no matrix.
pub fn muon_direction(graph: &mut Graph, momentum: ValueId, scale: f32) -> Result<ValueId, GraphError> {
    let shape = graph.shape(momentum).to_vec();
    // The products below are of the shorter side.
    let tall = shape.len() == 2 && shape[0] > shape[1];
    let wide = if tall {
        graph.transpose_matrix(momentum)?
    } else {
        momentum
    };
    // The Frobenius norm bounds the largest singular value.
    let norm = norm(graph, &[wide])?;
    let tiny = graph.scalar(TINY);
    let norm = graph.add(norm, tiny)?;
    let mut direction = graph.div(wide, norm)?;
    for _ in 0..ITERATIONS {
        direction = quintic(graph, direction)?;
    }
    let longest = shape.iter().copied().max().unwrap_or(1);
    let direction = graph.scale(direction, scale * (longest as f32).sqrt())?;
    if tall {
        graph.transpose_matrix(direction)
    } else {
        Ok(direction)
    }
}

/// `a X + b (X X^T) X + c (X X^T)^2 X`: every singular value `s` becomes `a s + b s^3 + c s^5`.
fn quintic(graph: &mut Graph, x: ValueId) -> Result<ValueId, GraphError> {
    let [a, b, c] = COEFFICIENTS;
    let transposed = graph.transpose_matrix(x)?;
    let gram = graph.matmul(x, transposed)?;
    let gram_square = graph.matmul(gram, gram)?;
    let cubic = graph.scale(gram, b)?;
    let quintic = graph.scale(gram_square, c)?;
    let both = graph.add(cubic, quintic)?;
    let higher = graph.matmul(both, x)?;
    let linear = graph.scale(x, a)?;
    graph.add(linear, higher)
}
