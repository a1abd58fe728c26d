//! `metrics.jsonl`: what training measured, one JSON object a line.
//!
//! ```json
//! {"iteration":30,"iterations":30,"environment_steps":0,"seconds":0.4,"metrics":{"loss":{"mean":0.5,"deviation":0.1,"least":0.3,"greatest":0.8}}}
//! ```
//!
//! A line sums up the `iterations` meta-iterations up to and with `iteration`, so that a run of any length writes about
//! two thousand lines. Which iterations a line covers depends on the recipe alone: a run that was killed and resumed
//! writes the lines that an undisturbed one does, but for `seconds`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checkpoint::write_atomically;

/// Lines that a whole run writes at most, but for rounding.
const LINES: u64 = 2000;

/// One measurement over several meta-iterations. What is not finite is `null` in JSON, and read as NaN.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean.
    #[serde(deserialize_with = "or_nan")]
    pub mean: f64,
    /// The standard deviation over the iterations; 0 for one.
    #[serde(deserialize_with = "or_nan")]
    pub deviation: f64,
    /// The least value.
    #[serde(deserialize_with = "or_nan")]
    pub least: f64,
    /// The greatest value.
    #[serde(deserialize_with = "or_nan")]
    pub greatest: f64,
}

fn or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsLine {
    /// The last meta-iteration summed up.
    pub iteration: u64,
    /// How many it sums up.
    pub iterations: u64,
    /// Environment steps simulated up to here.
    pub environment_steps: u64,
    /// Seconds trained up to here, over all sittings.
    pub seconds: f64,
    /// The measurements, the headline first.
    pub metrics: Named<Summary>,
}

/// Values with names, in order: a JSON object whose order is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(Vec<(String, T)>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<Named<T>, M::Error> {
                while let Some(entry) = map.next_entry()? {
                    self.0.push(entry);
                }
                Ok(Named(self.0))
            }
        }
        deserializer.deserialize_map(Entries(Vec::new()))
    }
}

/// Measurements since the last line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    count: u64,
    sums: Named<Sums>,
}

/// Sums of the values, and of the squares of their distance to the first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sums {
    first: f64,
    sum: f64,
    squares: f64,
    least: f64,
    greatest: f64,
}

impl Window {
    /// Adds the measurements of one iteration: the same names each time.
    pub fn add(&mut self, metrics: &[(&'static str, f32)]) {
        if self.count == 0 {
            let start = |&(name, value): &(&str, f32)| {
                let first = f64::from(value);
                let sums = Sums {
                    first,
                    sum: 0.0,
                    squares: 0.0,
                    least: first,
                    greatest: first,
                };
                (name.to_owned(), sums)
            };
            self.sums = Named(metrics.iter().map(start).collect());
        }
        self.count += 1;
        for ((_, sums), &(_, value)) in self.sums.0.iter_mut().zip(metrics) {
            let value = f64::from(value);
            sums.sum += value - sums.first;
            sums.squares += (value - sums.first).powi(2);
            sums.least = sums.least.min(value);
            sums.greatest = sums.greatest.max(value);
        }
    }

    /// Iterations added.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn summaries(&self) -> Named<Summary> {
        let count = self.count as f64;
        let summary = |(name, sums): &(String, Sums)| {
            let offset = sums.sum / count;
            let summary = Summary {
                mean: sums.first + offset,
                deviation: (sums.squares / count - offset * offset).max(0.0).sqrt(),
                least: sums.least,
                greatest: sums.greatest,
            };
            (name.clone(), summary)
        };
        Named(self.sums.0.iter().map(summary).collect())
    }
}

/// Writes `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    file: BufWriter<File>,
    /// Iterations of a line.
    stride: u64,
    window: Window,
}

