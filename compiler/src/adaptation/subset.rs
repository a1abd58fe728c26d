//! Which parameters of a policy adapt.

use crate::policy::{CONTEXT, Network, PolicyDescription, Scan};

/// A part of a policy's parameters: those that adapt, while the others stay as they were trained.
///
/// ```
/// use pliant_compiler::adaptation::Subset;
/// use pliant_compiler::policy::{Activation, Mlp, PolicyDescription};
///
/// let policy = PolicyDescription::deterministic(Mlp::new(&[1, 40, 40, 1], Activation::Relu).with_context(5));
/// let adapting = |subset: Subset| subset.of(&policy).into_iter().filter(|adapts| *adapts).count();
/// assert_eq!(adapting(Subset::All), 8);
/// assert_eq!(adapting(Subset::Head), 2);
/// assert_eq!(adapting(Subset::Context), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subset {
    /// Every parameter (MAML, Meta-SGD); of a [scan](Scan) the detectors and the mixture.
    #[default]
    All,
    /// Weight and bias of the last layer, of a scan the mixture (ANIL: Raghu et al. 2020, "Rapid Learning or Feature Reuse?").
    Head,
    /// The context vector (CAVIA: Zintgraf et al. 2019, "Fast Context Adaptation via Meta-Learning"). A policy without one
    /// has nothing in this subset.
    Context,
}

impl Subset {
    /// One flag for each of the policy's parameters.
    pub fn of(self, policy: &PolicyDescription) -> Vec<bool> {
        let head = match &policy.network {
            Network::Mlp(mlp) => 2 * (mlp.sizes.len() - 2)..2 * (mlp.sizes.len() - 1),
            // Head weight and bias stand last.
            Network::Gru(gru) => gru.parameters().len() - 2..gru.parameters().len(),
            Network::Scan(_) => 2..3,
        };
        let flag = |(index, name): (usize, &str)| match (self, &policy.network) {
            (Self::All, Network::Scan(_)) => Scan::adapts()[index],
            (Self::All, _) => true,
            (Self::Head, _) => head.contains(&index),
            (Self::Context, _) => name == CONTEXT,
        };
        let parameters = policy.parameters();
        parameters
            .iter()
            .enumerate()
            .map(|(index, parameter)| flag((index, &parameter.name)))
            .collect()
    }
}
