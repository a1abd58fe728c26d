//! Small elementwise records as instructions of chains, three to a record.
//!
//! A chain's operands are contiguous, and apart from the output. So a record becomes one where its innermost dimension is
//! contiguous in the output and in every operand that is not a constant (one instruction a row), and where the output has
//! not been put in an operand's place: [`may_chain`] tells the placement of scratch not to. The bits stay the same.

use pliant_runtime::image::record::{
    Binary, ChainFunction, Instruction, Opcode, Operand, Record, Scaled, Space, Ternary, Unary,
};
use smallvec::SmallVec;

use super::elementwise::{record, word};
use super::program::Program;

/// Most elements of an instruction: past that, what a record costs beside its elements no longer counts, and an output in
/// an operand's place saves memory.
const MOST_ELEMENTS: u32 = 4096;

/// Most instructions that one record may become.
const MOST_ROWS: u32 = 16;

/// Fewest elements of a row, where there are several.
const FEWEST_ELEMENTS: u32 = 8;

/// One operand of a record: where, and how far apart its rows and its elements are.
#[derive(Clone, Copy)]
struct Source {
    operand: Operand,
    row: u32,
    element: u32,
}

/// A record as rows of contiguous outputs.
struct Rows {
    function: ChainFunction,
    rows: u32,
    count: u32,
    /// From row to row in the output.
    out_row: u32,
    sources: SmallVec<[Source; 3]>,
    parameters: [u32; 2],
}

impl Rows {
    fn of(record: &Record) -> Option<Self> {
        let words = &record.words;
        let source = |word: usize, row: u32, element: u32| Source {
            operand: record.operand(word),
            row,
            element,
        };
        let rows = match record.opcode()? {
            Opcode::Unary => Self {
                function: ChainFunction::Unary(Unary::from_bits(record.function())?),
                rows: 1,
                count: words[3],
                out_row: 0,
                sources: [source(2, 0, 1)].into_iter().collect(),
                parameters: [words[4], words[5]],
            },
            Opcode::Binary if words[4] == 1 => Self {
                function: ChainFunction::Binary(Binary::from_bits(record.function())?),
                rows: words[5],
                count: words[6],
                out_row: words[6],
                sources: [source(2, words[8], words[9]), source(3, words[11], words[12])]
                    .into_iter()
                    .collect(),
                parameters: [0; 2],
            },
            Opcode::Ternary => Self {
                function: ChainFunction::Ternary(Ternary::from_bits(record.function())?),
                rows: words[5],
                count: words[6],
                out_row: words[6],
                sources: [
                    source(2, words[7], words[8]),
                    source(3, words[9], words[10]),
                    source(4, words[11], words[12]),
                ]
                .into_iter()
                .collect(),
                parameters: [0; 2],
            },
            Opcode::Copy if words[3] == 1 && words[4] == 1 && (words[6] == 1 || words[10] == 1) => Self {
                function: ChainFunction::Unary(Unary::Identity),
                rows: words[5],
                count: words[6],
                out_row: words[9],
                sources: [source(2, words[13], words[14])].into_iter().collect(),
                parameters: [0; 2],
            },
            _ => return None,
        };
        let short = rows.rows > 1 && (rows.rows > MOST_ROWS || rows.count < FEWEST_ELEMENTS);
        (!short && rows.count <= MOST_ELEMENTS).then_some(rows)
    }
}

/// Whether a record may become part of a chain, if its output lies apart from its operands.
pub(super) fn may_chain(record: &Record) -> bool {
    Rows::of(record).is_some()
}

/// Packs instructions into records.
#[derive(Default)]
struct Packer {
    records: Vec<Record>,
    /// Instructions that are not in a record yet.
    open: SmallVec<[Instruction; 3]>,
}

impl Packer {
    fn add(&mut self, instruction: Instruction, most: u64) {
        let macs = |instructions: &[Instruction]| instructions.iter().map(|i| u64::from(i.count())).sum::<u64>();
        if self.open.len() == Record::INSTRUCTIONS || macs(&self.open) + u64::from(instruction.count()) > most {
            self.close();
        }
        self.open.push(instruction);
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let mut chain = record(Opcode::Chain, self.open.len() as u8, 0);
        chain.words[1..].fill(0);
        for (words, instruction) in chain.words[1..].chunks_exact_mut(5).zip(&self.open) {
            words.copy_from_slice(&instruction.words);
        }
        self.records.push(chain);
        self.open.clear();
    }
}

