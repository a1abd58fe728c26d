//! The navigation environment against its protocol: a golden trajectory, and the scores of scripted policies.

use pliant_runtime::experience::End;
use pliant_trainer::{
    envs::{Environment, MAX_STEP, Navigation},
    random::{fill_standard_normal, stream, uniform},
};

/// Mean return over `goals` of a policy that knows the goal and moves straight towards it at full speed, with Gaussian
/// noise of this standard deviation, in units of `MAX_STEP`, on the move.
fn straight_line(goals: &[[f32; 2]], noise: f32) -> f64 {
    let mut batch = Navigation::new(goals);
    let mut random = stream(0, "straight line", &[]);
    batch.reset(&mut random);
    let count = batch.batch();
    let (mut position, mut action, mut normal) = (vec![0.0; 2 * count], vec![0.0; 2 * count], vec![0.0; 2 * count]);
    let (mut rewards, mut ends) = (vec![0.0; count], vec![End::Continue; count]);
    let mut total = 0.0;
    for _ in 0..batch.horizon() {
        batch.observe(&mut position);
        fill_standard_normal(&mut random, &mut normal);
        for (i, goal) in goals.iter().enumerate() {
            let to = [goal[0] - position[2 * i], goal[1] - position[2 * i + 1]];
            // The larger component moves at full speed, or less on the last stretch.
            let shrink = (MAX_STEP / to[0].abs().max(to[1].abs())).min(1.0);
            for axis in 0..2 {
                action[2 * i + axis] = shrink * to[axis] + MAX_STEP * noise * normal[2 * i + axis];
            }
        }
        batch.step(&action, &mut rewards, &mut ends);
        total += rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>();
    }
    assert!(ends.iter().all(|end| end.is_last()));
    total / count as f64
}

fn goals(count: usize) -> Vec<[f32; 2]> {
    let mut random = stream(0, "scripted goals", &[]);
    (0..count)
        .map(|_| [uniform(&mut random, -0.5, 0.5), uniform(&mut random, -0.5, 0.5)])
        .collect()
}

#[test]
fn golden_trajectory() {
    let mut batch = Navigation::new(&[[0.25, -0.1]]);
    let moves = [[0.5, -0.03], [0.1, -0.07], [0.02, 0.04], [0.035, -0.045], [0.1, 0.1]];
    let mut table = String::new();
    for action in moves {
        let (mut reward, mut ends, mut position) = ([0.0], [End::Continue], [0.0; 2]);
        batch.step(&action, &mut reward, &mut ends);
        batch.observe(&mut position);
        table += &format!(
            "{:.4} {:.4} {:.5} {}\n",
            position[0],
            position[1],
            reward[0],
            ends[0].is_last()
        );
    }
    // Clipped; moved; moved; within 0.01 of the goal, so ended; ended, so nothing moves and nothing is earned.
    let golden = "0.1000 -0.0300 -0.16553 false\n\
                  0.2000 -0.1000 -0.05000 false\n\
                  0.2200 -0.0600 -0.05000 false\n\
                  0.2550 -0.1050 -0.00707 true\n\
                  0.2550 -0.1050 0.00000 true\n";
    assert_eq!(table, golden);
}

#[test]
fn an_episode_ends_at_the_goal_and_stays_there() {
    let mut batch = Navigation::new(&[[0.105, 0.0], [0.5, 0.5]]);
    let (mut rewards, mut ends, mut position) = ([0.0; 2], [End::Continue; 2], [0.0; 4]);
    batch.step(&[0.1, 0.0, 0.1, 0.0], &mut rewards, &mut ends);
    assert_eq!(ends, [End::Terminated, End::Continue]);
    assert!((rewards[0] + 0.005).abs() < 1e-6);
    batch.step(&[0.1, 0.1, 0.1, 0.1], &mut rewards, &mut ends);
    batch.observe(&mut position);
    assert_eq!((rewards[0], ends[0]), (0.0, End::Terminated));
    assert_eq!(position, [0.1, 0.0, 0.2, 0.1]);
}

#[test]
fn an_episode_ends_after_100_steps() {
    let mut batch = Navigation::new(&[[0.5, 0.5]]);
    let (mut reward, mut ends) = ([0.0], [End::Continue]);
    for step in 1..=100 {
        assert_eq!(ends[0], End::Continue, "ended before step {step}");
        batch.step(&[0.0, 0.0], &mut reward, &mut ends);
    }
    assert_eq!(ends[0], End::Truncated);
}

#[test]
fn scripted_straight_line_scores_as_in_the_protocol() {
    let exact = straight_line(&goals(4000), 0.0);
    assert!((exact + 0.53).abs() < 0.03, "without noise: {exact}");
    let noisy = straight_line(&goals(4000), 0.4);
    assert!((noisy + 2.1).abs() < 0.15, "with noise 0.4: {noisy}");
}

#[test]
fn staying_at_the_origin_scores_as_in_the_protocol() {
    let goals = goals(20_000);
    let count = goals.len();
    let mut batch = Navigation::new(&goals);
    let (mut rewards, mut ends) = (vec![0.0; count], vec![End::Continue; count]);
    let actions = vec![0.0; 2 * count];
    let mut total = 0.0;
    for _ in 0..100 {
        batch.step(&actions, &mut rewards, &mut ends);
        total += rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>();
    }
    // The mean distance from the centre of a square of side 1 is 0.3826, times 100 steps: -38.26. The protocol's -39.3 is
    // of its 200 goals.
    assert!((total / count as f64 + 38.26).abs() < 0.3);
}
