//! The cost of a flight as the loss of a row: the analytic gradient inside MAML, Meta-SGD, ANIL and CAVIA.
//!
//! Those learn from rows: the support rows of a task give the inner gradient, its query rows the outer one. Here a row is an
//! episode: where it starts, and the parameters of its system. Its loss is the mean cost of `steps` steps of policy and
//! simulator, unrolled. Inner and outer gradient then both go through the simulator, the outer one through the inner step
//! (second order), and [`MetaLearner`](crate::algorithms::maml::MetaLearner) needs nothing new.

use std::sync::Arc;

use pliant_compiler::adaptation::Subset;
use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::adaptation::loss::{Loss, RowField};
use pliant_compiler::graph::{Graph, GraphError, ValueId};
use pliant_runtime::image::FieldKind;

use super::Problem;
use crate::envs::Simulator;
use crate::error::TrainError;
use crate::random::Stream;
use crate::tasks::{Rows, Split, SupervisedFamily, task_streams};

/// The rule that descends the cost of `steps` steps, by a part of the policy's parameters. Fields of a row: the state that
/// an episode starts from, and the drawn parameters of the system.
///
/// # Errors
/// [`TrainError::NeedsNoMemory`] for a recurrent policy, which adapts by what it remembers.
pub fn rollout_rule(problem: &Problem, steps: usize, subset: Subset) -> Result<GradientRule<'static>, TrainError> {
    if problem.memory() > 0 {
        return Err(TrainError::NeedsNoMemory);
    }
    let widths = problem.simulator.widths();
    let field = |name: &str, kind, width| RowField {
        name: name.to_owned(),
        kind,
        width,
    };
    Ok(GradientRule {
        parameters: problem.parameters(),
        adapts: subset.of(&problem.policy),
        banked: 0,
        fields: vec![
            field("start", FieldKind::Input, widths.state),
            field("drawn", FieldKind::Target, widths.parameters),
        ],
        loss: rollout_loss(problem.clone(), steps),
        score: rollout_loss(problem.clone(), steps),
        gradient_clip: None,
        standardises: None,
    })
}

/// The mean cost of a step over `steps` steps from the start of each row. Fields: start, drawn parameters. Without sensor noise.
fn rollout_loss(problem: Problem, steps: usize) -> Loss<'static> {
    Box::new(move |graph, parameters, fields| {
        // Rows of any leading dimensions become the columns that simulators step.
        let leading = graph.shape(fields[0]).to_vec();
        let leading = &leading[..leading.len() - 1];
        let mut state = columns(graph, fields[0])?;
        let drawn = columns(graph, fields[1])?;
        let noise = match problem.simulator.widths().noise {
            0 => None,
            width => Some(graph.full(&[width, leading.iter().product()], 0.0)?),
        };
        let mut total: Option<ValueId> = None;
        for _ in 0..steps {
            let observation = problem.simulator.observe_graph(graph, state, drawn, noise)?;
            let observation = problem.normalised(graph, observation)?;
            let observation = rows(graph, observation, leading)?;
            let action = problem.policy.distribution(graph, parameters, observation, None)?.mean;
            let action = columns(graph, action)?;
            let next = problem.simulator.step_graph(graph, state, drawn, action)?;
            state = next.state;
            total = Some(match total {
                Some(total) => graph.add(total, next.cost)?,
                None => next.cost,
            });
        }
        let total = total.map_or_else(|| graph.full(&[1, leading.iter().product()], 0.0), Ok)?;
        let mean = graph.scale(total, 1.0 / steps.max(1) as f32)?;
        rows(graph, mean, leading)
    })
}

/// `[.., width]` to `[width, all leading ones]`.
fn columns(graph: &mut Graph, values: ValueId) -> Result<ValueId, GraphError> {
    let shape = graph.shape(values).to_vec();
    let width = shape.last().copied().unwrap_or(1);
    let count = shape.iter().product::<usize>() / width.max(1);
    let flat = graph.reshape(values, &[count, width])?;
    graph.transpose(flat, &[1, 0])
}

/// `[width, all leading ones]` to `[.., width]`.
fn rows(graph: &mut Graph, values: ValueId, leading: &[usize]) -> Result<ValueId, GraphError> {
    let width = graph.shape(values)[0];
    let flat = graph.transpose(values, &[1, 0])?;
    let shape: Vec<usize> = leading.iter().copied().chain([width]).collect();
    graph.reshape(flat, &shape)
}

/// Systems as tasks of [`rollout_rule`]: a task is one system, its rows are episodes of it.
pub struct RolloutFamily {
    simulator: Arc<dyn Simulator>,
    support: usize,
    query: usize,
}

impl RolloutFamily {
    /// So many episodes to adapt to, and so many others that score.
    pub fn new(simulator: Arc<dyn Simulator>, support: usize, query: usize) -> Self {
        Self {
            simulator,
            support,
            query,
        }
    }

    fn episodes(&self, random: &mut Stream, drawn: &mut [f32], rows: Rows<'_>) {
        let widths = self.simulator.widths();
        let starts = rows.inputs.chunks_exact_mut(widths.state);
        for (start, target) in starts.zip(rows.targets.chunks_exact_mut(widths.parameters)) {
            self.simulator.start(random, drawn, start);
            target.copy_from_slice(drawn);
        }
    }
}

impl SupervisedFamily for RolloutFamily {
    fn input_width(&self) -> usize {
        self.simulator.widths().state
    }

    fn target_width(&self) -> usize {
        self.simulator.widths().parameters
    }

    fn support_rows(&self) -> usize {
        self.support
    }

    fn query_rows(&self) -> usize {
        self.query
    }

    fn evaluation_rows(&self) -> usize {
        self.query
    }

    fn sample(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, query: Rows<'_>) {
        let [mut task, mut episodes] = task_streams(seed, split, index, 0);
        let mut drawn = vec![0.0; self.simulator.widths().parameters];
        self.simulator.draw(&mut task, &mut drawn);
        self.episodes(&mut episodes, &mut drawn, support);
        self.episodes(&mut episodes, &mut drawn, query);
    }

    fn sample_for_evaluation(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, scored: Rows<'_>) {
        self.sample(seed, split, index, support, scored);
    }
}
