//! Quadrotors: scored by terminations and by position error, also where vehicles are sluggish, late or noisy.

use pliant_runtime::contract::ContractView;
use pliant_runtime::image::Image;

use super::simulated::{Rollout, errors, roll_out, steps, task_parameters, terminated};
use super::{AdaptationStep, EvalError, EvalOptions, Evaluation};
use crate::envs::Quadrotor;
use crate::envs::quadrotor::{Variation, Vehicles};
use crate::tasks::Split;

/// Vehicles below this torque-to-inertia ratio, 1/s^2, are reported apart: the least agile tenth of the distribution.
const SLUGGISH: f32 = 148.0;

/// 30 ms from action to motor and noisy sensors.
const LATE_AND_NOISY: Variation = Variation {
    latency: [0.03; 2],
    position_noise: [0.005; 2],
    velocity_noise: [0.02; 2],
    spin_noise: [0.02; 2],
    ..Variation::NONE
};

/// Flies vehicles as the recipe draws them, whatever it varies beside them.
pub(super) fn evaluate(
    image: &Image<'_>,
    vehicles: Vehicles,
    episodes: usize,
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let range = options.range(split);
    let seen = ContractView::new_checked(image.contract_bytes())
        .ok()
        .and_then(|contract| Quadrotor::actions_seen(contract.observations().len()));
    let fly = |variation: Variation| {
        let seen = Variation {
            // An image of another width is refused when it acts.
            actions_seen: seen.unwrap_or(1),
            vehicles,
            ..variation
        };
        roll_out(image, &Quadrotor::new(seen), range, episodes, options.threads)
    };
    let (plain, shifted) = (fly(Variation::NONE)?, fly(LATE_AND_NOISY)?);
    let sluggish: Vec<Vec<Rollout>> = (0..range.tasks)
        .zip(&plain)
        .filter(|&(index, _)| {
            let own = Variation {
                vehicles,
                ..Variation::NONE
            };
            let parameters = task_parameters(&Quadrotor::new(own), range, index);
            Quadrotor::torque_to_inertia(&parameters) < SLUGGISH
        })
        .map(|(_, episodes)| episodes.clone())
        .collect();
    let over = |scores: &[f64]| AdaptationStep::over_tasks(0, scores, options.seed);
    let mut evaluation = Evaluation {
        lower_is_better: true,
        ..Evaluation::new(
            "quadrotor",
            options,
            "episodes terminated, %",
            vec![over(&terminated(&plain))],
        )
    };
    evaluation.also("position error, mm", over(&errors(&plain)));
    evaluation.also("median position error, mm", median(&mut errors(&plain)));
    evaluation.also(
        "terminated where torque-to-inertia is below 148 1/s^2, %",
        over(&terminated(&sluggish)),
    );
    evaluation.also(
        "terminated at 30 ms latency with sensor noise, %",
        over(&terminated(&shifted)),
    );
    evaluation.also(
        "position error at 30 ms latency with sensor noise, mm",
        over(&errors(&shifted)),
    );
    evaluation.env_steps = steps(&plain) + steps(&shifted);
    Ok(evaluation)
}

/// The median, and the 95 % interval that order statistics give it (binomial, normal approximation).
fn median(values: &mut [f64]) -> AdaptationStep {
    values.sort_by(f64::total_cmp);
    let at = |rank: f64| {
        let last = values.len().saturating_sub(1);
        values
            .get((rank.max(0.0) as usize).min(last))
            .copied()
            .unwrap_or(f64::NAN)
    };
    let (middle, half) = (0.5 * values.len() as f64, 0.98 * (values.len() as f64).sqrt());
    AdaptationStep {
        step: 0,
        mean: at(middle),
        ci95: [at(middle - half), at(middle + half)],
        interquartile: None,
    }
}
