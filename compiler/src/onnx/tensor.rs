//! Constants between the graph and `TensorProto`.

use super::{
    error::OnnxError,
    proto::{ElementType, TensorProto},
};
use crate::graph::{DType, Tensor, TensorData};

/// Most elements a value may have on import: more than any graph for a robot holds, and few enough that no product of
/// dimensions overflows.
pub(super) const MAX_ELEMENTS: usize = 1 << 31;

/// Number of elements of a shape, if every axis has one at least and they are not too many.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    let mut count = 1usize;
    for &dimension in shape {
        count = count
            .checked_mul(dimension)
            .filter(|&count| count > 0 && count <= MAX_ELEMENTS)?;
    }
    Some(count)
}

pub(super) fn element_type(dtype: DType) -> ElementType {
    match dtype {
        DType::F32 => ElementType::Float,
        DType::I64 => ElementType::Int64,
        DType::Bool => ElementType::Bool,
    }
}

pub(super) fn dtype(element_type: i32) -> Option<DType> {
    match ElementType::try_from(element_type).ok()? {
        ElementType::Float => Some(DType::F32),
        ElementType::Int64 => Some(DType::I64),
        ElementType::Bool => Some(DType::Bool),
        ElementType::Undefined => None,
    }
}

/// A constant as a message, values in `raw_data`.
pub(super) fn encode(tensor: &Tensor, name: &str) -> TensorProto {
    let raw_data = match tensor.data() {
        TensorData::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        TensorData::Bool(values) => values.iter().map(|&value| u8::from(value)).collect(),
    };
    TensorProto {
        dims: tensor.shape().iter().map(|&dimension| dimension as i64).collect(),
        data_type: element_type(tensor.dtype()).into(),
        name: name.to_owned(),
        raw_data,
        ..Default::default()
    }
}

/// A constant from a message, values in `raw_data` or in the typed field.
pub(super) fn decode(proto: &TensorProto, holder: &str) -> Result<Tensor, OnnxError> {
    let wrong = |problem| OnnxError::Constant {
        tensor: if proto.name.is_empty() {
            holder.to_owned()
        } else {
            proto.name.clone()
        },
        problem,
    };
    if proto.data_location != 0 || !proto.external_data.is_empty() {
        return Err(wrong("its values are in another file, which Pliant does not read"));
    }
    let dtype = dtype(proto.data_type).ok_or_else(|| wrong("its element type is none of float, int64 and bool"))?;
    let shape: Option<Vec<usize>> = proto
        .dims
        .iter()
        .map(|&dimension| usize::try_from(dimension).ok())
        .collect();
    let shape = shape.filter(|shape| elements(shape).is_some());
    let shape = shape.ok_or_else(|| wrong("its shape is empty, negative or too large"))?;
    let raw = &proto.raw_data;
    let data = match dtype {
        DType::F32 if raw.is_empty() => TensorData::F32(proto.float_data.as_slice().into()),
        DType::I64 if raw.is_empty() => TensorData::I64(proto.int64_data.as_slice().into()),
        DType::Bool if raw.is_empty() => TensorData::Bool(proto.int32_data.iter().map(|&value| value != 0).collect()),
        DType::F32 => {
            let (values, rest) = raw.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(wrong("its raw data is no whole number of elements"));
            }
            TensorData::F32(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
        }
        DType::I64 => {
            let (values, rest) = raw.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(wrong("its raw data is no whole number of elements"));
            }
            TensorData::I64(values.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
        }
        DType::Bool => TensorData::Bool(raw.iter().map(|&value| value != 0).collect()),
    };
    Tensor::new(&shape, data).ok_or_else(|| wrong("its number of values does not fit its shape"))
}

/// A vector of int64, possibly of no elements (the shape of a scalar), which [`Tensor`] does not have.
pub(super) fn encode_vector(values: &[i64], name: &str) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: ElementType::Int64.into(),
        name: name.to_owned(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// A vector of int64, or `None` when the message is none.
pub(super) fn decode_vector(proto: &TensorProto) -> Option<Vec<i64>> {
    if proto.dims == [0] && dtype(proto.data_type) == Some(DType::I64) {
        return Some(Vec::new());
    }
    let tensor = decode(proto, "").ok()?;
    if tensor.shape().len() == 1 {
        tensor.as_i64().map(<[i64]>::to_vec)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_type_survives_and_typed_fields_are_read() {
        let tensors = [
            Tensor::f32(&[2, 2], vec![1.0, -0.0, f32::INFINITY, f32::NAN]).unwrap(),
            Tensor::i64(&[3], vec![i64::MIN, 0, i64::MAX]).unwrap(),
            Tensor::bool(&[2], vec![true, false]).unwrap(),
            Tensor::scalar(2.5),
        ];
        for tensor in tensors {
            assert_eq!(decode(&encode(&tensor, "t"), "").unwrap(), tensor);
        }
        let typed = TensorProto {
            dims: vec![2],
            data_type: 1,
            float_data: vec![1.0, 2.0],
            ..Default::default()
        };
        assert_eq!(decode(&typed, "").unwrap(), Tensor::f32(&[2], vec![1.0, 2.0]).unwrap());
    }

    #[test]
    fn vectors_may_be_empty() {
        for values in [vec![], vec![3], vec![-1, 0, 5]] {
            assert_eq!(decode_vector(&encode_vector(&values, "v")), Some(values));
        }
        assert_eq!(
            decode_vector(&encode(&Tensor::f32(&[1], vec![1.0]).unwrap(), "v")),
            None
        );
    }

    #[test]
    fn what_is_not_a_tensor_is_refused() {
        let good = encode(&Tensor::f32(&[2], vec![1.0, 2.0]).unwrap(), "weights");
        let refused = |change: fn(&mut TensorProto)| {
            let mut bad = good.clone();
            change(&mut bad);
            decode(&bad, "").unwrap_err().to_string()
        };
        assert!(refused(|t| t.dims = vec![3]).contains("\"weights\""));
        assert!(refused(|t| t.dims = vec![-2]).contains("shape"));
        assert!(refused(|t| t.dims = vec![i64::MAX, i64::MAX]).contains("shape"));
        assert!(refused(|t| t.raw_data = vec![0; 7]).contains("raw data"));
        assert!(refused(|t| t.data_type = 10).contains("element type"));
        assert!(refused(|t| t.data_location = 1).contains("another file"));
    }
}
