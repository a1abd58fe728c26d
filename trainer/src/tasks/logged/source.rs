//! From files to tasks: whose rows are whose, which columns are what, and what a row's past is.

use std::path::Path;

use super::DataError;
use super::frame::Frame;
use crate::recipe::{Logged, Missing, Redefinition, TargetKind};
use crate::tasks::Split;

const USE_INPUTS: &str =
    "correct it, name the columns to use with `inputs`, or list it in `missing_markers` if it stands for no value";
const USE_TARGETS: &str = "correct it, say what targets are with `kind`, or leave the cell empty (or list it in `missing_markers`) \
                           if there is no value";

/// One task as it stands in its file, rows in order.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: String,
    /// Names of the input columns.
    pub(super) columns: Vec<String>,
    pub(super) kind: TargetKind,
    pub(super) redefine: Redefinition,
    /// Names of the target columns; of the classes where there are classes.
    pub(super) outputs: Vec<String>,
    /// `[rows][columns * (1 + history)]`, NaN where missing.
    pub(super) inputs: Vec<Vec<f64>>,
    /// `[rows][outputs]`, NaN where missing.
    pub(super) targets: Vec<Vec<f64>>,
    /// Number of the recording of each row.
    pub(super) sequences: Vec<usize>,
    /// What the split column says.
    pub(super) splits: Option<Vec<Split>>,
}

/// Reads every file of a recipe. Tasks in the order of the files, and in them of first appearance.
pub(super) fn read(settings: &Logged) -> Result<Vec<Source>, DataError> {
    let mut sources: Vec<Source> = Vec::new();
    for file in &settings.files {
        let path = Path::new(&settings.folder).join(file);
        let frame = Frame::read(&path, &settings.missing_markers)?;
        let mut tasks: Vec<(String, Vec<usize>)> = Vec::new();
        match &settings.task_column {
            None => {
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(file);
                tasks.push((stem.to_owned(), (0..frame.rows).collect()));
            }
            Some(column) => {
                let values = frame.column(column)?;
                for row in 0..frame.rows {
                    let name = frame.text(values, row).ok_or_else(|| {
                        frame.cell(
                            column,
                            row,
                            "an empty cell",
                            "the name of a task",
                            "fill it in, or take the row out",
                        )
                    })?;
                    match tasks.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, rows)) => rows.push(row),
                        None => tasks.push((name, vec![row])),
                    }
                }
            }
        }
        let all_targets = || {
            let own = settings.tasks.values().filter_map(|task| task.targets.as_ref());
            own.flatten().chain(&settings.targets)
        };
        for (name, rows) in tasks {
            let source = task(settings, &frame, &name, &rows, all_targets().cloned().collect())?;
            match sources.iter_mut().find(|known| known.name == name) {
                // The same task in several files.
                Some(known)
                    if settings.task_column.is_some()
                        && known.columns == source.columns
                        && known.outputs == source.outputs =>
                {
                    let before = known.sequences.iter().max().map_or(0, |most| most + 1);
                    known.inputs.extend(source.inputs);
                    known.targets.extend(source.targets);
                    known
                        .sequences
                        .extend(source.sequences.iter().map(|sequence| sequence + before));
                    if let (Some(splits), Some(more)) = (&mut known.splits, source.splits) {
                        splits.extend(more);
                    }
                }
                Some(_) => {
                    let problem = "two files hold it, with other columns or classes; give each another name".to_owned();
                    return Err(DataError::Task { task: name, problem });
                }
                None => sources.push(source),
            }
        }
    }
    if let Some(unknown) = settings
        .tasks
        .keys()
        .find(|name| !sources.iter().any(|source| source.name == **name))
    {
        return Err(DataError::NoTask {
            task: unknown.clone(),
            found: sources.into_iter().map(|source| source.name).collect(),
        });
    }
    Ok(sources)
}

