//! Sinusoid regression (Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning", section 5.1): a task is
//! `y = A sin(x - p)`.

use pliant_compiler::policy::TargetLoss;

use super::{Rows, Split, SupervisedFamily, TaskRows, TaskTable};
use crate::random::{Stream, stream, uniform};
use crate::recipe;

/// Points of the grid on which a held-out task is scored, from the lowest to the highest input.
pub const GRID: usize = 100;

/// One sinusoid.
///
/// ```
/// let task = pliant_trainer::tasks::Sinusoid { amplitude: 2.0, phase: 0.5 };
/// assert!((task.value(0.5 + std::f32::consts::FRAC_PI_2) - 2.0).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sinusoid {
    /// A.
    pub amplitude: f32,
    /// p, radians.
    pub phase: f32,
}

impl Sinusoid {
    /// `A sin(x - p)`, the same bits on every machine.
    pub fn value(&self, x: f32) -> f32 {
        self.amplitude * libm::sinf(x - self.phase)
    }
}

/// The family: intervals to draw from, and the number of shots.
#[derive(Debug, Clone, PartialEq)]
pub struct SinusoidFamily {
    settings: recipe::Sinusoid,
}

impl SinusoidFamily {
    /// The family that a recipe describes.
    pub fn new(settings: &recipe::Sinusoid) -> Self {
        Self {
            settings: settings.clone(),
        }
    }

    /// Task `index` of a split, with the rest of its stream.
    fn task(&self, seed: u64, split: Split, index: u64) -> (Sinusoid, Stream) {
        let name = match split {
            Split::Train => "sinusoid, train",
            Split::Validation => "sinusoid, validation",
            Split::Test => "sinusoid, test",
        };
        let mut random = stream(seed, name, &[index]);
        let [least, greatest] = self.settings.amplitude;
        let amplitude = uniform(&mut random, least, greatest);
        let [least, greatest] = self.settings.phase;
        let phase = uniform(&mut random, least, greatest);
        (Sinusoid { amplitude, phase }, random)
    }

    /// The first tasks of the training split with more rows, to be learned together: they share no task with the other splits.
    pub fn tables(&self, seed: u64) -> Vec<TaskTable> {
        (0..self.settings.together as u64)
            .map(|index| self.table(seed, index))
            .collect()
    }

    fn table(&self, seed: u64, index: u64) -> TaskTable {
        let (task, mut random) = self.task(seed, Split::Train, index);
        let mut rows = || {
            let mut rows = TaskRows {
                inputs: vec![0.0; self.settings.rows],
                targets: vec![0.0; self.settings.rows],
            };
            self.fill(
                task,
                &mut random,
                Rows {
                    inputs: &mut rows.inputs,
                    targets: &mut rows.targets,
                },
            );
            rows
        };
        TaskTable {
            name: format!("sinusoid {index}"),
            features: vec!["x".to_owned()],
            outputs: 1,
            loss: TargetLoss::SquaredError,
            target: vec![(1.0, 0.0)],
            logarithm: false,
            train: rows(),
            validation: rows(),
            test: rows(),
            prepared: None,
        }
    }

    fn fill(&self, task: Sinusoid, random: &mut Stream, rows: Rows<'_>) {
        let [low, high] = self.settings.input;
        for (input, target) in rows.inputs.iter_mut().zip(rows.targets) {
            *input = uniform(random, low, high);
            *target = task.value(*input);
        }
    }
}

impl SupervisedFamily for SinusoidFamily {
    fn input_width(&self) -> usize {
        1
    }

    fn target_width(&self) -> usize {
        1
    }

    fn support_rows(&self) -> usize {
        self.settings.shots
    }

    fn query_rows(&self) -> usize {
        self.settings.queries
    }

    fn evaluation_rows(&self) -> usize {
        GRID
    }

    fn oracle_score(&self, _seed: u64, _split: Split, _index: u64) -> Option<f64> {
        Some(0.0)
    }

