//! `[family.systems]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::check::Checker;
use super::{CartPole, HalfCircle, Pendulum, SwingUp, TwoLinkArm, Variation, Vehicle};
use crate::envs::{self, ActionSpace, Quadrotor, Simulated, Simulator, VectorEnvironment};

/// Unlike systems that one policy controls, each a task with observations and actions of its own. A task is a distribution
/// of systems: an episode meets one drawn from it. Tasks are numbered in the order of their names.
///
/// ```toml
/// [family.systems.tasks.light-pendulum.pendulum]
/// mass = [0.4, 0.6]
///
/// [family.systems.tasks.swing-up.swing-up]
/// ```
///
/// The machine says which task it is. It gives as many observations as the task has, and anything finite behind them;
/// actions are shares of the greatest, from -1 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Systems {
    /// The tasks by name: each one family of a system. From 1 to 64.
    pub tasks: BTreeMap<String, SystemTask>,
}

/// `[family.systems.tasks.NAME.FAMILY]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemTask {
    /// As `[family.cart-pole]`.
    CartPole(CartPole),
    /// As `[family.half-circle]`.
    HalfCircle(HalfCircle),
    /// As `[family.pendulum]`.
    Pendulum(Pendulum),
    /// As `[family.quadrotor]`.
    Quadrotor(Variation),
    /// As `[family.swing-up]`.
    SwingUp(SwingUp),
    /// As `[family.two-link-arm]`.
    TwoLinkArm(TwoLinkArm),
    /// As `[family.vehicle]`.
    Vehicle(Vehicle),
}

impl SystemTask {
    /// The family's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CartPole(_) => "cart-pole",
            Self::HalfCircle(_) => "half-circle",
            Self::Pendulum(_) => "pendulum",
            Self::Quadrotor(_) => "quadrotor",
            Self::SwingUp(_) => "swing-up",
            Self::TwoLinkArm(_) => "two-link-arm",
            Self::Vehicle(_) => "vehicle",
        }
    }

    /// The simulator, where the system has one.
    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        let simulator: Arc<dyn Simulator> = match self {
            Self::HalfCircle(_) | Self::SwingUp(_) => return None,
            Self::CartPole(system) => Arc::new(system.clone()),
            Self::Pendulum(system) => Arc::new(system.clone()),
            Self::Quadrotor(variation) => Arc::new(Quadrotor::new(*variation)),
            Self::TwoLinkArm(system) => Arc::new(system.clone()),
            Self::Vehicle(system) => Arc::new(system.clone()),
        };
        Some(simulator)
    }

    /// `batch` instances.
    pub fn environment(&self, batch: usize) -> Box<dyn VectorEnvironment> {
        match (self, self.simulator()) {
            (_, Some(simulator)) => Box::new(Simulated::new(self.name(), simulator, batch)),
            (Self::HalfCircle(family), None) => Box::new(envs::HalfCircle::new(family.horizon, batch)),
            (_, None) => Box::new(envs::SwingUp::new(batch)),
        }
    }

    /// Control periods a second.
    pub fn rate_hz(&self) -> f32 {
        match (self, self.simulator()) {
            (_, Some(simulator)) => simulator.rate_hz(),
            (Self::HalfCircle(_), None) => 10.0,
            (_, None) => 20.0,
        }
    }

    /// Numbers of an observation, and of an action.
    pub fn widths(&self) -> (usize, usize) {
        let environment = self.environment(1);
        (environment.observation_width(), environment.actions().width())
    }

    fn check(&self, checker: &mut Checker) {
        match self {
            Self::CartPole(family) => family.check(checker),
            Self::HalfCircle(family) => family.check(checker),
            Self::Pendulum(family) => family.check(checker),
            Self::Quadrotor(family) => family.check(checker),
            Self::SwingUp(_) => {}
            Self::TwoLinkArm(family) => family.check(checker),
            Self::Vehicle(family) => family.check(checker),
        }
    }
}

impl Systems {
    /// Observations and actions of the widest tasks.
    pub fn widths(&self) -> (usize, usize) {
        self.tasks.values().map(SystemTask::widths).fold((0, 0), |most, own| {
            (usize::max(most.0, own.0), usize::max(most.1, own.1))
        })
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("tasks", self.tasks.len() as u64, 1, 64);
        checker.section("tasks", |checker| {
            for (name, task) in &self.tasks {
                checker.section(name, |checker| {
                    checker.section(task.name(), |checker| task.check(checker));
                });
            }
        });
        debug_assert!(
            self.tasks
                .values()
                .all(|task| matches!(task.environment(1).actions(), ActionSpace::Continuous(_))),
            "all of these have continuous actions"
        );
    }
}
