//! Proximal policy optimisation: its gradient against finite differences in double precision, what must not change a
//! result, and what bad environments are told.

use std::sync::{Arc, Mutex};

use pliant_compiler::policy::{Activation, Gaussian, Gru, Mlp, Network, PolicyDescription};
use pliant_compiler::reference::{Tensor64, evaluate};
use pliant_runtime::experience::End;
use pliant_trainer::algorithms::ppo::{Problem, act_graph, loss_graph, loss_options};
use pliant_trainer::algorithms::{Algorithm, Ppo, rl2};
use pliant_trainer::engine::{Engine, PlanEngine};
use pliant_trainer::envs::{ActionSpace, Bandits, TabularProcesses, Trials, VectorEnvironment};
use pliant_trainer::error::TrainError;
use pliant_trainer::nn::initialise;
use pliant_trainer::random::{Stream, fill_standard_normal, stream, uniform};
use pliant_trainer::recipe::{self, Adam, Initialiser};

const BATCH: usize = 3;
const STEPS: usize = 6;
const OBSERVATIONS: usize = 4;

fn settings() -> recipe::Ppo {
    recipe::Ppo {
        iterations: 40,
        environments: 48,
        shards: 3,
        steps: 20,
        epochs: 2,
        minibatches: 2,
        truncation: 0,
        clip: 0.2,
        discount: 0.97,
        gae_lambda: 0.9,
        value_weight: 0.5,
        entropy_weight: 0.01,
        final_entropy_weight: None,
        reward_scale: 1.0,
        regret_weight: 0.0,
        normalise_observations: false,
        discount_lost: false,
        advantage_limit: 0.0,
        extremes: 0.0,
        extremes_after: 0,
        log_std: -0.3,
        log_std_floor: -5.0,
        output_scale: 0.5,
        update_gate_bias: 1.0,
        optimizer: Adam {
            clip_norm: Some(0.5),
            ..Adam::new(0.01)
        },
    }
}

fn gru(observations: usize, outputs: usize) -> Network {
    Network::Gru(Gru {
        observations,
        encoder: 8,
        activation: Activation::Tanh,
        hidden: 8,
        outputs,
        changes: 0,
    })
}

/// Wide copies.
fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Steps that a policy may have taken.
struct Steps {
    observation: Vec<f32>,
    keep: Vec<f32>,
    action: Vec<f32>,
    log_probability: Vec<f32>,
    advantage: Vec<f32>,
    target: Vec<f32>,
    regret: Vec<f32>,
}

impl Steps {
    fn draw(actions: ActionSpace) -> Self {
        let mut random = stream(5, "test", &[]);
        let mut normal = |width: usize| {
            let mut values = vec![0.0; STEPS * width * BATCH];
            fill_standard_normal(&mut random, &mut values);
            values
        };
        let width = actions.width();
        let observation = normal(OBSERVATIONS);
        let mut action = normal(width);
        let advantage = normal(1);
        let target = normal(1);
        let regret = normal(width).iter().map(|value| value.abs()).collect();
        // Far enough from what the policy would say for some ratios to be clipped, near enough for some not to be.
        let usual = if matches!(actions, ActionSpace::Discrete(_)) {
            -1.1
        } else {
            -2.6
        };
        let log_probability = normal(1).iter().map(|noise| usual + 0.3 * noise).collect();
        if matches!(actions, ActionSpace::Discrete(_)) {
            action.fill(0.0);
            for row in 0..STEPS * BATCH {
                let (step, instance) = (row / BATCH, row % BATCH);
                action[(step * width + (row * 7 + 1) % width) * BATCH + instance] = 1.0;
            }
        }
        // The second instance begins anew in the middle.
        let mut keep = vec![1.0; STEPS * BATCH];
        keep[3 * BATCH + 1] = 0.0;
        Self {
            observation,
            keep,
            action,
            log_probability,
            advantage,
            target,
            regret,
        }
    }
}

