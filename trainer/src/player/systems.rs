//! The other systems as lines and dots, before and after they adapted.

use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, ResetKind, act_workspace_len};

use super::{Clip, Color, Thing};
use crate::envs::Simulator;
use crate::eval::{EvalError, EvalOptions, TaskRange, trace_environment};
use crate::recipe::{Family, Recipe};
use crate::tasks::{Split, Tasks, simulator, task_streams};

/// What came of a request to play a bundle.
#[derive(Debug)]
pub enum Played {
    /// Its clips.
    Clips(Vec<Clip>),
    /// Its family has no episodes, or none that can be drawn.
    Nothing,
}

/// The episodes of some held-out systems, each before it adapted and after.
///
/// A recurrent policy adapts by its memory: before, the memory is cleared at every step. A policy that adapts by gradient steps
/// is shown after none and after each.
///
/// # Errors
/// An image that is not the recipe's.
pub fn play(recipe: &Recipe, image: &Image<'_>, options: EvalOptions) -> Result<Played, EvalError> {
    if let Some(sketch) = Sketch::of(&recipe.family) {
        let Some(simulator) = simulator(recipe) else {
            return Ok(Played::Nothing);
        };
        let mut clips = Vec::new();
        for index in 0..options.tasks {
            for adapts in [false, true] {
                clips.push(system(image, simulator.as_ref(), sketch, options.seed, index, adapts)?);
            }
        }
        return Ok(Played::Clips(clips));
    }
    let Family::Navigation(_) = &recipe.family else {
        return Ok(Played::Nothing);
    };
    let Ok(Some(Tasks::Control { family, trajectories })) = Tasks::of(recipe) else {
        return Ok(Played::Nothing);
    };
    let mut clips = Vec::new();
    for index in 0..options.tasks {
        let range = TaskRange {
            split: Split::Validation,
            seed: options.seed,
            tasks: options.tasks,
        };
        let episodes = trace_environment(image, family.as_ref(), range, index, trajectories)?;
        let goal = family
            .plane(options.seed, Split::Validation, index)
            .map(|plane| plane.goal);
        for (step, episode) in episodes.iter().enumerate() {
            clips.push(point(index, step, &episode.observations, &episode.rewards, goal));
        }
    }
    Ok(Played::Clips(clips))
}

/// How a family is drawn. States and observations are those that its documentation states.
#[derive(Clone, Copy)]
enum Sketch {
    CartPole,
    Pendulum,
    Arm,
    Vehicle,
}

/// Length of a link of the arm, m.
const LINK: f32 = 0.5;
/// Length and half the width of the car as drawn, m.
const CAR: [f32; 2] = [4.5, 0.9];

const fn line(color: Color, width: f32) -> Thing {
    Thing::Line { color, width }
}

const fn dot(color: Color, radius: f32) -> Thing {
    Thing::Dot { color, radius }
}

impl Sketch {
    fn of(family: &Family) -> Option<Self> {
        match family {
            Family::CartPole(_) => Some(Self::CartPole),
            Family::Pendulum(_) => Some(Self::Pendulum),
            Family::TwoLinkArm(_) => Some(Self::Arm),
            Family::Vehicle(_) => Some(Self::Vehicle),
            _ => None,
        }
    }

    fn extent(self) -> f32 {
        match self {
            Self::CartPole => 2.4,
            Self::Pendulum => 1.2,
            Self::Arm => 1.15,
            Self::Vehicle => 9.0,
        }
    }

    fn things(self) -> Vec<Thing> {
        match self {
            Self::CartPole => vec![line(Color::Ink, 12.0), line(Color::Accent, 5.0), dot(Color::Goal, 4.0)],
            Self::Pendulum => vec![line(Color::Goal, 2.0), line(Color::Ink, 5.0), dot(Color::Accent, 8.0)],
            Self::Arm => vec![
                line(Color::Goal, 2.0),
                line(Color::Goal, 2.0),
                line(Color::Ink, 6.0),
                line(Color::Ink, 5.0),
                dot(Color::Accent, 7.0),
            ],
            Self::Vehicle => vec![
                line(Color::Faint, 2.0),
                line(Color::Faint, 2.0),
                line(Color::Goal, 1.0),
                line(Color::Ink, 2.0),
                line(Color::Ink, 2.0),
                line(Color::Accent, 3.0),
                line(Color::Ink, 2.0),
            ],
        }
    }

