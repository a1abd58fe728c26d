//! Proximal policy optimisation of several unlike tasks at once.
//!
//! For one task the policy is a plain network: a first layer and a head of its own, layers between that all tasks share; the
//! value function is another such network. So every task has the graphs and the windows of [`Ppo`](super::Ppo) for itself,
//! and the tasks are joined by parameters alone: a pool that each takes its own from. The shared layers descend the mean of
//! the tasks' losses, or what a [balancing](crate::balancing) method makes of their gradients.
//!
//! `docs/algorithms/multi-task-ppo.md` has equations, deviations and figures.

use pliant_compiler::graph::Graph;
use pliant_compiler::policy::{Activation, Gaussian, Mlp, Network, Parameter, PolicyDescription, TargetLoss};

use super::graph::{Problem, SUM_COUNT, loss_graph, loss_options};
use super::normaliser::Normaliser;
use super::return_scale::ReturnScale;
use super::shard::{Position, Shard, Share};
use super::window::{Tally, Window};
use crate::algorithms::analytic_policy_gradient::{
    optimiser_graph, optimiser_options, optimiser_tensors, restore_optimiser,
};
use crate::algorithms::maml_policy_gradient::{LOG_STD, share_out};
use crate::algorithms::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use crate::balancing::{Balancer, Gram, Step, balancer};
use crate::engine::{CompileOptions, Engine, Program};
use crate::error::TrainError;
use crate::nn::initialise;
use crate::optim::adam_step_size;
use crate::recipe::{self, Balancing, Returns, SystemTask};

/// Begins the names of the value function's parameters.
const VALUE: &str = "value.";

/// One task at work.
struct Task {
    /// What metrics call its return.
    metric: &'static str,
    problem: Problem,
    /// Where each of the problem's parameters stands in the pool.
    places: Vec<usize>,
    /// Weight and bias of the value function's last layer among the problem's parameters.
    value_head: [usize; 2],
    shard: Shard,
    normaliser: Normaliser,
    returns: ReturnScale,
    last_return: f32,
}

/// Multi-task proximal policy optimisation in progress.
pub struct MultiTaskPpo {
    settings: recipe::MultiTaskPpo,
    tasks: Vec<Task>,
    /// The pool.
    shapes: Vec<Parameter>,
    values: Vec<Vec<f32>>,
    /// Which of the pool belong to all tasks.
    shared: Vec<bool>,
    balancer: Option<Box<dyn Balancer>>,
    optimiser: Box<dyn Program>,
    engine: &'static str,
    threads: usize,
    completed: u64,
    environment_steps: u64,
    conflict_rate: f64,
}

/// The network of one task: its own first layer, the shared ones, its own head.
fn problem(settings: &recipe::MultiTaskPpo, policy: &recipe::Policy, task: &SystemTask) -> Result<Problem, TrainError> {
    let environment = task.environment(1);
    if settings.ppo.steps < environment.horizon() {
        return Err(TrainError::ShortWindow {
            steps: settings.ppo.steps,
            horizon: environment.horizon(),
        });
    }
    let mut sizes = vec![environment.observation_width(), settings.encoder];
    sizes.extend(&policy.hidden);
    sizes.push(environment.actions().width());
    let activation = match policy.activation {
        recipe::Activation::Relu => Activation::Relu,
        recipe::Activation::Tanh => Activation::Tanh,
    };
    let gaussian = Gaussian {
        floor: settings.ppo.log_std_floor,
    };
    let network = Network::Mlp(Mlp::new(&sizes, activation));
    Problem::new(PolicyDescription::stochastic(network, gaussian), environment.actions())
}

/// The name in the pool of a parameter of task number `task` whose head is layer number `head`.
fn pooled(name: &str, task: usize, head: usize) -> String {
    let layer = name.strip_prefix(VALUE).unwrap_or(name);
    let own = layer.starts_with("layer0.") || layer.starts_with(&format!("layer{head}.")) || layer == LOG_STD;
    if own {
        format!("task{task}.{name}")
    } else {
        name.to_owned()
    }
}

