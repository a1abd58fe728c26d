//! Supervised families: each held-out task's support set is learned by the device runtime, and the adapted policy scored.

use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, workspace_len};
use rayon::prelude::*;

use super::EvalError;
use crate::tasks::{Rows, Split, SupervisedFamily};

/// What became of one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskOutcome {
    /// Score by the family's metric before adaptation.
    pub before: f64,
    /// Score with what the runtime acts by after adapting: the old parameters where it refused the new.
    pub after: f64,
    /// L2 distance that adaptation moved the parameters.
    pub change: f32,
    /// Whether the runtime's guards accepted.
    pub accepted: bool,
}

/// Which tasks to adapt to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskRange {
    /// The split they come from.
    pub split: Split,
    /// The seed they are drawn by.
    pub seed: u64,
    /// How many, from index 0.
    pub tasks: u64,
}

/// Adapts the image to each task through the device runtime, on `threads` threads. One outcome a task, in order; the
/// number of threads changes nothing.
///
/// # Errors
/// An image that the runtime cannot load, or whose widths are not the family's.
pub fn adapt_to_tasks(
    image: &Image<'_>,
    family: &dyn SupervisedFamily,
    range: TaskRange,
    threads: usize,
) -> Result<Vec<TaskOutcome>, EvalError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    // A few pieces a thread even out the load; a policy is loaded once a piece.
    let piece = range.tasks.div_ceil(4 * threads as u64).max(1);
    let starts: Vec<u64> = (0..range.tasks).step_by(piece as usize).collect();
    let pieces: Vec<Vec<TaskOutcome>> = pool.install(|| {
        let piece = |&start: &u64| adapt_piece(image, family, range, start..(start + piece).min(range.tasks));
        starts.par_iter().map(piece).collect::<Result<_, EvalError>>()
    })?;
    Ok(pieces.concat())
}

fn adapt_piece(
    image: &Image<'_>,
    family: &dyn SupervisedFamily,
    range: TaskRange,
    indices: core::ops::Range<u64>,
) -> Result<Vec<TaskOutcome>, EvalError> {
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(image, None, &mut memory)?;
    let (mut actor, mut learner) = policy.split();
    let (width, targets) = (family.input_width(), family.target_width());
    let (support, scored) = (family.support_rows(), family.evaluation_rows());
    let mut support_x = vec![0.0; support * width];
    let mut support_y = vec![0.0; support * targets];
    let mut scored_x = vec![0.0; scored * width];
    let mut scored_y = vec![0.0; scored * targets];
    let mut answers = vec![0.0; scored * targets];
    let mut outcomes = Vec::new();
    for index in indices {
        let rows = Rows {
            inputs: &mut support_x,
            targets: &mut support_y,
        };
        let held_out = Rows {
            inputs: &mut scored_x,
            targets: &mut scored_y,
        };
        family.sample_for_evaluation(range.seed, range.split, index, rows, held_out);
        let mut score = || -> Result<f64, EvalError> {
            for (x, answer) in scored_x.chunks_exact(width).zip(answers.chunks_exact_mut(targets)) {
                let status = actor.act(x, answer);
                if status.is_safe_action() {
                    return Err(EvalError::Refused { task: index, status });
                }
            }
            Ok(family.metric().of(&answers, &scored_y))
        };
        let before = score()?;
        for (x, y) in support_x.chunks_exact(width).zip(support_y.chunks_exact(targets)) {
            learner.observe_example(x, y)?;
        }
        let report = learner.adapt();
        let after = score()?;
        let (change, accepted) = (report.figures().change, report.is_accepted());
        outcomes.push(TaskOutcome {
            before,
            after,
            change,
            accepted,
        });
        learner.revert_to_base();
        learner.clear();
    }
    Ok(outcomes)
}
