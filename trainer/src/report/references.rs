//! Baselines of families whose tasks can be learned by hand-written statistics, and the oracle that is told the task.

use std::time::Instant;

use super::Baseline;
use crate::envs::{self, Bandits, TabularProcesses, Trials, VectorEnvironment};
use crate::eval::reference::{BanditPlayer, TabularPlayer, play_bandit, play_tabular};
use crate::eval::{AdaptationStep, EvalOptions, TrialOutcome, by_episode, trial_episodes};
use crate::random::{Stream, stream};
use crate::recipe::{Bandit, Family, HalfCircle, Recipe, Tabular};
use crate::tasks::{Split, task_stream};

/// Ends the names of baselines that are scored by whole trials.
pub(super) const WHOLE_TRIAL: &str = ", whole trial";

/// Validation tasks that choose a coefficient.
const CHOICE: u64 = 500;
/// Coefficients of UCB1 to choose from; theory asks for 2.
const COEFFICIENTS: [f32; 6] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// Models an episode of optimistic posterior sampling.
const MODELS: usize = 10;

/// The baselines of a recipe's family on the tasks of its evaluation; none for other families.
pub(super) fn references(recipe: &Recipe, options: EvalOptions) -> Vec<Baseline> {
    match &recipe.family {
        Family::Bandit(family) => bandit(family, options),
        Family::Tabular(family) => tabular(family, trial_episodes(recipe), options),
        Family::HalfCircle(family) => half_circle(family, options),
        _ => Vec::new(),
    }
}

fn bandit(family: &Bandit, options: EvalOptions) -> Vec<Baseline> {
    let scores = |player, split, tasks: u64| -> Vec<f64> {
        let play = |index| {
            // As the evaluation's trials do: the task, then what seeds its episodes.
            let mut bandits = Trials::new(Bandits::new(family.arms, family.pulls, 1), 1);
            let mut random = task_stream(options.seed, split, &[index]);
            bandits.new_task(0, &mut random);
            bandits.new_episode(0, &mut random);
            let mut own = stream(options.seed, "bandit player", &[index]);
            play_bandit(&mut bandits.into_inner(), player, &mut own)
        };
        (0..tasks).map(play).collect()
    };
    let ucb = COEFFICIENTS
        .map(|coefficient| BanditPlayer::Ucb { coefficient })
        .into_iter()
        .map(|player| (scores(player, Split::Validation, CHOICE).iter().sum::<f64>(), player))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let mut players = vec![
        ("random".to_owned(), BanditPlayer::Random),
        ("Thompson sampling".to_owned(), BanditPlayer::Thompson),
    ];
    if let Some((_, player @ BanditPlayer::Ucb { coefficient })) = ucb {
        players.push((format!("UCB1, c = {coefficient} by validation"), player));
    }
    players.push(("oracle (is told the task)".to_owned(), BanditPlayer::Oracle));
    players
        .into_iter()
        .map(|(name, player)| {
            let started = Instant::now();
            let scores = scores(player, Split::Test, options.tasks);
            Baseline {
                name,
                tasks: options.tasks,
                adaptation: vec![AdaptationStep::over_tasks(0, &scores, options.seed)],
                env_steps: options.tasks * family.pulls as u64,
                cost: None,
                seconds: started.elapsed().as_secs_f64(),
            }
        })
        .collect()
}

fn half_circle(family: &HalfCircle, options: EvalOptions) -> Vec<Baseline> {
    let best = |index| {
        let mut environment = envs::HalfCircle::new(family.horizon, 1);
        environment.new_task(0, &mut task_stream(options.seed, Split::Test, &[index]));
        envs::HalfCircle::best_return(environment.goal(0), family.horizon)
    };
    let started = Instant::now();
    let scores: Vec<f64> = (0..options.tasks).map(best).collect();
    vec![Baseline {
        name: "oracle (is told the task)".to_owned(),
        tasks: options.tasks,
        adaptation: vec![AdaptationStep::over_tasks(0, &scores, options.seed)],
        env_steps: options.tasks * family.horizon as u64,
        cost: None,
        seconds: started.elapsed().as_secs_f64(),
    }]
}

fn tabular(family: &Tabular, episodes: usize, options: EvalOptions) -> Vec<Baseline> {
    [
        ("random", TabularPlayer::Random),
        ("posterior sampling", TabularPlayer::PosteriorSampling),
        (
            "optimistic posterior sampling",
            TabularPlayer::Optimistic { models: MODELS },
        ),
        ("oracle (is told the task)", TabularPlayer::Oracle),
    ]
    .into_iter()
    .flat_map(|(name, player)| {
        let play = |index| {
            let mut processes = TabularProcesses::new(family.states, family.actions, family.horizon, 1);
            let mut random = task_stream(options.seed, Split::Test, &[index]);
            processes.new_task(0, &mut random);
            let mut starts: Stream = Trials::<TabularProcesses>::episodes_of(&mut random);
            let mut own = stream(options.seed, "tabular player", &[index]);
            let returns = play_tabular(&mut processes, player, episodes, &mut starts, &mut own);
            TrialOutcome { returns, env_steps: 0 }
        };
        let started = Instant::now();
        let outcomes: Vec<TrialOutcome> = (0..options.tasks).map(play).collect();
        let totals: Vec<f64> = outcomes.iter().map(TrialOutcome::total).collect();
        let baseline = |name: String, adaptation| Baseline {
            name,
            tasks: options.tasks,
            adaptation,
            env_steps: options.tasks * (episodes * family.horizon) as u64,
            cost: None,
            seconds: started.elapsed().as_secs_f64(),
        };
        let whole = vec![AdaptationStep::over_tasks(0, &totals, options.seed)];
        [
            baseline(name.to_owned(), by_episode(&outcomes, episodes, options.seed)),
            baseline(format!("{name}{WHOLE_TRIAL}"), whole),
        ]
    })
    .collect()
}
