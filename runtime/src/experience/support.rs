//! The support set: a ring of rows in the caller's memory.

use crate::image::{AdaptationSpec, FieldKind, Objective};

use super::End;

/// Values a policy-gradient row holds beyond the fields of the chunk: reward and clock.
const EXTRAS: usize = 2;

/// Where in a row things are. A row is the fields of a chunk in their order, then for policy gradients the reward and
/// the clock (step in the episode plus one, negative at the last step).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowLayout {
    /// Supervised: the input.
    pub(crate) observation: Span,
    /// Supervised: the target.
    pub(crate) action: Span,
    pub(crate) log_probability: usize,
    pub(crate) advantage: usize,
    pub(crate) reward: usize,
    pub(crate) clock: usize,
    /// Values in a whole row.
    pub(crate) stride: usize,
}

/// A field's place in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) width: usize,
}

impl Span {
    pub(crate) fn of<'r>(&self, row: &'r [f32]) -> &'r [f32] {
        row.get(self.start..)
            .and_then(|rest| rest.get(..self.width))
            .unwrap_or(&[])
    }

    pub(crate) fn of_mut<'r>(&self, row: &'r mut [f32]) -> &'r mut [f32] {
        row.get_mut(self.start..)
            .and_then(|rest| rest.get_mut(..self.width))
            .unwrap_or(&mut [])
    }
}

/// Values in a row of the ring, from those in a row of a chunk.
pub(crate) const fn row_stride(row_width: usize, objective: Objective) -> usize {
    match objective {
        Objective::Supervised => row_width,
        Objective::PolicyGradient => row_width + EXTRAS,
    }
}

impl RowLayout {
    /// `None` unless the row has exactly the fields of its objective, each once and in any order, with these widths.
    pub(crate) fn new(spec: &AdaptationSpec, observations: usize, actions: usize) -> Option<Self> {
        let objective = spec.objective()?;
        let width = spec.row_width() as usize;
        let find = |kind: FieldKind, wanted: usize| {
            let mut start = 0;
            let mut found = None;
            for field in spec.fields() {
                if field.field_kind() == Some(kind) {
                    // A field that stands there twice is refused.
                    if found.is_some() || field.width as usize != wanted {
                        return None;
                    }
                    found = Some(Span { start, width: wanted });
                }
                start += field.width as usize;
            }
            found
        };
        let mut layout = Self {
            observation: Span::default(),
            action: Span::default(),
            log_probability: 0,
            advantage: 0,
            reward: width,
            clock: width + 1,
            stride: row_stride(width, objective),
        };
        let fields = match objective {
            Objective::Supervised => {
                layout.observation = find(FieldKind::Input, observations)?;
                layout.action = find(FieldKind::Target, actions)?;
                2
            }
            Objective::PolicyGradient => {
                layout.observation = find(FieldKind::Observation, observations)?;
                layout.action = find(FieldKind::Action, actions)?;
                layout.log_probability = find(FieldKind::LogProbability, 1)?.start;
                layout.advantage = find(FieldKind::Advantage, 1)?.start;
                4
            }
        };
        (spec.fields().len() == fields).then_some(layout)
    }
}

/// One value of a row; 0 where there is none.
pub(crate) fn value(row: &[f32], index: usize) -> f32 {
    row.get(index).copied().unwrap_or(0.0)
}

/// Sets one value of a row.
pub(crate) fn set(row: &mut [f32], index: usize, value: f32) {
    if let Some(place) = row.get_mut(index) {
        *place = value;
    }
}

/// The clock of a row.
pub(crate) fn clock(step: u32, end: End) -> f32 {
    let clock = step as f32 + 1.0;
    if end.is_last() { -clock } else { clock }
}

/// Step in the episode, and whether the trajectory goes on, from the clock of a row.
pub(crate) fn read_clock(clock: f32) -> (u32, End) {
    let end = if clock < 0.0 { End::Truncated } else { End::Continue };
    ((clock.abs() - 1.0) as u32, end)
}