impl Program<'_> {
    /// The same records with small elementwise ones as chains, none costing more than `max_macs` that did not before.
    pub(super) fn chained(&mut self, records: Vec<Record>, max_macs: Option<u64>) -> Vec<Record> {
        let mut packer = Packer::default();
        for record in records {
            match self.instructions(&record) {
                Some(instructions) => {
                    let most = max_macs.unwrap_or(u64::MAX);
                    instructions.into_iter().for_each(|one| packer.add(one, most));
                }
                None => {
                    packer.close();
                    packer.records.push(record);
                }
            }
        }
        packer.close();
        packer.records
    }

    /// The instructions that do what a record does.
    fn instructions(&mut self, record: &Record) -> Option<SmallVec<[Instruction; 4]>> {
        let mut rows = Rows::of(record)?;
        let out = record.operand(1);
        if out.space()? == Space::Adapted {
            return None;
        }
        self.take_constants(&mut rows)?;
        // Of the whole record: then no row writes what a later one reads.
        let end =
            |operand: Operand, row: u32| u64::from(operand.offset()) + u64::from((rows.rows - 1) * row + rows.count);
        let apart = |source: &Source| {
            source.operand.space() != out.space()
                || end(source.operand, source.row) <= u64::from(out.offset())
                || end(out, rows.out_row) <= u64::from(source.operand.offset())
        };
        if !rows.sources.iter().all(apart) {
            return None;
        }
        let instruction = |row: u32| {
            let mut words = [0; 5];
            words[0] = u32::from(rows.function.bits()) | rows.count << 8;
            words[1] = out.0 + row * rows.out_row;
            for (to, source) in words[2..].iter_mut().zip(&rows.sources) {
                *to = source.operand.0 + row * source.row;
            }
            let parameters = rows.function.parameters();
            words[2 + rows.sources.len()..]
                .iter_mut()
                .zip(&rows.parameters[..parameters])
                .for_each(|(to, &parameter)| *to = parameter);
            Instruction { words }
        };
        Some((0..rows.rows).map(instruction).collect())
    }

    /// Turns constants that are repeated into parameters, or into constants written out. `None` where something else is
    /// repeated or not contiguous.
    fn take_constants(&mut self, rows: &mut Rows) -> Option<()> {
        let value = |program: &Self, source: &Source| {
            let constant = source.operand.space() == Some(Space::Const) && source.row == 0;
            constant.then(|| program.constants.values()[source.operand.offset() as usize])
        };
        let repeated = |source: &Source| source.element == 0 && rows.count > 1;
        if let ChainFunction::Ternary(function @ (Ternary::AddProduct | Ternary::SubProduct)) = rows.function {
            let factor = [1, 2]
                .into_iter()
                .find(|&at| repeated(&rows.sources[at]) && value(self, &rows.sources[at]).is_some());
            if let Some(at) = factor {
                let factor = value(self, &rows.sources[at])?;
                // a - b p is a + b (-p), bit for bit.
                let factor = if function == Ternary::AddProduct {
                    factor
                } else {
                    -factor
                };
                rows.sources.remove(at);
                rows.function = ChainFunction::Scaled(Scaled::AddScaled);
                rows.parameters = [factor.to_bits(), 0];
            }
        }
        for at in 0..rows.sources.len() {
            let source = rows.sources[at];
            if rows.count == 1 || source.element == 1 {
                continue;
            }
            if source.element != 0 {
                return None;
            }
            let written_out = vec![value(self, &source)?; rows.count as usize];
            let offset = self.constants.insert(&written_out);
            rows.sources[at] = Source {
                operand: Operand::new(Space::Const, word(offset))?,
                row: 0,
                element: 1,
            };
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::constants::ConstantPool;

    const OUT: u32 = (Space::Arena as u32) << 28;
    const A: u32 = OUT | 256;
    const B: u32 = OUT | 512;

    /// `[rows, count]` with these strides of `a` and `b`.
    fn binary(function: Binary, out: u32, rows: u32, count: u32, a: [u32; 2], b: [u32; 2]) -> Record {
        let mut record = record(Opcode::Binary, function as u8, 0);
        record.words[1..13].copy_from_slice(&[out, A, B, 1, rows, count, 0, a[0], a[1], 0, b[0], b[1]]);
        record
    }

    fn chained(records: &[Record], most: Option<u64>) -> Vec<Record> {
        let mut pool = ConstantPool::new();
        Program::new(&mut pool, false).chained(records.to_vec(), most)
    }

    #[test]
    fn three_instructions_make_a_record() {
        let add = binary(Binary::Add, OUT, 1, 64, [0, 1], [0, 1]);
        let packed = chained(&[add; 4], None);
        let sizes: Vec<usize> = packed.iter().map(|record| record.instructions().len()).collect();
        assert_eq!(sizes, [3, 1]);
        assert_eq!(packed[0].macs(), 192);
        assert_eq!(chained(&[add; 4], Some(100)).len(), 4);
    }

    #[test]
    fn a_row_for_all_rows_is_an_instruction_a_row() {
        let packed = chained(&[binary(Binary::Mul, OUT, 3, 64, [64, 1], [0, 1])], None);
        let operands: Vec<[u32; 3]> = packed[0]
            .instructions()
            .iter()
            .map(|one| [one.words[1], one.words[2], one.words[3]])
            .collect();
        assert_eq!(operands, [0, 64, 128].map(|row| [OUT + row, A + row, B]));
    }

    #[test]
    fn an_output_in_place_and_a_repeated_value_stay_records() {
        let in_place = binary(Binary::Add, A, 1, 64, [0, 1], [0, 1]);
        let repeated = binary(Binary::Add, OUT, 1, 64, [0, 1], [0, 0]);
        for kept in [in_place, repeated] {
            assert_eq!(chained(&[kept], None), [kept]);
        }
    }
}
