//! A model on tract, with its inputs and outputs tied to slices.

use core::ops::Range;
use std::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use tract_onnx::pb::{
    ModelProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension::Value as Dimension,
    type_proto::Value as Type,
};
use tract_onnx::prelude::{
    Framework as _, InferenceModelExt as _, IntoRunnable as _, TValue, TVec, Tensor, TractResult, TypedSimpleState,
    onnx,
};

use super::EdgeError;
use crate::plan::AdaptedRef;

/// The decoded bytes of a model.
pub(super) struct Model {
    proto: ModelProto,
    name: &'static str,
}

/// Where the values of an input come from.
pub(super) enum Source {
    /// The observation, or the rows: this range of the given input.
    Field(Range<usize>),
    /// This range of the parameters.
    Parameter(Range<usize>),
    /// The factor on the step sizes.
    StepScale,
}

/// A model with its state, and the tensors that go in.
pub(crate) struct Network {
    state: TypedSimpleState,
    inputs: Vec<(Source, Arc<Tensor>)>,
    /// Work of a run, in multiply-accumulates, as [`Network::run`] reports it.
    cost: u64,
}

impl Model {
    pub(super) fn decode(name: &'static str, mut bytes: &[u8]) -> Result<Self, EdgeError> {
        let proto = onnx().proto_model_for_read(&mut bytes);
        let proto = proto.map_err(|error| EdgeError::tract(name, &error))?;
        Ok(Self { proto, name })
    }

    /// A value of the model's metadata.
    pub(super) fn metadata(&self, key: &'static str) -> Result<&str, EdgeError> {
        let entry = self.proto.metadata_props.iter().find(|entry| entry.key == key);
        entry
            .map(|entry| entry.value.as_str())
            .ok_or(EdgeError::MetadataMissing { key })
    }

    /// Inputs with their shapes; 0 for a symbolic dimension.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        let inputs = self.proto.graph.as_ref().map_or(&[][..], |graph| &graph.input);
        inputs.iter().map(|input| (input.name.as_str(), shape(input)))
    }

    /// Outputs with their shapes; 0 for a symbolic dimension.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        let outputs = self.proto.graph.as_ref().map_or(&[][..], |graph| &graph.output);
        outputs.iter().map(|output| (output.name.as_str(), shape(output)))
    }

    /// The value that an input has when it is not given.
    pub(super) fn default_of(&self, input: &str) -> Option<Vec<f32>> {
        let initializers = self.proto.graph.as_ref().map_or(&[][..], |graph| &graph.initializer);
        let tensor = initializers.iter().find(|tensor| tensor.name == input)?;
        Some(values(tensor))
    }

    pub(super) fn fail(&self, problem: &str) -> EdgeError {
        EdgeError::Model {
            model: self.name,
            problem: problem.into(),
        }
    }

    /// Compiles the model with its symbolic dimension fixed. Inputs that `sources` does not name keep their defaults.
    pub(super) fn compile(
        mut self,
        rows: usize,
        mut sources: BTreeMap<String, Source>,
        cost: u64,
    ) -> Result<Network, EdgeError> {
        let name = self.name;
        let graph = self.proto.graph.get_or_insert_default();
        // tract makes a constant of an input that has a default.
        graph.initializer.retain(|tensor| !sources.contains_key(&tensor.name));
        for input in &mut graph.input {
            fix(input, rows);
        }
        let given = |input: &&ValueInfoProto| !graph.initializer.iter().any(|tensor| tensor.name == input.name);
        let inputs: Vec<(String, Vec<usize>)> = graph
            .input
            .iter()
            .filter(given)
            .map(|input| (input.name.clone(), shape(input)))
            .collect();
        let mut tied = Vec::with_capacity(inputs.len());
        for (input, shape) in inputs {
            let source = sources.remove(&input).ok_or_else(|| EdgeError::Model {
                model: name,
                problem: std::format!("nothing is known of its input `{input}`"),
            })?;
            let length = match &source {
                Source::Field(range) | Source::Parameter(range) => range.len(),
                Source::StepScale => 1,
            };
            if shape.iter().product::<usize>() != length {
                return Err(EdgeError::Model {
                    model: name,
                    problem: std::format!("its input `{input}` has shape {shape:?} where {length} values are given"),
                });
            }
            let tensor = Tensor::zero::<f32>(&shape).map_err(|error| EdgeError::tract(name, &error))?;
            tied.push((source, Arc::new(tensor)));
        }
        let state = onnx()
            .model_for_proto_model(&self.proto)
            .and_then(|model| model.into_optimized()?.into_runnable()?.spawn())
            .map_err(|error| EdgeError::tract(name, &error))?;
        Ok(Network {
            state,
            inputs: tied,
            cost,
        })
    }
}

