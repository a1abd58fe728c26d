//! Recipes: everything that decides a training run, in one TOML file.
//!
//! ```toml
//! name = "..."                # of the bundle
//! description = "..."
//! seed = 0                    # governs everything
//! [family.sinusoid]           # one task family
//! [policy]                    # the network
//! [algorithm.maml]            # one algorithm, its optimiser below it
//! [checkpoint]
//! [evaluation]
//! ```
//!
//! Every field is documented, with its range, at its definition in this module's sections. An unknown field, an unknown
//! family or a value out of range is refused by name, range and line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::envs::quadrotor::Variation;
use crate::envs::{CartPole, Pendulum, TwoLinkArm, Vehicle};

mod analytic_policy_gradient;
mod bandit;
mod check;
mod half_circle;
mod logged;
mod maml;
mod maml_policy_gradient;
mod motifs;
mod multi_task;
mod multi_task_ppo;
mod navigation;
mod ppo;
mod reptile;
mod ridge;
mod rl2;
mod sections;
mod sinusoid;
mod swing_up;
mod systems;
mod tabular;
mod task_conflict;
mod teacher_student;
mod together;

pub use analytic_policy_gradient::{AnalyticPolicyGradient, Cycle};
pub use bandit::Bandit;
pub use check::{Checker, OutOfRange};
pub use half_circle::HalfCircle;
pub use logged::{Features, Logged, LoggedTask, Missing, Redefinition, Scale, TargetKind};
pub use maml::{Adapts, Maml, Order};
pub use maml_policy_gradient::{MamlPolicyGradient, Phase};
pub use motifs::Motifs;
pub use multi_task::{Balance, Balancing, Curriculum, HeadAdaptation, MultiTask, Sampling, Telling};
pub use multi_task_ppo::{MultiTaskPpo, Returns};
pub use navigation::Navigation;
pub use ppo::Ppo;
pub use reptile::Reptile;
pub use ridge::Ridge;
pub use rl2::Rl2;
pub(crate) use sections::is_zero;
pub use sections::{Activation, Adam, Checkpoint, Evaluation, Initialiser, Policy, Scan, Schedule};
pub use sinusoid::Sinusoid;
pub use swing_up::SwingUp;
pub use systems::{SystemTask, Systems};
pub use tabular::Tabular;
pub use task_conflict::TaskConflict;
pub use teacher_student::TeacherStudent;

/// The recipes that come with the program: `pliant train NAME` works anywhere.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("arm", include_str!("../../models/arm/recipe.toml")),
    ("bandit", include_str!("../../models/bandit-rl2/recipe.toml")),
    ("cart-pole", include_str!("../../models/cart-pole/recipe.toml")),
    ("cart-pole-ppo", include_str!("../../models/cart-pole-ppo/recipe.toml")),
    (
        "cart-pole-student",
        include_str!("../../models/cart-pole-student/recipe.toml"),
    ),
    ("half-circle", include_str!("../../models/half-circle/recipe.toml")),
    ("motifs", include_str!("../../models/motifs/recipe.toml")),
    ("mdp", include_str!("../../models/mdp-rl2/recipe.toml")),
    ("pendulum", include_str!("../../models/pendulum/recipe.toml")),
    (
        "point-navigation",
        include_str!("../../models/point-navigation/recipe.toml"),
    ),
    ("quadrotor", include_str!("../../models/quadrotor/recipe.toml")),
    (
        "quadrotor-robust",
        include_str!("../../models/quadrotor-robust/recipe.toml"),
    ),
    (
        "quadrotor-small",
        include_str!("../../models/quadrotor-small/recipe.toml"),
    ),
    ("sinusoid", include_str!("../../models/sinusoid/recipe.toml")),
    ("sinusoid-anil", include_str!("../../models/sinusoid-anil/recipe.toml")),
    (
        "sinusoid-cavia",
        include_str!("../../models/sinusoid-cavia/recipe.toml"),
    ),
    (
        "sinusoid-fomaml",
        include_str!("../../models/sinusoid-fomaml/recipe.toml"),
    ),
    (
        "sinusoid-meta-sgd",
        include_str!("../../models/sinusoid-meta-sgd/recipe.toml"),
    ),
    (
        "sinusoid-reptile",
        include_str!("../../models/sinusoid-reptile/recipe.toml"),
    ),
    (
        "sinusoid-ridge",
        include_str!("../../models/sinusoid-ridge/recipe.toml"),
    ),
    ("swing-up", include_str!("../../models/swing-up/recipe.toml")),
    ("task-conflict", include_str!("../../models/task-conflict/recipe.toml")),
    (
        "unlike-systems",
        include_str!("../../models/unlike-systems/recipe.toml"),
    ),
    ("vehicle", include_str!("../../models/vehicle/recipe.toml")),
];

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the bundle: 1 to 40 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// One sentence for the card.
    pub description: String,
    /// Governs everything random. From 0 to 2^63 - 1; default 0.
    #[serde(default)]
    pub seed: u64,
    /// The tasks to learn to adapt to: exactly one `[family.NAME]`.
    pub family: Family,
    /// The network.
    pub policy: Policy,
    /// How it is trained: exactly one `[algorithm.NAME]`.
    pub algorithm: Algorithm,
    /// When the training state is saved.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// The held-out evaluation.
    pub evaluation: Evaluation,
}

