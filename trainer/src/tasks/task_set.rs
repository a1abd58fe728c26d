//! Supervised tasks with their rows in memory: what multi-task learning learns.

use pliant_compiler::policy::{FeatureMap, InputScaling, TargetLoss, TaskHead};

use super::logged::{DataError, logged_tables};
use super::{SinusoidFamily, Split, TaskConflictFamily};
use crate::recipe::{Algorithm, Family, Recipe};

/// Labelled rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskRows {
    /// `[rows, inputs]`, row-major.
    pub inputs: Vec<f32>,
    /// `[rows, outputs]`, row-major; NaN for a target that is missing.
    pub targets: Vec<f32>,
}

/// How logged rows became what the network sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What is made of the inputs; the same for all tasks.
    pub map: FeatureMap,
    /// How the inputs of this task are scaled before.
    pub scaling: InputScaling,
    /// Names of the inputs as the machine gives them, those that only other tasks have included.
    pub channels: Vec<String>,
    /// What stands for an input that is missing, where training rows missed it.
    pub substitutes: Vec<Option<f32>>,
    /// The rows as logged: training, validation, test.
    pub raw: [TaskRows; 3],
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTable {
    /// Its name in reports.
    pub name: String,
    /// Names of what the network sees.
    pub features: Vec<String>,
    /// Numbers in one target; classes or labels where it is none.
    pub outputs: usize,
    /// What the targets are.
    pub loss: TargetLoss,
    /// For numbers, one an output: what the network's is multiplied by and then added to, in the target's unit; the targets
    /// here are the network's own. 1 and 0 otherwise.
    pub target: Vec<(f32, f32)>,
    /// For numbers: whether what is learned is the logarithm of the target.
    pub logarithm: bool,
    /// What it is learned from.
    pub train: TaskRows,
    /// What stops training and calibrates.
    pub validation: TaskRows,
    /// What scores, and nothing else.
    pub test: TaskRows,
    /// Where the rows above were made of others: how.
    pub prepared: Option<Prepared>,
}

impl TaskTable {
    /// Numbers in one input.
    pub fn inputs(&self) -> usize {
        self.features.len()
    }

    /// The rows of a split.
    pub fn rows(&self, split: Split) -> &TaskRows {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// Names of the inputs as the machine gives them.
    pub fn channels(&self) -> &[String] {
        self.prepared
            .as_ref()
            .map_or(&self.features, |prepared| &prepared.channels)
    }

    /// The rows of a split as the machine gives them: targets too where they were redefined.
    pub fn device_rows(&self, split: Split) -> TaskRows {
        if let Some(prepared) = &self.prepared {
            return prepared.raw[split as usize].clone();
        }
        let rows = self.rows(split);
        let physical = |(value, (scale, offset)): (&f32, &(f32, f32))| value * scale + offset;
        TaskRows {
            inputs: rows.inputs.clone(),
            targets: rows
                .targets
                .iter()
                .zip(self.target.iter().cycle())
                .map(physical)
                .collect(),
        }
    }

    /// Number of rows of a split.
    pub fn count(&self, split: Split) -> usize {
        self.rows(split).targets.len() / self.outputs.max(1)
    }

    /// The task as the network sees it.
    pub fn head(&self) -> TaskHead {
        TaskHead {
            inputs: self.inputs(),
            outputs: self.outputs,
            loss: self.loss,
        }
    }
}

/// The tasks of a recipe that are learned together; none for other families and algorithms.
///
/// # Errors
/// What is wrong with logged data.
pub fn task_set(recipe: &Recipe) -> Result<Option<Vec<TaskTable>>, DataError> {
    Ok(match (&recipe.family, &recipe.algorithm) {
        (Family::TaskConflict(settings), _) => Some(TaskConflictFamily::new(settings, recipe.seed).tables()),
        (Family::Sinusoid(settings), Algorithm::MultiTask(_)) => {
            Some(SinusoidFamily::new(settings).tables(recipe.seed))
        }
        (Family::Logged(settings), Algorithm::MultiTask(_)) => Some(logged_tables(settings, recipe.seed)?),
        _ => None,
    })
}
