//! The `pliant` command line.
//!
//! Results go to standard output (with `--json` exactly one JSON object), everything else to standard error.

mod affinity;
mod compare;
mod completions;
mod doctor;
mod error;
mod eval;
mod fly;
mod gap;
mod inspect;
mod interrupt;
mod keygen;
mod monitor;
mod play;
mod port;
mod progress;
mod repack;
mod replay;
mod report;
mod runs;
mod shifts;
mod sign;
mod sweep;
mod train;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;

const AFTER_HELP: &str = "\
Examples:
  pliant train sinusoid                train, export, evaluate into runs/sinusoid
  pliant train my-recipe.toml --seed 1  a recipe of your own
  pliant train runs/sinusoid --resume   go on after Ctrl-C, a crash, a kill
  pliant runs                           what was trained, what is training
  pliant compare runs/a runs/b          side by side, as a table and a page
  pliant eval models/sinusoid           adapt a device image on held-out tasks
  pliant gap pendulum                   what adapting is worth there, and how much of it is won
  pliant sweep sinusoid --vary algorithm.maml.inner_rate=log:1e-3..1 --trials 27  settings that train best
  pliant fly models/quadrotor           quadrotors in the terminal and in a page
  pliant shifts models/quadrotor        wind, payload, a worn motor: with and without adapting
  pliant inspect models/sinusoid        what a device image holds and costs
  pliant repack models/quadrotor        the image again, by the compiler of today
  pliant sign models/sinusoid --key fleet.key --release 1  so that devices know whose it is
  pliant monitor /dev/ttyACM0           what a device learns, live
  pliant replay run.log --bundle models/point-navigation  the same again, bit for bit
  pliant doctor                         what is here, and how to get the rest

Exit codes: 0 done; 1 failed; 2 refused (usage, recipe or bundle); 130 interrupted
and saved.";

/// Meta-trains policies that keep learning on the device.
#[derive(Debug, Parser)]
#[command(name = "pliant", version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Meta-train a recipe, export the bundle, evaluate the deployed image on held-out tasks
    Train(train::TrainArgs),
    /// Adapt the device image of a bundle on held-out tasks and score it; trains nothing
    Eval(eval::EvalArgs),
    /// Train a recipe with, without and beyond adaptation; say how much of the gap to an oracle it closes
    Gap(gap::GapArgs),
    /// Find the settings of a recipe that train best, by successive halving
    Sweep(sweep::SweepArgs),
    /// Find out which tasks of a recipe help each other, and suggest groups
    Affinity(affinity::AffinityArgs),
    /// Fly quadrotors with a device image, here or on a board: live, and as a page with a 3D animation
    Fly(fly::FlyArgs),
    /// Write a page that plays episodes before and after adaptation, side by side
    Play(play::PlayArgs),
    /// Fly quadrotors through shifts that no training drew, with and without adaptation in flight
    Shifts(shifts::ShiftsArgs),
    /// Print what a device image holds and costs
    Inspect(inspect::InspectArgs),
    /// Lower a bundle's policy again with the compiler of today; the parameters stay
    Repack(repack::RepackArgs),
    /// Make a pair of keys to sign with
    Keygen(keygen::KeygenArgs),
    /// Sign a device image or a delta, so that devices know whose it is
    Sign(sign::SignArgs),
    /// Check the signature of a device image or a delta as a device does
    Verify(verify::VerifyArgs),
    /// Show what a device learns, from its telemetry: live, or from a log
    Monitor(monitor::MonitorArgs),
    /// Repeat what a device learned from its telemetry, and compare every bit
    Replay(replay::ReplayArgs),
    /// List runs: running, finished or interrupted, with their newest measurements
    Runs(runs::RunsArgs),
    /// Compare runs and bundles: a table, and a page with learning and adaptation curves
    Compare(compare::CompareArgs),
    /// Write the report page and the plot of a run again
    Report(report::ReportArgs),
    /// Say which engines, processors, emulators and targets are here, and how to get the rest
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// Parses the arguments, runs the command and reports what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Gap(args) => gap::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Affinity(args) => affinity::run(&args),
        Command::Fly(args) => fly::run(&args),
        Command::Play(args) => play::run(&args),
        Command::Shifts(args) => shifts::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Repack(args) => repack::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.report());
            error.exit_code()
        }
    }
}

/// Prints the one JSON object of a command.
fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| CliError::Output(source.into()))?;
    print_text(&text)
}

/// Prints a result; a closed pipe (`pliant eval ... | head`) is an error, not a panic.
fn print_text(text: &str) -> Result<(), CliError> {
    use std::io::Write;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", text.trim_end())
        .and_then(|()| output.flush())
        .map_err(CliError::Output)
}

/// Worker threads: as asked, or one a core.
fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(
        || std::thread::available_parallelism().map_or(1, Into::into),
        usize::from,
    )
}
