//! How the policy of an image adapts: rule, objective, rows, step scales, guards.

use bytemuck::{Pod, Zeroable};

/// By which rule parameters change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum AdaptationRule {
    /// A few steps of gradient descent with learned per-parameter step sizes (MAML, Meta-SGD, ANIL, CAVIA).
    Gradient = 0,
    /// The last layer fitted by a ridge regression on its features: sums over rows, then one solution.
    Ridge = 1,
    /// The same, a row at a time in the order of the support set, with a forgetting factor.
    RecursiveLeastSquares = 2,
}

/// What the rule minimises, and with it how the support set is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum Objective {
    /// A loss between the output for `x` and a target `y`.
    Supervised = 0,
    /// A policy-gradient surrogate over the policy's own trajectories.
    PolicyGradient = 1,
}

/// What one field of a support row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum FieldKind {
    /// Supervised: what the policy is given.
    Input = 0,
    /// Supervised: what it should answer.
    Target = 1,
    /// Policy gradient: normalised observation.
    Observation = 2,
    /// Policy gradient: the action taken, in the policy's own units (before scale and clip).
    Action = 3,
    /// Policy gradient: logarithm of the action's probability density when it was taken.
    LogProbability = 4,
    /// Policy gradient: normalised advantage; computed before the first pass, not gathered.
    Advantage = 5,
}

/// One field of a support row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Field {
    /// A [`FieldKind`].
    pub kind: u32,
    /// Elements of the field in one row, at least 1.
    pub width: u32,
}

impl Field {
    /// A field of this kind, `width` elements wide.
    pub const fn new(kind: FieldKind, width: u32) -> Self {
        Self {
            kind: kind as u32,
            width,
        }
    }

    /// What the field means; `None` for a number without a meaning.
    pub const fn field_kind(&self) -> Option<FieldKind> {
        Some(match self.kind {
            0 => FieldKind::Input,
            1 => FieldKind::Target,
            2 => FieldKind::Observation,
            3 => FieldKind::Action,
            4 => FieldKind::LogProbability,
            5 => FieldKind::Advantage,
            _ => return None,
        })
    }
}

/// How the policy adapts; the adaptation section of an image, byte for byte.
///
/// ```
/// use pliant_runtime::image::{AdaptationSpec, Field, FieldKind, Objective};
///
/// let spec = AdaptationSpec::new(Objective::Supervised)
///     .with_rows(10, 5)
///     .with_fields(&[Field::new(FieldKind::Input, 1), Field::new(FieldKind::Target, 1)])
///     .with_step_scales(&[1.0]);
/// assert_eq!(spec.check(), Ok(()));
/// assert_eq!(spec.row_width(), 2);
/// assert_eq!(spec.chunk_len(), 5 * 2 + 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct AdaptationSpec {
    /// An [`AdaptationRule`].
    pub rule: u32,
    /// An [`Objective`].
    pub objective: u32,
    /// Rows that one `accumulate` or `score` takes, at least 1.
    pub chunk_rows: u32,
    /// Rows the support set holds, at least 1.
    pub capacity: u32,
    /// Steps trained for, 1 to [`MAX_STEPS`](Self::MAX_STEPS); the device never takes more.
    pub steps: u32,
    /// Number of row fields, 1 to [`MAX_FIELDS`](Self::MAX_FIELDS).
    pub field_count: u32,
    /// Supervised: each n-th row is held out to accept or reject the result; 0: none.
    pub holdout_every: u32,
    /// Policy gradient: trajectories gathered per adaptation step.
    pub trajectories: u32,
    /// Policy gradient: greatest number of steps of a trajectory.
    pub horizon: u32,
    /// Policy gradient: 0 no baseline, 1 linear in `[s, s^2, t, t^2, t^3, 1]` with t = step / 100
    /// (Duan et al. 2016, "Benchmarking Deep Reinforcement Learning for Continuous Control").
    pub baseline_features: u32,
    /// Greatest L2 norm of the change of all adapted parameters; above 0, infinity for none.
    pub trust_region: f32,
    /// Policy gradient: greatest approximate divergence of the new policy; above 0, infinity for none.
    pub kl_limit: f32,
    /// Discount of future rewards, 0 to 1.
    pub gamma: f32,
    /// Generalised advantage estimation, 0 to 1 (Schulman et al. 2016).
    pub lambda: f32,
    /// Ridge of the baseline's least-squares fit, at least 0.
    pub baseline_ridge: f32,
    /// Greatest L2 norm of the mean gradient of a step: a longer one is scaled down to it. Above 0; 0 for no clip.
    ///
    /// It states what the `apply` plan does (the clip is part of that graph); the runtime does not apply it again.
    pub gradient_clip: f32,
    /// Factor on the learned step sizes in each step; zero past `steps`.
    pub step_scales: [f32; AdaptationSpec::MAX_STEPS],
    /// The fields of a row, in the order of the chunk; zero past `field_count`.
    pub fields: [Field; AdaptationSpec::MAX_FIELDS],
}

