//! The gated recurrent unit.

use super::{Activation, Layout, Parameter};
use crate::graph::{Graph, GraphError, ValueId};

/// A layer, a gated recurrent unit (Cho et al. 2014) and a layer: one step a call.
///
/// With `x` the encoded observation and `h` the state:
/// `r = sigmoid(x W_r + b_r + h U_r + c_r)`, `z = sigmoid(x W_z + b_z + h U_z + c_z)`,
/// `n = tanh(x W_n + b_n + r (h U_n + c_n))`, `h' = (1 - z) n + z h`, as in cuDNN and PyTorch. The three blocks of each
/// matrix lie side by side in the order r, z, n.
///
/// With `changes` c above 0 the encoder is given, beside the observation `o_t`, how it has changed, `c (o_t - o_{t-1})`, and
/// what the network put out before, `tanh(y_{t-1})` (zeros at the first step): what a system does in answer to an action, from
/// which its parameters can be told at once. Both are kept in the state, behind `h`: it then has `hidden + observations +
/// outputs + 1` elements, the last one saying that there is a previous step.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::policy::{Activation, Gru, Layout};
///
/// let gru = Gru { observations: 22, encoder: 16, activation: Activation::Relu, hidden: 16, outputs: 4, changes: 0 };
/// let mut graph = Graph::new();
/// let parameters: Vec<_> =
///     gru.parameters().iter().map(|p| graph.input(&p.name, DType::F32, &p.shape).unwrap()).collect();
/// let x = graph.input("observation", DType::F32, &[1, 22]).unwrap();
/// let h = graph.input("state", DType::F32, &[1, 16]).unwrap();
/// let (y, next) = gru.forward(&mut graph, Layout::Rows, &parameters, x, h).unwrap();
/// assert_eq!(graph.shape(y), [1, 4]);
/// assert_eq!(graph.shape(next), [1, 16]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gru {
    /// Elements of an observation.
    pub observations: usize,
    /// Elements of the encoded observation.
    pub encoder: usize,
    /// After the encoding layer.
    pub activation: Activation,
    /// Elements of the unit's state `h`.
    pub hidden: usize,
    /// Elements of an output.
    pub outputs: usize,
    /// What the change of the observation is multiplied by for the encoder; 0 where it is not given it, nor the previous
    /// output.
    pub changes: u32,
}

impl Gru {
    /// Elements of the state that is handed from step to step.
    pub fn state(&self) -> usize {
        match self.changes {
            0 => self.hidden,
            _ => self.hidden + self.observations + self.outputs + 1,
        }
    }

    /// Elements that the encoder is given.
    fn encoder_inputs(&self) -> usize {
        match self.changes {
            0 => self.observations,
            _ => 2 * self.observations + self.outputs,
        }
    }

    /// Encoder, input and recurrent matrices and biases of the unit, head.
    pub fn parameters(&self) -> Vec<Parameter> {
        let gates = 3 * self.hidden;
        vec![
            Parameter::new("encoder.weight", &[self.encoder_inputs(), self.encoder]),
            Parameter::new("encoder.bias", &[self.encoder]),
            Parameter::new("gru.input_weight", &[self.encoder, gates]),
            Parameter::new("gru.input_bias", &[gates]),
            Parameter::new("gru.state_weight", &[self.hidden, gates]),
            Parameter::new("gru.state_bias", &[gates]),
            Parameter::new("head.weight", &[self.hidden, self.outputs]),
            Parameter::new("head.bias", &[self.outputs]),
        ]
    }

    /// Outputs and next states, laid out as `layout` says: `[.., rows, outputs]` and `[.., rows, state]`, or `[outputs,
    /// instances]` and `[state, instances]`.
    ///
    /// # Errors
    /// [`GraphError::Operator`] when shapes do not fit.
    pub fn forward(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        observation: ValueId,
        state: ValueId,
    ) -> Result<(ValueId, ValueId), GraphError> {
        if self.changes == 0 {
            return self.unit(graph, layout, parameters, observation, state);
        }
        let axis = layout.elements_axis(graph, state);
        let mut first = 0;
        let mut part = |graph: &mut Graph, elements: usize| {
            first += elements;
            graph.slice(state, axis, first - elements, first)
        };
        let hidden = part(graph, self.hidden)?;
        let (previous, output, begun) = (
            part(graph, self.observations)?,
            part(graph, self.outputs)?,
            part(graph, 1)?,
        );
        // Nothing has changed before the first step, where there is nothing to compare with.
        let compared = graph.mul(observation, begun)?;
        let change = graph.sub(compared, previous)?;
        let factor = graph.scalar(self.changes as f32);
        let change = graph.mul(change, factor)?;
        let output = graph.tanh(output)?;
        let seen = graph.concat(&[observation, change, output], axis)?;
        let (output, hidden) = self.unit(graph, layout, parameters, seen, hidden)?;
        let shape = graph.shape(begun).to_vec();
        let begun = graph.full(&shape, 1.0)?;
        Ok((output, graph.concat(&[hidden, observation, output, begun], axis)?))
    }

