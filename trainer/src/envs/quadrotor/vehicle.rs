//! The quadrotors that are drawn.

use core::f32::consts::SQRT_2;

use serde::{Deserialize, Serialize};

use crate::random::{Stream, fill_standard_normal, uniform};
use crate::recipe::Checker;

/// Standard gravity as the distribution has it, m/s^2.
pub(super) const GRAVITY: f32 = 9.81;
/// Mass of the vehicle that the distribution is built around (Crazyflie), kg.
const NOMINAL_MASS: f32 = 0.0306;
/// Distance of its rotors from the centre along each axis, m.
const NOMINAL_ARM: f32 = 0.028;
/// Its thrust per rotor for a normalised speed w: the coefficients of 1, w and w^2, N.
const NOMINAL_THRUST: [f32; 3] = [0.003_525_26, 0.014_373_13, 0.092_230_48];
/// Its moments of inertia relative to the first.
const INERTIA_RATIOS: [f32; 3] = [1.0, 9.6445 / 9.416_557, 17.460 / 9.416_557];

/// A quadrotor: four equal rotors at (+-arm, +-arm, 0), thrust along the body's z axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vehicle {
    /// kg
    pub mass: f32,
    /// Distance of the rotors from the centre along x and along y, m.
    pub arm: f32,
    /// Thrust of a rotor in N for a normalised speed w: the coefficients of 1, w and w^2.
    pub thrust: [f32; 3],
    /// Moments of inertia about x, y and z, kg m^2.
    pub inertia: [f32; 3],
    /// Reaction torque per thrust, N m / N.
    pub torque_constant: f32,
    /// Time constant of a rotor that speeds up, s.
    pub rising: f32,
    /// Time constant of a rotor that slows down, s.
    pub falling: f32,
    /// Standard deviation of the constant disturbance force along each axis, N.
    pub disturbance: f32,
}

/// `[family.quadrotor.vehicles]`: which vehicles are drawn, as ranges `[least, greatest]`. The defaults are the distribution on
/// which RAPTOR was trained (Eschmann et al. 2025, arXiv 2509.11481); one vehicle that is known has narrow ranges.
///
/// ```
/// use pliant_trainer::envs::quadrotor::Vehicles;
/// use pliant_trainer::random::stream;
///
/// let small = Vehicles { mass: [0.03, 0.04], ..Vehicles::PLAIN };
/// let vehicle = small.draw(&mut stream(0, "example", &[]));
/// assert!((0.03..=0.04).contains(&vehicle.mass));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vehicles {
    /// Greatest thrust over weight. From 1.1 to 20; default 1.5 to 5.
    pub thrust_to_weight: [f32; 2],
    /// kg, its cube root drawn uniformly. From 0.005 to 50; default 0.02 to 5.
    pub mass: [f32; 2],
    /// [`Vehicle::torque_to_inertia`], 1/s^2. From 10 to 10000; default 40 to 1200.
    pub torque_to_inertia: [f32; 2],
    /// Time constant of a rotor that speeds up, s. From 0.005 to 1; default 0.03 to 0.1.
    pub rising: [f32; 2],
    /// Time constant of a rotor that slows down, s. From 0.005 to 1; default 0.03 to 0.3.
    pub falling: [f32; 2],
    /// Reaction torque per thrust, m. From 0.001 to 0.2; default 0.005 to 0.05.
    pub torque_constant: [f32; 2],
    /// Deviation of the constant disturbance force, relative to a third of the thrust to spare over gravity. From 0 to 1;
    /// default 0 to 0.3.
    pub disturbance: [f32; 2],
}

impl Default for Vehicles {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl Vehicles {
    /// The plain distribution.
    pub const PLAIN: Self = Self {
        thrust_to_weight: [1.5, 5.0],
        mass: [0.02, 5.0],
        torque_to_inertia: [40.0, 1200.0],
        rising: [0.03, 0.1],
        falling: [0.03, 0.3],
        torque_constant: [0.005, 0.05],
        disturbance: [0.0, 0.3],
    };

    /// Checks every range of the section.
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.range("thrust_to_weight", self.thrust_to_weight, 1.1, 20.0);
        checker.range("mass", self.mass, 0.005, 50.0);
        checker.range("torque_to_inertia", self.torque_to_inertia, 10.0, 10_000.0);
        checker.range("rising", self.rising, 0.005, 1.0);
        checker.range("falling", self.falling, 0.005, 1.0);
        checker.range("torque_constant", self.torque_constant, 0.001, 0.2);
        checker.range("disturbance", self.disturbance, 0.0, 1.0);
    }

    /// For leaving out what is not used.
    pub(super) fn are_plain(&self) -> bool {
        *self == Self::PLAIN
    }

    /// The same with the lowest tenth of the torque-to-inertia ratios only.
    pub(super) fn least_agile(self) -> Self {
        let [least, greatest] = self.torque_to_inertia;
        Self {
            torque_to_inertia: [least, least + (greatest - least) / 10.0],
            ..self
        }
    }

    /// Draws a vehicle.
    pub fn draw(&self, random: &mut Stream) -> Vehicle {
        let between = |random: &mut Stream, [least, greatest]: [f32; 2]| uniform(random, least, greatest);
        let thrust_to_weight = between(random, self.thrust_to_weight);
        let size = between(random, self.mass.map(libm::cbrtf));
        let mass = size * size * size;
        let mut normal = [0.0];
        fill_standard_normal(random, &mut normal);
        let deviation = -0.1 + 0.1 * normal[0];
        let factor = if deviation >= 0.0 {
            1.0 + deviation
        } else {
            1.0 / (1.0 - deviation)
        };
        let arm = NOMINAL_ARM * libm::cbrtf(mass / NOMINAL_MASS) * factor;
        let rotor_thrust = thrust_to_weight * mass * GRAVITY / 4.0;
        let scale = rotor_thrust / NOMINAL_THRUST.iter().sum::<f32>();
        let torque_to_inertia = between(random, self.torque_to_inertia);
        let about_x = SQRT_2 * arm * rotor_thrust / torque_to_inertia;
        let rising = between(random, self.rising);
        let falling = between(random, self.falling);
        let torque_constant = between(random, self.torque_constant);
        let spare = thrust_to_weight - 1.0;
        let excess = between(random, self.disturbance.map(|share| share * spare));
        Vehicle {
            mass,
            arm,
            thrust: NOMINAL_THRUST.map(|coefficient| coefficient * scale),
            inertia: INERTIA_RATIOS.map(|ratio| ratio * about_x),
            torque_constant,
            rising,
            falling,
            disturbance: excess * thrust_to_weight * mass / 3.0,
        }
    }
}

impl Vehicle {
    /// Distance of a rotor from the centre, m.
    pub fn rotor_distance(&self) -> f32 {
        SQRT_2 * self.arm
    }

    /// Angular acceleration about x that one rotor at full speed gives at its distance from the centre, 1/s^2: how
    /// agile, and how hard to control, the vehicle is.
    pub fn torque_to_inertia(&self) -> f32 {
        self.rotor_distance() * self.thrust.iter().sum::<f32>() / self.inertia[0]
    }
}
