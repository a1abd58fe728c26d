//! Axes: round numbers to label, and where a value stands.

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    range: [f64; 2],
    step: f64,
    /// Whether powers of ten stand equally far apart; then `range` and `step` are of logarithms.
    logarithmic: bool,
    /// Where the ends of the range stand.
    ends: [f64; 2],
}

impl Axis {
    /// An axis over `range` with about `labels` labels; whole numbers alone where it `counts`.
    pub(super) fn new(range: [f64; 2], labels: usize, counts: bool) -> Self {
        let span = (range[1] - range[0]).clamp(1e-300, f64::MAX / 4.0);
        let rough = span / labels.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        // The least of 1, 2, 5 and 10 times a power of ten that needs no more labels than asked for.
        let mut step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|&step| step >= rough * 0.999)
            .unwrap_or(10.0 * power);
        if counts {
            step = step.max(1.0).round();
        }
        Self {
            range,
            step,
            logarithmic: false,
            ends: [0.0, 1.0],
        }
    }

    /// An axis of powers of ten over `range`, both ends positive.
    pub(super) fn logarithmic(range: [f64; 2]) -> Self {
        let range = range.map(f64::log10);
        // About seven labels at most.
        let step = ((range[1] - range[0]) / 7.0).ceil().max(1.0);
        Self {
            range,
            step,
            logarithmic: true,
            ends: [0.0, 1.0],
        }
    }

    /// Says where the ends of the range stand.
    pub(super) fn place(&mut self, first: f64, last: f64) {
        self.ends = [first, last];
    }

    /// The length of the range.
    pub(super) fn span(&self) -> f64 {
        (self.range[1] - self.range[0]).max(1e-300)
    }

    /// Where a value stands.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        };
        // Halves first: a span of the largest numbers overflows.
        let share = (0.5 * value - 0.5 * self.range[0]) / (0.5 * self.range[1] - 0.5 * self.range[0]).max(1e-300);
        self.ends[0] + share.clamp(-10.0, 10.0) * (self.ends[1] - self.ends[0])
    }

    /// Values to label, with their labels.
    pub(super) fn labels(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        let first = (self.range[0] / self.step - 1e-6).ceil();
        let last = (self.range[1] / self.step + 1e-6).floor();
        let count = (last - first).clamp(-1.0, 20.0) as i64;
        (0..=count).map(move |index| {
            let value = (first + index as f64) * self.step;
            let value = if value.abs() < 1e-9 * self.step { 0.0 } else { value };
            if self.logarithmic {
                let power = 10f64.powf(value);
                return (power, label(power, power));
            }
            (value, label(value, self.step))
        })
    }
}

/// A label that tells neighbours `step` apart, in few characters.
fn label(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs();
    if magnitude >= 1e7 || (magnitude < 1e-4 && step < 1e-4) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    for (unit, suffix) in [(1e6, "M"), (1e3, "k")] {
        if step >= unit / 10.0 && magnitude >= unit * 0.999 {
            let decimals = usize::from((value / unit).fract().abs() > 1e-9);
            return format!("{:.decimals$}{suffix}", value / unit);
        }
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}").replace('-', "\u{2212}")
}

/// A number in a sentence: three significant digits or so.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        magnitude if !(1e-3..1e5).contains(&magnitude) => format!("{value:.1e}"),
        magnitude if magnitude >= 100.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        magnitude if magnitude >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
    .replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(range: [f64; 2], count: usize, counts: bool) -> Vec<String> {
        Axis::new(range, count, counts)
            .labels()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn round_numbers() {
        assert_eq!(
            labels([0.0, 60000.0], 6, true),
            ["0", "10k", "20k", "30k", "40k", "50k", "60k"]
        );
        assert_eq!(labels([0.0, 3.2], 4, false), ["0", "1", "2", "3"]);
        assert_eq!(labels([-0.1, 3.1], 8, true), ["0", "1", "2", "3"]);
        assert_eq!(
            labels([-42.0, 0.0], 5, false),
            ["\u{2212}40", "\u{2212}30", "\u{2212}20", "\u{2212}10", "0"]
        );
        assert_eq!(labels([0.0, 0.35], 4, false), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels([0.0, 2.6e6], 3, false), ["0", "1M", "2M"]);
        assert_eq!(labels([0.0, 2000.0], 4, true), ["0", "500", "1k", "1.5k", "2k"]);
    }

    #[test]
    fn powers_of_ten_stand_equally_far_apart() {
        let mut axis = Axis::logarithmic([0.005, 200.0]);
        axis.place(0.0, 1.0);
        let labels: Vec<String> = axis.labels().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0.01", "0.1", "1", "10", "100"]);
        let (low, high) = (axis.at(1.0) - axis.at(0.1), axis.at(100.0) - axis.at(10.0));
        assert!((low - high).abs() < 1e-12);
        assert!(axis.at(0.0).is_finite() && axis.at(0.0) < 0.0);
    }

    #[test]
    fn values_stand_between_the_ends() {
        let mut axis = Axis::new([0.0, 10.0], 5, false);
        axis.place(100.0, 0.0);
        assert_eq!((axis.at(0.0), axis.at(5.0), axis.at(10.0)), (100.0, 50.0, 0.0));
    }
}
