//! `[algorithm.multi-task]`.

use serde::{Deserialize, Serialize};

use pliant_compiler::policy::Conditioning;

use super::{Adam, check::Checker};

/// Multi-task learning of supervised tasks: a shared trunk and a head a task (Caruana 1997), with a choice of how tasks
/// are sampled and how their gradients become one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiTask {
    /// Steps. From 1 to 10000000.
    pub iterations: u64,
    /// Width of a first layer that each task has for itself; 0: none, all tasks then have equally many inputs. From 0 to
    /// 4096; default 0.
    #[serde(default)]
    pub encoder: usize,
    /// How the shared layers are told which task it is; only with hidden layers. Default `none`: the heads alone differ.
    #[serde(default)]
    pub conditioning: Telling,
    /// `experts-by-task`, `experts-by-input`: experts of every shared layer, whose width is a multiple of it. From 2 to 64; default 4.
    #[serde(default = "MultiTask::default_experts")]
    pub experts: usize,
    /// `embedding`, `film`: numbers that are learned of a task. From 1 to 256; default 4.
    #[serde(default = "MultiTask::default_embedding")]
    pub embedding: usize,
    /// Whether all tasks share one head, and only the conditioning tells them apart. They must have equally many outputs.
    /// Default false.
    #[serde(default)]
    pub shared_head: bool,
    /// Rows of each task in a step, drawn anew for each; 0: all its rows. From 0 to 1000000; default 0.
    #[serde(default)]
    pub batch_rows: usize,
    /// Tasks in a step, drawn without repetition; 0: all. From 0 to 4096; default 0.
    #[serde(default)]
    pub tasks: usize,
    /// How likely each task is to be drawn. Default `uniform`.
    #[serde(default)]
    pub sampling: Sampling,
    /// `temperature` sampling: tasks are drawn in proportion to rows^(1 / this); 1 is proportional, the greater the more
    /// uniform. From 0.1 to 1000; default 2.
    #[serde(default = "MultiTask::default_temperature")]
    pub sampling_temperature: f32,
    /// `curriculum` sampling: its schedule.
    #[serde(default, skip_serializing_if = "Curriculum::is_default")]
    pub curriculum: Curriculum,
    /// What the initial weights of the heads are multiplied by. A head that answers with numbers far from its target's size
    /// leaves that answer between the rows, where nothing takes it back; 0: heads begin at zero. From 0 to 10; default 1.
    #[serde(default = "MultiTask::default_head_start")]
    pub head_start: f32,
    /// How the tasks' gradients become one step.
    #[serde(default)]
    pub balance: Balance,
    /// Weights of matrices shrink by this times the learning rate in each step (decoupled: Loshchilov and Hutter 2019).
    /// From 0 to 10; default 0.
    #[serde(default)]
    pub weight_decay: f32,
    /// Share of the hidden units that a row leaves out in training (Srivastava et al. 2014). From 0 to 0.9; default 0.
    #[serde(default)]
    pub dropout: f32,
    /// Standard deviation of normal noise added to the (standardised) inputs in training. From 0 to 10; default 0.
    #[serde(default)]
    pub input_noise: f32,
    /// Mixup (Zhang et al. 2018): learn from points between two rows of a task, with targets between theirs, their place
    /// drawn from Beta(this, this); 0: from the rows. From 0 to 1; default 0.
    #[serde(default)]
    pub mixup: f32,
    /// Weigh the rows of a class by the inverse of its share, so that every class counts alike. Default false.
    #[serde(default)]
    pub balanced_classes: bool,
    /// Steps between scores on the held-out validation rows, of which the best keeps its parameters; 0: the last
    /// parameters count. From 0 to 1000000; default 0.
    #[serde(default)]
    pub validate_every: u64,
    /// Stop after this many validations without a better one; 0: never. From 0 to 100000; default 0.
    #[serde(default)]
    pub patience: u64,
    /// Steps between measurements of the conflict rate where the method itself does not need the gradients; 0: never. From
    /// 0 to 1000000; default 100.
    #[serde(default = "MultiTask::default_conflict_every")]
    pub conflict_every: u64,
    /// How the device adapts.
    #[serde(default)]
    pub adaptation: HeadAdaptation,
    /// The optimiser.
    pub optimizer: Adam,
}

/// How the shared layers are told which task it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Telling {
    /// Not at all.
    #[default]
    None,
    /// A one-hot vector beside the inputs of the first layer.
    OneHot,
    /// A learned vector beside the inputs of the first layer.
    Embedding,
    /// Feature-wise linear modulation of every layer by a learned vector (Perez et al. 2018).
    Film,
    /// A soft mixture of experts in every layer, with gates of each task (Jacobs et al. 1991; Ma et al. 2018).
    ExpertsByTask,
    /// A soft mixture of experts in every layer, with gates by what the layer is given.
    ExpertsByInput,
}