/// What is wrong with an [`AdaptationSpec`]: the field of that name is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AdaptationSpecError {
    /// Unknown rule.
    Rule,
    /// Unknown objective.
    Objective,
    /// It learns from rewards, and this build lacks the feature `policy-gradient`.
    PolicyGradientMissing,
    /// `chunk_rows` or `capacity` is zero, or a chunk has more than 2^28 elements.
    Rows,
    /// `steps` is not 1 to 16.
    Steps,
    /// A step scale is not finite, or not zero past `steps`.
    StepScales,
    /// Number, kind or width of the fields, or not zero past `field_count`.
    Fields,
    /// `trust_region` or `kl_limit` is not above zero, or `gradient_clip` not finite and at least zero.
    Guards,
    /// `gamma`, `lambda`, `baseline_ridge` or `baseline_features`.
    Advantages,
    /// Policy gradient without trajectories or horizon.
    Trajectories,
}

impl AdaptationSpec {
    /// Greatest number of adaptation steps.
    pub const MAX_STEPS: usize = 16;
    /// Greatest number of row fields.
    pub const MAX_FIELDS: usize = 8;
    /// Size in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// The gradient rule with this objective, no guards, discount 1, and nothing else yet.
    pub const fn new(objective: Objective) -> Self {
        Self {
            rule: AdaptationRule::Gradient as u32,
            objective: objective as u32,
            chunk_rows: 0,
            capacity: 0,
            steps: 0,
            field_count: 0,
            holdout_every: 0,
            trajectories: 0,
            horizon: 0,
            baseline_features: 0,
            trust_region: f32::INFINITY,
            kl_limit: f32::INFINITY,
            gamma: 1.0,
            lambda: 1.0,
            baseline_ridge: 0.0,
            gradient_clip: 0.0,
            step_scales: [0.0; Self::MAX_STEPS],
            fields: [Field { kind: 0, width: 0 }; Self::MAX_FIELDS],
        }
    }

    /// Sets how many rows the support set holds and how many one pass takes at a time.
    pub const fn with_rows(mut self, capacity: u32, chunk_rows: u32) -> Self {
        self.capacity = capacity;
        self.chunk_rows = chunk_rows;
        self
    }

    /// Sets the fields of a row. More than [`MAX_FIELDS`](Self::MAX_FIELDS) fail the [`check`](Self::check).
    pub fn with_fields(mut self, fields: &[Field]) -> Self {
        self.field_count = u32::try_from(fields.len()).unwrap_or(u32::MAX);
        self.fields = [Field::default(); Self::MAX_FIELDS];
        self.fields.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
        self
    }

    /// Sets one factor on the step sizes for each step. More than [`MAX_STEPS`](Self::MAX_STEPS) fail the
    /// [`check`](Self::check).
    pub fn with_step_scales(mut self, scales: &[f32]) -> Self {
        self.steps = u32::try_from(scales.len()).unwrap_or(u32::MAX);
        self.step_scales = [0.0; Self::MAX_STEPS];
        self.step_scales
            .iter_mut()
            .zip(scales)
            .for_each(|(to, from)| *to = *from);
        self
    }

