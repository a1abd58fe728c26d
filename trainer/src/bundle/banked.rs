//! From tasks that were learned together to the files of a bundle: a device image with a bank of heads, and ONNX models
//! that take the task as an input.

use pliant_compiler::graph::{DType, Graph, Tensor, ValueId};
use pliant_compiler::image::{AdaptationDescription, banked_rule, compile_banked};
use pliant_compiler::onnx::export_symbolic;
use pliant_compiler::policy::{Banked, Parameter, TargetLoss, TaskSlice};
use pliant_runtime::contract::Contract;
use pliant_runtime::image::AdaptationSpec;

use super::export::{ExportError, Exported, image_options, step_sizes};
use super::{IMAGE_FILE, onnx};
use crate::algorithms::{Learned, MultiTaskSettings, NamedTensor, multi_task_network, multi_task_predict};
use crate::deployment;
use crate::recipe::{self, Adam, Recipe};
use crate::tasks::TaskTable;

/// Rows of a task that whitening looks at.
const WHITENING_ROWS: usize = 512;
/// Added to the features' variances, as a share of their mean: features that never vary stay finite.
const RIDGE: f64 = 1e-5;
/// Least standard deviation of a task's error, in units of its scale.
const LEAST_DEVIATION: f32 = 1e-3;

/// A network of several tasks, ready to be deployed.
#[derive(Debug, Clone)]
pub struct BankedNetwork {
    /// The network.
    pub policy: Banked,
    /// Values of [`Banked::trunk`].
    pub trunk: Vec<Tensor>,
    /// The tasks, then the spare slots.
    pub tasks: Vec<TaskSlice>,
}

/// Lays out what was learned of `tables` for a device: whitens the trunk's features over the training rows, which the
/// heads then undo, measures each task's error on its validation rows, and adds the spare slots.
///
/// # Errors
/// What the graphs refuse.
pub fn banked_network(
    settings: &recipe::MultiTask,
    policy: &recipe::Policy,
    tables: &[TaskTable],
    parameters: &[NamedTensor],
) -> Result<BankedNetwork, ExportError> {
    let network = multi_task_network(settings, policy, tables);
    let shared = network.shared().len();
    let features = network.features();
    let learner = MultiTaskSettings::new(network.clone(), 1, Adam::new(1e-3), 1);
    let mut moments = Moments::new(features);
    for (task, table) in tables.iter().enumerate() {
        let rows = table.train.inputs.len().min(WHITENING_ROWS * table.inputs());
        let (values, _) = multi_task_predict(&learner, parameters, task, &table.train.inputs[..rows])?;
        moments.add(&values);
    }
    let whitening = moments.whitening();

    let mut banked = Banked::of(&network, settings.adaptation.adapts_input());
    if let Some(prepared) = tables.iter().find_map(|table| table.prepared.as_ref()) {
        banked.inputs = prepared.map.inputs;
        banked.feature_map = Some(prepared.map.clone());
        banked.standardises = settings
            .adaptation
            .standardise_inputs
            .then_some(settings.adaptation.prior_rows);
    }
    banked.logarithms = tables.iter().any(|table| table.logarithm);
    let layers = 2 * network.hidden.len();
    // Gates by input stand behind the layers, in training as on the device.
    let router = banked.modulation.router(0, &network.hidden).len();
    let mut trunk: Vec<Tensor> = parameters[..layers + router]
        .iter()
        .map(super::export::tensor)
        .collect();
    trunk.push(Tensor::f32(&[features, features], single(&whitening.weight)).expect("square"));
    trunk.push(Tensor::f32(&[features], single(&whitening.bias)).expect("one a feature"));

    let all_values: Vec<&[f32]> = parameters.iter().map(|tensor| tensor.values.as_slice()).collect();
    let (shared_values, mut private) = all_values.split_at(shared);
    let mut tasks = Vec::new();
    for (task, table) in tables.iter().enumerate() {
        let (own, rest) = private.split_at(network.private(task).len());
        private = rest;
        let [weight, bias] = network.head_of(shared_values, own) else {
            continue;
        };
        let (_, outputs) = multi_task_predict(&learner, parameters, task, &table.validation.inputs)?;
        tasks.push(TaskSlice {
            inputs: table.inputs(),
            scaling: table.prepared.as_ref().map(|prepared| prepared.scaling.clone()),
            outputs: table.outputs,
            loss: table.loss,
            encoder: match network.encoder_of(own) {
                [weight, bias] => Some((weight.to_vec(), bias.to_vec())),
                _ => None,
            },
            modulation: network.modulation(shared_values, own),
            head: whitening.head(weight, bias),
            target: table.target.clone(),
            logarithm: table.logarithm,
            deviation: deviation(table, &outputs),
            trained: true,
        });
    }
    let spare = TaskSlice {
        inputs: banked.inputs,
        // As the first task's: a new task has the same sensors.
        scaling: tables
            .first()
            .and_then(|table| table.prepared.as_ref())
            .map(|prepared| prepared.scaling.clone()),
        outputs: banked.outputs,
        loss: tables.first().map_or(TargetLoss::SquaredError, |table| table.loss),
        encoder: None,
        modulation: Vec::new(),
        head: (vec![0.0; features * banked.outputs], vec![0.0; banked.outputs]),
        target: vec![(1.0, 0.0); banked.outputs],
        logarithm: false,
        deviation: 1.0,
        trained: false,
    };
    tasks.extend(std::iter::repeat_n(spare, settings.adaptation.spare_heads));
    Ok(BankedNetwork {
        policy: banked,
        trunk,
        tasks,
    })
}

