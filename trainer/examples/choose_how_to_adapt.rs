//! A *meta-model* that is no network: a decision tree reads statistics of the support set (how many rows, how they are
//! spread) and chooses how many gradient steps the device takes, and of what size. It is fitted on validation tasks and
//! travels in the image as a table of a few hundred bytes, which the runtime reads in place.
//!
//! The tasks are sinusoids seen through 2 to 20 points with noise of unknown strength: many clean points want many bold
//! steps, few noisy ones a single careful step. No fixed choice suits both.
//!
//! `cargo run --release --example choose_how_to_adapt`

use linfa::prelude::*;
use linfa_trees::{DecisionTree, TreeNode};
use ndarray_of_linfa::{Array1, Array2};
use pliant_compiler::image::{AlignedBytes, with_choices};
use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
use pliant_runtime::contract::{Channel, Contract};
use pliant_runtime::image::{AdaptationSpec, Choice, ChoiceNode, Image, Objective, Statistic, SupportStatistics};
use pliant_runtime::policy::{Policy, workspace_len};
use pliant_trainer::algorithms::{MetaLearner, TaskBatch, TaskShape};
use pliant_trainer::bundle::policy_image;
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::eval::{Estimate, bootstrap_mean};
use pliant_trainer::random::{fill_standard_normal, stream, uniform};
use pliant_trainer::recipe::{Adam, Adapts, Initialiser, Maml, Order};
use pliant_trainer::tasks::Split;

type Failure = Box<dyn std::error::Error>;

const MOST_ROWS: usize = 20;
const STEPS: usize = 5;
const GRID: usize = 50;
/// What there is to choose from: steps, and a factor on their size.
const CANDIDATES: [(u32, f32); 9] = [
    (1, 0.3),
    (1, 1.0),
    (1, 2.0),
    (3, 0.3),
    (3, 1.0),
    (3, 2.0),
    (5, 0.3),
    (5, 1.0),
    (5, 2.0),
];

/// A sinusoid seen through a few noisy points.
struct Task {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    /// What there is to predict on a grid over the inputs, without noise.
    truth: Vec<f32>,
}

fn grid(index: usize) -> f32 {
    -5.0 + 10.0 * index as f32 / (GRID - 1) as f32
}

/// Task `index` of a split, with `rows` points, or a number of its own.
fn task(seed: u64, split: Split, index: u64, rows: Option<usize>) -> Task {
    let mut random = stream(seed, &format!("noisy sinusoids, {}", split.name()), &[index]);
    let amplitude = uniform(&mut random, 0.1, 5.0);
    let phase = uniform(&mut random, 0.0, core::f32::consts::PI);
    let noise = uniform(&mut random, 0.0, 3.0);
    let own = uniform(&mut random, 2.0, MOST_ROWS as f32 + 0.999) as usize;
    let value = |x: f32| amplitude * (x - phase).sin();
    let inputs: Vec<f32> = (0..rows.unwrap_or(own))
        .map(|_| uniform(&mut random, -5.0, 5.0))
        .collect();
    let mut targets = vec![0.0; inputs.len()];
    fill_standard_normal(&mut random, &mut targets);
    targets
        .iter_mut()
        .zip(&inputs)
        .for_each(|(target, &x)| *target = value(x) + noise * *target);
    Task {
        inputs,
        targets,
        truth: (0..GRID).map(|index| value(grid(index))).collect(),
    }
}

