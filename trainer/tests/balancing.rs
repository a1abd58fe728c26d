//! Each balancing method against its paper's equations, evaluated here straightforwardly in double precision on gradients
//! written out as vectors.

use pliant_compiler::policy::TargetLoss;
use pliant_trainer::balancing::{
    Balancer, Gram, Step, Weights, cagrad, dynamic_weight_average::DynamicWeightAverage, famo::Famo,
    grad_norm::GradNorm, nash_mtl, pcgrad, uncertainty::Uncertainty, upgrad,
};
use pliant_trainer::random::{fill_standard_normal, stream};

/// Random gradients over two orders of magnitude, many of them in conflict.
fn gradients(seed: u64, tasks: usize, elements: usize) -> Vec<Vec<f64>> {
    (0..tasks)
        .map(|task| {
            let mut values = vec![0.0f32; elements];
            fill_standard_normal(&mut stream(seed, "gradients", &[task as u64]), &mut values);
            let scale = 10f64.powf(task as f64 / tasks as f64 * 2.0 - 1.0);
            values.into_iter().map(|value| f64::from(value) * scale).collect()
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn combination(gradients: &[Vec<f64>], coefficients: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; gradients[0].len()];
    for (gradient, coefficient) in gradients.iter().zip(coefficients) {
        sum.iter_mut()
            .zip(gradient)
            .for_each(|(sum, value)| *sum += coefficient * value);
    }
    sum
}

/// The direction of a method for these gradients.
fn direction(method: &mut dyn Balancer, gradients: &[Vec<f64>]) -> Vec<f64> {
    let losses = vec![1.0; gradients.len()];
    let gram = Gram::of(gradients);
    let step = Step {
        iteration: 0,
        losses: &losses,
        gram: &gram,
    };
    combination(gradients, &method.combine(&step).shared)
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    let scale = norm(expected).max(1e-300);
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{found} {expected} (scale {scale})"
        );
    }
}

/// Kendall et al. 2018, equations 7 and 10: weights, and the slope of the objective by central differences.
#[test]
fn uncertainty_weighs_by_learned_noise() {
    let losses = [4.0, 0.3];
    let mut method = Uncertainty::new(&[TargetLoss::SquaredError, TargetLoss::CrossEntropy], 0.05);
    for _ in 0..20 {
        method.observe(&losses);
    }
    let s: Vec<f64> = method.log_variances().iter().map(|s| f64::from(*s)).collect();
    assert!(s[0] > 0.0 && s[1] != 0.0, "{s:?}");
    let objective = |s: &[f64]| (-s[0]).exp() * losses[0] / 2.0 + s[0] / 2.0 + (-s[1]).exp() * losses[1] + s[1] / 2.0;
    let slope = |task: usize| {
        let moved = |by: f64| {
            let mut s = s.clone();
            s[task] += by;
            objective(&s)
        };
        (moved(1e-5) - moved(-1e-5)) / 2e-5
    };
    assert_close(&method.gradient(&losses), &[slope(0), slope(1)], 1e-8);
    let expected = vec![(-s[0]).exp() / 2.0, (-s[1]).exp()];
    assert_eq!(method.weights(), Weights::Absolute(expected));
    // It settles where the variance is the loss (numbers), or twice the loss.
    for _ in 0..4000 {
        method.observe(&losses);
    }
    let settled: Vec<f64> = method.log_variances().iter().map(|s| f64::from(*s).exp()).collect();
    assert_close(&settled, &[4.0, 0.6], 1e-3);
}

/// Liu et al. 2019, equation 7.
#[test]
fn dynamic_weight_average_weighs_by_rates() {
    let mut method = DynamicWeightAverage::new(2, 2.0, 2);
    let equal = Weights::Absolute(vec![0.5, 0.5]);
    for losses in [[4.0, 1.0], [2.0, 1.0], [2.0, 1.2]] {
        assert_eq!(method.weights(), equal);
        method.observe(&losses);
    }
    method.observe(&[1.0, 0.4]);
    // Epoch means 3 and 1, then 1.5 and 0.8.
    let powers = [(0.5f64 / 2.0).exp(), (0.8f64 / 2.0).exp()];
    let Weights::Absolute(weights) = method.weights() else {
        panic!("absolute")
    };
    let sum = powers[0] + powers[1];
    assert_close(&weights, &[powers[0] / sum, powers[1] / sum], 1e-6);
}

