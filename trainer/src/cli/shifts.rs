//! `pliant shifts`

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use pliant_runtime::adapt::in_flight::Settings;
use pliant_runtime::image::Image;
use serde::Serialize;

use super::error::CliError;
use super::{print_json, print_text, threads};
use crate::bundle::Bundle;
use crate::envs::quadrotor::Shift;
use crate::eval::EvalError;
use crate::flight::{ShiftOptions, ShiftScores, fly_shift, scores};
use crate::tasks::Split;

const AFTER_HELP: &str = "\
Each shift begins where the plain protocol ends: the same held-out quadrotors, the
same starts, and then late actions, a payload, a worn motor or gusts. Only vehicles
count that stay flyable (every motor hovers below 90 % of its speed). Each episode is
flown by the device image as it is, and with adaptation in flight around it
(docs/algorithms/in-flight.md).

Examples:
  pliant shifts models/quadrotor
  pliant shifts models/quadrotor --shift payload,motor --seeds 0 --vehicles 200
  pliant shifts models/quadrotor --development --json    draws to choose settings on";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ShiftsArgs {
    /// A bundle's folder, or the device image in it
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Which shifts [default: all]
    #[arg(long, value_name = "SHIFTS", value_delimiter = ',')]
    shift: Vec<Shift>,
    /// Seeds of the quadrotors
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
    /// Quadrotors of each seed
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    vehicles: u64,
    /// Episodes of each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    episodes: u64,
    /// Fly quadrotors of the validation split, not the test split
    #[arg(long)]
    development: bool,
    /// Change a setting of the adaptation; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(Setting, f32)>,
    /// Worker threads; they change nothing but the time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Gives access to one setting.
type Setting = fn(&mut Settings) -> &mut f32;

/// The settings by name.
const SETTINGS: [(&str, Setting); 10] = [
    ("memory", |settings| &mut settings.memory),
    ("lead", |settings| &mut settings.lead),
    ("push_limit", |settings| &mut settings.push_limit),
    ("offset_rate", |settings| &mut settings.offset_rate),
    ("offset_limit", |settings| &mut settings.offset_limit),
    ("reach", |settings| &mut settings.reach),
    ("trim_rate", |settings| &mut settings.trim_rate),
    ("steady", |settings| &mut settings.steady),
    ("trim_limit", |settings| &mut settings.trim_limit),
    ("unrest", |settings| &mut settings.unrest),
];

fn setting(text: &str) -> Result<(Setting, f32), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let names = || SETTINGS.map(|(name, _)| name).join(", ");
    let (_, setting) = SETTINGS
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("no setting `{name}`; there are {}", names()))?;
    match value.parse::<f32>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok((setting, value)),
        _ => Err(format!("`{value}` is not a number of at least 0")),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Scores<'a> {
    /// One of each shift and seed.
    shifts: &'a [Row],
}

/// The scores of a shift and a seed.
#[derive(Serialize)]
struct Row {
    shift: Shift,
    seed: u64,
    alone: ShiftScores,
    adapting: ShiftScores,
    /// Mean error adapting over mean error alone.
    ratio: f64,
}

pub(super) fn run(args: &ShiftsArgs) -> Result<(), CliError> {
    let bundle = Bundle::open(&args.bundle)?;
    let image = Image::new_checked(&bundle.image).map_err(EvalError::from)?;
    let mut settings = Settings::default();
    for (setting, value) in &args.set {
        *setting(&mut settings) = *value;
    }
    let shifts = if args.shift.is_empty() {
        &Shift::ALL[..]
    } else {
        &args.shift
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads(args.threads))
        .build()
        .map_err(EvalError::from)?;
    let mut rows = Vec::new();
    for &shift in shifts {
        for &seed in &args.seeds {
            let options = ShiftOptions {
                split: if args.development {
                    Split::Validation
                } else {
                    Split::Test
                },
                seed,
                vehicles: args.vehicles,
                episodes: args.episodes,
                settings,
            };
            let fly = |adapts| pool.install(|| fly_shift(&image, shift, adapts, &options));
            let (alone, adapting) = (scores(&fly(false)?, seed), scores(&fly(true)?, seed));
            let ratio = adapting.error.mean / alone.error.mean;
            eprintln!("{}, seed {seed}: error x {ratio:.2}", shift.name());
            rows.push(Row {
                shift,
                seed,
                alone,
                adapting,
                ratio,
            });
        }
    }
    match args.json {
        true => print_json(&Scores { shifts: &rows }),
        false => print_text(&table(&rows)),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "                          terminated, %                   error, mm (95 % interval)        median, mm\n\
         shift    seed vehicles    alone    adapting      alone               adapting              alone  adapting  ratio\n",
    );
    let millimetres = |scores: &ShiftScores| {
        let [low, high] = scores.error.ci95.map(|end| 1000.0 * end);
        format!("{:.2} [{low:.2}, {high:.2}]", 1000.0 * scores.error.mean)
    };
    for Row {
        shift,
        seed,
        alone,
        adapting,
        ratio,
    } in rows
    {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:8} {seed:4} {:8} {:8.2} {:11.2}   {:>20} {:>20} {:10.2} {:9.2} {ratio:6.2}",
            shift.name(),
            alone.vehicles,
            alone.terminated.mean,
            adapting.terminated.mean,
            millimetres(alone),
            millimetres(adapting),
            1000.0 * alone.median_error,
            1000.0 * adapting.median_error,
        );
    }
    text
}
