//! Simulated systems: dynamics with drawn parameters, whose step is plain code and a graph at once.
//!
//! A [`System`] writes its step over any [`Number`]; that makes it a [`Simulator`]: the same step over columns of `f32`
//! (plain Rust, vectorised) and as a graph, which the compiler differentiates.

mod batch;
mod delay;
mod expression;
mod instances;
mod integrate;
mod number;
mod only;
mod plant;
mod told;
mod vectorised;

pub use batch::Simulation;
pub use delay::{MOST_PERIODS, delay_weights, delayed};
pub use expression::{Expression, Expressions};
pub use instances::Instances;
pub use integrate::{runge_kutta, smooth_distance};
pub(crate) use number::replaced;
pub use number::{Lanes, Number, Reference};
pub use only::Only;
pub(crate) use plant::forward_plant;
pub use plant::{Channels, Plant, Widths};
pub use told::Told;
pub use vectorised::Simulated;

use pliant_compiler::graph::{Graph, GraphError, ValueId};
use pliant_runtime::kernels::{Vectorised, vectorised};

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<T> {
    /// Cost of the state after the step and of the action that led to it, at least 0.
    pub cost: T,
    /// 1 while the state after the step is inside the system's limits, otherwise 0: the episode is terminated.
    pub alive: T,
}

/// The dynamics of a [`Plant`], written once over any [`Number`].
///
/// Slices have the lengths of [`widths`](Plant::widths).
pub trait System: Plant + Clone + 'static {
    /// What the policy sees.
    fn observe<T: Number>(&self, state: &[T], parameters: &[T], noise: &[T], observation: &mut [T]);

    /// 1 while the state is inside the system's limits, otherwise 0.
    fn alive<T: Number>(&self, state: &[T], parameters: &[T]) -> T;

    /// Moves by one step of the control period.
    fn step<T: Number>(&self, state: &mut [T], parameters: &[T], action: &[T]) -> Outcome<T>;
}

/// The step of a system as values of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphStep {
    /// The next state, `[state, batch]`.
    pub state: ValueId,
    /// The cost, `[1, batch]`.
    pub cost: ValueId,
    /// 1 or 0, `[1, batch]`; see [`Outcome::alive`].
    pub alive: ValueId,
}

/// Any [`System`], over columns: number `n` of instance `i` stands at `n * batch + i`.
pub trait Simulator: Plant {
    /// Observes one instance.
    fn observe_one(&self, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]);

    /// Whether one instance is inside the limits.
    fn alive_one(&self, state: &[f32], parameters: &[f32]) -> bool;

    /// Moves one instance.
    fn step_one(&self, state: &mut [f32], parameters: &[f32], action: &[f32]) -> Outcome<f32>;

    /// Observes every instance: `state` `[state, batch]`, `parameters` `[parameters, batch]`, `noise` `[noise, batch]`;
    /// writes `observation` `[observation, batch]`.
    fn observe_columns(&self, batch: usize, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]);

    /// Moves every instance: `state` `[state, batch]`, `parameters` `[parameters, batch]`, `action` `[action, batch]`;
    /// writes `cost` and `alive`, `[batch]`.
    fn step_columns(&self, state: &mut [f32], parameters: &[f32], action: &[f32], cost: &mut [f32], alive: &mut [f32]);

    /// Adds the observation `[observation, batch]` to a graph.
    ///
    /// # Errors
    /// Values that are not `[state, batch]`, `[parameters, batch]` and `[noise, batch]`.
    fn observe_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        noise: Option<ValueId>,
    ) -> Result<ValueId, GraphError>;

    /// Adds the step to a graph.
    ///
    /// # Errors
    /// Values that are not `[state, batch]`, `[parameters, batch]` and `[action, batch]`.
    fn step_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        action: ValueId,
    ) -> Result<GraphStep, GraphError>;
}

/// Most numbers of one kind that a system may have.
const MOST: usize = 40;
/// Most numbers of an observation, told parameters included.
const MOST_OBSERVED: usize = 80;

/// Some instances of columns, side by side: so many rows of them.
struct Block<const ROWS: usize>([Lanes; ROWS]);

impl<const ROWS: usize> Block<ROWS> {
    #[inline(always)]
    fn new() -> Self {
        Self([Lanes([0.0; Lanes::COUNT]); ROWS])
    }

    /// The first `count` rows, from instance `start` to `end` of `batch`.
    #[inline(always)]
    fn load(&mut self, values: &[f32], count: usize, batch: usize, start: usize, end: usize) -> &mut [Lanes] {
        let rows = &mut self.0[..count];
        for (row, lanes) in rows.iter_mut().enumerate() {
            *lanes = Lanes::load(&values[row * batch + start..row * batch + end]);
        }
        rows
    }

    /// Writes rows where [`load`](Self::load) reads them.
    #[inline(always)]
    fn store(rows: &[Lanes], values: &mut [f32], batch: usize, start: usize, end: usize) {
        for (row, lanes) in rows.iter().enumerate() {
            lanes.store(&mut values[row * batch + start..row * batch + end]);
        }
    }
}

/// A step of all instances: the arguments of [`Simulator::step_columns`].
struct Columns<'c, S> {
    system: &'c S,
    state: &'c mut [f32],
    parameters: &'c [f32],
    action: &'c [f32],
    cost: &'c mut [f32],
    alive: &'c mut [f32],
}

