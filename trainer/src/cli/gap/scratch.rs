//! Training from scratch on one held-out system alone, beside the policy that adapts to it as it acts.

use std::fmt::Write;
use std::time::Instant;

use pliant_runtime::image::Image;
use serde::{Deserialize, Serialize};

use super::kept::{self, Kept};
use super::{GapArgs, engine_of, image_of, learned, mean};
use crate::algorithms::AnalyticPolicyGradient;
use crate::algorithms::analytic_policy_gradient::Problem;
use crate::cli::error::CliError;
use crate::deployment;
use crate::eval::{Estimate, EvalError, EvalOptions, Returns, bootstrap_mean, returns, roll_out_task};
use crate::recipe::{self, Algorithm, Recipe, Source};
use crate::tasks::{Split, simulator, simulator_of_task};

/// Updates of a training from scratch.
const UPDATES: [u64; 4] = [1, 10, 100, 1000];

/// Trainings of one seed and length: one on each system.
#[derive(Serialize, Deserialize)]
struct Trained {
    recipe: Recipe,
    /// Of the device image of each system's own training, on that system.
    returns: Vec<f64>,
    /// Steps of the system that one training took.
    steps: u64,
    /// All trainings.
    seconds: f64,
}

impl Kept for Trained {
    fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

/// Mean returns on the first held-out systems.
#[derive(Serialize)]
pub(super) struct Comparison {
    systems: u64,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// Steps of the system that were learned from; 0 where it was never trained on.
    steps: u64,
    by_seed: Vec<f64>,
    /// Over systems, of the mean of the seeds.
    all: Estimate,
    /// Of one training, mean.
    seconds: f64,
}

impl Row {
    /// `returns`: `[seed][system]`.
    fn new(name: String, steps: u64, seconds: f64, returns: &[&[f64]]) -> Self {
        let systems = returns.first().map_or(0, |first| first.len());
        let over_seeds: Vec<f64> = (0..systems)
            .map(|system| mean(&returns.iter().map(|seed| seed[system]).collect::<Vec<_>>()))
            .collect();
        Self {
            name,
            steps,
            by_seed: returns.iter().map(|seed| mean(seed)).collect(),
            all: bootstrap_mean(&over_seeds, 0),
            seconds,
        }
    }
}

/// Whether a recipe can be trained from scratch, before anything is trained.
pub(super) fn check(recipe: &Recipe) -> Result<(), CliError> {
    settings(recipe).map(|_| ())
}

fn settings(recipe: &Recipe) -> Result<&recipe::AnalyticPolicyGradient, CliError> {
    match &recipe.algorithm {
        Algorithm::AnalyticPolicyGradient(settings) => Ok(settings),
        other => Err(CliError::NoScratch {
            recipe: recipe.name.clone(),
            algorithm: other.name(),
        }),
    }
}

/// Trains `source` on each of the first systems alone, and sets beside it what the policies in `known` have there.
pub(super) fn compare(
    args: &GapArgs,
    source: &Source,
    systems: u64,
    known: &[Returns],
    threads: usize,
) -> Result<Comparison, CliError> {
    let count = known.first().map_or(0, |one| one.adaptive.len()).min(systems as usize);
    let of = |column: fn(&Returns) -> &Vec<f64>| known.iter().map(|one| &column(one)[..count]).collect::<Vec<_>>();
    let mut rows = vec![
        Row::new("non-adaptive".to_owned(), 0, 0.0, &of(|one| &one.non_adaptive)),
        Row::new("adaptive".to_owned(), 0, 0.0, &of(|one| &one.adaptive)),
        Row::new("oracle".to_owned(), 0, 0.0, &of(|one| &one.oracle)),
    ];
    for updates in UPDATES {
        let mut all = Vec::new();
        for seed in &args.seeds {
            let recipe = alone(source, *seed, updates)?;
            let path = args.keep.as_ref().map(|folder| {
                let name = format!("scratch-{systems}-{updates}-{seed}.json");
                folder.join(name)
            });
            let kept = path.as_deref().map(|path| kept::read::<Trained>(path, &recipe));
            let trained = match kept.transpose()?.flatten() {
                Some(trained) => trained,
                None => {
                    let trained = train(&recipe, count as u64, &args.engine, threads)?;
                    path.as_deref().map_or(Ok(()), |path| kept::write(&trained, path))?;
                    trained
                }
            };
            eprintln!(
                "seed {seed}, from scratch, {updates} updates: return {:.3}, {count} systems, {:.1} s",
                mean(&trained.returns),
                trained.seconds
            );
            all.push(trained);
        }
        let returns: Vec<&[f64]> = all.iter().map(|trained| trained.returns.as_slice()).collect();
        let seconds: Vec<f64> = all.iter().map(|trained| trained.seconds / count as f64).collect();
        let steps = all.first().map_or(0, |trained| trained.steps);
        rows.push(Row::new("from scratch".to_owned(), steps, mean(&seconds), &returns));
    }
    Ok(Comparison {
        systems: count as u64,
        rows,
    })
}

/// The recipe with so many updates, of which only the last is validated: there is no time to choose.
fn alone(source: &Source, seed: i64, updates: u64) -> Result<Recipe, CliError> {
    let mut source = source.clone();
    let section = "algorithm.analytic-policy-gradient";
    for field in [
        format!("seed={seed}"),
        format!("{section}.cycles=[{{updates={updates}, rate=1.0, final_rate=0.005}}]"),
        format!("{section}.averaging=0.0"),
        format!("{section}.validate_every={updates}"),
        format!("{section}.validation_episodes=64"),
        format!("{section}.warm_up={}", updates.min(50) / 2),
    ] {
        source.set(&field)?;
    }
    Ok(source.parse()?)
}

/// Trains on each of the first held-out systems alone and scores it there, on the episodes of the others' scores.
fn train(recipe: &Recipe, systems: u64, engine: &str, threads: usize) -> Result<Trained, CliError> {
    let no_gap = || CliError::NoGap {
        family: recipe.family.name(),
    };
    let settings = settings(recipe)?;
    let whole = simulator(recipe).ok_or_else(no_gap)?;
    let engine = engine_of(recipe, engine)?;
    let options = EvalOptions {
        tasks: recipe.evaluation.tasks,
        seed: recipe.evaluation.seed,
        threads,
    };
    let range = options.range(Split::Test);
    let (mut scores, mut steps) = (Vec::new(), 0);
    let began = Instant::now();
    for index in 0..systems {
        let problem = Problem {
            policy: deployment::policy(recipe),
            simulator: simulator_of_task(recipe, range.seed, range.split, index).ok_or_else(no_gap)?,
        };
        let initialiser = recipe.policy.initialiser;
        let mut learner =
            AnalyticPolicyGradient::new(settings, recipe.seed, &problem, initialiser, engine.as_ref(), threads)?;
        let learned = learned(&mut learner)?;
        steps = crate::algorithms::Algorithm::environment_steps(&learner);
        let bytes = image_of(recipe, &learned, threads)?;
        let image = Image::new_checked(&bytes).map_err(EvalError::from)?;
        let episodes = roll_out_task(&image, whole.as_ref(), range, index, recipe.evaluation.episodes)?;
        scores.extend(returns(&[episodes]));
    }
    Ok(Trained {
        recipe: recipe.clone(),
        returns: scores,
        steps,
        seconds: began.elapsed().as_secs_f64(),
    })
}

impl Comparison {
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\nthe first {} systems: never trained on, or from scratch on each alone",
            self.systems
        );
        let _ = writeln!(
            text,
            "{:14}{:>12}{:>12}   {:22}{:>12}",
            "", "steps of it", "return", "95 % interval", "s each"
        );
        for row in &self.rows {
            let [low, high] = row.all.ci95;
            let interval = format!("[{low:.2}, {high:.2}]");
            let _ = writeln!(
                text,
                "{:14}{:>12}{:>12.2}   {interval:22}{:>12.1}",
                row.name, row.steps, row.all.mean, row.seconds
            );
        }
        text
    }
}
