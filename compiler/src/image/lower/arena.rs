//! Places scratch buffers in the arena: in place where an operand dies, otherwise by liveness.

use std::collections::HashMap;

use super::chain::may_chain;
use super::elide::Region;
use super::program::{Home, Program};
use super::view::BufferId;

/// Most buffers for which the slower, tighter placement is tried too.
const MOST_FOR_BY_SIZE: usize = 2048;

/// Offsets of scratch buffers, and the size of the arena.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pub(super) offsets: HashMap<BufferId, usize>,
    pub(super) size: usize,
}

/// Buffers that share memory one after the other, from the first write to the last use.
#[derive(Clone, Copy, Debug)]
struct Slot {
    len: usize,
    first: usize,
    last: usize,
}

impl Program<'_> {
    /// Places every scratch buffer that is used, at multiples of `alignment` elements.
    pub(super) fn place_scratch(&self, alignment: usize, in_place: bool) -> Arena {
        let mut lives: HashMap<BufferId, (usize, usize)> = HashMap::new();
        for (position, step) in self.steps.iter().enumerate() {
            for span in step.reads.iter().map(|read| &read.span).chain([&step.out]) {
                if let Region::Scratch(root) = self.place(span).region {
                    lives.entry(root).or_insert((position, position)).1 = position;
                }
            }
        }

        // Which slot each buffer is in; a buffer joins the slot of an operand that dies where it is first written.
        let mut slots: Vec<Slot> = Vec::new();
        let mut slot_of: HashMap<BufferId, usize> = HashMap::new();
        for (position, step) in self.steps.iter().enumerate() {
            let out = self.place(&step.out);
            let Region::Scratch(root) = out.region else { continue };
            if slot_of.contains_key(&root) {
                continue;
            }
            let len = self.buffers[root.index()].len;
            let (first, last) = lives[&root];
            let whole = out.start == 0 && out.len == len && !step.keeps_output && first == position;
            let dying = step.reads.iter().find_map(|read| {
                let place = self.place(&read.span);
                let Region::Scratch(operand) = place.region else {
                    return None;
                };
                let fits = whole
                    && in_place
                    && !(self.chain && may_chain(&step.record))
                    && self.buffers[operand.index()].len == len
                    && lives[&operand].1 == position
                    && step.reads.iter().all(|other| {
                        let other_place = self.place(&other.span);
                        other_place.region != place.region
                            || (other.aliasable && other_place.start == 0 && other_place.len == len)
                    });
                fits.then(|| slot_of.get(&operand).copied()).flatten()
            });
            let slot = dying.unwrap_or_else(|| {
                slots.push(Slot { len, first, last });
                slots.len() - 1
            });
            slots[slot].last = slots[slot].last.max(last);
            slot_of.insert(root, slot);
        }

        let (mut starts, mut size) = in_order(&slots, alignment, self.steps.len());
        if slots.len() <= MOST_FOR_BY_SIZE {
            let (other, other_size) = by_size(&slots, alignment);
            if other_size < size {
                (starts, size) = (other, other_size);
            }
        }
        Arena {
            offsets: slot_of
                .into_iter()
                .map(|(buffer, slot)| (buffer, starts[slot]))
                .collect(),
            size,
        }
    }

    /// Length of the arena's contents if nothing shared memory: an upper bound for reports.
    pub(super) fn scratch_total(&self) -> usize {
        self.buffers
            .iter()
            .filter(|buffer| buffer.home == Home::Arena)
            .map(|buffer| buffer.len)
            .sum()
    }
}

