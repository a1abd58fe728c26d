//! A plan of many small elementwise steps over instances side by side, laid out for a workstation.
//!
//! A simulation step is a thousand instructions over one row of instances each, and its values are more than the nearest cache
//! holds. [`SideBySide`] runs stretches of such instructions for a few instances at a time, so that a value is still near when
//! it is read, and finds every operand once, when it is made. The same bits as [`Plan::run`](super::Plan::run).

use std::vec::Vec;

use super::{Arithmetic, Plan, PlanError, SpaceSizes, Spaces, mode};
use crate::image::record::{ChainFunction, Instruction, Opcode, Operand, Record, Space};
use crate::kernels::{self, Lane};

/// Most rows of instances that one instruction is taken apart into.
const MOST_ROWS: u32 = 64;

/// Fewest instructions that are worth a stretch of their own.
const FEWEST: usize = 4;

/// A checked plan with its stretches of elementwise instructions laid out; see the [module](self).
///
/// ```
/// use pliant_runtime::plan::{Fast, SideBySide, SpaceSizes, Spaces};
///
/// let plan = SideBySide::new(Vec::new(), SpaceSizes::default()).unwrap();
/// plan.run::<Fast>(&mut Spaces::default()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SideBySide {
    records: Vec<Record>,
    lanes: Vec<Lane>,
    parts: Vec<Part>,
    /// Instances of a lane.
    width: usize,
    sizes: SpaceSizes,
    writes_adapted: bool,
}

/// Ranges of what is run one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Records(core::ops::Range<usize>),
    Lanes(core::ops::Range<usize>),
}

impl SideBySide {
    /// Checks records as [`Plan::new_checked`] does, and lays them out.
    ///
    /// # Errors
    /// As there.
    pub fn new(records: Vec<Record>, sizes: SpaceSizes) -> Result<Self, PlanError> {
        let writes_adapted = Plan::new_checked(&records, sizes)?.writes_adapted();
        let mut layout = Layout {
            width: usual_count(&records),
            sizes,
            open: Vec::new(),
            touched: Vec::new(),
            plan: Self {
                records: Vec::with_capacity(records.len()),
                lanes: Vec::new(),
                parts: Vec::new(),
                width: 0,
                sizes,
                writes_adapted,
            },
        };
        layout.plan.width = layout.width as usize;
        for record in records {
            layout.add(record);
        }
        layout.close();
        Ok(layout.plan)
    }

    /// Runs everything.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn run<A: Arithmetic>(&self, spaces: &mut Spaces<'_>) -> Result<(), PlanError> {
        let plan = Plan::checked_before(&self.records, self.sizes, 0, self.writes_adapted);
        let mut table = plan.table(spaces)?;
        for part in &self.parts {
            match part {
                Part::Records(range) => kernels::run(mode(A::FAST), &self.records[range.clone()], &mut table),
                Part::Lanes(range) => {
                    kernels::side_by_side(&self.lanes[range.clone()], self.width, &self.sizes, &mut table);
                }
            }
        }
        Ok(())
    }
}

/// The number of elements that most instructions compute, if a lane can; otherwise 0.
fn usual_count(records: &[Record]) -> u32 {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    let chains = records.iter().filter(|record| record.opcode() == Some(Opcode::Chain));
    for count in chains.flat_map(Record::instructions).map(Instruction::count) {
        match counts.iter_mut().find(|(known, _)| *known == count) {
            Some((_, seen)) => *seen += 1,
            None => counts.push((count, 1)),
        }
    }
    let usual = counts.into_iter().max_by_key(|(_, seen)| *seen);
    usual.map_or(0, |(count, _)| if kernels::lanes_take(count) { count } else { 0 })
}

/// A plan in the making.
struct Layout {
    width: u32,
    sizes: SpaceSizes,
    /// The stretch that is not closed yet, in rows of `width` instances.
    open: Vec<Instruction>,
    /// What the rows of the stretch touch: the first element, and whether they write it.
    touched: Vec<(Operand, bool)>,
    plan: SideBySide,
}

