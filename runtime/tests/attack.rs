//! Adaptation under attack, through the deployed images in `models/`: whatever the support set holds, actions are finite and
//! inside the contract's range, and afterwards the policy is no worse than the image's by more than a tenth.
//!
//! ```sh
//! cargo test --package pliant-runtime --test attack                                    # 30 runs an attack
//! cargo test --release --package pliant-runtime --features std --test attack -- \
//!     --ignored --nocapture --test-threads 1                                           # 1000 runs an attack, with a table
//! ```
//!
//! A run is a task of its own, drawn from the family by a seed that training never saw. First the image's policy acts undisturbed, so that the health monitor has its record;
//! then everything that the learner is told is the attacker's, it adapts, and the adaptation is on trial with what really
//! happens. (An attacker who also decides what really happens cannot be told from another task.) The column `unwatched` is
//! the same without the monitor: what the other guards do alone.

mod support;

use pliant_runtime::adapt::Reason;
use pliant_runtime::experience::End;
use pliant_runtime::health::Bounds;
use pliant_runtime::image::Image;
use pliant_runtime::noise::Noise;
use pliant_runtime::policy::{Actor, Learner, Policy, ResetKind, Status, Step, workspace_len};
use support::Random;

/// Runs of an attack.
const RUNS: u64 = 1000;
const EVERYDAY_RUNS: u64 = 30;

/// Afterwards: at least the image's score minus this share of its magnitude.
const SHARE: f64 = 0.1;

/// What no sensor should give.
const ABSURD: [f32; 8] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    1e30,
    -1e20,
    1e10,
];

/// A device image, aligned.
struct Bundle(Vec<u128>);

impl Bundle {
    fn read(name: &str) -> Self {
        let path = format!("{}/../models/{name}/policy.pliant", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        // Four times as much as an alignment to 64 needs, so that some start in it is aligned.
        let mut memory = vec![0u128; bytes.len().div_ceil(16) + 4];
        let skip = Self::skip(&memory);
        bytemuck::cast_slice_mut::<u128, u8>(&mut memory)[skip..][..bytes.len()].copy_from_slice(&bytes);
        Self(memory)
    }

    fn skip(memory: &[u128]) -> usize {
        memory.as_ptr().align_offset(64) * 16
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[Self::skip(&self.0)..]
    }
}

/// Scores of one run, higher is better.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    before: f64,
    after: f64,
    accepted: u32,
    reverted: u32,
}

/// Runs an attack with and without the monitor, prints the means, and checks those with it.
fn check<A: core::fmt::Debug + Copy + Send + Sync>(runs: u64, attack: A, run: impl Fn(A, u64, bool) -> Outcome + Sync) {
    let mean = |outcomes: &[Outcome], value: fn(&Outcome) -> f64| {
        outcomes.iter().map(value).sum::<f64>() / outcomes.len() as f64
    };
    let [watched, unwatched] = [true, false].map(|watched| {
        let run = &run;
        let half = |odd: u64| {
            (0..runs)
                .filter(move |seed| seed % 2 == odd)
                .map(move |seed| run(attack, seed, watched))
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(move || half(1).collect::<Vec<_>>());
            let mut outcomes: Vec<Outcome> = half(0).collect();
            outcomes.extend(other.join().unwrap());
            outcomes
        })
    });
    let [before, after] = [mean(&watched, |run| run.before), mean(&watched, |run| run.after)];
    let worst = watched
        .iter()
        .map(|run| run.after - run.before)
        .fold(f64::INFINITY, f64::min);
    println!(
        "| {attack:?} | {before:.3} | {after:.3} | {worst:.3} | {} of {} | {:.3} |",
        watched.iter().map(|run| run.reverted).sum::<u32>(),
        watched.iter().map(|run| run.accepted).sum::<u32>(),
        mean(&unwatched, |run| run.after),
    );
    assert!(after.is_finite());
    assert!(
        after >= before - SHARE * before.abs(),
        "{attack:?}: {after} after, {before} before"
    );
}

fn header(metric: &str) {
    println!("\n| attack | {metric} before | after | greatest fall of a run | reverted of accepted | unwatched |");
    println!("|---|---|---|---|---|---|");
}

// Navigation: a point on the plane finds a goal it is not told (Finn et al. 2017).

const HORIZON: u32 = 100;
const REACH: f32 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Navigation {
    /// One observed value in twenty is NaN, infinite or huge.
    AbsurdObservations,
    /// So is one reward in twenty.
    AbsurdRewards,
    /// Every reward has the wrong sign.
    FlippedRewards,
    /// So, and is far too low: the image's policy seems much worse than it is.
    FlippedAndLoweredRewards,
    /// Rewards have nothing to do with what happened.
    RandomRewards,
    /// The motors do the same whatever the policy says.
    ConstantActions,
    /// The support set is one episode again and again.
    DuplicatedRows,
    /// Nothing is wrong but that ten times as many steps are asked for as were trained.
    TenTimesTheSteps,
}

