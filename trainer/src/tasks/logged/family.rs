//! Logged tasks to learn to learn from: some of the tasks train, others are new in the tests.

use pliant_runtime::contract::{Channel, Contract};

use super::DataError;
use super::source::{Source, read};
use super::tables::{ColumnScale, scales, shares, shuffle, unit_of};
use crate::deployment::DeploymentError;
use crate::random::stream;
use crate::recipe::{Logged, Missing, Redefinition, TargetKind};
use crate::tasks::{Rows, Split, SupervisedFamily};

/// The tasks of a recipe, by split. A task's index counts on through the tasks of its split again and again, with other
/// rows each time.
#[derive(Debug, Clone)]
pub struct LoggedFamily {
    settings: Logged,
    channels: Vec<String>,
    outputs: Vec<String>,
    scales: Vec<ColumnScale>,
    units: Vec<(f32, f32)>,
    /// Rows of inputs and targets as logged, missing inputs filled in; of the tasks of each split.
    tasks: [Vec<TaskData>; 3],
}

#[derive(Debug, Clone)]
struct TaskData {
    inputs: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
}

impl LoggedFamily {
    /// Reads the files of a recipe; `seed` decides which tasks train.
    ///
    /// # Errors
    /// What is wrong with the files; fewer than one task for each split, or a task with too few rows.
    pub fn read(settings: &Logged, seed: u64) -> Result<Self, DataError> {
        let mut sources = read(settings)?;
        let first = sources[0].clone();
        for source in &mut sources {
            let task = source.name.clone();
            let wrong = |problem: String| {
                Err(DataError::Task {
                    task: task.clone(),
                    problem,
                })
            };
            if source.outputs != first.outputs || source.kind == TargetKind::Class {
                return wrong("to learn to learn, all tasks have the same targets, numbers or labels".to_owned());
            }
            // A row with a target that misses cannot be learned from.
            let whole: Vec<bool> = source
                .targets
                .iter()
                .map(|row| row.iter().all(|value| !value.is_nan()))
                .collect();
            let mut keep = whole.iter();
            source.inputs.retain(|_| *keep.next().unwrap_or(&false));
            let mut keep = whole.iter();
            source.targets.retain(|_| *keep.next().unwrap_or(&false));
            let (needed, found) = (settings.shots + settings.queries, source.inputs.len());
            if found < needed {
                return wrong(format!(
                    "it has {found} rows with every target; `shots` and `queries` together need {needed}"
                ));
            }
        }
        let splits = splits_of_tasks(settings, &sources, seed)?;
        let training: Vec<&Source> = sources
            .iter()
            .zip(&splits)
            .filter(|(_, split)| **split == Split::Train)
            .map(|(source, _)| source)
            .collect();
        let rows: Vec<&[f64]> = training
            .iter()
            .flat_map(|source| source.inputs.iter().map(Vec::as_slice))
            .collect();
        let scales = scales(&settings.features, &first, &rows)?;
        let standardise = first.kind == TargetKind::Number && first.redefine == Redefinition::Standardise;
        let unit = |output: usize| match standardise {
            true => unit_of(
                training
                    .iter()
                    .flat_map(|source| source.targets.iter().map(move |row| row[output])),
            ),
            false => (1.0, 0.0),
        };
        let units = (0..first.outputs.len()).map(unit).collect();
        let mut tasks: [Vec<TaskData>; 3] = Default::default();
        for (source, split) in sources.iter().zip(splits) {
            let fill = |(place, value): (usize, &f64)| {
                let value = if value.is_nan() {
                    scales[place % scales.len()].stands
                } else {
                    *value
                };
                value as f32
            };
            tasks[split as usize].push(TaskData {
                inputs: source
                    .inputs
                    .iter()
                    .map(|row| row.iter().enumerate().map(fill).collect())
                    .collect(),
                targets: source
                    .targets
                    .iter()
                    .map(|row| row.iter().map(|value| *value as f32).collect())
                    .collect(),
            });
        }
        Ok(Self {
            channels: settings.channels(&first.columns),
            outputs: first.outputs,
            settings: settings.clone(),
            scales,
            units,
            tasks,
        })
    }

    /// Names of what goes in and out, with the scales that training saw them by.
    ///
    /// # Errors
    /// More channels than a contract can have.
    pub fn contract(&self) -> Result<Contract, DeploymentError> {
        let mut contract = Contract::new(1.0);
        for (place, name) in self.channels.iter().enumerate() {
            let scale = self.scale(place);
            let channel = Channel::observation(name, "");
            contract.observe(Channel {
                mean: scale.mean as f32,
                scale: (1.0 / scale.factor) as f32,
                ..channel
            })?;
            if scale.missed && self.settings.missing == Missing::Mean {
                contract.substitute(scale.stands as f32)?;
            }
        }
        for (name, &(scale, offset)) in self.outputs.iter().zip(&self.units) {
            contract.actuate(Channel::action(name, "").with_normaliser(offset, scale))?;
        }
        Ok(contract)
    }