    /// Encoder, unit and head.
    fn unit(
        &self,
        graph: &mut Graph,
        layout: Layout,
        parameters: &[ValueId],
        seen: ValueId,
        state: ValueId,
    ) -> Result<(ValueId, ValueId), GraphError> {
        let layer = |graph: &mut Graph, x: ValueId, first: usize| {
            layout.affine(graph, x, parameters[first], parameters[first + 1])
        };
        let encoded = layer(graph, seen, 0)?;
        let encoded = self.activation.apply(graph, encoded)?;
        let from_input = layer(graph, encoded, 2)?;
        let from_state = layer(graph, state, 4)?;
        let axis = layout.elements_axis(graph, from_input);
        let hidden = self.hidden;
        let blocks = |graph: &mut Graph, value: ValueId, start: usize, end: usize| {
            graph.slice(value, axis, start * hidden, end * hidden)
        };

        // Both gates at once.
        let (input_gates, state_gates) = (blocks(graph, from_input, 0, 2)?, blocks(graph, from_state, 0, 2)?);
        let gates = graph.add(input_gates, state_gates)?;
        let gates = graph.sigmoid(gates)?;
        let (reset, update) = (blocks(graph, gates, 0, 1)?, blocks(graph, gates, 1, 2)?);

        let (input_candidate, state_candidate) = (blocks(graph, from_input, 2, 3)?, blocks(graph, from_state, 2, 3)?);
        let kept = graph.mul(reset, state_candidate)?;
        let candidate = graph.add(input_candidate, kept)?;
        let candidate = graph.tanh(candidate)?;

        let one = graph.scalar(1.0);
        let rest = graph.sub(one, update)?;
        let new = graph.mul(rest, candidate)?;
        let old = graph.mul(update, state)?;
        let next = graph.add(new, old)?;
        Ok((layer(graph, next, 6)?, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::DType;
    use crate::reference::{Tensor64, evaluate};

    /// Output and next state of one instance, each parameter a wave of its own.
    fn step(gru: &Gru, layout: Layout, observation: &[f64], state: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let shape = |elements: usize| match layout {
            Layout::Rows => [1, elements],
            Layout::Columns => [elements, 1],
        };
        let mut graph = Graph::new();
        let described = gru.parameters();
        let parameters: Vec<ValueId> = described
            .iter()
            .map(|p| graph.input(&p.name, DType::F32, &p.shape).unwrap())
            .collect();
        let x = graph.input("x", DType::F32, &shape(observation.len())).unwrap();
        let h = graph.input("h", DType::F32, &shape(state.len())).unwrap();
        let (y, next) = gru.forward(&mut graph, layout, &parameters, x, h).unwrap();
        graph.output("y", y).unwrap();
        graph.output("next", next).unwrap();
        let wave = |elements: usize| {
            (0..elements)
                .map(|i| (0.7 * i as f64 + elements as f64).sin() * 0.5)
                .collect()
        };
        let mut given: Vec<(&str, Tensor64)> = described
            .iter()
            .map(|p| (p.name.as_str(), Tensor64::new(&p.shape, wave(p.elements()))))
            .collect();
        given.push(("x", Tensor64::new(&shape(observation.len()), observation.to_vec())));
        given.push(("h", Tensor64::new(&shape(state.len()), state.to_vec())));
        let mut outputs = evaluate(&graph, &given).unwrap().into_iter();
        let mut next = || outputs.next().unwrap().data;
        (next(), next())
    }

    #[test]
    fn a_policy_that_sees_changes_is_one_that_is_given_them() {
        let seeing = Gru {
            observations: 2,
            encoder: 4,
            activation: Activation::Relu,
            hidden: 3,
            outputs: 1,
            changes: 5,
        };
        let given = Gru {
            observations: 5,
            changes: 0,
            ..seeing.clone()
        };
        for layout in [Layout::Rows, Layout::Columns] {
            let (mut state, mut unit) = (vec![0.0; seeing.state()], vec![0.0; 3]);
            let (mut change, mut output) = ([0.0; 2], 0.0f64);
            let observations = [[0.3, -0.2], [0.5, 0.1], [-0.4, 0.2]];
            for (at, observation) in observations.iter().enumerate() {
                if at > 0 {
                    change = [0, 1].map(|i| 5.0 * (observation[i] - observations[at - 1][i]));
                }
                let told = [observation[0], observation[1], change[0], change[1], output.tanh()];
                let (y, next) = step(&given, layout, &told, &unit);
                let (seen, seen_next) = step(&seeing, layout, observation, &state);
                assert!(
                    (y[0] - seen[0]).abs() < 1e-12,
                    "{layout:?}, step {at}: {} {}",
                    y[0],
                    seen[0]
                );
                (output, unit, state) = (y[0], next, seen_next);
            }
        }
    }
}
