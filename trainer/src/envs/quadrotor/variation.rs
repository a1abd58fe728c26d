//! What is varied beyond the plain distribution: late actions, noisy sensors, a worn motor, an emptying battery, a payload.

use serde::{Deserialize, Serialize};

use super::vehicle::{GRAVITY, Vehicles};
use super::{PERIOD, Quadrotor, row};
use crate::envs::simulation::{MOST_PERIODS, delay_weights};
use crate::random::{Stream, uniform};
use crate::recipe::{Checker, is_zero};

/// Speed of the worn motor, relative to its greatest, at which a varied vehicle must be able to hover, without its push.
const HOVERS_AT: f32 = 0.95;
/// Times that wear, sag and payload are drawn again at most until the vehicle can hover with them; then it has none of them.
const DRAWS: usize = 32;

/// `[family.quadrotor]`: quadrotors that hover at a setpoint, from 20 g to 5 kg (the distribution of RAPTOR, arXiv
/// 2509.11481) unless [`vehicles`](Self::vehicles) says which, and what is varied beyond it. Each range is `[least, greatest]`, drawn uniformly for every episode; the
/// defaults vary nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variation {
    /// Delay from an action to the motors, s. From 0 to 0.03. An action between two control periods is blended.
    pub latency: [f32; 2],
    /// Standard deviation of the noise on the observed position, m. From 0 to 0.1.
    pub position_noise: [f32; 2],
    /// Standard deviation of the noise on the observed velocity, m/s. From 0 to 1.
    pub velocity_noise: [f32; 2],
    /// Standard deviation of the noise on the observed angular velocity, rad/s. From 0 to 1.
    pub spin_noise: [f32; 2],
    /// Thrust of one motor, the same throughout an episode, relative to a new one. From 0.3 to 1.
    pub wear: [f32; 2],
    /// Share of the thrust that is lost by the end of an episode as the battery empties. From 0 to 0.5.
    pub sag: [f32; 2],
    /// Payload carried from the start relative to the vehicle's mass; it drops at a random step. From 0 to 1.
    pub payload: [f32; 2],
    /// Share of the quadrotors in training and validation whose torque-to-inertia ratio is drawn from the lowest tenth of
    /// its range, in addition to those drawn so anyway: they are the hard ones. From 0 to 1.
    pub sluggish: f32,
    /// Whether wear, sag and payload with which the vehicle could not hover are drawn again. Default false: they are flown, and
    /// lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub flyable: bool,
    /// Share of the episodes with the greatest latency and the greatest noise of their ranges, in addition to those drawn near
    /// them anyway. From 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub latest: f32,
    /// Actions of the past that the policy sees, the newest first: with late motors, those still under way. From 1 to 3.
    #[serde(skip_serializing_if = "Variation::is_one")]
    pub actions_seen: usize,
    /// Which vehicles are drawn. Default: those of RAPTOR.
    #[serde(skip_serializing_if = "Vehicles::are_plain")]
    pub vehicles: Vehicles,
}

impl Default for Variation {
    fn default() -> Self {
        Self::NONE
    }
}

impl Variation {
    /// The plain distribution.
    pub const NONE: Self = Self {
        latency: [0.0; 2],
        position_noise: [0.0; 2],
        velocity_noise: [0.0; 2],
        spin_noise: [0.0; 2],
        wear: [1.0; 2],
        sag: [0.0; 2],
        payload: [0.0; 2],
        sluggish: 0.0,
        flyable: false,
        latest: 0.0,
        actions_seen: 1,
        vehicles: Vehicles::PLAIN,
    };

    /// Greatest delay that can be simulated, s.
    pub const MOST_LATENCY: f32 = MOST_PERIODS * PERIOD;

    /// Most actions of the past that a policy can see.
    pub const MOST_ACTIONS_SEEN: usize = 3;

    /// For leaving out what is not used.
    fn is_one(count: &usize) -> bool {
        *count == 1
    }

    /// Checks every range of the section.
    pub fn check(&self, checker: &mut Checker) {
        checker.range("latency", self.latency, 0.0, Self::MOST_LATENCY);
        checker.range("position_noise", self.position_noise, 0.0, 0.1);
        checker.range("velocity_noise", self.velocity_noise, 0.0, 1.0);
        checker.range("spin_noise", self.spin_noise, 0.0, 1.0);
        checker.range("wear", self.wear, 0.3, 1.0);
        checker.range("sag", self.sag, 0.0, 0.5);
        checker.range("payload", self.payload, 0.0, 1.0);
        checker.between("sluggish", self.sluggish, 0.0, 1.0);
        checker.between("latest", self.latest, 0.0, 1.0);
        let most = Self::MOST_ACTIONS_SEEN as u64;
        checker.count("actions_seen", self.actions_seen as u64, 1, most);
        checker.section("vehicles", |checker| self.vehicles.check(checker));
    }