    /// A column that never varies is left as it is: the channel's scale must be a number.
    fn scale(&self, place: usize) -> ColumnScale {
        let scale = self.scales[place % self.scales.len()];
        ColumnScale {
            factor: if scale.factor > 0.0 { scale.factor } else { 1.0 },
            ..scale
        }
    }

    /// Fills rows of a task as logged: drawn without repetition, first the support rows.
    fn fill(&self, seed: u64, split: Split, index: u64, parts: [Rows<'_>; 2]) {
        let tasks = &self.tasks[split as usize];
        let task = &tasks[index as usize % tasks.len()];
        let mut order: Vec<usize> = (0..task.inputs.len()).collect();
        let mut random = stream(seed, "rows of a logged task", &[split as u64, index]);
        shuffle(&mut order, &mut random);
        let mut order = order.into_iter().cycle();
        for rows in parts {
            let targets = rows.targets.chunks_exact_mut(self.outputs.len());
            for (input, target) in rows.inputs.chunks_exact_mut(self.channels.len()).zip(targets) {
                let row = order.next().unwrap_or(0);
                input.copy_from_slice(&task.inputs[row]);
                target.copy_from_slice(&task.targets[row]);
            }
        }
    }

    fn normalise(&self, rows: &mut Rows<'_>) {
        for (place, value) in rows.inputs.iter_mut().enumerate() {
            let scale = self.scale(place % self.channels.len());
            *value = ((f64::from(*value) - scale.mean) * scale.factor) as f32;
        }
        for (value, &(scale, offset)) in rows.targets.iter_mut().zip(self.units.iter().cycle()) {
            *value = (*value - offset) / scale;
        }
    }
}

/// The split of each task: as its rows say, or drawn.
fn splits_of_tasks(settings: &Logged, sources: &[Source], seed: u64) -> Result<Vec<Split>, DataError> {
    let mut splits = vec![Split::Train; sources.len()];
    if settings.split_column.is_some() {
        for (split, source) in splits.iter_mut().zip(sources) {
            let rows = source.splits.as_deref().unwrap_or_default();
            *split = rows.first().copied().unwrap_or(Split::Train);
            if rows.iter().any(|row| *row != *split) {
                let problem =
                    "its rows are of several splits; to learn to learn, a whole task trains or tests".to_owned();
                return Err(DataError::Task {
                    task: source.name.clone(),
                    problem,
                });
            }
        }
    } else {
        let mut order: Vec<usize> = (0..sources.len()).collect();
        shuffle(&mut order, &mut stream(seed, "split of logged tasks", &[]));
        order
            .iter()
            .zip(shares(settings.split, sources.len()))
            .for_each(|(&task, split)| splits[task] = split);
    }
    for split in [Split::Train, Split::Validation, Split::Test] {
        if !splits.contains(&split) {
            return Err(DataError::Task {
                task: sources[0].name.clone(),
                problem: format!(
                    "with it there are {} tasks, and none for {}; to learn to learn takes at least one for each of \
                     training, validation and test: add tasks, or change `split`",
                    sources.len(),
                    split.name()
                ),
            });
        }
    }
    Ok(splits)
}

impl SupervisedFamily for LoggedFamily {
    fn input_width(&self) -> usize {
        self.channels.len()
    }

    fn target_width(&self) -> usize {
        self.outputs.len()
    }

    fn support_rows(&self) -> usize {
        self.settings.shots
    }

    fn query_rows(&self) -> usize {
        self.settings.queries
    }

    fn evaluation_rows(&self) -> usize {
        self.settings.queries
    }

    fn task_count(&self, split: Split) -> Option<u64> {
        Some(self.tasks[split as usize].len() as u64)
    }

    fn sample(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, query: Rows<'_>) {
        let (mut support, mut query) = (support, query);
        self.fill(
            seed,
            split,
            index,
            [
                Rows {
                    inputs: &mut *support.inputs,
                    targets: &mut *support.targets,
                },
                Rows {
                    inputs: &mut *query.inputs,
                    targets: &mut *query.targets,
                },
            ],
        );
        self.normalise(&mut support);
        self.normalise(&mut query);
    }

    fn sample_for_evaluation(&self, seed: u64, split: Split, index: u64, support: Rows<'_>, scored: Rows<'_>) {
        self.fill(seed, split, index, [support, scored]);
    }
}
