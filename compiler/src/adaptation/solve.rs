//! Small systems of linear equations as graphs.

use crate::graph::{Graph, GraphError, ValueId};

/// Solves `a x = b` for symmetric positive definite `a` `[.., n, n]` and `b` `[.., n, m]`: `x` `[.., n, m]`; the leading
/// axes of both are the same.
///
/// Gauss-Jordan elimination without pivoting, unrolled in plain operators: for such matrices no pivot vanishes, and the
/// elimination is as stable as a Cholesky factorisation up to the condition number (Higham 2002, "Accuracy and Stability
/// of Numerical Algorithms", section 14.4). So it runs on every engine, gives a device the bits of the workstation, and
/// has gradients of every order like anything else; no operator and no kernel is needed for it. `[a | b]` loses its
/// first row and column with each pivot, and the finished row goes below the others: after `n` of them what is left is
/// the solution. `n` pivots cost `n^2 (n + 2 m) / 2` multiply-accumulates, in two to three records of a device's plan each:
/// made for `n` up to some tens.
///
/// ```
/// use pliant_compiler::adaptation::solve_positive_definite;
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::reference::{Tensor64, evaluate};
///
/// let mut graph = Graph::new();
/// let a = graph.input("a", DType::F32, &[2, 2]).unwrap();
/// let b = graph.input("b", DType::F32, &[2, 1]).unwrap();
/// let x = solve_positive_definite(&mut graph, a, b).unwrap();
/// graph.output("x", x).unwrap();
/// let inputs = [
///     ("a", Tensor64::new(&[2, 2], vec![4.0, 1.0, 1.0, 3.0])),
///     ("b", Tensor64::new(&[2, 1], vec![6.0, 7.0])),
/// ];
/// assert_eq!(evaluate(&graph, &inputs).unwrap()[0].data, [1.0, 2.0]);
/// ```
///
/// # Errors
/// [`GraphError::Operator`] when `a` has no rank of at least two or shapes do not fit.
pub fn solve_positive_definite(graph: &mut Graph, a: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
    let mut system = graph.concat(&[a, b], graph.shape(a).len().saturating_sub(1))?;
    let rank = graph.shape(system).len();
    let (rows, columns) = (rank.saturating_sub(2), rank.saturating_sub(1));
    let n = graph.shape(a)[rows];
    for _ in 0..n {
        let width = graph.shape(system)[columns];
        let first = graph.slice(system, rows, 0, 1)?;
        let pivot = graph.slice(first, columns, 0, 1)?;
        let first = graph.slice(first, columns, 1, width)?;
        let finished = graph.div(first, pivot)?;
        if n == 1 {
            return Ok(finished);
        }
        let others = graph.slice(system, rows, 1, n)?;
        let factors = graph.slice(others, columns, 0, 1)?;
        let others = graph.slice(others, columns, 1, width)?;
        let eliminated = graph.mul(factors, finished)?;
        let others = graph.sub(others, eliminated)?;
        system = graph.concat(&[others, finished], rows)?;
    }
    Ok(system)
}
