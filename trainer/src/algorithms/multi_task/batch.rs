//! The rows of one step, laid out as the graphs take them.

use pliant_compiler::policy::TargetLoss;

use super::super::TaskBatch;
use super::super::maml::check_length;
use super::MultiTaskSettings;
use crate::engine::Program;
use crate::error::TrainError;
use crate::random::{stream, uniform};

/// Inputs, targets, weights and dropout masks of every task, in the order of the graphs' inputs.
pub(super) struct Batch {
    values: Vec<Vec<f32>>,
    /// Values of one task.
    stride: usize,
}

impl Batch {
    pub(super) fn new(settings: &MultiTaskSettings) -> Self {
        let network = &settings.network;
        let masks = if settings.dropout > 0.0 { network.layers() } else { 0 };
        let mut values = Vec::new();
        for (head, &rows) in network.tasks.iter().zip(&settings.rows) {
            let own = [head.inputs, head.outputs, head.loss.elements(head.outputs)];
            let widths = network.encoder.iter().chain(&network.hidden).take(masks);
            values.extend(own.iter().chain(widths).map(|width| vec![0.0; rows * width]));
        }
        Self {
            values,
            stride: 3 + masks,
        }
    }

    /// Inputs of a graph that hold the batch.
    pub(super) fn inputs(&self) -> usize {
        self.values.len()
    }

    /// Lays out these rows. Weights are such that a task's loss is a mean over its elements.
    pub(super) fn fill(
        &mut self,
        settings: &MultiTaskSettings,
        batches: &[TaskBatch<'_>],
        iteration: u64,
    ) -> Result<(), TrainError> {
        for (task, (batch, values)) in batches
            .iter()
            .zip(self.values.chunks_exact_mut(self.stride))
            .enumerate()
        {
            let head = &settings.network.tasks[task];
            let count = (batch.inputs.len() / head.inputs.max(1)).min(settings.rows[task]);
            check_length("inputs of a task", count * head.inputs, batch.inputs.len())?;
            check_length("targets of a task", count * head.outputs, batch.targets.len())?;
            let [x, y, weights, masks @ ..] = values else { continue };
            x[..batch.inputs.len()].copy_from_slice(batch.inputs);
            x[batch.inputs.len()..].fill(0.0);
            y.fill(0.0);
            weights.fill(0.0);
            let elements = head.loss.elements(head.outputs);
            let class_weights = settings.class_weights.get(task).filter(|weights| !weights.is_empty());
            let counted = |output: usize, target: f32| {
                class_weights.map_or(1.0, |weights| weights[output][usize::from(target > 0.5)])
            };
            let rows = batch.targets.chunks_exact(head.outputs.max(1));
            for (row, targets) in rows.enumerate() {
                let known = |target: &f32| !target.is_nan();
                for (y, target) in y[row * head.outputs..]
                    .iter_mut()
                    .zip(targets)
                    .filter(|(_, t)| known(t))
                {
                    *y = *target;
                }
                let weights = &mut weights[row * elements..][..elements];
                if head.loss == TargetLoss::CrossEntropy {
                    // One class, or shares of several.
                    let there = targets.iter().enumerate().filter(|(_, share)| **share > 0.0);
                    weights[0] = there.map(|(class, share)| share * counted(class, 1.0)).sum();
                } else {
                    for (output, (weight, target)) in weights.iter_mut().zip(targets).enumerate() {
                        *weight = if known(target) { counted(output, *target) } else { 0.0 };
                    }
                }
            }
            let sum: f32 = weights.iter().sum();
            if sum > 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            for (layer, mask) in masks.iter_mut().enumerate() {
                let mut random = stream(settings.seed, "dropout", &[iteration, task as u64, layer as u64]);
                let kept = (1.0 - settings.dropout).recip();
                mask.fill_with(|| {
                    if uniform(&mut random, 0.0, 1.0) < settings.dropout {
                        0.0
                    } else {
                        kept
                    }
                });
            }
        }
        Ok(())
    }

    /// Sets the inputs of a program from `first` on.
    pub(super) fn set(&self, program: &mut Box<dyn Program>, first: usize) -> Result<(), TrainError> {
        for (offset, values) in self.values.iter().enumerate() {
            program.set(first + offset, values)?;
        }
        Ok(())
    }
}
