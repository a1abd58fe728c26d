//! Runs a checked plan in the caller's memory.
//!
//! [`Plan::new_checked`] checks every record once: opcodes, functions, the bounds of every strided access, overlap of
//! output and operands, unused words. After that [`Plan::run`] only has to know that the slices it is given are long
//! enough; it cannot panic and cannot fail otherwise. Memory stays with the caller, eight [`Spaces`] of `f32`.
//!
//! ```
//! use pliant_runtime::image::record::{Opcode, Operand, Record, Space, Unary};
//! use pliant_runtime::plan::{Exact, Plan, SpaceSizes, Spaces};
//!
//! // One record: output[0..2] = tanh(input[0..2]).
//! let mut record = Record { words: [0; 16] };
//! record.words[0] = Opcode::Unary as u32 | (Unary::Tanh as u32) << 8;
//! record.words[1] = Operand::new(Space::Output, 0).unwrap().0;
//! record.words[2] = Operand::new(Space::Input, 0).unwrap().0;
//! record.words[3] = 2;
//! let records = [record];
//! let sizes = SpaceSizes::default().with(Space::Input, 2).with(Space::Output, 2);
//! let plan = Plan::new_checked(&records, sizes).unwrap();
//!
//! let mut output = [0.0; 2];
//! let mut spaces = Spaces { input: &[0.0, 1.0], output: &mut output, ..Spaces::default() };
//! plan.run::<Exact>(&mut spaces).unwrap();
//! assert_eq!(output[0], 0.0);
//! assert!((output[1] - 1f32.tanh()).abs() < 1e-6);
//! ```

mod check;
mod error;
mod spaces;

use core::ops::Range;

pub use error::{PlanError, RecordProblem};
pub(crate) use spaces::Table;
pub use spaces::{AdaptedRef, SpaceSizes, Spaces};

use crate::image::record::{Record, Space};
use crate::kernels;

/// How sums and products are rounded: [`Exact`] or [`Fast`].
///
/// Sealed: the two are all there is.
pub trait Arithmetic: sealed::Sealed {}

/// Multiply, round, add, round, in index order: the same bits on every core and for every vector width.
///
/// What a device runs, and what everything is tested with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exact;

/// May fuse multiply and add where the core does so, and may sum in another order.
///
/// For training on a workstation; results differ from [`Exact`] by rounding only, and from machine to machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fast;

impl Arithmetic for Exact {}
impl Arithmetic for Fast {}

mod sealed {
    pub trait Sealed {
        /// Whether sums may fuse and reassociate.
        const FAST: bool;
    }

    impl Sealed for super::Exact {
        const FAST: bool = false;
    }

    impl Sealed for super::Fast {
        const FAST: bool = true;
    }
}

const fn mode(fast: bool) -> kernels::Mode {
    if fast {
        kernels::Mode::Fast
    } else {
        kernels::Mode::Exact
    }
}

/// Records that have been checked against the sizes of the spaces they work in.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    records: &'a [Record],
    sizes: SpaceSizes,
    macs: Words,
    writes_adapted: bool,
}

/// A number of 64 bits on a boundary of 32. One on a boundary of 64 would put everything that holds a plan there, and 32-bit
/// cores copy and clear that with functions of its own: 330 bytes of flash.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(crate) struct Words<T: Copy = u64>(pub(crate) T);

impl<'a> Plan<'a> {
    /// Checks every record: opcode, function, flags, unused words, dimensions, the bounds of every access, overlap, and
    /// that this build has the kernel. `docs/device-image.md` lists the rules.
    ///
    /// # Errors
    /// [`PlanError::Record`] with the first record at fault and what is wrong with it.
    pub fn new_checked(records: &'a [Record], sizes: SpaceSizes) -> Result<Self, PlanError> {
        let mut macs = 0u64;
        let mut writes_adapted = false;
        for (index, record) in records.iter().enumerate() {
            check::record(record, &sizes).map_err(|problem| PlanError::Record {
                index: index as u32,
                problem,
            })?;
            macs = macs.saturating_add(record.macs());
            writes_adapted |= record.operand(1).space() == Some(Space::Adapted);
        }
        Ok(Self {
            records,
            sizes,
            macs: Words(macs),
            writes_adapted,
        })
    }

    /// Records that an earlier [`new_checked`](Self::new_checked) accepted for these sizes, for who keeps them and cannot
    /// keep the plan. Of records that were not checked, a run leaves out or garbles some; nothing worse.
    #[doc(hidden)]
    pub fn checked_before(records: &'a [Record], sizes: SpaceSizes, macs: u64, writes_adapted: bool) -> Self {
        Self {
            records,
            sizes,
            macs: Words(macs),
            writes_adapted,
        }
    }

    /// The records.
    pub fn records(&self) -> &'a [Record] {
        self.records
    }

    /// The sizes the records were checked against: how long the slices must be at least.
    pub fn sizes(&self) -> SpaceSizes {
        self.sizes
    }

    /// As [`sizes`](Self::sizes), where they lie.
    pub(crate) fn sizes_ref(&self) -> &SpaceSizes {
        &self.sizes
    }

    /// Cost in multiply-accumulates: the sum of [`Record::macs`] (saturating).
    pub fn macs(&self) -> u64 {
        self.macs.0
    }

    /// Whether some record writes the adapted space, so that it must be given [`AdaptedRef::Exclusive`].
    pub fn writes_adapted(&self) -> bool {
        self.writes_adapted
    }

    /// Runs all records.
    ///
    /// # Errors
    /// Nothing has run if a slice is too short ([`PlanError::Space`]) or the adapted space is shared although the plan
    /// writes it ([`PlanError::AdaptedShared`]). No other error is possible.
    #[inline]
    pub fn run<A: Arithmetic>(&self, spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        self.run_records(mode(A::FAST), self.records, spaces)
    }

    /// Runs the records in `range`, so that a long plan can share a control loop. What later records read from the
    /// arena must not be overwritten in between.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`PlanError::Range`] if there are not so many records.
    pub fn run_range<A: Arithmetic>(&self, range: Range<usize>, spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        let records = self.records.get(range).ok_or(PlanError::Range)?;
        self.run_records(mode(A::FAST), records, spaces)
    }

    /// Runs some of the records.
    // Once, where code is dear.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn run_records(&self, mode: kernels::Mode, records: &[Record], spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        let mut table = self.table(spaces)?;
        kernels::run(mode, records, &mut table);
        Ok(())
    }

    /// As [`run`](Self::run), on a given instruction set: for tests that compare them.
    #[doc(hidden)]
    pub fn run_on(&self, level: kernels::Level, fast: bool, spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        let mut table = self.table(spaces)?;
        kernels::run_on(level, mode(fast), self.records, &mut table);
        Ok(())
    }

    /// The spaces, once they are known to be long enough.
    #[inline]
    fn table<'v>(&self, spaces: &'v mut Spaces<'_>) -> Result<Table<'v>, PlanError> {
        let shared = matches!(spaces.adapted, AdaptedRef::Shared(_));
        let table = Table::new(spaces);
        for (number, &needed) in self.sizes.0.iter().enumerate() {
            let given = table.len(number);
            if given < needed as usize {
                let space = Space::from_bits(number as u32).unwrap_or(Space::Const);
                return Err(PlanError::Space { space, needed, given });
            }
        }
        if self.writes_adapted && shared {
            return Err(PlanError::AdaptedShared);
        }
        Ok(table)
    }
}