/// Liu et al. 2023, algorithm 1: the Jacobian of the softmax by central differences.
#[test]
fn famo_descends_what_the_step_did() {
    let mut method = Famo::new(3, 0.1, 0.01);
    let (before, after) = ([2.0, 1.0, 0.1], [1.0, 0.99, 0.099]);
    for _ in 0..10 {
        method.observe_change(&before, &after);
    }
    let logits: Vec<f64> = method.state()[..3].iter().map(|value| f64::from(*value)).collect();
    let softmax = |logits: &[f64]| {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit.exp() / sum).collect::<Vec<f64>>()
    };
    // The task that fell fastest weighs least.
    assert!(logits[0] < logits[1] && logits[0] < logits[2], "{logits:?}");
    let changes: Vec<f64> = before
        .iter()
        .zip(&after)
        .map(|(b, a)| (b + 1e-8f64).ln() - (a + 1e-8f64).ln())
        .collect();
    let objective = |logits: &[f64]| dot(&softmax(logits), &changes);
    let expected: Vec<f64> = (0..3)
        .map(|task| {
            let moved = |by: f64| {
                let mut logits = logits.clone();
                logits[task] += by;
                objective(&logits)
            };
            (moved(1e-5) - moved(-1e-5)) / 2e-5 + 0.01 * logits[task]
        })
        .collect();
    assert_close(&method.gradient(&before, &after), &expected, 1e-6);
    let Weights::Relative(shares) = method.weights() else {
        panic!("relative")
    };
    assert_close(&shares, &softmax(&logits), 1e-6);
}

/// Chen et al. 2018, equation 2: the slope of the objective in the logarithms of the weights, targets held.
#[test]
fn grad_norm_descends_its_objective() {
    let mut method = GradNorm::new(3, 0.05, 1.5);
    let gradients = gradients(1, 3, 6);
    for _ in 0..5 {
        direction(&mut method, &gradients);
    }
    let norms: Vec<f64> = gradients.iter().map(|gradient| norm(gradient)).collect();
    let ratios = [0.5, 1.0, 0.2];
    let weights = method.weights();
    assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-9);
    let weighted: Vec<f64> = weights.iter().zip(&norms).map(|(w, n)| w * n).collect();
    let mean = weighted.iter().sum::<f64>() / 3.0;
    let mean_ratio = ratios.iter().sum::<f64>() / 3.0;
    let targets: Vec<f64> = ratios
        .iter()
        .map(|ratio| mean * (ratio / mean_ratio).powf(1.5))
        .collect();
    let expected: Vec<f64> = (0..3)
        .map(|task| {
            let term = |by: f64| (weights[task] * by.exp() * norms[task] - targets[task]).abs();
            (term(1e-6) - term(-1e-6)) / 2e-6 / mean
        })
        .collect();
    assert_close(&method.gradient(&norms, &ratios), &expected, 1e-6);
    // Left to itself with equal ratios it makes the weighted norms alike.
    for _ in 0..2000 {
        direction(&mut method, &gradients);
    }
    let weighted: Vec<f64> = method.weights().iter().zip(&norms).map(|(w, n)| w * n).collect();
    assert!(
        weighted.iter().all(|norm| (norm / weighted[0] - 1.0).abs() < 0.2),
        "{weighted:?}"
    );
}

