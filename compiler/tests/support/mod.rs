//! What the tests of lowered plans share: random numbers, and running a plan.
#![allow(dead_code, reason = "each test uses its part")]

use pliant_compiler::image::LoweredPlan;
use pliant_runtime::image::record::Space;
use pliant_runtime::plan::{AdaptedRef, Exact, Plan, Spaces};

/// A small generator (SplitMix64), so that a failing case is one seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..below`.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        (self.bits() % below as u64) as usize
    }

    /// Uniform in -1..1.
    pub(crate) fn signed(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.signed()).collect()
    }
}

/// Memory of every space, as large as a plan needs.
pub(crate) struct Memory {
    pub(crate) spaces: [Vec<f32>; Space::COUNT],
}

impl Memory {
    /// Scratch and outputs are NaN, so that what is read before it is written shows.
    pub(crate) fn of(plan: &LoweredPlan) -> Self {
        let mut spaces: [Vec<f32>; Space::COUNT] = Default::default();
        for (memory, &size) in spaces.iter_mut().zip(&plan.sizes.0) {
            *memory = vec![f32::NAN; size as usize];
        }
        spaces[Space::Const as usize] = plan.constants.clone();
        Self { spaces }
    }

    /// Writes the value of an input.
    pub(crate) fn set(&mut self, plan: &LoweredPlan, name: &str, values: &[f32]) {
        let slot = plan
            .inputs
            .iter()
            .find(|slot| slot.name == name)
            .expect("an input of the plan");
        self.spaces[slot.place.space as usize][slot.range()].copy_from_slice(values);
    }

    /// The value of an output.
    pub(crate) fn get(&self, plan: &LoweredPlan, name: &str) -> Vec<f32> {
        let slot = plan
            .outputs
            .iter()
            .find(|slot| slot.name == name)
            .expect("an output of the plan");
        self.spaces[slot.place.space as usize][slot.range()].to_vec()
    }

    pub(crate) fn run(&mut self, plan: &LoweredPlan) {
        let checked = Plan::new_checked(&plan.records, plan.sizes).expect("a plan the executor accepts");
        let [constants, adapted, arena, state, input, output, accumulator, bank] = &mut self.spaces;
        let mut spaces = Spaces {
            constants,
            input,
            bank,
            adapted: AdaptedRef::Exclusive(adapted),
            arena,
            state,
            output,
            accumulator,
        };
        checked
            .run::<Exact>(&mut spaces)
            .expect("memory as large as the plan says");
    }
}

/// Same bits, except that any NaN equals any NaN.
pub(crate) fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}
