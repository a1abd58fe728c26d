//! What lowering produces before memory is laid out: steps over buffers.

use std::collections::HashMap;

use pliant_runtime::image::record::{Record, Space};
use smallvec::SmallVec;

use super::view::{BufferId, View};
use crate::image::constants::ConstantPool;

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Scratch, placed by liveness.
    Arena,
    /// A place the bindings or the constant pool fixed.
    Fixed { space: Space, offset: usize },
    /// Part of another buffer, `offset` elements in.
    Within { parent: BufferId, offset: usize },
}

/// A region of memory known to the lowering.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    /// Length in elements.
    pub(crate) len: usize,
    pub(crate) home: Home,
}

/// The elements of a buffer that a step touches, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) buffer: BufferId,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Span {
    pub(crate) fn of(view: &View) -> Self {
        Self {
            buffer: view.buffer,
            offset: view.offset,
            len: view.extent(),
        }
    }
}

/// One operand of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// Which word of the record names it.
    pub(crate) word: usize,
    pub(crate) span: Span,
    /// The output may be written over it: element `i` is read before element `i` is written, and not again.
    pub(crate) aliasable: bool,
}

/// One record whose operands are not placed yet.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The record; operand words (1 and those in `reads`) are filled in at the end.
    pub(crate) record: Record,
    pub(crate) out: Span,
    pub(crate) reads: SmallVec<[Read; 4]>,
    /// The old output is read too (accumulation, scatter, a strided copy into a larger buffer).
    pub(crate) keeps_output: bool,
}

/// Steps in order, and the buffers they use.
#[derive(Debug)]
pub(crate) struct Program<'p> {
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) steps: Vec<Step>,
    pub(crate) constants: &'p mut ConstantPool,
    /// Scratch counts more than speed.
    pub(crate) compact: bool,
    /// Small elementwise records become chains.
    pub(super) chain: bool,
    /// Dense copies already made of strided views.
    pub(super) dense_copies: HashMap<View, View>,
    /// The buffer that stands for each placed constant, by offset and length.
    pub(super) constant_buffers: HashMap<(usize, usize), BufferId>,
}

impl<'p> Program<'p> {
    pub(crate) fn new(constants: &'p mut ConstantPool, compact: bool) -> Self {
        Self {
            buffers: Vec::new(),
            steps: Vec::new(),
            constants,
            compact,
            chain: false,
            dense_copies: HashMap::new(),
            constant_buffers: HashMap::new(),
        }
    }

    pub(crate) fn buffer(&mut self, len: usize, home: Home) -> BufferId {
        let id = BufferId(u32::try_from(self.buffers.len()).expect("fewer than 2^32 buffers"));
        self.buffers.push(Buffer { len, home });
        id
    }

    /// Scratch for a value of this shape, row-major.
    pub(crate) fn scratch(&mut self, shape: &[usize]) -> View {
        let buffer = self.buffer(shape.iter().product(), Home::Arena);
        View::dense(buffer, shape)
    }

    /// A constant: one element repeated where every element has the same bits.
    pub(crate) fn constant(&mut self, values: &[f32], shape: &[usize]) -> View {
        let uniform = values
            .first()
            .filter(|first| values.iter().all(|v| v.to_bits() == first.to_bits()));
        let stored = match uniform {
            Some(_) => &values[..1],
            None => values,
        };
        let offset = self.constants.insert(stored);
        let buffers = &mut self.buffers;
        let buffer = *self.constant_buffers.entry((offset, stored.len())).or_insert_with(|| {
            buffers.push(Buffer {
                len: stored.len(),
                home: Home::Fixed {
                    space: Space::Const,
                    offset,
                },
            });
            BufferId(buffers.len() as u32 - 1)
        });
        match uniform {
            Some(_) => View::splat(buffer, 0, shape),
            None => View::dense(buffer, shape),
        }
    }

    /// The elements of a constant view, row-major; `None` where the view is not of a constant.
    pub(crate) fn constant_values(&self, view: &View) -> Option<Vec<f32>> {
        let Home::Fixed {
            space: Space::Const,
            offset,
        } = self.buffers[view.buffer.index()].home
        else {
            return None;
        };
        let base = offset + view.offset;
        let loops: SmallVec<[super::view::Loop<1>; 4]> = view
            .dims
            .iter()
            .map(|d| super::view::Loop {
                size: d.size,
                strides: [d.stride],
            })
            .collect();
        let values = self.constants.values();
        Some(
            super::view::offsets(&loops)
                .into_iter()
                .map(|[o]| values[base + o])
                .collect(),
        )
    }

    /// The one value of a constant whose elements are all the same.
    pub(crate) fn uniform_value(&self, view: &View) -> Option<f32> {
        let Home::Fixed {
            space: Space::Const,
            offset,
        } = self.buffers[view.buffer.index()].home
        else {
            return None;
        };
        (view.len() > 0 && view.dims.iter().all(|d| d.stride == 0))
            .then(|| self.constants.values()[offset + view.offset])
    }

    /// The buffer at the end of a chain of [`Home::Within`], and the offset of `buffer` in it.
    pub(crate) fn root(&self, mut buffer: BufferId) -> (BufferId, usize) {
        let mut total = 0;
        while let Home::Within { parent, offset } = self.buffers[buffer.index()].home {
            total += offset;
            buffer = parent;
        }
        (buffer, total)
    }
}
