//! ONNX export and import: every operator there and back, symbolic rows, and bytes that are no model.

mod cases;

use std::{collections::HashMap, panic};

use cases::{Case, Random, cases, uncovered};
use pliant_compiler::{
    autodiff::gradients,
    graph::{DType, Graph, GraphError, ValueId},
    onnx::{self, ExportOptions, OnnxError, export, export_symbolic, import, import_with, proto},
    ops::Operator as _,
    passes::simplify,
    reference::{Tensor64, evaluate},
};
use prost::Message as _;

fn bytes(graph: &Graph) -> Vec<u8> {
    export(graph, &ExportOptions::default()).unwrap()
}

/// Whether two graphs have the same inputs, outputs and operators; the order of independent nodes does not matter.
fn same(a: &Graph, b: &Graph) -> Result<(), String> {
    fn names(ports: &[pliant_compiler::graph::Port]) -> Vec<&str> {
        ports.iter().map(|port| &*port.name).collect()
    }
    if names(a.inputs()) != names(b.inputs()) || names(a.outputs()) != names(b.outputs()) {
        return Err("names of inputs or outputs differ".to_owned());
    }
    if a.len() != b.len() {
        return Err(format!("{} nodes against {}", a.len(), b.len()));
    }
    let mut partner: HashMap<ValueId, ValueId> = HashMap::new();
    let mut todo: Vec<(ValueId, ValueId)> = a
        .outputs()
        .iter()
        .zip(b.outputs())
        .chain(a.inputs().iter().zip(b.inputs()))
        .map(|(a, b)| (a.value, b.value))
        .collect();
    while let Some((left, right)) = todo.pop() {
        match partner.insert(left, right) {
            Some(before) if before != right => return Err(format!("{left} is {before} and {right}")),
            Some(_) => continue,
            None => {}
        }
        let (x, y) = (a.node(left), b.node(right));
        if x.op != y.op || x.value_type != y.value_type || x.inputs.len() != y.inputs.len() {
            return Err(format!("{left}: {x:?} against {y:?}"));
        }
        todo.extend(x.inputs.iter().copied().zip(y.inputs.iter().copied()));
    }
    Ok(())
}

fn assert_survives(name: &str, graph: &Graph) {
    let back = import(&bytes(graph)).unwrap_or_else(|e| panic!("{name}: {e}"));
    same(&graph.prune(), &back).unwrap_or_else(|e| panic!("{name}: {e}"));
}

#[test]
fn every_operator_has_a_case() {
    assert_eq!(uncovered(&cases()), [""; 0]);
}

#[test]
fn every_operator_its_gradient_and_its_second_order_gradient_survive_export_and_import() {
    for case in cases() {
        assert_survives(&case.name, &case.graph);
        for graph in [case.gradient(), case.second_order()].into_iter().flatten() {
            assert_survives(&case.name, &graph);
        }
    }
}

#[test]
fn the_comparison_of_graphs_sees_a_difference() {
    let build = |end| {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[4]).unwrap();
        let y = graph.slice(x, 0, 0, end).unwrap();
        let sum = graph.sum_all(y).unwrap();
        graph.output("y", sum).unwrap();
        graph
    };
    assert!(same(&build(2), &build(2)).is_ok());
    assert!(same(&build(2), &build(3)).is_err());
}

#[test]
fn outputs_may_be_inputs_constants_and_one_another() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2]).unwrap();
    let v1 = graph.input("v1", DType::F32, &[2]).unwrap();
    let y = graph.add(x, v1).unwrap();
    let c = graph.scalar(3.0);
    for (name, value) in [("constant_0", y), ("same", y), ("input", x), ("number", c)] {
        graph.output(name, value).unwrap();
    }
    assert_survives("aliases", &graph);
    let clash = {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[2]).unwrap();
        let y = graph.neg(x).unwrap();
        graph.output("x", y).unwrap();
        export(&graph, &ExportOptions::default())
    };
    assert_eq!(clash, Err(OnnxError::Redefined { value: "x".to_owned() }));
}

#[test]
fn metadata_and_names_are_in_the_model() {
    let case = &cases()[2];
    let options = ExportOptions {
        name: "policy".to_owned(),
        doc: "moves".to_owned(),
        metadata: vec![("contract".to_owned(), "{}".to_owned())],
    };
    let bytes = export(&case.graph, &options).unwrap();
    let model = proto::ModelProto::decode(bytes.as_slice()).unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 18));
    assert_eq!(model.graph.unwrap().name, "policy");
    assert_eq!(onnx::metadata(&bytes).unwrap(), options.metadata);
}

