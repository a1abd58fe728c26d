//! Runs that survive: the directory of a training run, and the loop that keeps it.
//!
//! | entry | what |
//! |---|---|
//! | `run.json` | name, seed, version, engine, command line, progress, outcome |
//! | `recipe.toml` | the recipe, every override included |
//! | `log.txt` | what the program said, with times |
//! | `metrics.jsonl` | what training measured, see [`MetricsLine`] |
//! | `checkpoints/` | the two newest training states, see [`Checkpoint`](crate::checkpoint::Checkpoint) |
//! | `tensorboard/` | the same measurements as event files |
//! | `evaluation.json` | scores on held-out tasks, see [`Evaluation`](crate::eval::Evaluation) |
//! | the files of a [bundle](crate::bundle) | after training, `report.html` among them |
//! | `lock` | held while a process trains here |
//!
//! A process may be killed at any moment: files are replaced in one step or appended to, and resuming cuts what was
//! appended after the last checkpoint. See `docs/workbench.md` for what is guaranteed.

mod directory;
mod log;
mod metrics;
mod record;
mod session;
mod tensorboard;

pub use directory::{RunDirectory, RunError};
pub use log::RunLog;
pub use metrics::{MetricsLine, MetricsLog, Named, Summary, Window, read_metrics};
pub(crate) use record::shell_word;
pub use record::{Outcome, RunRecord, Status, find_runs};
pub use session::{Session, SessionError, Watched};
pub use tensorboard::{Event, EventWriter, SessionLog, Summary as EventSummary, Value, What, read_events};
