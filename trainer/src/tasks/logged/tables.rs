//! Logged tasks as tables: split, scaled, with features.

use pliant_compiler::graph::{DType, Graph};
use pliant_compiler::policy::{FeatureMap, InputScaling, TargetLoss};
use rand_core::Rng;

use super::DataError;
use super::source::{Source, read};
use crate::engine::{CompileOptions, Engine, PlanEngine};
use crate::random::{Stream, stream};
use crate::recipe::{Features, Logged, Redefinition, Scale, TargetKind};
use crate::tasks::{Prepared, Split, TaskRows, TaskTable};

/// Least spread of a column that is scaled: one that never varies says nothing and becomes 0.
const LEAST_SPREAD: f64 = 1e-12;

/// The tasks of a recipe that are learned together, each with its rows.
pub(crate) fn logged_tables(settings: &Logged, seed: u64) -> Result<Vec<TaskTable>, DataError> {
    let sources = read(settings)?;
    let pooled = sources.iter().all(|source| source.columns == sources[0].columns);
    let columns = sources.iter().map(|source| source.columns.len()).max().unwrap_or(0);
    let splits: Vec<Vec<Split>> = sources
        .iter()
        .enumerate()
        .map(|(task, source)| rows_of_splits(settings, source, seed, task))
        .collect::<Result<_, _>>()?;

    let angle = |source: &Source, column: usize| {
        source
            .columns
            .get(column)
            .is_some_and(|name| settings.features.angles.contains(name))
    };
    check_angles(settings, &sources)?;
    let any = |wanted: &dyn Fn(&Source, usize) -> bool| -> Vec<usize> {
        (0..columns)
            .filter(|&column| sources.iter().any(|source| wanted(source, column)))
            .collect()
    };
    let plain = any(&|source, column| column < source.columns.len() && !angle(source, column));
    let angles = any(&angle);
    let map = settings.features.map(columns, &plain, &angles, seed);

    let training = |task: usize| {
        let rows = sources[task].inputs.iter().zip(&splits[task]);
        rows.filter(|(_, split)| **split == Split::Train)
            .map(|(row, _)| row.as_slice())
    };
    let of_all: Option<Vec<ColumnScale>> = pooled
        .then(|| {
            let rows: Vec<&[f64]> = (0..sources.len()).flat_map(&training).collect();
            scales(&settings.features, &sources[0], &rows)
        })
        .transpose()?;
    let mut tables = Vec::new();
    for (task, source) in sources.iter().enumerate() {
        let scales = match &of_all {
            Some(scales) => scales.clone(),
            None => scales(&settings.features, source, &training(task).collect::<Vec<_>>())?,
        };
        tables.push(table(settings, source, &splits[task], &scales, &map, columns)?);
    }
    Ok(tables)
}

/// What is done to one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnScale {
    pub(super) mean: f64,
    pub(super) factor: f64,
    /// What stands for a missing value, and whether some were missing.
    pub(super) stands: f64,
    pub(super) missed: bool,
}

/// Scales of the columns of a task, from the present of training rows.
pub(super) fn scales(features: &Features, source: &Source, rows: &[&[f64]]) -> Result<Vec<ColumnScale>, DataError> {
    let scale = |(column, name): (usize, &String)| {
        let values: Vec<f64> = rows
            .iter()
            .map(|row| row[column])
            .filter(|value| !value.is_nan())
            .collect();
        let count = values.len() as f64;
        if values.is_empty() {
            let problem = format!("column `{name}` has no value in any training row; leave it out with `inputs`");
            return Err(DataError::Task {
                task: source.name.clone(),
                problem,
            });
        }
        let mean = values.iter().sum::<f64>() / count;
        let stands = ColumnScale {
            mean: 0.0,
            factor: 1.0,
            stands: mean,
            missed: values.len() < rows.len(),
        };
        if features.angles.contains(name) {
            let factor = if features.degrees { 1f64.to_radians() } else { 1.0 };
            return Ok(ColumnScale { factor, ..stands });
        }
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (centre, spread) = match features.scale {
            Scale::None => (0.0, 1.0),
            Scale::Standard => (mean, deviation),
            Scale::Range => (0.5 * (least + most), 0.5 * (most - least)),
        };
        let factor = if spread > LEAST_SPREAD * mean.abs().max(LEAST_SPREAD) {
            spread.recip()
        } else {
            0.0
        };
        Ok(ColumnScale {
            mean: centre,
            factor,
            ..stands
        })
    };
    source.columns.iter().enumerate().map(scale).collect()
}

fn check_angles(settings: &Logged, sources: &[Source]) -> Result<(), DataError> {
    let unknown = |angle: &&String| !sources.iter().any(|source| source.columns.contains(angle));
    match settings.features.angles.iter().find(unknown) {
        None => Ok(()),
        Some(angle) => Err(DataError::Features(format!(
            "`family.logged.features.angles` names `{angle}`, which is no input of any task"
        ))),
    }
}