/// Weighted sum of squared errors of a linear model and its gradient: what an adaptation step over rows looks like.
fn step(rows: usize) -> Result<Graph, OnnxError> {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[rows, 3])?;
    let y = graph.input("y", DType::F32, &[rows, 2])?;
    let row_weight = graph.input("row_weight", DType::F32, &[rows])?;
    let w = graph.input("w", DType::F32, &[3, 2])?;
    let prediction = graph.matmul(x, w)?;
    let error = graph.sub(prediction, y)?;
    let square = graph.square(error)?;
    let column = graph.reshape(row_weight, &[rows, 1])?;
    let weighted = graph.mul(square, column)?;
    let sum = graph.sum_all(weighted)?;
    let total = graph.sum_all(row_weight)?;
    let loss = graph.div(sum, total)?;
    let gradient = gradients(&mut graph, loss, &[w]).unwrap()[0];
    let next = graph.sub(w, gradient)?;
    graph.output("prediction", prediction)?;
    graph.output("w_next", next)?;
    Ok(graph)
}

#[test]
fn a_symbolic_model_is_the_graph_at_any_number_of_rows() {
    let simplified = |rows| Ok::<_, OnnxError>(simplify(&step(rows)?));
    for bytes in [
        export_symbolic("rows", &ExportOptions::default(), step).unwrap(),
        export_symbolic("rows", &ExportOptions::default(), simplified).unwrap(),
    ] {
        equals_the_step(&bytes);
    }
}

fn equals_the_step(bytes: &[u8]) {
    for rows in [1, 2, 5, 64] {
        let back = import_with(bytes, &[("rows", rows)]).unwrap();
        let mut random = Random(rows as u64);
        let inputs: Vec<(String, Tensor64)> = back
            .inputs()
            .iter()
            .map(|port| {
                let shape = back.shape(port.value);
                (
                    port.name.to_string(),
                    Tensor64::new(shape, random.many(shape.iter().product(), 0.1, 1.0)),
                )
            })
            .collect();
        let named: Vec<(&str, Tensor64)> = inputs
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        assert_eq!(
            evaluate(&back, &named).unwrap(),
            evaluate(&step(rows).unwrap(), &named).unwrap()
        );
    }
    let missing = import(bytes).unwrap_err();
    assert_eq!(
        missing,
        OnnxError::SymbolicDimension {
            input: "x".to_owned(),
            dimension: "rows".to_owned()
        }
    );
}

#[test]
fn what_depends_on_the_number_of_rows_is_refused_and_named() {
    let mean = |rows: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[rows])?;
        let sum = graph.sum_all(x)?;
        let mean = graph.scale(sum, 1.0 / rows as f32)?;
        graph.output("mean", mean)?;
        Ok::<_, OnnxError>(graph)
    };
    let error = export_symbolic("rows", &ExportOptions::default(), mean).unwrap_err();
    assert!(
        matches!(&error, OnnxError::Symbolic { node, .. } if node.starts_with("Constant")),
        "{error}"
    );

    let double = |rows: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[2 * rows])?;
        graph.output("y", x)?;
        Ok::<_, OnnxError>(graph)
    };
    let error = export_symbolic("rows", &ExportOptions::default(), double).unwrap_err();
    assert!(
        matches!(&error, OnnxError::Symbolic { node, .. } if node.starts_with("Input")),
        "{error}"
    );

    let half = |rows: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[rows])?;
        let y = graph.slice(x, 0, 0, rows / 2)?;
        graph.output("y", y)?;
        Ok::<_, OnnxError>(graph)
    };
    let error = export_symbolic("rows", &ExportOptions::default(), half).unwrap_err();
    assert!(
        matches!(&error, OnnxError::Symbolic { node, .. } if node.starts_with("Slice")),
        "{error}"
    );
}

/// A model of one node, for spoiling.
fn model() -> proto::ModelProto {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2, 3]).unwrap();
    let y = graph.softmax(x, 1).unwrap();
    graph.output("y", y).unwrap();
    proto::ModelProto::decode(bytes(&graph).as_slice()).unwrap()
}

