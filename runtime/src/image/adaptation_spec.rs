//! How the policy of an image adapts: the fixed-size section that the fold driver on the device and the trainer both read.

use core::fmt;

use bytemuck::{Pod, Zeroable};

/// Most fields a support row can have.
pub const MAX_FIELDS: usize = 8;
/// Most adaptation steps an image can be trained for.
pub const MAX_STEPS: usize = 16;

/// How the accumulated sums become new parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rule {
    /// Gradient descent with learned per-parameter step sizes: plans `begin`, `accumulate`, `apply`, and `score`.
    Gradient = 1,
}

/// What is minimised on the support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Objective {
    /// A loss on labelled examples. `steps` steps on one support set, from the parameters of the image.
    Supervised = 1,
    /// The ratio-form policy gradient. One step for each support set of fresh trajectories, from the current parameters.
    PolicyGradient = 2,
}

/// What a field of a support row holds. The chunk passed to `accumulate` and `score` is the fields one after the other,
/// each `[chunk_rows, width]`, then the row weights `[chunk_rows]` (0 for a row that is not there).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum FieldKind {
    /// The normalised observation (supervised: the normalised input). Width: the observation channels.
    Observation = 1,
    /// The unit-less target of a supervised example.
    Target = 2,
    /// The unit-less sampled action, before any clip. Width: the action channels.
    Action = 3,
    /// Log-probability of the action under the policy that took it. Width 1.
    LogProbability = 4,
    /// Normalised advantage. Width 1.
    Advantage = 5,
}

/// One field of a support row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Field {
    /// A [`FieldKind`].
    pub kind: u16,
    /// Values in a row, at least 1.
    pub width: u16,
}

impl Field {
    /// No field.
    pub const NONE: Self = Self { kind: 0, width: 0 };

    /// A field of this kind and width.
    pub const fn new(kind: FieldKind, width: u16) -> Self {
        Self {
            kind: kind as u16,
            width,
        }
    }

    /// The kind, or `None` for a number this reader does not know.
    pub const fn kind(&self) -> Option<FieldKind> {
        Some(match self.kind {
            1 => FieldKind::Observation,
            2 => FieldKind::Target,
            3 => FieldKind::Action,
            4 => FieldKind::LogProbability,
            5 => FieldKind::Advantage,
            _ => return None,
        })
    }
}

/// The adaptation section: 160 bytes, little-endian words, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct AdaptationSpec {
    /// A [`Rule`].
    pub rule: u32,
    /// An [`Objective`].
    pub objective: u32,
    /// Rows in a chunk, at least 1.
    pub chunk_rows: u32,
    /// Rows the support ring holds, at least 1. When it is full the oldest row goes.
    pub capacity: u32,
    /// Steps trained for, 1 to [`MAX_STEPS`]. More are refused.
    pub steps: u32,
    /// Supervised: every n-th example scores instead of training, and the adaptation is accepted only if their mean loss did
    /// not get worse. At least 2, or 0: all examples train and there is no such check.
    pub holdout_every: u32,
    /// Policy gradient: trajectories in a support set, as trained. Fewer are allowed, and noisier.
    pub trajectories: u32,
    /// Policy gradient: steps after which an episode is cut off.
    pub horizon: u32,
    /// Greatest L2 distance of adapted parameters from those of the image, above 0; `f32::MAX` for no limit.
    pub trust_region: f32,
    /// Policy gradient: greatest mean approximate KL divergence between old and new policy on the support set, above 0;
    /// `f32::MAX` for no limit.
    pub kl_limit: f32,
    /// Policy gradient: discount, 0 to 1.
    pub gamma: f32,
    /// Policy gradient: lambda of generalised advantage estimation, 0 to 1.
    pub lambda: f32,
    /// Policy gradient: ridge of the baseline fit, as a share of each feature's squared sum; above 0.
    pub ridge: f32,
    /// How many of [`fields`](Self::fields) are used.
    pub field_count: u32,
    /// The fields of a support row, in the order of the chunk.
    pub fields: [Field; MAX_FIELDS],
    /// Step `j` is scaled by `step_scales[j]`, on top of the learned step sizes.
    pub step_scales: [f32; MAX_STEPS],
    /// Zero.
    pub reserved: [u32; 2],
}