/// Yu et al. 2020, algorithm 1, on vectors, for a given order; and that what is left does not conflict with the last one.
#[test]
fn pcgrad_projects_in_turn() {
    for seed in 0..20 {
        let gradients = gradients(seed, 5, 4);
        let gram = Gram::of(&gradients);
        for task in 0..5 {
            let order = [3, 1, 4, 0, 2];
            let mut expected = gradients[task].clone();
            for other in order.into_iter().filter(|&other| other != task) {
                let product = dot(&expected, &gradients[other]);
                if product < 0.0 {
                    let share = product / dot(&gradients[other], &gradients[other]);
                    expected
                        .iter_mut()
                        .zip(&gradients[other])
                        .for_each(|(e, g)| *e -= share * g);
                }
            }
            let found = combination(&gradients, &pcgrad::project(&gram, task, &order));
            assert_close(&found, &expected, 1e-10);
            let last = if task == 2 { 0 } else { 2 };
            assert!(dot(&found, &gradients[last]) > -1e-10 * norm(&found) * norm(&gradients[last]));
        }
    }
    // Two tasks: each in the normal plane of the other; no conflict: the mean.
    let two = vec![vec![1.0, 0.0], vec![-1.0, 1.0]];
    assert_close(&direction(&mut pcgrad::Pcgrad::new(0), &two), &[0.25, 0.75], 1e-12);
    let agreeing = vec![vec![1.0, 0.0], vec![1.0, 1.0]];
    assert_close(&direction(&mut pcgrad::Pcgrad::new(0), &agreeing), &[1.0, 0.5], 1e-12);
}

/// Liu et al. 2021: the direction lies on the ball around the mean, and no direction in it serves the worst-off task
/// better (looked for at random); without aversion it is the mean.
#[test]
fn cagrad_serves_the_worst_off_within_its_ball() {
    for seed in 0..20 {
        let gradients = gradients(seed, 4, 5);
        let mean = combination(&gradients, &[0.25; 4]);
        assert_close(&direction(&mut cagrad::Cagrad::new(0.0), &gradients), &mean, 1e-12);
        let found = direction(&mut cagrad::Cagrad::new(0.4), &gradients);
        let radius = 0.4 * norm(&mean);
        let offset: Vec<f64> = found.iter().zip(&mean).map(|(d, m)| d - m).collect();
        assert!((norm(&offset) - radius).abs() < 1e-9 * radius);
        let worst = |d: &[f64]| gradients.iter().map(|g| dot(g, d)).fold(f64::INFINITY, f64::min);
        // Duality: at the optimum the dual value is the worst-off task's.
        let gram = Gram::of(&gradients);
        let (weights, _) = cagrad::dual(&gram, 0.4);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9 && weights.iter().all(|weight| *weight >= 0.0));
        let weighted = combination(&gradients, &weights);
        let dual = dot(&weighted, &mean) + radius * norm(&weighted);
        assert!(
            (worst(&found) - dual).abs() < 1e-5 * norm(&found) * norm(&gradients[3]),
            "seed {seed}"
        );
        let mut random = stream(seed, "directions", &[]);
        for _ in 0..2000 {
            let mut noise = [0.0f32; 5];
            fill_standard_normal(&mut random, &mut noise);
            let noise: Vec<f64> = noise.iter().map(|value| f64::from(*value)).collect();
            let scale = radius / norm(&noise);
            let other: Vec<f64> = mean.iter().zip(&noise).map(|(m, n)| m + scale * n).collect();
            assert!(worst(&other) <= worst(&found) + 1e-6 * norm(&found));
        }
    }
}

/// Navon et al. 2022: `G^T G a = 1 / a` with positive `a`; and the scale of a loss changes its coefficient alone.
/// Heads that begin at zero give the shared parameters no gradient: the bargain must not end training before it begins.
#[test]
fn who_has_no_gradient_does_not_spoil_the_bargain() {
    let mut all = gradients(3, 3, 20);
    let others = nash_mtl::bargain(&Gram::of(&[all[0].clone(), all[2].clone()]));
    all[1] = vec![0.0; 20];
    let found = nash_mtl::bargain(&Gram::of(&all));
    assert_eq!([found[0], found[2]], [others[0], others[1]]);
    assert!((found[1] - 0.5 * (others[0] + others[1])).abs() < 1e-12);
    assert_eq!(nash_mtl::bargain(&Gram::of(&[vec![0.0; 4], vec![0.0; 4]])), [1.0, 1.0]);
}

