//! A graph to ONNX bytes.

use std::collections::{HashMap, HashSet};

use prost::Message as _;

use super::{
    IR_VERSION, OPSET,
    error::OnnxError,
    proto::{
        AttributeProto, AttributeType, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
        ValueInfoProto,
    },
    symbolic::{Symbols, Target},
    tensor,
};
use crate::{
    graph::{Graph, Node, Tensor, ValueId, ValueType},
    ops::{OnnxAttribute, OnnxConstant, Op, Operator as _},
};

/// What goes into a model besides the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Name of the graph; `graph` where it is empty.
    pub name: String,
    /// Prose for whoever opens the model.
    pub doc: String,
    /// Key and value pairs; the contract goes here. Keys are unique.
    pub metadata: Vec<(String, String)>,
}

/// Marks the `Identity` that stands for an output which is an input, a constant or another output.
pub(super) const ALIAS: &str = "alias";

/// Writes a graph as an ONNX model: opset 18, IR version 8, names of inputs and outputs kept, nodes that no output needs
/// left out.
///
/// ```
/// use pliant_compiler::{graph::{DType, Graph}, onnx};
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[3])?;
/// let y = graph.tanh(x)?;
/// graph.output("y", y)?;
/// let bytes = onnx::export(&graph, &onnx::ExportOptions::default())?;
/// assert_eq!(onnx::import(&bytes)?.outputs(), graph.outputs());
/// # Ok::<(), onnx::OnnxError>(())
/// ```
///
/// # Errors
/// [`OnnxError::Redefined`] when an input and an output have one name, [`OnnxError::Type`] when one has none: ONNX has one
/// name space.
pub fn export(graph: &Graph, options: &ExportOptions) -> Result<Vec<u8>, OnnxError> {
    Ok(model(&graph.prune(), options, None)?.encode_to_vec())
}

/// The model of a pruned graph, with symbolic dimensions where there are some.
pub(super) fn model(
    graph: &Graph,
    options: &ExportOptions,
    symbols: Option<&Symbols>,
) -> Result<ModelProto, OnnxError> {
    let graph = write(graph, options, symbols)?;
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "pliant".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: options.doc.clone(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: options
            .metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
        ..Default::default()
    })
}

fn write(graph: &Graph, options: &ExportOptions, symbols: Option<&Symbols>) -> Result<GraphProto, OnnxError> {
    let mut writer = Writer::new(graph)?;
    for port in graph.inputs() {
        writer.names[port.value.index()] = port.name.to_string();
    }
    // The first output of a node names its value; further outputs, and outputs that are inputs or constants, are copies.
    let mut aliases = Vec::new();
    for port in graph.outputs() {
        let name = &mut writer.names[port.value.index()];
        if name.is_empty() && !matches!(graph.op(port.value), Op::Constant(_)) {
            *name = port.name.to_string();
        } else {
            aliases.push(port);
        }
    }
    for (value, node) in graph.iter() {
        match &node.op {
            Op::Input(_) => {}
            Op::Constant(constant) => writer.names[value.index()] = writer.constant(&constant.tensor),
            _ => writer.operator(graph, value, node, symbols),
        }
    }
    for port in aliases {
        let input = vec![writer.names[port.value.index()].clone()];
        writer.nodes.push(NodeProto {
            name: format!("Identity {}", port.name),
            op_type: "Identity".to_owned(),
            doc_string: ALIAS.to_owned(),
            input,
            output: vec![port.name.to_string()],
            ..Default::default()
        });
    }
    let info = |port: &crate::graph::Port| value_info(&port.name, port.value, graph, symbols);
    Ok(GraphProto {
        name: if options.name.is_empty() {
            "graph".to_owned()
        } else {
            options.name.clone()
        },
        doc_string: options.doc.clone(),
        input: graph.inputs().iter().map(info).collect(),
        output: graph.outputs().iter().map(info).collect(),
        node: writer.nodes,
        initializer: writer.constants,
        ..Default::default()
    })
}

fn value_info(name: &str, value: ValueId, graph: &Graph, symbols: Option<&Symbols>) -> ValueInfoProto {
    let dimension = |(axis, &length): (usize, &usize)| DimensionProto {
        value: match symbols {
            Some(symbols) => symbols.dimension(value, axis, length),
            None => Some(DimensionValue::Value(length as i64)),
        },
    };
    let shape = TensorShapeProto {
        dim: graph.shape(value).iter().enumerate().map(dimension).collect(),
    };
    let elem_type = tensor::element_type(graph.dtype(value)).into();
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type,
                shape: Some(shape),
            }),
        }),
        ..Default::default()
    }
}

/// A graph being written.
struct Writer {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Constants that act as attributes (shapes, axes), by value: one tensor serves all nodes.
    lists: HashMap<Vec<i64>, String>,
    /// Likewise constants of the graph and scalar attributes.
    tensors: HashMap<Tensor, String>,
    /// By value; empty where there is none yet.
    names: Vec<String>,
    /// Names of inputs and outputs, which nothing else may have.
    taken: HashSet<String>,
}

impl Writer {
    fn new(graph: &Graph) -> Result<Self, OnnxError> {
        let mut taken = HashSet::new();
        for port in graph.inputs().iter().chain(graph.outputs()) {
            if port.name.is_empty() {
                return Err(OnnxError::Type {
                    value: String::new(),
                    problem: "an input or output has no name",
                });
            }
            if !taken.insert(port.name.to_string()) {
                return Err(OnnxError::Redefined {
                    value: port.name.to_string(),
                });
            }
        }
        Ok(Self {
            nodes: Vec::new(),
            constants: Vec::new(),
            lists: HashMap::new(),
            tensors: HashMap::new(),
            names: vec![String::new(); graph.len()],
            taken,
        })
    }