/// One robot under attack.
struct Robot<'p, 'm> {
    actor: Actor<'p, 'm>,
    learner: Learner<'p, 'm>,
    goal: [f32; 2],
    random: Random,
    stuck: [f32; 2],
}

impl Robot<'_, '_> {
    /// Drives an episode, and gives its true return. What the learner is told goes through the attack, if there is one.
    fn episode(&mut self, attack: Option<Navigation>, tell: bool) -> f64 {
        let mut told: Vec<(Step, f32, End)> = Vec::new();
        let (mut position, mut total, mut index) = ([0.0f32; 2], 0.0, 0);
        self.actor.reset(ResetKind::Episode);
        loop {
            let mut seen = position;
            if attack == Some(Navigation::AbsurdObservations) {
                for value in &mut seen {
                    if self.random.below(20) == 0 {
                        *value = self.random.pick(&ABSURD);
                    }
                }
            }
            let mut action = [f32::NAN; 2];
            let taken = self.actor.explore(&seen, &mut action);
            assert!(
                action.iter().all(|value| value.abs() <= REACH),
                "{action:?} from {seen:?}, {taken:?}"
            );
            if attack == Some(Navigation::ConstantActions) {
                action = self.stuck;
            }
            for (position, action) in position.iter_mut().zip(action) {
                *position += action;
            }
            let distance = (position[0] - self.goal[0]).hypot(position[1] - self.goal[1]);
            index += 1;
            let end = match () {
                () if distance <= 0.01 => End::Terminated,
                () if index == HORIZON => End::Truncated,
                () => End::Continue,
            };
            total -= f64::from(distance);
            let reward = match attack {
                Some(Navigation::AbsurdRewards) if self.random.below(20) == 0 => self.random.pick(&ABSURD),
                Some(Navigation::FlippedRewards) => distance,
                Some(Navigation::FlippedAndLoweredRewards) => distance - 1000.0,
                Some(Navigation::RandomRewards) => 2.0 * self.random.value() - 1.0,
                _ => -distance,
            };
            if let Ok(step) = taken {
                told.push((step, reward, end));
            }
            if end.is_last() {
                break;
            }
        }
        let copies = if attack == Some(Navigation::DuplicatedRows) {
            10
        } else {
            1
        };
        for _ in 0..if tell { copies } else { 0 } {
            for (step, reward, end) in &told {
                let _refused = self.learner.observe(step, *reward, *end);
            }
        }
        total
    }

    fn score(&mut self) -> f64 {
        (0..5).map(|_| self.episode(None, false)).sum::<f64>() / 5.0
    }
}

