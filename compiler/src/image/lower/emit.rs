//! From steps over buffers to records: addresses, and records small enough to share a control loop.

use pliant_runtime::image::record::{Opcode, Operand, Record, Space, flags};

use super::LowerError;
use super::arena::Arena;
use super::elide::{Place, Region};
use super::program::Program;

/// Greatest number of elements of any space.
pub(super) const MAX_ELEMENTS: usize = Operand::MAX_OFFSET as usize + 1;

impl Program<'_> {
    /// The records of all steps, none costing more than `max_macs` where it can be split.
    pub(super) fn records(&self, arena: &Arena, max_macs: Option<u64>) -> Result<Vec<Record>, LowerError> {
        let mut records = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let mut record = step.record;
            record.words[1] = operand(&self.place(&step.out), arena)?.0;
            for read in &step.reads {
                record.words[read.word] = operand(&self.place(&read.span), arena)?.0;
            }
            match max_macs {
                Some(most) => split(record, most.max(1), &mut records),
                None => records.push(record),
            }
        }
        Ok(records)
    }
}

fn operand(place: &Place, arena: &Arena) -> Result<Operand, LowerError> {
    let (space, offset) = match place.region {
        Region::Space(space) => (space, place.start),
        Region::Scratch(root) => (Space::Arena, arena.offsets[&root] + place.start),
    };
    let too_large = LowerError::TooLarge {
        space,
        elements: offset.saturating_add(place.len),
    };
    if offset + place.len > MAX_ELEMENTS {
        return Err(too_large);
    }
    u32::try_from(offset)
        .ok()
        .and_then(|offset| Operand::new(space, offset))
        .ok_or(too_large)
}

/// Moves the operand in word `index` by `elements`; an absent one stays absent.
fn advance(record: &mut Record, index: usize, elements: u32) {
    if !Operand(record.words[index]).is_none() {
        record.words[index] += elements;
    }
}

/// How many positions of `size` one part may have, when each costs `each`.
fn share(most: u64, each: u64, size: u32) -> u32 {
    u32::try_from(most / each.max(1)).unwrap_or(u32::MAX).clamp(1, size)
}

/// Splits a record into several that do the same in the same order, each costing at most `most` multiply-accumulates
/// where the operation allows it.
pub(super) fn split(record: Record, most: u64, out: &mut Vec<Record>) {
    if record.macs() <= most {
        out.push(record);
        return;
    }
    match record.opcode() {
        Some(Opcode::MatMul) => split_matmul(record, most, out),
        Some(Opcode::Unary) => split_range(record, most, 3, 1, &[1, 2], out),
        Some(Opcode::Fill) => split_range(record, most, 2, 1, &[1], out),
        Some(Opcode::Binary) => split_loops(record, most, 4, 3, 2, out),
        Some(Opcode::Ternary) => split_loops(record, most, 5, 2, 3, out),
        Some(Opcode::Reduce) => split_reduce(record, most, out),
        Some(Opcode::Copy) => split_copy(record, most, out),
        // Gathers are one pass over the indices; they stay whole.
        _ => out.push(record),
    }
}

