//! `pliant play`

use std::path::PathBuf;

use clap::Args;
use pliant_runtime::image::Image;

use super::error::CliError;
use super::print_text;
use crate::bundle::Bundle;
use crate::eval::{EvalError, EvalOptions};
use crate::player::{Clip, Played, page, play};

const AFTER_HELP: &str = "\
The device image acts on systems that training never drew (those of the validation
split), each before it adapted and after, side by side: a recurrent policy with its
memory cleared at every step and with it, a policy that adapts by gradient steps after
none and after each.

Examples:
  pliant play models/cart-pole
  pliant play models/point-navigation --tasks 4 --out goals.html
  pliant fly models/quadrotor --html quadrotors.html    the quadrotor's, in 3D";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct PlayArgs {
    /// A bundle's folder, or the device image in it
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// How many systems
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=32))]
    tasks: u64,
    /// Seed that draws them
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// The page [default: NAME.html here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &PlayArgs) -> Result<(), CliError> {
    let bundle = Bundle::open(&args.bundle)?;
    let image = Image::new_checked(&bundle.image).map_err(EvalError::from)?;
    let options = EvalOptions {
        tasks: args.tasks,
        seed: args.seed,
        threads: 1,
    };
    let name = &bundle.recipe.name;
    let clips = match play(&bundle.recipe, &image, options)? {
        Played::Clips(clips) => clips,
        Played::Nothing => {
            return Err(CliError::NothingToPlay {
                family: bundle.recipe.family.name(),
            });
        }
    };
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}.html")));
    let introduction = format!(
        "The device image of {name} on systems that it never saw: {}.",
        bundle.recipe.description.trim_end_matches('.')
    );
    let text = page(&format!("{name}: before and after adaptation"), &introduction, &clips);
    std::fs::write(&path, text).map_err(|source| CliError::Source {
        path: path.clone(),
        source,
    })?;
    let lines: String = clips.iter().map(line).collect();
    print_text(&format!("{lines}animation: {}", path.display()))
}

fn line(clip: &Clip) -> String {
    format!("{:10} {:32} {}\n", clip.group, clip.title, clip.caption)
}