fn navigation(bundle: &Bundle, attack: Navigation, seed: u64, watched: bool) -> Outcome {
    let image = Image::new_checked(bundle.bytes()).unwrap();
    let mut memory = vec![0.0; workspace_len(bundle.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();
    let mut random = Random(seed ^ 0x5eed);
    actor.seed(seed);
    let half = |random: &mut Random| 0.5 * random.value();
    let goal = [half(&mut random), half(&mut random)];
    let stuck = [REACH * random.value(), REACH * random.value()];
    if watched {
        // No episode of this task returns more than 0; less than -400 is beyond all reach from the start.
        learner.watch(Bounds {
            range: [-400.0, 0.0],
            ..Bounds::default()
        });
    }
    let mut robot = Robot {
        actor,
        learner,
        goal,
        random,
        stuck,
    };
    let before = robot.score();
    for _ in 0..5 {
        robot.episode(None, true);
    }
    let trained = image.adaptation().unwrap().steps;
    let (rounds, gathered) = match attack {
        Navigation::TenTimesTheSteps => (10 * trained, 5),
        Navigation::DuplicatedRows => (trained, 1),
        _ => (trained, 10),
    };
    let mut accepted = 0;
    for _ in 0..rounds {
        // Of the attacker's making alone.
        robot.learner.clear();
        for _ in 0..gathered {
            robot.episode(Some(attack), true);
        }
        let report = robot.learner.adapt();
        assert!(robot.learner.parameters().iter().all(|value| value.is_finite()));
        accepted += u32::from(report.is_accepted());
        if report.reason() == Some(Reason::StepLimit) {
            continue;
        }
        // What really happens, until the trial is over (at most four times five episodes).
        for _ in 0..20 {
            if robot.learner.health().is_none_or(|health| health.may_adopt()) {
                break;
            }
            robot.episode(None, true);
        }
    }
    assert!(robot.learner.steps() <= trained);
    Outcome {
        before,
        after: robot.score(),
        accepted,
        reverted: robot.learner.health().map_or(0, |health| health.reverts()),
    }
}

fn attack_navigation(runs: u64) {
    let bundle = Bundle::read("point-navigation");
    header("return");
    for attack in [
        Navigation::AbsurdObservations,
        Navigation::AbsurdRewards,
        Navigation::FlippedRewards,
        Navigation::FlippedAndLoweredRewards,
        Navigation::RandomRewards,
        Navigation::ConstantActions,
        Navigation::DuplicatedRows,
        Navigation::TenTimesTheSteps,
    ] {
        check(runs, attack, |attack, seed, watched| {
            navigation(&bundle, attack, seed, watched)
        });
    }
}

#[test]
fn a_policy_gradient_survives_every_attack() {
    attack_navigation(EVERYDAY_RUNS);
}

#[test]
#[ignore = "slow: 1000 runs of every attack; see the top of the file"]
fn a_policy_gradient_survives_a_thousand_of_every_attack() {
    attack_navigation(RUNS);
}

// Sinusoids of unknown amplitude and phase (Finn et al. 2017).

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sinusoid {
    /// One input or label in three is NaN, infinite or huge.
    AbsurdValues,
    /// Labels are 10 to 1000 times too large.
    FarLabels,
    /// Labels have the wrong sign: those of another task of the family.
    FlippedLabels,
    /// Labels are of anything.
    RandomLabels,
    /// Labels are the greatest the contract allows.
    ConstantLabels,
    /// One example with a wrong label, again and again.
    DuplicatedRows,
    /// Nothing is wrong but that the adaptation is asked for ten times.
    TenTimesTheSteps,
}

fn sinusoid(bundle: &Bundle, attack: Sinusoid, seed: u64, watched: bool) -> Outcome {
    let image = Image::new_checked(bundle.bytes()).unwrap();
    let mut memory = vec![0.0; workspace_len(bundle.bytes())];
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();
    let mut random = Random(seed ^ 0xabcd);
    let mut noise = Noise::seeded(seed);
    let (amplitude, phase) = (0.1 + 4.9 * noise.uniform(), core::f32::consts::PI * noise.uniform());
    let truth = move |x: f32| amplitude * (x - phase).sin();
    // The negated mean squared error over the whole range.
    let mut score = || {
        let errors = (0..100).map(|index| {
            let x = -5.0 + 0.1 * (index as f32 + 0.5);
            let mut action = [f32::NAN];
            assert_eq!(actor.act(&[x], &mut action), Status::Acted);
            assert!(action[0].abs() <= 50.0, "{action:?}");
            f64::from(action[0] - truth(x)).powi(2)
        });
        -errors.sum::<f64>() / 100.0
    };
    let before = score();
    if watched {
        learner.watch(Bounds::default());
    }
    let row = 5.0 * random.value();
    for _ in 0..10 {
        let mut x = 5.0 * random.value();
        let mut y = truth(x);
        match attack {
            Sinusoid::AbsurdValues => {
                for value in [&mut x, &mut y] {
                    if random.below(3) == 0 {
                        *value = random.pick(&ABSURD);
                    }
                }
            }
            Sinusoid::FarLabels => y *= random.pick(&[10.0, -10.0, 100.0, -1000.0]),
            Sinusoid::FlippedLabels => y = -y,
            Sinusoid::RandomLabels => y = 5.0 * random.value(),
            Sinusoid::ConstantLabels => y = 50.0,
            Sinusoid::DuplicatedRows => (x, y) = (row, -truth(row)),
            Sinusoid::TenTimesTheSteps => {}
        }
        let _refused = learner.observe_example(&[x], &[y]);
    }
    let mut accepted = 0;
    for _ in 0..if attack == Sinusoid::TenTimesTheSteps { 10 } else { 1 } {
        accepted += u32::from(learner.adapt().is_accepted());
        assert!(learner.parameters().iter().all(|value| value.is_finite()));
    }
    // What really happens.
    for _ in 0..20 {
        let x = 5.0 * random.value();
        learner.observe_example(&[x], &[truth(x)]).unwrap();
    }
    assert!(learner.steps() <= image.adaptation().unwrap().steps);
    Outcome {
        before,
        after: score(),
        accepted,
        reverted: learner.health().map_or(0, |health| health.reverts()),
    }
}

fn attack_sinusoid(runs: u64) {
    let bundle = Bundle::read("sinusoid");
    header("negated error");
    for attack in [
        Sinusoid::AbsurdValues,
        Sinusoid::FarLabels,
        Sinusoid::FlippedLabels,
        Sinusoid::RandomLabels,
        Sinusoid::ConstantLabels,
        Sinusoid::DuplicatedRows,
        Sinusoid::TenTimesTheSteps,
    ] {
        check(runs, attack, |attack, seed, watched| {
            sinusoid(&bundle, attack, seed, watched)
        });
    }
}

#[test]
fn a_supervised_adaptation_survives_every_attack() {
    attack_sinusoid(10 * EVERYDAY_RUNS);
}

#[test]
#[ignore = "slow: 1000 runs of every attack; see the top of the file"]
fn a_supervised_adaptation_survives_a_thousand_of_every_attack() {
    attack_sinusoid(RUNS);
}
