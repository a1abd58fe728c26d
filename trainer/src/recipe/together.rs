//! What sections must agree on: a rule that the policy has the parameters for, data that the algorithm can divide.

use super::check::Checker;
use super::{Adapts, Algorithm, Family, Recipe, Redefinition, Ridge, Scale, TargetKind, Telling};

impl Recipe {
    /// Finds sections that are fine by themselves and do not go together.
    pub(super) fn check_together(&self, checker: &mut Checker) {
        let policy = &self.policy;
        let adapts = match &self.algorithm {
            Algorithm::Maml(settings) => settings.adapts,
            _ => Adapts::All,
        };
        let path = |field: &str| format!("algorithm.{}.{field}", self.algorithm.name());
        let hidden = format!("{:?}", policy.hidden);
        match adapts {
            Adapts::Context => {
                let range = "at least 1 where `algorithm.maml.adapts` is \"context\"";
                checker.require(policy.context > 0, "policy.context", policy.context, range);
            }
            Adapts::All | Adapts::Head => {
                let range = "0 unless `[algorithm.maml]` has `adapts = \"context\"`: nothing else adapts a context";
                checker.require(policy.context == 0, "policy.context", policy.context, range);
            }
        }
        checker.require(
            adapts != Adapts::Head || !policy.hidden.is_empty(),
            "policy.hidden",
            &hidden,
            "at least one layer where `algorithm.maml.adapts` is \"head\": a head adapts on features",
        );
        checker.require(
            policy.context == 0 || policy.memory == 0,
            "policy.context",
            policy.context,
            "0 where `memory` is above 0: a recurrent policy has no context",
        );
        if let Algorithm::MultiTask(settings) = &self.algorithm {
            checker.require(
                settings.conditioning == Telling::None || !policy.hidden.is_empty(),
                "policy.hidden",
                &hidden,
                "at least one layer where `algorithm.multi-task.conditioning` tells the shared layers the task",
            );
            let mixes = matches!(settings.conditioning, Telling::ExpertsByTask | Telling::ExpertsByInput);
            let whole = policy
                .hidden
                .iter()
                .all(|width| width.is_multiple_of(settings.experts.max(1)));
            checker.require(
                !mixes || whole,
                "policy.hidden",
                &hidden,
                format_args!(
                    "multiples of {}, the number of `experts`: each has as many units",
                    settings.experts
                ),
            );
            let standard = matches!(&self.family, Family::Logged(family) if family.features.scale == Scale::Standard);
            checker.require(
                !settings.adaptation.standardise_inputs || standard,
                "algorithm.multi-task.adaptation.standardise_inputs",
                settings.adaptation.standardise_inputs,
                "false, but for logged data with `scale = \"standard\"`: only there inputs have mean 0 and deviation 1",
            );
        }
        if let (Family::Logged(family), false) = (&self.family, matches!(self.algorithm, Algorithm::MultiTask(_))) {
            let own = family.tasks.values();
            checker.require(
                !family.inputs.is_empty() && !family.targets.is_empty() && own.len() == 0,
                "family.logged.inputs",
                format_args!("{:?}", family.inputs),
                "the columns by name, as `targets`, the same for all tasks: a policy that learns to learn has one shape",
            );
            checker.require(
                family.kind != TargetKind::Class && family.redefine != Redefinition::Logarithm,
                "family.logged.kind",
                format_args!("{:?} redefined by {:?}", family.kind, family.redefine)
                    .to_string()
                    .to_lowercase(),
                "\"number\" or \"label\", not redefined by \"logarithm\", to learn to learn: the error is squared",
            );
        }
        let sequences = matches!(self.family, Family::Motifs(_));
        checker.require(
            sequences == policy.scan.is_some(),
            "policy.scan",
            if policy.scan.is_some() { "there" } else { "absent" },
            "there for `[family.motifs]`, whose inputs are symbols, and for no other family",
        );
        if let (Some(scan), Family::Motifs(family)) = (policy.scan, &self.family) {
            checker.require(
                scan.window <= family.length,
                "policy.scan.window",
                scan.window,
                format_args!("at most {}, the length of a sequence", family.length),
            );
            checker.require(
                policy.hidden.is_empty() && policy.memory == 0,
                "policy.hidden",
                &hidden,
                "[] beside `[policy.scan]`, and no memory: a scan has no other layers",
            );
        }
        match (&self.algorithm, &self.family) {
            (Algorithm::MultiTaskPpo(_), _) => {
                let range = "at least one layer, which the tasks share, for `[algorithm.multi-task-ppo]`";
                checker.require(!policy.hidden.is_empty(), "policy.hidden", &hidden, range);
                let range = "0 for `[algorithm.multi-task-ppo]`: its policies have no memory";
                checker.require(policy.memory == 0, "policy.memory", policy.memory, range);
            }
            (Algorithm::Rl2(algorithm), Family::HalfCircle(_)) => {
                let range = "0: `[family.half-circle]` does not know the best";
                let weight = algorithm.ppo.regret_weight;
                checker.require(weight == 0.0, "algorithm.rl2.ppo.regret_weight", weight, range);
            }
            (Algorithm::Ppo(algorithm), _) => {
                let range = "0: only `[algorithm.rl2]` learns from regret";
                let weight = algorithm.regret_weight;
                checker.require(weight == 0.0, "algorithm.ppo.regret_weight", weight, range);
            }
            (Algorithm::TeacherStudent(_), _) => {
                let range = "false: the teacher sees the parameters, the student does not";
                checker.require(!policy.privileged, "policy.privileged", policy.privileged, range);
            }
            (Algorithm::Ridge(_), _) => {
                checker.require(
                    policy.hidden.last().is_some_and(|width| *width <= Ridge::MOST_FEATURES),
                    "policy.hidden",
                    &hidden,
                    format_args!(
                        "at least one layer, the last of at most {} units: the head is fitted to its activations",
                        Ridge::MOST_FEATURES
                    ),
                );
                checker.require(
                    policy.memory == 0,
                    "policy.memory",
                    policy.memory,
                    "0 for `[algorithm.ridge]`: its rows have no order in time",
                );
            }
            (Algorithm::Reptile(settings), family) if settings.inner_steps > 1 => {
                let shares = settings.inner_steps - 1;
                if let Some((_, queries)) = family.shots_and_queries() {
                    checker.require(
                        queries >= shares && queries.is_multiple_of(shares),
                        &format!("family.{}.queries", self.family.name()),
                        queries,
                        format_args!("a multiple of {shares}, `{}` without the first", path("inner_steps")),
                    );
                }
            }
            _ => {}
        }
    }
}
