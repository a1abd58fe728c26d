//! Supervised tasks with their rows in memory: what multi-task learning learns.

use pliant_compiler::policy::{TargetLoss, TaskHead};

use super::{Split, TaskConflictFamily};
use crate::recipe::{Family, Recipe};

/// Labelled rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskRows {
    /// `[rows, inputs]`, row-major.
    pub inputs: Vec<f32>,
    /// `[rows, outputs]`, row-major; NaN for a target that is missing.
    pub targets: Vec<f32>,
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTable {
    /// Its name in reports.
    pub name: String,
    /// Names of the inputs.
    pub features: Vec<String>,
    /// Numbers in one target; classes or labels where it is none.
    pub outputs: usize,
    /// What the targets are.
    pub loss: TargetLoss,
    /// For numbers: what the network's output is multiplied by and then added to, in the target's unit; the targets here
    /// are the network's own. 1 and 0 otherwise.
    pub target: (f32, f32),
    /// What it is learned from.
    pub train: TaskRows,
    /// What stops training and calibrates.
    pub validation: TaskRows,
    /// What scores, and nothing else.
    pub test: TaskRows,
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

/// The tasks of a recipe that are learned together; none for other families.
pub fn task_set(recipe: &Recipe) -> Option<Vec<TaskTable>> {
    match &recipe.family {
        Family::TaskConflict(settings) => Some(TaskConflictFamily::new(settings, recipe.seed).tables()),
        _ => None,
    }
}
