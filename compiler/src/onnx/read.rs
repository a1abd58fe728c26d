//! From an ONNX node to an operator: the inverse of [`Operator::onnx`](crate::ops::Operator::onnx).

use super::{
    error::OnnxError,
    node::NodeReader,
    tensor::{self, elements},
};
use crate::{
    graph::{Shape, ValueType},
    ops::*,
};

/// The operator of a node, its attributes taken off `node`; `None` when Pliant has no such operator.
pub(super) fn operator(name: &str, node: &mut NodeReader<'_, '_>) -> Result<Option<Op>, OnnxError> {
    Ok(Some(match name {
        "Add" => Add.into(),
        "Sub" => Sub.into(),
        "Mul" => Mul.into(),
        "Div" => Div.into(),
        "Pow" => Pow.into(),
        "Min" => two(node, Min.into())?,
        "Max" => two(node, Max.into())?,
        "Neg" => Neg.into(),
        "Abs" => Abs.into(),
        "Sign" => Sign.into(),
        "Sqrt" => Sqrt.into(),
        "Exp" => Exp.into(),
        "Log" => Log.into(),
        "Sin" => Sin.into(),
        "Cos" => Cos.into(),
        "Tanh" => Tanh.into(),
        "Sigmoid" => Sigmoid.into(),
        "Relu" => Relu.into(),
        "Softplus" => Softplus.into(),
        "Clip" => clip(node)?.into(),
        "Greater" => Greater.into(),
        "Less" => Less.into(),
        "Equal" => Equal.into(),
        "And" => And.into(),
        "Or" => Or.into(),
        "Not" => Not.into(),
        "Where" => Where.into(),
        "MatMul" => MatMul.into(),
        "ReduceSum" => {
            let (axes, keep_dims) = reduction(node)?;
            ReduceSum { axes, keep_dims }.into()
        }
        "ReduceMean" => {
            let (axes, keep_dims) = reduction(node)?;
            ReduceMean { axes, keep_dims }.into()
        }
        "ReduceMax" => {
            let (axes, keep_dims) = reduction(node)?;
            ReduceMax { axes, keep_dims }.into()
        }
        "Softmax" => Softmax {
            axis: node.axis(Some(-1))?,
        }
        .into(),
        "LogSoftmax" => LogSoftmax {
            axis: node.axis(Some(-1))?,
        }
        .into(),
        "Transpose" => transpose(node)?.into(),
        "Reshape" => reshape(node)?.into(),
        "Expand" => expand(node)?.into(),
        "Squeeze" => squeeze(node)?.into(),
        "Unsqueeze" => unsqueeze(node)?.into(),
        "Concat" => Concat { axis: node.axis(None)? }.into(),
        "Slice" => slice(node)?.into(),
        "Gather" => Gather {
            axis: node.axis(Some(0))?,
        }
        .into(),
        "ScatterElements" => scatter_add(node)?.into(),
        "Identity" if node.marked("StopGradient") => StopGradient.into(),
        "Identity" => Identity.into(),
        "Cast" => cast(node)?.into(),
        _ => return Ok(None),
    }))
}

/// ONNX takes any number of operands here, Pliant two.
fn two(node: &NodeReader<'_, '_>, op: Op) -> Result<Op, OnnxError> {
    if node.operand_count() == 2 {
        Ok(op)
    } else {
        Err(node.problem("operands", "must be two"))
    }
}

fn clip(node: &mut NodeReader<'_, '_>) -> Result<Clip, OnnxError> {
    let hi = node.take_scalar(2, "max")?.unwrap_or(f32::INFINITY);
    let lo = node.take_scalar(1, "min")?.unwrap_or(f32::NEG_INFINITY);
    Ok(Clip { lo, hi })
}

fn reduction(node: &mut NodeReader<'_, '_>) -> Result<(Shape, bool), OnnxError> {
    let rank = node.value_type(0)?.rank();
    let keep_dims = node.int("keepdims")?.unwrap_or(1) != 0;
    let none_means_all = node.int("noop_with_empty_axes")?.unwrap_or(0) == 0;
    let axes = match node.take_ints(1, "axes")? {
        Some(axes) if !axes.is_empty() => node.axes(&axes, rank)?,
        _ if none_means_all => (0..rank).collect(),
        _ => Shape::new(),
    };
    Ok((axes, keep_dims))
}