/// A ring of rows: when it is full the oldest goes.
pub(crate) struct Support<'m> {
    values: &'m mut [f32],
    stride: usize,
    capacity: usize,
    /// Slot of the oldest row.
    first: usize,
    len: usize,
    /// Rows that came since the ring was cleared.
    arrivals: u32,
}

impl<'m> Support<'m> {
    /// As many rows as fit.
    pub(crate) fn new(values: &'m mut [f32], stride: usize) -> Self {
        let capacity = values.len().checked_div(stride).unwrap_or(0);
        Self {
            values,
            stride,
            capacity,
            first: 0,
            len: 0,
            arrivals: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    pub(crate) fn clear(&mut self) {
        (self.first, self.len, self.arrivals) = (0, 0, 0);
    }

    /// Drops the newest rows.
    pub(crate) fn drop_newest(&mut self, rows: usize) {
        let rows = rows.min(self.len);
        self.len -= rows;
        self.arrivals = self.arrivals.wrapping_sub(rows as u32);
    }

    /// How many rows came before row `index` since the ring was cleared: a number that stays with a row while others
    /// go.
    pub(crate) fn arrival(&self, index: usize) -> u32 {
        self.arrivals.wrapping_sub(self.len as u32).wrapping_add(index as u32)
    }

    fn start(&self, index: usize) -> usize {
        let slot = self.first + index;
        (if slot >= self.capacity {
            slot - self.capacity
        } else {
            slot
        }) * self.stride
    }

    /// Row `index`, 0 being the oldest; empty past the end.
    pub(crate) fn row(&self, index: usize) -> &[f32] {
        let start = self.start(index);
        if index >= self.len {
            return &[];
        }
        self.values
            .get(start..)
            .and_then(|rest| rest.get(..self.stride))
            .unwrap_or(&[])
    }

    /// As [`row`](Self::row), to write.
    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [f32] {
        let start = self.start(index);
        if index >= self.len {
            return &mut [];
        }
        self.values
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..self.stride))
            .unwrap_or(&mut [])
    }

    /// Room for the newest row; its old contents are another row's.
    pub(crate) fn push(&mut self) -> &mut [f32] {
        if self.len == self.capacity {
            self.first = if self.first + 1 >= self.capacity {
                0
            } else {
                self.first + 1
            };
        } else {
            self.len += 1;
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        self.row_mut(self.len.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_row_goes() {
        let mut memory = [0.0; 7];
        let mut ring = Support::new(&mut memory, 2);
        for value in 0..5 {
            ring.push().fill(value as f32);
        }
        assert_eq!(ring.len(), 3);
        for (index, value) in [2.0, 3.0, 4.0].into_iter().enumerate() {
            assert_eq!(ring.row(index), [value; 2]);
            assert_eq!(ring.arrival(index), value as u32);
        }
        assert!(ring.row(3).is_empty());
        ring.drop_newest(1);
        ring.push().fill(9.0);
        assert_eq!((ring.row(2)[0], ring.arrival(2)), (9.0, 4));
    }

    /// What is not there reads as nothing, and writing it changes nothing.
    #[test]
    fn past_the_end_there_is_nothing() {
        let mut memory = [7.0; 6];
        let mut ring = Support::new(&mut memory, 3);
        assert!(ring.row(0).is_empty() && ring.row_mut(0).is_empty());
        ring.push().fill(1.0);
        assert!(ring.row_mut(1).is_empty());
        set(ring.row_mut(0), 3, 9.0);
        assert_eq!((ring.row(0), value(ring.row(0), 3)), (&[1.0; 3][..], 0.0));
        ring.drop_newest(5);
        assert_eq!((ring.len(), ring.arrival(0)), (0, 0));
        assert!(Support::new(&mut [1.0; 4], 0).row(0).is_empty());
    }

    #[test]
    fn clocks_come_back() {
        for (step, end) in [
            (0, End::Continue),
            (0, End::Truncated),
            (99, End::Continue),
            (16_000_000, End::Truncated),
        ] {
            assert_eq!(read_clock(clock(step, end)), (step, end));
        }
    }
}
