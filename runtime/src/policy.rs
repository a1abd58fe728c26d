//! A policy loaded from an image: an [`Actor`] that acts, a [`Learner`] that adapts, one block of memory.
//!
//! [`Policy::new`] checks the image against what the firmware is wired to and divides the caller's memory; nothing else
//! is ever allocated. [`Policy::split`] gives the two handles. They may be used in turn in one loop, or the actor in an
//! interrupt (or thread) and the learner in the background: the actor never waits, and never sees half-written
//! parameters.
//!
//! Experience goes from the actor to the learner as [`Step`]s, through whatever queue suits; in one loop through none:
//!
//! ```no_run
//! use pliant_runtime::contract::{Interface, Port};
//! use pliant_runtime::experience::End;
//! use pliant_runtime::image::Image;
//! use pliant_runtime::policy::{Policy, ResetKind};
//!
//! # fn sense() -> [f32; 2] { [0.0; 2] }
//! # fn drive(_: &[f32; 2]) -> (f32, End) { (0.0, End::Truncated) }
//! const WIRED: Interface<'static> = Interface {
//!     observations: &[Port::new("x", "m"), Port::new("y", "m")],
//!     actions: &[Port::new("dx", "m"), Port::new("dy", "m")],
//!     control_rate_hz: 10.0,
//! };
//! # let bytes: &[u8] = &[];
//! // In firmware: `const IMAGE: &[u8] = include_image!(...)` and a static array of `workspace_len(IMAGE)`.
//! let mut memory = vec![0.0; pliant_runtime::policy::workspace_len(bytes)];
//! let image = Image::new_checked(bytes).unwrap();
//! let mut policy = Policy::new(&image, Some(&WIRED), &mut memory).unwrap();
//! let (mut actor, mut learner) = policy.split();
//!
//! actor.seed(7);
//! for _episode in 0..20 {
//!     actor.reset(ResetKind::Episode);
//!     loop {
//!         let mut action = [0.0; 2];
//!         let step = actor.explore(&sense(), &mut action);
//!         let (reward, end) = drive(&action);
//!         // Where there is no step the safe action was driven: the learner notices the gap and drops the trajectory.
//!         if let Ok(step) = step {
//!             let _dropped = learner.observe(&step, reward, end);
//!         }
//!         if end.is_last() {
//!             break;
//!         }
//!     }
//! }
//! let report = learner.adapt();
//! assert!(report.is_accepted());
//! ```
//!
//! With an interrupt in between, a single-producer single-consumer queue carries the steps:
//!
//! ```
//! use heapless::spsc::Queue;
//! use pliant_runtime::experience::End;
//! use pliant_runtime::policy::{Actor, Learner, Step};
//!
//! type Experience = (Step, f32, End);
//!
//! /// In the control interrupt. A full queue loses the step, and so the learner drops the trajectory.
//! fn control(actor: &mut Actor, queue: &mut heapless::spsc::Producer<'_, Experience>) {
//!     let mut action = [0.0; 2];
//!     if let Ok(step) = actor.explore(&[0.1, 0.2], &mut action) {
//!         let _lost = queue.enqueue((step, -1.0, End::Continue));
//!     }
//! }
//!
//! /// In the main loop, at most about 100 microseconds at a time.
//! fn background(learner: &mut Learner, queue: &mut heapless::spsc::Consumer<'_, Experience>) {
//!     if !learner.is_adapting() {
//!         while let Some((step, reward, end)) = queue.dequeue() {
//!             let _stale = learner.observe(&step, reward, end);
//!         }
//!     }
//!     if learner.is_adapting() || learner.trajectories() >= 20 {
//!         let _progress = learner.adapt_some(10_000);
//!     }
//! }
//! # let mut queue: Queue<Experience, 4> = Queue::new();
//! # let _ends = queue.split();
//! ```

mod actor;
mod layout;
mod learner;
mod restore;
mod watch;

use core::fmt;

pub use actor::{Actor, Counts, ResetKind, Status, Step};
pub use layout::{act_workspace_len, workspace_len};
pub use learner::{Learner, ObserveError, Reverted};
pub use restore::RestoreError;

