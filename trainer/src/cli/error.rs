//! What the command line reports when something goes wrong, and the exit code.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::bundle::BundleError;
use crate::engine::EngineError;
use crate::error::TrainError;
use crate::eval::EvalError;
use crate::flight::{BoardError, PilotError};
use crate::recipe::RecipeError;
use crate::report::{BaselineError, ResultsError};
use crate::run::{RunError, SessionError};
use crate::signing::{PemError, SigningError};
use crate::sweep::SweepError;
use crate::telemetry::ReplayError;

/// Why a command did not finish.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error("no run in {path}: `pliant train` makes one in runs/")]
    NoRuns { path: PathBuf },
    #[error("{path} is neither a run nor a bundle: it has neither `run.json` nor `evaluation.json`")]
    NothingToCompare { path: PathBuf },
    #[error(
        "{path} has not been evaluated yet: there is nothing to report; `pliant train {path} --resume` finishes it"
    )]
    NotEvaluated { path: PathBuf },
    #[error("cannot write {path}: {source}; choose another file with --out")]
    WriteFile { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} was made by another recipe, seed or --set; give the same ones, choose its folder with --out, or start afresh without --resume"
    )]
    OtherRecipe { path: PathBuf },
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("cannot open or read {path}: {source}")]
    Source { path: PathBuf, source: std::io::Error },
    #[error("not everything was replayed with the same bits; the report says where it ended")]
    NotExact,
    #[error("{path}: {source}")]
    Signing { path: PathBuf, source: SigningError },
    #[error("{path}: {source}")]
    Key { path: PathBuf, source: PemError },
    #[error(
        "`[family.{family}]` is no simulated system with parameters to tell an oracle; the recipes cart-pole, pendulum, arm and vehicle have one"
    )]
    NoGap { family: &'static str },
    #[error(
        "`{adaptive}` cannot take the adaptive policy's place beside `{recipe}`: they must have the same `[family]` and `[evaluation]`"
    )]
    NoGapBetween { recipe: String, adaptive: String },
    #[error(
        "--scratch trains by `[algorithm.analytic-policy-gradient]`, and `{recipe}` has `[algorithm.{algorithm}]`; leave --scratch out"
    )]
    NoScratch { recipe: String, algorithm: &'static str },
    #[error("cannot use {path}, kept from a training: {problem}; delete it, or choose another folder with --keep")]
    Kept { path: PathBuf, problem: String },
    #[error(
        "`[algorithm.{algorithm}]` does not learn tasks together; affinity is measured in `[algorithm.multi-task]`, as in the recipe task-conflict"
    )]
    NotTogether { algorithm: &'static str },
    #[error(transparent)]
    Pilot(#[from] PilotError),
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(
        "`[family.{family}]` has no episodes that can be drawn; point-navigation, cart-pole, pendulum, arm and vehicle have, and `pliant fly` shows quadrotors"
    )]
    NothingToPlay { family: &'static str },
    #[error("the board and this machine did not compute the same bits: {0}")]
    NotTheSame(String),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error("interrupted; every trial is saved in {path}\nto go on: the same command with --resume")]
    SweepInterrupted { path: PathBuf },
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
    #[error("cannot listen for Ctrl-C: {0}")]
    Signals(#[from] ctrlc::Error),
    #[error("interrupted after {completed} of {iterations} iterations; saved in {path}\nto go on: {command}")]
    Interrupted {
        completed: u64,
        iterations: u64,
        path: PathBuf,
        command: String,
    },
}

impl CliError {
    /// The message with the causes it does not already quote.
    pub(super) fn report(&self) -> String {
        if let Self::Interrupted { .. } | Self::SweepInterrupted { .. } = self {
            return self.to_string();
        }
        let mut text = format!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.contains(&message) {
                text.push_str("\n  because: ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        text
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Bundle(BundleError::Export(_) | BundleError::Write { .. }) => 1,
            Self::Eval(EvalError::Family { .. } | EvalError::Image(_)) => 2,
            Self::Recipe(_)
            | Self::Bundle(_)
            | Self::OtherRecipe { .. }
            | Self::NoGap { .. }
            | Self::NoGapBetween { .. }
            | Self::NoScratch { .. }
            | Self::NotTogether { .. }
            | Self::Kept { .. }
            | Self::Replay(_)
            | Self::NothingToPlay { .. }
            | Self::Pilot(PilotError::NotAQuadrotor(_) | PilotError::Contract(_) | PilotError::Policy(_))
            | Self::Source { .. }
            | Self::Train(TrainError::NothingInCommon { .. })
            | Self::Run(RunError::NotARun { .. } | RunError::Unreadable { .. } | RunError::Busy { .. })
            | Self::Results(_)
            | Self::NoRuns { .. }
            | Self::NothingToCompare { .. }
            | Self::NotEvaluated { .. }
            | Self::Engine(EngineError::UnknownEngine { .. }) => 2,
            Self::Signing {
                source: SigningError::Image(_) | SigningError::Delta | SigningError::Signature(_),
                ..
            }
            | Self::Key { .. } => 2,
            Self::Sweep(
                SweepError::Vary(..)
                | SweepError::Twice(_)
                | SweepError::Range(_)
                | SweepError::Trials(_)
                | SweepError::Recipe { .. }
                | SweepError::Other { .. }
                | SweepError::NoSweep { .. }
                | SweepError::Run(RunError::Busy { .. }),
            ) => 2,
            Self::Interrupted { .. } | Self::SweepInterrupted { .. } => 130,
            _ => 1,
        })
    }
}
