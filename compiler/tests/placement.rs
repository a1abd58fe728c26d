//! What lowering does with memory and records: fusion, in-place updates, hazards, bindings it refuses.

mod support;

use pliant_compiler::graph::{DType, Graph, GraphError, Tensor, ValueId};
use pliant_compiler::image::{Bindings, LowerError, LowerOptions, LoweredPlan, Place, lower};
use pliant_runtime::image::record::{Binary, Opcode, Record, Space, Ternary, Unary, flags};
use support::{Memory, Random};

/// Without chains, which pack several of the records looked at here into one.
fn lowered(graph: &Graph, bindings: &Bindings) -> LoweredPlan {
    let options = LowerOptions {
        chain: false,
        ..LowerOptions::default()
    };
    lower(graph, bindings, &options).unwrap()
}

fn kinds(plan: &LoweredPlan) -> Vec<(Opcode, u8)> {
    plan.records
        .iter()
        .map(|record: &Record| (record.opcode().unwrap(), record.function()))
        .collect()
}

#[test]
fn a_layer_is_one_record_that_writes_its_output() -> Result<(), GraphError> {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[5, 3])?;
    let w = graph.input("w", DType::F32, &[3, 4])?;
    let b = graph.input("b", DType::F32, &[4])?;
    let product = graph.matmul(x, w)?;
    let sum = graph.add(product, b)?;
    let y = graph.tanh(sum)?;
    graph.output("y", y)?;
    let plan = lowered(&graph, &Bindings::new());
    assert_eq!(kinds(&plan), [(Opcode::MatMul, Unary::Tanh as u8)]);
    assert_eq!(plan.records[0].operand(1).space(), Some(Space::Output));
    assert_eq!(plan.sizes.get(Space::Arena), 0);
    Ok(())
}

#[test]
fn back_through_a_layer_is_one_record_and_one_transpose() -> Result<(), GraphError> {
    let mut graph = Graph::new();
    let y = graph.input("y", DType::F32, &[5, 4])?;
    let next = graph.input("next", DType::F32, &[5, 3])?;
    let w = graph.input("w", DType::F32, &[4, 3])?;
    let transposed = graph.transpose_matrix(w)?;
    let cotangent = graph.matmul(next, transposed)?;
    let one = graph.scalar(1.0);
    let square = graph.square(y)?;
    let slope = graph.sub(one, square)?;
    let gradient = graph.mul(cotangent, slope)?;
    graph.output("gradient", gradient)?;
    let plan = lowered(&graph, &Bindings::new());
    assert_eq!(kinds(&plan), [(Opcode::Copy, 0), (Opcode::MatMul, 0)]);
    assert_eq!(plan.records[1].words[14], Binary::TanhGradient as u32);
    Ok(())
}

#[test]
fn a_weight_gradient_reads_its_transpose_in_place() -> Result<(), GraphError> {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[5, 4])?;
    let y = graph.input("y", DType::F32, &[5, 3])?;
    let transposed = graph.transpose_matrix(x)?;
    let gradient = graph.matmul(transposed, y)?;
    graph.output("gradient", gradient)?;
    let plan = lowered(&graph, &Bindings::new());
    assert_eq!(plan.records.len(), 1);
    assert!(plan.records[0].has(flags::TRANSPOSE_A));
    Ok(())
}

#[test]
fn sums_and_products_with_numbers_and_of_three_values_are_one_record() -> Result<(), GraphError> {
    let mut graph = Graph::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| graph.input(name, DType::F32, &[6]).unwrap());
    let product = graph.mul(b, c)?;
    let difference = graph.sub(a, product)?;
    graph.output("difference", difference)?;
    let half = graph.scale(a, 0.5)?;
    let three = graph.scalar(3.0);
    let shifted = graph.sub(three, half)?;
    graph.output("shifted", shifted)?;
    let plan = lowered(&graph, &Bindings::new());
    assert_eq!(
        kinds(&plan),
        [
            (Opcode::Ternary, Ternary::SubProduct as u8),
            (Opcode::Unary, Unary::Affine as u8)
        ]
    );
    assert_eq!(f32::from_bits(plan.records[1].words[4]), -0.5);
    Ok(())
}

