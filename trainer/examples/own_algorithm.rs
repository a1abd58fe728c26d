//! A training algorithm of your own: Reptile (Nichol, Achiam and Schulman 2018), on any supervised task family, with the
//! run directory, checkpoints and resuming of `pliant train`.
//!
//! `cargo run --release --example own_algorithm`

use std::path::Path;
use std::time::Duration;

use pliant_compiler::adaptation::gradient::StepSizes;
use pliant_trainer::algorithms::{Algorithm, Iteration, Learned, NamedTensor, TrainingState};
use pliant_trainer::engine::{CompileOptions, Engine, PlanEngine, Program};
use pliant_trainer::error::TrainError;
use pliant_trainer::recipe::{Family, Source};
use pliant_trainer::run::{RunDirectory, RunRecord, Session};
use pliant_trainer::tasks::{SinusoidFamily, SupervisedFamily, training_task};
use pliant_trainer::{deployment, nn};

const INNER_RATE: f32 = 0.02;
const INNER_STEPS: usize = 5;
const OUTER_RATE: f32 = 0.1;

/// Moves the start towards where a few gradient steps on a task lead, task after task.
struct Reptile {
    family: SinusoidFamily,
    parameters: Vec<NamedTensor>,
    /// One gradient step on a support set.
    adapt: Box<dyn Program>,
    iterations: u64,
    completed: u64,
}

impl Algorithm for Reptile {
    fn iterations(&self) -> u64 {
        self.iterations
    }

    fn completed(&self) -> u64 {
        self.completed
    }

    fn engine(&self) -> String {
        "plan".to_owned()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        let [x, y, _, _] = training_task(&self.family, 0, self.completed);
        let mut adapted: Vec<Vec<f32>> = self.parameters.iter().map(|tensor| tensor.values.clone()).collect();
        for _ in 0..INNER_STEPS {
            let rows = [&x[..], &y, &vec![1.0; y.len()], &[1.0]];
            for (input, values) in adapted.iter().map(Vec::as_slice).chain(rows).enumerate() {
                self.adapt.set(input, values)?;
            }
            self.adapt.run()?;
            for (output, values) in adapted.iter_mut().enumerate() {
                self.adapt.get(output, values)?;
            }
        }
        let mut squares = 0.0;
        let starts = self.parameters.iter_mut().flat_map(|tensor| &mut tensor.values);
        for (start, end) in starts.zip(adapted.iter().flatten()) {
            squares += (end - *start).powi(2);
            *start += OUTER_RATE * (end - *start);
        }
        self.completed += 1;
        let metrics = vec![("distance to the adapted parameters", squares.sqrt())];
        Ok(Iteration { metrics })
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        Ok(TrainingState::new(self.completed, self.parameters.clone()))
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        state.check(self.parameters.iter().map(|own| (&*own.name, &*own.shape)))?;
        (self.parameters, self.completed) = (state.tensors.clone(), state.completed);
        Ok(())
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        Ok(Learned::with_rate(self.parameters.clone(), INNER_RATE, INNER_STEPS))
    }
}

/// Trains in `folder`, taking up what is there, until `until` of `iterations` are done; what was learned.
pub fn train(folder: &Path, iterations: u64, until: u64) -> Result<Learned, Box<dyn std::error::Error>> {
    let source = Source::find("sinusoid")?;
    let recipe = source.parse()?;
    let Family::Sinusoid(settings) = &recipe.family else {
        return Err("the recipe has another family".into());
    };
    let (family, rule) = (SinusoidFamily::new(settings), deployment::rule(&recipe)?);
    let graph = rule.adapt(family.support_rows(), &StepSizes::Uniform(INNER_RATE).into())?;
    let learner = Reptile {
        parameters: nn::initialise(&rule.rows().parameters, recipe.policy.initialiser, recipe.seed),
        adapt: PlanEngine::fast().compile(&graph, &CompileOptions::default())?,
        family,
        iterations,
        completed: 0,
    };
    let saved = RunDirectory::newest(folder)
        .ok()
        .flatten()
        .map(|(checkpoint, _)| checkpoint);
    let directory = RunDirectory::claim(folder)?;
    let record = RunRecord::new(&recipe, "plan", 1);
    let mut session = Session::begin(
        directory,
        Box::new(learner),
        source.text,
        record,
        saved,
        Duration::from_secs(60),
    )?;
    session.train(until, &|| false, &mut |_, _| {})?;
    Ok(session.learner().learned()?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new("runs/own-algorithm");
    let learned = train(folder, 20_000, 20_000)?;
    println!(
        "learned {} tensors; the run is in {}",
        learned.parameters.len(),
        folder.display()
    );
    Ok(())
}
