//! What control policies start from beyond random weights.

use pliant_compiler::policy::Network;

use crate::algorithms::NamedTensor;

/// Small outputs, and an update gate that starts open for the past: multiplies the last weight of a policy by
/// `output_scale`, and adds `update_gate_bias` to the bias of the update gate where there is one. What has changed counts for
/// nothing at first: a policy that answers to accelerations at random is hard to keep from falling.
pub fn prepare(parameters: &mut [NamedTensor], network: &Network, output_scale: f32, update_gate_bias: f32) {
    if let Network::Gru(gru) = network
        && let Some(weight) = parameters.iter_mut().find(|tensor| tensor.name == "encoder.weight")
    {
        weight.values[gru.observations * gru.encoder..].fill(0.0);
    }
    if let Some(last) = parameters.iter_mut().rfind(|tensor| tensor.name.ends_with(".weight")) {
        last.values.iter_mut().for_each(|value| *value *= output_scale);
    }
    if let Some(bias) = parameters.iter_mut().find(|tensor| tensor.name == "gru.state_bias") {
        let units = bias.values.len() / 3;
        bias.values[units..2 * units]
            .iter_mut()
            .for_each(|value| *value += update_gate_bias);
    }
}

#[cfg(test)]
mod tests {
    use pliant_compiler::policy::{Activation, Gru};

    use super::*;
    use crate::nn::initialise;
    use crate::recipe::Initialiser;

    #[test]
    fn what_has_changed_counts_for_nothing_at_first() {
        for (changes, inputs) in [(0, 3), (10, 3 + 3 + 2)] {
            let network = Network::Gru(Gru {
                observations: 3,
                encoder: 4,
                activation: Activation::Relu,
                hidden: 5,
                outputs: 2,
                changes,
            });
            let mut parameters = initialise(&network.parameters(), Initialiser::FanIn, 0);
            let before = parameters[0].values.clone();
            prepare(&mut parameters, &network, 1.0, 0.0);
            let (seen, changed) = parameters[0].values.split_at(3 * 4);
            assert_eq!(seen, &before[..3 * 4]);
            assert!(before.iter().all(|&weight| weight != 0.0));
            assert_eq!(changed, vec![0.0; (inputs - 3) * 4]);
        }
    }
}
