//! Environments for learning in context: golden trajectories, splits, and the distributions they are drawn from.

use std::sync::Arc;

use pliant_runtime::experience::End;
use pliant_trainer::envs::{
    Bandits, CartPole, HalfCircle, OneTask, Plant, Regret, Simulated, Simulator, SwingUp, TabularProcesses, Trials,
    VectorEnvironment,
};
use pliant_trainer::random::stream;
use pliant_trainer::tasks::{Split, task_stream};

/// An instance of a task of a split, at the start of an episode.
fn start<E: VectorEnvironment>(mut environment: E, split: Split, index: u64) -> E {
    for instance in 0..environment.batch() {
        let mut random = task_stream(0, split, &[index + instance as u64]);
        environment.new_task(instance, &mut random);
        environment.new_episode(instance, &mut random);
    }
    environment
}

#[test]
fn golden_pulls() {
    let mut bandits = start(Bandits::new(3, 8, 2), Split::Test, 0);
    let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
    let mut trajectory = Vec::new();
    for pull in 0..8 {
        bandits.step(&[(pull % 3) as f32, 1.0], &mut rewards, &mut ends);
        trajectory.push(rewards.map(|reward| reward as u8));
    }
    assert_eq!(ends, [End::Terminated; 2]);
    let probabilities: Vec<String> = bandits.probabilities(0).iter().map(|p| format!("{p:.6}")).collect();
    assert_eq!(probabilities, PROBABILITIES);
    assert_eq!(trajectory, PULLS);
}

const PROBABILITIES: [&str; 3] = ["0.839957", "0.182786", "0.995337"];
const PULLS: [[u8; 2]; 8] = [[1, 0], [0, 0], [1, 1], [1, 0], [0, 0], [1, 0], [1, 0], [0, 0]];

#[test]
fn golden_process() {
    let mut processes = start(TabularProcesses::new(4, 2, 6, 2), Split::Test, 0);
    let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
    let mut observation = [0.0; 8];
    let mut trajectory = Vec::new();
    for step in 0..6 {
        processes.observe(&mut observation);
        assert_eq!(observation[processes.state(1) * 2 + 1], 1.0);
        assert_eq!(observation.iter().sum::<f32>(), 2.0);
        let states = [processes.state(0), processes.state(1)];
        processes.step(&[(step % 2) as f32, 1.0], &mut rewards, &mut ends);
        trajectory.push(format!("{states:?} {:.4} {:.4}", rewards[0], rewards[1]));
    }
    assert_eq!(ends, [End::Terminated; 2]);
    assert_eq!(trajectory, PROCESS);
}

const PROCESS: [&str; 6] = [
    "[0, 0] 0.8297 -0.5656",
    "[2, 1] 2.4546 1.0036",
    "[1, 2] 0.8331 -0.2985",
    "[2, 3] 0.5878 0.2016",
    "[1, 1] 1.9086 1.4475",
    "[0, 0] 1.0836 -0.7285",
];

/// Mean return of episodes in which a policy that does not look chooses, and their mean summed regret.
fn return_and_regret<E: VectorEnvironment + Clone>(environment: &E) -> (f64, f64) {
    let (batch, choices) = (environment.batch(), environment.actions().width());
    let (mut plain, mut regretting) = (environment.clone(), Regret::new(environment.clone()));
    let (mut rewards, mut ends) = (vec![0.0; batch], vec![End::Continue; batch]);
    let (mut total, mut lost) = (0.0, 0.0);
    for step in 0..environment.horizon() {
        let actions: Vec<f32> = (0..batch)
            .map(|instance| ((instance + step) % choices) as f32)
            .collect();
        let sum = |rewards: &[f32]| rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>() / batch as f64;
        plain.step(&actions, &mut rewards, &mut ends);
        total += sum(&rewards);
        regretting.step(&actions, &mut rewards, &mut ends);
        assert!(rewards.iter().all(|reward| *reward <= 0.0), "a regret is a loss");
        lost -= sum(&rewards);
    }
    (total, lost)
}

/// Of an episode of the best policy of a process with 4 states, 3 actions and 5 steps, from state 0.
fn best_return(processes: &TabularProcesses, instance: usize) -> f64 {
    let (rewards, transitions) = (processes.mean_rewards(instance), processes.transitions(instance));
    let mut values = [0.0; 4];
    for _ in 0..5 {
        values = core::array::from_fn(|state| {
            let value = |action: usize| {
                let pair = state * 3 + action;
                let moves = transitions[pair * 4..(pair + 1) * 4].iter().zip(values);
                f64::from(rewards[pair]) + moves.map(|(&share, value)| f64::from(share) * value).sum::<f64>()
            };
            value(0).max(value(1)).max(value(2))
        });
    }
    values[0]
}

