//! One step of 22-16 ReLU-GRU16-4 flying quadrotors, and its vector-Jacobian product: what analytic policy gradients run.

use pliant_compiler::autodiff::vector_jacobian;
use pliant_compiler::graph::{DType, Graph, ValueId};
use pliant_compiler::policy::{Activation, Gru, Parameter};
use pliant_trainer::envs::{Plant, Quadrotor, Simulator as _, quadrotor::Variation};

/// Instances side by side.
pub const BATCH: usize = 64;

/// The policy: 2,068 parameters.
pub const POLICY: Gru = Gru {
    observations: 22,
    encoder: 16,
    activation: Activation::Relu,
    hidden: 16,
    outputs: 4,
    changes: 0,
};

/// The graphs, with inputs by name: `state`, `drawn` (the vehicle), `hidden`, each `[numbers, batch]`, and the parameters.
pub struct Step {
    graph: Graph,
    parameters: Vec<(Parameter, ValueId)>,
    state: ValueId,
    hidden: ValueId,
    next_state: ValueId,
    next_hidden: ValueId,
    cost: ValueId,
}

impl Step {
    /// Observes, acts and moves `batch` quadrotors.
    ///
    /// # Panics
    /// Never: the shapes are fixed.
    pub fn new(batch: usize) -> Self {
        let quadrotor = Quadrotor::new(Variation::NONE);
        let widths = Plant::widths(&quadrotor);
        let mut graph = Graph::new();
        let parameters: Vec<(Parameter, ValueId)> = POLICY
            .parameters()
            .into_iter()
            .map(|p| {
                let value = graph.input(&p.name, DType::F32, &p.shape).expect("a new name");
                (p, value)
            })
            .collect();
        let mut column =
            |name: &str, numbers: usize| graph.input(name, DType::F32, &[numbers, batch]).expect("a new name");
        let (state, drawn) = (column("state", widths.state), column("drawn", widths.parameters));
        let hidden = column("hidden", POLICY.hidden);
        let values: Vec<ValueId> = parameters.iter().map(|(_, value)| *value).collect();
        let observation = quadrotor
            .observe_graph(&mut graph, state, drawn, None)
            .expect("the shapes fit");
        let (output, next_hidden) = POLICY
            .forward(
                &mut graph,
                pliant_compiler::policy::Layout::Columns,
                &values,
                observation,
                hidden,
            )
            .expect("the shapes fit");
        let action = graph.tanh(output).expect("a number");
        let step = quadrotor
            .step_graph(&mut graph, state, drawn, action)
            .expect("the shapes fit");
        Self {
            graph,
            parameters,
            state,
            hidden,
            next_state: step.state,
            next_hidden,
            cost: step.cost,
        }
    }

    /// Next state, next hidden state and cost.
    ///
    /// # Panics
    /// Never: the names are new.
    pub fn forward(mut self) -> Graph {
        for (name, value) in [
            ("next.state", self.next_state),
            ("next.hidden", self.next_hidden),
            ("cost", self.cost),
        ] {
            self.graph.output(name, value).expect("a new name");
        }
        self.graph
    }

    /// The vector-Jacobian product: cotangents of the next states (and 1 of each cost) to cotangents of the states, and the
    /// gradients added to the variables `sum.*`, paired with their new values.
    ///
    /// # Panics
    /// Never: the shapes fit.
    pub fn backward(mut self) -> (Graph, Vec<(String, String)>) {
        let graph = &mut self.graph;
        let mut like = |name: &str, value: ValueId| {
            let shape = graph.shape(value).to_vec();
            graph.input(name, DType::F32, &shape).expect("a new name")
        };
        let cotangent_state = like("cotangent.state", self.next_state);
        let cotangent_hidden = like("cotangent.hidden", self.next_hidden);
        let sums: Vec<ValueId> = self
            .parameters
            .iter()
            .map(|(p, value)| like(&format!("sum.{}", p.name), *value))
            .collect();
        let shape = graph.shape(self.cost).to_vec();
        let ones = graph.full(&shape, 1.0).expect("a constant");
        let mut wrt = vec![self.state, self.hidden];
        wrt.extend(self.parameters.iter().map(|(_, value)| *value));
        let back = vector_jacobian(
            graph,
            &[self.next_state, self.next_hidden, self.cost],
            &[cotangent_state, cotangent_hidden, ones],
            &wrt,
        )
        .expect("everything has a derivative");
        graph.output("back.state", back[0]).expect("a new name");
        graph.output("back.hidden", back[1]).expect("a new name");
        let mut resident = Vec::new();
        for (((p, _), sum), gradient) in self.parameters.iter().zip(sums).zip(&back[2..]) {
            let next = graph.add(sum, *gradient).expect("the shapes fit");
            let name = format!("next.sum.{}", p.name);
            graph.output(&name, next).expect("a new name");
            resident.push((format!("sum.{}", p.name), name));
        }
        (self.graph, resident)
    }
}

/// Values for an input, by its name: plausible states of vehicles that fly.
///
/// # Panics
/// Never.
pub fn values(name: &str, elements: usize, batch: usize) -> Vec<f32> {
    let quadrotor = Quadrotor::new(Variation::NONE);
    let widths = Plant::widths(&quadrotor);
    let mut columns = vec![0.0; elements];
    let mut number = 1u32;
    let mut draw = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    match name {
        "state" | "drawn" => {
            for instance in 0..batch {
                let mut random = pliant_trainer::random::stream(1, "bench", &[instance as u64]);
                let (mut drawn, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
                quadrotor.draw(&mut random, &mut drawn);
                quadrotor.start(&mut random, &mut drawn, &mut state);
                let column = if name == "state" { &state } else { &drawn };
                for (row, value) in column.iter().enumerate() {
                    columns[row * batch + instance] = *value;
                }
            }
        }
        _ => columns.iter_mut().for_each(|value| *value = 0.25 * draw()),
    }
    columns
}