    /// Draws an episode of a vehicle whose `parameters` have the rows for it.
    pub(super) fn draw(&self, random: &mut Stream, parameters: &mut [f32]) {
        let mut between = |[least, greatest]: [f32; 2]| uniform(random, least, greatest);
        let worn = between([0.0, 4.0]) as usize;
        let wear = between(self.wear);
        let mut latency = between(self.latency);
        let ranges = [self.position_noise, self.velocity_noise, self.spin_noise];
        let mut noises = ranges.map(&mut between);
        let sag = between(self.sag);
        let drop_step = between([0.0, Quadrotor::HORIZON as f32]).floor();
        let payload = between(self.payload);
        let mut strain = Strain { wear, sag, payload };
        if self.latest > 0.0 && between([0.0, 1.0]) < self.latest {
            latency = self.latency[1];
            noises = ranges.map(|[_, greatest]| greatest);
        }
        if self.flyable && !strain.can_hover(parameters) {
            let again = core::iter::repeat_with(|| Strain {
                wear: between(self.wear),
                sag: between(self.sag),
                payload: between(self.payload),
            });
            let found = again.take(DRAWS).find(|strain| strain.can_hover(parameters));
            strain = found.unwrap_or(Strain::NONE);
        }
        parameters[row::WEAR..row::WEAR + 4].fill(1.0);
        parameters[row::WEAR + worn] = strain.wear;
        parameters[row::LATENCY..row::LATENCY + 4].copy_from_slice(&delay_weights(latency / PERIOD));
        parameters[row::NOISE..row::NOISE + 3].copy_from_slice(&noises);
        parameters[row::SAG] = strain.sag / Quadrotor::HORIZON as f32;
        parameters[row::DROP_STEP] = drop_step;
        let ratio = 1.0 + strain.payload;
        parameters[row::DROP_RATIO] = ratio;
        load(parameters, ratio);
    }
}

/// What takes from the thrust that a vehicle has to spare.
struct Strain {
    wear: f32,
    sag: f32,
    payload: f32,
}

impl Strain {
    const NONE: Self = Self {
        wear: 1.0,
        sag: 0.0,
        payload: 0.0,
    };

    /// Whether the worn motor carries its quarter of the weight below [`HOVERS_AT`], with the payload and the emptied battery.
    fn can_hover(&self, parameters: &[f32]) -> bool {
        let [c0, c1, c2] = [0, 1, 2].map(|i| parameters[row::THRUST + i]);
        let thrust = c0 + HOVERS_AT * (c1 + HOVERS_AT * c2);
        4.0 * thrust * self.wear * (1.0 - self.sag) > GRAVITY * (1.0 + self.payload)
    }
}

/// Multiplies the mass by `ratio`; inertia stays, for the payload hangs at the centre.
pub(super) fn load(parameters: &mut [f32], ratio: f32) {
    for row in [row::THRUST, row::DISTURBANCE]
        .into_iter()
        .flat_map(|first| first..first + 3)
    {
        parameters[row] /= ratio;
    }
    for row in row::LEVER..row::LEVER + 3 {
        parameters[row] *= ratio;
    }
}

/// Removes from the parameters what `evolve` and a payload did.
pub(super) fn undo(parameters: &mut [f32]) {
    let ratio = parameters[row::DROP_RATIO];
    if ratio > 1.0 {
        load(parameters, 1.0 / ratio);
    }
    parameters[row::DROP_RATIO] = 1.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envs::Plant;
    use crate::random::stream;

    /// Shares of episodes at the greatest latency and with noise at its greatest, and the least and greatest latency of the rest.
    fn drawn(latest: f32) -> (f32, [f32; 2]) {
        let quadrotor = Quadrotor::new(Variation {
            latency: [0.0, 0.03],
            spin_noise: [0.0, 0.02],
            latest,
            ..Variation::NONE
        });
        let widths = quadrotor.widths();
        let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
        let mut random = stream(1, "test", &[]);
        let (mut count, mut range) = (0, [f32::MAX, f32::MIN]);
        for _ in 0..1000 {
            quadrotor.draw(&mut random, &mut parameters);
            quadrotor.start(&mut random, &mut parameters, &mut state);
            let [_, one, two, three] = [0, 1, 2, 3].map(|i| parameters[row::LATENCY + i]);
            let periods = one + 2.0 * two + 3.0 * three;
            if (periods - 3.0).abs() < 1e-6 && parameters[row::NOISE + 2] == 0.02 {
                count += 1;
            } else {
                range = [range[0].min(periods), range[1].max(periods)];
            }
        }
        (count as f32 / 1000.0, range)
    }

    #[test]
    fn so_many_episodes_are_latest_and_the_others_cover_the_range() {
        assert_eq!(drawn(0.0).0, 0.0);
        let (share, [least, greatest]) = drawn(0.3);
        assert!((share - 0.3).abs() < 0.05, "{share}");
        assert!(least < 0.05 && greatest > 2.95, "{least} to {greatest}");
    }

    #[test]
    fn no_episode_asks_for_more_thrust_than_there_is() {
        let quadrotor = Quadrotor::new(Variation {
            wear: [0.6, 1.0],
            sag: [0.0, 0.1],
            payload: [0.0, 0.2],
            flyable: true,
            ..Variation::NONE
        });
        let widths = quadrotor.widths();
        let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
        let mut random = stream(2, "test", &[]);
        let (mut worst, mut most_worn) = (f32::MAX, 1.0f32);
        for _ in 0..2000 {
            quadrotor.draw(&mut random, &mut parameters);
            quadrotor.start(&mut random, &mut parameters, &mut state);
            let wear = (0..4).map(|i| parameters[row::WEAR + i]).fold(1.0, f32::min);
            let full: f32 = parameters[row::THRUST..row::THRUST + 3].iter().sum();
            let empty = 1.0 - parameters[row::SAG] * Quadrotor::HORIZON as f32;
            worst = worst.min(4.0 * full * wear * empty / GRAVITY);
            most_worn = most_worn.min(wear);
        }
        assert!(worst > 1.0, "a vehicle has {worst} times its weight of thrust");
        assert!(most_worn < 0.61, "{most_worn}");
    }
}