/// In the mean, what any policy loses is what the best one has beyond it (Kakade and Langford 2002, lemma 6.1).
#[test]
fn return_and_regret_add_up_to_the_best_return() {
    const INSTANCES: usize = 20_000;
    let processes = start(TabularProcesses::new(4, 3, 5, INSTANCES), Split::Test, 0);
    let best = (0..INSTANCES)
        .map(|instance| best_return(&processes, instance))
        .sum::<f64>()
        / INSTANCES as f64;
    let (total, lost) = return_and_regret(&processes);
    // The deviation of five rewards over the root of 20,000 is 0.02.
    assert!((total + lost - best).abs() < 0.08, "{total} + {lost}, not {best}");
    assert!(lost > 0.5, "there is something to lose: {lost}");

    let bandits = start(Bandits::new(3, 8, INSTANCES), Split::Test, 0);
    let best = |instance| {
        bandits
            .probabilities(instance)
            .iter()
            .fold(0.0f32, |most, &p| most.max(p))
    };
    let best = 8.0 * (0..INSTANCES).map(|instance| f64::from(best(instance))).sum::<f64>() / INSTANCES as f64;
    let (total, lost) = return_and_regret(&bandits);
    assert!((total + lost - best).abs() < 0.04, "{total} + {lost}, not {best}");
}

/// What is learned from changes, what the policy sees does not.
#[test]
fn who_learns_from_regret_sees_rewards() {
    let trials = start(Trials::new(Bandits::new(3, 8, 4), 1), Split::Test, 0);
    let (mut plain, mut regretting) = (trials.clone(), Regret::new(trials));
    let (mut rewards, mut ends) = ([0.0; 4], [End::Continue; 4]);
    let width = plain.observation_width() * 4;
    let (mut seen, mut seen_too) = (vec![0.0; width], vec![0.0; width]);
    for _ in 0..8 {
        plain.step(&[0.0, 1.0, 2.0, 0.0], &mut rewards, &mut ends);
        plain.observe(&mut seen);
        regretting.step(&[0.0, 1.0, 2.0, 0.0], &mut rewards, &mut ends);
        regretting.observe(&mut seen_too);
        assert_eq!(seen, seen_too);
    }
}

#[test]
fn splits_share_no_task_and_a_task_is_always_the_same() {
    let probabilities = |split, index| start(Bandits::new(10, 100, 1), split, index).probabilities(0).to_vec();
    assert_eq!(probabilities(Split::Test, 3), probabilities(Split::Test, 3));
    // Neither its neighbours nor the size of the batch matter.
    let batch = start(Bandits::new(10, 100, 5), Split::Test, 0);
    assert_eq!(batch.probabilities(3), probabilities(Split::Test, 3));
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for split in [Split::Train, Split::Validation, Split::Test] {
        for index in 0..50 {
            let task = probabilities(split, index);
            assert!(!seen.contains(&task));
            seen.push(task);
        }
    }
}

#[test]
fn processes_have_the_moments_of_their_prior() {
    let processes = start(TabularProcesses::new(10, 5, 10, 200), Split::Train, 0);
    let means: Vec<f64> = (0..200)
        .flat_map(|instance| processes.mean_rewards(instance).iter().map(|&mean| f64::from(mean)))
        .collect();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / means.len() as f64;
    assert!(
        (mean - 1.0).abs() < 0.03 && (variance - 1.0).abs() < 0.05,
        "{mean} {variance}"
    );
    let mut squares = 0.0;
    for instance in 0..200 {
        for row in processes.transitions(instance).chunks_exact(10) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            squares += row.iter().map(|&p| f64::from(p).powi(2)).sum::<f64>();
        }
    }
    // E[p^2] = 2 / (n (n + 1)) for each of n numbers of a flat Dirichlet distribution.
    let expected = 2.0 / 11.0;
    assert!((squares / (200.0 * 50.0) - expected).abs() < 0.004, "{squares}");
}

/// Gym's `Pendulum-v1`, a step written out by hand.
#[test]
fn a_step_of_the_swing_up() {
    let mut pendulums = SwingUp::new(2);
    pendulums.place(0, 0.5, 1.0);
    pendulums.place(1, 3.5, -2.0);
    let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
    pendulums.step(&[1.5, -9.0], &mut rewards, &mut ends);
    let mut observation = [0.0; 6];
    pendulums.observe(&mut observation);
    let tau = 2.0 * core::f64::consts::PI;
    for (instance, (angle, speed, torque)) in [(0.5f64, 1.0f64, 1.5f64), (3.5, -2.0, -2.0)].into_iter().enumerate() {
        let error = angle - tau * (angle / tau).round();
        let reward = -(error * error + 0.1 * speed * speed + 0.001 * torque * torque);
        let speed = speed + (15.0 * angle.sin() + 3.0 * torque) * 0.05;
        let angle = angle + speed * 0.05;
        let found = [
            observation[instance],
            observation[2 + instance],
            observation[4 + instance],
        ];
        for (found, expected) in found.into_iter().zip([angle.cos(), angle.sin(), speed]) {
            assert!((f64::from(found) - expected).abs() < 1e-5, "{found} {expected}");
        }
        assert!((f64::from(rewards[instance]) - reward).abs() < 1e-5);
    }
    assert_eq!(ends, [End::Continue; 2]);
}