    fn sample(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, query: Rows<'_>) {
        let (task, mut random) = self.task(seed, split, index);
        self.fill(task, &mut random, support);
        self.fill(task, &mut random, query);
    }

    fn sample_for_evaluation(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, grid: Rows<'_>) {
        let (task, mut random) = self.task(seed, split, index);
        self.fill(task, &mut random, support);
        let [low, high] = self.settings.input;
        let last = (grid.inputs.len() - 1) as f32;
        for (i, (input, target)) in grid.inputs.iter_mut().zip(grid.targets).enumerate() {
            *input = low + (high - low) * (i as f32 / last);
            *target = task.value(*input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> SinusoidFamily {
        SinusoidFamily::new(&recipe::Sinusoid {
            shots: 10,
            queries: 10,
            amplitude: [0.1, 5.0],
            phase: [0.0, core::f32::consts::PI],
            input: [-5.0, 5.0],
            together: 2,
            rows: 30,
        })
    }

    #[test]
    fn tasks_follow_the_protocol() {
        let family = family();
        let (mut amplitudes, mut phases) = (0.0, 0.0);
        for index in 0..5000 {
            let (task, _) = family.task(0, Split::Train, index);
            assert!((0.1..5.0).contains(&task.amplitude) && (0.0..=core::f32::consts::PI).contains(&task.phase));
            amplitudes += f64::from(task.amplitude) / 5000.0;
            phases += f64::from(task.phase) / 5000.0;
        }
        assert!((amplitudes - 2.55).abs() < 0.06, "{amplitudes}");
        assert!((phases - core::f64::consts::FRAC_PI_2).abs() < 0.04, "{phases}");
    }

    #[test]
    fn support_query_and_grid_come_from_the_same_sinusoid() {
        let family = family();
        let (mut x, mut y, mut xq, mut yq) = ([0.0; 10], [0.0; 10], [0.0; 10], [0.0; 10]);
        let rows = Rows {
            inputs: &mut x,
            targets: &mut y,
        };
        family.sample(
            0,
            Split::Train,
            3,
            rows,
            Rows {
                inputs: &mut xq,
                targets: &mut yq,
            },
        );
        let (task, _) = family.task(0, Split::Train, 3);
        assert!(
            x.iter()
                .zip(&y)
                .chain(xq.iter().zip(&yq))
                .all(|(&x, &y)| task.value(x) == y)
        );
        assert!(x.iter().all(|value| !xq.contains(value)));

        let (mut again, mut targets, mut grid, mut truth) = ([0.0; 10], [0.0; 10], [0.0; GRID], [0.0; GRID]);
        let support = Rows {
            inputs: &mut again,
            targets: &mut targets,
        };
        family.sample_for_evaluation(
            0,
            Split::Train,
            3,
            support,
            Rows {
                inputs: &mut grid,
                targets: &mut truth,
            },
        );
        assert_eq!(again, x, "the grid does not change the support set");
        assert_eq!((grid[0], grid[GRID - 1]), (-5.0, 5.0));
        assert!(grid.iter().zip(&truth).all(|(&x, &y)| task.value(x) == y));
    }

    #[test]
    fn tasks_that_are_learned_together_are_those_of_training() {
        let family = family();
        for (index, table) in family.tables(0).iter().enumerate() {
            let (task, _) = family.task(0, Split::Train, index as u64);
            let all = [&table.train, &table.validation, &table.test];
            for rows in all {
                assert_eq!(rows.inputs.len(), 30);
                assert!(rows.inputs.iter().zip(&rows.targets).all(|(&x, &y)| task.value(x) == y));
            }
            assert!(!table.test.inputs.contains(&table.train.inputs[0]));
        }
    }

    #[test]
    fn splits_share_no_task() {
        let family = family();
        let draw = |split, index| family.task(0, split, index).0;
        assert_ne!(draw(Split::Train, 0), draw(Split::Test, 0));
        assert_ne!(draw(Split::Validation, 0), draw(Split::Test, 0));
        assert_eq!(draw(Split::Test, 7), draw(Split::Test, 7));
    }
}
