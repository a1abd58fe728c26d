//! What flies: a policy with or without adaptation in flight, on this machine.

use pliant_runtime::adapt::in_flight::{
    Body, Correction, Estimator, InFlight, MEMORY, PARAMETERS, QUADROTOR_X, Settings,
};
use pliant_runtime::contract::{ContractError, ContractView};
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Actor, Policy, PolicyError, ResetKind, Status, act_workspace_len};

use super::board::BoardError;
use crate::envs::Quadrotor;

/// Why a quadrotor cannot be flown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PilotError {
    /// The runtime refuses to load the image.
    #[error("the device runtime cannot load the image: {0}")]
    Policy(#[from] PolicyError),
    /// Its contract is refused.
    #[error("the contract of the image is refused: {0:?}")]
    Contract(ContractError),
    /// It is not a quadrotor's.
    #[error(
        "this image does not fly a quadrotor: it has no channel `{0}`; `pliant inspect` shows what it sees, models/quadrotor is one that flies"
    )]
    NotAQuadrotor(&'static str),
    /// The runtime refused to act.
    #[error("the runtime refused to act ({0:?})")]
    Refused(Status),
    /// A board did not do its part.
    #[error(transparent)]
    Board(#[from] BoardError),
}

/// Flies quadrotors.
pub trait Pilot {
    /// Numbers of an observation.
    fn observations(&self) -> usize;

    /// A new episode begins.
    ///
    /// # Errors
    /// It cannot fly any more.
    fn reset(&mut self) -> Result<(), PilotError>;

    /// The action, four numbers in -1..1, for an observation.
    ///
    /// # Errors
    /// It cannot fly any more.
    fn act(&mut self, observation: &[f32], action: &mut [f32; 4]) -> Result<(), PilotError>;

    /// The parameters of the correction that the last action was made with.
    fn correction(&self) -> [f32; PARAMETERS];
}

/// Checks that an image flies quadrotors, and finds what its body is and how many numbers it observes.
fn body(image: &Image<'_>) -> Result<(Body, usize), PilotError> {
    let contract = ContractView::new_checked(image.contract_bytes()).map_err(PilotError::Contract)?;
    let body = Body::of(&contract).map_err(PilotError::NotAQuadrotor)?;
    let observations = contract.observations().len();
    match Quadrotor::actions_seen(observations).is_some() && contract.actions().len() == 4 {
        true => Ok((body, observations)),
        false => Err(PilotError::NotAQuadrotor("front left, the fourth of four rotors")),
    }
}

/// How many numbers an image that flies quadrotors observes.
///
/// # Errors
/// One that flies none.
pub fn observations(image: &Image<'_>) -> Result<usize, PilotError> {
    body(image).map(|(_, observations)| observations)
}

/// The device image through the device runtime.
pub struct HostPilot<'p, 'm, 'c, 'n> {
    actor: Actor<'p, 'm>,
    correction: Correction<'c, 'n>,
    estimator: Estimator<'c, 'n>,
    adapts: bool,
    shown: Vec<f32>,
    used: [f32; PARAMETERS],
}

impl HostPilot<'_, '_, '_, '_> {
    /// Loads an image and lets it fly.
    ///
    /// # Errors
    /// An image that is not a quadrotor's; what `then` gives.
    pub fn with<T, E: From<PilotError>>(
        image: &Image<'_>,
        adapts: bool,
        settings: Settings,
        then: impl FnOnce(&mut dyn Pilot) -> Result<T, E>,
    ) -> Result<T, E> {
        let (body, observations) = body(image)?;
        let mut memory = vec![0.0; act_workspace_len(image.bytes())];
        let mut policy = Policy::act_only(image, None, &mut memory).map_err(PilotError::Policy)?;
        let (actor, _) = policy.split();
        let mut memory = [0.0; MEMORY];
        let mut in_flight = InFlight::new(body, &QUADROTOR_X, settings, &mut memory);
        let (correction, estimator) = in_flight.split();
        then(&mut HostPilot {
            actor,
            correction,
            estimator,
            adapts,
            shown: vec![0.0; observations],
            used: [0.0; PARAMETERS],
        })
    }
}

impl Pilot for HostPilot<'_, '_, '_, '_> {
    fn observations(&self) -> usize {
        self.shown.len()
    }

    fn reset(&mut self) -> Result<(), PilotError> {
        self.actor.reset(ResetKind::Episode);
        self.correction.reset();
        self.correction.freeze(!self.adapts);
        self.estimator.revert();
        Ok(())
    }

    fn act(&mut self, observation: &[f32], action: &mut [f32; 4]) -> Result<(), PilotError> {
        if self.adapts {
            self.estimator.observe(observation, self.correction.command());
            // What is refused leaves the correction as it was, or takes it away.
            let _report = self.estimator.adapt();
        }
        self.correction.show(observation, &mut self.shown);
        let status = self.actor.act(&self.shown, action);
        if status.is_safe_action() {
            return Err(PilotError::Refused(status));
        }
        self.correction.drive(action);
        self.used = self
            .correction
            .parameters(|parameters| core::array::from_fn(|i| parameters[i]));
        Ok(())
    }

    fn correction(&self) -> [f32; PARAMETERS] {
        self.used
    }
}
