//! What a recipe deploys: the policy, the rule it adapts by, and the contract with the machine it runs on.

use std::sync::Arc;

use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::adaptation::ridge::RidgeRule;
use pliant_compiler::adaptation::{AdaptationError, Rule, Subset};
use pliant_compiler::policy::{self, Gaussian, Gru, Mlp, Network, PolicyDescription, Scan};
use pliant_runtime::contract::{Channel, Contract, ContractError, Source};
use pliant_runtime::image::{AdaptationSpec, Objective, ResetRule};

use crate::algorithms::ObservationScale;
use crate::envs::{MAX_STEP, Navigation, SWING_UP_TORQUE as TORQUE, Simulator};
use crate::recipe::{Activation, Algorithm, Family, HeadAdaptation, MultiTask, Recipe, SystemTask};
use crate::tasks::{self, DataError, LoggedFamily, TaskConflictFamily};

/// Most rows that the device folds in at a time: more need more scratch, fewer repeat the fixed work more often.
const CHUNK_ROWS: u32 = 20;

/// The policy of a recipe; where there is a head a task, the network that one task sees.
pub fn policy(recipe: &Recipe) -> PolicyDescription {
    match &recipe.family {
        // The outputs are logits.
        Family::Bandit(family) => PolicyDescription::deterministic(in_context(recipe, 0, family.arms)),
        Family::Tabular(family) => PolicyDescription::deterministic(in_context(recipe, family.states, family.actions)),
        Family::HalfCircle(_) => PolicyDescription::stochastic(in_context(recipe, 2, 2), gaussian(recipe)),
        Family::SwingUp(_) => PolicyDescription::stochastic(in_context(recipe, 3, 1), gaussian(recipe)),
        Family::Sinusoid(_) => PolicyDescription::deterministic(network(recipe, 1, 1)),
        // Where tasks are learned together the widths are those of the data, and nothing asks for this network.
        Family::Logged(family) => {
            let map = family.named_map(recipe.seed);
            PolicyDescription::deterministic(match network(recipe, map.width(), family.targets.len()) {
                Network::Mlp(mlp) => Network::Mlp(mlp.with_feature_map(map)),
                network => network,
            })
        }
        Family::Motifs(family) => PolicyDescription::deterministic(scan(recipe, family.length)),
        Family::Navigation(_) => PolicyDescription::stochastic(network(recipe, 2, 2), gaussian(recipe)),
        Family::TaskConflict(_) => PolicyDescription::deterministic(network(recipe, TaskConflictFamily::INPUTS, 1)),
        Family::Systems(family) => {
            let (inputs, outputs) = family.widths();
            PolicyDescription::deterministic(network(recipe, inputs, outputs))
        }
        _ => {
            let widths = simulated(recipe).widths();
            let network = network(recipe, widths.observation, widths.action);
            match recipe.algorithm {
                Algorithm::Ppo(_) => PolicyDescription::stochastic(network, gaussian(recipe)),
                _ => PolicyDescription::bounded(network),
            }
        }
    }
}

/// How continuous actions are sampled.
fn gaussian(recipe: &Recipe) -> Gaussian {
    let floor = match &recipe.algorithm {
        Algorithm::MamlPolicyGradient(settings) => settings.log_std_floor,
        Algorithm::Ppo(settings) => settings.log_std_floor,
        Algorithm::Rl2(settings) => settings.ppo.log_std_floor,
        _ => f32::NEG_INFINITY,
    };
    Gaussian { floor }
}

/// The rule by which the policy adapts: in meta-training, on the device and in the exported graphs.
///
/// A policy that only acts is given the supervised rule; nothing exports it.
///
/// # Errors
/// [`AdaptationError::NoLinearHead`] for a ridge head on a policy that has none; not for a recipe that passed its checks.
pub fn rule(recipe: &Recipe) -> Result<Rule, AdaptationError> {
    let policy = policy(recipe);
    if let Algorithm::Ridge(settings) = &recipe.algorithm {
        let rule = RidgeRule::for_policy(&policy)?;
        return Ok(Rule::Ridge(match settings.forgetting {
            Some(factor) => rule.recursive(factor),
            None => rule,
        }));
    }
    let objective = objective(recipe).unwrap_or(Objective::Supervised);
    let mut rule = GradientRule::for_policy(&policy, objective).with_gradient_clip(gradient_clip(recipe));
    if let Algorithm::Maml(settings) = &recipe.algorithm {
        rule.adapts = Subset::from(settings.adapts).of(&policy);
    }
    Ok(Rule::Gradient(rule))
}

