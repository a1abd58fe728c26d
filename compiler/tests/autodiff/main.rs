//! Differentiating whole graphs: leaves, errors, recurrent cells, gradients through gradient steps.

mod differences;
mod errors;
mod gru;
mod leaves;
mod maml;
