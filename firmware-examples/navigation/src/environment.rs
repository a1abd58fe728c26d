//! The task: 2D navigation (Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks").

/// Greatest number of steps of an episode.
pub const HORIZON: usize = 100;

/// Greatest displacement along one axis in one step.
const REACH: f32 = 0.1;

/// An episode ends within this distance of the goal.
const ARRIVED: f32 = 0.01;

/// A point in the plane that is to find a goal. Only the environment knows the goal; the policy sees the position.
#[derive(Clone, Debug)]
pub struct Navigation {
    goal: [f32; 2],
    position: [f32; 2],
    steps: usize,
}

/// What a step gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The negative Euclidean distance to the goal after the move, at most 0.
    pub reward: f32,
    /// How the episode stands.
    pub end: End,
}

/// How an episode stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    Running,
    /// The goal is reached.
    Arrived,
    /// [`HORIZON`] steps are over.
    OutOfTime,
}

impl Navigation {
    /// A task with this goal, each coordinate in [-0.5, 0.5]; the point is at the origin.
    pub fn new(goal: [f32; 2]) -> Self {
        Self {
            goal,
            position: [0.0; 2],
            steps: 0,
        }
    }

    /// Puts the point back to the origin.
    pub fn reset(&mut self) {
        self.position = [0.0; 2];
        self.steps = 0;
    }

    /// Where the point is.
    pub fn position(&self) -> [f32; 2] {
        self.position
    }

    /// Moves by `action`, each axis clipped to what the point can do in one step.
    pub fn step(&mut self, action: [f32; 2]) -> Step {
        for (position, action) in self.position.iter_mut().zip(action) {
            *position += action.clamp(-REACH, REACH);
        }
        self.steps += 1;
        let [dx, dy] = [self.position[0] - self.goal[0], self.position[1] - self.goal[1]];
        let distance = libm::sqrtf(dx * dx + dy * dy);
        let end = match () {
            () if distance <= ARRIVED => End::Arrived,
            () if self.steps >= HORIZON => End::OutOfTime,
            () => End::Running,
        };
        Step { reward: -distance, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_the_action_and_rewards_the_distance_after_the_move() {
        let mut task = Navigation::new([0.3, 0.4]);
        let step = task.step([5.0, -0.05]);
        assert_eq!(task.position(), [0.1, -0.05]);
        let distance = (0.2f32 * 0.2 + 0.45 * 0.45).sqrt();
        assert!((step.reward + distance).abs() < 1e-6, "{step:?}");
        assert_eq!(step.end, End::Running);
    }

    #[test]
    fn ends_at_the_goal_or_after_the_horizon() {
        let mut task = Navigation::new([0.1, -0.1]);
        assert_eq!(task.step([0.095, -0.095]).end, End::Arrived);
        task.reset();
        let ends: Vec<End> = (0..HORIZON).map(|_| task.step([0.0; 2]).end).collect();
        assert_eq!(ends.iter().filter(|end| **end == End::Running).count(), HORIZON - 1);
        assert_eq!(ends.last(), Some(&End::OutOfTime));
    }
}
