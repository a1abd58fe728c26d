//! `pliant fly`

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use pliant_runtime::adapt::in_flight::Settings;
use pliant_runtime::image::{Image, crc32};

use super::error::CliError;
use super::{port, print_text};
use crate::bundle::Bundle;
use crate::envs::Quadrotor;
use crate::envs::quadrotor::Shift;
use crate::eval::EvalError;
use crate::flight::{Board, HostPilot, Moment, Recording, observations, record, start};
use crate::player::{page, quadrotor_clip};
use crate::tasks::Split;

const AFTER_HELP: &str = "\
Flies quadrotors that training never drew (those of the validation split; the test
split is for scores), each for 5 simulated seconds: by the device image as it is, and
with adaptation in flight around it. In a terminal the flights are shown live.

Examples:
  pliant fly models/quadrotor
  pliant fly models/quadrotor --shift gusts --html gusts.html   a 3D animation to look at
  pliant fly models/quadrotor --shift motor --quadrotors 2 --speed 0.2
  pliant fly models/quadrotor --board /dev/ttyACM0    a board flies, this machine simulates
                                                      and compares every bit";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct FlyArgs {
    /// A bundle's folder, or the device image in it
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// What happens that training never drew
    #[arg(long, value_name = "SHIFT", default_value = "none")]
    shift: Shift,
    /// How many quadrotors
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    quadrotors: u64,
    /// Seed that draws them
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Fly without adaptation only
    #[arg(long)]
    no_adapt: bool,
    /// Write a page with a 3D animation
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Speed of the live view, relative to real time; 0 leaves it out
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// A serial port or socket at whose other end firmware-examples/flight-controller flies, too
    #[arg(long, value_name = "PORT")]
    board: Option<PathBuf>,
    /// Symbols a second, where the board is on a serial port
    #[arg(long, value_name = "BAUD", default_value_t = 115_200)]
    baud: u32,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is not a number from 0 to 100")),
    }
}

/// One quadrotor, flown in one way.
struct Flight {
    index: u64,
    adapts: bool,
    recording: Recording,
}

pub(super) fn run(args: &FlyArgs) -> Result<(), CliError> {
    let bundle = Bundle::open(&args.bundle)?;
    let image = Image::new_checked(&bundle.image).map_err(EvalError::from)?;
    let ways: &[bool] = if args.no_adapt { &[false] } else { &[false, true] };
    let mut flights = Vec::new();
    for &adapts in ways {
        for index in 0..args.quadrotors {
            let flight = start(args.seed, Split::Validation, index, 0, args.shift);
            let recording = HostPilot::with(&image, adapts, Settings::default(), |pilot| record(flight, pilot))?;
            flights.push(Flight {
                index,
                adapts,
                recording,
            });
        }
    }
    if args.speed > 0.0 && std::io::stdout().is_terminal() {
        show(&flights, args.quadrotors, args.speed)?;
    }
    print_text(&table(args, &flights))?;
    if let Some(path) = &args.html {
        let text = animation(args, &bundle.recipe.name, &flights);
        std::fs::write(path, text).map_err(|source| CliError::Source {
            path: path.clone(),
            source,
        })?;
        eprintln!("animation: {}", path.display());
    }
    match &args.board {
        Some(path) => fly_on_board(args, path, crc32(&bundle.image), observations(&image)?, &flights),
        None => Ok(()),
    }
}

/// Flies the same with the board; its trajectories must be the same to the last bit.
fn fly_on_board(
    args: &FlyArgs,
    path: &Path,
    image: u32,
    observations: usize,
    flights: &[Flight],
) -> Result<(), CliError> {
    let stream = port::open_both(path, args.baud).map_err(|source| CliError::Source {
        path: path.to_path_buf(),
        source,
    })?;
    let mut board = Board::open(stream, image, observations, false)?;
    let started = Instant::now();
    let mut steps = 0;
    for flight in flights {
        board.set_adapts(flight.adapts);
        let drawn = start(args.seed, Split::Validation, flight.index, 0, args.shift);
        let recording = record(drawn, &mut board)?;
        let way = if flight.adapts { "adapting" } else { "alone" };
        let (here, there) = (flight.recording.checksum, recording.checksum);
        print_text(&format!(
            "quadrotor {} {way}: {} steps, trajectory CRC-32 0x{here:08x} here, 0x{there:08x} on the board",
            flight.index,
            recording.moments.len() - 1
        ))?;
        if recording != flight.recording {
            return Err(CliError::NotTheSame(format!("quadrotor {} {way}", flight.index)));
        }
        steps += recording.moments.len() - 1;
    }
    board.close()?;
    print_text(&format!(
        "same bits: {} flights, {steps} steps, {:.1} s with the board",
        flights.len(),
        started.elapsed().as_secs_f64()
    ))
}

fn name(args: &FlyArgs, index: u64) -> String {
    let flight = start(args.seed, Split::Validation, index, 0, args.shift);
    format!("quadrotor {index}, thrust/weight {:.1}", flight.thrust_to_weight())
}

fn outcome(recording: &Recording) -> String {
    match recording.error() {
        Some(error) => format!("{:.1} mm off", 1000.0 * error),
        None => format!("terminated at {:.2} s", (recording.moments.len() - 1) as f64 / 100.0),
    }
}

fn table(args: &FlyArgs, flights: &[Flight]) -> String {
    let mut text = format!(
        "shift: {}; distance from the setpoint in the last of 5 seconds\n",
        args.shift.name()
    );
    for index in 0..args.quadrotors {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:44}", name(args, index));
        for flight in flights.iter().filter(|flight| flight.index == index) {
            let way = if flight.adapts { "adapting" } else { "alone" };
            let _ = write!(text, "  {way}: {:>20}", outcome(&flight.recording));
        }
        text.push('\n');
    }
    text
}