fn table(
    settings: &Logged,
    source: &Source,
    splits: &[Split],
    scales: &[ColumnScale],
    map: &FeatureMap,
    columns: usize,
) -> Result<TaskTable, DataError> {
    let history = settings.features.history;
    let own = source.columns.len();
    // Where a channel of the widest task lies among this one's, if it has it.
    let channels: Vec<Option<usize>> = (0..=history)
        .flat_map(|back| (0..columns).map(move |column| (column < own).then_some(back * own + column)))
        .collect();
    let scale = |place: usize| scales[place % own.max(1)];
    let of = |value: &dyn Fn(ColumnScale) -> f64| -> Vec<f32> {
        channels
            .iter()
            .map(|channel| channel.map_or(0.0, |place| value(scale(place)) as f32))
            .collect()
    };
    let angle = |place: usize| settings.features.angles.contains(&source.columns[place % own.max(1)]);
    let angles: Vec<bool> = channels.iter().map(|channel| channel.is_some_and(angle)).collect();
    let plain: Vec<bool> = channels
        .iter()
        .map(|channel| channel.is_some_and(|place| !angle(place)))
        .collect();
    let scaling = InputScaling {
        mean: of(&|scale| scale.mean),
        factor: of(&|scale| scale.factor),
        mask: map.mask(&plain, &angles),
    };

    let (loss, target, logarithm) = targets(source, splits);
    let mut raw: [TaskRows; 3] = Default::default();
    for ((inputs, targets), split) in source.inputs.iter().zip(&source.targets).zip(splits) {
        let rows = &mut raw[*split as usize];
        rows.inputs.extend(channels.iter().map(|channel| {
            channel.map_or(0.0, |place| match inputs[place] {
                value if value.is_nan() => scale(place).stands as f32,
                value => value as f32,
            })
        }));
        rows.targets.extend(targets.iter().map(|value| *value as f32));
    }
    for (split, rows) in [Split::Train, Split::Validation, Split::Test].into_iter().zip(&raw) {
        if rows.targets.len() < 2 * source.outputs.len() {
            let problem = format!(
                "{} of its {} rows are for {}; at least 2 are needed: add rows, or change `split`",
                rows.targets.len() / source.outputs.len(),
                source.inputs.len(),
                split.name()
            );
            return Err(DataError::Task {
                task: source.name.clone(),
                problem,
            });
        }
    }
    let mut seen = Vec::new();
    for rows in &raw {
        let unit = target.iter().cycle();
        let value = |(value, &(scale, offset)): (&f32, &(f32, f32))| {
            let value = if logarithm { value.ln() } else { *value };
            (value - offset) / scale
        };
        seen.push(TaskRows {
            inputs: network_inputs(map, &scaling, &rows.inputs)?,
            targets: rows.targets.iter().zip(unit).map(value).collect(),
        });
    }
    let names = settings.channels(
        &(0..columns)
            .map(|column| {
                source
                    .columns
                    .get(column)
                    .cloned()
                    .unwrap_or_else(|| format!("absent {column}"))
            })
            .collect::<Vec<_>>(),
    );
    let mut seen = seen.into_iter();
    let mut next = || seen.next().unwrap_or_default();
    Ok(TaskTable {
        name: source.name.clone(),
        features: map.names(&names),
        outputs: source.outputs.len(),
        loss,
        target,
        logarithm,
        train: next(),
        validation: next(),
        test: next(),
        prepared: Some(Prepared {
            map: map.clone(),
            scaling,
            substitutes: channels
                .iter()
                .map(|channel| {
                    channel
                        .map(scale)
                        .filter(|scale| scale.missed)
                        .map(|scale| scale.stands as f32)
                })
                .collect(),
            channels: names,
            raw,
        }),
    })
}

/// Loss, unit of each output, and whether the logarithm is learned.
fn targets(source: &Source, splits: &[Split]) -> (TargetLoss, Vec<(f32, f32)>, bool) {
    let outputs = source.outputs.len();
    let loss = match source.kind {
        TargetKind::Number => TargetLoss::SquaredError,
        TargetKind::Label => return (TargetLoss::BinaryCrossEntropy, vec![(1.0, 0.0); outputs], false),
        TargetKind::Class => return (TargetLoss::CrossEntropy, vec![(1.0, 0.0); outputs], false),
    };
    let logarithm = source.redefine == Redefinition::Logarithm;
    if source.redefine == Redefinition::None {
        return (loss, vec![(1.0, 0.0); outputs], false);
    }
    let unit = |output: usize| {
        let rows = source
            .targets
            .iter()
            .zip(splits)
            .filter(|(_, split)| **split == Split::Train);
        unit_of(rows.map(|(row, _)| if logarithm { row[output].ln() } else { row[output] }))
    };
    (loss, (0..outputs).map(unit).collect(), logarithm)
}

