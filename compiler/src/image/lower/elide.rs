//! Removes copies by letting the producer of a value write it where the copy would put it.

use std::collections::HashMap;

use pliant_runtime::image::record::{Opcode, Space};

use super::program::{Home, Program, Span};
use super::view::BufferId;

/// Memory in which places can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Region {
    Scratch(BufferId),
    Space(Space),
}

/// A stretch of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) region: Region,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Place {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.region == other.region && self.start < other.start + other.len && other.start < self.start + self.len
    }
}

impl Program<'_> {
    /// Where a span lies.
    pub(super) fn place(&self, span: &Span) -> Place {
        let (root, shift) = self.root(span.buffer);
        match self.buffers[root.index()].home {
            Home::Fixed { space, offset } => Place {
                region: Region::Space(space),
                start: offset + shift + span.offset,
                len: span.len,
            },
            _ => Place {
                region: Region::Scratch(root),
                start: shift + span.offset,
                len: span.len,
            },
        }
    }

    /// Whether a step is a plain copy of all of one scratch buffer to a contiguous place, and from which buffer.
    fn copies_whole_buffer(&self, index: usize) -> Option<BufferId> {
        let step = &self.steps[index];
        if step.record.opcode() != Some(Opcode::Copy) || step.keeps_output {
            return None;
        }
        let read = step.reads.first()?;
        let words = &step.record.words;
        // Both sides row-major: the collapsed copy is one loop of stride one.
        let one_loop =
            words[3..6].iter().all(|&size| size == 1) && (words[6] == 1 || (words[10] == 1 && words[14] == 1));
        let buffer = &self.buffers[read.span.buffer.index()];
        let whole = read.span.offset == 0 && read.span.len == buffer.len;
        (one_loop && whole && buffer.home == Home::Arena).then_some(read.span.buffer)
    }

    /// Lets producers write straight into the destination of copies, where nothing can tell the difference: the
    /// destination is not touched between the first write of the value and the copy (except that the first write may
    /// read, in place, what was there), nor overwritten later while the value is still read.
    pub(crate) fn elide_copies(&mut self) {
        let mut accesses: HashMap<Region, Vec<Access>> = HashMap::new();
        for (position, step) in self.steps.iter().enumerate() {
            for read in &step.reads {
                let place = self.place(&read.span);
                if place.region != Region::Space(Space::Const) && place.region != Region::Space(Space::Input) {
                    let kind = Kind::Read {
                        aliasable: read.aliasable,
                    };
                    accesses
                        .entry(place.region)
                        .or_default()
                        .push(Access { position, place, kind });
                }
            }
            let place = self.place(&step.out);
            let kind = Kind::Write {
                keeps: step.keeps_output,
            };
            accesses
                .entry(place.region)
                .or_default()
                .push(Access { position, place, kind });
        }

        let mut removed = vec![false; self.steps.len()];
        for position in 0..self.steps.len() {
            let Some(source) = self.copies_whole_buffer(position) else {
                continue;
            };
            let target = self.place(&self.steps[position].out);
            let from = Region::Scratch(source);
            if target.region == from {
                continue;
            }
            let moved = accesses.get(&from).map(Vec::as_slice).unwrap_or_default();
            let existing = accesses.get(&target.region).map(Vec::as_slice).unwrap_or_default();
            if !may_merge(moved, existing, &target, position) {
                continue;
            }
            removed[position] = true;
            let span = self.steps[position].out;
            self.buffers[source.index()].home = Home::Within {
                parent: span.buffer,
                offset: span.offset,
            };
            let mut moved = accesses.remove(&from).unwrap_or_default();
            moved.retain(|access| access.position != position);
            for access in &mut moved {
                access.place.region = target.region;
                access.place.start += target.start;
            }
            let list = accesses.entry(target.region).or_default();
            list.retain(|access| access.position != position);
            list.append(&mut moved);
        }
        let mut index = 0;
        self.steps.retain(|_| {
            index += 1;
            !removed[index - 1]
        });
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Read { aliasable: bool },
    Write { keeps: bool },
}

#[derive(Clone, Copy, Debug)]
struct Access {
    position: usize,
    place: Place,
    kind: Kind,
}

/// Whether the buffer with accesses `moved` may live at `target` (with accesses `existing`) instead of being copied
/// there by the step at `copy`.
fn may_merge(moved: &[Access], existing: &[Access], target: &Place, copy: usize) -> bool {
    let Some(first) = moved
        .iter()
        .filter(|a| matches!(a.kind, Kind::Write { .. }))
        .map(|a| a.position)
        .min()
    else {
        return false;
    };
    let last = moved.iter().map(|a| a.position).max().unwrap_or(first);
    existing
        .iter()
        .filter(|a| a.position != copy && a.place.overlaps(target))
        .all(|a| {
            if a.position < first {
                return true;
            }
            match a.kind {
                Kind::Read { aliasable } => {
                    let exact = a.place.start == target.start && a.place.len == target.len;
                    let writes_all = || {
                        moved.iter().any(|m| {
                            m.position == first
                                && matches!(m.kind, Kind::Write { keeps: false })
                                && m.place.len == target.len
                        })
                    };
                    a.position > copy || (a.position == first && aliasable && exact && writes_all())
                }
                Kind::Write { .. } => a.position > copy && a.position > last,
            }
        })
}