/// Meta-trains on the caller's own batches and gives the device image.
fn meta_train(seed: u64, iterations: u64) -> Result<Vec<u8>, Failure> {
    let settings = Maml {
        iterations,
        tasks: 16,
        inner_steps: 1,
        inner_rate: 0.01,
        adapts: Adapts::All,
        gradient_clip: None,
        order: Order::Second,
        learn_inner_rate: false,
        chunks: 1,
        optimizer: Adam {
            clip_elements: Some(10.0),
            ..Adam::new(2e-3)
        },
    };
    let policy = PolicyDescription::deterministic(Mlp::new(&[1, 32, 32, 1], Activation::Relu));
    let shape = TaskShape {
        support_rows: 10,
        query_rows: GRID,
    };
    let mut learner = MetaLearner::new(
        &policy,
        shape,
        &settings,
        Initialiser::FanIn,
        seed,
        &PlanEngine::fast(),
        1,
    )?;
    let query_x: Vec<f32> = (0..16).flat_map(|_| (0..GRID).map(grid)).collect();
    for iteration in 0..iterations {
        let [mut x, mut y, mut truth] = [const { Vec::new() }; 3];
        for index in 0..16 {
            let task = task(seed, Split::Train, 16 * iteration + index, Some(10));
            x.extend(task.inputs);
            y.extend(task.targets);
            truth.extend(task.truth);
        }
        let (support, query) = (
            TaskBatch {
                inputs: &x,
                targets: &y,
            },
            TaskBatch {
                inputs: &query_x,
                targets: &truth,
            },
        );
        learner.train_on_batch(support, query)?;
    }
    let mut contract = Contract::new(1.0);
    contract.observe(Channel::observation("x", "").with_range(-5.0, 5.0))?;
    contract.actuate(Channel::action("y", "").with_range(-50.0, 50.0))?;
    let spec = AdaptationSpec::new(Objective::Supervised)
        .with_step_scales(&[1.0; STEPS])
        .with_rows(MOST_ROWS as u32, MOST_ROWS as u32);
    let spec = AdaptationSpec {
        trust_region: f32::INFINITY,
        ..spec
    };
    Ok(policy_image(&policy, &learner.learned()?, spec, &contract, None)?)
}

/// Mean squared error on each task after adapting through the device runtime.
fn errors(image: &[u8], tasks: &[Task]) -> Result<Vec<f64>, Failure> {
    let bytes = AlignedBytes::new(image);
    let image = Image::new_checked(&bytes)?;
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory)?;
    let (mut actor, mut learner) = policy.split();
    let mut errors = Vec::new();
    for task in tasks {
        for (x, y) in task.inputs.iter().zip(&task.targets) {
            learner.observe_example(&[*x], &[*y])?;
        }
        // Refused (not finite), the start acts on, as on a device.
        let _ = learner.adapt();
        let mut sum = 0.0;
        for (index, truth) in task.truth.iter().enumerate() {
            let mut prediction = [0.0];
            let _ = actor.act(&[grid(index)], &mut prediction);
            sum += f64::from(prediction[0] - truth).powi(2);
        }
        errors.push(sum / GRID as f64);
        learner.revert_to_base();
        learner.clear();
    }
    Ok(errors)
}

fn leaf(candidate: usize) -> ChoiceNode {
    let (steps, scale) = CANDIDATES[candidate];
    ChoiceNode::leaf(Choice { steps, scale })
}

