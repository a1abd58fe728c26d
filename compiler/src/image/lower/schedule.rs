//! Moves steps that free more memory than they take to the earliest place they can run.
//!
//! A graph computes all gradients and only then adds them to their accumulators; in that order every factor of every
//! gradient lives to the end. A step is moved as soon as it is the last reader of something larger than its output.

use std::collections::HashMap;

use super::elide::{Place, Region};
use super::program::Program;
use super::view::BufferId;
use pliant_runtime::image::record::Space;

/// What the order of steps has to keep, and what it costs.
struct Order {
    /// Steps that have to come after each step.
    after: Vec<Vec<u32>>,
    /// How many steps that have to come before each are still missing.
    missing: Vec<u32>,
    /// Scratch buffers each step touches, once each; the written one first.
    touched: Vec<Vec<BufferId>>,
    /// Whether the first touched buffer is written.
    writes_scratch: Vec<bool>,
    /// The steps that touch each scratch buffer.
    touching: HashMap<BufferId, Vec<u32>>,
}

impl Program<'_> {
    /// Reorders the steps; their results stay the same.
    pub(super) fn schedule(&mut self) {
        let mut order = self.dependencies();
        let mut remaining: HashMap<BufferId, usize> = order
            .touching
            .iter()
            .map(|(&buffer, steps)| (buffer, steps.len()))
            .collect();
        let mut live: HashMap<BufferId, bool> = HashMap::new();
        let mut done = vec![false; self.steps.len()];
        let mut sequence: Vec<u32> = Vec::with_capacity(self.steps.len());
        let mut candidates: Vec<u32> = Vec::new();
        for step in 0..self.steps.len() {
            candidates.push(step as u32);
            let mut forced = true;
            while let Some(index) = candidates.pop() {
                let at = index as usize;
                if done[at] || order.missing[at] > 0 {
                    continue;
                }
                if !forced && self.growth(at, &order, &remaining, &live) >= 0 {
                    continue;
                }
                forced = false;
                done[at] = true;
                sequence.push(index);
                for &next in &order.after[at] {
                    order.missing[next as usize] -= 1;
                }
                if order.writes_scratch[at] {
                    live.insert(order.touched[at][0], true);
                }
                // What became possible, or became the last reader. The earliest is tried first.
                let first = candidates.len();
                for buffer in &order.touched[at] {
                    if let Some(count) = remaining.get_mut(buffer) {
                        *count -= 1;
                        if *count == 1 {
                            candidates.extend(order.touching[buffer].iter().filter(|&&s| !done[s as usize]));
                        }
                    }
                }
                candidates.extend(
                    order.after[at]
                        .iter()
                        .filter(|&&next| order.missing[next as usize] == 0),
                );
                candidates[first..].sort_unstable_by_key(|&s| std::cmp::Reverse(s));
            }
        }
        let mut steps: Vec<Option<_>> = std::mem::take(&mut self.steps).into_iter().map(Some).collect();
        self.steps = sequence
            .iter()
            .filter_map(|&index| steps[index as usize].take())
            .collect();
    }

    /// Elements of scratch that are in use after a step more than before.
    fn growth(
        &self,
        step: usize,
        order: &Order,
        remaining: &HashMap<BufferId, usize>,
        live: &HashMap<BufferId, bool>,
    ) -> i64 {
        let mut growth = 0;
        for (position, buffer) in order.touched[step].iter().enumerate() {
            let len = self.buffers[buffer.index()].len as i64;
            let written = position == 0 && order.writes_scratch[step];
            if written && !live.contains_key(buffer) {
                growth += len;
            } else if remaining.get(buffer) == Some(&1) {
                growth -= len;
            }
        }
        growth
    }

    fn dependencies(&self) -> Order {
        struct Access {
            step: u32,
            place: Place,
            write: bool,
        }
        let count = self.steps.len();
        let mut order = Order {
            after: vec![Vec::new(); count],
            missing: vec![0; count],
            touched: vec![Vec::new(); count],
            writes_scratch: vec![false; count],
            touching: HashMap::new(),
        };
        let mut accesses: HashMap<Region, Vec<Access>> = HashMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            let out = (self.place(&step.out), true);
            let reads = step.reads.iter().map(|read| (self.place(&read.span), false));
            for (place, write) in std::iter::once(out).chain(reads) {
                if let Region::Scratch(root) = place.region
                    && !order.touched[index].contains(&root)
                {
                    order.touched[index].push(root);
                    order.touching.entry(root).or_default().push(index as u32);
                    order.writes_scratch[index] |= write;
                }
                if matches!(place.region, Region::Space(Space::Const | Space::Input | Space::Bank)) {
                    continue;
                }
                let list = accesses.entry(place.region).or_default();
                for earlier in list.iter().rev() {
                    let conflict = (write || earlier.write) && earlier.step != index as u32;
                    if conflict && earlier.place.overlaps(&place) {
                        order.after[earlier.step as usize].push(index as u32);
                        order.missing[index] += 1;
                    }
                }
                list.push(Access {
                    step: index as u32,
                    place,
                    write,
                });
            }
        }
        order
    }
}
