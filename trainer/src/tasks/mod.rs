//! Task families: where the tasks of meta-training and of the tests come from.

mod control;
mod logged;
mod motifs;
mod navigation;
mod simulated;
mod sinusoid;
mod supervised;
mod task_conflict;
mod task_set;
mod vector;

pub use control::{ControlFamily, Oracle, Plane};
pub(crate) use logged::tables_contract;
pub use logged::{DataError, LoggedFamily};
pub use motifs::{Motif, MotifFamily};
pub use navigation::NavigationFamily;
pub use simulated::{simulator, simulator_of_task, task_streams};
pub use sinusoid::{GRID, Sinusoid, SinusoidFamily};
pub use supervised::{Metric, Rows, SupervisedFamily, training_task};
pub use task_conflict::TaskConflictFamily;
pub use task_set::{Prepared, TaskRows, TaskTable, task_set};
pub use vector::{task_stream, vector_environment};

use crate::recipe::{Algorithm, Family, Recipe};

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
    /// None where no task is new to what adapts: a policy that only acts, or tasks that were learned together.
    ///
    /// # Errors
    /// What is wrong with logged data.
    pub fn of(recipe: &Recipe) -> Result<Option<Self>, DataError> {
        Ok(Some(match &recipe.family {
            Family::Logged(settings) if !matches!(recipe.algorithm, Algorithm::MultiTask(_)) => {
                Self::Supervised(Box::new(LoggedFamily::read(settings, recipe.seed)?))
            }
            Family::Motifs(settings) => Self::Supervised(Box::new(MotifFamily::new(settings))),
            Family::Sinusoid(settings) if !matches!(recipe.algorithm, Algorithm::MultiTask(_)) => {
                Self::Supervised(Box::new(SinusoidFamily::new(settings)))
            }
            Family::Navigation(settings) => Self::Control {
                family: Box::new(NavigationFamily::new(settings)),
                trajectories: settings.evaluation_trajectories,
            },
            Family::Bandit(_)
            | Family::CartPole(_)
            | Family::HalfCircle(_)
            | Family::Logged(_)
            | Family::Pendulum(_)
            | Family::Quadrotor(_)
            | Family::Sinusoid(_)
            | Family::SwingUp(_)
            | Family::Systems(_)
            | Family::Tabular(_)
            | Family::TaskConflict(_)
            | Family::TwoLinkArm(_)
            | Family::Vehicle(_) => return Ok(None),
        }))
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