/// Best fit in the order of first use, as an allocator would.
fn in_order(slots: &[Slot], alignment: usize, steps: usize) -> (Vec<usize>, usize) {
    let mut starting: Vec<Vec<usize>> = vec![Vec::new(); steps];
    let mut ending: Vec<Vec<usize>> = vec![Vec::new(); steps];
    for (index, slot) in slots.iter().enumerate() {
        starting[slot.first].push(index);
        ending[slot.last].push(index);
    }
    let mut starts = vec![0; slots.len()];
    // Free stretches below `size`, by offset.
    let mut free: Vec<(usize, usize)> = Vec::new();
    let mut size = 0;
    for position in 0..steps {
        for &index in &starting[position] {
            let len = slots[index].len.next_multiple_of(alignment);
            let best = (0..free.len())
                .filter(|&hole| free[hole].1 >= len)
                .min_by_key(|&hole| (free[hole].1, free[hole].0));
            starts[index] = match best {
                Some(hole) => {
                    let (offset, room) = free[hole];
                    if room == len {
                        free.remove(hole);
                    } else {
                        free[hole] = (offset + len, room - len);
                    }
                    offset
                }
                None => {
                    // Grow; a hole at the very end is part of the new block.
                    let offset = match free.last().copied() {
                        Some((offset, room)) if offset + room == size => {
                            free.pop();
                            offset
                        }
                        _ => size,
                    };
                    size = offset + len;
                    offset
                }
            };
        }
        for &index in &ending[position] {
            let (offset, len) = (starts[index], slots[index].len.next_multiple_of(alignment));
            if len == 0 {
                continue;
            }
            let at = free.partition_point(|&(other, _)| other < offset);
            free.insert(at, (offset, len));
            if at + 1 < free.len() && free[at].0 + free[at].1 == free[at + 1].0 {
                free[at].1 += free[at + 1].1;
                free.remove(at + 1);
            }
            if at > 0 && free[at - 1].0 + free[at - 1].1 == free[at].0 {
                free[at - 1].1 += free[at].1;
                free.remove(at);
            }
        }
    }
    (starts, size)
}

/// The largest first, each at the lowest offset that is free over its whole life.
fn by_size(slots: &[Slot], alignment: usize) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(slots[index].len), slots[index].first));
    let mut starts = vec![0; slots.len()];
    // Placed slots by offset.
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for index in order {
        let slot = slots[index];
        let len = slot.len.next_multiple_of(alignment);
        let mut offset = 0;
        for &other in &placed {
            let o = slots[other];
            if o.first <= slot.last && slot.first <= o.last {
                if starts[other] >= offset + len {
                    break;
                }
                offset = offset.max(starts[other] + o.len.next_multiple_of(alignment));
            }
        }
        starts[index] = offset;
        let at = placed.partition_point(|&other| starts[other] < offset);
        placed.insert(at, index);
        size = size.max(offset + len);
    }
    (starts, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(len: usize, first: usize, last: usize) -> Slot {
        Slot { len, first, last }
    }

    fn disjoint(slots: &[Slot], starts: &[usize]) -> bool {
        (0..slots.len()).all(|a| {
            (0..a).all(|b| {
                let (x, y) = (slots[a], slots[b]);
                x.last < y.first || y.last < x.first || starts[a] + x.len <= starts[b] || starts[b] + y.len <= starts[a]
            })
        })
    }

    #[test]
    fn buffers_alive_together_never_overlap() {
        let mut seed = 1_u64;
        let mut next = move |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % below) as usize
        };
        for _ in 0..50 {
            let slots: Vec<Slot> = (0..40)
                .map(|_| {
                    let first = next(60);
                    slot(1 + next(30), first, (first + next(10)).min(59))
                })
                .collect();
            for alignment in [1, 16] {
                let (starts, size) = in_order(&slots, alignment, 60);
                assert!(disjoint(&slots, &starts));
                assert!(
                    slots
                        .iter()
                        .zip(&starts)
                        .all(|(s, start)| start + s.len <= size && start % alignment == 0)
                );
                let (starts, size) = by_size(&slots, alignment);
                assert!(disjoint(&slots, &starts));
                assert!(
                    slots
                        .iter()
                        .zip(&starts)
                        .all(|(s, start)| start + s.len <= size && start % alignment == 0)
                );
            }
        }
    }

    #[test]
    fn memory_is_reused_after_the_last_use() {
        let slots = [slot(10, 0, 1), slot(10, 2, 3), slot(5, 1, 2)];
        let (_, size) = in_order(&slots, 1, 4);
        assert_eq!(size, 15);
        assert_eq!(by_size(&slots, 1).1, 15);
    }
}
