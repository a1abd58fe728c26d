//! What an image holds and costs, for `pliant inspect` and the card.

use std::collections::BTreeMap;

use pliant_runtime::contract::{Contract, ContractError, ContractView};
use pliant_runtime::image::record::{Opcode, Space};
use pliant_runtime::image::{Image, Objective, PlanHeader, PlanKind};
use pliant_runtime::policy::workspace_len;
use serde::Serialize;

/// What an image holds and costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Size of the image in flash.
    pub image_bytes: usize,
    /// FNV-1a of the required sections: tells images apart.
    pub hash: String,
    /// RAM that the whole policy needs: parameters twice, support set, scratch.
    pub workspace_bytes: usize,
    /// Parameters that never change, in flash.
    pub constant_parameters: usize,
    /// Parameters that adapt.
    pub adapted_parameters: usize,
    /// Channels, units, ranges, normaliser.
    pub contract: Contract,
    /// How it adapts; absent for a policy that does not.
    pub adaptation: Option<AdaptationSummary>,
    /// Cost of each plan, by name.
    pub plans: BTreeMap<String, PlanCost>,
}

/// How a policy adapts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationSummary {
    /// `supervised` or `policy gradient`.
    pub objective: String,
    /// Gradient steps it was trained for; more are refused.
    pub steps: u32,
    /// Rows that the support set holds.
    pub capacity: u32,
    /// Rows folded in at a time.
    pub chunk_rows: u32,
    /// Greatest L2 distance of adapted parameters from the image's; absent without limit.
    pub trust_region: Option<f32>,
    /// Multiply-accumulates of one step over a full support set.
    pub macs_per_step: u64,
}

/// Cost of one run of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanCost {
    /// Bytes of its records in flash; the parameters they read are shared between plans.
    pub flash_bytes: usize,
    /// Scratch, input, output, state and accumulators in RAM; shared between plans that do not run at once.
    pub ram_bytes: usize,
    /// Multiply-accumulates; other kernels count one for each element.
    pub macs: u64,
    /// Kernel calls by kernel.
    pub kernels: BTreeMap<String, usize>,
}

/// Reads what `image` holds and costs.
///
/// # Errors
/// When its contract is refused.
pub fn inspect(image: &Image<'_>) -> Result<Inspection, ContractError> {
    let mut plans = BTreeMap::new();
    for kind in PlanKind::ALL {
        let Some(plan) = image.plan(kind) else { continue };
        let mut kernels = BTreeMap::new();
        for record in plan.records() {
            let name = record.opcode().map_or("unknown", kernel_name);
            *kernels.entry(name.to_owned()).or_default() += 1;
        }
        let own = [
            Space::Arena,
            Space::Input,
            Space::Output,
            Space::State,
            Space::Accumulator,
        ];
        let elements: usize = own.iter().map(|&space| plan.sizes().get(space) as usize).sum();
        let cost = PlanCost {
            flash_bytes: PlanHeader::BYTES + size_of_val(plan.records()),
            ram_bytes: 4 * elements,
            macs: plan.macs(),
            kernels,
        };
        plans.insert(kind.name().to_owned(), cost);
    }
    let macs = |kind: PlanKind| image.plan(kind).map_or(0, |plan| plan.macs());
    Ok(Inspection {
        image_bytes: image.bytes().len(),
        hash: format!("{:016x}", image.hash()),
        workspace_bytes: 4 * workspace_len(image.bytes()),
        constant_parameters: image.constants().len(),
        adapted_parameters: image.adapted_initial().len(),
        contract: ContractView::new_checked(image.contract_bytes())?.to_contract()?,
        adaptation: image.adaptation().map(|spec| AdaptationSummary {
            objective: match spec.objective() {
                Some(Objective::Supervised) => "supervised",
                Some(Objective::PolicyGradient) => "policy gradient",
                None => "unknown",
            }
            .to_owned(),
            steps: spec.steps,
            capacity: spec.capacity,
            chunk_rows: spec.chunk_rows,
            trust_region: (spec.trust_region < f32::MAX).then_some(spec.trust_region),
            macs_per_step: macs(PlanKind::Begin)
                + u64::from(spec.capacity.div_ceil(spec.chunk_rows)) * macs(PlanKind::Accumulate)
                + macs(PlanKind::Apply),
        }),
        plans,
    })
}

fn kernel_name(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::MatMul => "matmul",
        Opcode::Unary => "unary",
        Opcode::Binary => "binary",
        Opcode::Ternary => "ternary",
        Opcode::Reduce => "reduce",
        Opcode::Copy => "copy",
        Opcode::Gather => "gather",
        Opcode::ScatterAdd => "scatter_add",
        Opcode::Fill => "fill",
    }
}
