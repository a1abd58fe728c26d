//! `[family.logged]`.

use std::collections::BTreeMap;

use pliant_compiler::policy::FeatureMap;
use serde::{Deserialize, Serialize};

use super::check::Checker;
use crate::random::{fill_standard_normal, stream};

/// Tasks from logged data: a file a task, or a column that names the task of a row. Files are CSV with a header (`.csv`;
/// `.tsv` with tabs), Parquet (`.parquet`) or Arrow (`.arrow`, `.arrows`, `.feather`; a file or a stream). An empty cell or a
/// null is a missing value, and so is what `missing_markers` lists. See docs/logged-data.md.
///
/// ```toml
/// [family.logged]
/// folder = "logs"
/// files = ["pump.csv", "fan.csv"]   # two tasks, called pump and fan
/// targets = ["temperature"]
///
/// [family.logged.tasks.fan]         # what is different for one
/// targets = ["fault"]
/// kind = "class"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// Folder of the files, as seen from where pliant runs. Default `.`.
    #[serde(default = "Logged::default_folder")]
    pub folder: String,
    /// The files: one a task, called by its name without the ending; or with `task_column`, rows of any tasks. At least one.
    pub files: Vec<String>,
    /// The column whose value names the task of a row. Default: none, a task is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_column: Option<String>,
    /// The column whose value names the recording of a row; rows stand in order of time. The past of a row does not reach
    /// over it, and rows of one recording stay in one split. Default: none, a task is one recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_column: Option<String>,
    /// The column that says `train`, `validation` or `test` of a row. Default: none, `split` draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_column: Option<String>,
    /// Shares of training, validation and test, drawn by the recipe's seed: rows of each task, classes in proportion; whole
    /// recordings where there is history; whole tasks for what learns to learn. Each greater than 0. Default [0.6, 0.2, 0.2].
    #[serde(default = "Logged::default_split")]
    pub split: [f32; 3],
    /// Columns that are inputs, numbers. Default: all that have no other part; to learn to learn they must be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Columns to be told. At least one, here or for each task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// What the targets are. Default `number`.
    #[serde(default)]
    pub kind: TargetKind,
    /// Numbers: what is learned in their place. Default `standardise`.
    #[serde(default)]
    pub redefine: Redefinition,
    /// Rows that miss inputs. Default `mean`.
    #[serde(default)]
    pub missing: Missing,
    /// Cells that stand for a missing value beside the empty one, exactly as written: `["NA", "NaN", "?"]`. `NaN` is the NaN
    /// of a column of floats too. Default: none, so that no class is lost for its name; a number column with another cell is
    /// refused, with its line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_markers: Vec<String>,
    /// What is different for a task, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, LoggedTask>,
    /// What is made of the inputs.
    #[serde(default)]
    pub features: Features,
    /// To learn to learn: labelled rows from which a task is learned. From 1 to 1000; default 10.
    #[serde(default = "Logged::default_rows")]
    pub shots: usize,
    /// To learn to learn: other rows of a task that score. From 1 to 1000; default 10.
    #[serde(default = "Logged::default_rows")]
    pub queries: usize,
}

/// `[family.logged.tasks.NAME]`: what is different for one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggedTask {
    /// In place of the family's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// In place of the family's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<String>>,
    /// In place of the family's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetKind>,
    /// In place of the family's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redefine: Option<Redefinition>,
}

/// What targets are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A number a column; the squared error.
    #[default]
    Number,
    /// A label a column, that is there (1, `true`, `yes`) or not (0, `false`, `no`); the binary cross-entropy.
    Label,
    /// One column of classes, by number or by name; the cross-entropy. Outputs are the classes in rising order.
    Class,
}

/// What is learned in place of numbers, and undone in every answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redefinition {
    /// The number itself.
    None,
    /// Minus the mean, over the standard deviation of the training rows.
    #[default]
    Standardise,
    /// The logarithm, standardised; of numbers above 0. Not to learn to learn.
    Logarithm,
}

/// What becomes of rows that miss inputs. (Missing targets take no part, whatever this says.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The mean over the training rows stands for it; on the device too, where all tasks have the same inputs.
    #[default]
    Mean,
    /// The row is left out.
    Drop,
    /// An error names the first.
    Refuse,
}

/// `[family.logged.features]`: fixed functions of the inputs, part of the device image and of the ONNX models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// What inputs are scaled by, found on the training rows: of all tasks where all have the same inputs, otherwise of each
    /// task. Default `standard`.
    pub scale: Scale,
    /// Inputs that are angles: their sine and cosine take their place.
    pub angles: Vec<String>,
    /// Whether angles are in degrees. Default false: radians.
    pub degrees: bool,
    /// Products of up to so many (scaled) inputs, powers included. From 1 to 3; default 1: none.
    pub degree: usize,
    /// Rows of the past beside each row, whose values the machine gives too, as channels `NAME -1`, `NAME -2`. From 0 to 16;
    /// default 0.
    pub history: usize,
    /// The change of each input since the row before; `history` must be at least 1. Default false.
    pub differences: bool,
    /// Random projections of the scaled inputs, of which sine and cosine are features (Rahimi and Recht 2007). From 0 to
    /// 512; default 0.
    pub fourier: usize,
    /// Standard deviation of the projections' weights: the inverse of the distance over which targets change, in scaled
    /// inputs. Greater than 0, at most 100; default 1.
    pub fourier_width: f32,
}

