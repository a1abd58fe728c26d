//! Progress of a training run on standard error: a bar on a terminal, otherwise a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::algorithms::Iteration;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);
/// Least weight of the newest measurement in the smoothed one that is shown.
const SMOOTHING: f32 = 0.02;

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    started: Instant,
    first: u64,
    last_line: Instant,
    headline: Option<f32>,
}

impl Progress {
    /// `completed` of `total` iterations are done already.
    pub(super) fn new(completed: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {pos}/{len}  {per_sec}  {eta} left  {msg}");
            let bar = ProgressBar::new(total).with_position(completed);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            total,
            started: now,
            first: completed,
            last_line: now,
            headline: None,
        }
    }

    /// One more iteration is done. Now and then a line that says how far it came, for the log.
    pub(super) fn update(&mut self, completed: u64, iteration: &Iteration) -> Option<String> {
        let &(name, value) = iteration.metrics.first()?;
        let shown = self
            .headline
            .map_or(value, |before| before + self.newest_weight() * (value - before));
        self.headline = Some(shown);
        if let Some(bar) = &self.bar {
            bar.set_position(completed);
            bar.set_message(format!("{name} {shown:.3}"));
        }
        if self.last_line.elapsed() < LINE_EVERY {
            return None;
        }
        self.last_line = Instant::now();
        let rate = (completed - self.first) as f64 / self.started.elapsed().as_secs_f64();
        let left = (self.total.saturating_sub(completed)) as f64 / rate;
        let line = format!(
            "{completed}/{} iterations, {rate:.1}/s, {left:.0} s left, {name} {shown:.3}",
            self.total
        );
        if self.bar.is_none() {
            eprintln!("{line}");
        }
        Some(line)
    }

    /// Short runs are smoothed over fewer iterations.
    fn newest_weight(&self) -> f32 {
        (10.0 / self.total as f32).clamp(SMOOTHING, 0.5)
    }

    /// Says something above the bar.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves the bar as it stands.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}