use crate::adapt::{Driver, Parts};
use crate::contract::{ActionScaling, ContractError, ContractView, Interface, ObservationScales, ObservationScaling};
use crate::experience::support::{RowLayout, Support};
use crate::image::record::Space;
use crate::image::{Image, Objective, PlanKind};
use crate::publish::Exchange;
use actor::ActorCore;
use layout::{Layout, take};
use learner::LearnerCore;

/// The channels' scales, shared by actor and learner.
#[derive(Clone, Copy)]
pub(crate) struct Scales<'m> {
    observations: ObservationScales<'m>,
    actions: &'m [ActionScaling],
}

/// A loaded policy in the caller's memory.
pub struct Policy<'m> {
    exchange: Exchange<'m>,
    actor: ActorCore<'m>,
    learner: Option<LearnerCore<'m>>,
}

impl<'m> Policy<'m> {
    /// Loads an image, checks it against what the firmware is `wired` to, and divides `memory`, of which
    /// [`workspace_len`] values are needed.
    ///
    /// An image that does not adapt gives a learner that refuses everything.
    ///
    /// # Errors
    /// [`PolicyError::Contract`] with the first channel that differs, [`PolicyError::Memory`] with what is needed, or
    /// what about the image's plans does not suit its contract.
    pub fn new(image: &Image<'m>, wired: Option<&Interface<'_>>, memory: &'m mut [f32]) -> Result<Self, PolicyError> {
        Self::load(image, wired, memory, true)
    }