/// The clip of the inner gradient, if there is one.
fn gradient_clip(recipe: &Recipe) -> Option<f32> {
    match &recipe.algorithm {
        Algorithm::Maml(settings) => settings.gradient_clip,
        Algorithm::MamlPolicyGradient(settings) => settings.gradient_clip,
        Algorithm::AnalyticPolicyGradient(_)
        | Algorithm::MultiTask(_)
        | Algorithm::MultiTaskPpo(_)
        | Algorithm::Ppo(_)
        | Algorithm::Reptile(_)
        | Algorithm::Ridge(_)
        | Algorithm::Rl2(_)
        | Algorithm::TeacherStudent(_) => None,
    }
}

/// When the memory of a policy begins anew; none for each episode.
pub fn state_reset(recipe: &Recipe) -> Option<ResetRule> {
    matches!(recipe.algorithm, Algorithm::Rl2(_)).then_some(ResetRule::Task)
}

/// What adaptation minimises; none for a policy that only acts, and adapts by its memory if it has one.
pub fn objective(recipe: &Recipe) -> Option<Objective> {
    match &recipe.family {
        Family::Logged(_) | Family::Motifs(_) | Family::Sinusoid(_) | Family::Systems(_) | Family::TaskConflict(_) => {
            Some(Objective::Supervised)
        }
        Family::Navigation(_) => Some(Objective::PolicyGradient),
        _ => None,
    }
}

/// How the device adapts: rows, steps and estimator. Guards are open.
///
/// None for a policy that only acts.
pub fn adaptation_spec(recipe: &Recipe, step_scales: &[f32]) -> Option<AdaptationSpec> {
    let spec = AdaptationSpec {
        gradient_clip: gradient_clip(recipe).unwrap_or(0.0),
        ..AdaptationSpec::new(objective(recipe)?).with_step_scales(step_scales)
    };
    Some(match (&recipe.family, &recipe.algorithm) {
        (Family::Navigation(family), Algorithm::MamlPolicyGradient(settings)) => {
            let horizon = Navigation::HORIZON as u32;
            let trajectories = family.evaluation_trajectories as u32;
            AdaptationSpec {
                trajectories,
                horizon,
                baseline_features: 1,
                gamma: settings.discount,
                lambda: settings.gae_lambda,
                baseline_ridge: settings.baseline_ridge,
                ..spec.with_rows(trajectories * horizon, CHUNK_ROWS)
            }
        }
        (_, Algorithm::MultiTask(MultiTask { adaptation, .. })) => heads(&spec, adaptation),
        (_, Algorithm::MultiTaskPpo(settings)) => heads(&spec, &settings.adaptation),
        (family, algorithm) => match family.shots_and_queries() {
            Some((shots, _)) => {
                let shots = shots as u32;
                let chunk = match algorithm {
                    // A row at a time.
                    Algorithm::Ridge(settings) if settings.forgetting.is_some() => 1,
                    // Each row is as many rows as it has windows.
                    _ if recipe.policy.scan.is_some() => 1,
                    _ => shots.min(CHUNK_ROWS),
                };
                spec.with_rows(shots, chunk)
            }
            None => spec,
        },
    })
}

/// Heads that adapt to labelled rows.
fn heads(spec: &AdaptationSpec, adaptation: &HeadAdaptation) -> AdaptationSpec {
    let rows = adaptation.rows as u32;
    AdaptationSpec {
        holdout_every: adaptation.holdout_every,
        ..spec.with_rows(rows, rows.min(CHUNK_ROWS))
    }
}

/// Names, units and ranges of what the policy sees and does.
///
/// # Errors
/// What is wrong with logged data, whose columns and scales it names; more channels than a contract can have.
pub fn contract(recipe: &Recipe) -> Result<Contract, DeploymentError> {
    if let Some(tables) = tasks::task_set(recipe)? {
        if matches!(recipe.family, Family::Logged(_)) {
            return tasks::tables_contract(&tables);
        }
    } else if let Family::Logged(settings) = &recipe.family {
        return LoggedFamily::read(settings, recipe.seed)?.contract();
    }
    Ok(written_contract(recipe)?)
}