#[test]
fn the_parts_of_a_concatenation_are_written_where_they_belong() -> Result<(), GraphError> {
    let mut graph = Graph::new();
    let a = graph.input("a", DType::F32, &[2, 3])?;
    let b = graph.input("b", DType::F32, &[1, 3])?;
    let (x, y) = (graph.exp(a)?, graph.sin(b)?);
    let joined = graph.concat(&[x, y], 0)?;
    graph.output("joined", joined)?;
    let plan = lowered(&graph, &Bindings::new());
    assert_eq!(
        kinds(&plan),
        [(Opcode::Unary, Unary::Exp as u8), (Opcode::Unary, Unary::Sin as u8)]
    );
    assert_eq!(plan.sizes.get(Space::Arena), 0);
    Ok(())
}

/// A graph over two states of four elements, bound in place.
fn stateful(build: impl Fn(&mut Graph, ValueId, ValueId) -> [ValueId; 2]) -> (Graph, Bindings) {
    let mut graph = Graph::new();
    let p = graph.input("p", DType::F32, &[4]).unwrap();
    let q = graph.input("q", DType::F32, &[4]).unwrap();
    let [next_p, next_q] = build(&mut graph, p, q);
    graph.output("next_p", next_p).unwrap();
    graph.output("next_q", next_q).unwrap();
    let (first, second) = (Place::new(Space::State, 0), Place::new(Space::State, 4));
    let bindings = Bindings::new()
        .input("p", first)
        .input("q", second)
        .output("next_p", first)
        .output("next_q", second);
    (graph, bindings)
}

fn run_stateful(graph: &Graph, bindings: &Bindings, fuse: bool) -> (Vec<f32>, Vec<f32>) {
    let options = LowerOptions {
        fuse,
        ..LowerOptions::default()
    };
    let plan = lower(graph, bindings, &options).unwrap();
    let mut memory = Memory::of(&plan);
    memory.set(&plan, "p", &[1.0, 2.0, 3.0, 4.0]);
    memory.set(&plan, "q", &[10.0, 20.0, 30.0, 40.0]);
    memory.run(&plan);
    (memory.get(&plan, "next_p"), memory.get(&plan, "next_q"))
}

