//! A small table that chooses how to adapt: a decision tree over statistics of the support set, fitted on validation
//! tasks (a *meta-model* that is no network), and read in place.

use crate::kernels::functions;
use bytemuck::{Pod, Zeroable};

use super::AdaptationSpec;

/// A statistic of the support set, over all its rows. Values are those the policy sees: normalised inputs, unit-less
/// targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Statistic {
    /// How many rows there are.
    Rows = 0,
    /// Mean of the targets, all channels together.
    TargetMean = 1,
    /// Standard deviation of the targets.
    TargetDeviation = 2,
    /// Standard deviation of the inputs.
    InputDeviation = 3,
}

impl Statistic {
    /// Number of statistics.
    pub const COUNT: usize = 4;
}

/// What is known of a support set before adapting to it, by [`Statistic`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SupportStatistics(pub [f32; Statistic::COUNT]);

impl SupportStatistics {
    /// The statistics of this many rows with these inputs and targets, in the order of the rows. Sums run in that order,
    /// so every core finds the same bits.
    ///
    /// ```
    /// use pliant_runtime::image::SupportStatistics;
    /// let inputs = [0.0, 2.0].iter().copied();
    /// let targets = [1.0, 5.0].iter().copied();
    /// assert_eq!(SupportStatistics::of(2, inputs, targets).0, [2.0, 3.0, 2.0, 1.0]);
    /// ```
    pub fn of(
        rows: usize,
        inputs: impl Iterator<Item = f32> + Clone,
        targets: impl Iterator<Item = f32> + Clone,
    ) -> Self {
        let (_, input_deviation) = mean_and_deviation(inputs);
        let (target_mean, target_deviation) = mean_and_deviation(targets);
        Self([rows as f32, target_mean, target_deviation, input_deviation])
    }
}

/// Zero for no values.
fn mean_and_deviation(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let (sum, count) = values
        .clone()
        .fold((0.0f32, 0.0f32), |(sum, count), value| (sum + value, count + 1.0));
    if count == 0.0 {
        return (0.0, 0.0);
    }
    let mean = sum / count;
    let squares = values.fold(0.0, |sum, value| {
        let distance = value - mean;
        sum + distance * distance
    });
    (mean, functions::sqrt(squares / count))
}

/// How to adapt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Steps to take, 1 to as many as were trained for.
    pub steps: u32,
    /// Factor on the step size of every step, on top of the spec's own; finite and above 0.
    pub scale: f32,
}

/// A node of the tree: a question, or a leaf with the answer; 16 bytes of the choice section.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct ChoiceNode {
    /// The [`Statistic`] asked about; [`LEAF`](Self::LEAF) for a leaf.
    pub statistic: u32,
    /// Question: a statistic below this goes to `below`, any other (NaN too) to `above`. Leaf: [`Choice::scale`].
    pub value: f32,
    /// Question: index of a later node. Leaf: [`Choice::steps`].
    pub below: u32,
    /// Question: index of a later node. Leaf: 0.
    pub above: u32,
}

impl ChoiceNode {
    /// `statistic` of a leaf.
    pub const LEAF: u32 = u32::MAX;

    /// A question.
    pub const fn question(statistic: Statistic, threshold: f32, below: u32, above: u32) -> Self {
        Self {
            statistic: statistic as u32,
            value: threshold,
            below,
            above,
        }
    }

    /// An answer.
    pub const fn leaf(choice: Choice) -> Self {
        Self {
            statistic: Self::LEAF,
            value: choice.scale,
            below: choice.steps,
            above: 0,
        }
    }
}

/// The tree of a choice section, checked: its first node is the root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choices<'a> {
    nodes: &'a [ChoiceNode],
}

impl<'a> Choices<'a> {
    /// The most nodes a tree may have.
    pub const MAX_NODES: usize = 255;

    /// Checks a tree for an image that adapts as `spec` says: it has a node, every question is about a known statistic
    /// with a finite threshold and leads to later nodes, every leaf takes 1 to as many steps as were trained for with a
    /// finite scale above 0. Walking it then ends after at most [`MAX_NODES`](Self::MAX_NODES) questions.
    ///
    /// ```
    /// use pliant_runtime::image::{AdaptationSpec, Choice, ChoiceNode, Choices, Objective, Statistic, SupportStatistics};
    /// let spec = AdaptationSpec::new(Objective::Supervised).with_step_scales(&[1.0, 1.0, 1.0]);
    /// // Fewer than five rows: one careful step. Otherwise three.
    /// let nodes = [
    ///     ChoiceNode::question(Statistic::Rows, 5.0, 1, 2),
    ///     ChoiceNode::leaf(Choice { steps: 1, scale: 0.5 }),
    ///     ChoiceNode::leaf(Choice { steps: 3, scale: 1.0 }),
    /// ];
    /// let choices = Choices::new_checked(&nodes, &spec).unwrap();
    /// let few = SupportStatistics::of(2, [0.0, 1.0].into_iter(), [0.0, 1.0].into_iter());
    /// assert_eq!(choices.choose(&few), Choice { steps: 1, scale: 0.5 });
    /// ```
    pub fn new_checked(nodes: &'a [ChoiceNode], spec: &AdaptationSpec) -> Option<Self> {
        let fine = |(index, node): (usize, &ChoiceNode)| {
            let later = |to: u32| (to as usize) > index && (to as usize) < nodes.len();
            if node.statistic == ChoiceNode::LEAF {
                (1..=spec.steps).contains(&node.below) && node.value.is_finite() && node.value > 0.0 && node.above == 0
            } else {
                (node.statistic as usize) < Statistic::COUNT
                    && node.value.is_finite()
                    && later(node.below)
                    && later(node.above)
            }
        };
        let checked = (1..=Self::MAX_NODES).contains(&nodes.len()) && nodes.iter().enumerate().all(fine);
        checked.then_some(Self { nodes })
    }

    /// The nodes.
    pub fn nodes(&self) -> &'a [ChoiceNode] {
        self.nodes
    }

    /// How to adapt to a support set with these statistics.
    pub fn choose(&self, statistics: &SupportStatistics) -> Choice {
        let mut index = 0;
        // Every question leads to a later node, so there are at most as many as nodes.
        for _ in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else { break };
            let Some(statistic) = statistics.0.get(node.statistic as usize) else {
                return Choice {
                    steps: node.below,
                    scale: node.value,
                };
            };
            index = if *statistic < node.value {
                node.below
            } else {
                node.above
            } as usize;
        }
        // Cannot happen to a checked tree: its last node is a leaf.
        Choice { steps: 1, scale: 1.0 }
    }
}
