//! Players of small Markov decision processes that know the prior of Duan et al. 2016, section 3.2.

use pliant_runtime::experience::End;

use super::bandit::{gamma, greatest};
use crate::envs::{ActionSpace, TabularProcesses, VectorEnvironment, action_values};
use crate::random::{Stream, fill_standard_normal, uniform};

/// How actions are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TabularPlayer {
    /// Any action.
    Random,
    /// Posterior sampling (Strens 2000; Osband et al. 2013): each episode follows the policy that is optimal in a model
    /// drawn from the posterior.
    PosteriorSampling,
    /// Optimistic posterior sampling: for each state, action and step, the best value of so many models (OPSRL in Duan et
    /// al. 2016, after Osband and Van Roy 2017).
    Optimistic {
        /// Models an episode, at least 1.
        models: usize,
    },
    /// The optimal policy of the process, told what it is.
    Oracle,
}

/// Mean rewards and transition probabilities.
struct Model {
    /// `[states][actions]`
    rewards: Vec<f64>,
    /// `[states][actions][states]`
    transitions: Vec<f64>,
}

/// What was seen.
struct Posterior {
    sizes: [usize; 2],
    /// Visits and summed rewards, `[states][actions]`.
    visits: Vec<u32>,
    rewards: Vec<f64>,
    /// `[states][actions][states]`
    moves: Vec<u32>,
}

impl Posterior {
    fn new([states, actions]: [usize; 2]) -> Self {
        Self {
            sizes: [states, actions],
            visits: vec![0; states * actions],
            rewards: vec![0.0; states * actions],
            moves: vec![0; states * actions * states],
        }
    }

    /// Means N(1, 1) before and noise of deviation 1: normal again. A flat Dirichlet distribution before: Dirichlet again.
    fn draw(&self, random: &mut Stream) -> Model {
        let mut noise = vec![0.0f32; self.visits.len()];
        fill_standard_normal(random, &mut noise);
        let rewards = self
            .visits
            .iter()
            .zip(&self.rewards)
            .zip(noise)
            .map(|((&visits, sum), noise)| {
                let precision = 1.0 + f64::from(visits);
                (1.0 + sum) / precision + f64::from(noise) / precision.sqrt()
            })
            .collect();
        let mut transitions: Vec<f64> = self.moves.iter().map(|&count| gamma(random, 1 + count)).collect();
        for row in transitions.chunks_exact_mut(self.sizes[0]) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
        Model { rewards, transitions }
    }
}

/// Values of the actions of the policy that is optimal in a model.
fn values(model: &Model, sizes: [usize; 2], horizon: usize) -> Vec<f64> {
    action_values(&model.rewards, &model.transitions, sizes, horizon)
}

/// Returns of a player's episodes, one after the other in instance 0, whose task has been drawn. `episode` seeds the
/// episodes, `random` is the player's own chance.
pub fn play_tabular(
    processes: &mut TabularProcesses,
    player: TabularPlayer,
    episodes: usize,
    episode: &mut Stream,
    random: &mut Stream,
) -> Vec<f64> {
    let (states, horizon) = (processes.observation_width(), processes.horizon());
    let ActionSpace::Discrete(actions) = processes.actions() else {
        unreachable!("processes have discrete actions")
    };
    let sizes = [states, actions];
    let mut posterior = Posterior::new(sizes);
    let truth = Model {
        rewards: processes.mean_rewards(0).iter().map(|&mean| f64::from(mean)).collect(),
        transitions: processes.transitions(0).iter().map(|&p| f64::from(p)).collect(),
    };
    let (mut reward, mut end) = ([0.0], [End::Continue]);
    (0..episodes)
        .map(|_| {
            processes.new_episode(0, episode);
            let plan = match player {
                TabularPlayer::Random => Vec::new(),
                TabularPlayer::Oracle => values(&truth, sizes, horizon),
                TabularPlayer::PosteriorSampling => values(&posterior.draw(random), sizes, horizon),
                TabularPlayer::Optimistic { models } => {
                    let mut best = values(&posterior.draw(random), sizes, horizon);
                    for _ in 1..models {
                        let other = values(&posterior.draw(random), sizes, horizon);
                        best.iter_mut()
                            .zip(other)
                            .for_each(|(best, value)| *best = best.max(value));
                    }
                    best
                }
            };
            let mut total = 0.0;
            for step in 0..horizon {
                let state = processes.state(0);
                let action = match player {
                    TabularPlayer::Random => ((uniform(random, 0.0, 1.0) * actions as f32) as usize).min(actions - 1),
                    _ => greatest(actions, |action| {
                        plan[(step * states + state) * actions + action] as f32
                    }),
                };
                processes.step(&[action as f32], &mut reward, &mut end);
                let pair = state * actions + action;
                posterior.visits[pair] += 1;
                posterior.rewards[pair] += f64::from(reward[0]);
                posterior.moves[pair * states + processes.state(0)] += 1;
                total += f64::from(reward[0]);
            }
            total
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn dynamic_programming_finds_the_way_to_a_reward() {
        // Two states; only action 1 leads to state 1, where action 0 pays 1 and stays.
        let model = Model {
            rewards: vec![0.0, 0.0, 1.0, 0.0],
            transitions: vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
        };
        let values = values(&model, [2, 2], 3);
        assert_eq!(values[..4], [1.0, 2.0, 3.0, 1.0]);
    }

    #[test]
    fn players_come_in_the_order_of_what_they_know() {
        let mean = |player| {
            (0..200)
                .map(|index| {
                    let mut processes = TabularProcesses::new(10, 5, 10, 1);
                    let mut random = stream(0, "test", &[index]);
                    processes.new_task(0, &mut random);
                    let mut own = stream(0, "player", &[index]);
                    play_tabular(&mut processes, player, 10, &mut random, &mut own)
                        .iter()
                        .sum::<f64>()
                })
                .sum::<f64>()
                / 200.0
        };
        let random = mean(TabularPlayer::Random);
        let posterior = mean(TabularPlayer::PosteriorSampling);
        let optimistic = mean(TabularPlayer::Optimistic { models: 10 });
        let oracle = mean(TabularPlayer::Oracle);
        // A hundred steps whose mean reward is 1 over all processes.
        assert!((random - 100.0).abs() < 3.0, "{random}");
        assert!(posterior > random + 25.0, "{posterior}");
        assert!(optimistic > posterior - 2.0, "{optimistic}");
        assert!(oracle > optimistic + 20.0, "{oracle}");
    }
}