impl Network {
    /// Runs the model: its outputs one after the other in `output`. Gives the cost; `None` when tract failed, which a
    /// model that was compiled for fixed shapes does not.
    pub(crate) fn run(&mut self, input: &[f32], parameters: &[f32], scale: f32, output: &mut [f32]) -> Option<u64> {
        self.try_run(input, parameters, scale, output).ok()?;
        Some(self.cost)
    }

    fn try_run(&mut self, input: &[f32], parameters: &[f32], scale: f32, output: &mut [f32]) -> TractResult<()> {
        let mut given: TVec<TValue> = TVec::with_capacity(self.inputs.len());
        for (source, tensor) in &mut self.inputs {
            // In place: the last run gave its references back.
            let mut plain = Arc::make_mut(tensor).try_as_plain_ram_mut()?;
            let to = plain.as_slice_mut::<f32>()?;
            let from = match source {
                Source::Field(range) => input.get(range.clone()),
                Source::Parameter(range) => parameters.get(range.clone()),
                Source::StepScale => Some(core::slice::from_ref(&scale)),
            };
            // Both have the length that was checked when the model was compiled.
            to.iter_mut()
                .zip(from.unwrap_or(&[]))
                .for_each(|(to, from)| *to = *from);
            given.push(TValue::from_const(tensor.clone()));
        }
        let mut rest = output;
        for value in self.state.run(given)? {
            let plain = value.try_as_plain_ram()?;
            let values = plain.as_slice::<f32>()?;
            let Some((to, after)) = rest.split_at_mut_checked(values.len()) else {
                break;
            };
            to.copy_from_slice(values);
            rest = after;
        }
        Ok(())
    }
}

/// The shape of an input or output; 0 for a symbolic dimension.
fn shape(value: &ValueInfoProto) -> Vec<usize> {
    let Some(Type::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Vec::new();
    };
    let dimensions = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    dimensions
        .iter()
        .map(|dimension| match &dimension.value {
            Some(Dimension::DimValue(length)) => usize::try_from(*length).unwrap_or(0),
            Some(Dimension::DimParam(_)) | None => 0,
        })
        .collect()
}

/// Puts a number for the symbolic dimension.
fn fix(value: &mut ValueInfoProto, rows: usize) {
    let Some(Type::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else {
        return;
    };
    for dimension in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
        if matches!(dimension.value, Some(Dimension::DimParam(_)) | None) {
            dimension.value = Some(Dimension::DimValue(rows as i64));
        }
    }
}

fn values(tensor: &TensorProto) -> Vec<f32> {
    if !tensor.float_data.is_empty() {
        return tensor.float_data.clone();
    }
    let words = tensor.raw_data.chunks_exact(4);
    words
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}

/// One of the learner's steps, as models take it.
pub(crate) enum Stage<'m> {
    /// `begin`: a model keeps no sums.
    Nothing,
    /// `accumulate`: one gradient step over all rows; the new parameters go to the accumulator.
    Step(&'m mut Network),
    /// `apply`: the new parameters from the accumulator.
    Publish,
    /// `score`: the mean over all rows.
    Score(&'m mut Network),
}

impl Stage<'_> {
    /// Runs the step. Gives the cost; `None` where there is nothing to do.
    pub(crate) fn run(
        &mut self,
        input: &[f32],
        adapted: AdaptedRef<'_>,
        scale: f32,
        accumulator: &mut [f32],
    ) -> Option<u64> {
        match (self, adapted) {
            (Self::Nothing, _) => None,
            (Self::Step(network), adapted) => {
                let cost = network.run(input, adapted.values(), scale, accumulator);
                if cost.is_none() {
                    // The guard refuses it.
                    accumulator.fill(f32::NAN);
                }
                Some(cost.unwrap_or(0))
            }
            (Self::Publish, AdaptedRef::Exclusive(to)) => {
                to.iter_mut().zip(accumulator.iter()).for_each(|(to, from)| *to = *from);
                Some(to.len() as u64)
            }
            (Self::Publish, AdaptedRef::Shared(_)) => None,
            (Self::Score(network), adapted) => {
                let cost = network.run(input, adapted.values(), scale, accumulator);
                // The model gives the mean itself: as a sum over one row.
                match accumulator {
                    [_, weight, ..] if cost.is_some() => *weight = 1.0,
                    accumulator => accumulator.fill(f32::NAN),
                }
                Some(cost.unwrap_or(0))
            }
        }
    }
}