fn task(
    settings: &Logged,
    frame: &Frame,
    name: &str,
    rows: &[usize],
    all_targets: Vec<String>,
) -> Result<Source, DataError> {
    let own = settings.tasks.get(name).cloned().unwrap_or_default();
    let targets = own.targets.unwrap_or_else(|| settings.targets.clone());
    let kind = own.kind.unwrap_or(settings.kind);
    let redefine = own.redefine.unwrap_or(settings.redefine);
    let named = own.inputs.unwrap_or_else(|| settings.inputs.clone());
    let other = [&settings.task_column, &settings.sequence_column, &settings.split_column];
    let other = |column: &String| other.iter().any(|other| other.as_ref() == Some(column));
    let columns = match named.is_empty() {
        false => named,
        true => {
            let rest = frame
                .names
                .iter()
                .filter(|column| !all_targets.contains(column) && !other(column));
            rest.cloned().collect()
        }
    };
    let problem = |problem: String| {
        Err(DataError::Task {
            task: name.to_owned(),
            problem,
        })
    };
    if let Some(both) = columns.iter().find(|column| targets.contains(column)) {
        return problem(format!("column `{both}` is an input and a target; take it out of one"));
    }
    if columns.is_empty() || targets.is_empty() {
        return problem("it has no columns left for inputs, or no targets".to_owned());
    }
    let by_column: Vec<Vec<f64>> = columns
        .iter()
        .map(|column| frame.numbers(column, rows, USE_INPUTS))
        .collect::<Result<_, _>>()?;
    let sequences = sequences(settings, frame, rows)?;
    let (outputs, by_output) = match kind {
        TargetKind::Number => {
            let values: Vec<Vec<f64>> = targets
                .iter()
                .map(|column| frame.numbers(column, rows, USE_TARGETS))
                .collect::<Result<_, _>>()?;
            if redefine == Redefinition::Logarithm {
                for (column, values) in targets.iter().zip(&values) {
                    if let Some(row) = values.iter().position(|value| *value <= 0.0) {
                        let instead = "leave the cell empty, or redefine by \"standardise\"";
                        let found = values[row].to_string();
                        return Err(frame.cell(
                            column,
                            rows[row],
                            &found,
                            "above 0, of which the logarithm is learned",
                            instead,
                        ));
                    }
                }
            }
            (targets, values)
        }
        TargetKind::Label => {
            let values = targets
                .iter()
                .map(|column| labels(frame, column, rows))
                .collect::<Result<_, _>>()?;
            (targets, values)
        }
        TargetKind::Class => {
            let [column] = &targets[..] else {
                return problem(format!("classes stand in one column, not in {}", targets.len()));
            };
            classes(frame, name, column, rows)?
        }
    };
    let splits = match &settings.split_column {
        Some(column) => Some(splits(frame, column, rows)?),
        None => None,
    };
    let mut source = Source {
        name: name.to_owned(),
        kind,
        redefine,
        outputs,
        inputs: with_past(&by_column, &sequences, settings.features.history),
        targets: (0..rows.len())
            .map(|row| by_output.iter().map(|values| values[row]).collect())
            .collect(),
        columns,
        sequences,
        splits,
    };
    if let (Missing::Refuse, Some((row, column))) = (settings.missing, missing(&source)) {
        let column = &source.columns[column];
        let instead = "fill it in, or choose `missing = \"mean\"` or `\"drop\"`";
        return Err(frame.cell(column, rows[row], "an empty cell", "a number", instead));
    }
    // A row without any target teaches nothing.
    let complete = |inputs: &[f64]| settings.missing != Missing::Drop || inputs.iter().all(|value| !value.is_nan());
    let keep: Vec<bool> = (source.inputs.iter().zip(&source.targets))
        .map(|(inputs, targets)| complete(inputs) && targets.iter().any(|value| !value.is_nan()))
        .collect();
    source.retain(&keep);
    if source.inputs.is_empty() {
        return problem("no row is left: every one misses its targets or an input".to_owned());
    }
    Ok(source)
}

impl Source {
    fn retain(&mut self, keep: &[bool]) {
        fn kept<T>(values: &mut Vec<T>, keep: &[bool]) {
            let mut keep = keep.iter();
            values.retain(|_| *keep.next().unwrap_or(&true));
        }
        kept(&mut self.inputs, keep);
        kept(&mut self.targets, keep);
        kept(&mut self.sequences, keep);
        if let Some(splits) = &mut self.splits {
            kept(splits, keep);
        }
    }
}

