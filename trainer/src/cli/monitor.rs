//! `pliant monitor`

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use super::port;
use crate::telemetry::{Located, Reader, Watch, json};

const AFTER_HELP: &str = "\
Shows what a device learns as it learns it: returns, adaptations and why they were
rejected, missed deadlines, records lost. The firmware writes the records with
`pliant_runtime::telemetry`; `pliant replay` repeats a log of them bit for bit.

Examples:
  pliant monitor /dev/ttyACM0              a board on a serial port
  pliant monitor /dev/ttyUSB0 --baud 921600 --save run.log
  pliant monitor run.log                   a log, to its end
  nc board 4000 | pliant monitor - --json  a pipe, one JSON object a record";

/// Between two looks at the end of a file that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct MonitorArgs {
    /// A serial port, a named pipe, a log, or - for standard input
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Symbols a second, where the source is a serial port
    #[arg(long, value_name = "BAUD", default_value_t = 115_200)]
    baud: u32,
    /// Wait for more at the end of a file
    #[arg(long)]
    follow: bool,
    /// Also write the bytes as they come to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print one JSON object a record on standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &MonitorArgs) -> Result<(), CliError> {
    let read = |source| CliError::Source {
        path: args.source.clone(),
        source,
    };
    let mut input = port::open(&args.source, args.baud).map_err(read)?;
    let mut copy = match &args.save {
        None => None,
        Some(path) => Some(std::fs::File::create(path).map_err(|source| CliError::Source {
            path: path.clone(),
            source,
        })?),
    };
    let mut display = Display::new(args.json);
    let mut reader = Reader::default();
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer) {
            Ok(0) if args.follow => std::thread::sleep(LOOK_EVERY),
            Ok(0) => break,
            Ok(count) => {
                let bytes = &buffer[..count];
                if let Some(copy) = &mut copy {
                    copy.write_all(bytes).map_err(CliError::Output)?;
                }
                for located in bytes.iter().filter_map(|byte| reader.push(*byte)) {
                    display.show(&located)?;
                }
                display.status()?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
    }
    if let Some(cut) = reader.finish() {
        display.show(&cut)?;
    }
    display.finish()
}

/// Lines on standard output; where standard error is a terminal, a line below that is kept up to date.
struct Display {
    json: bool,
    watch: Watch,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Display {
    fn new(json: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            json,
            watch: Watch::default(),
            started: Instant::now(),
            bar,
        }
    }

    fn show(&mut self, located: &Located) -> Result<(), CliError> {
        let damaged = |watch: &mut Watch, why: String| {
            watch.damage();
            serde_json::json!({ "record": "damaged", "offset": located.offset, "error": why })
        };
        let (object, line) = match &located.frame {
            Some(Ok(frame)) => (json(frame), self.watch.frame(frame, self.started.elapsed())),
            Some(Err(error)) => {
                let line = format!("damaged frame at byte {}: {error}", located.offset);
                (damaged(&mut self.watch, error.to_string()), Some(line))
            }
            None => {
                let line = format!("cut off in a frame at byte {}", located.offset);
                (damaged(&mut self.watch, "cut off".to_owned()), Some(line))
            }
        };
        match self.json {
            true => self.print(&object.to_string()),
            false => line.map_or(Ok(()), |line| self.print(&line)),
        }
    }

    fn print(&self, line: &str) -> Result<(), CliError> {
        let write = || {
            let mut output = std::io::stdout().lock();
            writeln!(output, "{line}").and_then(|()| output.flush())
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
        .map_err(CliError::Output)
    }

    fn status(&self) -> Result<(), CliError> {
        if let Some(bar) = &self.bar {
            bar.set_message(self.watch.status());
            bar.tick();
        }
        Ok(())
    }

    fn finish(self) -> Result<(), CliError> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match self.json {
            true => Ok(()),
            false => super::print_text(&self.watch.status()),
        }
    }
}
