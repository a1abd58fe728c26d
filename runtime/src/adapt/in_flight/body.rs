//! Where a body's state stands in the observation.

use crate::contract::{ContractView, Source};

/// Where a body's state stands in the observation: the index of the first value of each group, in SI units, the world's z
/// axis up and the setpoint at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Body {
    /// Position, 3 values, m.
    pub position: usize,
    /// Rotation matrix from body to world by rows, 9 values.
    pub rotation: usize,
    /// Velocity in the world, 3 values, m/s.
    pub velocity: usize,
    /// Angular velocity in the body, 3 values, rad/s.
    pub spin: usize,
    /// The action of the call before, as many values as actions, where the policy sees it: it is shown its own, not what was
    /// made of it.
    pub previous_action: Option<usize>,
    /// Actions.
    pub actions: usize,
}

impl Body {
    /// Finds the groups by the names of their first channels: `position x`, `rotation xx`, `velocity x`, `angular velocity x`,
    /// and by the source of the previous action.
    ///
    /// # Errors
    /// The name that no channel has, or behind which the group does not end inside the observation.
    pub fn of(contract: &ContractView<'_>) -> Result<Self, &'static str> {
        let channels = contract.observations().len();
        let find = |name: &'static str, width: usize| {
            contract
                .observations()
                .position(|channel| channel.name == name)
                .filter(|first| first + width <= channels)
                .ok_or(name)
        };
        let actions = contract.actions().len();
        Ok(Self {
            position: find("position x", 3)?,
            rotation: find("rotation xx", 9)?,
            velocity: find("velocity x", 3)?,
            spin: find("angular velocity x", 3)?,
            previous_action: contract
                .observations()
                .position(|channel| channel.source == Source::PreviousAction)
                .filter(|first| first + actions <= channels),
            actions,
        })
    }
}
