//! How much a step for one task helps another: inter-task affinity from lookahead gradients (Fifty, Amid, Zhao, Yu, Anil and
//! Finn 2021, "Efficiently identifying task groupings for multi-task learning", equation 1), and tasks grouped by it.

use super::batch::Batch;
use super::{MultiTaskSettings, graph, set_parameters};
use crate::algorithms::{NamedTensor, TaskBatch};
use crate::engine::{CompileOptions, Engine, Program};
use crate::error::TrainError;

/// Tasks up to which every grouping is looked at.
const EXHAUSTIVE: usize = 10;

/// Looks one step ahead for every task, beside a training that it does not disturb.
pub struct Lookahead {
    settings: MultiTaskSettings,
    gradients: Box<dyn Program>,
    losses: Box<dyn Program>,
    batch: Batch,
}

impl Lookahead {
    /// For the tasks of these settings; without dropout.
    ///
    /// # Errors
    /// What the graphs or the engine refuse.
    pub fn new(settings: &MultiTaskSettings, engine: &dyn Engine) -> Result<Self, TrainError> {
        let settings = MultiTaskSettings {
            dropout: 0.0,
            ..settings.clone()
        };
        let compile = |graph| engine.compile(&graph, &CompileOptions::default());
        Ok(Self {
            gradients: compile(graph::gradient_graph(&settings)?)?,
            losses: compile(graph::loss_graph(&settings)?)?,
            batch: Batch::new(&settings),
            settings,
        })
    }

