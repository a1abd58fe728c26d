//! A rule of either kind, and the numbers it is deployed with.

use pliant_runtime::image::{AdaptationRule, Objective, PlanKind};

use super::AdaptationError;
use super::gradient::{DeviceGraph, GradientRule, StepSizes};
use super::ridge::RidgeRule;
use crate::graph::{Graph, Tensor};
use crate::policy::PolicyDescription;

/// How parameters change, with the numbers that were trained: what a device or an exported graph holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Gradient descent on a subset of the parameters: [`GradientRule`].
    Gradient(StepSizes),
    /// The head in closed form: [`RidgeRule`].
    Ridge {
        /// Above 0.
        ridge: f32,
        /// Forgetting factor of the recursive form, above 0, at most 1; `None` for sums over rows and one solution.
        forgetting: Option<f32>,
    },
}

impl From<StepSizes> for Update {
    fn from(step_sizes: StepSizes) -> Self {
        Self::Gradient(step_sizes)
    }
}

/// A rule by which a policy adapts: in meta-training, on the device and in exported graphs.
pub enum Rule {
    /// A few steps of gradient descent.
    Gradient(GradientRule<'static>),
    /// A ridge regression of the head.
    Ridge(RidgeRule),
}

impl From<GradientRule<'static>> for Rule {
    fn from(rule: GradientRule<'static>) -> Self {
        Self::Gradient(rule)
    }
}

impl From<RidgeRule> for Rule {
    fn from(rule: RidgeRule) -> Self {
        Self::Ridge(rule)
    }
}

impl Rule {
    /// The rule by which `update` changes a policy. `adapts` says which parameters a gradient changes (`None` for all);
    /// a ridge regression always changes the head.
    ///
    /// # Errors
    /// [`AdaptationError::NoLinearHead`] for a ridge regression that the policy has no head for, or another objective
    /// than a supervised one.
    pub fn of(
        policy: &PolicyDescription,
        objective: Objective,
        update: &Update,
        adapts: Option<Vec<bool>>,
        gradient_clip: Option<f32>,
    ) -> Result<Self, AdaptationError> {
        match update {
            Update::Gradient(_) => {
                let mut rule = GradientRule::for_policy(policy, objective).with_gradient_clip(gradient_clip);
                if let Some(adapts) = adapts {
                    rule.adapts = adapts;
                }
                Ok(Self::Gradient(rule))
            }
            Update::Ridge { .. } if objective != Objective::Supervised => Err(AdaptationError::NoLinearHead),
            Update::Ridge { forgetting, .. } => {
                let rule = RidgeRule::for_policy(policy)?;
                Ok(Self::Ridge(match forgetting {
                    Some(factor) => rule.recursive(*factor),
                    None => rule,
                }))
            }
        }
    }

    /// Parameters, which of them adapt, fields and losses.
    pub fn rows(&self) -> &GradientRule<'static> {
        match self {
            Self::Gradient(rule) => rule,
            Self::Ridge(rule) => rule.rows(),
        }
    }

    /// The number of the rule in a device image.
    pub fn kind(&self) -> AdaptationRule {
        match self {
            Self::Gradient(_) => AdaptationRule::Gradient,
            Self::Ridge(rule) if rule.forgetting().is_some() => AdaptationRule::RecursiveLeastSquares,
            Self::Ridge(_) => AdaptationRule::Ridge,
        }
    }

    /// The four plans of a device, over chunks of `rows` rows. `frozen` holds the values of the parameters that do not
    /// adapt, in order.
    ///
    /// # Errors
    /// [`AdaptationError::OtherRule`] for the numbers of another rule; when shapes do not fit.
    pub fn plans(
        &self,
        rows: usize,
        frozen: &[Tensor],
        update: &Update,
    ) -> Result<[(PlanKind, DeviceGraph); 4], AdaptationError> {
        let [begin, accumulate, apply] = match (self, update) {
            (Self::Gradient(rule), Update::Gradient(step_sizes)) => {
                [rule.begin()?, rule.accumulate(rows, frozen)?, rule.apply(step_sizes)?]
            }
            (Self::Ridge(rule), Update::Ridge { ridge, .. }) => {
                [rule.begin(*ridge)?, rule.accumulate(rows, frozen)?, rule.apply(*ridge)?]
            }
            _ => return Err(AdaptationError::OtherRule),
        };
        Ok([
            (PlanKind::Begin, begin),
            (PlanKind::Accumulate, accumulate),
            (PlanKind::Apply, apply),
            (PlanKind::Score, self.rows().score(rows, frozen)?),
        ])
    }

    /// One whole step over `rows` rows, for export; see [`GradientRule::adapt`].
    ///
    /// # Errors
    /// As [`Self::plans`].
    pub fn adapt(&self, rows: usize, update: &Update) -> Result<Graph, AdaptationError> {
        match (self, update) {
            (Self::Gradient(rule), Update::Gradient(step_sizes)) => rule.adapt(rows, step_sizes),
            (Self::Ridge(rule), Update::Ridge { ridge, .. }) => rule.adapt(rows, *ridge),
            _ => Err(AdaptationError::OtherRule),
        }
    }
}
