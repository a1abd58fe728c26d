//! What people see of a run: the learning curve, the adaptation table, the plot, the card.

mod card;
mod history;
mod plot;
mod table;

pub use card::{Training, card};
pub use history::{History, Point};
pub use plot::{PlotError, plot};
pub use table::adaptation_table;
