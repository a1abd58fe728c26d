//! A plan that a workstation runs a million times.

use std::boxed::Box;

use super::{Arithmetic, Plan, PlanError, SpaceSizes, Spaces, mode, table};
use crate::image::record::{Opcode, Record};
use crate::kernels::{self, Chain, Part};

/// A checked plan that owns what it runs, decoded once: for engines that train with it. The same bits as [`Plan::run`].
///
/// ```
/// use pliant_runtime::image::record::{Opcode, Operand, Record, Space, Unary};
/// use pliant_runtime::plan::{Exact, PreparedPlan, SpaceSizes, Spaces};
///
/// // One record: output[0..2] = input[0..2] squared.
/// let mut record = Record { words: [0; 16] };
/// record.words[0] = Opcode::Unary as u32 | (Unary::Square as u32) << 8;
/// record.words[1] = Operand::new(Space::Output, 0).unwrap().0;
/// record.words[2] = Operand::new(Space::Input, 0).unwrap().0;
/// record.words[3] = 2;
/// let sizes = SpaceSizes::default().with(Space::Input, 2).with(Space::Output, 2);
/// let plan = PreparedPlan::new(&[record], sizes).unwrap();
///
/// let mut output = [0.0; 2];
/// plan.run::<Exact>(&mut Spaces { input: &[3.0, -1.0], output: &mut output, ..Spaces::default() }).unwrap();
/// assert_eq!(output, [9.0, 1.0]);
/// ```
#[derive(Clone, Debug)]
pub struct PreparedPlan {
    parts: Box<[Part]>,
    sizes: SpaceSizes,
    writes_adapted: bool,
}

impl PreparedPlan {
    /// Checks records as [`Plan::new_checked`] does, and decodes them.
    ///
    /// # Errors
    /// As [`Plan::new_checked`].
    pub fn new(records: &[Record], sizes: SpaceSizes) -> Result<Self, PlanError> {
        let plan = Plan::new_checked(records, sizes)?;
        let is_chain = |record: &Record| record.opcode() == Some(Opcode::Chain);
        let parts = records
            .chunk_by(|one, next| is_chain(one) == is_chain(next))
            .map(|alike| match alike.first().is_some_and(is_chain) {
                // The rules of a plan are those of a chain and more, so there is one.
                true => Chain::new(alike, sizes).map_or_else(|| Part::Records(alike.into()), Part::Chain),
                false => Part::Records(alike.into()),
            })
            .collect();
        Ok(Self {
            parts,
            sizes,
            writes_adapted: plan.writes_adapted(),
        })
    }

    /// Runs all records.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn run<A: Arithmetic>(&self, spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        let mut table = table(&self.sizes, self.writes_adapted, spaces)?;
        kernels::run_prepared(kernels::Level::best(), mode(A::FAST), &self.parts, &mut table);
        Ok(())
    }

    /// As [`run`](Self::run), on a given instruction set: for tests that compare them.
    #[doc(hidden)]
    pub fn run_on(&self, level: kernels::Level, fast: bool, spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        let mut table = table(&self.sizes, self.writes_adapted, spaces)?;
        kernels::run_prepared(level, mode(fast), &self.parts, &mut table);
        Ok(())
    }
}