fn animation(args: &FlyArgs, policy: &str, flights: &[Flight]) -> String {
    let clips: Vec<_> = flights
        .iter()
        .map(|flight| {
            let group = match flight.adapts {
                true => "With adaptation in flight",
                false => "The policy alone",
            };
            quadrotor_clip(&name(args, flight.index), group, &flight.recording)
        })
        .collect();
    let introduction = format!(
        "The device image of {policy} flies quadrotors that it never saw to the green dot; shift: {}. Vehicles are drawn \
         at the same size; orange: the nose and the last second's path; blue: what pushes (12 cm for 1 m/s\u{b2}). Drag to turn.",
        args.shift.name()
    );
    page(
        &format!("{policy}: {} quadrotors", args.quadrotors),
        &introduction,
        &clips,
    )
}

/// Characters of one quadrotor's view.
const VIEW: [usize; 2] = [27, 11];
/// Half the width of the view, m: the smallest that holds the last second of all that fly.
const EXTENTS: [f32; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];
/// Steps of the path that is shown behind a quadrotor.
const TRAIL: usize = 100;

/// Plays the flights in the terminal: each seen from behind its right side, x to the right and z up.
fn show(flights: &[Flight], quadrotors: u64, speed: f64) -> Result<(), CliError> {
    let started = Instant::now();
    let mut lines = 0;
    let mut output = std::io::stdout();
    loop {
        let seconds = started.elapsed().as_secs_f64() * speed;
        let step = ((seconds * f64::from(Quadrotor::RATE_HZ)) as usize).min(Quadrotor::HORIZON);
        let extent = extent(flights, step);
        let mut text = String::new();
        if lines > 0 {
            let _ = write!(text, "\x1b[{lines}A");
        }
        let _ = writeln!(
            text,
            "\x1b[K{:5.2} s   + setpoint, o vehicle, . last second; x to the right, z up, {:.0} cm to each side",
            step as f32 / 100.0,
            100.0 * extent
        );
        let mut rows = 1;
        for row in flights.chunks(quadrotors as usize) {
            // As many as fit into a line of a usual terminal.
            for shown in row.chunks(4) {
                rows += panels(&mut text, shown, step, extent);
            }
        }
        lines = rows;
        output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush())
            .map_err(CliError::Output)?;
        if step >= Quadrotor::HORIZON {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Half the width of all views at a step, m.
fn extent(flights: &[Flight], step: usize) -> f32 {
    let flying = flights.iter().filter(|flight| step < flight.recording.moments.len());
    let farthest = flying
        .flat_map(|flight| &flight.recording.moments[step.saturating_sub(TRAIL)..=step])
        .map(|moment| moment.position[0].abs().max(moment.position[2].abs()))
        .fold(0.0, f32::max);
    let holds = EXTENTS.into_iter().find(|extent| farthest <= *extent);
    holds.unwrap_or(EXTENTS[EXTENTS.len() - 1])
}

/// Adds a row of views and gives how many lines it took.
fn panels(text: &mut String, flights: &[Flight], step: usize, extent: f32) -> usize {
    let views: Vec<Vec<String>> = flights.iter().map(|flight| view(flight, step, extent)).collect();
    let height = views.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..height {
        text.push_str("\x1b[K");
        for view in &views {
            let _ = write!(text, "{:width$} ", view[line], width = VIEW[0] + 2);
        }
        text.push('\n');
    }
    height
}

/// The lines of one quadrotor's view.
fn view(flight: &Flight, step: usize, extent: f32) -> Vec<String> {
    let moments = &flight.recording.moments;
    let at = step.min(moments.len() - 1);
    let mut cells = vec![vec![' '; VIEW[0]]; VIEW[1]];
    let mut put = |moment: [f32; 3], mark: char| {
        let column = (0.5 + 0.5 * moment[0] / extent) * (VIEW[0] - 1) as f32;
        let row = (0.5 - 0.5 * moment[2] / extent) * (VIEW[1] - 1) as f32;
        if (0.0..VIEW[0] as f32).contains(&column) && (0.0..VIEW[1] as f32).contains(&row) {
            cells[row.round().min((VIEW[1] - 1) as f32) as usize][column.round().min((VIEW[0] - 1) as f32) as usize] =
                mark;
        }
    };
    moments[at.saturating_sub(TRAIL)..at]
        .iter()
        .step_by(4)
        .for_each(|moment| put(moment.position, '.'));
    put([0.0; 3], '+');
    put(
        moments[at].position,
        if at < step && !flight.recording.alive { 'x' } else { 'o' },
    );
    let way = if flight.adapts { "adapting" } else { "alone" };
    let mut lines = vec![format!("quadrotor {} {way}", flight.index)];
    lines.extend(
        cells
            .into_iter()
            .map(|row| format!("|{}|", row.into_iter().collect::<String>())),
    );
    lines.push(status(&moments[at], at < step && !flight.recording.alive));
    lines
}

/// Distance and motors.
fn status(moment: &Moment, ended: bool) -> String {
    const BARS: [char; 8] = [
        '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}',
    ];
    let distance = moment.position.iter().map(|x| x * x).sum::<f32>().sqrt();
    let motors: String = moment
        .rotors
        .iter()
        .map(|speed| BARS[((speed * 8.0) as usize).min(7)])
        .collect();
    match ended {
        true => "terminated".to_owned(),
        false => format!("{:7.1} mm  motors {motors}", 1000.0 * distance),
    }
}