#[test]
fn outputs_that_replace_inputs_never_overtake_their_readers() {
    for fuse in [true, false] {
        // Exchanged.
        let (graph, bindings) = stateful(|_, p, q| [q, p]);
        let expected = (vec![10.0, 20.0, 30.0, 40.0], vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(run_stateful(&graph, &bindings, fuse), expected);

        // The first is replaced early in the graph, and read late.
        let (graph, bindings) = stateful(|graph, p, q| {
            let next_p = graph.add(p, q).unwrap();
            let next_q = graph.mul(q, p).unwrap();
            [next_p, next_q]
        });
        let expected = (vec![11.0, 22.0, 33.0, 44.0], vec![10.0, 40.0, 90.0, 160.0]);
        assert_eq!(run_stateful(&graph, &bindings, fuse), expected);

        // Reversed by overlapping reads: element i depends on element 3 - i.
        let (graph, bindings) = stateful(|graph, p, q| {
            let parts: Vec<ValueId> = (0..4).rev().map(|i| graph.slice(p, 0, i, i + 1).unwrap()).collect();
            let reversed = graph.concat(&parts, 0).unwrap();
            let kept = graph.identity(q).unwrap();
            [reversed, kept]
        });
        let expected = (vec![4.0, 3.0, 2.0, 1.0], vec![10.0, 20.0, 30.0, 40.0]);
        assert_eq!(run_stateful(&graph, &bindings, fuse), expected);

        // Accumulated: the sum starts from the old value.
        let (graph, bindings) = stateful(|graph, p, q| {
            let rows = graph.constant(Tensor::f32(&[2, 4], vec![0.5; 8]).unwrap());
            let sum = graph.reduce_sum(rows, &[0], false).unwrap();
            let next_p = graph.add(p, sum).unwrap();
            let column = graph.constant(Tensor::f32(&[4, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap());
            let one = graph.constant(Tensor::f32(&[1, 1], vec![2.0]).unwrap());
            let product = graph.matmul(column, one).unwrap();
            let product = graph.reshape(product, &[4]).unwrap();
            let next_q = graph.add(product, q).unwrap();
            [next_p, next_q]
        });
        let expected = (vec![2.0, 3.0, 4.0, 5.0], vec![12.0, 24.0, 36.0, 48.0]);
        assert_eq!(run_stateful(&graph, &bindings, fuse), expected);
    }
}

#[test]
fn random_updates_of_states_are_the_same_fused_and_unfused() {
    for seed in 0..500 {
        let (graph, bindings) = stateful(|graph, p, q| {
            let mut random = Random(seed);
            let mut values = vec![p, q];
            for _ in 0..2 + random.below(6) {
                let a = values[random.below(values.len())];
                let b = values[random.below(values.len())];
                let made = match random.below(6) {
                    0 => graph.add(a, b),
                    1 => graph.sub(a, b),
                    2 => graph.tanh(a),
                    3 => graph.relu(a),
                    4 => graph.scale(a, 0.5),
                    _ => {
                        let low = graph.slice(a, 0, 0, 2).unwrap();
                        let high = graph.slice(b, 0, 2, 4).unwrap();
                        graph.concat(&[high, low], 0)
                    }
                };
                values.push(made.unwrap());
            }
            let pick = |random: &mut Random| values[values.len() - 1 - random.below(3.min(values.len()))];
            [pick(&mut random), pick(&mut random)]
        });
        assert_eq!(
            run_stateful(&graph, &bindings, true),
            run_stateful(&graph, &bindings, false),
            "seed {seed}"
        );
    }
}

#[test]
fn bindings_that_cannot_work_are_refused_with_the_reason() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2]).unwrap();
    let y = graph.input("y", DType::F32, &[2]).unwrap();
    let sum = graph.add(x, y).unwrap();
    graph.output("sum", sum).unwrap();
    let refuse = |bindings: Bindings| lower(&graph, &bindings, &LowerOptions::default()).unwrap_err();
    assert_eq!(
        refuse(Bindings::new().input("z", Place::new(Space::State, 0))),
        LowerError::UnknownName("z".into(), "input")
    );
    assert!(matches!(
        refuse(Bindings::new().output("sum", Place::new(Space::Input, 0))),
        LowerError::ReadOnly { .. }
    ));
    assert!(matches!(
        refuse(Bindings::new().input("x", Place::new(Space::Arena, 0))),
        LowerError::Reserved { .. }
    ));
    let overlapping = Bindings::new()
        .input("x", Place::new(Space::State, 0))
        .input("y", Place::new(Space::State, 1));
    assert!(matches!(refuse(overlapping), LowerError::Overlap { .. }));
    assert!(matches!(
        refuse(Bindings::new().input("x", Place::new(Space::State, 1 << 28))),
        LowerError::TooLarge { .. }
    ));
}

#[test]
fn truncation_and_truth_match_their_definition() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[8]).unwrap();
    let integer = graph.cast(x, DType::I64).unwrap();
    let truth = graph.cast(x, DType::Bool).unwrap();
    graph.output("integer", integer).unwrap();
    graph.output("truth", truth).unwrap();
    let plan = lowered(&graph, &Bindings::new());
    let mut memory = Memory::of(&plan);
    memory.set(
        &plan,
        "x",
        &[0.0, 0.4, 0.5, 0.9999, -1.5, -2.5, 1_000_000.0, 2_097_151.8],
    );
    memory.run(&plan);
    let integers = memory.get(&plan, "integer");
    assert_eq!(integers, [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, 1_000_000.0, 2_097_151.0]);
    assert_eq!(memory.get(&plan, "truth"), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
}
