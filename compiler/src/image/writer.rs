//! Writes a device image: contract, weights, plans, golden steps, checksum.

use bytemuck::bytes_of;
use pliant_runtime::contract::{Contract, ContractError};
use pliant_runtime::image::record::Space;
use pliant_runtime::image::{
    AdaptationSpec, AdaptationSpecError, GoldenHeader, Image, ImageError, PlanHeader, PlanKind, ResetRule,
    SECTION_ALIGNMENT, SectionKind, SelfTestError, StateEntry, TestBench, Workspace,
};
use thiserror::Error;

use super::aligned::AlignedBytes;
use super::assemble::{Section, assemble};
use super::lower::{Bindings, LowerError, LowerOptions, LoweredPlan, lower_with};
use super::{ConstantPool, golden};
use crate::adaptation::AdaptationError;
use crate::graph::Graph;

/// More than any contract's encoding takes: every channel at its longest.
const CONTRACT_BYTES: usize = 8192;

/// Why an image cannot be written.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ImageBuildError {
    /// A plan cannot be lowered.
    #[error("plan {}: {error}", kind.name())]
    Lower {
        /// Which plan.
        kind: PlanKind,
        /// Why.
        error: LowerError,
    },
    /// The contract breaks its own rules.
    #[error("contract: {0}")]
    Contract(ContractError),
    /// The adaptation specification breaks its own rules.
    #[error("adaptation specification: {0:?} is out of range")]
    Adaptation(AdaptationSpecError),
    /// More than 4 GiB.
    #[error("the image would be larger than 4 GiB")]
    TooLarge,
    /// A plan gives a value that is not finite for ordinary inputs, so it cannot be checked bit for bit on a device.
    #[error("plan {} gives values that are not finite for ordinary inputs: are the parameters finite?", .0.name())]
    NotFinite(PlanKind),
    /// A golden step does not run.
    #[error("golden steps: {0}")]
    Golden(SelfTestError),
    /// The reader refuses the image: a plan or a section is missing or does not fit the others.
    #[error("the reader refuses the image: {0}")]
    Refused(ImageError),
    /// The policy's graphs cannot be built.
    #[error(transparent)]
    Policy(Box<AdaptationError>),
    /// Policy, parameters and contract do not fit each other.
    #[error("{what}: the policy has {expected}, got {found}")]
    Mismatch {
        /// Of what.
        what: &'static str,
        /// How many the policy has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
}

impl From<AdaptationError> for ImageBuildError {
    fn from(error: AdaptationError) -> Self {
        Self::Policy(Box::new(error))
    }
}

/// Collects the parts of an image.
///
/// Plans share their constants. Golden steps are computed by running the finished plans, as a device will.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::image::{Bindings, ImageBuilder};
/// use pliant_runtime::contract::{Channel, Contract};
/// use pliant_runtime::image::{Image, PlanKind};
///
/// let mut contract = Contract::new(50.0);
/// contract.observe(Channel::observation("angle", "rad")).unwrap();
/// contract.actuate(Channel::action("torque", "N m")).unwrap();
///
/// let mut graph = Graph::new();
/// let angle = graph.input("observation", DType::F32, &[1]).unwrap();
/// let torque = graph.scale(angle, -2.0).unwrap();
/// graph.output("action", torque).unwrap();
///
/// let mut builder = ImageBuilder::new(contract);
/// builder.plan(PlanKind::Act, &graph, &Bindings::new()).unwrap();
/// let bytes = builder.build().unwrap();
/// let aligned = pliant_compiler::image::AlignedBytes::new(&bytes);
/// let image = Image::new_checked(&aligned).unwrap();
/// assert!(image.golden_steps().count() > 0);
/// ```
#[derive(Debug)]
pub struct ImageBuilder {
    contract: Contract,
    options: LowerOptions,
    constants: ConstantPool,
    adapted: Vec<f32>,
    bank: (usize, Vec<f32>),
    accumulator: usize,
    states: Vec<StateEntry>,
    adaptation: Option<AdaptationSpec>,
    plans: Vec<(PlanKind, LoweredPlan)>,
    card: Option<String>,
}

