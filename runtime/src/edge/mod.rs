//! The ONNX models of a bundle on a Linux board: the [`Actor`] and [`Learner`] of an image, over tract.
//!
//! A board with an operating system and an allocator can run `policy.onnx`, `adapt.onnx` and `score.onnx` where it would
//! run `policy.pliant` on a microcontroller. [`Policy::from_models`] gives the same handles: the contract comes from the
//! models' metadata and is enforced as that of an image; experience, advantages, guards and the transaction are the very
//! same code. What differs:
//!
//! | | image | models |
//! |---|---|---|
//! | arithmetic | the same bits on every core | tract's: within rounding |
//! | a slice of `adapt_some` | one record | one whole gradient step, or one whole score |
//! | memory | the caller's block, nothing else | tract allocates in every call |
//! | recurrent policies | yes | not yet: their models are refused by the name of the state |
//!
//! ```no_run
//! use pliant_runtime::edge::Models;
//! use pliant_runtime::policy::Policy;
//!
//! let [policy, adapt, score] = ["policy.onnx", "adapt.onnx", "score.onnx"].map(std::fs::read);
//! let mut models = Models::new(&policy?, &adapt?, &score?)?;
//! let mut memory = vec![0.0; models.workspace_len()];
//! let mut policy = Policy::from_models(&mut models, None, &mut memory)?;
//! let (mut actor, mut learner) = policy.split();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Actor`]: crate::policy::Actor
//! [`Learner`]: crate::policy::Learner
//! [`Policy::from_models`]: crate::policy::Policy::from_models

mod metadata;
mod network;

use core::fmt;
use std::{collections::BTreeMap, string::String, vec::Vec};

use crate::contract::{ContractError, ContractView};
use crate::image::{AdaptationSpec, Workspace};
use crate::policy::workspace_of;

use network::{Model, Source};
pub(crate) use network::{Network, Stage};

/// Multiply-accumulates a parameter and row of a gradient step: one for the prediction, two for the gradients.
const MACS_OF_A_STEP: u64 = 3;

/// The models of a bundle, compiled. Borrowed by the [`Policy`](crate::policy::Policy) that runs them.
pub struct Models {
    act: Network,
    learn: Option<Learn>,
    /// As an image carries it.
    contract: Vec<u8>,
    /// One after the other, in the order of the outputs of `adapt.onnx`.
    parameters: Vec<f32>,
    sizes: Workspace,
}

struct Learn {
    step: Network,
    score: Network,
    spec: AdaptationSpec,
}

/// What a policy borrows.
pub(crate) struct Parts<'m> {
    pub(crate) act: &'m mut Network,
    pub(crate) stages: [Stage<'m>; 4],
    pub(crate) spec: Option<&'m AdaptationSpec>,
    pub(crate) contract: &'m [u8],
    pub(crate) parameters: &'m [f32],
    pub(crate) sizes: Workspace,
}

impl Models {
    /// Loads `policy.onnx` to act only; the learner refuses everything.
    ///
    /// # Errors
    /// What is wrong with the model or its metadata.
    pub fn act_only(policy: &[u8]) -> Result<Self, EdgeError> {
        let policy = Model::decode("policy.onnx", policy)?;
        Self::load(policy, &BTreeMap::new(), Vec::new())
    }

    /// Loads all three models of a bundle.
    ///
    /// # Errors
    /// What is wrong with one of them or its metadata.
    pub fn new(policy: &[u8], adapt: &[u8], score: &[u8]) -> Result<Self, EdgeError> {
        let policy = Model::decode("policy.onnx", policy)?;
        let adapt = Model::decode("adapt.onnx", adapt)?;
        let score = Model::decode("score.onnx", score)?;
        let spec = metadata::adaptation(&adapt)?;

        // The parameters that adapt, one after the other in the order in which the step gives them.
        let mut ranges = BTreeMap::new();
        let mut parameters = Vec::new();
        for (output, _) in adapt.outputs() {
            let name = output
                .strip_prefix("next.")
                .ok_or_else(|| adapt.fail("an output is not called `next.` and the name of a parameter"))?;
            let initial = adapt
                .default_of(name)
                .ok_or_else(|| adapt.fail("a parameter has no initial value"))?;
            let start = parameters.len();
            parameters.extend(initial);
            ranges.insert(name.into(), start..parameters.len());
        }

        // A chunk holds field after field, each for all rows, then the weights of the rows.
        let rows = spec.capacity as usize;
        let mut fields = BTreeMap::new();
        let mut start = 0;
        for field in spec.fields() {
            let end = start + rows * field.width as usize;
            if let Some(kind) = field.field_kind() {
                fields.insert(String::from(metadata::input_name(kind)), start..end);
            }
            start = end;
        }
        fields.insert("row_weight".into(), start..start + rows);
        let sources = |model: &Model| {
            let mut sources = BTreeMap::new();
            for (input, _) in model.inputs() {
                let source = match (fields.get(input), ranges.get(input)) {
                    (Some(range), _) => Source::Field(range.clone()),
                    (None, Some(range)) => Source::Parameter(range.clone()),
                    (None, None) if input == "step_scale" => Source::StepScale,
                    (None, None) => continue,
                };
                sources.insert(String::from(input), source);
            }
            sources
        };
        let cost = u64::from(spec.capacity) * parameters.len() as u64;
        let (of_step, of_score) = (sources(&adapt), sources(&score));
        let learn = Learn {
            step: adapt.compile(rows, of_step, MACS_OF_A_STEP * cost)?,
            score: score.compile(rows, of_score, cost)?,
            spec,
        };
        let mut models = Self::load(policy, &ranges, parameters)?;
        let count = models.parameters.len() as u32;
        models.sizes = Workspace {
            adapted: count,
            accumulator: count.max(2),
            learn_input: spec.chunk_len(),
            support_rows: spec.capacity,
            support_row_width: spec.row_width(),
            ..models.sizes
        };
        models.learn = Some(learn);
        Ok(models)
    }