/// How likely a task is to be drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// All alike.
    #[default]
    Uniform,
    /// In proportion to the number of rows.
    Proportional,
    /// In proportion to a power of the number of rows.
    Temperature,
    /// In proportion to the loss relative to the one at the start: what has been learned least comes most often. Never
    /// less than a tenth of the uniform chance.
    Difficulty,
    /// A curriculum (Bengio et al. 2009): the easiest tasks alone at first, then more, by the schedule of `curriculum`. Easy is
    /// what has the least loss on validation rows relative to the one at the start.
    Curriculum,
}

/// `[algorithm.multi-task.curriculum]`: how many of the tasks are open. The share of the easiest ones grows in proportion to
/// the steps; before they have been measured for the second time all are open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Curriculum {
    /// Share of the tasks that is open at first, at least one task. From 0 to 1; default 0.25.
    pub start: f32,
    /// Share of the steps after which all are open. From 0 to 1; default 0.5.
    pub until: f32,
    /// Steps between measurements of how difficult the tasks are. From 1 to 1000000; default 50.
    pub every: u64,
}

impl Default for Curriculum {
    fn default() -> Self {
        Self {
            start: 0.25,
            until: 0.5,
            every: 50,
        }
    }
}

impl Curriculum {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self, checker: &mut Checker) {
        checker.between("start", self.start, 0.0, 1.0);
        checker.between("until", self.until, 0.0, 1.0);
        checker.count("every", self.every, 1, 1_000_000);
    }

    /// The share of the tasks that is open after so many of the steps.
    pub fn open(&self, step: u64, steps: u64) -> f32 {
        if step < self.every {
            return 1.0;
        }
        let done = step as f32 / (self.until * steps as f32).max(1.0);
        (self.start + (1.0 - self.start) * done).min(1.0)
    }
}

/// `balancing`: which method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    /// The mean of the losses.
    #[default]
    Uniform,
    /// Uncertainty weighting (Kendall et al. 2018).
    Uncertainty,
    /// Dynamic weight average (Liu et al. 2019).
    DynamicWeightAverage,
    /// FAMO (Liu et al. 2023).
    Famo,
    /// GradNorm (Chen et al. 2018).
    GradNorm,
    /// PCGrad (Yu et al. 2020).
    Pcgrad,
    /// CAGrad (Liu et al. 2021).
    Cagrad,
    /// Nash-MTL (Navon et al. 2022).
    NashMtl,
    /// UPGrad (Quinton and Rey 2024).
    Upgrad,
}

impl Balancing {
    /// Every method, plain averaging first.
    pub const ALL: [Self; 9] = [
        Self::Uniform,
        Self::Uncertainty,
        Self::DynamicWeightAverage,
        Self::Famo,
        Self::GradNorm,
        Self::Pcgrad,
        Self::Cagrad,
        Self::NashMtl,
        Self::Upgrad,
    ];

    /// As written in recipes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Uncertainty => "uncertainty",
            Self::DynamicWeightAverage => "dynamic-weight-average",
            Self::Famo => "famo",
            Self::GradNorm => "grad-norm",
            Self::Pcgrad => "pcgrad",
            Self::Cagrad => "cagrad",
            Self::NashMtl => "nash-mtl",
            Self::Upgrad => "upgrad",
        }
    }
}

/// `[algorithm.multi-task.balance]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Balance {
    /// The method. Default `uniform`.
    pub method: Balancing,
    /// `uncertainty`, `famo`, `grad-norm`: learning rate of the weights. Greater than 0, at most 1; default: the network's
    /// for `uncertainty`, 0.025 for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    /// `dynamic-weight-average`: T. From 0.01 to 1000; default 2.
    pub temperature: f32,
    /// `dynamic-weight-average`: steps in an epoch. From 1 to 1000000; default 1.
    pub interval: u64,
    /// `famo`: gamma. From 0 to 1; default 0.001.
    pub decay: f32,
    /// `grad-norm`: alpha. From 0 to 10; default 1.5.
    pub asymmetry: f32,
    /// `cagrad`: c. From 0 to 0.99; default 0.4.
    pub conflict_aversion: f32,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            method: Balancing::Uniform,
            rate: None,
            temperature: 2.0,
            interval: 1,
            decay: 0.001,
            asymmetry: 1.5,
            conflict_aversion: 0.4,
        }
    }
}

impl Balance {
    /// This method with its default settings.
    pub fn with(method: Balancing) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        if let Some(rate) = self.rate {
            checker.positive("rate", rate, 1.0);
        }
        checker.between("temperature", self.temperature, 0.01, 1000.0);
        checker.count("interval", self.interval, 1, 1_000_000);
        checker.between("decay", self.decay, 0.0, 1.0);
        checker.between("asymmetry", self.asymmetry, 0.0, 10.0);
        checker.between("conflict_aversion", self.conflict_aversion, 0.0, 0.99);
    }
}