#[test]
fn a_goal_on_the_half_circle_is_felt_from_near_by() {
    let mut points = start(HalfCircle::new(60, 2), Split::Test, 0);
    let [x, y] = points.goal(0);
    assert!((x * x + y * y - 1.0).abs() < 1e-6 && y >= 0.0);
    assert_ne!(points.goal(0), points.goal(1));
    let (mut rewards, mut ends) = ([0.0; 2], [End::Continue; 2]);
    let mut total = 0.0;
    for step in 0..60 {
        let mut position = [0.0; 4];
        points.observe(&mut position);
        // More than 0.1 is cut; the second instance goes where no goal is.
        points.step(&[x - position[0], 0.0, y - position[2], -1.0], &mut rewards, &mut ends);
        assert_eq!(rewards[1], 0.0);
        total += f64::from(rewards[0]);
        assert_eq!(ends[0].is_last(), step == 59);
    }
    let best = HalfCircle::best_return([x, y], 60);
    assert!(
        (total - best).abs() < 1e-4 && (50.0..54.0).contains(&best),
        "{total} {best}"
    );
}

/// A simulated system from outside: its own step one instance at a time, and what a lost episode costs.
#[test]
fn a_simulated_system_pays_for_the_steps_it_loses() {
    let system = CartPole::default();
    let mut carts = start(
        Simulated::new("cart-pole", Arc::new(system.clone()), 11),
        Split::Test,
        0,
    );
    // The same draws, one by one.
    let widths = system.widths();
    let mut alone: Vec<(Vec<f32>, Vec<f32>)> = (0..11)
        .map(|index| {
            let mut random = task_stream(0, Split::Test, &[index]);
            let (mut parameters, mut state) = (vec![0.0; widths.parameters], vec![0.0; widths.state]);
            system.draw(&mut random, &mut parameters);
            system.start(&mut random, &mut parameters, &mut state);
            (parameters, state)
        })
        .collect();
    let (mut rewards, mut ends) = ([0.0; 11], [End::Continue; 11]);
    let mut observation = [0.0; 44];
    let (mut lost, mut ages) = (0, [0; 11]);
    for step in 1..=200 {
        carts.observe(&mut observation);
        // Beyond 1 it is cut.
        carts.step(&[1.5; 11], &mut rewards, &mut ends);
        for (instance, (parameters, state)) in alone.iter_mut().enumerate() {
            for (number, &value) in state.iter().enumerate() {
                assert!((observation[number * 11 + instance] - value).abs() < 1e-4 * value.abs().max(1.0));
            }
            let outcome = system.step_one(state, parameters, &[1.0]);
            let mut reward = -outcome.cost;
            ages[instance] += 1;
            if ends[instance].is_last() {
                assert_eq!(ends[instance], End::Terminated);
                reward -= 10.0 * (500 - ages[instance]) as f32;
                lost += 1;
                ages[instance] = 0;
                let mut random = stream(1, "again", &[instance as u64]);
                carts.new_episode(instance, &mut random);
                let mut random = stream(1, "again", &[instance as u64]);
                system.start(&mut random, parameters, state);
            }
            assert!(
                (rewards[instance] - reward).abs() < 1e-3 * reward.abs().max(1.0),
                "step {step}"
            );
        }
        if lost > 20 {
            break;
        }
    }
    assert!(lost >= 11, "full force loses every pole: {lost}");
}

/// What loses a pole costs less to a learner that discounts, also through wrappers.
#[test]
fn wrappers_hand_on_the_discount() {
    let carts = || Simulated::new("cart-pole", Arc::new(CartPole::default()), 1);
    let lost = |mut environment: Box<dyn VectorEnvironment>, rate: Option<f32>| -> f32 {
        if let Some(rate) = rate {
            environment.discount_at(rate);
        }
        let mut environment = start(environment, Split::Test, 0);
        let (mut reward, mut end) = ([0.0], [End::Continue]);
        while !end[0].is_last() {
            environment.step(&[1.0], &mut reward, &mut end);
        }
        reward[0]
    };
    let one = || OneTask::new(carts(), task_stream(0, Split::Test, &[0]));
    let wrapped: [&dyn Fn() -> Box<dyn VectorEnvironment>; 3] =
        [&|| Box::new(carts()), &|| Box::new(Trials::new(carts(), 1)), &|| {
            Box::new(one())
        }];
    for (number, environment) in wrapped.into_iter().enumerate() {
        let (plain, discounted) = (lost(environment(), None), lost(environment(), Some(0.9)));
        assert!(
            plain < -1000.0 && discounted > 0.1 * plain,
            "{number}: {plain} {discounted}"
        );
    }
}