impl ImageBuilder {
    /// An image of this contract, with nothing else yet.
    pub fn new(contract: Contract) -> Self {
        Self {
            contract,
            // A device has one instance, and does without the code of one kernel more.
            options: LowerOptions {
                chain: false,
                ..LowerOptions::default()
            },
            constants: ConstantPool::aligned(SECTION_ALIGNMENT / 4),
            adapted: Vec::new(),
            bank: (0, Vec::new()),
            accumulator: 0,
            states: Vec::new(),
            adaptation: None,
            plans: Vec::new(),
            card: None,
        }
    }

    /// How plans are lowered from here on.
    pub fn options(&mut self, options: LowerOptions) -> &mut Self {
        self.options = options;
        self
    }

    /// Initial values of the parameters that adapt, in the layout the plans use.
    pub fn adapted(&mut self, values: &[f32]) -> &mut Self {
        self.adapted = values.to_vec();
        self
    }

    /// What each task has for itself, equally long, in the layout the plans use.
    pub fn bank(&mut self, slices: &[Vec<f32>]) -> &mut Self {
        self.bank = (slices.len(), slices.concat());
        self
    }

    /// How the policy adapts.
    pub fn adaptation(&mut self, spec: AdaptationSpec) -> &mut Self {
        self.adaptation = Some(spec);
        self
    }

    /// A recurrent state of up to four dimensions that starts from zero, behind the states before it.
    pub fn state(&mut self, shape: [usize; 4], reset: ResetRule) -> &mut Self {
        let offset = self.states.iter().filter_map(StateEntry::elements).sum();
        self.states.push(StateEntry {
            dtype: 0,
            reset: reset as u32,
            offset,
            initial: StateEntry::ZERO,
            shape: shape.map(|size| size as u32),
        });
        self
    }

    /// Text for people: what the policy was trained on and how it scores.
    pub fn card(&mut self, text: &str) -> &mut Self {
        self.card = Some(text.to_owned());
        self
    }

    /// Lowers a graph as a plan of the image.
    ///
    /// # Errors
    /// [`ImageBuildError::Lower`].
    pub fn plan(&mut self, kind: PlanKind, graph: &Graph, bindings: &Bindings) -> Result<&mut Self, ImageBuildError> {
        let lowered = lower_with(graph, bindings, &self.options, &mut self.constants)
            .map_err(|error| ImageBuildError::Lower { kind, error })?;
        let accumulator = lowered.sizes.get(Space::Accumulator) as usize;
        self.accumulator = self.accumulator.max(accumulator);
        self.plans.push((kind, lowered));
        Ok(self)
    }

    /// The image.
    ///
    /// # Errors
    /// [`ImageBuildError`]: what does not fit, or what the reader refuses.
    pub fn build(&self) -> Result<Vec<u8>, ImageBuildError> {
        let without = self.assemble(&[])?;
        let aligned = AlignedBytes::new(&without);
        let image = Image::new_checked(&aligned).map_err(ImageBuildError::Refused)?;
        let golden = golden::record(&image)?;
        let bytes = self.assemble(&golden)?;
        let aligned = AlignedBytes::new(&bytes);
        Image::new_checked(&aligned).map_err(ImageBuildError::Refused)?;
        Ok(bytes)
    }

