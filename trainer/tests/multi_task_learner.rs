//! The multi-task learner on the caller's batches: losses, what is missing, every method, resuming.

use pliant_compiler::policy::{Activation, Conditioning, MultiTask, TargetLoss, TaskHead};
use pliant_trainer::algorithms::{Lookahead, MultiTaskLearner, MultiTaskSettings, TaskBatch};
use pliant_trainer::engine::PlanEngine;
use pliant_trainer::error::TrainError;
use pliant_trainer::recipe::{Adam, Balance, Balancing};

/// A number, two labels and one of three classes, with 2, 2 and 3 inputs.
fn settings(method: Balancing) -> MultiTaskSettings {
    let head = |inputs, outputs, loss| TaskHead { inputs, outputs, loss };
    let network = MultiTask {
        encoder: Some(4),
        hidden: vec![5],
        activation: Activation::Tanh,
        conditioning: Conditioning::None,
        shared_head: false,
        tasks: vec![
            head(2, 1, TargetLoss::SquaredError),
            head(2, 2, TargetLoss::BinaryCrossEntropy),
            head(3, 3, TargetLoss::CrossEntropy),
        ],
    };
    MultiTaskSettings {
        balance: Balance::with(method),
        seed: 3,
        ..MultiTaskSettings::new(network, 4, Adam::new(0.01), 100)
    }
}

const X: [f32; 6] = [0.1, 0.2, -0.4, 0.8, 0.5, -0.5];
const NUMBERS: TaskBatch<'_> = TaskBatch {
    inputs: &X,
    targets: &[1.0, 2.0, 3.0],
};
/// The second label of the second row is missing.
const LABELS: TaskBatch<'_> = TaskBatch {
    inputs: &X,
    targets: &[1.0, 0.0, 0.0, f32::NAN, 1.0, 1.0],
};
const CLASSES: TaskBatch<'_> = TaskBatch {
    inputs: &X,
    targets: &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
};
const NONE: TaskBatch<'_> = TaskBatch {
    inputs: &[],
    targets: &[],
};

/// Losses are those of the predictions, by plain formulas in double precision; rows, targets and tasks that are not there
/// change nothing.
#[test]
fn losses_are_means_over_what_is_there() {
    let mut learner = MultiTaskLearner::new(&settings(Balancing::Uniform), &PlanEngine::exact()).unwrap();
    let predictions: Vec<Vec<f64>> = (0..3)
        .map(|task| learner.predict(task, &X).unwrap().into_iter().map(f64::from).collect())
        .collect();
    let losses = learner.train_on_batch(&[NUMBERS, LABELS, CLASSES]).unwrap();
    let close = |loss: f32, expected: f64| assert!((f64::from(loss) - expected).abs() < 1e-5, "{loss} {expected}");
    let squares = predictions[0]
        .iter()
        .zip(NUMBERS.targets)
        .map(|(p, y)| (p - f64::from(*y)).powi(2));
    close(losses[0], squares.sum::<f64>() / 3.0);
    let known = predictions[1].iter().zip(LABELS.targets).filter(|(_, y)| !y.is_nan());
    let entropies = known.map(|(logit, y)| {
        let p = 1.0 / (1.0 + (-logit).exp());
        -(f64::from(*y) * p.ln() + (1.0 - f64::from(*y)) * (1.0 - p).ln())
    });
    close(losses[1], entropies.sum::<f64>() / 5.0);
    let entropy = |row: usize, class: usize| {
        let logits = &predictions[2][3 * row..][..3];
        logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[class]
    };
    close(losses[2], 0.5 * (entropy(0, 1) + entropy(1, 2)));

    let before = learner.parameters().unwrap();
    let losses = learner.train_on_batch(&[NUMBERS, NONE, CLASSES]).unwrap();
    assert!(losses[1].is_nan());
    assert!(losses[0].is_finite() && losses[2].is_finite());
    let after = learner.parameters().unwrap();
    let moved: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a.values != b.values).collect();
    // Adam's momentum moves the absent task's parameters on, but nothing else: the trunk learned.
    assert!(moved[0] && moved[2], "{moved:?}");
}