    fn load(
        policy: Model,
        ranges: &BTreeMap<String, core::ops::Range<usize>>,
        parameters: Vec<f32>,
    ) -> Result<Self, EdgeError> {
        let contract = metadata::contract(&policy)?;
        let view = ContractView::new_checked(&contract)?;
        let (observations, actions) = (view.observations().len(), view.actions().len());
        let outputs: usize = policy
            .outputs()
            .map(|(_, shape)| shape.iter().map(|&length| length.max(1)).product::<usize>())
            .sum();
        if outputs != actions && outputs != 2 * actions {
            return Err(policy.fail("its outputs do not suit the actions of the contract"));
        }
        let mut sources = BTreeMap::new();
        for (input, _) in policy.inputs() {
            if input == "observation" {
                sources.insert(input.into(), Source::Field(0..observations));
            } else if let Some(range) = ranges.get(input) {
                sources.insert(input.into(), Source::Parameter(range.clone()));
            }
        }
        let act = policy.compile(1, sources, 0)?;
        let sizes = Workspace {
            act_input: observations as u32,
            act_output: outputs as u32,
            ..bytemuck::Zeroable::zeroed()
        };
        Ok(Self {
            act,
            learn: None,
            contract,
            parameters,
            sizes,
        })
    }

    /// How the policy adapts, if it does.
    pub fn adaptation(&self) -> Option<&AdaptationSpec> {
        self.learn.as_ref().map(|learn| &learn.spec)
    }

    /// `f32` values of memory that [`Policy::from_models`](crate::policy::Policy::from_models) needs.
    pub fn workspace_len(&self) -> usize {
        workspace_of(&self.sizes, self.adaptation().and_then(AdaptationSpec::objective))
    }

    pub(crate) fn parts(&mut self) -> Parts<'_> {
        let (stages, spec) = match &mut self.learn {
            Some(learn) => (
                [
                    Stage::Nothing,
                    Stage::Step(&mut learn.step),
                    Stage::Publish,
                    Stage::Score(&mut learn.score),
                ],
                Some(&learn.spec),
            ),
            None => ([const { Stage::Nothing }; 4], None),
        };
        Parts {
            act: &mut self.act,
            stages,
            spec,
            contract: &self.contract,
            parameters: &self.parameters,
            sizes: self.sizes,
        }
    }
}

/// Why models were not loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum EdgeError {
    /// The metadata lack this entry: the model is not of a Pliant bundle, or of an old one.
    MetadataMissing {
        /// The entry.
        key: &'static str,
    },
    /// An entry of the metadata cannot be used.
    Metadata {
        /// The entry.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The contract is refused.
    Contract(ContractError),
    /// A model does not suit the others, or tract cannot run it.
    Model {
        /// Its file name.
        model: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl EdgeError {
    fn tract(model: &'static str, error: &tract_onnx::prelude::TractError) -> Self {
        Self::Model {
            model,
            problem: std::format!("{error:#}"),
        }
    }
}

impl fmt::Display for EdgeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MetadataMissing { key } => write!(
                formatter,
                "the models have no `{key}` in their metadata: export them anew"
            ),
            Self::Metadata { key, problem } => write!(formatter, "`{key}` in the models' metadata: {problem}"),
            Self::Contract(error) => write!(formatter, "the models' contract: {error}"),
            Self::Model { model, problem } => write!(formatter, "{model}: {problem}"),
        }
    }
}

impl core::error::Error for EdgeError {}