    /// A name that is not taken.
    fn fresh(&mut self, wanted: String) -> String {
        let mut name = wanted;
        while !self.taken.insert(name.clone()) {
            name.insert(0, '_');
        }
        name
    }

    fn constant(&mut self, tensor: &Tensor) -> String {
        if let Some(name) = self.tensors.get(tensor) {
            return name.clone();
        }
        let name = self.fresh(format!("constant_{}", self.constants.len()));
        self.constants.push(tensor::encode(tensor, &name));
        self.tensors.insert(tensor.clone(), name.clone());
        name
    }

    fn list(&mut self, values: Vec<i64>) -> String {
        if let Some(name) = self.lists.get(&values) {
            return name.clone();
        }
        let name = self.fresh(format!("constant_{}", self.constants.len()));
        self.constants.push(tensor::encode_vector(&values, &name));
        self.lists.insert(values, name.clone());
        name
    }

    fn operator(&mut self, graph: &Graph, value: ValueId, node: &Node, symbols: Option<&Symbols>) {
        let types: Vec<&ValueType> = node.inputs.iter().map(|&input| graph.value_type(input)).collect();
        let form = node.op.onnx(&types, &node.value_type);
        if self.names[value.index()].is_empty() {
            self.names[value.index()] = self.fresh(format!("v{}", value.index()));
        }
        let output = self.names[value.index()].clone();
        let mut input: Vec<String> = node
            .inputs
            .iter()
            .map(|&input| self.names[input.index()].clone())
            .collect();
        if let Op::ScatterAdd(scatter) = &node.op {
            self.broadcast_indices(&output, &mut input, scatter.axis, &types);
        }
        let no_axes = form.constants == [OnnxConstant::List(Vec::new())];
        for constant in form.constants {
            let name = match constant {
                OnnxConstant::Scalar(number) => self.constant(&Tensor::scalar(number)),
                OnnxConstant::List(values) => match symbols.and_then(|symbols| symbols.target(value)) {
                    None => self.list(values),
                    Some(Target::List(values)) => self.list(values),
                    Some(Target::ShapeOf(of)) => {
                        let of = self.names[of.index()].clone();
                        self.before(&output, "Shape", "shape", vec![of])
                    }
                },
            };
            input.push(name);
        }
        let mut attribute: Vec<_> = form
            .attributes
            .into_iter()
            .map(|(name, value)| attribute(name, value))
            .collect();
        if form.op_type.starts_with("Reduce") && types[0].rank() > 0 && no_axes {
            // ONNX would reduce over all of them.
            attribute.push(self::attribute("noop_with_empty_axes", OnnxAttribute::Int(1)));
        }
        // Where ONNX's operator alone does not tell which of Pliant's it is, the importer reads it here.
        let mark = if form.op_type == "Identity" && node.op.name() != form.op_type {
            node.op.name()
        } else {
            ""
        };
        self.nodes.push(NodeProto {
            name: format!("{} {output}", node.op.name()),
            op_type: form.op_type.to_owned(),
            doc_string: mark.to_owned(),
            input,
            output: vec![output],
            attribute,
            ..Default::default()
        });
    }

    /// `ScatterElements` wants indices of the updates' shape, and as many axes in the updates as in the data.
    fn broadcast_indices(&mut self, output: &str, input: &mut [String], axis: usize, types: &[&ValueType]) {
        let (data, indices) = (types[0], types[1]);
        let count = indices.elements() as i64;
        let mut along: Vec<i64> = vec![1; data.rank()];
        along[axis] = count;
        let mut full: Vec<i64> = data.shape.iter().map(|&length| length as i64).collect();
        full[axis] = count;
        if indices.rank() != 1 {
            let shape = self.list(full.clone());
            input[2] = self.before(output, "Reshape", "updates", vec![input[2].clone(), shape]);
        }
        let shape = self.list(along);
        input[1] = self.before(output, "Reshape", "indices", vec![input[1].clone(), shape]);
        let shape = self.list(full);
        input[1] = self.before(output, "Expand", "broadcast", vec![input[1].clone(), shape]);
    }

    /// Writes a node before the one that makes `output`; gives the name of its result.
    fn before(&mut self, output: &str, op_type: &str, role: &str, input: Vec<String>) -> String {
        let result = self.fresh(format!("{output}_{role}"));
        self.nodes.push(NodeProto {
            name: format!("{op_type} {result}"),
            op_type: op_type.to_owned(),
            input,
            output: vec![result.clone()],
            ..Default::default()
        });
        result
    }
}

fn attribute(name: &str, value: OnnxAttribute) -> AttributeProto {
    let mut attribute = AttributeProto {
        name: name.to_owned(),
        ..Default::default()
    };
    match value {
        OnnxAttribute::Int(value) => {
            attribute.set_type(AttributeType::Int);
            attribute.i = value;
        }
        OnnxAttribute::Ints(values) => {
            attribute.set_type(AttributeType::Ints);
            attribute.ints = values;
        }
        OnnxAttribute::String(text) => {
            attribute.set_type(AttributeType::String);
            attribute.s = text.as_bytes().to_vec();
        }
    }
    attribute
}