/// The first missing input, by row and column.
fn missing(source: &Source) -> Option<(usize, usize)> {
    let columns = source.columns.len();
    source.inputs.iter().enumerate().find_map(|(row, values)| {
        let column = values[..columns].iter().position(|value| value.is_nan())?;
        Some((row, column))
    })
}

fn sequences(settings: &Logged, frame: &Frame, rows: &[usize]) -> Result<Vec<usize>, DataError> {
    let Some(name) = &settings.sequence_column else {
        return Ok(vec![0; rows.len()]);
    };
    let column = frame.column(name)?;
    let mut known: Vec<Option<String>> = Vec::new();
    let number = |&row: &usize| {
        let value = frame.text(column, row);
        known.iter().position(|other| *other == value).unwrap_or_else(|| {
            known.push(value);
            known.len() - 1
        })
    };
    Ok(rows.iter().map(number).collect())
}

/// Each row's columns, then those of the rows before it in its recording; the first stands for what came before it.
fn with_past(by_column: &[Vec<f64>], sequences: &[usize], history: usize) -> Vec<Vec<f64>> {
    let mut last: Vec<Vec<usize>> = Vec::new();
    (0..sequences.len())
        .map(|row| {
            let sequence = sequences[row];
            if last.len() <= sequence {
                last.resize(sequence + 1, Vec::new());
            }
            let rows = &mut last[sequence];
            rows.push(row);
            let past = |back: usize| rows[rows.len().saturating_sub(1 + back)];
            (0..=history)
                .flat_map(|back| by_column.iter().map(move |values| (back, values)))
                .map(|(back, values)| values[past(back)])
                .collect()
        })
        .collect()
}

fn labels(frame: &Frame, column: &str, rows: &[usize]) -> Result<Vec<f64>, DataError> {
    let values = frame.column(column)?;
    let label = |&row: &usize| {
        let text = frame.text(values, row).map(|text| text.to_lowercase());
        match text.as_deref() {
            None => Ok(f64::NAN),
            Some("1" | "true" | "yes") => Ok(1.0),
            Some("0" | "false" | "no") => Ok(0.0),
            Some(other) => Err(frame.cell(
                column,
                row,
                &format!("`{other}`"),
                "a label (1, true, yes; 0, false, no)",
                USE_TARGETS,
            )),
        }
    };
    rows.iter().map(label).collect()
}

/// Classes in rising order, and one column of 0 and 1 for each.
fn classes(frame: &Frame, task: &str, column: &str, rows: &[usize]) -> Result<(Vec<String>, Vec<Vec<f64>>), DataError> {
    const MOST: usize = pliant_runtime::contract::MAX_ACTIONS;
    let values = frame.column(column)?;
    let cells: Vec<Option<String>> = rows.iter().map(|&row| frame.text(values, row)).collect();
    let mut names: Vec<String> = cells.iter().flatten().cloned().collect();
    names.sort_by(|a, b| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    });
    names.dedup();
    if !(2..=MOST).contains(&names.len()) {
        let problem = format!(
            "column `{column}` holds {} classes, not 2 to {MOST}; if it is a number, say `kind = \"number\"`",
            names.len()
        );
        return Err(DataError::Task {
            task: task.to_owned(),
            problem,
        });
    }
    let one = |name: &String| {
        let is = |cell: &Option<String>| match cell {
            None => f64::NAN,
            Some(cell) => f64::from(u8::from(cell == name)),
        };
        cells.iter().map(is).collect()
    };
    let columns = names.iter().map(one).collect();
    Ok((names, columns))
}

fn splits(frame: &Frame, column: &str, rows: &[usize]) -> Result<Vec<Split>, DataError> {
    let values = frame.column(column)?;
    let split = |&row: &usize| match frame.text(values, row).as_deref() {
        Some("train") => Ok(Split::Train),
        Some("validation" | "valid" | "val") => Ok(Split::Validation),
        Some("test") => Ok(Split::Test),
        other => {
            let found = other.map_or("an empty cell".to_owned(), |other| format!("`{other}`"));
            Err(frame.cell(column, row, &found, "train, validation or test", "correct it"))
        }
    };
    rows.iter().map(split).collect()
}