/// Loss of the steps in double precision, written out by hand over the acting graph; and the memory before each step.
fn loss(problem: &Problem, settings: &recipe::Ppo, weights: &[Vec<f64>], steps: &Steps) -> (f64, Vec<Vec<f64>>) {
    let act = act_graph(problem, BATCH).unwrap();
    let width = problem.actions.width();
    let mut memory = vec![0.0; problem.memory() * BATCH];
    let (mut total, mut kept) = (0.0, Vec::new());
    for step in 0..STEPS {
        let part = |values: &[f32], width: usize| wide(&values[step * width * BATCH..(step + 1) * width * BATCH]);
        kept.push(memory.clone());
        let shapes = problem.parameters();
        let mut given: Vec<(&str, Tensor64)> = shapes
            .iter()
            .zip(weights)
            .map(|(shape, values)| (shape.name.as_str(), Tensor64::new(&shape.shape, values.clone())))
            .collect();
        let observation = Tensor64::new(&[1, OBSERVATIONS, BATCH], part(&steps.observation, OBSERVATIONS));
        given.push(("observation", observation));
        if problem.memory() > 0 {
            given.push(("keep", Tensor64::new(&[1, 1, BATCH], part(&steps.keep, 1))));
            given.push(("memory", Tensor64::new(&[problem.memory(), BATCH], memory.clone())));
        }
        let outputs = evaluate(&act, &given).unwrap();
        let (output, rest) = (&outputs[0].data, &outputs[1..]);
        let discrete = matches!(problem.actions, ActionSpace::Discrete(_));
        let log_std = if discrete { Vec::new() } else { rest[0].data.clone() };
        let rest = if discrete { rest } else { &rest[1..] };
        let value = &rest[0].data;
        if let Some(next) = rest.get(1) {
            memory = next.data.clone();
        }
        let action = part(&steps.action, width);
        let (old, advantage) = (part(&steps.log_probability, 1), part(&steps.advantage, 1));
        let target = part(&steps.target, 1);
        let regret = part(&steps.regret, width);
        for instance in 0..BATCH {
            let (mut log_probability, mut entropy) = (0.0, 0.0);
            for number in 0..width {
                let at = number * BATCH + instance;
                if discrete {
                    log_probability += action[at] * output[at].ln();
                    entropy -= output[at] * output[at].ln();
                    total += f64::from(settings.regret_weight) * output[at] * regret[at];
                } else {
                    let z = (action[at] - output[at]) / log_std[number].exp();
                    let half_log_tau = 0.5 * (2.0 * core::f64::consts::PI).ln();
                    log_probability -= 0.5 * z * z + log_std[number] + half_log_tau;
                    entropy += log_std[number] + half_log_tau + 0.5;
                }
            }
            let ratio = (log_probability - old[instance]).exp();
            let clipped = ratio.clamp(1.0 - f64::from(settings.clip), 1.0 + f64::from(settings.clip));
            let surrogate = (ratio * advantage[instance]).min(clipped * advantage[instance]);
            let error = value[instance] - target[instance];
            total += 0.5 * f64::from(settings.value_weight) * error * error
                - surrogate
                - f64::from(settings.entropy_weight) * entropy;
        }
    }
    (total, kept)
}