/// `[algorithm.multi-task.adaptation]`: gradient steps on the device, on a change of the selected task's head and, for
/// sensors that change, on a scale and an offset of each input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadAdaptation {
    /// Rows that the support set holds. From 1 to 10000; default 32.
    pub rows: usize,
    /// Gradient steps. From 1 to 16; default 16.
    pub steps: usize,
    /// Step size of the head: features are whitened, so 1 is near Newton's step for numbers. Greater than 0, at most 100;
    /// default 0.3.
    pub rate: f32,
    /// Step size of the inputs' scale and offset; 0: they do not adapt. From 0 to 100; default 0.
    pub input_rate: f32,
    /// Whether scale and offset of every input are found in closed form instead: those by which the rows at hand have mean 0
    /// and deviation 1, as the rows of training had. Labels need not tell them. Logged data with `scale = "standard"` only.
    /// Default false.
    pub standardise_inputs: bool,
    /// `standardise_inputs`: as many rows of prior knowledge that an input varies as in training. Greater than 0, at most
    /// 1000; default 4.
    pub prior_rows: f32,
    /// Each n-th row is held out to accept or reject the result; 0: none. From 0 to 1000, not 1; default 0.
    pub holdout_every: u32,
    /// Slots for tasks that nobody has met yet. From 0 to 64; default 0.
    pub spare_heads: usize,
}

impl Default for HeadAdaptation {
    fn default() -> Self {
        Self {
            rows: 32,
            steps: 16,
            rate: 0.3,
            input_rate: 0.0,
            standardise_inputs: false,
            prior_rows: 4.0,
            holdout_every: 0,
            spare_heads: 0,
        }
    }
}

impl HeadAdaptation {
    /// Whether a scale and an offset of every input adapt.
    pub fn adapts_input(&self) -> bool {
        self.input_rate > 0.0 || self.standardise_inputs
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("rows", self.rows as u64, 1, 10_000);
        checker.count("steps", self.steps as u64, 1, 16);
        checker.positive("rate", self.rate, 100.0);
        checker.between("input_rate", self.input_rate, 0.0, 100.0);
        checker.require(
            !self.standardise_inputs || self.input_rate == 0.0,
            "input_rate",
            self.input_rate,
            "0 where `standardise_inputs` is true: scale and offset are found in closed form",
        );
        checker.positive("prior_rows", self.prior_rows, 1000.0);
        checker.require(
            self.holdout_every != 1 && self.holdout_every <= 1000,
            "holdout_every",
            self.holdout_every,
            "0, or a whole number from 2 to 1000",
        );
        checker.count("spare_heads", self.spare_heads as u64, 0, 64);
    }
}

impl MultiTask {
    /// How the shared layers are told the task.
    pub fn told(&self) -> Conditioning {
        match self.conditioning {
            Telling::None => Conditioning::None,
            Telling::OneHot => Conditioning::OneHot,
            Telling::Embedding => Conditioning::Embedding(self.embedding),
            Telling::Film => Conditioning::Film(self.embedding),
            Telling::ExpertsByTask => Conditioning::ExpertsByTask(self.experts),
            Telling::ExpertsByInput => Conditioning::ExpertsByInput(self.experts),
        }
    }

    fn default_embedding() -> usize {
        4
    }

    fn default_experts() -> usize {
        4
    }

    fn default_temperature() -> f32 {
        2.0
    }

    fn default_head_start() -> f32 {
        1.0
    }

    fn default_conflict_every() -> u64 {
        100
    }

    pub(super) fn check(&self, checker: &mut Checker) {
        checker.count("iterations", self.iterations, 1, 10_000_000);
        checker.count("encoder", self.encoder as u64, 0, 4096);
        checker.count("embedding", self.embedding as u64, 1, 256);
        checker.count("experts", self.experts as u64, 2, 64);
        checker.section("curriculum", |checker| self.curriculum.check(checker));
        checker.count("batch_rows", self.batch_rows as u64, 0, 1_000_000);
        checker.count("tasks", self.tasks as u64, 0, 4096);
        checker.between("sampling_temperature", self.sampling_temperature, 0.1, 1000.0);
        checker.between("head_start", self.head_start, 0.0, 10.0);
        checker.section("balance", |checker| self.balance.check(checker));
        checker.between("weight_decay", self.weight_decay, 0.0, 10.0);
        checker.between("dropout", self.dropout, 0.0, 0.9);
        checker.between("input_noise", self.input_noise, 0.0, 10.0);
        checker.between("mixup", self.mixup, 0.0, 1.0);
        checker.count("validate_every", self.validate_every, 0, 1_000_000);
        checker.count("patience", self.patience, 0, 100_000);
        checker.count("conflict_every", self.conflict_every, 0, 1_000_000);
        checker.section("adaptation", |checker| {
            self.adaptation.check(checker);
            checker.require(
                self.encoder == 0 || self.adaptation.spare_heads == 0,
                "spare_heads",
                self.adaptation.spare_heads,
                "0 where each task has an encoder of its own: nothing is known of a new task's inputs",
            );
        });
        checker.section("optimizer", |checker| self.optimizer.check(checker));
    }
}