/// Standard deviation and mean, missing values left out; 1 for what never varies.
pub(super) fn unit_of(values: impl Iterator<Item = f64>) -> (f32, f32) {
    let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let deviation = if deviation > LEAST_SPREAD * mean.abs().max(LEAST_SPREAD) {
        deviation
    } else {
        1.0
    };
    (deviation as f32, mean as f32)
}

/// What the network sees of raw rows: by the graph that is in the image.
pub(crate) fn network_inputs(map: &FeatureMap, scaling: &InputScaling, raw: &[f32]) -> Result<Vec<f32>, DataError> {
    let rows = raw.len() / map.inputs.max(1);
    if rows == 0 {
        return Ok(Vec::new());
    }
    let scaled: Vec<f32> = raw
        .chunks_exact(map.inputs)
        .flat_map(|row| {
            let scaled = row.iter().zip(&scaling.mean).zip(&scaling.factor);
            scaled.map(|((value, mean), factor)| (value - mean) * factor)
        })
        .collect();
    let wrong = |error: &dyn std::fmt::Display| DataError::Features(error.to_string());
    let mut graph = Graph::new();
    let x = graph
        .input("x", DType::F32, &[rows, map.inputs])
        .map_err(|error| wrong(&error))?;
    let features = map.apply(&mut graph, x).map_err(|error| wrong(&error))?;
    let mask = graph
        .input("mask", DType::F32, &[map.width()])
        .map_err(|error| wrong(&error))?;
    let masked = graph.mul(features, mask).map_err(|error| wrong(&error))?;
    graph.output("features", masked).map_err(|error| wrong(&error))?;
    let engine = PlanEngine::fast();
    let mut program = engine
        .compile(&graph, &CompileOptions::default())
        .map_err(|error| wrong(&error))?;
    program.set(0, &scaled).map_err(|error| wrong(&error))?;
    program.set(1, &scaling.mask).map_err(|error| wrong(&error))?;
    program.run().map_err(|error| wrong(&error))?;
    let mut values = vec![0.0; rows * map.width()];
    program.get(0, &mut values).map_err(|error| wrong(&error))?;
    Ok(values)
}

/// The split of each row of a task.
fn rows_of_splits(settings: &Logged, source: &Source, seed: u64, task: usize) -> Result<Vec<Split>, DataError> {
    if let Some(splits) = &source.splits {
        return Ok(splits.clone());
    }
    let rows = source.inputs.len();
    let mut random = stream(seed, "split of logged rows", &[task as u64]);
    let by_recording = settings.sequence_column.is_some();
    if settings.features.history > 0 && !by_recording {
        // One recording: its end is not seen in training.
        return Ok(shares(settings.split, rows).collect());
    }
    // What must stay together: recordings, or each row for itself; and what must be in proportion.
    let mut strata: Vec<Vec<Vec<usize>>> = Vec::new();
    if by_recording {
        let count = source.sequences.iter().max().map_or(0, |most| most + 1);
        let mut recordings = vec![Vec::new(); count];
        source
            .sequences
            .iter()
            .enumerate()
            .for_each(|(row, &sequence)| recordings[sequence].push(row));
        strata.push(recordings);
    } else {
        let classes = if source.kind == TargetKind::Class {
            source.outputs.len()
        } else {
            1
        };
        strata.resize(classes, Vec::new());
        for row in 0..rows {
            let class = source.targets[row]
                .iter()
                .position(|value| classes > 1 && *value > 0.5)
                .unwrap_or(0);
            strata[class].push(vec![row]);
        }
    }
    let mut splits = vec![Split::Train; rows];
    for mut units in strata {
        shuffle(&mut units, &mut random);
        for (unit, split) in units.iter().zip(shares(settings.split, units.len())) {
            unit.iter().for_each(|&row| splits[row] = split);
        }
    }
    Ok(splits)
}

/// As many of each split as its share says, in order: training has what rounding leaves.
pub(super) fn shares(split: [f32; 3], count: usize) -> impl Iterator<Item = Split> {
    let sum: f32 = split.iter().sum();
    let own = |share: f32| (f64::from(share / sum) * count as f64).round() as usize;
    let (validation, test) = (own(split[1]), own(split[2]));
    let train = count.saturating_sub(validation + test);
    (0..count).map(move |index| match index {
        index if index < train => Split::Train,
        index if index < train + validation => Split::Validation,
        _ => Split::Test,
    })
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(values: &mut [T], random: &mut Stream) {
    for index in (1..values.len()).rev() {
        let other = ((u128::from(random.next_u64()) * (index as u128 + 1)) >> 64) as usize;
        values.swap(index, other);
    }
}
