//! The control loop's handle: what the policy is shown, and what is made of its answer.

use super::vector::{dot, get, three, write};
use super::{GRAVITY, OFFSET, PUSH, Shared, TRIM};
use crate::contract::MAX_ACTIONS;
use crate::publish::Reader;

/// Changes what the policy is shown, and what is made of its answer.
pub struct Correction<'p, 'm> {
    pub(super) reader: Reader<'p, 'm>,
    pub(super) shared: Shared<'m>,
    pub(super) command: &'p mut [f32; MAX_ACTIONS],
}

impl Correction<'_, '_> {
    /// A new episode: the policy has commanded nothing yet.
    pub fn reset(&mut self) {
        self.command.fill(0.0);
    }

    /// What the policy commanded last, as it gave it.
    pub fn command(&self) -> &[f32] {
        self.command.get(..self.shared.body.actions).unwrap_or(&[])
    }

    /// Writes what the policy is shown of an observation. Both have the contract's channels; other lengths show nothing.
    pub fn show(&mut self, observation: &[f32], shown: &mut [f32]) {
        if observation.len() != shown.len() {
            shown.fill(f32::NAN);
            return;
        }
        shown.copy_from_slice(observation);
        let body = self.shared.body;
        let parameters = self.reader.lease();
        let turn = Turn::upright(-get(&parameters, PUSH), -get(&parameters, PUSH + 1));
        let mut position = three(observation, body.position);
        for (axis, value) in position.iter_mut().enumerate() {
            *value += get(&parameters, OFFSET + axis);
        }
        write(shown, body.position, &turn.of(position));
        write(shown, body.velocity, &turn.of(three(observation, body.velocity)));
        for column in 0..3 {
            let of = [0, 3, 6].map(|row| get(observation, body.rotation + row + column));
            for (row, value) in turn.of(of).into_iter().enumerate() {
                write(shown, body.rotation + 3 * row + column, &[value]);
            }
        }
        if let Some(first) = body.previous_action {
            write(shown, first, self.command.get(..body.actions).unwrap_or(&[]));
        }
    }

    /// Makes of the policy's answer what is driven: adds the trim, within -1 and 1. Call it after every [`show`](Self::show).
    pub fn drive(&mut self, action: &mut [f32]) {
        self.command.iter_mut().zip(&*action).for_each(|(to, from)| *to = *from);
        let parameters = self.reader.lease();
        for (index, action) in action.iter_mut().enumerate() {
            for (mode, changes) in self.shared.modes.iter().enumerate() {
                *action += get(&parameters, TRIM + mode) * get(changes, index);
            }
            *action = action.clamp(-1.0, 1.0);
        }
    }

    /// Lends the parameters in use.
    pub fn parameters<T>(&mut self, read: impl FnOnce(&[f32]) -> T) -> T {
        read(&self.reader.lease())
    }

    /// Frozen, the policy flies alone, and nothing is published.
    pub fn freeze(&mut self, frozen: bool) {
        self.reader.freeze(frozen);
    }
}

/// The least rotation that turns one direction upright.
struct Turn {
    /// The matrix, by rows.
    rows: [[f32; 3]; 3],
}

impl Turn {
    /// Turns `(x, y, gravity)` upright.
    fn upright(x: f32, y: f32) -> Self {
        if x == 0.0 && y == 0.0 {
            // Not a bit is changed where there is nothing to change.
            return Self {
                rows: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            };
        }
        let scale = 1.0 / libm::sqrtf(x * x + y * y + GRAVITY * GRAVITY);
        let (x, y, z) = (x * scale, y * scale, GRAVITY * scale);
        let share = 1.0 / (1.0 + z);
        let cross = -(share * x * y);
        Self {
            rows: [
                [1.0 - share * x * x, cross, -x],
                [cross, 1.0 - share * y * y, -y],
                [x, y, z],
            ],
        }
    }

    fn of(&self, vector: [f32; 3]) -> [f32; 3] {
        self.rows.map(|row| dot(row, vector))
    }
}
