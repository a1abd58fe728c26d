//! Sums a device's telemetry up as it comes.

use std::fmt::Write;
use std::time::Duration;

use pliant_runtime::policy::Counts;
use pliant_runtime::telemetry::{Adapted, Frame, Record, Revert};
use serde_json::{Map, Value};

/// The rate is taken over this long.
const WINDOW_MS: u64 = 1000;

/// What is known of a device from its telemetry.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    next_sequence: Option<u32>,
    /// Time and number of steps at the start of the window of the rate.
    window: Option<(u64, u64)>,
    rate_hz: Option<f64>,
    steps: u64,
    examples: u64,
    episodes: u64,
    open_return: f64,
    open_steps: u64,
    last_return: Option<f64>,
    adaptations: u64,
    rejected: u64,
    taken_back: u64,
    last_adaptation: Option<String>,
    counts: Option<Counts>,
    dropped: u32,
    lost: u64,
    damaged: u64,
}

impl Watch {
    /// Takes a frame that came `elapsed` after the first. Gives a line to print where something is worth one.
    pub fn frame(&mut self, frame: &Frame, elapsed: Duration) -> Option<String> {
        if !matches!(frame.record, Record::Start(_)) {
            let missing = frame
                .sequence
                .wrapping_sub(self.next_sequence.unwrap_or(frame.sequence));
            self.lost += u64::from(missing);
        }
        self.next_sequence = Some(frame.sequence.wrapping_add(1));
        let now = match frame.time_ms {
            0 => elapsed.as_millis() as u64,
            told => u64::from(told),
        };
        match &frame.record {
            Record::Start(start) => {
                (self.open_return, self.open_steps, self.window) = (0.0, 0, None);
                Some(format!(
                    "start: image {:016x}, parameters {:#010x}, seed {}, {} Hz",
                    start.image, start.parameters, start.seed, start.control_rate_hz
                ))
            }
            Record::Step(step) => {
                self.steps += 1;
                self.tick(now);
                if step.index == 0 {
                    (self.open_return, self.open_steps) = (0.0, 0);
                }
                self.open_return += f64::from(step.reward);
                self.open_steps += 1;
                step.end.is_last().then(|| {
                    self.episodes += 1;
                    self.last_return = Some(self.open_return);
                    let refused = step
                        .refused
                        .map_or(String::new(), |error| format!(", not learned from: {error}"));
                    format!(
                        "episode {}: return {:.3}, {} steps{refused}",
                        self.episodes, self.open_return, self.open_steps
                    )
                })
            }
            Record::Example(_) => {
                self.examples += 1;
                self.tick(now);
                None
            }
            Record::Adapted(adapted) => {
                self.adaptations += 1;
                self.rejected += u64::from(!adapted.report.is_accepted());
                let line = format!("adaptation {}: {}", self.adaptations, describe(adapted));
                self.last_adaptation = Some(describe(adapted));
                Some(line)
            }
            Record::Reverted(Revert { to, parameters, .. }) => {
                Some(format!("reverted: {to:?}, parameters {parameters:#010x}").to_lowercase())
            }
            Record::Cleared { .. } => Some("support set emptied".to_owned()),
            Record::Cancelled { .. } => Some("adaptation dropped".to_owned()),
            Record::Frozen(true) => Some("frozen".to_owned()),
            Record::Frozen(false) => Some("no longer frozen".to_owned()),
            Record::Health(counts) => {
                let before = self.counts.replace(*counts).unwrap_or_default();
                let worse = counts.missed_deadlines > before.missed_deadlines || counts.safe > before.safe;
                worse.then(|| {
                    format!(
                        "health: {} deadlines missed, {} safe actions, {} observations clipped, {} actions",
                        counts.missed_deadlines, counts.safe, counts.clipped, counts.acted
                    )
                })
            }
            Record::TakenBack { parameters, .. } => {
                self.taken_back += 1;
                Some(format!(
                    "taken back by the health monitor, parameters {parameters:#010x}"
                ))
            }
            Record::NewTask { .. } => Some("new task".to_owned()),
            Record::Dropped(records) => {
                self.dropped = *records;
                Some(format!("the device has dropped {records} records"))
            }
            _ => None,
        }
    }

    /// Notes bytes that are no whole frame.
    pub fn damage(&mut self) {
        self.damaged += 1;
    }

    fn tick(&mut self, now: u64) {
        let count = self.steps + self.examples;
        let (since, before) = *self.window.get_or_insert((now, count));
        let passed = now.saturating_sub(since);
        if passed >= WINDOW_MS {
            self.rate_hz = Some((count - before) as f64 * 1000.0 / passed as f64);
            self.window = Some((now, count));
        } else if now < since {
            self.window = Some((now, count));
        }
    }

    /// Everything in one line.
    pub fn status(&self) -> String {
        let mut line = String::new();
        // Writing to a String cannot fail.
        if let Some(rate) = self.rate_hz {
            let _ = write!(line, "{rate:.1} Hz, ");
        }
        if self.examples > 0 {
            let _ = write!(line, "{} examples, ", self.examples);
        }
        if self.steps > 0 {
            let _ = write!(line, "{} steps, {} episodes, ", self.steps, self.episodes);
        }
        if let Some(value) = self.last_return {
            let _ = write!(line, "last return {value:.3}, ");
        }
        let _ = write!(line, "{} adaptations ({} rejected)", self.adaptations, self.rejected);
        if let Some(last) = &self.last_adaptation {
            let _ = write!(line, ", the last {last}");
        }
        if let Some(counts) = &self.counts {
            let _ = write!(line, ", {} deadlines missed", counts.missed_deadlines);
        }
        for (count, what) in [
            (self.taken_back, "adaptations taken back"),
            (u64::from(self.dropped), "records dropped"),
            (self.lost, "records lost"),
            (self.damaged, "records damaged"),
        ] {
            if count > 0 {
                let _ = write!(line, ", {count} {what}");
            }
        }
        line
    }
}

fn describe(adapted: &Adapted) -> String {
    let figures = adapted.report.figures();
    let mut line = match adapted.report.reason() {
        None => "accepted".to_owned(),
        Some(reason) => format!("rejected ({reason})"),
    };
    let _ = write!(line, ", {} rows, change {:.4}", figures.rows, figures.change);
    if let Some(before) = figures.score_before {
        let _ = write!(line, ", score before {before:.4}");
    }
    if let Some(after) = figures.score_after {
        let _ = write!(line, ", score after {after:.4}");
    }
    let _ = write!(line, ", parameters {:#010x}", adapted.parameters);
    line
}

/// A frame as one flat JSON object: `record` (its kind), `sequence`, `time_ms`, and the record's own fields. A record with a
/// single number or truth value has it in `value`. Numbers that are not finite are null.
pub fn json(frame: &Frame) -> Value {
    let mut object = Map::new();
    object.insert("sequence".to_owned(), frame.sequence.into());
    object.insert("time_ms".to_owned(), frame.time_ms.into());
    match serde_json::to_value(&frame.record) {
        Ok(Value::Object(tagged)) => {
            for (kind, fields) in tagged {
                object.insert("record".to_owned(), kind.into());
                match fields {
                    Value::Object(fields) => object.extend(fields),
                    value => {
                        object.insert("value".to_owned(), value);
                    }
                }
            }
        }
        Ok(kind) => {
            object.insert("record".to_owned(), kind);
        }
        Err(_) => {}
    }
    Value::Object(object)
}