/// `[family.NAME]`: a task family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// `[family.bandit]`
    Bandit(Bandit),
    /// `[family.cart-pole]`
    CartPole(CartPole),
    /// `[family.half-circle]`
    HalfCircle(HalfCircle),
    /// `[family.logged]`
    Logged(Box<Logged>),
    /// `[family.motifs]`
    Motifs(Motifs),
    /// `[family.navigation]`
    Navigation(Navigation),
    /// `[family.pendulum]`
    Pendulum(Pendulum),
    /// `[family.quadrotor]`
    Quadrotor(Variation),
    /// `[family.sinusoid]`
    Sinusoid(Sinusoid),
    /// `[family.swing-up]`
    SwingUp(SwingUp),
    /// `[family.systems]`
    Systems(Systems),
    /// `[family.tabular]`
    Tabular(Tabular),
    /// `[family.task-conflict]`
    TaskConflict(TaskConflict),
    /// `[family.two-link-arm]`
    TwoLinkArm(TwoLinkArm),
    /// `[family.vehicle]`
    Vehicle(Vehicle),
}

impl Family {
    /// Support rows of a task, and query rows, where its rows are data: `shots` and `queries`.
    pub fn shots_and_queries(&self) -> Option<(usize, usize)> {
        match self {
            Self::Logged(family) => Some((family.shots, family.queries)),
            Self::Motifs(family) => Some((2 * family.shots, family.queries)),
            Self::Sinusoid(family) => Some((family.shots, family.queries)),
            _ => None,
        }
    }

    /// The family's name as written in recipes and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CartPole(_) => "cart-pole",
            Self::Bandit(_) => "bandit",
            Self::HalfCircle(_) => "half-circle",
            Self::Logged(_) => "logged",
            Self::Motifs(_) => "motifs",
            Self::Navigation(_) => "navigation",
            Self::Pendulum(_) => "pendulum",
            Self::Quadrotor(_) => "quadrotor",
            Self::Sinusoid(_) => "sinusoid",
            Self::SwingUp(_) => "swing-up",
            Self::Systems(_) => "systems",
            Self::Tabular(_) => "tabular",
            Self::TaskConflict(_) => "task-conflict",
            Self::TwoLinkArm(_) => "two-link-arm",
            Self::Vehicle(_) => "vehicle",
        }
    }
}

/// `[algorithm.NAME]`: a training algorithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// `[algorithm.analytic-policy-gradient]`
    AnalyticPolicyGradient(AnalyticPolicyGradient),
    /// `[algorithm.maml]`
    Maml(Maml),
    /// `[algorithm.maml-policy-gradient]`
    MamlPolicyGradient(MamlPolicyGradient),
    /// `[algorithm.multi-task]`
    MultiTask(MultiTask),
    /// `[algorithm.multi-task-ppo]`
    MultiTaskPpo(Box<MultiTaskPpo>),
    /// `[algorithm.ppo]`
    Ppo(Ppo),
    /// `[algorithm.reptile]`
    Reptile(Reptile),
    /// `[algorithm.ridge]`
    Ridge(Ridge),
    /// `[algorithm.rl2]`
    Rl2(Rl2),
    /// `[algorithm.teacher-student]`
    TeacherStudent(TeacherStudent),
}

impl Algorithm {
    /// The algorithm's name as written in recipes and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AnalyticPolicyGradient(_) => "analytic-policy-gradient",
            Self::Maml(_) => "maml",
            Self::MamlPolicyGradient(_) => "maml-policy-gradient",
            Self::MultiTask(_) => "multi-task",
            Self::MultiTaskPpo(_) => "multi-task-ppo",
            Self::Ppo(_) => "ppo",
            Self::Reptile(_) => "reptile",
            Self::Ridge(_) => "ridge",
            Self::Rl2(_) => "rl2",
            Self::TeacherStudent(_) => "teacher-student",
        }
    }
}