/// Missing rows leave a fresh task's own parameters where they were, whatever the method.
#[test]
fn a_task_that_never_came_stays() {
    for method in Balancing::ALL {
        let mut learner = MultiTaskLearner::new(&settings(method), &PlanEngine::fast()).unwrap();
        let before = learner.parameters().unwrap();
        for _ in 0..3 {
            learner.train_on_batch(&[NUMBERS, NONE, CLASSES]).unwrap();
        }
        let after = learner.parameters().unwrap();
        for (before, after) in before.iter().zip(&after) {
            let own = before.name.starts_with("task1");
            // The bias of an encoder before a zero gradient may stay too.
            assert!(!own || before == after, "{method:?} moved {}", before.name);
        }
        assert_ne!(before[0], after[0], "{method:?}");
    }
}

/// Every method learns, and one that was stopped goes on with the same bits.
#[test]
fn every_method_learns_and_resumes_exactly() {
    for method in Balancing::ALL {
        let train = |learner: &mut MultiTaskLearner, times: usize| {
            (0..times)
                .map(|_| learner.train_on_batch(&[NUMBERS, LABELS, CLASSES]).unwrap())
                .collect::<Vec<_>>()
        };
        let mut settings = settings(method);
        settings.dropout = 0.1;
        settings.weight_decay = 0.1;
        let mut whole = MultiTaskLearner::new(&settings, &PlanEngine::fast()).unwrap();
        let first = train(&mut whole, 7).remove(0);
        let saved = whole.state().unwrap();
        let last = train(&mut whole, 293).pop().unwrap();
        assert!(
            first.iter().zip(&last).all(|(first, last)| last < first),
            "{method:?}: {first:?} {last:?}"
        );
        let mut resumed = MultiTaskLearner::new(&settings, &PlanEngine::fast()).unwrap();
        resumed.restore(&saved).unwrap();
        train(&mut resumed, 293);
        assert_eq!(resumed.state().unwrap(), whole.state().unwrap(), "{method:?}");
    }
}

/// The two ways of taking a step agree: a weighted sum of losses, and gradients kept apart, weighted and added.
#[test]
fn gradients_kept_apart_add_up() {
    let mut weighted = MultiTaskLearner::new(&settings(Balancing::Uniform), &PlanEngine::fast()).unwrap();
    // CAGrad without aversion is the mean.
    let mut combined_settings = settings(Balancing::Cagrad);
    combined_settings.balance.conflict_aversion = 0.0;
    let mut combined = MultiTaskLearner::new(&combined_settings, &PlanEngine::fast()).unwrap();
    for _ in 0..20 {
        weighted.train_on_batch(&[NUMBERS, LABELS, CLASSES]).unwrap();
        combined.train_on_batch(&[NUMBERS, LABELS, CLASSES]).unwrap();
    }
    let pairs = weighted
        .parameters()
        .unwrap()
        .into_iter()
        .zip(combined.parameters().unwrap());
    for (a, b) in pairs {
        for (x, y) in a.values.iter().zip(&b.values) {
            assert!((x - y).abs() < 1e-4, "{}: {x} {y}", a.name);
        }
    }
    assert!(combined.conflict_rate() >= 0.0);
}

#[test]
fn wrong_batches_are_refused_by_name() {
    let mut learner = MultiTaskLearner::new(&settings(Balancing::Uniform), &PlanEngine::fast()).unwrap();
    let message = |error: TrainError| error.to_string();
    assert!(message(learner.train_on_batch(&[NUMBERS, LABELS]).unwrap_err()).starts_with("batches: 3"));
    let short = TaskBatch {
        targets: &[1.0],
        ..NUMBERS
    };
    let refused = learner.train_on_batch(&[short, LABELS, CLASSES]).unwrap_err();
    assert!(message(refused).starts_with("targets of a task: 3"));
    assert!(matches!(
        learner.predict(3, &X),
        Err(TrainError::NoSuchTask { task: 3, tasks: 3 })
    ));
}

