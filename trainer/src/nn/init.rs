//! Initial parameters.

use pliant_compiler::policy::{CONTEXT, Parameter, Scan};
use rand_core::Rng;

use crate::algorithms::NamedTensor;
use crate::random::{fill_standard_normal, stream, uniform};
use crate::recipe::Initialiser;

/// Standard deviation of [`Initialiser::SmallNormal`] (the sinusoid experiments of Finn et al. 2017).
const SMALL_DEVIATION: f32 = 0.01;

/// Initial values of parameters: matrices `[inputs, outputs]` by `initialiser`; vectors (biases) zero, but with
/// [`Initialiser::FanIn`], which draws a vector as it draws the matrix before it. A context vector is always zero,
/// and the detectors of a scan are random words and its scale 1/2, whatever the initialiser.
///
/// Each parameter draws from its own stream of `seed`, named after it, so that adding one leaves the others as they are.
///
/// ```
/// use pliant_compiler::policy::Parameter;
/// use pliant_trainer::{nn::initialise, recipe::Initialiser};
/// let parameters = [Parameter::new("weight", &[40, 40]), Parameter::new("bias", &[40])];
/// let start = initialise(&parameters, Initialiser::Glorot, 0);
/// let limit = (6.0f32 / 80.0).sqrt();
/// assert!(start[0].values.iter().all(|value| value.abs() <= limit));
/// assert_eq!(start[1].values, [0.0; 40]);
/// ```
pub fn initialise(parameters: &[Parameter], initialiser: Initialiser, seed: u64) -> Vec<NamedTensor> {
    let mut fan_in = 1;
    parameters
        .iter()
        .map(|Parameter { name, shape }| {
            let mut values = vec![0.0; shape.iter().product()];
            let mut random = stream(seed, &format!("initial {name}"), &[]);
            let matrix = match shape[..] {
                [inputs, outputs] => Some((inputs, outputs)),
                _ => None,
            };
            fan_in = matrix.map_or(fan_in, |(inputs, _)| inputs);
            match (initialiser, matrix) {
                _ if name == CONTEXT => {}
                (_, Some((rows, columns))) if name == Scan::DETECTORS => words(&mut values, rows, columns, &mut random),
                _ if name == Scan::SCALE => values.fill(0.5),
                (Initialiser::FanIn, _) => {
                    let limit = (fan_in as f32).sqrt().recip();
                    values.fill_with(|| uniform(&mut random, -limit, limit));
                }
                (Initialiser::SmallNormal, Some(_)) => {
                    values.fill_with(|| SMALL_DEVIATION * truncated_normal(&mut random));
                }
                (Initialiser::Glorot, Some((inputs, outputs))) => {
                    let limit = (6.0 / (inputs + outputs) as f32).sqrt();
                    values.fill_with(|| uniform(&mut random, -limit, limit));
                }
                (_, None) => {}
            }
            NamedTensor {
                name: name.clone(),
                shape: shape.clone(),
                values,
            }
        })
        .collect()
}

/// Symbols of a sequence: bases.
const SYMBOLS: usize = 4;

/// A random word in each column: the logit of one of four symbols at each position.
fn words(values: &mut [f32], rows: usize, columns: usize, random: &mut impl Rng) {
    for position in 0..rows / SYMBOLS {
        for column in 0..columns {
            let symbol = (random.next_u32() >> 30) as usize;
            values[(position * SYMBOLS + symbol) * columns + column] = Scan::WORD;
        }
    }
}

/// Standard normal, redrawn until it lies within two deviations.
fn truncated_normal(random: &mut impl Rng) -> f32 {
    loop {
        let mut value = [0.0];
        fill_standard_normal(random, &mut value);
        if value[0].abs() <= 2.0 {
            return value[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_normal_is_cut_at_two_deviations() {
        let start = initialise(&[Parameter::new("w", &[100, 100])], Initialiser::SmallNormal, 3);
        let values = &start[0].values;
        assert!(values.iter().all(|value| value.abs() <= 0.02));
        let variance = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 1e4;
        // A normal cut at two deviations has variance 0.774.
        assert!((variance / 1e-4 - 0.774).abs() < 0.04, "{variance}");
    }

    #[test]
    fn fan_in_spreads_biases_too() {
        let parameters = [Parameter::new("w", &[4, 100]), Parameter::new("b", &[100])];
        for tensor in initialise(&parameters, Initialiser::FanIn, 3) {
            let largest = tensor.values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            assert!((0.45..=0.5).contains(&largest), "{} {largest}", tensor.name);
        }
    }

    #[test]
    fn a_parameter_keeps_its_values_when_another_is_added() {
        let one = initialise(&[Parameter::new("w", &[3, 2])], Initialiser::Glorot, 1);
        let two = initialise(
            &[Parameter::new("v", &[3, 2]), Parameter::new("w", &[3, 2])],
            Initialiser::Glorot,
            1,
        );
        assert_eq!(one[0], two[1]);
        assert_ne!(two[0].values, two[1].values);
    }
}
