//! What people see of a run: the adaptation table, the card, charts, the page, runs side by side.

mod affinity;
mod baselines;
mod card;
mod chart;
mod compare;
mod curves;
mod from_scratch;
mod html;
mod memoryless;
mod references;
mod results;
mod samples;
mod sweep;
mod table;

pub use affinity::{affinity_plot, affinity_table};
pub use baselines::{BaselineError, baselines};
pub use card::{card, cost, with_cost};
pub use chart::{Chart, Mark, Series};
pub use compare::{Contestant, comparison_charts, comparison_page, comparison_plot, comparison_table};
pub use curves::{learning_curves, plot, score_chart};
pub use html::{Page, page};
pub use results::{Baseline, DeviceCost, RESULTS_FILE, Results, ResultsError, TrainingCost};
pub use samples::samples;
pub use sweep::{sweep_plot, sweep_table};
pub use table::{adaptation_table, comparison};
