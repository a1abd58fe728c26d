//! Training steps: the gradient over chunks of the batch, then Adam.

use std::time::Duration;

use pliant_trainer::engine::{CompileOptions, Engine, Program};
use pliant_trainer::optim::adam_step_size;

use crate::work::{self, Work};
use crate::{Outcome, Prepared, median, take_turns};

/// A work on an engine.
pub struct Training {
    work: Work,
    gradient: Box<dyn Program>,
    optimiser: Box<dyn Program>,
    values: Vec<Vec<f32>>,
    sums: Vec<Vec<f32>>,
    part: Vec<f32>,
    steps: u64,
    pub loss: f64,
    pub setup: f64,
}

impl Training {
    pub fn new(work: Work, engine: &dyn Engine) -> Outcome<Self> {
        let gradient = engine.compile(&work.gradient, &CompileOptions::default())?;
        let options = CompileOptions::resident(work::resident(&work.parameters));
        let mut optimiser = engine.compile(&work.optimiser, &options)?;
        for (index, values) in work.values.iter().enumerate() {
            optimiser.set(index, values)?;
        }
        let setup = (gradient.statistics().creation + optimiser.statistics().creation).as_secs_f64();
        Ok(Self {
            gradient,
            optimiser,
            values: work.values.clone(),
            sums: work.values.clone(),
            part: Vec::new(),
            steps: 0,
            loss: f64::NAN,
            setup,
            work,
        })
    }

    /// One step: every chunk's data in, its gradient out; the sum to the optimiser; new parameters back.
    pub fn step(&mut self) -> Outcome<()> {
        let count = self.work.parameters.len();
        for (index, values) in self.values.iter().enumerate() {
            self.gradient.set(index, values)?;
        }
        self.sums.iter_mut().for_each(|sum| sum.fill(0.0));
        let mut total = 0.0;
        for chunk in 0..self.work.chunks {
            for (index, data) in self.work.data.iter().enumerate() {
                let length = data.len() / self.work.chunks;
                self.gradient.set(count + index, &data[chunk * length..][..length])?;
            }
            self.gradient.run()?;
            for (index, sum) in self.sums.iter_mut().enumerate() {
                self.part.resize(sum.len(), 0.0);
                self.gradient.get(index, &mut self.part)?;
                sum.iter_mut().zip(&self.part).for_each(|(sum, part)| *sum += part);
            }
            let mut loss = [0.0];
            self.gradient.get(count, &mut loss)?;
            total += f64::from(loss[0]);
        }
        if self.loss.is_nan() {
            self.loss = total;
        }
        for (index, sum) in self.sums.iter().enumerate() {
            self.optimiser.set(count + index, sum)?;
        }
        // The schedule is constant: how many steps there will be does not matter.
        let size = adam_step_size(&work::ADAM, self.steps, u64::MAX);
        self.steps += 1;
        self.optimiser.set(4 * count, &[size])?;
        self.optimiser.run()?;
        for (index, values) in self.values.iter_mut().enumerate() {
            self.optimiser.get(index, values)?;
        }
        Ok(())
    }
}

/// Measures a work in the chunks that suit the engine best.
pub fn run(work: &str, engine: &dyn Engine) -> Outcome<()> {
    let build = |chunk| match work {
        "maml" => work::maml(25, 1, 40, chunk),
        "gru" => work::gru(chunk),
        _ => work::policy(chunk),
    };
    let chunks: &[usize] = match work {
        "maml" => &[25, 5],
        "gru" => &[256, 64, 32],
        _ => &[8, 2, 1],
    };
    let mut best: Option<(f64, usize, Training)> = None;
    for &chunk in chunks {
        let mut training = Training::new(build(chunk)?, engine)?;
        let time = median(Duration::from_millis(300), || training.step())?;
        if best.as_ref().is_none_or(|(least, ..)| time < *least) {
            best = Some((time, chunk, training));
        }
    }
    let (_, chunk, mut training) = best.ok_or("no chunks")?;
    let prepared = Prepared {
        setup: training.setup,
        loss: training.loss,
        note: format!("in chunks of {chunk}"),
    };
    take_turns(&prepared, 1, || training.step())
}