#[test]
fn what_pliant_does_not_read_is_a_typed_error_that_names_the_node() {
    let refused = |spoil: &dyn Fn(&mut proto::ModelProto)| {
        let mut model = model();
        spoil(&mut model);
        import(&model.encode_to_vec()).unwrap_err()
    };
    fn node(model: &mut proto::ModelProto) -> &mut proto::NodeProto {
        &mut model.graph.as_mut().unwrap().node[0]
    }
    let operator = refused(&|m| node(m).op_type = "Conv".to_owned());
    assert_eq!(
        operator,
        OnnxError::Operator {
            node: "Softmax y".to_owned(),
            operator: "Conv".to_owned()
        }
    );
    let domain = refused(&|m| node(m).domain = "com.microsoft".to_owned());
    assert!(domain.to_string().contains("com.microsoft.Softmax"), "{domain}");
    let attribute = refused(&|m| node(m).attribute[0].name = "mode".to_owned());
    assert!(
        matches!(&attribute, OnnxError::Attribute { attribute, .. } if attribute == "mode"),
        "{attribute}"
    );
    let axis = refused(&|m| node(m).attribute[0].i = 2);
    assert!(
        matches!(&axis, OnnxError::Attribute { node, .. } if node == "Softmax y"),
        "{axis}"
    );
    let opset = refused(&|m| m.opset_import[0].version = 21);
    assert_eq!(
        opset,
        OnnxError::Opset {
            found: 21,
            expected: 18
        }
    );
    let undefined = refused(&|m| node(m).input[0] = "z".to_owned());
    assert!(matches!(undefined, OnnxError::UndefinedValue { .. }));
    let arity = refused(&|m| node(m).input.push("x".to_owned()));
    let OnnxError::Graph { reason, .. } = arity else {
        panic!("{arity}")
    };
    assert!(matches!(*reason, GraphError::Operator { .. }), "{reason}");
    let dtype = refused(&|m| {
        let input = &mut m.graph.as_mut().unwrap().input[0];
        input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = 10;
    });
    assert!(matches!(dtype, OnnxError::Type { .. }));
    let external = refused(&|m| {
        node(m).input[0] = "w".to_owned();
        m.graph.as_mut().unwrap().initializer.push(proto::TensorProto {
            name: "w".to_owned(),
            dims: vec![2, 3],
            data_type: 1,
            data_location: 1,
            ..Default::default()
        });
    });
    assert!(matches!(external, OnnxError::Constant { .. }));
    assert_eq!(refused(&|m| m.graph = None), OnnxError::NoGraph);
    assert!(matches!(import(b"not a model"), Err(OnnxError::Malformed(_))));
}

#[test]
fn constant_nodes_and_negative_axes_of_other_writers_are_read() {
    let mut model = model();
    let graph = model.graph.as_mut().unwrap();
    graph.node[0].attribute[0].i = -1;
    graph.node[0].output[0] = "s".to_owned();
    let attribute = |name: &str, kind: proto::AttributeType| {
        let mut attribute = proto::AttributeProto {
            name: name.to_owned(),
            ..Default::default()
        };
        attribute.set_type(kind);
        attribute
    };
    let mut value = attribute("value_ints", proto::AttributeType::Ints);
    value.ints = vec![-1];
    graph.node.push(proto::NodeProto {
        op_type: "Constant".to_owned(),
        output: vec!["axes".to_owned()],
        attribute: vec![value],
        ..Default::default()
    });
    graph.node.push(proto::NodeProto {
        op_type: "ReduceSum".to_owned(),
        input: vec!["s".to_owned(), "axes".to_owned()],
        output: vec!["y".to_owned()],
        ..Default::default()
    });
    let graph = import(&model.encode_to_vec()).unwrap();
    let y = graph.find_output("y").unwrap();
    assert_eq!((graph.op(y).name(), graph.shape(y)), ("ReduceSum", &[2, 1][..]));
}

/// Every prefix, and thousands of models with bytes changed: an error or a graph, never a panic.
#[test]
fn no_bytes_make_the_importer_panic() {
    let tried: Vec<Case> = cases().into_iter().filter(|case| case.graph.len() < 12).collect();
    let mut random = Random(99);
    for case in &tried {
        let good = bytes(&case.graph);
        let attempt = |bytes: &[u8]| {
            let result = panic::catch_unwind(|| import_with(bytes, &[("rows", 3)]).map(|graph| graph.len()));
            assert!(result.is_ok(), "{}: {bytes:02x?}", case.name);
        };
        for end in (0..good.len()).step_by(3) {
            attempt(&good[..end]);
        }
        for _ in 0..300 {
            let mut bad = good.clone();
            for _ in 0..1 + random.between(0.0, 3.0) as usize {
                let at = random.between(0.0, bad.len() as f64) as usize % bad.len();
                bad[at] = match random.between(0.0, 3.0) as u8 {
                    0 => random.between(0.0, 256.0) as u8,
                    1 => bad[at] ^ (1 << (random.between(0.0, 8.0) as u8 & 7)),
                    _ => 0xff,
                };
            }
            attempt(&bad);
        }
    }
}
