//! A quadrotor as lines and discs.

use super::{Clip, Color, Thing};
use crate::flight::{Moment, Recording};

/// Steps from a frame to the next: 50 frames a second.
const EVERY: usize = 2;
/// Arm of the drawn vehicle, m; the real one is between 1 and 20 cm, which could not be seen.
const ARM: f32 = 0.11;
/// Half the extent of the view, m.
const EXTENT: f32 = 0.75;
/// Metres that a push of 1 m/s^2 is drawn long.
const PUSH_SCALE: f32 = 0.12;

/// The animation of one recorded episode.
pub fn clip(title: &str, group: &str, recording: &Recording) -> Clip {
    let caption = match recording.error() {
        Some(error) => format!("{:.1} mm off in the last second", 1000.0 * error),
        None => format!(
            "terminated after {:.2} s",
            recording.moments.len().saturating_sub(1) as f32 / 100.0
        ),
    };
    let mut things = vec![Thing::Trail { color: Color::Accent }];
    // Two arms, a nose, what pushes, four rotors, the setpoint.
    let line = |color, width| Thing::Line { color, width };
    things.extend([
        line(Color::Ink, 4.0),
        line(Color::Ink, 4.0),
        line(Color::Accent, 4.0),
        line(Color::Push, 3.0),
    ]);
    things.extend(
        [Thing::Disc {
            color: Color::Ink,
            radius: 0.6 * ARM,
        }; 4],
    );
    things.push(Thing::Dot {
        color: Color::Goal,
        radius: 4.0,
    });
    let kept = || recording.moments.iter().step_by(EVERY);
    Clip {
        title: title.to_owned(),
        caption,
        group: group.to_owned(),
        extent: EXTENT,
        flat: false,
        period: 0.01 * EVERY as f32,
        things,
        frames: kept().map(frame).collect(),
        measure: kept().map(|moment| 1000.0 * distance(moment.position)).collect(),
        measured: "distance from the setpoint, mm".to_owned(),
    }
    .rounded()
}

fn distance(position: [f32; 3]) -> f32 {
    position.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn frame(moment: &Moment) -> Vec<f32> {
    let rotation = rotation(moment.orientation);
    let place = |body: [f32; 3]| -> [f32; 3] {
        core::array::from_fn(|i| moment.position[i] + (0..3).map(|k| rotation[i][k] * body[k]).sum::<f32>())
    };
    let rotors = [[1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]].map(|[x, y]| place([x * ARM, y * ARM, 0.0]));
    let up: [f32; 3] = core::array::from_fn(|i| rotation[i][2]);
    let mut numbers = Vec::new();
    numbers.extend(moment.position);
    for [a, b] in [[0, 2], [1, 3]] {
        numbers.extend(rotors[a]);
        numbers.extend(rotors[b]);
    }
    numbers.extend(moment.position);
    numbers.extend(place([1.3 * ARM, 0.0, 0.0]));
    numbers.extend(moment.position);
    numbers.extend(core::array::from_fn::<f32, 3, _>(|i| {
        moment.position[i] + PUSH_SCALE * moment.push[i]
    }));
    for rotor in rotors {
        numbers.extend(rotor);
        numbers.extend(up);
    }
    numbers.extend([0.0; 3]);
    numbers
}

fn rotation([w, x, y, z]: [f32; 4]) -> [[f32; 3]; 3] {
    [
        [
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - w * z),
            2.0 * (x * z + w * y),
        ],
        [
            2.0 * (x * y + w * z),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - w * x),
        ],
        [
            2.0 * (x * z - w * y),
            2.0 * (y * z + w * x),
            1.0 - 2.0 * (x * x + y * y),
        ],
    ]
}
