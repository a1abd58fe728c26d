//! What learning in context is compared with: algorithms that know the family of tasks and keep statistics by hand.

mod bandit;
mod tabular;

pub use bandit::{BanditPlayer, play_bandit};
pub use tabular::{TabularPlayer, play_tabular};