/// The device image of these tasks.
///
/// # Errors
/// As [`export`](super::export).
pub fn banked_image(
    network: &BankedNetwork,
    learned: &Learned,
    spec: AdaptationSpec,
    contract: &Contract,
    options: &pliant_compiler::image::ImageOptions,
) -> Result<Vec<u8>, ExportError> {
    let adaptation = AdaptationDescription {
        spec,
        adapts: None,
        update: spread(&network.policy, learned).into(),
    };
    let BankedNetwork { policy, trunk, tasks } = network;
    Ok(compile_banked(policy, trunk, tasks, &adaptation, contract, options)?)
}

/// Step sizes of what adapts.
fn spread(policy: &Banked, learned: &Learned) -> pliant_compiler::adaptation::gradient::StepSizes {
    let adapted = policy.adapted().into_iter().map(|(parameter, value)| NamedTensor {
        values: vec![value; parameter.elements()],
        name: parameter.name,
        shape: parameter.shape,
    });
    step_sizes(&Learned {
        parameters: adapted.collect(),
        ..learned.clone()
    })
}

/// The bundle of a recipe whose tasks were learned together.
pub(super) fn export_banked(
    recipe: &Recipe,
    settings: &recipe::MultiTask,
    tables: &[TaskTable],
    learned: &Learned,
) -> Result<Exported, ExportError> {
    let network = banked_network(settings, &recipe.policy, tables, &learned.parameters)?;
    export_network(recipe, &network, learned)
}

/// The files of a bundle with this network.
pub(super) fn export_network(
    recipe: &Recipe,
    network: &BankedNetwork,
    learned: &Learned,
) -> Result<Exported, ExportError> {
    let contract = deployment::contract(recipe)?;
    let spec =
        deployment::adaptation_spec(recipe, &learned.step_scales).expect("tasks that were learned together adapt");
    let spec = onnx::with_row_fields(&spec, &banked_rule(&network.policy));
    let image = banked_image(network, learned, spec, &contract, &image_options(recipe))?;
    let policy = policy_model(recipe, &contract, &spec, network)?;
    let mut files = vec![policy];
    files.extend(learning_models(recipe, &contract, &spec, network, learned)?);
    files.push((IMAGE_FILE, image));
    Ok(Exported { files, env_steps: 0 })
}

/// Values of what adapts, of the trunk, and of one task's slice, by name.
fn defaults(network: &BankedNetwork, task: usize) -> Vec<NamedTensor> {
    let policy = &network.policy;
    let named = |parameter: Parameter, values: Vec<f32>| NamedTensor {
        name: parameter.name,
        shape: parameter.shape,
        values,
    };
    let adapted = policy.adapted().into_iter().map(|(parameter, value)| {
        let values = vec![value; parameter.elements()];
        named(parameter, values)
    });
    let trunk = policy.trunk().into_iter().zip(&network.trunk);
    let trunk = trunk.map(|(parameter, tensor)| named(parameter, tensor.as_f32().unwrap_or_default().to_vec()));
    let slice = policy.slice(&network.tasks[task]);
    let mut slice = slice.as_slice();
    let bank = policy.bank().into_iter().map(|parameter| {
        let (own, rest) = slice.split_at(parameter.elements());
        slice = rest;
        named(parameter, own.to_vec())
    });
    adapted.chain(trunk).chain(bank).collect()
}