    /// The numbers of the things. `half_length` is that of the pole.
    fn frame(self, state: &[f32], observation: &[f32], half_length: f32) -> Vec<f32> {
        // From hanging down, to the right.
        let hanging = |angle: f32| [angle.sin(), 0.0, -angle.cos()];
        let mut numbers = Vec::new();
        match self {
            Self::CartPole => {
                let (x, angle) = (state[0], state[2]);
                let pole = 2.0 * half_length;
                numbers.extend([x - 0.2, 0.0, 0.0, x + 0.2, 0.0, 0.0]);
                numbers.extend([x, 0.0, 0.05, x + pole * angle.sin(), 0.0, 0.05 + pole * angle.cos()]);
                numbers.extend([0.0, 0.0, -0.15]);
            }
            Self::Pendulum => {
                let tip = hanging(state[0]);
                for end in [hanging(state[0] - observation[3]), tip] {
                    numbers.extend([0.0; 3]);
                    numbers.extend(end);
                }
                numbers.extend(tip);
            }
            Self::Arm => {
                let target = [state[0] - observation[4], state[1] - observation[5]];
                let mut hand = [0.0; 3];
                for [shoulder, elbow] in [target, [state[0], state[1]]] {
                    let joint = hanging(shoulder).map(|x| LINK * x);
                    let link = hanging(shoulder + elbow);
                    hand = core::array::from_fn(|i| joint[i] + LINK * link[i]);
                    numbers.extend([0.0; 3]);
                    numbers.extend(joint);
                    numbers.extend(joint);
                    numbers.extend(hand);
                }
                numbers.extend(hand);
            }
            Self::Vehicle => {
                let (offset, heading) = (state[0], state[1]);
                for at in [-1.75, 1.75, 0.0] {
                    numbers.extend([-9.0, 0.0, at, 9.0, 0.0, at]);
                }
                let corner = |x: f32, y: f32| {
                    let (sin, cos) = heading.sin_cos();
                    [cos * x - sin * y, 0.0, offset + sin * x + cos * y]
                };
                let [length, half] = CAR;
                let (front, back) = (0.5 * length, -0.5 * length);
                let corners = [[front, half], [back, half], [back, -half], [front, -half]].map(|[x, y]| corner(x, y));
                for [a, b] in [[0, 1], [2, 3], [3, 0], [1, 2]] {
                    numbers.extend(corners[a]);
                    numbers.extend(corners[b]);
                }
            }
        }
        numbers
    }
}

/// One episode of one system.
fn system(
    image: &Image<'_>,
    simulator: &dyn Simulator,
    sketch: Sketch,
    seed: u64,
    index: u64,
    adapts: bool,
) -> Result<Clip, EvalError> {
    let widths = simulator.widths();
    let [mut drawing, mut random] = task_streams(seed, Split::Validation, index, 0);
    let mut parameters = vec![0.0; widths.parameters];
    simulator.draw(&mut drawing, &mut parameters);
    let mut state = vec![0.0; widths.state];
    simulator.start(&mut random, &mut parameters, &mut state);
    let (mut observation, mut action) = (vec![0.0; widths.observation], vec![0.0; widths.action]);
    let noise = vec![0.0; widths.noise];
    let mut memory = vec![0.0; act_workspace_len(image.bytes())];
    let mut policy = Policy::act_only(image, None, &mut memory)?;
    let (mut actor, _) = policy.split();
    actor.reset(ResetKind::Episode);
    let place = simulator
        .parameter_names()
        .iter()
        .position(|name| *name == "half length");
    let half_length = place.map_or(0.5, |place| parameters[place]);

    let (mut frames, mut measure, mut cost, mut alive) = (Vec::new(), Vec::new(), 0.0, true);
    for age in 0..simulator.horizon() {
        simulator.evolve(age, &mut parameters);
        simulator.observe_one(&state, &parameters, &noise, &mut observation);
        frames.push(sketch.frame(&state, &observation, half_length));
        measure.push(simulator.error(&state, &parameters) as f32);
        if !adapts {
            // Without memory nothing that was felt is known.
            actor.reset(ResetKind::Episode);
        }
        let status = actor.act(&observation, &mut action);
        if status.is_safe_action() {
            return Err(EvalError::Refused { task: index, status });
        }
        let outcome = simulator.step_one(&mut state, &parameters, &action);
        cost += outcome.cost;
        if outcome.alive < 0.5 {
            alive = false;
            break;
        }
    }
    let last = (simulator.rate_hz() as usize).min(measure.len()).max(1);
    let error = measure[measure.len().saturating_sub(last)..].iter().sum::<f32>() / last as f32;
    let name = simulator.error_name();
    let caption = match alive {
        true => format!("{name}: {error:.3} in the last second; cost {cost:.1}"),
        false => format!("terminated after {} steps; cost {cost:.1}", measure.len()),
    };
    let way = if adapts {
        "with its memory"
    } else {
        "memory cleared at every step"
    };
    Ok(Clip {
        title: way.to_owned(),
        caption,
        group: format!("System {index}"),
        extent: sketch.extent(),
        flat: true,
        period: 1.0 / simulator.rate_hz(),
        things: sketch.things(),
        frames,
        measure,
        measured: name.to_owned(),
    }
    .rounded())
}

/// One episode of navigation in the plane.
fn point(index: u64, step: usize, observations: &[Vec<f32>], rewards: &[f32], goal: Option<[f32; 2]>) -> Clip {
    let goal = goal.unwrap_or([0.0; 2]);
    let at = |observation: &Vec<f32>| [observation[0], 0.0, observation[1]];
    let frames = observations.iter().map(|observation| {
        let mut numbers = at(observation).to_vec();
        numbers.extend(at(observation));
        numbers.extend([goal[0], 0.0, goal[1]]);
        numbers
    });
    let total: f32 = rewards.iter().sum();
    let steps = match step {
        0 => "before adaptation".to_owned(),
        1 => "after 1 step".to_owned(),
        steps => format!("after {steps} steps"),
    };
    Clip {
        title: steps,
        caption: format!("return {total:.2}"),
        group: format!("Goal {index}"),
        extent: 0.7,
        flat: true,
        period: 0.05,
        things: vec![
            Thing::Trail { color: Color::Accent },
            dot(Color::Ink, 6.0),
            dot(Color::Goal, 6.0),
        ],
        frames: frames.collect(),
        measure: observations
            .iter()
            .map(|observation| (observation[0] - goal[0]).hypot(observation[1] - goal[1]))
            .collect(),
        measured: "distance to the goal, m".to_owned(),
    }
    .rounded()
}
