//! Learning-rate schedules, computed on the host and fed to the graph as one scalar.

use crate::recipe::Schedule;

/// The learning rate of the iteration after `completed` of `total`.
///
/// ```
/// use pliant_trainer::{optim::rate, recipe::Schedule};
/// assert_eq!(rate(Schedule::Constant, 0.1, 70, 100), 0.1);
/// assert_eq!(rate(Schedule::Cosine, 0.1, 0, 100), 0.1);
/// assert!((rate(Schedule::Cosine, 0.1, 50, 100) - 0.05).abs() < 1e-8);
/// ```
pub fn rate(schedule: Schedule, initial: f32, completed: u64, total: u64) -> f32 {
    match schedule {
        Schedule::Constant => initial,
        Schedule::Cosine => {
            let share = completed.min(total) as f64 / total.max(1) as f64;
            (f64::from(initial) * 0.5 * (1.0 + libm::cos(core::f64::consts::PI * share))) as f32
        }
    }
}