    /// The affinity of each task to each other, `[tasks, tasks]`, row-major: entry (i, j) is `1 - L_j(θ_i) / L_j(θ)`, where `θ_i`
    /// are the shared parameters `θ` moved against task i's gradient. The step's length is `reach` times the norm of `θ`, so
    /// that tasks whose losses have unlike scales look equally far ahead.
    ///
    /// `parameters` are those of [`MultiTaskLearner::parameters`](super::MultiTaskLearner::parameters), `batches` as of
    /// [`train_on_batch`](super::MultiTaskLearner::train_on_batch). 0 for tasks without rows or gradient.
    ///
    /// # Errors
    /// [`TrainError::BatchShape`], or the engine's own failure.
    pub fn affinities(
        &mut self,
        parameters: &[NamedTensor],
        batches: &[TaskBatch<'_>],
        reach: f32,
    ) -> Result<Vec<f64>, TrainError> {
        let tasks = self.settings.network.tasks.len();
        let shared = self.settings.network.shared().len();
        self.batch.fill(&self.settings, batches, 0)?;
        set_parameters(&mut self.gradients, parameters)?;
        self.batch.set(&mut self.gradients, parameters.len())?;
        self.gradients.run()?;
        let mut before = vec![0.0; tasks];
        self.gradients.get(0, &mut before)?;
        let shared_values: Vec<f32> = parameters[..shared]
            .iter()
            .flat_map(|tensor| tensor.values.clone())
            .collect();
        let mut gradients = vec![0.0; tasks * shared_values.len()];
        self.gradients.get(2, &mut gradients)?;

        set_parameters(&mut self.losses, parameters)?;
        self.batch.set(&mut self.losses, parameters.len())?;
        let norm = |values: &[f32]| values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let length = f64::from(reach) * norm(&shared_values);
        let mut affinities = vec![0.0; tasks * tasks];
        for (task, gradient) in gradients.chunks_exact(shared_values.len().max(1)).enumerate() {
            let size = norm(gradient);
            if size == 0.0 {
                continue;
            }
            let factor = (length / size) as f32;
            let mut at = 0;
            for (index, tensor) in parameters[..shared].iter().enumerate() {
                let moved: Vec<f32> = tensor
                    .values
                    .iter()
                    .zip(&gradient[at..])
                    .map(|(value, slope)| value - factor * slope)
                    .collect();
                at += moved.len();
                self.losses.set(index, &moved)?;
            }
            self.losses.run()?;
            let mut after = vec![0.0; tasks];
            self.losses.get(0, &mut after)?;
            for (other, (after, before)) in after.iter().zip(&before).enumerate() {
                if *before > 0.0 {
                    affinities[task * tasks + other] = 1.0 - f64::from(after / before);
                }
            }
        }
        Ok(affinities)
    }
}

/// How well a grouping fits: the sum over tasks of the mean affinity that the others of its group have to it, 0 for a task
/// by itself (Fifty et al. 2021, section 4.1). `affinities` are `[tasks, tasks]`.
pub fn grouping_score(affinities: &[f64], groups: &[Vec<usize>]) -> f64 {
    let tasks = (affinities.len() as f64).sqrt().round() as usize;
    let one = |group: &Vec<usize>| -> f64 {
        let to = |task: usize| {
            let others = group.iter().filter(|other| **other != task);
            others.map(|other| affinities[other * tasks + task]).sum::<f64>()
        };
        group.iter().map(|&task| to(task)).sum::<f64>() / (group.len().max(2) - 1) as f64
    };
    groups.iter().map(one).sum()
}

/// The grouping of the tasks into at most `most` groups with the highest [score](grouping_score); groups and their tasks in
/// ascending order. All groupings of up to ten tasks are looked at; of more, groups are merged as long as that helps or
/// there are too many, the best pair first.
///
/// ```
/// use pliant_trainer::algorithms::group_tasks;
/// // Tasks 0 and 2 help each other, 1 harms both.
/// let affinities = [0.3, -0.1, 0.2, -0.1, 0.3, -0.2, 0.2, -0.1, 0.3];
/// assert_eq!(group_tasks(&affinities, 2), [vec![0, 2], vec![1]]);
/// ```
pub fn group_tasks(affinities: &[f64], most: usize) -> Vec<Vec<usize>> {
    let tasks = (affinities.len() as f64).sqrt().round() as usize;
    let mut best = (f64::NEG_INFINITY, Vec::new());
    if tasks <= EXHAUSTIVE {
        every_grouping(&mut Vec::new(), 0, tasks, most.max(1), &mut |groups| {
            let score = grouping_score(affinities, groups);
            if score > best.0 {
                best = (score, groups.to_vec());
            }
        });
        return best.1;
    }
    let mut groups: Vec<Vec<usize>> = (0..tasks).map(|task| vec![task]).collect();
    loop {
        let now = grouping_score(affinities, &groups);
        let mut found: Option<(f64, Vec<Vec<usize>>)> = None;
        for first in 0..groups.len() {
            for second in first + 1..groups.len() {
                let mut merged = groups.clone();
                let other = merged.remove(second);
                merged[first].extend(other);
                let score = grouping_score(affinities, &merged);
                if found.as_ref().is_none_or(|(best, _)| score > *best) {
                    found = Some((score, merged));
                }
            }
        }
        match found {
            Some((score, merged)) if score > now || groups.len() > most => groups = merged,
            _ => break,
        }
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort();
    groups
}

/// Calls `with` for every grouping of the tasks from `task` on, put into `groups` or groups of their own.
fn every_grouping(
    groups: &mut Vec<Vec<usize>>,
    task: usize,
    tasks: usize,
    most: usize,
    with: &mut dyn FnMut(&[Vec<usize>]),
) {
    if task == tasks {
        with(groups);
        return;
    }
    for group in 0..groups.len() {
        groups[group].push(task);
        every_grouping(groups, task + 1, tasks, most, with);
        groups[group].pop();
    }
    if groups.len() < most {
        groups.push(vec![task]);
        every_grouping(groups, task + 1, tasks, most, with);
        groups.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of tasks that help each other and harm the rest.
    fn blocks(tasks: usize, of: usize) -> Vec<f64> {
        (0..tasks * tasks)
            .map(|at| if at / tasks % of == at % tasks % of { 0.2 } else { -0.1 })
            .collect()
    }

    #[test]
    fn every_grouping_is_looked_at_once() {
        // The Bell number of 6, and groupings of 4 into at most 2 groups.
        for (tasks, most, count) in [(6, 6, 203), (4, 2, 8)] {
            let mut seen = std::collections::BTreeSet::new();
            every_grouping(&mut Vec::new(), 0, tasks, most, &mut |groups| {
                assert!(seen.insert(groups.to_vec()));
            });
            assert_eq!(seen.len(), count);
        }
    }

    #[test]
    fn blocks_are_found_by_both_ways() {
        assert_eq!(group_tasks(&blocks(6, 2), 3), [vec![0, 2, 4], vec![1, 3, 5]]);
        let groups = group_tasks(&blocks(12, 3), 3);
        assert_eq!(groups, [vec![0, 3, 6, 9], vec![1, 4, 7, 10], vec![2, 5, 8, 11]]);
        // One group, whatever it costs.
        assert_eq!(group_tasks(&blocks(4, 2), 1), [vec![0, 1, 2, 3]]);
        assert!((grouping_score(&blocks(4, 2), &[vec![0, 2], vec![1, 3]]) - 0.8).abs() < 1e-12);
    }
}
