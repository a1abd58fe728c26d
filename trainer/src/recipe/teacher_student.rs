//! `[algorithm.teacher-student]`.

use serde::{Deserialize, Serialize};

use super::{AnalyticPolicyGradient, check::Checker};

/// A feed-forward teacher that sees the true parameters, trained first, then distilled into the recipe's policy, which does
/// not see them, on the states that this one comes to (DAgger, Ross et al. 2011; RMA, Kumar et al. 2021; RAPTOR, Eschmann et
/// al. 2025).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherStudent {
    /// Widths of the teacher's hidden layers. 0 to 8 layers of 1 to 4096 units; activation and initialiser are those of
    /// `[policy]`.
    pub teacher_hidden: Vec<usize>,
    /// How the teacher is trained: on the cost, through the simulator.
    pub teacher: AnalyticPolicyGradient,
    /// How the student is: on the squared difference of its action from the teacher's. `state_decay` must be 0: a student
    /// answers for its actions where it is, not for where it comes to.
    pub student: AnalyticPolicyGradient,
    /// How the student goes on afterwards, on the cost, through the simulator, if it does: a teacher that knows the task
    /// cannot show how to find out what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Box<AnalyticPolicyGradient>>,
}

impl TeacherStudent {
    pub(super) fn check(&self, checker: &mut Checker) {
        checker.require(
            self.teacher_hidden.len() <= 8 && self.teacher_hidden.iter().all(|width| (1..=4096).contains(width)),
            "teacher_hidden",
            format_args!("{:?}", self.teacher_hidden),
            "0 to 8 layers of 1 to 4096 units",
        );
        checker.section("teacher", |checker| self.teacher.check(checker));
        checker.section("student", |checker| {
            self.student.check(checker);
            checker.require(
                self.student.state_decay == 0.0,
                "state_decay",
                self.student.state_decay,
                "0: the student is not taught through the simulator",
            );
        });
        if let Some(finish) = &self.finish {
            checker.section("finish", |checker| finish.check(checker));
        }
    }
}
