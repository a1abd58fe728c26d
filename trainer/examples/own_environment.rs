//! An environment of your own, meta-trained by policy gradients: a boat in a current that it is not told.
//!
//! `cargo run --release --example own_environment`

use std::sync::Arc;

use pliant_compiler::policy::{Activation, Gaussian, Mlp, PolicyDescription};
use pliant_runtime::experience::End;
use pliant_trainer::algorithms::{Algorithm, MamlPolicyGradient};
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::envs::Environment;
use pliant_trainer::random::{Stream, stream, uniform};
use pliant_trainer::recipe::{self, Initialiser, Source};
use pliant_trainer::tasks::{ControlFamily, Split};

const HORIZON: usize = 20;

/// Boats on a line, all in the same current: each sees its position and should stay at 0.
struct Boats {
    current: f32,
    positions: Vec<f32>,
    steps: usize,
}

impl Environment for Boats {
    fn batch(&self) -> usize {
        self.positions.len()
    }

    fn observation_width(&self) -> usize {
        1
    }

    fn action_width(&self) -> usize {
        1
    }

    fn horizon(&self) -> usize {
        HORIZON
    }

    fn reset(&mut self, random: &mut Stream) {
        self.steps = 0;
        self.positions.fill_with(|| uniform(random, -0.5, 0.5));
    }

    fn observe(&self, observations: &mut [f32]) {
        observations.copy_from_slice(&self.positions);
    }

    fn step(&mut self, thrusts: &[f32], rewards: &mut [f32], ends: &mut [End]) {
        self.steps += 1;
        for ((position, thrust), reward) in self.positions.iter_mut().zip(thrusts).zip(rewards) {
            *position += 0.3 * (thrust.clamp(-1.0, 1.0) + self.current);
            *reward = -position.abs();
        }
        ends.fill(if self.steps < HORIZON {
            End::Continue
        } else {
            End::Truncated
        });
    }
}

/// A task is a current.
struct Rivers;

impl ControlFamily for Rivers {
    fn observation_width(&self) -> usize {
        1
    }

    fn action_width(&self) -> usize {
        1
    }

    fn horizon(&self) -> usize {
        HORIZON
    }

    fn action_scale(&self) -> Vec<f32> {
        vec![1.0]
    }

    fn environment(&self, seed: u64, split: Split, index: u64, instances: usize) -> Box<dyn Environment> {
        let current = uniform(&mut stream(seed, split.name(), &[index]), -0.8, 0.8);
        let positions = vec![0.0; instances];
        Box::new(Boats {
            current,
            positions,
            steps: 0,
        })
    }
}

/// Trains for `iterations`; mean returns of the last tenth before and after adapting.
pub fn train(iterations: u64) -> Result<[f32; 2], Box<dyn std::error::Error>> {
    let recipe::Algorithm::MamlPolicyGradient(mut settings) = Source::find("point-navigation")?.parse()?.algorithm
    else {
        return Err("the recipe has another algorithm".into());
    };
    settings.phases.truncate(1);
    settings.phases[0].iterations = iterations;
    let policy = PolicyDescription::stochastic(Mlp::new(&[1, 16, 1], Activation::Tanh), Gaussian { floor: -2.0 });
    let (family, engine) = (Box::new(Rivers), Arc::new(PlanEngine::fast()));
    let mut learner = MamlPolicyGradient::new(&settings, 0, family, 10, &policy, Initialiser::Glorot, engine, 1)?;
    let mut returns = [0.0; 2];
    let counted = (iterations / 10).max(1);
    for iteration in 0..iterations {
        let metrics = learner.step()?.metrics;
        if iteration >= iterations - counted {
            let named = |name: &str| {
                metrics
                    .iter()
                    .find(|(own, _)| *own == name)
                    .map_or(f32::NAN, |(_, value)| *value)
            };
            returns[0] += named("return before") / counted as f32;
            returns[1] += named("return after adapting") / counted as f32;
        }
    }
    Ok(returns)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [before, after] = train(60)?;
    println!("return in a new current: {before:.2} before adapting, {after:.2} after one step");
    Ok(())
}