fn transpose(node: &mut NodeReader<'_, '_>) -> Result<Transpose, OnnxError> {
    let rank = node.value_type(0)?.rank();
    let permutation = match node.ints("perm")? {
        Some(permutation) => permutation
            .iter()
            .map(|&axis| node.index(axis, rank))
            .collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(Transpose { permutation })
}

fn reshape(node: &mut NodeReader<'_, '_>) -> Result<Reshape, OnnxError> {
    let zero_is_zero = node.int("allowzero")?.unwrap_or(0) != 0;
    let Some(wanted) = node.take_ints(1, "shape")? else {
        return Err(node.problem("shape", "is missing"));
    };
    let from = node.value_type(0)?;
    let mut shape = Shape::new();
    let mut rest = None;
    for (position, &dimension) in wanted.iter().enumerate() {
        match dimension {
            0 if !zero_is_zero => match from.shape.get(position) {
                Some(&length) => shape.push(length),
                None => return Err(node.problem("shape", "copies an axis the operand does not have")),
            },
            -1 if rest.is_none() => {
                rest = Some(position);
                shape.push(1);
            }
            _ => shape.push(usize::try_from(dimension).unwrap_or(0)),
        }
    }
    let Some(count) = elements(&shape) else {
        return Err(node.problem("shape", "is empty, negative or too large"));
    };
    if let Some(position) = rest {
        if from.elements() % count != 0 {
            return Err(node.problem("shape", "does not divide the operand"));
        }
        shape[position] = from.elements() / count;
    }
    Ok(Reshape { shape })
}

fn expand(node: &mut NodeReader<'_, '_>) -> Result<Expand, OnnxError> {
    let Some(wanted) = node.take_ints(1, "shape")? else {
        return Err(node.problem("shape", "is missing"));
    };
    let from = node.value_type(0)?;
    // ONNX broadcasts both ways: a length of one, or an axis left out, keeps the operand's.
    let rank = wanted.len().max(from.rank());
    let mut shape = Shape::new();
    for position in 0..rank {
        let wanted = position
            .checked_sub(rank - wanted.len())
            .map_or(1, |index| wanted[index]);
        let own = position
            .checked_sub(rank - from.rank())
            .map_or(1, |index| from.shape[index]);
        shape.push(if wanted == 1 {
            own
        } else {
            usize::try_from(wanted).unwrap_or(0)
        });
    }
    match elements(&shape) {
        Some(_) => Ok(Expand { shape }),
        None => Err(node.problem("shape", "is empty, negative or too large")),
    }
}

fn squeeze(node: &mut NodeReader<'_, '_>) -> Result<Squeeze, OnnxError> {
    let from = node.value_type(0)?;
    let axes = match node.take_ints(1, "axes")? {
        Some(axes) => node.axes(&axes, from.rank())?,
        None => (0..from.rank()).filter(|&axis| from.shape[axis] == 1).collect(),
    };
    Ok(Squeeze { axes })
}

fn unsqueeze(node: &mut NodeReader<'_, '_>) -> Result<Unsqueeze, OnnxError> {
    let Some(axes) = node.take_ints(1, "axes")? else {
        return Err(node.problem("axes", "are missing"));
    };
    let rank = node.value_type(0)?.rank() + axes.len();
    Ok(Unsqueeze {
        axes: node.axes(&axes, rank)?,
    })
}

fn slice(node: &mut NodeReader<'_, '_>) -> Result<Slice, OnnxError> {
    let steps = node.take_ints(4, "steps")?;
    let axes = node.take_ints(3, "axes")?;
    let ends = node.take_ints(2, "ends")?;
    let starts = node.take_ints(1, "starts")?;
    if steps.is_some_and(|steps| steps.iter().any(|&step| step != 1)) {
        return Err(node.problem("steps", "must be 1"));
    }
    let (Some(&[start]), Some(&[end])) = (starts.as_deref(), ends.as_deref()) else {
        return Err(node.problem("starts and ends", "must be one number each: one axis a slice"));
    };
    let ValueType { shape, .. } = node.value_type(0)?;
    let axis = match axes.as_deref() {
        None => node.index(0, shape.len())?,
        Some(&[axis]) => node.index(axis, shape.len())?,
        Some(_) => return Err(node.problem("axes", "must be one: one axis a slice")),
    };
    let length = shape[axis] as i64;
    let inside = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(length) } else { bound };
        bound.clamp(0, length) as usize
    };
    Ok(Slice {
        axis,
        start: inside(start),
        end: inside(end),
    })
}

/// `ScatterElements` wants indices of the updates' shape: the exporter put a `Reshape` and an `Expand` before them, and,
/// where the indices have not exactly one axis, a `Reshape` before the updates.
fn scatter_add(node: &mut NodeReader<'_, '_>) -> Result<ScatterAdd, OnnxError> {
    if node.text("reduction")? != Some(b"add".as_slice()) {
        return Err(node.problem("reduction", "must be add"));
    }
    let axis = node.axis(Some(0))?;
    let found = node.see_through(1, |op| matches!(op, Op::Expand(_)))?
        && node.see_through(1, |op| matches!(op, Op::Reshape(_)))?;
    if !found {
        return Err(node.problem(
            "indices",
            "must be one tensor of indices, broadcast over the other axes",
        ));
    }
    let data = node.value_type(0)?;
    let indices = node.value_type(1)?;
    if indices.rank() != 1 {
        let mut shape = data.shape;
        shape.remove(axis);
        shape.insert_many(axis, indices.shape);
        let same = |op: &Op| matches!(op, Op::Reshape(_));
        if !node.see_through(2, same)? || node.value_type(2)?.shape != shape {
            return Err(node.problem("updates", "do not fit the indices"));
        }
    }
    Ok(ScatterAdd { axis })
}

fn cast(node: &mut NodeReader<'_, '_>) -> Result<Cast, OnnxError> {
    let to = node.int("to")?.and_then(|to| tensor::dtype(i32::try_from(to).ok()?));
    to.map(|to| Cast { to })
        .ok_or_else(|| node.problem("to", "must be float, int64 or bool"))
}