impl<S: System> Vectorised for Columns<'_, S> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let (batch, widths) = (self.cost.len(), self.system.widths());
        // Once: to clear them takes as long as a step.
        let (mut states, mut parameters, mut actions) =
            (Block::<MOST>::new(), Block::<MOST>::new(), Block::<MOST>::new());
        for start in (0..batch).step_by(Lanes::COUNT) {
            let end = batch.min(start + Lanes::COUNT);
            let states = states.load(self.state, widths.state, batch, start, end);
            let outcome = System::step(
                self.system,
                states,
                parameters.load(self.parameters, widths.parameters, batch, start, end),
                actions.load(self.action, widths.action, batch, start, end),
            );
            Block::<MOST>::store(states, self.state, batch, start, end);
            outcome.cost.store(&mut self.cost[start..end]);
            outcome.alive.store(&mut self.alive[start..end]);
        }
    }
}

/// An observation of all instances: the arguments of [`Simulator::observe_columns`].
struct Observed<'c, S> {
    system: &'c S,
    batch: usize,
    state: &'c [f32],
    parameters: &'c [f32],
    noise: &'c [f32],
    observation: &'c mut [f32],
}

impl<S: System> Vectorised for Observed<'_, S> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let (batch, widths) = (self.batch, self.system.widths());
        let (mut states, mut parameters, mut noise) =
            (Block::<MOST>::new(), Block::<MOST>::new(), Block::<MOST>::new());
        let mut observed = Block::<MOST_OBSERVED>::new();
        for start in (0..batch).step_by(Lanes::COUNT) {
            let end = batch.min(start + Lanes::COUNT);
            let observed = &mut observed.0[..widths.observation];
            System::observe(
                self.system,
                states.load(self.state, widths.state, batch, start, end),
                parameters.load(self.parameters, widths.parameters, batch, start, end),
                noise.load(self.noise, widths.noise, batch, start, end),
                observed,
            );
            Block::<MOST_OBSERVED>::store(observed, self.observation, batch, start, end);
        }
    }
}

impl<S: System> Simulator for S {
    fn observe_one(&self, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]) {
        System::observe(self, state, parameters, noise, observation);
    }

    fn alive_one(&self, state: &[f32], parameters: &[f32]) -> bool {
        System::alive(self, state, parameters) > 0.5
    }

    fn step_one(&self, state: &mut [f32], parameters: &[f32], action: &[f32]) -> Outcome<f32> {
        System::step(self, state, parameters, action)
    }

    fn observe_columns(&self, batch: usize, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]) {
        vectorised(Observed {
            system: self,
            batch,
            state,
            parameters,
            noise,
            observation,
        });
    }

    fn step_columns(&self, state: &mut [f32], parameters: &[f32], action: &[f32], cost: &mut [f32], alive: &mut [f32]) {
        vectorised(Columns {
            system: self,
            state,
            parameters,
            action,
            cost,
            alive,
        });
    }

    fn observe_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        noise: Option<ValueId>,
    ) -> Result<ValueId, GraphError> {
        let widths = self.widths();
        let states = rows(graph, state, widths.state)?;
        let drawn = rows(graph, parameters, widths.parameters)?;
        let noise = match noise {
            Some(noise) => rows(graph, noise, widths.noise)?,
            None => Vec::new(),
        };
        let observed = within(graph, |expressions| {
            let of = |rows: &[ValueId]| rows.iter().map(|&row| expressions.of(row)).collect::<Vec<_>>();
            let states = of(&states);
            let mut observation = vec![states[0]; widths.observation];
            System::observe(self, &states, &of(&drawn), &of(&noise), &mut observation);
            observation.into_iter().map(Expression::value).collect::<Vec<_>>()
        })?;
        graph.concat(&observed, 0)
    }

    fn step_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        action: ValueId,
    ) -> Result<GraphStep, GraphError> {
        let widths = self.widths();
        let states = rows(graph, state, widths.state)?;
        let drawn = rows(graph, parameters, widths.parameters)?;
        let actions = rows(graph, action, widths.action)?;
        let (next, cost, alive) = within(graph, |expressions| {
            let of = |rows: &[ValueId]| rows.iter().map(|&row| expressions.of(row)).collect::<Vec<_>>();
            let mut states = of(&states);
            let outcome = System::step(self, &mut states, &of(&drawn), &of(&actions));
            let next: Vec<ValueId> = states.into_iter().map(Expression::value).collect();
            (next, outcome.cost.value(), outcome.alive.value())
        })?;
        Ok(GraphStep {
            state: graph.concat(&next, 0)?,
            cost,
            alive,
        })
    }
}

/// The rows of a matrix, each `[1, batch]`.
fn rows(graph: &mut Graph, value: ValueId, count: usize) -> Result<Vec<ValueId>, GraphError> {
    (0..count).map(|row| graph.slice(value, 0, row, row + 1)).collect()
}

/// Builds with expressions.
fn within<R>(graph: &mut Graph, build: impl FnOnce(&Expressions) -> R) -> Result<R, GraphError> {
    let expressions = Expressions::new(core::mem::take(graph));
    let built = build(&expressions);
    *graph = expressions.finish()?;
    Ok(built)
}