impl MultiTaskPpo {
    /// Compiles the graphs of every task and draws the initial parameters.
    ///
    /// # Errors
    /// A window shorter than an episode; what the policy, its derivatives or the engine refuse.
    pub fn new(
        settings: &recipe::MultiTaskPpo,
        policy: &recipe::Policy,
        family: &recipe::Systems,
        seed: u64,
        engine: &dyn Engine,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let head = policy.hidden.len() + 1;
        let mut shapes: Vec<Parameter> = Vec::new();
        let mut tasks = Vec::new();
        for (number, (name, system)) in family.tasks.iter().enumerate() {
            let problem = problem(settings, policy, system)?;
            let own = problem.parameters();
            let places = own
                .iter()
                .map(|parameter| {
                    let name = pooled(&parameter.name, number, head);
                    shapes.iter().position(|known| known.name == name).unwrap_or_else(|| {
                        shapes.push(Parameter::new(name, &parameter.shape));
                        shapes.len() - 1
                    })
                })
                .collect();
            let place = |kind: &str| {
                let name = format!("{VALUE}layer{head}.{kind}");
                own.iter().position(|parameter| parameter.name == name).unwrap_or(0)
            };
            let environment = |batch| system.environment(batch);
            tasks.push(Task {
                // Metrics have names that live as long as the program; there are few tasks.
                metric: format!("return, {name}").leak(),
                places,
                value_head: [place("weight"), place("bias")],
                shard: Shard::new(&problem, engine, &settings.ppo, &environment, seed, number as u64)?,
                normaliser: Normaliser::identity(problem.observations()),
                problem,
                returns: ReturnScale::identity(),
                last_return: 0.0,
            });
        }
        let shared: Vec<bool> = shapes.iter().map(|shape| !shape.name.starts_with("task")).collect();
        let mut initial = initialise(&shapes, policy.initialiser, seed);
        for tensor in &mut initial {
            if tensor.name.ends_with(LOG_STD) {
                tensor.values.fill(settings.ppo.log_std);
            } else if tensor.name.ends_with(&format!(".layer{head}.weight")) && !tensor.name.contains(VALUE) {
                let scale = settings.ppo.output_scale;
                tensor.values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let optimiser = engine.compile(
            &optimiser_graph(&shapes, &settings.ppo.optimizer)?,
            &optimiser_options(&shapes),
        )?;
        let losses = vec![TargetLoss::SquaredError; tasks.len()];
        let balances = settings.balance.method != Balancing::Uniform;
        let mut learner = Self {
            balancer: balances.then(|| balancer(&settings.balance, &losses, settings.ppo.optimizer.rate, seed)),
            settings: settings.clone(),
            tasks,
            shapes,
            values: initial.into_iter().map(|tensor| tensor.values).collect(),
            shared,
            optimiser,
            engine: engine.name(),
            threads,
            completed: 0,
            environment_steps: 0,
            conflict_rate: f64::NAN,
        };
        for (input, values) in learner.values.iter().enumerate() {
            learner.optimiser.set(input, values)?;
        }
        Ok(learner)
    }

    /// Gathers a window of every task and brings advantages and returns to the scale that they are learned at.
    fn collect(&mut self) -> Result<(), TrainError> {
        let (settings, iteration, pool) = (&self.settings, self.completed, &self.values);
        let mut items: Vec<(&mut Task, Vec<Tally>)> = self.tasks.iter_mut().map(|task| (task, Vec::new())).collect();
        share_out(&mut vec![(); self.threads], &mut items, |(), _, (task, tallies)| {
            let mut parameters = task.parameters(pool);
            if settings.returns != Returns::Raw {
                task.in_unit_of_reward(&mut parameters);
            }
            let normaliser = settings.ppo.normalise_observations.then_some(&task.normaliser);
            *tallies = task.shard.collect(&parameters, &settings.ppo, normaliser, iteration)?;
            Ok(())
        })?;
        for (task, tallies) in items {
            let (mut returns, mut episodes) = (0.0, 0);
            for tally in &tallies {
                if settings.ppo.normalise_observations {
                    task.normaliser.merge(&tally.moments);
                }
                returns += tally.returns;
                episodes += tally.episodes;
            }
            if episodes > 0 {
                task.last_return = (returns / episodes as f64) as f32;
            }
            for group in &mut task.shard.groups {
                standardise(&mut group.window);
            }
        }
        if settings.returns != Returns::Raw {
            self.rescale()?;
        }
        let steps = self.tasks.len() * self.settings.ppo.environments * self.settings.ppo.steps;
        self.environment_steps += steps as u64;
        Ok(())
    }

    /// Takes in the returns of the windows, normalises them, and keeps what the value function says.
    fn rescale(&mut self) -> Result<(), TrainError> {
        for task in &mut self.tasks {
            let before = task.returns;
            for group in &mut task.shard.groups {
                task.returns.merge(&group.window.returns, self.settings.return_rate);
                task.returns.normalise(&mut group.window.returns);
            }
            if self.settings.returns == Returns::PopArt {
                let [weight, bias] = task.value_head.map(|index| task.places[index]);
                let mut layer = [weight, bias].map(|place| std::mem::take(&mut self.values[place]));
                let [weights, biases] = &mut layer;
                task.returns.preserve(&before, weights, biases);
                for (place, values) in [weight, bias].into_iter().zip(layer) {
                    self.optimiser.set(place, &values)?;
                    self.values[place] = values;
                }
            }
        }
        Ok(())
    }

    /// One update of the parameters; adds its measurements, means over the tasks, to `sums`.
    fn update(&mut self, at: Position, sums: &mut [f32; SUM_COUNT]) -> Result<(), TrainError> {
        let (settings, pool) = (&self.settings, &self.values);
        let mut items: Vec<(&mut Task, Share)> = self.tasks.iter_mut().map(|task| (task, Share::default())).collect();
        share_out(&mut vec![(); self.threads], &mut items, |(), _, (task, share)| {
            let parameters = task.parameters(pool);
            *share = task.shard.gradient(&parameters, &settings.ppo, at, false)?;
            Ok(())
        })?;
        let ppo = &self.settings.ppo;
        let scale = ppo.minibatches as f32 / (ppo.environments * ppo.steps) as f32;
        let count = items.len();
        for (_, share) in &items {
            let own = sums.iter_mut().zip(share.sums);
            own.for_each(|(sum, value)| *sum += value * scale / count as f32);
        }
        let gradients: Vec<(&[usize], Vec<Vec<f32>>)> = items
            .into_iter()
            .map(|(task, share)| (task.places.as_slice(), share.gradients))
            .collect();
        let gram = products(&self.shared, &gradients);
        self.conflict_rate = gram.conflict_rate();
        let even = vec![1.0 / count as f64; count];
        let (of_shared, of_private) = match &mut self.balancer {
            None => (even.clone(), even),
            Some(balancer) => {
                let coefficients = balancer.combine(&Step {
                    iteration: self.completed,
                    losses: &vec![1.0; count],
                    gram: &gram,
                });
                (coefficients.shared, coefficients.private)
            }
        };
        let mut sum: Vec<Vec<f32>> = self.values.iter().map(|values| vec![0.0; values.len()]).collect();
        for (task, (places, gradients)) in gradients.iter().enumerate() {
            for (&place, gradient) in places.iter().zip(gradients) {
                let coefficient = if self.shared[place] {
                    of_shared[task]
                } else {
                    of_private[task]
                };
                let factor = scale * coefficient as f32;
                let own = sum[place].iter_mut().zip(gradient);
                own.for_each(|(sum, value)| *sum += value * factor);
            }
        }
        if sum.iter().flatten().any(|value| !value.is_finite()) {
            return Err(TrainError::Diverged {
                iteration: at.iteration + 1,
                what: "the gradient".to_owned(),
            });
        }
        let count = self.shapes.len();
        for (index, values) in sum.iter().enumerate() {
            self.optimiser.set(count + index, values)?;
        }
        let updates = (ppo.epochs * ppo.minibatches) as u64;
        let completed = at.iteration * updates + (at.epoch * ppo.minibatches + at.minibatch) as u64;
        let step_size = adam_step_size(&ppo.optimizer, completed, ppo.iterations * updates);
        self.optimiser.set(4 * count, &[step_size])?;
        self.optimiser.run()?;
        for (output, values) in self.values.iter_mut().enumerate() {
            self.optimiser.get(output, values)?;
        }
        Ok(())
    }

    fn named(&self) -> impl Iterator<Item = NamedTensor> {
        self.shapes.iter().zip(&self.values).map(|(shape, values)| NamedTensor {
            name: shape.name.clone(),
            shape: shape.shape.clone(),
            values: values.clone(),
        })
    }

    /// What normalises each task's observations and returns, and its last return, as saved.
    fn scales(&self) -> Vec<NamedTensor> {
        let tensors = self.tasks.iter().enumerate().flat_map(|(number, task)| {
            let Normaliser { count, mean, variance } = &task.normaliser;
            let ReturnScale {
                mean: centre,
                second,
                windows,
            } = task.returns;
            [
                (format!("task{number}.observation.mean"), mean.clone()),
                (format!("task{number}.observation.variance"), variance.clone()),
                (
                    format!("task{number}.counters"),
                    vec![*count, centre, second, windows, task.last_return],
                ),
            ]
        });
        let named = |(name, values): (String, Vec<f32>)| NamedTensor {
            name,
            shape: vec![values.len()],
            values,
        };
        tensors.map(named).collect()
    }
}

impl Task {
    /// The task's parameters, from the pool.
    fn parameters(&self, pool: &[Vec<f32>]) -> Vec<Vec<f32>> {
        self.places.iter().map(|&place| pool[place].clone()).collect()
    }

    /// Makes the value function answer in the unit of the reward.
    fn in_unit_of_reward(&self, parameters: &mut [Vec<f32>]) {
        let mut layer = self.value_head.map(|index| std::mem::take(&mut parameters[index]));
        let [weight, bias] = &mut layer;
        self.returns.unnormalise(weight, bias);
        for (index, values) in self.value_head.into_iter().zip(layer) {
            parameters[index] = values;
        }
    }
}

/// Products of the tasks' gradients of what they share, each with the places of its parameters in the pool.
fn products(shared: &[bool], gradients: &[(&[usize], Vec<Vec<f32>>)]) -> Gram {
    let of_shared: Vec<Vec<f64>> = gradients
        .iter()
        .map(|(places, gradients)| {
            let own = places.iter().zip(gradients).filter(|(place, _)| shared[**place]);
            own.flat_map(|(_, values)| values.iter().map(|&value| f64::from(value)))
                .collect()
        })
        .collect();
    Gram::of(&of_shared)
}

/// Brings the advantages of a window to mean 0 and deviation 1.
fn standardise(window: &mut Window) {
    let count = window.advantages.len().max(1) as f64;
    let mean = window.advantages.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares = window.advantages.iter().map(|&value| (f64::from(value) - mean).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt();
    let (mean, factor) = (mean as f32, (1.0 / (deviation + 1e-8)) as f32);
    window
        .advantages
        .iter_mut()
        .for_each(|advantage| *advantage = factor * (*advantage - mean));
}

/// The graph in which training spends its time, of the first task: for choosing an engine by measuring.
///
/// # Errors
/// What the policy or its derivatives refuse.
pub fn multi_task_probe(
    settings: &recipe::MultiTaskPpo,
    policy: &recipe::Policy,
    family: &recipe::Systems,
) -> Result<(Graph, CompileOptions), TrainError> {
    let task = family
        .tasks
        .values()
        .next()
        .ok_or(TrainError::NoSuchTask { task: 0, tasks: 0 })?;
    let problem = problem(settings, policy, task)?;
    let columns = settings.ppo.environments * settings.ppo.steps / settings.ppo.minibatches;
    Ok((loss_graph(&problem, &settings.ppo, 1, columns)?, loss_options(&problem)))
}

impl Algorithm for MultiTaskPpo {
    fn iterations(&self) -> u64 {
        self.settings.ppo.iterations
    }

    fn completed(&self) -> u64 {
        self.completed
    }

    fn environment_steps(&self) -> u64 {
        self.environment_steps
    }

    fn engine(&self) -> String {
        self.engine.to_owned()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        self.collect()?;
        let mut sums = [0.0; SUM_COUNT];
        let entropy_weight = self.settings.ppo.entropy_weight_at(self.completed);
        let (epochs, minibatches) = (self.settings.ppo.epochs, self.settings.ppo.minibatches);
        for epoch in 0..epochs {
            for minibatch in 0..minibatches {
                let at = Position {
                    iteration: self.completed,
                    epoch,
                    minibatch,
                    entropy_weight,
                };
                self.update(at, &mut sums)?;
            }
        }
        self.completed += 1;
        let [value, entropy, divergence] = sums.map(|sum| sum / (epochs * minibatches) as f32);
        let mean = self.tasks.iter().map(|task| task.last_return).sum::<f32>() / self.tasks.len() as f32;
        let mut metrics = vec![
            ("return", mean),
            ("entropy", entropy),
            ("divergence", divergence),
            ("value error", value),
            ("conflict rate", self.conflict_rate as f32),
        ];
        metrics.extend(self.tasks.iter().map(|task| (task.metric, task.last_return)));
        Ok(Iteration { metrics })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut tensors = optimiser_tensors(self.optimiser.as_mut(), &self.shapes)?;
        // What the optimiser holds may be from before the value functions were rescaled.
        for (tensor, values) in tensors.iter_mut().zip(&self.values) {
            tensor.values.clone_from(values);
        }
        tensors.extend(self.scales());
        Ok(TrainingState {
            completed: self.completed,
            environment_steps: self.environment_steps,
            tensors,
        })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let wanted = self.state()?;
        let names = wanted.tensors.iter();
        state.check(names.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())))?;
        let scales = restore_optimiser(self.optimiser.as_mut(), &mut self.values, &state.tensors)?;
        for (task, tensors) in self.tasks.iter_mut().zip(scales.chunks_exact(3)) {
            let [mean, variance, counters] = tensors else { continue };
            let [count, centre, second, windows, last_return] = counters.values[..] else {
                continue;
            };
            task.normaliser = Normaliser {
                count,
                mean: mean.values.clone(),
                variance: variance.values.clone(),
            };
            task.returns = ReturnScale {
                mean: centre,
                second,
                windows,
            };
            task.last_return = last_return;
        }
        self.completed = state.completed;
        self.environment_steps = state.environment_steps;
        Ok(())
    }

    /// The policy's parameters as they stand in the pool, then `taskN.observation.mean` and `taskN.observation.deviation`.
    fn learned(&mut self) -> Result<Learned, TrainError> {
        let mut parameters: Vec<NamedTensor> = self.named().filter(|tensor| !tensor.name.contains(VALUE)).collect();
        for (number, task) in self.tasks.iter().enumerate() {
            let identity = Normaliser::identity(task.problem.observations());
            let normalises = self.settings.ppo.normalise_observations;
            let scale = if normalises {
                task.normaliser.scale()
            } else {
                identity.scale()
            };
            for (kind, values) in [("mean", scale.mean), ("deviation", scale.deviation)] {
                parameters.push(NamedTensor {
                    name: format!("task{number}.observation.{kind}"),
                    shape: vec![values.len()],
                    values,
                });
            }
        }
        let adaptation = &self.settings.adaptation;
        let rate = |name: &str| NamedTensor {
            name: format!("rate/change.{name}"),
            shape: vec![],
            values: vec![adaptation.rate],
        };
        Ok(Learned {
            parameters,
            step_sizes: vec![rate("weight"), rate("bias")],
            step_scales: vec![1.0; adaptation.steps],
            observations: None,
        })
    }
}