/// The gradient of the steps on the plan engine, `unroll` of them a call.
fn gradient(
    problem: &Problem,
    settings: &recipe::Ppo,
    weights: &[Vec<f32>],
    steps: &Steps,
    memories: &[Vec<f64>],
    unroll: usize,
) -> Vec<Vec<f32>> {
    let graph = loss_graph(problem, settings, unroll, BATCH).unwrap();
    let mut program = PlanEngine::exact().compile(&graph, &loss_options(problem)).unwrap();
    let names: Vec<String> = program.inputs().iter().map(|port| port.name.clone()).collect();
    let input = |name: &str| names.iter().position(|known| known == name);
    for (index, values) in weights.iter().enumerate() {
        program.set(index, values).unwrap();
    }
    program
        .set(input("entropy_weight").unwrap(), &[settings.entropy_weight])
        .unwrap();
    let mut sums: Vec<Vec<f32>> = weights.iter().map(|values| vec![0.0; values.len()]).collect();
    for step in (0..STEPS).step_by(unroll).rev() {
        for (name, values, width) in [
            ("observation", &steps.observation, OBSERVATIONS),
            ("keep", &steps.keep, 1),
            ("action", &steps.action, problem.actions.width()),
            ("log_probability", &steps.log_probability, 1),
            ("advantage", &steps.advantage, 1),
            ("return", &steps.target, 1),
            ("regret", &steps.regret, problem.actions.width()),
        ] {
            if let Some(input) = input(name) {
                program
                    .set(input, &values[step * width * BATCH..(step + unroll) * width * BATCH])
                    .unwrap();
            }
        }
        if let Some(input) = input("memory") {
            let narrow: Vec<f32> = memories[step].iter().map(|&value| value as f32).collect();
            program.set(input, &narrow).unwrap();
        }
        program.run().unwrap();
        for (output, sum) in sums.iter_mut().enumerate() {
            let mut values = vec![0.0; sum.len()];
            program.get(output, &mut values).unwrap();
            if problem.memory() > 0 {
                // What is resident adds up by itself.
                sum.copy_from_slice(&values);
            } else {
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    sums
}

/// Back-propagation of the clipped surrogate, through time where there is memory, against central differences of a loss
/// written out by hand in double precision; and unrolled, against the same in a loop.
fn check(policy: PolicyDescription, actions: ActionSpace) {
    check_with(settings(), policy, actions);
}

fn check_with(settings: recipe::Ppo, policy: PolicyDescription, actions: ActionSpace) {
    let problem = Problem::new(policy, actions).unwrap();
    let steps = Steps::draw(actions);
    let weights: Vec<Vec<f32>> = initialise(&problem.parameters(), Initialiser::FanIn, 3)
        .into_iter()
        .map(|tensor| tensor.values)
        .collect();
    let doubles: Vec<Vec<f64>> = weights.iter().map(|values| wide(values)).collect();
    let (_, memories) = loss(&problem, &settings, &doubles, &steps);
    let looped = gradient(&problem, &settings, &weights, &steps, &memories, 1);
    let unrolled = gradient(&problem, &settings, &weights, &steps, &memories, 3);
    let (mut worst, mut largest, mut apart) = (0.0f64, 0.0f64, 0.0f64);
    for (index, values) in weights.iter().enumerate() {
        for element in (0..values.len()).step_by(values.len().div_ceil(5)) {
            let moved = |by: f64| {
                let mut weights = doubles.clone();
                weights[index][element] += by;
                loss(&problem, &settings, &weights, &steps).0
            };
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            worst = worst.max((f64::from(looped[index][element]) - difference).abs());
            apart = apart.max(f64::from((looped[index][element] - unrolled[index][element]).abs()));
            largest = largest.max(difference.abs());
        }
    }
    assert!(largest > 0.1, "there is something to compare: {largest}");
    assert!(worst < 1e-4 * largest, "differs by {worst:e}, the largest is {largest}");
    assert!(apart < 1e-5 * largest, "unrolled differs by {apart:e}");
}

#[test]
fn gradient_with_memory_and_choices() {
    let actions = ActionSpace::Discrete(3);
    check(PolicyDescription::deterministic(gru(OBSERVATIONS, 3)), actions);
}

#[test]
fn gradient_with_memory_and_regrets() {
    let settings = recipe::Ppo {
        regret_weight: 0.7,
        ..settings()
    };
    let policy = PolicyDescription::deterministic(gru(OBSERVATIONS, 3));
    check_with(settings, policy, ActionSpace::Discrete(3));
}

#[test]
fn gradient_with_memory_and_real_numbers() {
    let policy = PolicyDescription::stochastic(gru(OBSERVATIONS, 2), Gaussian { floor: -5.0 });
    check(policy, ActionSpace::Continuous(2));
}

#[test]
fn gradient_without_memory() {
    let mlp = |outputs| Mlp::new(&[OBSERVATIONS, 8, 8, outputs], Activation::Tanh);
    check(PolicyDescription::deterministic(mlp(3)), ActionSpace::Discrete(3));
    let policy = PolicyDescription::stochastic(mlp(2), Gaussian { floor: -5.0 });
    check(policy, ActionSpace::Continuous(2));
}

/// RL2 on bandits with four arms.
fn recurrent(threads: usize, settings: recipe::Ppo) -> Ppo {
    let problem = Problem::new(PolicyDescription::deterministic(gru(6, 4)), ActionSpace::Discrete(4)).unwrap();
    let settings = recipe::Rl2 {
        episodes: 1,
        ppo: settings,
    };
    let environment = |batch| -> Box<dyn VectorEnvironment> { Box::new(Bandits::new(4, 20, batch)) };
    let engine = PlanEngine::fast();
    rl2(
        &settings,
        1,
        problem,
        Initialiser::FanIn,
        &environment,
        &engine,
        threads,
    )
    .unwrap()
}

/// A policy without memory on processes it can observe, with normalised observations.
fn feed_forward(threads: usize, settings: recipe::Ppo) -> Ppo {
    let mlp = Mlp::new(&[5, 16, 3], Activation::Tanh);
    let problem = Problem::new(PolicyDescription::deterministic(mlp), ActionSpace::Discrete(3)).unwrap();
    let environment = |batch| -> Box<dyn VectorEnvironment> { Box::new(TabularProcesses::new(5, 3, 10, batch)) };
    let engine = PlanEngine::fast();
    Ppo::new(
        &settings,
        1,
        problem,
        Initialiser::FanIn,
        &environment,
        &engine,
        threads,
    )
    .unwrap()
}

/// Bit for bit: on one thread, on three, and going on from a saved state.
#[test]
fn threads_and_resuming_change_nothing() {
    let normalised = recipe::Ppo {
        normalise_observations: true,
        ..settings()
    };
    let makers: [&dyn Fn(usize) -> Ppo; 2] = [&|threads| recurrent(threads, settings()), &|threads| {
        feed_forward(threads, normalised.clone())
    }];
    for make in makers {
        let (mut whole, mut threaded, mut first) = (make(1), make(3), make(2));
        for iteration in 0..6 {
            let (a, b) = (whole.step().unwrap(), threaded.step().unwrap());
            assert_eq!(a, b, "iteration {iteration}");
            if iteration < 3 {
                first.step().unwrap();
            }
        }
        let saved = first.state().unwrap();
        let mut second = make(1);
        second.restore(&saved).unwrap();
        for _ in 3..6 {
            second.step().unwrap();
        }
        let expected = whole.state().unwrap();
        assert_eq!(threaded.state().unwrap(), expected);
        assert_eq!(second.state().unwrap(), expected);
        assert_eq!(expected.environment_steps, 6 * 48 * 20);
        let mut other = expected.clone();
        other.tensors.pop();
        assert!(make(1).restore(&other).is_err(), "a state of another recipe is refused");
    }
}

/// Shows a sign at first, and pays for repeating it four steps later.
struct Recall {
    signs: Vec<f32>,
    age: usize,
    /// What was drawn for the signs, from -1 to 1, in all batches that share it.
    drawn: Arc<Mutex<Vec<f32>>>,
}

impl Recall {
    const HORIZON: usize = 5;

    fn new(batch: usize) -> Self {
        Self {
            signs: vec![1.0; batch],
            age: 0,
            drawn: Arc::default(),
        }
    }
}

impl VectorEnvironment for Recall {
    fn name(&self) -> &str {
        "recall"
    }

    fn batch(&self) -> usize {
        self.signs.len()
    }

    fn observation_width(&self) -> usize {
        1
    }

    fn actions(&self) -> ActionSpace {
        ActionSpace::Discrete(2)
    }

    fn horizon(&self) -> usize {
        Self::HORIZON
    }

    fn new_task(&mut self, _instance: usize, _random: &mut Stream) {}

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        let drawn = uniform(random, -1.0, 1.0);
        self.signs[instance] = if drawn < 0.0 { -1.0 } else { 1.0 };
        self.age = 0;
        self.drawn.lock().unwrap().push(drawn);
    }

    fn observe(&self, observations: &mut [f32]) {
        observations.copy_from_slice(&self.signs);
        if self.age > 0 {
            observations.fill(0.0);
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.age += 1;
        let last = self.age == Self::HORIZON;
        for (instance, sign) in self.signs.iter().enumerate() {
            let repeated = (actions[instance] > 0.5) == (*sign > 0.0);
            rewards[instance] = f32::from(u8::from(last && repeated));
            ends[instance] = if last { End::Terminated } else { End::Continue };
        }
    }
}

/// What was seen four steps ago can only be learned through time.
#[test]
fn it_learns_to_remember() {
    let settings = recipe::Ppo {
        steps: Recall::HORIZON,
        environments: 192,
        epochs: 4,
        gae_lambda: 1.0,
        discount: 1.0,
        iterations: 80,
        ..settings()
    };
    let problem = Problem::new(PolicyDescription::deterministic(gru(1, 2)), ActionSpace::Discrete(2)).unwrap();
    let environment = |batch| -> Box<dyn VectorEnvironment> { Box::new(Recall::new(batch)) };
    let engine = PlanEngine::fast();
    let mut learner = Ppo::new(&settings, 1, problem, Initialiser::FanIn, &environment, &engine, 2).unwrap();
    let mut returns = Vec::new();
    while learner.completed() < learner.iterations() {
        returns.push(learner.step().unwrap().metrics[0].1);
    }
    let mean = |returns: &[f32]| returns.iter().sum::<f32>() / returns.len() as f32;
    let (early, late) = (mean(&returns[..3]), mean(&returns[75..]));
    assert!((0.35..0.65).contains(&early) && late > 0.95, "from {early} to {late}");
    let learned = learner.learned().unwrap();
    let names: Vec<&str> = learned.parameters.iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(
        names.contains(&"head.weight") && !names.iter().any(|name| name.starts_with("value")),
        "{names:?}"
    );
}

/// From an iteration on, half of the draws crowd at the ends of their range: of plain draws a fifth is beyond 0.8, of those 41 %.
#[test]
fn a_share_of_the_draws_is_extreme() {
    let settings = recipe::Ppo {
        environments: 1200,
        steps: Recall::HORIZON,
        epochs: 1,
        extremes: 0.5,
        extremes_after: 1,
        ..settings()
    };
    let problem = Problem::new(PolicyDescription::deterministic(gru(1, 2)), ActionSpace::Discrete(2)).unwrap();
    let drawn: Arc<Mutex<Vec<f32>>> = Arc::default();
    let environment = |batch| -> Box<dyn VectorEnvironment> {
        Box::new(Recall {
            drawn: drawn.clone(),
            ..Recall::new(batch)
        })
    };
    let engine = PlanEngine::fast();
    let mut learner = Ppo::new(&settings, 1, problem, Initialiser::FanIn, &environment, &engine, 1).unwrap();
    for (iteration, expected) in [0.2, 0.305, 0.305].into_iter().enumerate() {
        learner.step().unwrap();
        let draws = core::mem::take(&mut *drawn.lock().unwrap());
        assert_eq!(draws.len(), 1200);
        let share = draws.iter().filter(|draw| draw.abs() > 0.8).count() as f64 / 1200.0;
        // Three standard deviations of the share.
        assert!((share - expected).abs() < 0.04, "iteration {iteration}: {share}");
    }
}

/// Bandits that break: from some pull on, one instance gives what is no number.
#[derive(Clone)]
struct Broken {
    inner: Bandits,
    steps: usize,
    reward: bool,
}

impl VectorEnvironment for Broken {
    fn name(&self) -> &str {
        "broken bandit"
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    fn observation_width(&self) -> usize {
        2
    }

    fn actions(&self) -> ActionSpace {
        self.inner.actions()
    }

    fn horizon(&self) -> usize {
        self.inner.horizon()
    }

    fn new_task(&mut self, instance: usize, random: &mut Stream) {
        self.inner.new_task(instance, random);
    }

    fn new_episode(&mut self, instance: usize, random: &mut Stream) {
        self.inner.new_episode(instance, random);
    }

    fn observe(&self, observations: &mut [f32]) {
        observations.fill(0.5);
        if !self.reward && self.steps == 4 {
            observations[self.batch() + 3] = f32::NAN;
        }
    }

    fn step(&mut self, actions: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.inner.step(actions, rewards, ends);
        self.steps += 1;
        if self.reward && self.steps == 8 {
            rewards[2] = f32::INFINITY;
        }
    }
}

#[test]
fn an_environment_that_gives_no_number_is_named_with_instance_and_step() {
    for (reward, instance, step, what) in [(true, 2, 7, "reward"), (false, 3, 4, "number 1 of the observation")] {
        let problem = Problem::new(PolicyDescription::deterministic(gru(2, 4)), ActionSpace::Discrete(4)).unwrap();
        let environment = |batch| -> Box<dyn VectorEnvironment> {
            Box::new(Broken {
                inner: Bandits::new(4, 20, batch),
                steps: 0,
                reward,
            })
        };
        let engine = PlanEngine::fast();
        let mut learner = Ppo::new(&settings(), 1, problem, Initialiser::FanIn, &environment, &engine, 1).unwrap();
        let error = learner.step().unwrap_err();
        let TrainError::NotFinite {
            instance: found,
            step: when,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*found, *when), (instance, step));
        let message = error.to_string();
        for part in ["broken bandit", "iteration 1", what] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let engine = PlanEngine::fast();
    let environment = |batch| -> Box<dyn VectorEnvironment> { Box::new(Bandits::new(4, 20, batch)) };
    let problem = || Problem::new(PolicyDescription::deterministic(gru(6, 4)), ActionSpace::Discrete(4)).unwrap();
    let rl2_settings = recipe::Rl2 {
        episodes: 2,
        ppo: settings(),
    };
    let short = rl2(
        &rl2_settings,
        1,
        problem(),
        Initialiser::FanIn,
        &environment,
        &engine,
        1,
    );
    assert!(matches!(
        short.err(),
        Some(TrainError::ShortWindow { steps: 20, horizon: 40 })
    ));
    let mlp = PolicyDescription::deterministic(Mlp::new(&[6, 8, 4], Activation::Tanh));
    let forgetful = Problem::new(mlp, ActionSpace::Discrete(4)).unwrap();
    let forgetful = rl2(
        &rl2_settings,
        1,
        forgetful,
        Initialiser::FanIn,
        &environment,
        &engine,
        1,
    );
    assert!(matches!(forgetful.err(), Some(TrainError::NoMemory)));
    let deterministic = PolicyDescription::deterministic(gru(6, 4));
    assert!(Problem::new(deterministic, ActionSpace::Continuous(4)).is_err());
}

#[test]
fn a_trial_shows_what_came_before() {
    let mut trials = Trials::new(Bandits::new(3, 2, 2), 2);
    assert_eq!((trials.observation_width(), trials.horizon()), (5, 4));
    let mut random = stream(0, "test", &[]);
    for instance in 0..2 {
        trials.new_task(instance, &mut random);
        trials.new_episode(instance, &mut random);
    }
    let mut observation = [f32::NAN; 10];
    let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
    trials.observe(&mut observation);
    assert_eq!(observation, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    trials.step(&[2.0, 0.0], &mut rewards, &mut ends);
    trials.observe(&mut observation);
    assert_eq!(observation[..6], [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(observation[6..8], rewards);
    assert_eq!(observation[8..], [0.0, 0.0]);
    trials.step(&[1.0, 1.0], &mut rewards, &mut ends);
    trials.observe(&mut observation);
    assert_eq!((ends, trials.ended(0)), ([End::Continue; 2], 1));
    assert_eq!(observation[8..], [1.0, 1.0], "an episode of the same trial begins");
    assert_eq!(observation[2..4], [1.0, 1.0], "and what came before it is still seen");
    trials.step(&[1.0, 1.0], &mut rewards, &mut ends);
    trials.step(&[1.0, 1.0], &mut rewards, &mut ends);
    assert_eq!(ends, [End::Terminated; 2]);
}
