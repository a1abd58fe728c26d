//! Parameters from outside: those of a stored delta.

use crate::kernels::functions;
use core::fmt;

use super::Learner;

impl Learner<'_, '_> {
    /// Publishes parameters that come from elsewhere, such as a stored delta: `fill` writes them into a shadow buffer
    /// and says whether it could; then they must be finite and within the trust region, as after an adaptation. The
    /// actor's next call uses them. Drops an adaptation under way; the support set of a policy gradient, gathered by
    /// the old policy, is emptied.
    ///
    /// `steps` is the number of gradient steps between the image's parameters and these.
    ///
    /// # Errors
    /// The parameters in use stay as they were.
    ///
    /// ```no_run
    /// # fn with(learner: &mut pliant_runtime::policy::Learner, saved: &[f32]) {
    /// let restored = learner.restore(3, |parameters| {
    ///     let fits = parameters.len() == saved.len();
    ///     if fits {
    ///         parameters.copy_from_slice(saved);
    ///     }
    ///     fits
    /// });
    /// # let _ = restored;
    /// # }
    /// ```
    pub fn restore(&mut self, steps: u32, fill: impl FnOnce(&mut [f32]) -> bool) -> Result<(), RestoreError> {
        let core = self.core.as_deref_mut().ok_or(RestoreError::NotAdaptive)?;
        let spec = core.driver.parts.spec;
        if steps > spec.steps {
            return Err(RestoreError::Steps);
        }
        core.driver.cancel(&mut self.writer);
        self.writer.claim().map_err(|_| RestoreError::Busy)?;
        let base = self.writer.base();
        let judged = match self.writer.shadow() {
            None => Err(RestoreError::Busy),
            Some((shadow, _)) => {
                if fill(shadow) {
                    judge(shadow, base, spec.trust_region)
                } else {
                    Err(RestoreError::Source)
                }
            }
        };
        if let Err(error) = judged {
            self.writer.discard();
            return Err(error);
        }
        self.writer.publish();
        core.driver.restored(steps);
        core.forget_old_policy();
        if let Some(monitor) = core.health.as_mut() {
            monitor.loaded(true);
        }
        Ok(())
    }
}

/// The guards that do not need a support set.
fn judge(parameters: &[f32], base: &[f32], trust_region: f32) -> Result<(), RestoreError> {
    if !parameters.iter().all(|value| value.is_finite()) {
        return Err(RestoreError::NotFinite);
    }
    let squares = parameters.iter().zip(base).fold(0.0, |sum, (new, old)| {
        let change = new - old;
        sum + change * change
    });
    let change = functions::sqrt(squares);
    if change <= trust_region && change.is_finite() {
        Ok(())
    } else {
        Err(RestoreError::TrustRegion)
    }
}

/// Why parameters were not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RestoreError {
    /// The image has no adaptation, or the policy was loaded to act only.
    NotAdaptive,
    /// The actor is reading the buffer that is to be written: try again.
    Busy,
    /// They could not be read.
    Source,
    /// They took more steps than were trained for.
    Steps,
    /// One is NaN or infinite.
    NotFinite,
    /// They are too far from the image's.
    TrustRegion,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAdaptive => "this policy does not adapt",
            Self::Busy => "the actor is still using the buffer",
            Self::Source => "the parameters could not be read",
            Self::Steps => "more steps than were trained for",
            Self::NotFinite => "a parameter is not finite",
            Self::TrustRegion => "the parameters are outside the trust region",
        })
    }
}

impl core::error::Error for RestoreError {}
