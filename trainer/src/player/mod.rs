//! Episodes as animations in a self-contained page: nothing is loaded from elsewhere.
//!
//! Whatever is simulated becomes [`Clip`]s: things that are drawn (lines, discs, dots), and where they are in every frame. The
//! page draws them in perspective, side by side, with one clock for all.

mod page;
mod quadrotor;
mod systems;

pub use page::page;
pub use quadrotor::clip as quadrotor_clip;
pub use systems::{Played, play};

use serde::Serialize;

/// One animation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clip {
    /// What is flown or driven.
    pub title: String,
    /// What came of it.
    pub caption: String,
    /// Clips of the same group stand side by side.
    pub group: String,
    /// Half the extent of what is seen, m; the view is around the origin.
    pub extent: f32,
    /// Whether it is seen straight from the front (x to the right, z up), not in perspective.
    pub flat: bool,
    /// Seconds between frames.
    pub period: f32,
    /// Things, drawn in this order.
    pub things: Vec<Thing>,
    /// For each frame the numbers of every thing, one after the other.
    pub frames: Vec<Vec<f32>>,
    /// A number for each frame, drawn below as a line, and its name.
    pub measure: Vec<f32>,
    /// What the numbers are, with their unit.
    pub measured: String,
}

/// Something that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Thing {
    /// From a point to another: 6 numbers. Widths are in pixels.
    Line {
        /// Its colour.
        color: Color,
        /// In pixels.
        width: f32,
    },
    /// A circle: centre and normal, 6 numbers.
    Disc {
        /// Its colour.
        color: Color,
        /// m
        radius: f32,
    },
    /// A point: 3 numbers.
    Dot {
        /// Its colour.
        color: Color,
        /// In pixels.
        radius: f32,
    },
    /// Where the point went in the last second: 3 numbers.
    Trail {
        /// Its colour.
        color: Color,
    },
}

/// Colours of the page, one of its light and one of its dark theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Of what is controlled.
    Ink,
    /// Of what is beside it.
    Faint,
    /// Of what it should reach.
    Goal,
    /// Of its front, or of what moves it.
    Accent,
    /// Of what pushes.
    Push,
}

impl Clip {
    /// Rounded, so that a page stays small.
    fn rounded(mut self) -> Self {
        let digits = 10_f32.powi(3 - self.extent.log10().floor() as i32);
        for value in self.frames.iter_mut().flatten() {
            *value = (*value * digits).round() / digits;
        }
        self
    }
}
