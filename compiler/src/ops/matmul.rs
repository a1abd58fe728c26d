//! Matrix product.

use super::broadcast::{broadcast_shapes, broadcast_strides, for_each_offset};
use super::elementwise::Takes;
use super::{Backward, Cotangent, Cotangents, EvaluateError, OnnxForm, Operator, arity, whole};
use crate::graph::{GraphError, TypeError, ValueType};
use crate::image::lower::kernel::{Kernel, Lower, MatMulForm};
use crate::reference::Tensor64;

/// `[.., m, k] x [.., k, n] -> [.., m, n]`: the product of the last two axes; the axes before broadcast.
///
/// Gradient: `g b^T` and `a^T g`, summed to their shapes. Where one matrix `b` serves every batch, the batches are laid
/// under each other and `a^T g` is one product, not a sum of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatMul;

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, inputs: &[&ValueType]) -> Result<ValueType, TypeError> {
        let [a, b] = arity(inputs)?;
        for (input, operand) in [a, b].into_iter().enumerate() {
            Takes::Float.check(input, operand.dtype)?;
            if operand.rank() < 2 {
                return Err(TypeError::Rank { input, expected: "2 or more" });
            }
        }
        let (a_batch, &[m, k]) = a.shape.split_last_chunk().expect("rank 2 or more");
        let (b_batch, &[left, n]) = b.shape.split_last_chunk().expect("rank 2 or more");
        if k != left {
            return Err(TypeError::Mismatch { what: "inner lengths", left: k, right: left });
        }
        let mut shape = broadcast_shapes(a_batch, b_batch)?;
        shape.extend([m, n]);
        Ok(ValueType { dtype: a.dtype, shape })
    }

    fn gradient(&self, backward: &mut Backward<'_>) -> Result<Cotangents, GraphError> {
        let (a, b, cotangent) = (backward.inputs[0], backward.inputs[1], backward.cotangent);
        let mut cotangents = Cotangents::from_elem(None, 2);
        if backward.needs(0) {
            let transposed = backward.graph.transpose_matrix(b)?;
            let product = backward.graph.matmul(cotangent, transposed)?;
            cotangents[0] = backward.reduce_to_input(product, 0)?;
        }
        if backward.needs(1) {
            cotangents[1] = match shared_matrix(backward)? {
                Some(cotangent) => Some(cotangent),
                None => {
                    let transposed = backward.graph.transpose_matrix(a)?;
                    let product = backward.graph.matmul(transposed, cotangent)?;
                    backward.reduce_to_input(product, 1)?
                }
            };
        }
        Ok(cotangents)
    }

    fn evaluate(&self, inputs: &[&Tensor64], output: &ValueType) -> Result<Tensor64, EvaluateError> {
        let [a, b] = [inputs[0], inputs[1]];
        let (batch, &[m, n]) = output.shape.split_last_chunk().expect("rank 2 or more");
        let k = a.shape[a.shape.len() - 1];
        let strides = [a, b].map(|t| broadcast_strides(&t.shape[..t.shape.len() - 2], batch));
        let mut data = Vec::with_capacity(output.elements());
        for_each_offset(batch, [&strides[0], &strides[1]], |[i, j]| {
            let (a, b) = (&a.data[i * m * k..][..m * k], &b.data[j * k * n..][..k * n]);
            for row in a.chunks_exact(k) {
                let start = data.len();
                data.resize(start + n, 0.0);
                for (value, b) in row.iter().zip(b.chunks_exact(n)) {
                    data[start..].iter_mut().zip(b).for_each(|(sum, b)| *sum += value * b);
                }
            }
        });
        Ok(Tensor64 { dtype: output.dtype, shape: output.shape.clone(), data })
    }

    fn onnx(&self, _: &[&ValueType], _: &ValueType) -> OnnxForm {
        OnnxForm::plain("MatMul")
    }
}

/// The cotangent of `b` where it is one matrix for every batch of `a`.
fn shared_matrix(backward: &mut Backward<'_>) -> Result<Option<Cotangent>, GraphError> {
    let graph = &mut *backward.graph;
    let (a, b) = (backward.inputs[0], backward.inputs[1]);
    let a_shape = graph.value_type(a).shape.clone();
    let b_shape = graph.value_type(b).shape.clone();
    let one_matrix = b_shape[..b_shape.len() - 2].iter().all(|&length| length == 1);
    let same_batches = a_shape.len() >= b_shape.len();
    if !one_matrix || !same_batches || a_shape.len() == 2 {
        return Ok(None);
    }
    let (k, n) = (b_shape[b_shape.len() - 2], b_shape[b_shape.len() - 1]);
    let rows = a_shape[..a_shape.len() - 1].iter().product();
    let stacked = graph.reshape(a, &[rows, k])?;
    let transposed = graph.transpose_matrix(stacked)?;
    let cotangent = graph.reshape(backward.cotangent, &[rows, n])?;
    let product = graph.matmul(transposed, cotangent)?;
    Ok(whole(graph.reshape(product, &b_shape)?))
}

impl Lower for MatMul {
    fn kernel(&self, _: &[&ValueType]) -> Kernel {
        Kernel::MatMul(MatMulForm::default())
    }
}
