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
mod selection;
mod watch;

use core::fmt;

pub use actor::{Actor, Counts, ResetKind, Status, Step};
#[cfg(feature = "onnx")]
pub(crate) use layout::workspace_of;
pub use layout::{act_workspace_len, workspace_len};
pub use learner::{Learner, ObserveError, Reverted};
pub use restore::RestoreError;
pub use selection::{Identified, SelectError};

use crate::adapt::{Driver, Parts, Stage};
use crate::contract::{
    ActionScaling, ContractError, ContractView, Interface, ObservationScales, ObservationScaling, RawChannel,
};
use crate::experience::support::{RowLayout, Support};
use crate::image::record::Space;
use crate::image::{AdaptationSpec, Bank, Choices, Image, Objective, PlanKind, StateEntry, Workspace};
use crate::publish::Exchange;
use actor::{ActorCore, Forward};
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

    /// Loads the models of a bundle as [`new`](Self::new) loads an image, in [`Models::workspace_len`] values of memory.
    ///
    /// [`Models::workspace_len`]: crate::edge::Models::workspace_len
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "onnx")]
    pub fn from_models(
        models: &'m mut crate::edge::Models,
        wired: Option<&Interface<'_>>,
        memory: &'m mut [f32],
    ) -> Result<Self, PolicyError> {
        let parts = models.parts();
        let source = Source {
            contract: checked_contract(parts.contract, wired)?,
            sizes: parts.sizes,
            act_input: parts.sizes.act_input as usize,
            act_output: parts.sizes.act_output as usize,
            forward: Forward::Model(parts.act),
            adapted: parts.parameters,
            constants: &[],
            bank: Bank::default(),
            states: &[],
            spec: parts.spec,
            choices: None,
        };
        Self::assemble(source, memory, |_| Ok(parts.stages.map(Stage::Model)))
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
        let contract = checked_contract(image.contract_bytes(), wired)?;
        let act = image.plan(PlanKind::Act).ok_or(PolicyError::Plan(PlanKind::Act))?;
        let source = Source {
            contract,
            sizes: *image.workspace(),
            act_input: act.sizes().get(Space::Input) as usize,
            act_output: act.sizes().get(Space::Output) as usize,
            forward: Forward::Plan(act),
            adapted: image.adapted_initial(),
            constants: image.constants(),
            bank: image.bank(),
            states: image.states(),
            spec: image.adaptation().filter(|_| learning),
            choices: image.choices().filter(|_| learning),
        };
        Self::assemble(source, memory, |spec| {
            let rows = spec.chunk_len();
            // Which plan each step is, and how much input it takes.
            let steps = [
                (PlanKind::Begin, 0),
                (PlanKind::Accumulate, rows),
                (PlanKind::Apply, 1),
                (PlanKind::Score, rows),
            ];
            let mut plans = [act; 4];
            for (plan, (kind, input)) in plans.iter_mut().zip(steps) {
                *plan = image
                    .plan(kind)
                    .filter(|plan| plan.sizes_ref().get(Space::Input) == input)
                    .ok_or(PolicyError::Plan(kind))?;
            }
            Ok(plans.map(Stage::Plan))
        })
    }

    /// Divides the memory among the parts. `stages` gives the learner's steps, if there is a learner.
    fn assemble(
        source: Source<'m>,
        memory: &'m mut [f32],
        stages: impl FnOnce(&'m AdaptationSpec) -> Result<Stages<'m>, PolicyError>,
    ) -> Result<Self, PolicyError> {
        let contract = source.contract;
        let (observations, actions) = (contract.observations().len(), contract.actions().len());
        let stochastic = source.act_output == 2 * actions;
        if source.act_input != observations || (source.act_output != actions && !stochastic) {
            return Err(PolicyError::Plan(PlanKind::Act));
        }

        let spec = source.spec;
        let objective = spec.and_then(|spec| spec.objective());
        let layout = Layout::new(&source.sizes, objective);
        let short = PolicyError::Memory {
            needed: layout.total(),
            given: memory.len(),
        };
        let mut rest = memory.get_mut(..layout.total()).ok_or(short)?;
        // There is as much as is taken: the total was.
        let mut carve = |length: usize| take(&mut rest, length);

        let scaling_of = |(index, channel): (usize, RawChannel<'_>)| {
            ObservationScaling::new(&channel.numbers, contract.substitutes().of_channel(index))
        };
        let channels = contract.observations().raw().enumerate().map(scaling_of);
        let observation_scales = ObservationScales::write(carve(layout.observation_scales), channels).ok_or(short)?;
        let action_scales = scalings::<ActionScaling>(carve(layout.action_scales)).ok_or(short)?;
        for (scale, channel) in action_scales.iter_mut().zip(contract.actions().raw()) {
            *scale = ActionScaling::new(&channel.numbers);
        }
        // The layout is sized by the plan's output, which has two values a channel where the policy is stochastic.
        let scales = Scales {
            observations: observation_scales,
            actions: action_scales.get(..actions).ok_or(short)?,
        };

        let adapted = source.adapted;
        let (first, second) = (carve(layout.buffer), carve(layout.buffer));
        let exchange = if objective.is_some() {
            Exchange::new(adapted, first, second).ok_or(short)?
        } else {
            Exchange::fixed(adapted)
        };
        // Until another one is selected.
        let first_task = source.bank.task(0).unwrap_or(&[]);
        // Each part is made where it stays, not moved there.
        let mut policy = Self {
            exchange,
            learner: None,
            actor: ActorCore {
                forward: source.forward,
                scales,
                stochastic,
                constants: source.constants,
                states: source.states,
                tasks: source.bank,
                bank: first_task,
                input: carve(layout.act_input),
                arena: carve(layout.act_arena),
                state: carve(layout.state),
                output: carve(layout.act_output),
                noise: crate::noise::Noise::unseeded(),
                counts: Counts::default(),
                episode: 0,
                index: 0,
            },
        };
        policy.actor.reset(ResetKind::All);

        if let Some((spec, objective)) = spec.zip(objective) {
            if spec.holdout_every == 1 {
                return Err(PolicyError::Adaptation);
            }
            if objective == Objective::PolicyGradient && !stochastic {
                return Err(PolicyError::Adaptation);
            }
            let rows = RowLayout::new(spec, observations, actions).ok_or(PolicyError::Adaptation)?;
            if source.sizes.accumulator < 2 {
                return Err(PolicyError::Plan(PlanKind::Score));
            }
            let [begin, accumulate, apply, score] = stages(spec)?;
            let parts = Parts {
                spec,
                objective,
                layout: rows,
                choices: source.choices,
                begin,
                accumulate,
                apply,
                score,
                workshop: crate::adapt::Workshop {
                    constants: source.constants,
                    bank: first_task,
                    arena: carve(layout.learn_arena),
                    input: carve(layout.learn_input),
                    output: carve(layout.learn_output),
                    accumulator: carve(layout.accumulator),
                    step_scale: 0.0,
                },
                support: Support::new(carve(layout.support), rows.stride),
                scratch: carve(layout.scratch),
            };
            policy.learner = Some(LearnerCore::new(Driver::new(parts), scales, source.bank));
        }
        Ok(policy)
    }
}

/// Checks a contract, and compares it with what the firmware is wired to.
fn checked_contract<'m>(bytes: &'m [u8], wired: Option<&Interface<'_>>) -> Result<ContractView<'m>, PolicyError> {
    let contract = ContractView::new_checked(bytes).map_err(PolicyError::Contract)?;
    if let Some(wired) = wired {
        contract.check(wired).map_err(PolicyError::Contract)?;
    }
    Ok(contract)
}

/// What a policy is made of: out of an image, or out of models.
struct Source<'m> {
    contract: ContractView<'m>,
    sizes: Workspace,
    act_input: usize,
    act_output: usize,
    forward: Forward<'m>,
    adapted: &'m [f32],
    constants: &'m [f32],
    bank: Bank<'m>,
    states: &'m [StateEntry],
    /// How it adapts, if it is to.
    spec: Option<&'m AdaptationSpec>,
    /// What chooses how, if anything does.
    choices: Option<Choices<'m>>,
}

/// The learner's steps: begin, accumulate, apply, score.
type Stages<'m> = [Stage<'m>; 4];

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
