//! What a device image holds and costs.

use std::collections::{BTreeMap, BTreeSet};

use pliant_runtime::contract::{Contract, ContractError, ContractView};
use pliant_runtime::image::record::{Record, Space};
use pliant_runtime::image::{AdaptationRule, Image, ImageError, Objective, PlanHeader, PlanKind};
use pliant_runtime::policy::{act_workspace_len, workspace_len};
use serde::Serialize;
use thiserror::Error;

use super::aligned::AlignedBytes;
use super::lower::kernel_name;

/// What a plan of an image costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanReport {
    /// Bytes of its header and records; constants are shared by all plans and counted in [`ImageReport`].
    pub flash_bytes: usize,
    /// Bytes of scratch, inputs and outputs, and of the states or sums it keeps.
    pub ram_bytes: usize,
    /// Multiply-accumulates (elements, for kernels without products).
    pub macs: u64,
    /// Number of records.
    pub records: usize,
    /// The most expensive record: the longest that `adapt_some` cannot be interrupted, in multiply-accumulates.
    pub largest_record_macs: u64,
    /// Kernels the firmware needs, by the names of the runtime's features without `kernel-`.
    pub kernels: Vec<&'static str>,
}

/// How an image adapts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdaptationReport {
    /// `gradient`, `ridge` or `recursive_least_squares`.
    pub rule: &'static str,
    /// `supervised` or `policy_gradient`.
    pub objective: &'static str,
    /// Rows the support set holds.
    pub capacity: u32,
    /// Rows a pass takes at a time.
    pub chunk_rows: u32,
    /// Most steps.
    pub steps: u32,
    /// Factor on the step sizes in each step.
    pub step_scales: Vec<f32>,
    /// Greatest L2 change of all parameters; `None` for none.
    pub trust_region: Option<f32>,
    /// Greatest approximate divergence; `None` for none.
    pub kl_limit: Option<f32>,
    /// Greatest L2 norm of the mean gradient of a step; `None` for no clip.
    pub gradient_clip: Option<f32>,
    /// Each n-th row is held out to accept or reject the result; 0 for none.
    pub holdout_every: u32,
}

/// What `pliant inspect` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageReport {
    /// Bytes of the image.
    pub image_bytes: usize,
    /// Version of the format.
    pub format_version: u32,
    /// Tells images apart, hexadecimal.
    pub hash: String,
    /// Bytes of constants (weights that do not adapt, step sizes).
    pub constant_bytes: usize,
    /// Number of parameters that adapt.
    pub adapted_parameters: usize,
    /// Bytes of memory a policy takes that acts and adapts.
    pub policy_ram_bytes: usize,
    /// Bytes of memory a policy takes that only acts.
    pub act_only_ram_bytes: usize,
    /// Number of golden steps.
    pub golden_steps: usize,
    /// Channels, units, normaliser, rates.
    pub contract: Contract,
    /// How it adapts, if it does.
    pub adaptation: Option<AdaptationReport>,
    /// By name.
    pub plans: BTreeMap<&'static str, PlanReport>,
    /// Text for people.
    pub card: Option<String>,
}

/// Why an image cannot be inspected.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InspectError {
    /// The image is refused.
    #[error("not a usable device image: {0}")]
    Image(ImageError),
    /// Its contract is refused.
    #[error("contract: {0}")]
    Contract(ContractError),
}

/// Reads an image and reports what it holds and costs.
///
/// # Errors
/// [`InspectError`] when a device would refuse it.
pub fn inspect(bytes: &[u8]) -> Result<ImageReport, InspectError> {
    let aligned = AlignedBytes::new(bytes);
    let image = Image::new_checked(&aligned).map_err(InspectError::Image)?;
    let contract = ContractView::new_checked(image.contract_bytes())
        .and_then(|view| view.to_contract())
        .map_err(InspectError::Contract)?;
    let plans = PlanKind::ALL
        .iter()
        .filter_map(|&kind| image.plan(kind).map(|plan| (kind, plan)))
        .map(|(kind, plan)| {
            let sizes = plan.sizes();
            let kept = match kind {
                PlanKind::Act => sizes.get(Space::State),
                _ => sizes.get(Space::Accumulator),
            };
            let elements = [Space::Arena, Space::Input, Space::Output].map(|space| sizes.get(space));
            let kernels: BTreeSet<&'static str> = plan.records().iter().filter_map(kernel_name).collect();
            let report = PlanReport {
                flash_bytes: PlanHeader::BYTES + plan.records().len() * Record::BYTES,
                ram_bytes: (elements.iter().sum::<u32>() + kept) as usize * 4,
                macs: plan.macs(),
                records: plan.records().len(),
                largest_record_macs: plan.records().iter().map(Record::macs).max().unwrap_or(0),
                kernels: kernels.into_iter().collect(),
            };
            (kind.name(), report)
        })
        .collect();
    let limit = |value: f32| value.is_finite().then_some(value);
    Ok(ImageReport {
        image_bytes: image.bytes().len(),
        format_version: image.header().version,
        hash: format!("{:016x}", image.hash()),
        constant_bytes: image.constants().len() * 4,
        adapted_parameters: image.adapted_initial().len(),
        policy_ram_bytes: workspace_len(image.bytes()) * 4,
        act_only_ram_bytes: act_workspace_len(image.bytes()) * 4,
        golden_steps: image.golden_steps().count(),
        contract,
        adaptation: image.adaptation().map(|spec| AdaptationReport {
            rule: match spec.rule() {
                Some(AdaptationRule::Ridge) => "ridge",
                Some(AdaptationRule::RecursiveLeastSquares) => "recursive_least_squares",
                _ => "gradient",
            },
            objective: match spec.objective() {
                Some(Objective::PolicyGradient) => "policy_gradient",
                _ => "supervised",
            },
            capacity: spec.capacity,
            chunk_rows: spec.chunk_rows,
            steps: spec.steps,
            step_scales: spec.step_scales().to_vec(),
            trust_region: limit(spec.trust_region),
            kl_limit: limit(spec.kl_limit),
            gradient_clip: spec.gradient_clip(),
            holdout_every: spec.holdout_every,
        }),
        plans,
        card: image.card().map(str::to_owned),
    })
}
