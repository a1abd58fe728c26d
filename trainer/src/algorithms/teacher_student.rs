//! Teacher and student: a policy that sees the true parameters of its task is distilled into one that does not.
//!
//! The teacher, feed-forward, is trained by the [analytic policy gradient](super::AnalyticPolicyGradient) on the observation
//! and the parameters. The student, with memory, then acts, and learns from what the teacher would have done in the states
//! that the student comes to (DAgger; Ross, Gordon and Bagnell 2011, with the student acting from the start), by
//! back-propagation through its memory. RMA (Kumar, Fu, Pathak and Malik 2021) and RAPTOR (Eschmann, Albani and Loianno 2025)
//! do so with one teacher for all tasks, or one for each.
//!
//! So the student's training is that of the analytic policy gradient on another system: the same dynamics, whose cost is
//! the squared difference of action and teacher's action (`Taught`), with a state through which no cotangent passes. A
//! third stage may go on with the real cost: what a teacher does cannot show how to find out what it knows.
//!
//! `docs/algorithms/teacher-student.md` has equations, deviations and figures.

mod taught;

use std::sync::Arc;

use taught::Taught;

use super::analytic_policy_gradient::Problem;
use super::{Algorithm, AnalyticPolicyGradient, Iteration, Learned, NamedTensor, TrainingState};
use crate::deployment;
use crate::engine::Engine;
use crate::error::TrainError;
use crate::recipe::{self, Recipe};
use crate::tasks;

/// What is trained at the moment, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Teacher,
    Student,
    Finish,
}

/// A teacher, its student, or the student on its own, in progress.
pub struct TeacherStudent {
    recipe: Recipe,
    settings: recipe::TeacherStudent,
    engine: Arc<dyn Engine>,
    threads: usize,
    stage: Stage,
    learner: AnalyticPolicyGradient,
    /// The trained teacher; empty while it is being trained.
    teacher: Vec<NamedTensor>,
    /// Iterations and environment steps of the stages before.
    before: u64,
    steps_before: u64,
}

impl TeacherStudent {
    /// Starts with the teacher.
    ///
    /// # Errors
    /// A family that is no simulated system, or what the graphs or the engine refuse.
    pub fn new(
        settings: &recipe::TeacherStudent,
        recipe: &Recipe,
        engine: &Arc<dyn Engine>,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let teacher = teacher(settings, recipe);
        let learner = AnalyticPolicyGradient::new(
            &settings.teacher,
            recipe.seed,
            &problem(&teacher)?,
            recipe.policy.initialiser,
            engine.as_ref(),
            threads,
        )?;
        Ok(Self {
            recipe: recipe.clone(),
            settings: settings.clone(),
            engine: Arc::clone(engine),
            threads,
            stage: Stage::Teacher,
            learner,
            teacher: Vec::new(),
            before: 0,
            steps_before: 0,
        })
    }

    /// Iterations of each stage.
    fn lengths(&self) -> [(Stage, u64); 3] {
        let updates =
            |settings: &recipe::AnalyticPolicyGradient| settings.cycles.iter().map(|cycle| cycle.updates).sum();
        [
            (Stage::Teacher, updates(&self.settings.teacher)),
            (Stage::Student, updates(&self.settings.student)),
            (Stage::Finish, self.settings.finish.as_deref().map_or(0, updates)),
        ]
    }

    /// Goes to a stage, with a learner at its start. The teacher must be there.
    fn enter(&mut self, stage: Stage) -> Result<(), TrainError> {
        let own = problem(&self.recipe)?;
        let (settings, problem) = match (stage, self.settings.finish.as_deref()) {
            (Stage::Finish, Some(settings)) => (settings, own),
            _ => {
                let teacher = teacher(&self.settings, &self.recipe);
                let taught = Taught::new(own.simulator, &problem(&teacher)?, &self.teacher);
                (
                    &self.settings.student,
                    Problem {
                        simulator: Arc::new(taught),
                        policy: own.policy,
                    },
                )
            }
        };
        let (seed, initialiser) = (self.recipe.seed, self.recipe.policy.initialiser);
        self.learner = AnalyticPolicyGradient::new(
            settings,
            seed,
            &problem,
            initialiser,
            self.engine.as_ref(),
            self.threads,
        )?;
        self.stage = stage;
        Ok(())
    }

