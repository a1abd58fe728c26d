//! Task families: where the tasks of meta-training and of the tests come from.

mod control;
mod navigation;
mod simulated;
mod sinusoid;
mod supervised;

pub use control::{ControlFamily, Oracle, Plane};
pub use navigation::NavigationFamily;
pub use simulated::{simulator, task_streams};
pub use sinusoid::{GRID, Sinusoid, SinusoidFamily};
pub use supervised::{Rows, SupervisedFamily, training_task};

use crate::recipe::{Family, Recipe};

/// The tasks of a recipe, by what they are learned from.
pub enum Tasks {
    /// Labelled rows.
    Supervised(Box<dyn SupervisedFamily>),
    /// Environments.
    Control {
        /// The family.
        family: Box<dyn ControlFamily>,
        /// Trajectories for each adaptation step on held-out tasks.
        trajectories: usize,
    },
}

impl Tasks {
    /// The tasks of a recipe.
    ///
    /// None where nothing is adapted by a rule: a policy that only acts.
    pub fn of(recipe: &Recipe) -> Option<Self> {
        Some(match &recipe.family {
            Family::Sinusoid(settings) => Self::Supervised(Box::new(SinusoidFamily::new(settings))),
            Family::Navigation(settings) => Self::Control {
                family: Box::new(NavigationFamily::new(settings)),
                trajectories: settings.evaluation_trajectories,
            },
            Family::CartPole(_)
            | Family::Pendulum(_)
            | Family::Quadrotor(_)
            | Family::TwoLinkArm(_)
            | Family::Vehicle(_) => return None,
        })
    }
}

/// Which of a family's generator streams a task is drawn from. The streams are separate by name, so that no training
/// run, of any length, draws a validation or a test task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Tasks that meta-training learns from.
    Train,
    /// Tasks that choose the checkpoint and calibrate the trust region.
    Validation,
    /// Tasks that score the deployed artefact, and nothing else.
    Test,
}

impl Split {
    /// The name of the split in stream names and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The name of the streams that tasks of simulated systems are drawn from.
    pub(crate) const fn simulated_tasks(self) -> &'static str {
        match self {
            Self::Train => "simulated tasks, train",
            Self::Validation => "simulated tasks, validation",
            Self::Test => "simulated tasks, test",
        }
    }
}
