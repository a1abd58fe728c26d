//! Starting from what another training learned: multi-task pre-training before meta-training, a trunk for other heads.

use super::{Algorithm, NamedTensor};
use crate::error::TrainError;

/// Gives an algorithm at its start the tensors of another training, as far as names and shapes are its own: the parameters
/// that both have, not the optimiser's moments. What the other has not (a head of another width, learned step sizes) stays as
/// it starts. Gives the names of those taken.
///
/// # Errors
/// [`TrainError::NothingInCommon`] where no tensor is; what restoring the state refuses.
pub fn start_from(learner: &mut dyn Algorithm, source: &[NamedTensor]) -> Result<Vec<String>, TrainError> {
    let own = learner.learned()?.parameters;
    let mut state = learner.state()?;
    let mut taken = Vec::new();
    let parameter = |tensor: &&mut NamedTensor| own.iter().any(|own| own.name == tensor.name);
    for tensor in state.tensors.iter_mut().filter(parameter) {
        let same = |other: &&NamedTensor| other.name == tensor.name && other.shape == tensor.shape;
        if let Some(other) = source.iter().find(same) {
            tensor.values.clone_from(&other.values);
            taken.push(tensor.name.clone());
        }
    }
    if taken.is_empty() {
        let named = |tensors: &[NamedTensor]| {
            let each = tensors.iter().filter(|tensor| !tensor.name.contains('/'));
            let each: Vec<String> = each
                .map(|tensor| format!("{} {:?}", tensor.name, tensor.shape))
                .collect();
            each.join(", ")
        };
        return Err(TrainError::NothingInCommon {
            own: named(&own),
            other: named(source),
        });
    }
    learner.restore(&state)?;
    Ok(taken)
}