impl MetricsLog {
    /// Opens the file of a run of `iterations` in all. Lines after iteration `completed` go: they are of a sitting that
    /// ended after its last checkpoint, which held `window`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, iterations: u64, completed: u64, window: Window) -> io::Result<Self> {
        if completed == 0 {
            write_atomically(path, b"")?;
        } else {
            let kept: String = fs::read_to_string(path)
                .unwrap_or_default()
                .split_inclusive('\n')
                .take_while(|line| parse(line).is_some_and(|line| line.iteration <= completed))
                .collect();
            write_atomically(path, kept.as_bytes())?;
        }
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            file: BufWriter::new(file),
            stride: iterations.div_ceil(LINES).max(1),
            window,
        })
    }

    /// Adds one iteration's measurements; the line that this completes, if it does.
    ///
    /// # Errors
    /// The system's.
    pub fn record(
        &mut self,
        iteration: u64,
        environment_steps: u64,
        seconds: f64,
        metrics: &[(&'static str, f32)],
        last: bool,
    ) -> io::Result<Option<MetricsLine>> {
        self.window.add(metrics);
        if !iteration.is_multiple_of(self.stride) && !last {
            return Ok(None);
        }
        let line = MetricsLine {
            iteration,
            iterations: self.window.len(),
            environment_steps,
            seconds,
            metrics: self.window.summaries(),
        };
        self.window = Window::default();
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        Ok(Some(line))
    }

    /// Hands what was written to the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// Measurements since the last line.
    pub fn window(&self) -> &Window {
        &self.window
    }
}

fn parse(line: &str) -> Option<MetricsLine> {
    line.ends_with('\n').then(|| serde_json::from_str(line).ok()).flatten()
}

/// The lines of a run's metrics; a last line that is not whole is left out: a run under way may be writing it.
///
/// # Errors
/// The system's, and [`io::ErrorKind::InvalidData`] with the number of a whole line that is none of ours.
pub fn read_metrics(path: &Path) -> io::Result<Vec<MetricsLine>> {
    let text = fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole]
        .lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", index + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_sums_its_iterations_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 3 * LINES, 0, Window::default()).unwrap();
        for (iteration, value) in [(1, 2.0f32), (2, 4.0), (3, 9.0), (4, 1.0)] {
            log.record(iteration, 0, 0.0, &[("loss", value), ("b", 0.0)], iteration == 4)
                .unwrap();
        }
        log.sync().unwrap();
        let lines = read_metrics(&path).unwrap();
        assert_eq!(lines.len(), 2, "one after three iterations, one after the last");
        let (name, loss) = &lines[0].metrics.0[0];
        assert_eq!(
            (name.as_str(), loss.mean, loss.least, loss.greatest),
            ("loss", 5.0, 2.0, 9.0)
        );
        assert!((loss.deviation - (26.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((lines[1].iteration, lines[1].iterations), (4, 1));
    }

    #[test]
    fn resuming_drops_what_the_checkpoint_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut whole = MetricsLog::open(&path, 2 * LINES, 0, Window::default()).unwrap();
        let record = |log: &mut MetricsLog, range: core::ops::RangeInclusive<u16>| {
            for iteration in range {
                log.record(
                    u64::from(iteration),
                    0,
                    0.0,
                    &[("loss", f32::from(iteration).sin())],
                    false,
                )
                .unwrap();
            }
        };
        record(&mut whole, 1..=5);
        let saved = whole.window().clone();
        record(&mut whole, 6..=20);
        whole.sync().unwrap();
        let undisturbed = fs::read(&path).unwrap();
        // Killed in the middle of a line.
        fs::write(&path, &undisturbed[..undisturbed.len() - 7]).unwrap();
        assert_eq!(read_metrics(&path).unwrap().len(), 9);
        let json = serde_json::to_string(&saved).unwrap();
        let mut resumed = MetricsLog::open(&path, 2 * LINES, 5, serde_json::from_str(&json).unwrap()).unwrap();
        record(&mut resumed, 6..=20);
        resumed.sync().unwrap();
        assert!(fs::read(&path).unwrap() == undisturbed);
    }

    #[test]
    fn what_is_not_finite_is_read_as_nan() {
        let mut window = Window::default();
        window.add(&[("loss", f32::INFINITY)]);
        let text = serde_json::to_string(&window.summaries()).unwrap();
        let read: Named<Summary> = serde_json::from_str(&text).unwrap();
        assert!(read.0[0].1.mean.is_nan());
    }
}