#[test]
fn nash_mtl_bargains() {
    for seed in 0..20 {
        let mut gradients = gradients(seed, 6, 20);
        let found = nash_mtl::bargain(&Gram::of(&gradients));
        let sum = combination(&gradients, &found);
        for (gradient, a) in gradients.iter().zip(&found) {
            assert!(*a > 0.0);
            assert!((dot(gradient, &sum) * a - 1.0).abs() < 1e-6, "seed {seed}");
        }
        gradients[2].iter_mut().for_each(|value| *value *= 1000.0);
        let scaled = direction(&mut nash_mtl::NashMtl, &gradients);
        assert_close(&scaled, &sum, 1e-6);
    }
}

/// Quinton and Rey 2024: the projection onto the dual cone, against a plain projected-gradient solution on vectors, and no
/// task is harmed, also with more tasks than dimensions.
#[test]
fn upgrad_does_not_conflict() {
    for (seed, tasks, elements) in (0..10).flat_map(|seed| [(seed, 4, 8), (seed, 6, 3)]) {
        let gradients = gradients(seed, tasks, elements);
        let gram = Gram::of(&gradients);
        for task in 0..tasks {
            let coefficients = upgrad::projection(&gram, task);
            let projected = combination(&gradients, &coefficients);
            // Conditions of the nearest point of the cone: in it, and the way there orthogonal to it.
            let change: Vec<f64> = projected.iter().zip(&gradients[task]).map(|(p, g)| p - g).collect();
            let scale = norm(&gradients[task]);
            for (other, gradient) in gradients.iter().enumerate() {
                assert!(
                    dot(&projected, gradient) > -1e-5 * scale * norm(gradient),
                    "{seed} {task} {other}"
                );
                assert!(coefficients[other] >= f64::from(u8::from(other == task)) - 1e-12);
            }
            assert!(dot(&change, &projected).abs() < 1e-5 * scale * scale, "{seed} {task}");
        }
        let found = direction(&mut upgrad::Upgrad, &gradients);
        for gradient in &gradients {
            assert!(dot(&found, gradient) > -1e-5 * norm(&found).max(1e-12) * norm(gradient) - 1e-9);
        }
    }
}

/// Tasks without rows, and tasks whose gradient is zero, take no part in any method.
#[test]
fn absent_tasks_take_no_part() {
    let three = gradients(5, 3, 6);
    let with_absent = [three[0].clone(), vec![0.0; 6], three[1].clone(), three[2].clone()];
    let gram = Gram::of(&with_absent);
    let losses = [1.0, f64::NAN, 1.0, 1.0];
    let step = Step {
        iteration: 0,
        losses: &losses,
        gram: &gram,
    };
    type Method = Box<dyn Balancer>;
    let methods: [(&str, Method, Method); 3] = [
        (
            "cagrad",
            Box::new(cagrad::Cagrad::new(0.4)),
            Box::new(cagrad::Cagrad::new(0.4)),
        ),
        ("nash", Box::new(nash_mtl::NashMtl), Box::new(nash_mtl::NashMtl)),
        ("upgrad", Box::new(upgrad::Upgrad), Box::new(upgrad::Upgrad)),
    ];
    for (name, mut method, mut without) in methods {
        let coefficients = method.combine(&step);
        assert_eq!(coefficients.shared[1], 0.0, "{name}");
        let found = combination(&with_absent, &coefficients.shared);
        assert_close(&found, &direction(without.as_mut(), &three), 1e-9);
    }
    // Two pairs of three, of which some conflict; the absent task is in none.
    assert_eq!(gram.conflict_rate(), Gram::of(&three).conflict_rate());
}