fn best(mean_error: impl Fn(usize) -> f64) -> usize {
    (0..CANDIDATES.len())
        .min_by(|a, b| mean_error(*a).total_cmp(&mean_error(*b)))
        .unwrap_or(0)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Fits the tree: its questions by which candidate is best for a task, weighted by how much that matters, and each leaf's
/// answer by the mean error of the tasks that reach it. `errors` are `[candidate][task]`.
fn fit(tasks: &[Task], errors: &[Vec<f64>], fixed: usize) -> Result<Vec<ChoiceNode>, Failure> {
    let statistics: Vec<SupportStatistics> = tasks
        .iter()
        .map(|task| {
            SupportStatistics::of(
                task.inputs.len(),
                task.inputs.iter().copied(),
                task.targets.iter().copied(),
            )
        })
        .collect();
    let records = Array2::from_shape_fn((tasks.len(), Statistic::COUNT), |(task, statistic)| {
        statistics[task].0[statistic]
    });
    let labels = Array1::from_shape_fn(tasks.len(), |task| best(|candidate| errors[candidate][task]));
    let weights = Array1::from_shape_fn(tasks.len(), |task| {
        (errors[fixed][task] - errors[labels[task]][task]) as f32
    });
    let data = Dataset::new(records, labels).with_weights(weights);
    let tree = DecisionTree::params()
        .max_depth(Some(4))
        .min_weight_leaf(20.0)
        .fit(&data)?;
    let mut nodes = Vec::new();
    let all: Vec<usize> = (0..tasks.len()).collect();
    table(tree.root_node(), &statistics, errors, &all, fixed, &mut nodes);
    Ok(nodes)
}

/// Appends the nodes of a subtree that these tasks reach; where it is.
fn table(
    node: &TreeNode<f32, usize>,
    statistics: &[SupportStatistics],
    errors: &[Vec<f64>],
    tasks: &[usize],
    fixed: usize,
    nodes: &mut Vec<ChoiceNode>,
) -> u32 {
    const ASKED: [Statistic; Statistic::COUNT] = [
        Statistic::Rows,
        Statistic::TargetMean,
        Statistic::TargetDeviation,
        Statistic::InputDeviation,
    ];
    let index = nodes.len();
    let answer = if tasks.is_empty() {
        fixed
    } else {
        best(|candidate| mean(tasks.iter().map(|&task| errors[candidate][task])))
    };
    nodes.push(leaf(answer));
    if let (false, [Some(below), Some(above)]) = (node.is_leaf(), &node.children()[..]) {
        let (statistic, threshold, _) = node.split();
        let (low, high): (Vec<usize>, Vec<usize>) = tasks
            .iter()
            .partition(|&&task| statistics[task].0[statistic] < threshold);
        let low = table(below, statistics, errors, &low, fixed, nodes);
        let high = table(above, statistics, errors, &high, fixed, nodes);
        nodes[index] = ChoiceNode::question(ASKED[statistic], threshold, low, high);
    }
    index as u32
}

/// What the table gains on held-out tasks.
pub struct Gain {
    /// Mean squared error with the best fixed choice, found on the same validation tasks.
    pub fixed: f64,
    /// The fixed choice: steps and factor.
    pub choice: (u32, f32),
    /// Mean squared error with the table.
    pub chosen: f64,
    /// What the table takes off the error, task by task, with a 95 % interval over tasks.
    pub gain: Estimate,
    /// The same for each held-out task.
    pub gains: Vec<f64>,
    /// Bytes of the table in the image.
    pub bytes: usize,
}

/// Trains, fits the table on `validation` tasks and scores it on `held_out` ones.
pub fn run(seed: u64, iterations: u64, validation: u64, held_out: u64) -> Result<Gain, Failure> {
    let image = meta_train(seed, iterations)?;
    let tasks: Vec<Task> = (0..validation)
        .map(|index| task(seed, Split::Validation, index, None))
        .collect();
    let tried = (0..CANDIDATES.len()).map(|candidate| errors(&with_choices(&image, &[leaf(candidate)])?, &tasks));
    let tried: Vec<Vec<f64>> = tried.collect::<Result<_, _>>()?;
    let fixed = best(|candidate| mean(tried[candidate].iter().copied()));
    let nodes = fit(&tasks, &tried, fixed)?;

    let tasks: Vec<Task> = (0..held_out)
        .map(|index| task(seed, Split::Test, index, None))
        .collect();
    let without = errors(&with_choices(&image, &[leaf(fixed)])?, &tasks)?;
    let with = errors(&with_choices(&image, &nodes)?, &tasks)?;
    let gains: Vec<f64> = without
        .iter()
        .zip(&with)
        .map(|(without, with)| without - with)
        .collect();
    Ok(Gain {
        fixed: mean(without.into_iter()),
        choice: CANDIDATES[fixed],
        chosen: mean(with.into_iter()),
        gain: bootstrap_mean(&gains, seed),
        gains,
        bytes: size_of_val(&nodes[..]),
    })
}

fn main() -> Result<(), Failure> {
    println!("seed  fixed choice       error  with the table  gain (95 % interval)      table");
    for seed in 0..3 {
        let Gain {
            fixed,
            choice: (steps, scale),
            chosen,
            gain: Estimate {
                mean,
                ci95: [low, high],
            },
            bytes,
            ..
        } = run(seed, 4000, 4000, 4000)?;
        println!(
            "{seed:4}  {steps} steps x {scale:3}  {fixed:10.3}  {chosen:14.3}  {mean:.3} ({low:.3} to {high:.3})  {bytes} bytes"
        );
    }
    Ok(())
}
