//! What a recipe deploys: the policy, the rule it adapts by, and the contract with the machine it runs on.

use std::sync::Arc;

use pliant_compiler::adaptation::gradient::GradientRule;
use pliant_compiler::policy::{self, Gaussian, Gru, Mlp, Network, PolicyDescription};
use pliant_runtime::contract::{Channel, Contract, ContractError};
use pliant_runtime::image::{AdaptationSpec, Objective};

use crate::envs::{MAX_STEP, Navigation, Simulator};
use crate::recipe::{Activation, Algorithm, Family, Recipe};
use crate::tasks;

/// Most rows that the device folds in at a time: more need more scratch, fewer repeat the fixed work more often.
const CHUNK_ROWS: u32 = 20;

/// The policy of a recipe.
pub fn policy(recipe: &Recipe) -> PolicyDescription {
    match &recipe.family {
        Family::Sinusoid(_) => PolicyDescription::deterministic(network(recipe, 1, 1)),
        Family::Navigation(_) => {
            let floor = match &recipe.algorithm {
                Algorithm::MamlPolicyGradient(settings) => settings.log_std_floor,
                _ => f32::NEG_INFINITY,
            };
            PolicyDescription::stochastic(network(recipe, 2, 2), Gaussian { floor })
        }
        _ => {
            let widths = simulated(recipe).widths();
            PolicyDescription::bounded(network(recipe, widths.observation, widths.action))
        }
    }
}

/// The rule by which the policy adapts: in meta-training, on the device and in the exported graphs.
///
/// A policy that only acts is given the supervised rule; nothing exports it.
pub fn rule(recipe: &Recipe) -> GradientRule<'static> {
    let objective = objective(recipe).unwrap_or(Objective::Supervised);
    GradientRule::for_policy(&policy(recipe), objective).with_gradient_clip(gradient_clip(recipe))
}

/// The clip of the inner gradient, if there is one.
fn gradient_clip(recipe: &Recipe) -> Option<f32> {
    match &recipe.algorithm {
        Algorithm::Maml(settings) => settings.gradient_clip,
        Algorithm::MamlPolicyGradient(settings) => settings.gradient_clip,
        Algorithm::AnalyticPolicyGradient(_) => None,
    }
}

/// What adaptation minimises; none for a policy that only acts, and adapts by its memory if it has one.
pub fn objective(recipe: &Recipe) -> Option<Objective> {
    match &recipe.family {
        Family::Sinusoid(_) => Some(Objective::Supervised),
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
        (Family::Sinusoid(family), _) => {
            let shots = family.shots as u32;
            spec.with_rows(shots, shots.min(CHUNK_ROWS))
        }
        _ => spec,
    })
}

/// Names, units and ranges of what the policy sees and does.
///
/// # Errors
/// None for a recipe that passed its checks.
pub fn contract(recipe: &Recipe) -> Result<Contract, ContractError> {
    match &recipe.family {
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
        Family::Navigation(_) => {
            // The network sees raw positions and answers in units of 0.1, the greatest move; the environment clips.
            let mut contract = Contract::new(10.0);
            for name in ["x", "y"] {
                contract.observe(Channel::observation(name, ""))?;
            }
            for name in ["dx", "dy"] {
                let action = Channel::action(name, "")
                    .with_normaliser(0.0, MAX_STEP)
                    .with_range(-MAX_STEP, MAX_STEP);
                contract.actuate(action)?;
            }
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
        });
    }
    let hidden = recipe.policy.hidden.iter().copied();
    let sizes: Vec<usize> = core::iter::once(inputs).chain(hidden).chain([outputs]).collect();
    Mlp::new(&sizes, activation).into()
}
