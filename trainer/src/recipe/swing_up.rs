//! `[family.swing-up]`.

use serde::{Deserialize, Serialize};

/// The pendulum of Gym (`Pendulum-v1`), which too weak a motor swings up: one task, nothing to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwingUp {}