/// Two tasks with opposite targets and one head for both: nothing but the conditioning tells them apart.
#[test]
fn conditioning_tells_tasks_apart_that_share_a_head() {
    let head = TaskHead {
        inputs: 2,
        outputs: 1,
        loss: TargetLoss::SquaredError,
    };
    let inputs = [0.9, 0.2, -0.4, 0.8, 0.5, -0.5, -0.3, -0.7];
    let batches = [[1.0, -0.5, 0.7, -0.2], [-1.0, 0.5, -0.7, 0.2]];
    let batches = batches.each_ref().map(|targets| TaskBatch {
        inputs: &inputs,
        targets,
    });
    let last = |conditioning: Conditioning| {
        let network = MultiTask {
            encoder: None,
            hidden: vec![8, 8],
            activation: Activation::Tanh,
            conditioning,
            shared_head: true,
            tasks: vec![head.clone(); 2],
        };
        let settings = MultiTaskSettings::new(network, 4, Adam::new(0.02), 1000);
        let mut learner = MultiTaskLearner::new(&settings, &PlanEngine::fast()).unwrap();
        let mut losses = vec![];
        for _ in 0..500 {
            losses = learner.train_on_batch(&batches).unwrap();
        }
        losses.into_iter().fold(0.0, f32::max)
    };
    // The best answer to both is 0: the mean square of the targets.
    assert!((last(Conditioning::None) - 0.445).abs() < 0.01);
    for conditioning in [
        Conditioning::OneHot,
        Conditioning::Embedding(3),
        Conditioning::Film(3),
        Conditioning::ExpertsByTask(2),
    ] {
        let loss = last(conditioning);
        assert!(loss < 0.01, "{conditioning:?}: {loss}");
    }
}

#[test]
fn tasks_with_unlike_outputs_share_no_head() {
    let mut settings = settings(Balancing::Uniform);
    settings.network.shared_head = true;
    let refused = MultiTaskLearner::new(&settings, &PlanEngine::fast()).err().unwrap();
    assert!(
        refused.to_string().starts_with("outputs of tasks that share a head: 1"),
        "{refused}"
    );
}

/// A step for a task takes its own loss down and that of a task with the same targets, and raises that of one with opposite
/// ones; half as far ahead is half as much; the training does not notice.
#[test]
fn affinity_says_who_helps_whom() {
    let head = TaskHead {
        inputs: 2,
        outputs: 1,
        loss: TargetLoss::SquaredError,
    };
    let network = MultiTask {
        encoder: None,
        hidden: vec![8],
        activation: Activation::Tanh,
        conditioning: Conditioning::None,
        shared_head: true,
        tasks: vec![head; 3],
    };
    let settings = MultiTaskSettings::new(network, 4, Adam::new(0.01), 100);
    let mut learner = MultiTaskLearner::new(&settings, &PlanEngine::exact()).unwrap();
    let inputs = [0.9, 0.2, -0.4, 0.8, 0.5, -0.5, -0.3, -0.7];
    let targets = [[2.0, -1.0, 1.4, -0.4], [2.0, -1.0, 1.4, -0.4], [-2.0, 1.0, -1.4, 0.4]];
    let batches = targets.each_ref().map(|targets| TaskBatch {
        inputs: &inputs,
        targets,
    });
    let before = learner.parameters().unwrap();
    let mut lookahead = Lookahead::new(&settings, &PlanEngine::exact()).unwrap();
    let mut at = |reach: f32| lookahead.affinities(&before, &batches, reach).unwrap();
    let (near, far) = (at(0.0005), at(0.001));
    for task in 0..3 {
        for other in 0..3 {
            let value = far[3 * task + other];
            let helps = (task == 2) == (other == 2);
            assert_eq!(value > 0.0, helps, "{task} {other}: {value}");
            assert!(
                (value / near[3 * task + other] - 2.0).abs() < 0.2,
                "{task} {other}: {value}"
            );
        }
    }
    assert_eq!(far[0], far[1]);
    assert_eq!(learner.parameters().unwrap(), before);
    learner.train_on_batch(&batches).unwrap();
}