/// Why a recipe was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Neither a known recipe's name nor a readable file.
    #[error(
        "no recipe called `{name}`: it is neither a readable file ({source}) nor one of the recipes that come with pliant ({})",
        known()
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// Why it could not be read as a file.
        source: std::io::Error,
    },
    /// Not TOML, a field missing, unknown, or of the wrong type. The message quotes the line.
    #[error(
        "{origin}: {message}\nEvery field and its range stands at its definition: trainer/src/recipe.rs and trainer/src/recipe/ of the sources."
    )]
    Syntax {
        /// File or embedded name.
        origin: String,
        /// The parser's message with the line quoted.
        message: String,
    },
    /// Fields out of range; all of them.
    #[error("{origin}: {}", list(.problems))]
    OutOfRange {
        /// File or embedded name.
        origin: String,
        /// One entry a field.
        problems: Vec<OutOfRange>,
    },
    /// The family cannot be trained by the algorithm.
    #[error(
        "{origin}: `[family.{family}]` cannot be trained by `[algorithm.{algorithm}]`; use {}",
        sections(.instead)
    )]
    Mismatch {
        /// File or embedded name.
        origin: String,
        /// The family asked for.
        family: &'static str,
        /// The algorithm asked for.
        algorithm: &'static str,
        /// The algorithms that train this family.
        instead: &'static [&'static str],
    },
    /// `--set` was not of the form `path=value`, or the path leads nowhere.
    #[error("cannot set `{assignment}`: {reason}")]
    Override {
        /// The assignment as given.
        assignment: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn known() -> String {
    EMBEDDED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn sections(algorithms: &[&str]) -> String {
    let named: Vec<String> = algorithms.iter().map(|name| format!("`[algorithm.{name}]`")).collect();
    named.join(" or ")
}

fn list(problems: &[OutOfRange]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n  ")
}

/// A recipe together with the text it came from; comments survive overrides and go into the bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// File, or `NAME (embedded)`: for messages.
    pub origin: String,
    /// The TOML.
    pub text: String,
}

impl Source {
    /// The recipe called `name`, or else the file at that path.
    pub fn find(name: &str) -> Result<Self, RecipeError> {
        if let Some((name, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
            return Ok(Self {
                origin: format!("{name} (embedded recipe)"),
                text: (*text).to_owned(),
            });
        }
        Self::read(Path::new(name))
    }

    /// The recipe in the file at `path`, or in `path/recipe.toml` where it is a directory.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let file: PathBuf = if path.is_dir() {
            path.join("recipe.toml")
        } else {
            path.to_owned()
        };
        let text = std::fs::read_to_string(&file).map_err(|source| RecipeError::NotFound {
            name: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            origin: file.display().to_string(),
            text,
        })
    }

    /// Sets one field in the text: `algorithm.maml.iterations=100`. Comments and layout stay.
    pub fn set(&mut self, assignment: &str) -> Result<(), RecipeError> {
        let refuse = |reason: &str| RecipeError::Override {
            assignment: assignment.to_owned(),
            reason: reason.to_owned(),
        };
        let (path, value) = assignment
            .split_once('=')
            .ok_or_else(|| refuse("write it as path=value, for instance seed=1"))?;
        let value = value.trim();
        // A bare word is a string: `algorithm.maml.order=first` needs no quotes within quotes on a shell.
        let value: toml_edit::Value = value
            .parse()
            .or_else(|_| format!("{value:?}").parse())
            .map_err(|error: toml_edit::TomlError| refuse(error.message()))?;
        let mut document: toml_edit::DocumentMut =
            self.text
                .parse()
                .map_err(|error: toml_edit::TomlError| RecipeError::Syntax {
                    origin: self.origin.clone(),
                    message: error.to_string(),
                })?;
        // Sections that are not there are made; if they are none of a recipe's, parsing refuses them by name.
        let mut item = document.as_item_mut();
        for key in path.trim().split('.') {
            if item.is_none() {
                *item = toml_edit::Item::Table(toml_edit::Table::new());
            }
            let table = item
                .as_table_like_mut()
                .ok_or_else(|| refuse("the path goes through something not a table"))?;
            item = table.entry(key).or_insert(toml_edit::Item::None);
        }
        match item.as_value_mut() {
            // Keep what surrounds the value: the comment after it.
            Some(old) => {
                let decor = old.decor().clone();
                *old = value;
                *old.decor_mut() = decor;
            }
            None => *item = toml_edit::Item::Value(value),
        }
        self.text = document.to_string();
        Ok(())
    }

    /// Parses and checks.
    pub fn parse(&self) -> Result<Recipe, RecipeError> {
        let recipe: Recipe = toml::from_str(&self.text).map_err(|error| RecipeError::Syntax {
            origin: self.origin.clone(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let mut problems = recipe.check();
        if !problems.is_empty() {
            for problem in &mut problems {
                problem.line = line_of(&self.text, &problem.field);
            }
            return Err(RecipeError::OutOfRange {
                origin: self.origin.clone(),
                problems,
            });
        }
        let instead = recipe.family_algorithms();
        if !instead.contains(&recipe.algorithm.name()) {
            return Err(RecipeError::Mismatch {
                origin: self.origin.clone(),
                family: recipe.family.name(),
                algorithm: recipe.algorithm.name(),
                instead,
            });
        }
        Ok(recipe)
    }
}

impl Recipe {
    /// Everything out of range; empty for a usable recipe.
    pub fn check(&self) -> Vec<OutOfRange> {
        let mut checker = Checker::default();
        let name_is_fine = (1..=40).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        checker.require(
            name_is_fine,
            "name",
            format_args!("{:?}", self.name),
            "1 to 40 of a-z, 0-9 and -",
        );
        checker.count("seed", self.seed, 0, i64::MAX as u64);
        checker.section("family", |checker| {
            checker.section(self.family.name(), |checker| match &self.family {
                Family::CartPole(family) => family.check(checker),
                Family::Bandit(family) => family.check(checker),
                Family::HalfCircle(family) => family.check(checker),
                Family::Logged(family) => family.check(checker),
                Family::Motifs(family) => family.check(checker),
                Family::Navigation(family) => family.check(checker),
                Family::Pendulum(family) => family.check(checker),
                Family::Quadrotor(family) => family.check(checker),
                Family::Sinusoid(family) => family.check(checker),
                Family::SwingUp(_) => {}
                Family::Systems(family) => family.check(checker),
                Family::Tabular(family) => family.check(checker),
                Family::TaskConflict(family) => family.check(checker),
                Family::TwoLinkArm(family) => family.check(checker),
                Family::Vehicle(family) => family.check(checker),
            });
        });
        checker.section("policy", |checker| {
            self.policy.check(checker);
            let tells = matches!(
                self.family,
                Family::CartPole(_) | Family::Pendulum(_) | Family::TwoLinkArm(_) | Family::Vehicle(_)
            );
            checker.require(
                tells || !self.policy.privileged,
                "privileged",
                self.policy.privileged,
                format_args!("false: `[family.{}]` tells no parameters", self.family.name()),
            );
        });
        checker.section("algorithm", |checker| {
            checker.section(self.algorithm.name(), |checker| match &self.algorithm {
                Algorithm::AnalyticPolicyGradient(algorithm) => algorithm.check(checker),
                Algorithm::Maml(algorithm) => algorithm.check(checker),
                Algorithm::MamlPolicyGradient(algorithm) => algorithm.check(checker),
                Algorithm::MultiTask(algorithm) => algorithm.check(checker),
                Algorithm::MultiTaskPpo(algorithm) => algorithm.check(checker),
                Algorithm::Ppo(algorithm) => algorithm.check(checker, self.policy.memory > 0),
                Algorithm::Reptile(algorithm) => algorithm.check(checker),
                Algorithm::Ridge(algorithm) => algorithm.check(checker),
                Algorithm::Rl2(algorithm) => algorithm.check(checker, self.policy.memory > 0),
                Algorithm::TeacherStudent(algorithm) => algorithm.check(checker),
            });
        });
        checker.section("checkpoint", |checker| self.checkpoint.check(checker));
        checker.section("evaluation", |checker| self.evaluation.check(checker));
        self.check_together(&mut checker);
        checker.problems
    }

    /// The algorithms that train this recipe's family.
    const fn family_algorithms(&self) -> &'static [&'static str] {
        match self.family {
            Family::Bandit(_) => &["rl2"],
            Family::Logged(_) => &["multi-task", "maml", "reptile", "ridge"],
            Family::HalfCircle(_) | Family::Tabular(_) => &["rl2", "ppo"],
            Family::Motifs(_) => &["maml"],
            Family::Navigation(_) => &["maml-policy-gradient"],
            Family::Sinusoid(_) => &["maml", "reptile", "ridge", "multi-task"],
            Family::SwingUp(_) => &["ppo"],
            Family::Systems(_) => &["multi-task-ppo"],
            Family::TaskConflict(_) => &["multi-task"],
            Family::Quadrotor(_) => &["analytic-policy-gradient"],
            Family::CartPole(_) | Family::Pendulum(_) | Family::TwoLinkArm(_) | Family::Vehicle(_) => {
                &["analytic-policy-gradient", "teacher-student", "ppo"]
            }
        }
    }
}

/// The line (from 1) on which the field with a dotted path stands.
fn line_of(text: &str, path: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        let value = table.get(key)?;
        if keys.peek().is_none() {
            return Some(text[..value.span().start].lines().count().max(1));
        }
        table = value.get_ref().as_table()?;
    }
    None
}

#[cfg(test)]
mod tests;
