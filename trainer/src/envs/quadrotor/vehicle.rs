//! The quadrotors that are drawn.

use core::f32::consts::SQRT_2;

use crate::random::{Stream, fill_standard_normal, uniform};

/// Standard gravity as the distribution has it, m/s^2.
pub(super) const GRAVITY: f32 = 9.81;
/// Mass of the vehicle that the distribution is built around (Crazyflie), kg.
const NOMINAL_MASS: f32 = 0.0306;
/// Distance of its rotors from the centre along each axis, m.
const NOMINAL_ARM: f32 = 0.028;
/// Its thrust per rotor for a normalised speed w: the coefficients of 1, w and w^2, N.
const NOMINAL_THRUST: [f32; 3] = [0.003_525_26, 0.014_373_13, 0.092_230_48];
/// Range of the torque-to-inertia ratio, 1/s^2.
const AGILITY: [f32; 2] = [40.0, 1200.0];
/// Its lowest tenth.
pub(super) const LEAST_AGILE: [f32; 2] = [40.0, 156.0];
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

impl Vehicle {
    /// Draws from the distribution on which RAPTOR was trained (Eschmann et al. 2025, arXiv 2509.11481).
    pub fn draw(random: &mut Stream) -> Self {
        Self::draw_with_agility(random, AGILITY)
    }

    /// As [`draw`](Self::draw), with the torque-to-inertia ratio uniform in another range, 1/s^2.
    pub fn draw_with_agility(random: &mut Stream, agility: [f32; 2]) -> Self {
        let thrust_to_weight = uniform(random, 1.5, 5.0);
        let size = uniform(random, libm::cbrtf(0.02), libm::cbrtf(5.0));
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
        let torque_to_inertia = uniform(random, agility[0], agility[1]);
        let about_x = SQRT_2 * arm * rotor_thrust / torque_to_inertia;
        let rising = uniform(random, 0.03, 0.10);
        let falling = uniform(random, 0.03, 0.30);
        let torque_constant = uniform(random, 0.005, 0.05);
        let excess = uniform(random, 0.0, 0.3 * (thrust_to_weight - 1.0));
        Self {
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
