//! One policy for unlike systems: the deployed image controls systems of each task, with the task selected.

use pliant_runtime::experience::End;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, ResetKind, workspace_len};
use rayon::prelude::*;

use super::{AdaptationStep, AlsoScored, DEVICE_RUNTIME, EvalError, EvalOptions, Evaluation};
use crate::envs::{ActionSpace, VectorEnvironment as _};
use crate::random::stream_key;
use crate::recipe::Systems;
use crate::tasks::{Split, task_stream};

/// The return of one episode of each of `options.tasks` systems of a split, for the task `name` of the family that the image
/// was trained on. Draws are the task's own, by its name: another image meets the same systems, whatever other tasks it has.
///
/// # Errors
/// A family without such a task; an image that the runtime cannot load, that has other tasks, or that refuses to act.
pub fn system_returns(
    image: &Image<'_>,
    family: &Systems,
    name: &str,
    options: EvalOptions,
    split: Split,
) -> Result<Vec<f64>, EvalError> {
    let mut tasks = family.tasks.iter().enumerate();
    let Some((number, (_, system))) = tasks.find(|(_, (task, _))| *task == name) else {
        return Err(EvalError::Family {
            family: "systems",
            problem: format!("it has no task `{name}`"),
        });
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let run = |index: u64| -> Result<f64, EvalError> {
        let mut memory = vec![0.0; workspace_len(image.bytes())];
        let mut policy = Policy::new(image, None, &mut memory)?;
        policy.select(number as u32)?;
        let (mut actor, _) = policy.split();
        actor.reset(ResetKind::Episode);
        let mut environment = system.environment(1);
        let mut random = task_stream(options.seed, split, &[stream_key(name), index]);
        environment.new_task(0, &mut random);
        environment.new_episode(0, &mut random);
        let contract = pliant_runtime::contract::ContractView::new_checked(image.contract_bytes());
        let widths = contract.map_or((0, 0), |contract| {
            (contract.observations().len(), contract.actions().len())
        });
        let own = environment.actions().width();
        let (mut observation, mut output) = (vec![0.0; widths.0], vec![0.0; widths.1]);
        if observation.len() < environment.observation_width() || output.len() < own {
            return Err(EvalError::Family {
                family: "systems",
                problem: format!(
                    "{widths:?} observations and actions are too few for a {}",
                    system.name()
                ),
            });
        }
        let (mut reward, mut end) = ([0.0], [End::Continue]);
        let scale = match environment.actions() {
            ActionSpace::Continuous(_) => environment.action_scale(),
            ActionSpace::Discrete(_) => 1.0,
        };
        let mut total = 0.0;
        let mut physical = vec![0.0; own];
        while !end[0].is_last() {
            environment.observe(&mut observation[..environment.observation_width()]);
            let status = actor.act(&observation, &mut output);
            if status.is_safe_action() {
                return Err(EvalError::Refused { task: index, status });
            }
            for (physical, action) in physical.iter_mut().zip(&output) {
                *physical = scale * action;
            }
            environment.step(&physical, &mut reward, &mut end);
            total += f64::from(reward[0]);
        }
        Ok(total)
    };
    pool.install(|| (0..options.tasks).into_par_iter().map(run).collect())
}

pub(super) fn evaluate(
    image: &Image<'_>,
    family: &Systems,
    options: EvalOptions,
    split: Split,
) -> Result<Evaluation, EvalError> {
    let mut means = Vec::new();
    let mut also = Vec::new();
    for name in family.tasks.keys() {
        let returns = system_returns(image, family, name, options, split)?;
        means.push(returns.iter().sum::<f64>() / returns.len().max(1) as f64);
        also.push(AlsoScored {
            name: name.clone(),
            adaptation: vec![AdaptationStep::over_tasks(0, &returns, options.seed)],
            part: true,
        });
    }
    Ok(Evaluation {
        family: "systems".to_owned(),
        engine: DEVICE_RUNTIME.to_owned(),
        tasks: options.tasks,
        seed: options.seed,
        metric: "return, mean of the tasks".to_owned(),
        lower_is_better: false,
        adaptation: vec![AdaptationStep::over_tasks(0, &means, options.seed)],
        also,
        refused: 0,
        env_steps: 0,
    })
}