/// Why there is no contract.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeploymentError {
    /// The contract is refused.
    #[error("the contract is refused: {0}")]
    Contract(#[from] ContractError),
    /// Logged data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The contract of a family that is known without data.
fn written_contract(recipe: &Recipe) -> Result<Contract, ContractError> {
    match &recipe.family {
        Family::Bandit(family) => {
            let arms: Vec<String> = (0..family.arms).map(|arm| format!("arm {arm}")).collect();
            let mut contract = Contract::new(1.0);
            observe_context(recipe, &mut contract, &arms, Some(1.0))?;
            choose(&mut contract, &arms)?;
            Ok(contract)
        }
        Family::Tabular(family) => {
            let actions: Vec<String> = (0..family.actions).map(|action| format!("action {action}")).collect();
            let mut contract = Contract::new(1.0);
            for state in 0..family.states {
                let channel = Channel::observation(&format!("state {state}"), "").with_range(0.0, 1.0);
                contract.observe(channel)?;
            }
            observe_context(recipe, &mut contract, &actions, None)?;
            choose(&mut contract, &actions)?;
            Ok(contract)
        }
        Family::HalfCircle(_) => {
            let mut contract = Contract::new(10.0);
            for name in ["x", "y"] {
                contract.observe(Channel::observation(name, ""))?;
            }
            let moves = ["dx", "dy"];
            for name in moves.iter().filter(|_| matches!(recipe.algorithm, Algorithm::Rl2(_))) {
                let channel = Channel::observation(&format!("previous {name}"), "");
                contract.observe(Channel {
                    source: Source::PreviousAction,
                    ..channel
                })?;
            }
            observe_context(recipe, &mut contract, &[], Some(1.0))?;
            for name in moves {
                contract.actuate(plane_move(name))?;
            }
            Ok(contract)
        }
        Family::SwingUp(_) => {
            let mut contract = Contract::new(20.0);
            for name in ["angle, cosine", "angle, sine"] {
                contract.observe(Channel::observation(name, "").with_range(-1.0, 1.0))?;
            }
            contract.observe(Channel::observation("angular velocity", "rad/s").with_range(-8.0, 8.0))?;
            let torque = Channel::action("torque", "N m").with_normaliser(0.0, TORQUE);
            contract.actuate(torque.with_range(-TORQUE, TORQUE))?;
            Ok(contract)
        }
        Family::Sinusoid(family) => {
            // The protocol learns raw inputs and targets: the normaliser is the identity. Answers are not clipped to the
            // amplitudes of the family, which would be knowledge that the protocol does not grant.
            let mut contract = Contract::new(1.0);
            let [low, high] = family.input;
            contract.observe(Channel::observation("x", "").with_range(low, high))?;
            let limit = 10.0 * family.amplitude[1];
            contract.actuate(Channel::action("y", "").with_range(-limit, limit))?;
            Ok(contract)
        }
        Family::Motifs(family) => {
            let mut contract = Contract::new(1.0);
            for place in 0..family.length {
                contract.observe(Channel::observation(&format!("base {place}"), "").with_range(-1.0, 3.0))?;
            }
            contract.actuate(Channel::action("motif, logit", ""))?;
            Ok(contract)
        }
        Family::Navigation(_) => {
            // The network sees raw positions and answers in units of 0.1, the greatest move; the environment clips.
            let mut contract = Contract::new(10.0);
            for name in ["x", "y"] {
                contract.observe(Channel::observation(name, ""))?;
            }
            for name in ["dx", "dy"] {
                contract.actuate(plane_move(name))?;
            }
            Ok(contract)
        }
        Family::Systems(family) => {
            // What a channel means depends on the task; the fastest of them sets the rate.
            let (inputs, outputs) = family.widths();
            let rate = family.tasks.values().map(SystemTask::rate_hz).fold(1.0, f32::max);
            let mut contract = Contract::new(rate);
            for index in 0..inputs {
                contract.observe(Channel::observation(&format!("observation {index}"), ""))?;
            }
            for index in 0..outputs {
                contract.actuate(Channel::action(&format!("action {index}"), "").with_range(-1.0, 1.0))?;
            }
            Ok(contract)
        }
        Family::TaskConflict(_) => {
            let mut contract = Contract::new(1.0);
            for index in 0..TaskConflictFamily::INPUTS {
                contract.observe(Channel::observation(&format!("x{index}"), ""))?;
            }
            contract.actuate(Channel::action("y", ""))?;
            Ok(contract)
        }
        _ => {
            let simulator = simulated(recipe);
            let mut contract = Contract::new(simulator.rate_hz());
            let channels = simulator.channels();
            channels
                .observations
                .into_iter()
                .try_for_each(|channel| contract.observe(channel))?;
            channels
                .actions
                .into_iter()
                .try_for_each(|channel| contract.actuate(channel))?;
            Ok(contract)
        }
    }
}

/// The simulator of a family that has no other form.
fn simulated(recipe: &Recipe) -> Arc<dyn Simulator> {
    tasks::simulator(recipe).expect("families without rows or an environment of their own are simulated")
}

/// A move along an axis of the plane.
fn plane_move(name: &str) -> Channel {
    Channel::action(name, "")
        .with_normaliser(0.0, MAX_STEP)
        .with_range(-MAX_STEP, MAX_STEP)
}

/// The contract of a recipe with the normaliser that training found.
///
/// # Errors
/// As [`contract`].
pub fn contract_with(recipe: &Recipe, scale: Option<&ObservationScale>) -> Result<Contract, DeploymentError> {
    let mut contract = contract(recipe)?;
    if let Some(ObservationScale { mean, deviation, clip }) = scale {
        for (channel, (&mean, &deviation)) in contract.observations.iter_mut().zip(mean.iter().zip(deviation)) {
            (channel.mean, channel.scale, channel.clip) = (mean, deviation, *clip);
        }
    }
    Ok(contract)
}

/// What a policy that learns in context sees beside its observation: the previous action (one-hot where discrete), its
/// reward, and whether an episode begins. `rewards` from 0 to so much, where that is known.
fn observe_context(
    recipe: &Recipe,
    contract: &mut Contract,
    actions: &[String],
    rewards: Option<f32>,
) -> Result<(), ContractError> {
    if !matches!(recipe.algorithm, Algorithm::Rl2(_)) {
        return Ok(());
    }
    for action in actions {
        let channel = Channel::observation(&format!("previous {action}"), "").with_range(0.0, 1.0);
        contract.observe(Channel {
            source: Source::PreviousAction,
            ..channel
        })?;
    }
    let reward = Channel::observation("reward", "");
    contract.observe(Channel {
        source: Source::Reward,
        ..match rewards {
            Some(most) => reward.with_range(0.0, most),
            None => reward,
        }
    })?;
    contract.observe(Channel {
        source: Source::Done,
        ..Channel::observation("episode begins", "").with_range(0.0, 1.0)
    })
}

/// One action channel a choice: its logit. Firmware draws one with `Noise::choose`, or takes the largest.
fn choose(contract: &mut Contract, choices: &[String]) -> Result<(), ContractError> {
    choices
        .iter()
        .try_for_each(|choice| contract.actuate(Channel::action(&format!("logit of {choice}"), "")))
}

/// The recipe's network, which also sees what came before where it learns in context.
fn in_context(recipe: &Recipe, observations: usize, actions: usize) -> Network {
    let context = if matches!(recipe.algorithm, Algorithm::Rl2(_)) {
        actions + 2
    } else {
        0
    };
    network(recipe, observations + context, actions)
}

/// The scan of a sequence of bases.
fn scan(recipe: &Recipe, length: usize) -> Scan {
    let settings = recipe.policy.scan.unwrap_or_default();
    Scan {
        length,
        symbols: 4,
        window: settings.window,
        detectors: settings.detectors,
        both_strands: settings.both_strands,
    }
}

/// The recipe's network.
fn network(recipe: &Recipe, inputs: usize, outputs: usize) -> Network {
    let activation = match recipe.policy.activation {
        Activation::Relu => policy::Activation::Relu,
        Activation::Tanh => policy::Activation::Tanh,
    };
    if let (memory @ 1.., [encoder]) = (recipe.policy.memory, &recipe.policy.hidden[..]) {
        return Network::Gru(Gru {
            observations: inputs,
            encoder: *encoder,
            activation,
            hidden: memory,
            outputs,
            changes: recipe.policy.changes,
        });
    }
    let hidden = recipe.policy.hidden.iter().copied();
    let sizes: Vec<usize> = core::iter::once(inputs).chain(hidden).chain([outputs]).collect();
    Mlp::new(&sizes, activation).with_context(recipe.policy.context).into()
}
