//! The parameters of a bundle, or of a run that has none yet.

use std::path::Path;

use pliant_compiler::onnx::proto::{ElementType, ModelProto};
use prost::Message;

use super::BundleError;
use crate::algorithms::NamedTensor;
use crate::run::RunDirectory;

/// Before the names of the parameters that counted best on validation rows, in a checkpoint.
const BEST: &str = "best/";

/// What a training learned, by name: from `policy.onnx` where `path` is a bundle, otherwise from the newest checkpoint of the run
/// there, of which the parameters that validated best count.
///
/// # Errors
/// [`BundleError::NoParameters`] where there is neither.
pub fn parameters(path: &Path) -> Result<Vec<NamedTensor>, BundleError> {
    let refuse = |problem: String| BundleError::NoParameters {
        path: path.to_owned(),
        problem,
    };
    match std::fs::read(path.join("policy.onnx")) {
        Ok(bytes) => initialisers(&bytes).map_err(refuse),
        Err(_) => match RunDirectory::newest(path) {
            Ok(Some((checkpoint, _))) => Ok(best(checkpoint.state.tensors)),
            Ok(None) => Err(refuse("it has neither policy.onnx nor a checkpoint".to_owned())),
            Err(error) => Err(refuse(error.to_string())),
        },
    }
}

/// The best parameters under their own names in front of the others, so that they are found first.
fn best(tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let own = |tensor: &NamedTensor| {
        let name = tensor.name.strip_prefix(BEST)?;
        Some(NamedTensor {
            name: name.to_owned(),
            ..tensor.clone()
        })
    };
    tensors.iter().filter_map(own).chain(tensors.iter().cloned()).collect()
}

fn initialisers(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let model = ModelProto::decode(bytes).map_err(|error| format!("policy.onnx is no ONNX model ({error})"))?;
    let graph = model.graph.ok_or("policy.onnx has no graph")?;
    let numbers = graph
        .initializer
        .iter()
        .filter(|tensor| tensor.data_type == ElementType::Float as i32);
    Ok(numbers
        .map(|tensor| NamedTensor {
            name: tensor.name.clone(),
            shape: tensor
                .dims
                .iter()
                .map(|&axis| usize::try_from(axis).unwrap_or(0))
                .collect(),
            values: tensor
                .raw_data
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect(),
        })
        .filter(|tensor| tensor.values.len() == tensor.shape.iter().product::<usize>())
        .collect())
}