impl Layout {
    fn add(&mut self, record: Record) {
        if record.opcode() != Some(Opcode::Chain) || self.width == 0 {
            self.close();
            return self.plain(record);
        }
        for instruction in record.instructions() {
            let rows = instruction.count() / self.width;
            if instruction.count() % self.width != 0 || !(1..=MOST_ROWS).contains(&rows) {
                self.close();
                self.plain(alone(instruction));
                continue;
            }
            let rows: Vec<Instruction> = (0..rows)
                .map(|row| part(instruction, row * self.width, self.width))
                .collect();
            if rows.iter().any(|row| self.meets(row)) {
                self.close();
            }
            for row in &rows {
                self.touched.extend(accesses(row));
            }
            self.open.extend(rows);
        }
    }

    /// Whether a row overlaps what the stretch touches other than instance by instance. Then the order of the instances would
    /// matter.
    fn meets(&self, row: &Instruction) -> bool {
        accesses(row).any(|(operand, writes)| {
            self.touched.iter().any(|&(other, wrote)| {
                (writes || wrote)
                    && other != operand
                    && other.same_space(operand)
                    && other.offset().abs_diff(operand.offset()) < self.width
            })
        })
    }

    /// Ends the stretch.
    fn close(&mut self) {
        self.touched.clear();
        let open = core::mem::take(&mut self.open);
        let lane = |row: &Instruction| Lane::new(row, &self.sizes);
        let lanes: Option<Vec<Lane>> = open.iter().map(lane).collect();
        match lanes {
            Some(lanes) if lanes.len() >= FEWEST => {
                let start = self.plan.lanes.len();
                self.plan.lanes.extend(lanes);
                self.plan.parts.push(Part::Lanes(start..self.plan.lanes.len()));
            }
            _ => open.iter().for_each(|row| self.plain(alone(row))),
        }
    }

    fn plain(&mut self, record: Record) {
        let index = self.plan.records.len();
        self.plan.records.push(record);
        match self.plan.parts.last_mut() {
            Some(Part::Records(range)) => range.end = index + 1,
            _ => self.plan.parts.push(Part::Records(index..index + 1)),
        }
    }
}

/// A record of one instruction.
fn alone(instruction: &Instruction) -> Record {
    let mut record = Record { words: [0; 16] };
    record.words[0] = Opcode::Chain as u32 | 1 << 8;
    record.words[1..6].copy_from_slice(&instruction.words);
    record
}

/// The `count` elements of an instruction from element `first` on.
fn part(instruction: &Instruction, first: u32, count: u32) -> Instruction {
    let operands = instruction.function().map_or(0, ChainFunction::operands);
    let mut words = instruction.words;
    words[0] = words[0] & 0xff | count << 8;
    words[1..2 + operands].iter_mut().for_each(|word| *word += first);
    Instruction { words }
}