    /// Ends a stage whose learner is done.
    fn go_on(&mut self) -> Result<(), TrainError> {
        let learned = self.learner.learned()?.parameters;
        self.before += self.learner.completed();
        self.steps_before += self.learner.environment_steps();
        match self.stage {
            Stage::Teacher => {
                self.teacher = learned;
                self.enter(Stage::Student)
            }
            Stage::Student | Stage::Finish => {
                self.enter(Stage::Finish)?;
                self.learner.begin_from(&learned)
            }
        }
    }
}

/// The recipe of the teacher: it sees the parameters and has no memory.
fn teacher(settings: &recipe::TeacherStudent, recipe: &Recipe) -> Recipe {
    let mut teacher = recipe.clone();
    teacher.policy.privileged = true;
    teacher.policy.memory = 0;
    teacher.policy.changes = 0;
    teacher.policy.hidden.clone_from(&settings.teacher_hidden);
    teacher
}

/// The policy of a recipe on its simulator.
fn problem(recipe: &Recipe) -> Result<Problem, TrainError> {
    Ok(Problem {
        policy: deployment::policy(recipe),
        simulator: tasks::simulator(recipe).ok_or(TrainError::Mismatch {
            family: recipe.family.name(),
            algorithm: recipe.algorithm.name(),
        })?,
    })
}

impl Algorithm for TeacherStudent {
    fn iterations(&self) -> u64 {
        self.lengths().iter().map(|(_, updates)| updates).sum()
    }

    fn completed(&self) -> u64 {
        self.before + self.learner.completed()
    }

    fn environment_steps(&self) -> u64 {
        self.steps_before + self.learner.environment_steps()
    }

    fn engine(&self) -> String {
        self.learner.engine()
    }

    fn step(&mut self) -> Result<Iteration, TrainError> {
        if self.learner.completed() >= self.learner.iterations() {
            self.go_on()?;
        }
        self.learner.step()
    }

    fn state(&mut self) -> Result<TrainingState, TrainError> {
        let mut state = self.learner.state()?;
        state.tensors.extend(self.teacher.iter().map(|tensor| NamedTensor {
            name: format!("teacher/{}", tensor.name),
            ..tensor.clone()
        }));
        state.tensors.push(NamedTensor {
            name: "steps of the stages before".to_owned(),
            shape: vec![2],
            values: vec![(self.steps_before >> 24) as f32, (self.steps_before & 0xff_ffff) as f32],
        });
        Ok(TrainingState {
            completed: self.completed(),
            environment_steps: self.environment_steps(),
            tensors: state.tensors,
        })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        // The end of a stage belongs to it.
        let (mut before, mut stage) = (0, Stage::Teacher);
        for (next, updates) in self.lengths() {
            stage = next;
            if state.completed <= before + updates {
                break;
            }
            before += updates;
        }
        let missing = |what: &str| TrainError::StateMismatch(format!("it lacks {what}"));
        let (counts, rest) = state.tensors.split_last().ok_or_else(|| missing("everything"))?;
        let [high, low] = counts.values[..] else {
            return Err(missing("the steps of the stages before"));
        };
        let (taught, own): (Vec<_>, Vec<_>) = rest.iter().partition(|tensor| tensor.name.starts_with("teacher/"));
        self.teacher = taught
            .into_iter()
            .map(|tensor| NamedTensor {
                name: tensor.name.trim_start_matches("teacher/").to_owned(),
                ..tensor.clone()
            })
            .collect();
        let wanted = problem(&teacher(&self.settings, &self.recipe))?.parameters();
        let found = self.teacher.iter().map(|tensor| (&tensor.name, &tensor.shape));
        if stage != Stage::Teacher {
            if !found.eq(wanted.iter().map(|parameter| (&parameter.name, &parameter.shape))) {
                return Err(missing("the teacher of this recipe"));
            }
            self.enter(stage)?;
        }
        self.before = before;
        self.steps_before = ((high as u64) << 24) | low as u64;
        self.learner.restore(&TrainingState {
            completed: state.completed - before,
            environment_steps: state.environment_steps - self.steps_before,
            tensors: own.into_iter().cloned().collect(),
        })
    }

    fn learned(&mut self) -> Result<Learned, TrainError> {
        if self.stage == Stage::Teacher {
            // There is no student yet: the one that would start.
            let policy = deployment::policy(&self.recipe);
            let initialiser = self.recipe.policy.initialiser;
            return Ok(Learned::fixed(crate::nn::initialise(
                &policy.parameters(),
                initialiser,
                self.recipe.seed,
            )));
        }
        self.learner.learned()
    }
}