impl AdaptationSpec {
    /// Size of the section in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// The objective, once checked.
    pub const fn objective(&self) -> Option<Objective> {
        match self.objective {
            1 => Some(Objective::Supervised),
            2 => Some(Objective::PolicyGradient),
            _ => None,
        }
    }

    /// The fields in use.
    pub fn fields(&self) -> &[Field] {
        self.fields.get(..self.field_count as usize).unwrap_or(&[])
    }

    /// Values in a row over all fields, without the row weight.
    pub fn row_width(&self) -> usize {
        self.fields().iter().map(|field| field.width as usize).sum()
    }

    /// Checks every number and that the fields suit the objective.
    ///
    /// # Errors
    /// What is out of its range.
    pub fn validate(&self) -> Result<(), AdaptationSpecError> {
        use AdaptationSpecError as Error;
        if self.rule != Rule::Gradient as u32 {
            return Err(Error::Rule);
        }
        let Some(objective) = self.objective() else {
            return Err(Error::Objective);
        };
        if self.chunk_rows == 0 || self.capacity == 0 {
            return Err(Error::Rows);
        }
        if self.steps == 0 || self.steps as usize > MAX_STEPS {
            return Err(Error::Steps);
        }
        if self.holdout_every == 1 {
            return Err(Error::Holdout);
        }
        if !above_zero(self.trust_region) || !above_zero(self.kl_limit) {
            return Err(Error::Limit);
        }
        let unit = |value: f32| (0.0..=1.0).contains(&value);
        if !unit(self.gamma) || !unit(self.lambda) || !above_zero(self.ridge) {
            return Err(Error::Estimator);
        }
        let steps = self.step_scales.iter().enumerate();
        if steps
            .into_iter()
            .any(|(step, scale)| step < self.steps as usize && !scale.is_finite())
        {
            return Err(Error::Steps);
        }
        if self.reserved != [0; 2] {
            return Err(Error::Reserved);
        }
        self.validate_fields(objective)
    }

    fn validate_fields(&self, objective: Objective) -> Result<(), AdaptationSpecError> {
        use FieldKind::{Action, Advantage, LogProbability, Observation, Target};
        let error = Err(AdaptationSpecError::Fields);
        if self.field_count as usize > MAX_FIELDS {
            return error;
        }
        let (used, unused) = self.fields.split_at(self.field_count as usize);
        if unused.iter().any(|field| *field != Field::NONE) {
            return error;
        }
        let wanted: &[FieldKind] = match objective {
            Objective::Supervised => &[Observation, Target],
            Objective::PolicyGradient => &[Observation, Action, LogProbability, Advantage],
        };
        // Each wanted kind exactly once, in any order.
        if used.len() != wanted.len()
            || wanted
                .iter()
                .any(|kind| used.iter().all(|field| field.kind() != Some(*kind)))
        {
            return error;
        }
        for field in used {
            let scalar = matches!(field.kind(), Some(LogProbability | Advantage));
            if field.width == 0 || (scalar && field.width != 1) {
                return error;
            }
        }
        Ok(())
    }
}

fn above_zero(value: f32) -> bool {
    value > 0.0 && value.is_finite()
}

/// What about an [`AdaptationSpec`] is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdaptationSpecError {
    /// An unknown rule.
    Rule,
    /// An unknown objective.
    Objective,
    /// No rows in a chunk or in the ring.
    Rows,
    /// Steps outside 1 to 16, or a step scale that is not finite.
    Steps,
    /// Every example held out.
    Holdout,
    /// Trust region or divergence limit not above 0.
    Limit,
    /// Discount, lambda or ridge out of range.
    Estimator,
    /// The fields do not suit the objective.
    Fields,
    /// Reserved words that are not zero.
    Reserved,
}

impl fmt::Display for AdaptationSpecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rule => "unknown adaptation rule",
            Self::Objective => "unknown objective",
            Self::Rows => "chunk_rows and capacity must be at least 1",
            Self::Steps => "steps must be 1 to 16 with finite scales",
            Self::Holdout => "holdout_every must not be 1",
            Self::Limit => "trust_region and kl_limit must be above 0 and finite",
            Self::Estimator => "gamma and lambda must be 0 to 1, ridge above 0",
            Self::Fields => "the fields do not suit the objective",
            Self::Reserved => "reserved words are not zero",
        })
    }
}

impl core::error::Error for AdaptationSpecError {}
