//! Several tasks in one image: which one's slice of the bank is in use, and which one the support set looks like.
//!
//! What adapts is a change on top of the selected task's own, so it goes with the task: selecting another one begins with
//! the parameters of the image. A change in the store goes with the task that was selected when it was committed, which
//! the firmware must remember.

use core::fmt;

use super::{Actor, Learner, Policy};
use crate::adapt::Likelihood;

/// The task that a support set looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identified {
    /// The task whose score is lowest.
    pub task: u32,
    /// Its mean negative log-likelihood a row.
    pub score: f32,
    /// By how much a row the next best task is worse; infinity where there is no other. Below 0 never; times the number of
    /// rows it is the logarithm of how much likelier the task is.
    pub margin: f32,
}

/// Why a task was not selected or not identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SelectError {
    /// The image has no task of this number.
    NoSuchTask {
        /// How many it has: 0 without a bank.
        tasks: u32,
    },
    /// The image has no adaptation, or the policy was loaded to act only: there is no support set.
    NotAdaptive,
    /// An adaptation is under way.
    Adapting,
    /// No row in the support set.
    EmptySupport,
    /// No task's score is a number.
    NotFinite,
}

impl fmt::Display for SelectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchTask { tasks } => write!(formatter, "the image has {tasks} tasks"),
            Self::NotAdaptive => formatter.write_str("this policy does not adapt"),
            Self::Adapting => formatter.write_str("an adaptation is under way"),
            Self::EmptySupport => formatter.write_str("the support set is empty"),
            Self::NotFinite => formatter.write_str("no task's score is a number"),
        }
    }
}

impl core::error::Error for SelectError {}

impl Policy<'_> {
    /// Tasks in the image; 0 where there is but one and no bank.
    pub fn tasks(&self) -> u32 {
        self.actor.tasks.tasks()
    }

    /// Selects a task for both handles: the parameters of the image, an empty support set, new episodes.
    ///
    /// # Errors
    /// [`SelectError::NoSuchTask`]; nothing has changed then.
    pub fn select(&mut self, task: u32) -> Result<(), SelectError> {
        let (mut actor, mut learner) = self.split();
        if learner.core.is_some() {
            learner.select(task)?;
        }
        actor.select(task)
    }
}

impl Actor<'_, '_> {
    /// Acts on this task from now on: one pointer, and recurrent states reset for a new task.
    ///
    /// With an actor in an interrupt call [`Learner::select`] first and this after it, before the learner adapts again: in
    /// between it acts on the old task with the parameters of the image, never on one task with another's adaptation.
    ///
    /// # Errors
    /// [`SelectError::NoSuchTask`]; nothing has changed then.
    pub fn select(&mut self, task: u32) -> Result<(), SelectError> {
        let tasks = self.core.tasks.tasks();
        let bank = self.core.tasks.task(task).ok_or(SelectError::NoSuchTask { tasks })?;
        self.core.bank = bank;
        self.core.reset(super::ResetKind::Task);
        Ok(())
    }
}

impl Learner<'_, '_> {
    /// Learns this task from now on, as [`new_task`](Self::new_task) begins one; see [`Actor::select`].
    ///
    /// # Errors
    /// [`SelectError::NoSuchTask`] or [`SelectError::NotAdaptive`]; nothing has changed then.
    pub fn select(&mut self, task: u32) -> Result<(), SelectError> {
        let core = self.core.as_deref_mut().ok_or(SelectError::NotAdaptive)?;
        let tasks = core.tasks.tasks();
        let bank = core.tasks.task(task).ok_or(SelectError::NoSuchTask { tasks })?;
        self.new_task();
        if let Some(core) = self.core.as_deref_mut() {
            core.driver.parts.workshop.bank = bank;
        }
        Ok(())
    }

    /// The mean negative log-likelihood of the support set under a task of the image, without adaptation.
    ///
    /// # Errors
    /// [`SelectError`]; a score that is not a number is no error here.
    pub fn score_of_task(&mut self, task: u32) -> Result<f32, SelectError> {
        let core = self.core.as_deref_mut().ok_or(SelectError::NotAdaptive)?;
        let tasks = core.tasks.tasks();
        let bank = core.tasks.task(task).ok_or(SelectError::NoSuchTask { tasks })?;
        let rows = core.complete_rows();
        match core.driver.likelihood(self.writer.base(), bank, rows) {
            Likelihood::Of(score) => Ok(score),
            Likelihood::Adapting => Err(SelectError::Adapting),
            Likelihood::NoRows => Err(SelectError::EmptySupport),
        }
    }

    /// Which task of the image the support set looks like: the one under which it is likeliest. Nothing is selected.
    ///
    /// The rows must have been observed as the tasks' own are: in the contract's units, whichever task is selected. It
    /// takes one pass of `score` over the support set for every task.
    ///
    /// # Errors
    /// [`SelectError`]: an empty support set, for instance.
    pub fn identify(&mut self) -> Result<Identified, SelectError> {
        let tasks = self.core.as_deref().ok_or(SelectError::NotAdaptive)?.tasks.tasks();
        if tasks == 0 {
            return Err(SelectError::NoSuchTask { tasks });
        }
        let mut best: Option<Identified> = None;
        for task in 0..tasks {
            let score = self.score_of_task(task)?;
            if score.is_nan() {
                continue;
            }
            best = Some(match best {
                Some(best) if best.score <= score => Identified {
                    margin: best.margin.min(score - best.score),
                    ..best
                },
                Some(best) => Identified {
                    task,
                    score,
                    margin: best.score - score,
                },
                None => Identified {
                    task,
                    score,
                    margin: f32::INFINITY,
                },
            });
        }
        best.ok_or(SelectError::NotFinite)
    }
}