    fn assemble(&self, golden: &[u8]) -> Result<Vec<u8>, ImageBuildError> {
        let mut sections: Vec<(SectionKind, u16, Vec<u8>)> = Vec::new();
        let mut buffer = [0; CONTRACT_BYTES];
        let contract = self.contract.encode(&mut buffer).map_err(ImageBuildError::Contract)?;
        sections.push((SectionKind::Contract, 0, contract.to_vec()));
        let mut add = |kind: SectionKind, bytes: &[u8]| {
            if !bytes.is_empty() {
                sections.push((kind, 0, bytes.to_vec()));
            }
        };
        add(SectionKind::Constants, bytemuck::cast_slice(self.constants.values()));
        add(SectionKind::AdaptedInitial, bytemuck::cast_slice(&self.adapted));
        add(SectionKind::States, bytemuck::cast_slice(&self.states));
        if !self.bank.1.is_empty() {
            let header = [self.bank.0 as u32, self.bank_slice(), 0, 0];
            let bytes = [
                bytemuck::cast_slice::<u32, u8>(&header),
                bytemuck::cast_slice(&self.bank.1),
            ]
            .concat();
            add(SectionKind::Bank, &bytes);
        }
        if let Some(spec) = &self.adaptation {
            spec.check().map_err(ImageBuildError::Adaptation)?;
            add(SectionKind::Adaptation, bytes_of(spec));
        }
        for (kind, plan) in &self.plans {
            sections.push((SectionKind::Plan, *kind as u16, plan_bytes(*kind, plan)));
        }
        let mut add = |kind: SectionKind, bytes: &[u8]| {
            if !bytes.is_empty() {
                sections.push((kind, 0, bytes.to_vec()));
            }
        };
        add(SectionKind::Golden, golden);
        add(SectionKind::Card, self.card.as_deref().unwrap_or_default().as_bytes());
        let sections: Vec<Section<'_>> = sections
            .iter()
            .map(|(kind, instance, bytes)| Section::new(*kind, *instance, bytes))
            .collect();
        assemble(self.workspace(), &sections)
    }

    /// Elements of one task's slice of the bank.
    fn bank_slice(&self) -> u32 {
        self.bank.1.len().checked_div(self.bank.0).unwrap_or(0) as u32
    }

    fn workspace(&self) -> Workspace {
        let greatest = |act: bool, space: Space| {
            let plans = self.plans.iter().filter(|(kind, _)| (*kind == PlanKind::Act) == act);
            plans.map(|(_, plan)| plan.sizes.get(space)).max().unwrap_or(0)
        };
        Workspace {
            constants: self.constants.values().len() as u32,
            adapted: self.adapted.len() as u32,
            bank: self.bank_slice(),
            state: self.states.iter().filter_map(StateEntry::elements).sum(),
            accumulator: self.accumulator as u32,
            act_arena: greatest(true, Space::Arena),
            act_input: greatest(true, Space::Input),
            act_output: greatest(true, Space::Output),
            learn_arena: greatest(false, Space::Arena),
            learn_input: greatest(false, Space::Input),
            learn_output: greatest(false, Space::Output),
            support_rows: self.adaptation.map_or(0, |spec| spec.capacity),
            support_row_width: self.adaptation.map_or(0, |spec| spec.row_width()),
            reserved: [0; 3],
        }
    }
}

fn plan_bytes(kind: PlanKind, plan: &LoweredPlan) -> Vec<u8> {
    let writes_adapted = plan
        .records
        .iter()
        .any(|record| record.operand(1).space() == Some(Space::Adapted));
    let macs = plan.statistics.macs;
    let header = PlanHeader {
        kind: kind as u32,
        records: plan.records.len() as u32,
        input: plan.sizes.get(Space::Input),
        output: plan.sizes.get(Space::Output),
        arena: plan.sizes.get(Space::Arena),
        flags: if writes_adapted { PlanHeader::WRITES_ADAPTED } else { 0 },
        macs: [macs as u32, (macs >> 32) as u32],
    };
    [bytes_of(&header), bytemuck::cast_slice(&plan.records)].concat()
}

/// Runs a plan of an image and gives the golden step.
pub(super) fn golden_step(
    bench: &mut TestBench<'_, '_>,
    kind: PlanKind,
    input: &[f32],
) -> Result<Vec<u8>, ImageBuildError> {
    let output = bench.run(kind, input).map_err(ImageBuildError::Golden)?.to_vec();
    if output.iter().any(|value| !value.is_finite()) {
        return Err(ImageBuildError::NotFinite(kind));
    }
    let [adapted_crc, state_crc, accumulator_crc] = bench.checksums();
    let header = GoldenHeader {
        plan: kind as u32,
        input: input.len() as u32,
        output: output.len() as u32,
        adapted_crc,
        state_crc,
        accumulator_crc,
        reserved: [0; 2],
    };
    Ok([
        bytes_of(&header),
        bytemuck::cast_slice(input),
        bytemuck::cast_slice(&output),
    ]
    .concat())
}
