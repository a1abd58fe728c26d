//! Simulated systems: dynamics with drawn parameters, whose step is plain code and a graph at once.
//!
//! A [`System`] writes its step over any [`Number`]; that makes it a [`Simulator`]: the same step over columns of `f32`
//! (plain Rust, vectorised) and as a graph, which the compiler differentiates.

mod batch;
mod expression;
mod number;

pub use batch::Simulation;
pub use expression::{Expression, Expressions};
pub use number::{Lanes, Number, Reference};

use pliant_compiler::graph::{Graph, GraphError, ValueId};

use crate::random::Stream;

/// How many numbers an instance of a system has of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Numbers of the state.
    pub state: usize,
    /// The first so many of them are physical; those after them remember actions.
    pub physical: usize,
    /// Numbers drawn for a task or an episode.
    pub parameters: usize,
    /// Numbers of an action, each in -1..1.
    pub action: usize,
    /// Numbers of an observation.
    pub observation: usize,
    /// Standard normal numbers that an observation takes; 0 without sensor noise.
    pub noise: usize,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<T> {
    /// Cost of the state after the step and of the action that led to it, at least 0.
    pub cost: T,
    /// 1 while the state after the step is inside the system's limits, otherwise 0: the episode is terminated.
    pub alive: T,
}

/// Dynamics with parameters that are drawn: a family of control tasks. The policy does not see the parameters.
///
/// Slices have the lengths of [`widths`](Self::widths).
pub trait System: Clone + Send + Sync + 'static {
    /// How many numbers there are of each kind.
    fn widths(&self) -> Widths;

    /// Steps of an episode that is not terminated.
    fn horizon(&self) -> usize;

    /// Draws what belongs to a task: the vehicle.
    fn draw(&self, random: &mut Stream, parameters: &mut [f32]);

    /// Draws what belongs to an episode: the start, and parameters such as a constant disturbance.
    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]);

    /// Whether [`evolve`](Self::evolve) does anything.
    fn evolves(&self) -> bool {
        false
    }

    /// Changes parameters in the course of an episode, before its step number `age` (from 0): a payload that drops.
    /// Whether anything changed.
    fn evolve(&self, age: usize, parameters: &mut [f32]) -> bool {
        let _ = (age, parameters);
        false
    }

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
pub trait Simulator: Send + Sync {
    /// As [`System::widths`].
    fn widths(&self) -> Widths;

    /// As [`System::horizon`].
    fn horizon(&self) -> usize;

    /// As [`System::draw`].
    fn draw(&self, random: &mut Stream, parameters: &mut [f32]);

    /// As [`System::start`].
    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]);

    /// As [`System::evolves`].
    fn evolves(&self) -> bool;

    /// As [`System::evolve`].
    fn evolve(&self, age: usize, parameters: &mut [f32]) -> bool;

    /// Observes one instance.
    fn observe_one(&self, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]);

    /// Whether one instance is inside the limits.
    fn alive_one(&self, state: &[f32], parameters: &[f32]) -> bool;

    /// Moves one instance.
    fn step_one(&self, state: &mut [f32], parameters: &[f32], action: &[f32]) -> Outcome<f32>;

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

impl<S: System> Simulator for S {
    fn widths(&self) -> Widths {
        System::widths(self)
    }

    fn horizon(&self) -> usize {
        System::horizon(self)
    }

    fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        System::draw(self, random, parameters);
    }

    fn start(&self, random: &mut Stream, parameters: &mut [f32], state: &mut [f32]) {
        System::start(self, random, parameters, state);
    }

    fn evolves(&self) -> bool {
        System::evolves(self)
    }

    fn evolve(&self, age: usize, parameters: &mut [f32]) -> bool {
        System::evolve(self, age, parameters)
    }

    fn observe_one(&self, state: &[f32], parameters: &[f32], noise: &[f32], observation: &mut [f32]) {
        System::observe(self, state, parameters, noise, observation);
    }

    fn alive_one(&self, state: &[f32], parameters: &[f32]) -> bool {
        System::alive(self, state, parameters) > 0.5
    }

    fn step_one(&self, state: &mut [f32], parameters: &[f32], action: &[f32]) -> Outcome<f32> {
        System::step(self, state, parameters, action)
    }

    fn step_columns(&self, state: &mut [f32], parameters: &[f32], action: &[f32], cost: &mut [f32], alive: &mut [f32]) {
        let (batch, widths) = (cost.len(), System::widths(self));
        let zero = Lanes([0.0; Lanes::COUNT]);
        for start in (0..batch).step_by(Lanes::COUNT) {
            let end = batch.min(start + Lanes::COUNT);
            let load = |values: &[f32], count: usize| -> [Lanes; MOST] {
                let mut block = [zero; MOST];
                for (row, lanes) in block[..count].iter_mut().enumerate() {
                    *lanes = Lanes::load(&values[row * batch + start..row * batch + end]);
                }
                block
            };
            let mut states = load(state, widths.state);
            let outcome = System::step(
                self,
                &mut states[..widths.state],
                &load(parameters, widths.parameters)[..widths.parameters],
                &load(action, widths.action)[..widths.action],
            );
            for (row, lanes) in states[..widths.state].iter().enumerate() {
                lanes.store(&mut state[row * batch + start..row * batch + end]);
            }
            outcome.cost.store(&mut cost[start..end]);
            outcome.alive.store(&mut alive[start..end]);
        }
    }

    fn observe_graph(
        &self,
        graph: &mut Graph,
        state: ValueId,
        parameters: ValueId,
        noise: Option<ValueId>,
    ) -> Result<ValueId, GraphError> {
        let widths = System::widths(self);
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
        let widths = System::widths(self);
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
