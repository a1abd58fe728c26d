//! ONNX bytes to a graph.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use prost::Message as _;

use super::{
    OPSET,
    error::OnnxError,
    export::ALIAS,
    node::NodeReader,
    proto::{AttributeType, DimensionValue, ModelProto, NodeProto, TensorProto, ValueInfoProto},
    read, tensor,
};
use crate::graph::{Graph, Tensor, ValueId};

/// Reads a model whose shapes are all numbers. Exporting a graph and importing it again gives the same graph (without the
/// nodes that no output needs).
///
/// # Errors
/// [`OnnxError`], which names the node. Any byte string gives a graph or an error.
pub fn import(bytes: &[u8]) -> Result<Graph, OnnxError> {
    import_with(bytes, &[])
}

/// Reads a model, with a size for each symbolic dimension, such as `("rows", 16)`.
///
/// # Errors
/// As [`import`]; [`OnnxError::SymbolicDimension`] for a dimension that is not among `dimensions`.
pub fn import_with(bytes: &[u8], dimensions: &[(&str, usize)]) -> Result<Graph, OnnxError> {
    let model = ModelProto::decode(bytes)?;
    check_opset(&model)?;
    let proto = model.graph.as_ref().ok_or(OnnxError::NoGraph)?;
    if !proto.sparse_initializer.is_empty() {
        return Err(OnnxError::Unsupported("sparse constants"));
    }
    let mut reader = Reader {
        graph: Graph::new(),
        values: HashMap::new(),
        constants: HashMap::new(),
    };
    for constant in &proto.initializer {
        reader.define_constant(&constant.name, Cow::Borrowed(constant))?;
    }
    for input in &proto.input {
        // Before IR version 4 constants were listed as inputs too.
        if !reader.constants.contains_key(input.name.as_str()) {
            if reader.values.contains_key(input.name.as_str()) {
                return Err(OnnxError::Redefined {
                    value: input.name.clone(),
                });
            }
            let value = read_input(&mut reader.graph, input, dimensions)?;
            reader.define(&input.name, value)?;
        }
    }
    for node in &proto.node {
        reader.node(node)?;
    }
    let mut outputs = HashSet::new();
    for output in &proto.output {
        if !outputs.insert(output.name.as_str()) {
            return Err(OnnxError::Redefined {
                value: output.name.clone(),
            });
        }
        let value = reader.value("graph output", &output.name)?;
        reader.graph.output(&output.name, value)?;
    }
    Ok(reader.graph.prune())
}

/// The values stored in a model, by name: constants, and defaults of inputs.
///
/// # Errors
/// [`OnnxError`] for what is malformed, or kept in another file.
pub fn initializers(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, OnnxError> {
    let graph = ModelProto::decode(bytes)?.graph.unwrap_or_default();
    let decode = |proto: &TensorProto| Ok((proto.name.clone(), tensor::decode(proto, &graph.name)?));
    graph.initializer.iter().map(decode).collect()
}

/// The key and value pairs in a model's metadata, without reading its graph.
///
/// # Errors
/// [`OnnxError::Malformed`].
pub fn metadata(bytes: &[u8]) -> Result<Vec<(String, String)>, OnnxError> {
    let model = ModelProto::decode(bytes)?;
    Ok(model
        .metadata_props
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect())
}

fn check_opset(model: &ModelProto) -> Result<(), OnnxError> {
    if !model.functions.is_empty() {
        return Err(OnnxError::Unsupported("functions of its own"));
    }
    let standard = model.opset_import.iter().find(|opset| is_standard(&opset.domain));
    let found = standard.map_or(0, |opset| opset.version);
    if found == OPSET {
        Ok(())
    } else {
        Err(OnnxError::Opset { found, expected: OPSET })
    }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn read_input(graph: &mut Graph, input: &ValueInfoProto, dimensions: &[(&str, usize)]) -> Result<ValueId, OnnxError> {
    let wrong = |problem| OnnxError::Type {
        value: input.name.clone(),
        problem,
    };
    let tensor_type = input.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref());
    let tensor_type = tensor_type.ok_or_else(|| wrong("is no dense tensor"))?;
    let dtype = tensor::dtype(tensor_type.elem_type);
    let dtype = dtype.ok_or_else(|| wrong("has an element type other than float, int64 and bool"))?;
    let shape = tensor_type.shape.as_ref().ok_or_else(|| wrong("has no shape"))?;
    let size = |dimension: &super::proto::DimensionProto| match &dimension.value {
        Some(DimensionValue::Value(size)) => usize::try_from(*size).map_err(|_| wrong("has a negative dimension")),
        Some(DimensionValue::Parameter(name)) => {
            let known = dimensions
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, size)| *size);
            known.ok_or_else(|| OnnxError::SymbolicDimension {
                input: input.name.clone(),
                dimension: name.clone(),
            })
        }
        None => Err(OnnxError::SymbolicDimension {
            input: input.name.clone(),
            dimension: String::new(),
        }),
    };
    let shape: Vec<usize> = shape.dim.iter().map(size).collect::<Result<_, _>>()?;
    if tensor::elements(&shape).is_none() {
        return Err(wrong("is empty or too large"));
    }
    Ok(graph.input(&input.name, dtype, &shape)?)
}

/// A model being read.
pub(super) struct Reader<'m> {
    pub(super) graph: Graph,
    values: HashMap<&'m str, ValueId>,
    /// Constants enter the graph when something other than an attribute needs them.
    constants: HashMap<&'m str, Cow<'m, TensorProto>>,
}