fn split_matmul(record: Record, most: u64, out: &mut Vec<Record>) {
    let [batch, m, k, n] = [6, 7, 8, 9].map(|word| record.words[word]);
    let matrix = u64::from(m) * u64::from(k) * u64::from(n);
    if batch > 1 {
        let part = share(most, matrix, batch);
        for start in (0..batch).step_by(part as usize) {
            let mut piece = record;
            piece.words[6] = part.min(batch - start);
            advance(&mut piece, 1, start * m * n);
            advance(&mut piece, 2, start * record.words[10]);
            advance(&mut piece, 3, start * record.words[11]);
            advance(&mut piece, 4, start * record.words[12]);
            advance(&mut piece, 5, start * m * n);
            split(piece, most, out);
        }
        return;
    }
    let row = u64::from(k) * u64::from(n);
    if m > 1 {
        let part = share(most, row, m);
        let step = if record.has(flags::TRANSPOSE_A) {
            1
        } else {
            record.words[13]
        };
        for start in (0..m).step_by(part as usize) {
            let mut piece = record;
            piece.words[7] = part.min(m - start);
            advance(&mut piece, 1, start * n);
            advance(&mut piece, 2, start * step);
            advance(&mut piece, 5, start * n);
            split(piece, most, out);
        }
        return;
    }
    // One row: the sum in several parts, each starting from the last one's result.
    let part = share(most, u64::from(n), k);
    if part == k {
        out.push(record);
        return;
    }
    let step = if record.has(flags::TRANSPOSE_A) {
        record.words[13]
    } else {
        1
    };
    for start in (0..k).step_by(part as usize) {
        let length = part.min(k - start);
        let mut piece = record;
        piece.words[8] = length;
        advance(&mut piece, 2, start * step);
        advance(&mut piece, 3, start * n);
        if start > 0 {
            piece.words[0] |= flags::ACCUMULATE;
            piece.words[4] = Operand::NONE.0;
            piece.words[12] = 0;
        }
        if start + length < k {
            // Activation and epilogue belong to the whole sum.
            piece.words[0] &= !0xFF00;
            piece.words[5] = Operand::NONE.0;
            piece.words[14] = 0;
        }
        out.push(piece);
    }
}

/// Splits a count; the operands `moved` step with it.
fn split_range(record: Record, most: u64, count: usize, each: u64, moved: &[usize], out: &mut Vec<Record>) {
    let size = record.words[count];
    let part = share(most, each, size);
    for start in (0..size).step_by(part as usize) {
        let mut piece = record;
        piece.words[count] = part.min(size - start);
        for &word in moved {
            advance(&mut piece, word, start);
        }
        out.push(piece);
    }
}

/// Splits the outermost loop of a strided elementwise record that has more than one position.
fn split_loops(record: Record, most: u64, first_dim: usize, loops: usize, operands: usize, out: &mut Vec<Record>) {
    let dims = &record.words[first_dim..first_dim + loops];
    let Some(level) = dims.iter().position(|&size| size > 1) else {
        out.push(record);
        return;
    };
    let inner: u32 = dims[level + 1..].iter().product();
    let size = dims[level];
    let part = share(most, u64::from(inner), size);
    for start in (0..size).step_by(part as usize) {
        let mut piece = record;
        piece.words[first_dim + level] = part.min(size - start);
        advance(&mut piece, 1, start * inner);
        for operand in 0..operands {
            let stride = record.words[7 + operand * loops + level];
            advance(&mut piece, 2 + operand, start * stride);
        }
        split(piece, most, out);
    }
}

fn split_reduce(record: Record, most: u64, out: &mut Vec<Record>) {
    let [outer, reduced, inner] = [3, 4, 5].map(|word| record.words[word]);
    if outer > 1 {
        let part = share(most, u64::from(reduced) * u64::from(inner), outer);
        for start in (0..outer).step_by(part as usize) {
            let mut piece = record;
            piece.words[3] = part.min(outer - start);
            advance(&mut piece, 1, start * inner);
            advance(&mut piece, 2, start * reduced * inner);
            split(piece, most, out);
        }
        return;
    }
    let part = share(most, u64::from(inner), reduced);
    // The factor belongs to the whole sum and an accumulating record has none.
    if part == reduced || record.words[6] != 1.0_f32.to_bits() {
        out.push(record);
        return;
    }
    for start in (0..reduced).step_by(part as usize) {
        let mut piece = record;
        piece.words[4] = part.min(reduced - start);
        advance(&mut piece, 2, start * inner);
        if start > 0 {
            piece.words[0] |= flags::ACCUMULATE;
        }
        out.push(piece);
    }
}

fn split_copy(record: Record, most: u64, out: &mut Vec<Record>) {
    let dims = &record.words[3..7];
    let Some(level) = dims.iter().position(|&size| size > 1) else {
        out.push(record);
        return;
    };
    let inner: u32 = dims[level + 1..].iter().product();
    let size = dims[level];
    let part = share(most, u64::from(inner), size);
    for start in (0..size).step_by(part as usize) {
        let mut piece = record;
        piece.words[3 + level] = part.min(size - start);
        advance(&mut piece, 1, start * record.words[7 + level]);
        advance(&mut piece, 2, start * record.words[11 + level]);
        split(piece, most, out);
    }
}
