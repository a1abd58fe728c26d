//! A system whose cost is how far the action is from a teacher's.

use std::sync::Arc;

use pliant_compiler::graph::{Graph, GraphError, Tensor, ValueId};
use pliant_compiler::policy::{Layout, PolicyDescription};

use crate::algorithms::NamedTensor;
use crate::algorithms::analytic_policy_gradient::Problem;
use crate::envs::{Channels, GraphStep, Outcome, Plant, Simulator, Widths, forward_plant};
use crate::random::Stream;

/// The dynamics and observations of one system under the judgement of a teacher: a step costs the squared L2 distance of
/// its action from the teacher's, which may observe the same state otherwise.
///
/// Only the graph judges: outside of it steps cost what they cost in the system.
#[derive(Clone)]
pub(super) struct Taught {
    system: Arc<dyn Simulator>,
    seen_by_teacher: Arc<dyn Simulator>,
    policy: PolicyDescription,
    parameters: Vec<NamedTensor>,
}

impl Taught {
    /// A system and a feed-forward teacher, which has these parameters, in the policy's order.
    pub(super) fn new(system: Arc<dyn Simulator>, teacher: &Problem, parameters: &[NamedTensor]) -> Self {
        Self {
            system,
            seen_by_teacher: Arc::clone(&teacher.simulator),
            policy: teacher.policy.clone(),
            parameters: parameters.to_vec(),
        }
    }

    /// What the teacher would do.
    fn advice(&self, graph: &mut Graph, state: ValueId, drawn: ValueId) -> Result<ValueId, GraphError> {
        // The teacher's sensors have no noise.
        let widths = self.seen_by_teacher.widths();
        let noise = match widths.noise {
            0 => None,
            count => {
                let batch = graph.shape(state)[1];
                Some(graph.full(&[count, batch], 0.0)?)
            }
        };
        let observation = self.seen_by_teacher.observe_graph(graph, state, drawn, noise)?;
        let teacher = Problem {
            policy: self.policy.clone(),
            simulator: Arc::clone(&self.seen_by_teacher),
        };
        let observation = teacher.normalised(graph, observation)?;
        let parameters = self.parameters.iter().map(|tensor| {
            let tensor = Tensor::f32(&tensor.shape, tensor.values.clone()).expect("a tensor has its shape");
            graph.constant(tensor)
        });
        let parameters: Vec<ValueId> = parameters.collect();
        let advised = self
            .policy
            .distribution_in(graph, Layout::Columns, &parameters, observation, None)?;
        Ok(advised.mean)
    }
}

impl Plant for Taught {
    fn widths(&self) -> Widths {
        self.system.widths()
    }

    fn channels(&self) -> Channels {
        self.system.channels()
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        self.system.draw(random, parameters);
    }

    forward_plant!(system);
}

impl Simulator for Taught {
    fn observe_one(&self, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]) {
        self.system.observe_one(state, parameters, noise, observation);
    }

    fn alive_one(&self, state: &[f32], parameters: &[f32]) -> bool {
        self.system.alive_one(state, parameters)
    }

    fn step_one(&self, state: &mut [f32], parameters: &[f32], action: &[f32]) -> Outcome<f32> {
        self.system.step_one(state, parameters, action)
    }

    fn observe_columns(&self, batch: usize, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]) {
        self.system
            .observe_columns(batch, state, parameters, noise, observation);
    }

    fn step_columns(&self, state: &mut [f32], parameters: &[f32], action: &[f32], cost: &mut [f32], alive: &mut [f32]) {
        self.system.step_columns(state, parameters, action, cost, alive);
    }

    fn observe_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        noise: Option<ValueId>,
    ) -> Result<ValueId, GraphError> {
        self.system.observe_graph(graph, state, parameters, noise)
    }

    fn step_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        action: ValueId,
    ) -> Result<GraphStep, GraphError> {
        let advised = self.advice(graph, state, parameters)?;
        let difference = graph.sub(action, advised)?;
        let square = graph.square(difference)?;
        let cost = graph.reduce_sum(square, &[0], true)?;
        let step = self.system.step_graph(graph, state, parameters, action)?;
        Ok(GraphStep { cost, ..step })
    }
}
