//! What this flight controller is wired to: an image whose contract differs is refused, with the first channel that does.

use pliant_runtime::contract::{Interface, Port};

/// Forward, left, up; the setpoint is the origin; rotation from body to world, by rows.
pub const WIRED: Interface<'static> = Interface {
    observations: &[
        Port::new("position x", "m"),
        Port::new("position y", "m"),
        Port::new("position z", "m"),
        Port::new("rotation xx", ""),
        Port::new("rotation xy", ""),
        Port::new("rotation xz", ""),
        Port::new("rotation yx", ""),
        Port::new("rotation yy", ""),
        Port::new("rotation yz", ""),
        Port::new("rotation zx", ""),
        Port::new("rotation zy", ""),
        Port::new("rotation zz", ""),
        Port::new("velocity x", "m/s"),
        Port::new("velocity y", "m/s"),
        Port::new("velocity z", "m/s"),
        Port::new("angular velocity x", "rad/s"),
        Port::new("angular velocity y", "rad/s"),
        Port::new("angular velocity z", "rad/s"),
        Port::new("previous front right", ""),
        Port::new("previous back right", ""),
        Port::new("previous back left", ""),
        Port::new("previous front left", ""),
    ],
    actions: &[
        Port::new("front right", ""),
        Port::new("back right", ""),
        Port::new("back left", ""),
        Port::new("front left", ""),
    ],
    control_rate_hz: 100.0,
};