/// `policy.onnx`: observation `[batch, inputs]` and task `[batch]` to action `[batch, outputs]`. The bank is `bank.NAME`,
/// each with the tasks in front.
fn policy_model(
    recipe: &Recipe,
    contract: &Contract,
    spec: &AdaptationSpec,
    network: &BankedNetwork,
) -> Result<(&'static str, Vec<u8>), ExportError> {
    let policy = &network.policy;
    let build = |batch: usize| -> Result<Graph, ExportError> {
        let mut graph = Graph::new();
        let observation = graph.input("observation", DType::F32, &[batch, policy.inputs])?;
        let task = graph.input("task", DType::I64, &[batch])?;
        let fixed = policy
            .adapted()
            .into_iter()
            .map(|(parameter, _)| parameter)
            .chain(policy.trunk());
        let mut values: Vec<ValueId> = fixed
            .map(|parameter| graph.input(&parameter.name, DType::F32, &parameter.shape))
            .collect::<Result<_, _>>()?;
        for parameter in policy.bank() {
            let shape: Vec<usize> = std::iter::once(network.tasks.len())
                .chain(parameter.shape.iter().copied())
                .collect();
            let bank = graph.input(&format!("bank.{}", parameter.name), DType::F32, &shape)?;
            let own = graph.gather(bank, task, 0)?;
            // Vectors get a dimension for the row, of which each instance has one.
            values.push(if parameter.shape.len() == 1 {
                graph.unsqueeze(own, &[1])?
            } else {
                own
            });
        }
        let row = graph.unsqueeze(observation, &[1])?;
        let answer = policy.answer(&mut graph, &values, row)?;
        let action = graph.squeeze(answer, &[1])?;
        graph.output("action", action)?;
        Ok(graph)
    };
    let options = onnx::options(recipe, contract, Some(spec), "policy");
    let model = export_symbolic("batch", &options, build)?;
    let own = policy.bank().len();
    let mut values = defaults(network, 0);
    let bank = values.split_off(values.len() - own);
    for (index, tensor) in bank.into_iter().enumerate() {
        let slices = (0..network.tasks.len()).map(|task| {
            let all = defaults(network, task);
            all[all.len() - own + index].values.clone()
        });
        values.push(NamedTensor {
            name: format!("bank.{}", tensor.name),
            shape: std::iter::once(network.tasks.len()).chain(tensor.shape).collect(),
            values: slices.collect::<Vec<_>>().concat(),
        });
    }
    Ok(("policy.onnx", onnx::with_defaults(&model, &values)?))
}