    /// As [`new`](Self::new), to act only: [`act_workspace_len`] values are enough, and the learner refuses everything.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn act_only(
        image: &Image<'m>,
        wired: Option<&Interface<'_>>,
        memory: &'m mut [f32],
    ) -> Result<Self, PolicyError> {
        Self::load(image, wired, memory, false)
    }

    /// The handle that acts and the handle that learns. Both can be sent to another thread.
    pub fn split(&mut self) -> (Actor<'_, 'm>, Learner<'_, 'm>) {
        let (reader, writer) = self.exchange.split();
        (
            Actor::new(&mut self.actor, reader),
            Learner::new(self.learner.as_mut(), writer),
        )
    }

    fn load(
        image: &Image<'m>,
        wired: Option<&Interface<'_>>,
        memory: &'m mut [f32],
        learning: bool,
    ) -> Result<Self, PolicyError> {
        let contract = ContractView::new_checked(image.contract_bytes()).map_err(PolicyError::Contract)?;
        if let Some(wired) = wired {
            contract.check(wired).map_err(PolicyError::Contract)?;
        }
        let act = image.plan(PlanKind::Act).ok_or(PolicyError::Plan(PlanKind::Act))?;
        let (observations, actions) = (contract.observations().len(), contract.actions().len());
        let (input, output) = (
            act.sizes().get(Space::Input) as usize,
            act.sizes().get(Space::Output) as usize,
        );
        let stochastic = output == 2 * actions;
        if input != observations || (output != actions && !stochastic) {
            return Err(PolicyError::Plan(PlanKind::Act));
        }

        let spec = image.adaptation().filter(|_| learning);
        let objective = spec.and_then(|spec| spec.objective());
        let layout = Layout::new(image.workspace(), objective);
        let short = PolicyError::Memory {
            needed: layout.total(),
            given: memory.len(),
        };
        let mut rest = memory.get_mut(..layout.total()).ok_or(short)?;
        let mut carve = |length: usize| take(&mut rest, length).ok_or(short);

        let scaling_of = |(index, channel)| ObservationScaling::new(&channel, contract.substitutes().of_channel(index));
        let channels = contract.observations().enumerate().map(scaling_of);
        let observation_scales = ObservationScales::write(carve(layout.observation_scales)?, channels).ok_or(short)?;
        let action_scales = scalings::<ActionScaling>(carve(layout.action_scales)?).ok_or(short)?;
        for (scale, channel) in action_scales.iter_mut().zip(contract.actions()) {
            *scale = ActionScaling::new(&channel);
        }
        // The layout is sized by the plan's output, which has two values a channel where the policy is stochastic.
        let scales = Scales {
            observations: observation_scales,
            actions: action_scales.get(..actions).ok_or(short)?,
        };

        let adapted = image.adapted_initial();
        let (first, second) = (carve(layout.buffer)?, carve(layout.buffer)?);
        let exchange = if objective.is_some() {
            Exchange::new(adapted, first, second).ok_or(short)?
        } else {
            Exchange::fixed(adapted)
        };
        let bank = image.bank().task(0).unwrap_or(&[]);
        let mut actor = ActorCore {
            plan: act,
            scales,
            stochastic,
            constants: image.constants(),
            states: image.states(),
            bank,
            input: carve(layout.act_input)?,
            arena: carve(layout.act_arena)?,
            state: carve(layout.state)?,
            output: carve(layout.act_output)?,
            noise: crate::noise::Noise::seeded(0),
            counts: Counts::default(),
            episode: 0,
            index: 0,
        };
        actor.reset(ResetKind::All);

        let learner = match spec.zip(objective) {
            None => None,
            Some((spec, objective)) => {
                if spec.holdout_every == 1 {
                    return Err(PolicyError::Adaptation);
                }
                if objective == Objective::PolicyGradient && !stochastic {
                    return Err(PolicyError::Adaptation);
                }
                let rows = RowLayout::new(spec, observations, actions).ok_or(PolicyError::Adaptation)?;
                let plan = |kind: PlanKind, input: u32| {
                    let plan = image.plan(kind).filter(|plan| plan.sizes().get(Space::Input) == input);
                    plan.ok_or(PolicyError::Plan(kind))
                };
                if image.workspace().accumulator < 2 {
                    return Err(PolicyError::Plan(PlanKind::Score));
                }
                let parts = Parts {
                    spec,
                    objective,
                    layout: rows,
                    choices: image.choices(),
                    begin: plan(PlanKind::Begin, 0)?,
                    accumulate: plan(PlanKind::Accumulate, spec.chunk_len())?,
                    apply: plan(PlanKind::Apply, 1)?,
                    score: plan(PlanKind::Score, spec.chunk_len())?,
                    workshop: crate::adapt::Workshop {
                        constants: image.constants(),
                        bank,
                        arena: carve(layout.learn_arena)?,
                        input: carve(layout.learn_input)?,
                        output: carve(layout.learn_output)?,
                        accumulator: carve(layout.accumulator)?,
                    },
                    support: Support::new(carve(layout.support)?, rows.stride),
                    scratch: carve(layout.scratch)?,
                };
                Some(LearnerCore::new(Driver::new(parts), scales))
            }
        };
        Ok(Self {
            exchange,
            actor,
            learner,
        })
    }
}

/// Views memory as scalings; both are `f32`s, so neither length nor alignment can be wrong.
fn scalings<T: bytemuck::Pod>(memory: &mut [f32]) -> Option<&mut [T]> {
    bytemuck::try_cast_slice_mut(memory).ok()
}

/// Why a policy was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PolicyError {
    /// The contract is wrong, or differs from the firmware's.
    Contract(ContractError),
    /// The memory is too short, in `f32` values.
    Memory {
        /// What [`workspace_len`] (or [`act_workspace_len`]) gives.
        needed: usize,
        /// What there is.
        given: usize,
    },
    /// The sizes of this plan do not suit the contract or the adaptation.
    Plan(PlanKind),
    /// The adaptation does not suit its objective: fields, hold-out, or a policy gradient without a Gaussian head.
    Adaptation,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(error) => error.fmt(formatter),
            Self::Memory { needed, given } => write!(formatter, "{needed} values of memory needed, {given} given"),
            Self::Plan(kind) => write!(formatter, "sizes of plan {} do not suit the contract", kind.name()),
            Self::Adaptation => formatter.write_str("the adaptation does not suit its objective"),
        }
    }
}

impl core::error::Error for PolicyError {}