impl<'m> Reader<'m> {
    /// The constant of this name.
    pub(super) fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.constants.get(name).map(Cow::as_ref)
    }

    /// The value of this name, which `node` reads.
    pub(super) fn value(&mut self, node: &str, name: &'m str) -> Result<ValueId, OnnxError> {
        if let Some(&value) = self.values.get(name) {
            return Ok(value);
        }
        let Some(constant) = self.constants.get(name) else {
            return Err(OnnxError::UndefinedValue {
                node: node.to_owned(),
                value: name.to_owned(),
            });
        };
        let value = self.graph.constant(tensor::decode(constant, name)?);
        self.values.insert(name, value);
        Ok(value)
    }

    fn define(&mut self, name: &'m str, value: ValueId) -> Result<(), OnnxError> {
        if self.constants.contains_key(name) || self.values.insert(name, value).is_some() {
            return Err(OnnxError::Redefined { value: name.to_owned() });
        }
        Ok(())
    }

    fn define_constant(&mut self, name: &'m str, constant: Cow<'m, TensorProto>) -> Result<(), OnnxError> {
        if self.values.contains_key(name) || self.constants.insert(name, constant).is_some() {
            return Err(OnnxError::Redefined { value: name.to_owned() });
        }
        Ok(())
    }

    fn node(&mut self, proto: &'m NodeProto) -> Result<(), OnnxError> {
        let name = node_name(proto);
        let [result] = proto.output.as_slice() else {
            return Err(OnnxError::Arity {
                node: name,
                what: "results",
                found: proto.output.len(),
                expected: 1,
            });
        };
        let unsupported = |name| {
            let domain = if is_standard(&proto.domain) { "" } else { &proto.domain };
            let separator = if domain.is_empty() { "" } else { "." };
            OnnxError::Operator {
                node: name,
                operator: format!("{domain}{separator}{}", proto.op_type),
            }
        };
        if !is_standard(&proto.domain) {
            return Err(unsupported(name));
        }
        if proto.op_type == "Constant" {
            let constant = constant_node(proto, &name)?;
            return self.define_constant(result, constant);
        }
        if proto.op_type == "Shape" && proto.attribute.is_empty() && proto.input.len() == 1 {
            // Shapes are static here, so this is a constant.
            let value = self.value(&name, &proto.input[0])?;
            let shape: Vec<i64> = self.graph.shape(value).iter().map(|&length| length as i64).collect();
            return self.define_constant(result, Cow::Owned(tensor::encode_vector(&shape, result)));
        }
        let mut node = NodeReader::new(self, proto, &name);
        let Some(op) = read::operator(&proto.op_type, &mut node)? else {
            return Err(unsupported(name));
        };
        let alias = node.marked(ALIAS);
        let operands = node.finish()?;
        // A graph output that is an input, a constant or another output: ONNX needs a node there, Pliant does not.
        let value = match operands.as_slice() {
            &[value] if alias => value,
            _ => self
                .graph
                .push_exact(op, &operands)
                .map_err(|reason| OnnxError::Graph {
                    node: name.clone(),
                    reason: Box::new(reason),
                })?,
        };
        if tensor::elements(self.graph.shape(value)).is_none() {
            return Err(OnnxError::Type {
                value: name,
                problem: "is empty or too large",
            });
        }
        self.define(result, value)
    }
}

/// Name of a node for messages.
fn node_name(node: &NodeProto) -> String {
    match node.output.first() {
        _ if !node.name.is_empty() => node.name.clone(),
        Some(output) => format!("{} {output}", node.op_type),
        None => node.op_type.clone(),
    }
}

/// The tensor in a `Constant` node.
fn constant_node<'m>(node: &'m NodeProto, name: &str) -> Result<Cow<'m, TensorProto>, OnnxError> {
    let wrong = |problem| OnnxError::Attribute {
        node: name.to_owned(),
        attribute: "value".to_owned(),
        problem,
    };
    let [attribute] = node.attribute.as_slice() else {
        return Err(wrong("must be the only attribute"));
    };
    if !node.input.is_empty() {
        return Err(OnnxError::Arity {
            node: name.to_owned(),
            what: "operands",
            found: node.input.len(),
            expected: 0,
        });
    }
    let float = i32::from(super::proto::ElementType::Float);
    let int = i32::from(super::proto::ElementType::Int64);
    let scalar = |data_type| TensorProto {
        data_type,
        ..Default::default()
    };
    let vector = |data_type, len: usize| TensorProto {
        data_type,
        dims: vec![len as i64],
        ..Default::default()
    };
    match (attribute.name.as_str(), AttributeType::try_from(attribute.r#type)) {
        ("value", Ok(AttributeType::Tensor)) => attribute
            .t
            .as_ref()
            .map(Cow::Borrowed)
            .ok_or_else(|| wrong("holds no tensor")),
        ("value_float", Ok(AttributeType::Float)) => Ok(Cow::Owned(TensorProto {
            float_data: vec![attribute.f],
            ..scalar(float)
        })),
        ("value_int", Ok(AttributeType::Int)) => Ok(Cow::Owned(TensorProto {
            int64_data: vec![attribute.i],
            ..scalar(int)
        })),
        ("value_floats", Ok(AttributeType::Floats)) => {
            let values = attribute.floats.clone();
            Ok(Cow::Owned(TensorProto {
                float_data: values.clone(),
                ..vector(float, values.len())
            }))
        }
        ("value_ints", Ok(AttributeType::Ints)) => {
            let values = attribute.ints.clone();
            Ok(Cow::Owned(TensorProto {
                int64_data: values.clone(),
                ..vector(int, values.len())
            }))
        }
        _ => Err(wrong("must be a tensor, or one or several floats or integers")),
    }
}