/// `adapt.onnx` and `score.onnx`: a task's slice goes in by name, task 0's where it is left out.
fn learning_models(
    recipe: &Recipe,
    contract: &Contract,
    spec: &AdaptationSpec,
    network: &BankedNetwork,
    learned: &Learned,
) -> Result<[(&'static str, Vec<u8>); 2], ExportError> {
    let rule = banked_rule(&network.policy);
    let step_sizes = spread(&network.policy, learned);
    let values = defaults(network, 0);
    let options = |name: &str| onnx::options(recipe, contract, Some(spec), name);
    let adapt = export_symbolic("rows", &options("adapt"), |rows| {
        rule.adapt(rows, &step_sizes).map_err(ExportError::from)
    })?;
    let score = export_symbolic("rows", &options("score"), |rows| {
        rule.score_rows(rows).map_err(ExportError::from)
    })?;
    Ok([
        ("adapt.onnx", onnx::with_defaults(&adapt, &values)?),
        ("score.onnx", onnx::with_defaults(&score, &values)?),
    ])
}

/// The standard deviation of a number's error on the validation rows, in the network's units; 1 for labels and classes.
fn deviation(table: &TaskTable, outputs: &[f32]) -> f32 {
    if table.loss != TargetLoss::SquaredError {
        return 1.0;
    }
    let pairs = table
        .validation
        .targets
        .iter()
        .zip(outputs)
        .filter(|(target, _)| !target.is_nan());
    let squares: Vec<f64> = pairs
        .map(|(target, output)| f64::from(target - output).powi(2))
        .collect();
    let mean = squares.iter().sum::<f64>() / squares.len().max(1) as f64;
    (mean.sqrt() as f32).max(LEAST_DEVIATION)
}

/// Sums of features and of their products.
struct Moments {
    rows: f64,
    sums: Vec<f64>,
    products: Vec<f64>,
}

impl Moments {
    fn new(features: usize) -> Self {
        Self {
            rows: 0.0,
            sums: vec![0.0; features],
            products: vec![0.0; features * features],
        }
    }

    fn add(&mut self, values: &[f32]) {
        let features = self.sums.len();
        for row in values.chunks_exact(features.max(1)) {
            self.rows += 1.0;
            for i in 0..features {
                self.sums[i] += f64::from(row[i]);
                for j in 0..features {
                    self.products[i * features + j] += f64::from(row[i]) * f64::from(row[j]);
                }
            }
        }
    }

    fn whitening(&self) -> Whitening {
        let n = self.sums.len();
        let rows = self.rows.max(1.0);
        let mean: Vec<f64> = self.sums.iter().map(|sum| sum / rows).collect();
        let mut factor: Vec<f64> = (0..n * n)
            .map(|index| self.products[index] / rows - mean[index / n] * mean[index % n])
            .collect();
        let trace: f64 = (0..n).map(|i| factor[i * n + i]).sum();
        for i in 0..n {
            factor[i * n + i] += (RIDGE * trace / n as f64).max(f64::MIN_POSITIVE);
        }
        cholesky(&mut factor, n);
        // Rows of the inverse transposed factor: L^T X = I from the last row up.
        let mut weight = vec![0.0; n * n];
        for column in 0..n {
            for row in (0..n).rev() {
                let known: f64 = (row + 1..n).map(|k| factor[k * n + row] * weight[k * n + column]).sum();
                let unit = f64::from(u8::from(row == column));
                weight[row * n + column] = (unit - known) / factor[row * n + row];
            }
        }
        let bias = (0..n)
            .map(|j| -(0..n).map(|i| mean[i] * weight[i * n + j]).sum::<f64>())
            .collect();
        Whitening {
            mean,
            factor,
            weight,
            bias,
        }
    }
}

/// The lower Cholesky factor of a positive definite matrix, in place; the upper triangle becomes zero.
fn cholesky(a: &mut [f64], n: usize) {
    for column in 0..n {
        for row in column..n {
            let products: f64 = (0..column).map(|k| a[row * n + k] * a[column * n + k]).sum();
            let rest = a[row * n + column] - products;
            a[row * n + column] = if row == column {
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / a[column * n + column]
            };
            if row != column {
                a[column * n + row] = 0.0;
            }
        }
    }
}

/// `f' = f W + b` with covariance 1 and mean 0, and the way back `f = m + L f'`.
struct Whitening {
    mean: Vec<f64>,
    factor: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Whitening {
    /// The head that says of the whitened features what this one says of the features: `L^T W` and `b + m W`.
    fn head(&self, weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (n, outputs) = (self.mean.len(), bias.len());
        let at = |row: usize, output: usize| f64::from(weight[row * outputs + output]);
        let new_weight = (0..n * outputs).map(|index| {
            let (row, output) = (index / outputs, index % outputs);
            (row..n).map(|k| self.factor[k * n + row] * at(k, output)).sum::<f64>() as f32
        });
        let new_bias = bias.iter().enumerate().map(|(output, bias)| {
            let moved: f64 = (0..n).map(|row| self.mean[row] * at(row, output)).sum();
            (f64::from(*bias) + moved) as f32
        });
        (new_weight.collect(), new_bias.collect())
    }
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{fill_standard_normal, stream};

    /// Whitened features have mean 0 and covariance 1, and the new head says the same.
    #[test]
    fn whitening_changes_features_and_no_answer() {
        let mut noise = vec![0.0; 3000];
        fill_standard_normal(&mut stream(0, "test", &[]), &mut noise);
        let features: Vec<f32> = noise
            .chunks_exact(3)
            .flat_map(|n| [n[0] + 2.0, 0.5 * n[0] + 0.1 * n[1], n[2] - n[1]])
            .collect();
        let mut moments = Moments::new(3);
        moments.add(&features);
        let whitening = moments.whitening();
        let (weight, bias) = (vec![1.0, -2.0, 0.5, 0.3, 0.2, 0.1], vec![0.7, -0.2]);
        let (new_weight, new_bias) = whitening.head(&weight, &bias);
        let mut white = Vec::new();
        for row in features.chunks_exact(3) {
            let f: Vec<f64> = (0..3)
                .map(|j| {
                    let sum: f64 = (0..3).map(|i| f64::from(row[i]) * whitening.weight[3 * i + j]).sum();
                    sum + whitening.bias[j]
                })
                .collect();
            for output in 0..2 {
                let old: f64 = (0..3)
                    .map(|i| f64::from(row[i]) * f64::from(weight[2 * i + output]))
                    .sum();
                let new: f64 = (0..3).map(|i| f[i] * f64::from(new_weight[2 * i + output])).sum();
                let difference = old + f64::from(bias[output]) - new - f64::from(new_bias[output]);
                assert!(difference.abs() < 1e-5, "{difference}");
            }
            white.extend(f);
        }
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = white.chunks_exact(3).map(|f| f[i] * f[j]).sum::<f64>() / 1000.0;
                assert!(
                    (product - f64::from(u8::from(i == j))).abs() < 2e-3,
                    "{i} {j}: {product}"
                );
            }
        }
    }
}