    /// The clip of the gradient's norm, if there is one.
    pub fn gradient_clip(&self) -> Option<f32> {
        (self.gradient_clip > 0.0).then_some(self.gradient_clip)
    }

    /// The rule; `None` for a number without a meaning.
    pub const fn rule(&self) -> Option<AdaptationRule> {
        match self.rule {
            0 => Some(AdaptationRule::Gradient),
            1 => Some(AdaptationRule::Ridge),
            2 => Some(AdaptationRule::RecursiveLeastSquares),
            _ => None,
        }
    }

    /// The objective; `None` for a number without a meaning, or for what this build lacks.
    pub const fn objective(&self) -> Option<Objective> {
        match self.objective {
            0 => Some(Objective::Supervised),
            1 if cfg!(feature = "policy-gradient") => Some(Objective::PolicyGradient),
            _ => None,
        }
    }

    /// The fields of a row.
    pub fn fields(&self) -> &[Field] {
        self.fields.get(..self.field_count as usize).unwrap_or(&self.fields)
    }

    /// The factors on the step sizes, one a step.
    pub fn step_scales(&self) -> &[f32] {
        self.step_scales.get(..self.steps as usize).unwrap_or(&self.step_scales)
    }

    /// Elements of one row: the widths of its fields (saturating).
    // Once, where code is dear.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn row_width(&self) -> u32 {
        self.fields()
            .iter()
            .fold(0, |sum, field| sum.saturating_add(field.width))
    }

    /// Elements of one chunk: `chunk_rows` rows and their weights (saturating).
    pub fn chunk_len(&self) -> u32 {
        self.chunk_rows.saturating_mul(self.row_width().saturating_add(1))
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn check(&self) -> Result<(), AdaptationSpecError> {
        use AdaptationSpecError as E;
        let ensure = |condition: bool, error: E| if condition { Ok(()) } else { Err(error) };
        ensure(self.rule().is_some(), E::Rule)?;
        let missing = self.objective == Objective::PolicyGradient as u32 && !cfg!(feature = "policy-gradient");
        ensure(!missing, E::PolicyGradientMissing)?;
        let objective = self.objective().ok_or(E::Objective)?;
        ensure(
            self.chunk_rows >= 1 && self.capacity >= 1 && self.chunk_len() <= 1 << 28,
            E::Rows,
        )?;
        ensure((1..=Self::MAX_STEPS as u32).contains(&self.steps), E::Steps)?;
        // What is past the steps, and past the fields, is zero.
        for (index, scale) in (0..).zip(&self.step_scales) {
            ensure(
                scale.is_finite() && (index < self.steps || scale.to_bits() == 0),
                E::StepScales,
            )?;
        }
        ensure((1..=Self::MAX_FIELDS as u32).contains(&self.field_count), E::Fields)?;
        for (index, field) in (0..).zip(&self.fields) {
            let fine = match index < self.field_count {
                true => field.width >= 1 && field.field_kind().is_some(),
                false => (field.kind, field.width) == (0, 0),
            };
            ensure(fine, E::Fields)?;
        }
        ensure(self.trust_region > 0.0 && self.kl_limit > 0.0, E::Guards)?;
        // No negative zero: an image without a clip holds the bits that were reserved before there was one.
        let clip = self.gradient_clip;
        ensure(clip.is_finite() && !clip.is_sign_negative(), E::Guards)?;
        let limits = [(self.gamma, 1.0), (self.lambda, 1.0), (self.baseline_ridge, f32::MAX)];
        let right = limits.iter().all(|(value, most)| (0.0..=*most).contains(value));
        ensure(right && self.baseline_features <= 1, E::Advantages)?;
        let gathered = self.trajectories >= 1 && self.horizon >= 1;
        ensure(objective != Objective::PolicyGradient || gathered, E::Trajectories)
    }
}

const _: () = assert!(AdaptationSpec::BYTES == 192);