/// What inputs are scaled by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Not at all.
    None,
    /// To mean 0 and standard deviation 1.
    #[default]
    Standard,
    /// From least and greatest to -1 and 1.
    Range,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            scale: Scale::Standard,
            angles: Vec::new(),
            degrees: false,
            degree: 1,
            history: 0,
            differences: false,
            fourier: 0,
            fourier_width: 1.0,
        }
    }
}

impl Features {
    /// Most features that products may make.
    const MOST_PRODUCTS: usize = 2048;

    /// The map of `columns` inputs, of which some tasks take these as they are and these as angles; the past of all columns
    /// follows the present.
    pub fn map(&self, columns: usize, plain: &[usize], angles: &[usize], seed: u64) -> FeatureMap {
        let inputs = columns * (1 + self.history);
        let past = |column: usize| (0..=self.history).map(move |back| back * columns + column);
        let mut products = Vec::new();
        for (place, &first) in plain.iter().enumerate().filter(|_| self.degree > 1) {
            for (other, &second) in plain.iter().enumerate().skip(place) {
                products.push(vec![first, second]);
                for &third in plain[other..].iter().filter(|_| self.degree > 2) {
                    products.push(vec![first, second, third]);
                }
            }
        }
        let projection = |index: usize| {
            let mut weights = vec![0.0; inputs];
            fill_standard_normal(
                &mut stream(seed, "projection of features", &[index as u64]),
                &mut weights,
            );
            for (input, weight) in weights.iter_mut().enumerate() {
                let angle = angles.contains(&(input % columns.max(1)));
                *weight *= if angle { 0.0 } else { self.fourier_width };
            }
            weights
        };
        FeatureMap {
            inputs,
            angles: angles.iter().flat_map(|&column| past(column)).collect(),
            differences: match self.differences {
                true => plain.iter().map(|&column| [column, columns + column]).collect(),
                false => Vec::new(),
            },
            products,
            projections: (0..self.fourier).map(projection).collect(),
        }
    }

    fn check(&self, checker: &mut Checker, inputs: usize) {
        checker.count("degree", self.degree as u64, 1, 3);
        checker.count("history", self.history as u64, 0, 16);
        checker.count("fourier", self.fourier as u64, 0, 512);
        checker.positive("fourier_width", self.fourier_width, 100.0);
        checker.require(
            !self.differences || self.history > 0,
            "differences",
            self.differences,
            "false where `history` is 0: a change needs the row before",
        );
        let products = inputs.saturating_pow(self.degree as u32);
        checker.require(
            self.degree == 1 || products <= Self::MOST_PRODUCTS,
            "degree",
            self.degree,
            format_args!("lower for {inputs} inputs: at most {} products", Self::MOST_PRODUCTS),
        );
    }
}

impl Logged {
    fn default_folder() -> String {
        ".".to_owned()
    }

    const fn default_split() -> [f32; 3] {
        [0.6, 0.2, 0.2]
    }

    const fn default_rows() -> usize {
        10
    }

    /// Names of the channels of a row with its past: the columns, then those of the row before, ...
    pub fn channels(&self, columns: &[String]) -> Vec<String> {
        let past = |back: usize| columns.iter().map(move |column| format!("{column} -{back}"));
        columns
            .iter()
            .cloned()
            .chain((1..=self.features.history).flat_map(past))
            .collect()
    }

    /// The map where every task has the inputs that the recipe names.
    pub fn named_map(&self, seed: u64) -> FeatureMap {
        let place = |angle: &String| self.inputs.iter().position(|input| input == angle);
        let angles: Vec<usize> = self.features.angles.iter().filter_map(place).collect();
        let plain: Vec<usize> = (0..self.inputs.len()).filter(|input| !angles.contains(input)).collect();
        self.features.map(self.inputs.len(), &plain, &angles, seed)
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.require(!self.files.is_empty(), "files", "[]", "at least one file");
        checker.require(
            self.split.iter().all(|share| *share > 0.0 && *share < 1.0),
            "split",
            format_args!("{:?}", self.split),
            "three shares greater than 0, of training, validation and test",
        );
        let own = |task: &LoggedTask| task.targets.as_ref().is_some_and(|targets| !targets.is_empty());
        checker.require(
            !self.targets.is_empty() || (!self.tasks.is_empty() && self.tasks.values().all(own)),
            "targets",
            "[]",
            "at least one column, here or for each of `[family.logged.tasks.NAME]`",
        );
        checker.count("shots", self.shots as u64, 1, 1000);
        checker.count("queries", self.queries as u64, 1, 1000);
        checker.section("features", |checker| self.features.check(checker, self.inputs.len()));
    }
}