/// Where an instruction reads and writes memory that is written at all.
fn accesses(instruction: &Instruction) -> impl Iterator<Item = (Operand, bool)> {
    let operands = instruction.function().map_or(0, ChainFunction::operands);
    let words = instruction.words;
    (1..2 + operands)
        .map(move |word| (Operand(words[word]), word == 1))
        .filter(|(operand, _)| operand.space().is_some_and(Space::writable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::record::{Binary, Scaled, Ternary, Unary};
    use crate::plan::{Exact, Fast};
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro128PlusPlus;

    const WIDTH: u32 = 64;
    const ROWS: u32 = 12;

    fn arena(row: u32, ahead: u32) -> u32 {
        Operand::new(Space::Arena, row * WIDTH + ahead).unwrap().0
    }

    fn function(random: &mut Xoshiro128PlusPlus) -> ChainFunction {
        let all = Unary::ALL.iter().map(|&f| ChainFunction::Unary(f));
        let all = all.chain(Binary::ALL.iter().map(|&f| ChainFunction::Binary(f)));
        let all = all.chain(Ternary::ALL.iter().map(|&f| ChainFunction::Ternary(f)));
        let all: Vec<_> = all
            .chain(Scaled::ALL.iter().map(|&f| ChainFunction::Scaled(f)))
            .collect();
        all[random.next_u32() as usize % all.len()]
    }

    /// A chain instruction on rows that lie apart; sometimes two rows, a shorter one, or one that lies across two rows.
    fn instruction(random: &mut Xoshiro128PlusPlus) -> Instruction {
        let mut pick = |limit: u32| random.next_u32() % limit;
        let (rows, short, across) = (
            1 + u32::from(pick(8) == 0),
            pick(10) == 0,
            16 * u32::from(pick(10) == 0),
        );
        let count = if short { 20 } else { rows * WIDTH };
        let out = pick(ROWS - 2);
        let mut words = [0; 5];
        words[1] = arena(out, 0);
        for word in &mut words[2..] {
            let mut row = pick(ROWS - 3);
            while row.abs_diff(out) < 3 {
                row = (row + 1) % (ROWS - 2);
            }
            *word = arena(row, across);
        }
        let function = function(random);
        for (at, word) in words[2..].iter_mut().enumerate().skip(function.operands()) {
            let parameter = at < function.operands() + function.parameters();
            *word = if parameter { 0.75f32.to_bits() } else { 0 };
        }
        words[0] = u32::from(function.bits()) | count << 8;
        Instruction { words }
    }

    #[test]
    fn the_same_bits_as_one_record_after_the_other() {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(3);
        let sizes = SpaceSizes::default().with(Space::Arena, ROWS * WIDTH);
        let mut laid_out = 0;
        for _ in 0..if cfg!(miri) { 3 } else { 300 } {
            let records: Vec<Record> = (0..40).map(|_| alone(&instruction(&mut random))).collect();
            let start: Vec<f32> = (0..ROWS * WIDTH)
                .map(|_| random.next_u32() as f32 / 1e9 - 2.0)
                .collect();
            let (mut one, mut other) = (start.clone(), start);
            let plan = Plan::new_checked(&records, sizes).unwrap();
            let mut spaces = Spaces {
                arena: &mut one,
                ..Spaces::default()
            };
            plan.run::<Exact>(&mut spaces).unwrap();
            let side_by_side = SideBySide::new(records, sizes).unwrap();
            laid_out += side_by_side.lanes.len();
            let mut spaces = Spaces {
                arena: &mut other,
                ..Spaces::default()
            };
            side_by_side.run::<Fast>(&mut spaces).unwrap();
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&other));
        }
        if kernels::lanes_take(WIDTH) {
            assert!(laid_out > 0);
        }
    }

    #[test]
    fn a_row_across_others_ends_the_stretch() {
        let copy = |out: u32, from: u32| {
            alone(&Instruction {
                words: [WIDTH << 8, out, from, 0, 0],
            })
        };
        // Row 4 is read from its middle on after it was written: instance 0 reads what instance 16 wrote.
        let records = std::vec![
            copy(arena(4, 0), arena(0, 0)),
            copy(arena(6, 0), arena(1, 0)),
            copy(arena(7, 0), arena(1, 0)),
            copy(arena(8, 0), arena(1, 0)),
            copy(arena(2, 0), arena(4, 16)),
            copy(arena(9, 0), arena(1, 0)),
            copy(arena(10, 0), arena(1, 0)),
            copy(arena(11, 0), arena(1, 0)),
        ];
        let sizes = SpaceSizes::default().with(Space::Arena, ROWS * WIDTH);
        let plan = SideBySide::new(records, sizes).unwrap();
        let expected = if kernels::lanes_take(WIDTH) {
            std::vec![Part::Lanes(0..4), Part::Lanes(4..8)]
        } else {
            std::vec![Part::Records(0..8)]
        };
        assert_eq!(plan.parts, expected);
    }

    #[test]
    fn spaces_that_are_too_short_are_refused() {
        let sizes = SpaceSizes::default().with(Space::Arena, 4);
        let plan = SideBySide::new(Vec::new(), sizes).unwrap();
        let error = plan.run::<Fast>(&mut Spaces::default()).unwrap_err();
        assert_eq!(
            error,
            PlanError::Space {
                space: Space::Arena,
                needed: 4,
                given: 0
            }
        );
    }
}
