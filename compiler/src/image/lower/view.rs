//! Strided views: how a value lies in the buffer that holds it.

use smallvec::SmallVec;

/// A region of memory known to the lowering: an input, an output, a constant or scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BufferId(pub(crate) u32);

impl BufferId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One dimension of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dim {
    /// Number of positions.
    pub(crate) size: usize,
    /// Distance between neighbours, in elements; 0 repeats one element.
    pub(crate) stride: usize,
}

/// Dimensions, outermost first.
pub(crate) type Dims = SmallVec<[Dim; 4]>;

/// A value: element `index` lies at `offset + sum(index[d] * dims[d].stride)` of the buffer.
///
/// Dimensions of one position always have stride 0, so that two views of the same elements compare equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) buffer: BufferId,
    pub(crate) offset: usize,
    pub(crate) dims: Dims,
}

/// Row-major strides of `shape`, 0 for dimensions of one position.
pub(crate) fn dense_dims(shape: &[usize]) -> Dims {
    let mut stride = 1;
    let mut dims: Dims = shape
        .iter()
        .rev()
        .map(|&size| {
            let dim = Dim {
                size,
                stride: if size == 1 { 0 } else { stride },
            };
            stride *= size;
            dim
        })
        .collect();
    dims.reverse();
    dims
}

impl View {
    /// The whole of a buffer, row-major.
    pub(crate) fn dense(buffer: BufferId, shape: &[usize]) -> Self {
        Self {
            buffer,
            offset: 0,
            dims: dense_dims(shape),
        }
    }

    /// One element repeated.
    pub(crate) fn splat(buffer: BufferId, offset: usize, shape: &[usize]) -> Self {
        Self {
            buffer,
            offset,
            dims: shape.iter().map(|&size| Dim { size, stride: 0 }).collect(),
        }
    }

    pub(crate) fn shape(&self) -> SmallVec<[usize; 4]> {
        self.dims.iter().map(|d| d.size).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.dims.iter().map(|d| d.size).product()
    }

    /// Elements from the first to the last one touched, both included.
    pub(crate) fn extent(&self) -> usize {
        if self.len() == 0 {
            return 0;
        }
        1 + self.dims.iter().map(|d| (d.size - 1) * d.stride).sum::<usize>()
    }

    /// Row-major without gaps or repeats.
    pub(crate) fn is_dense(&self) -> bool {
        let mut expected = 1;
        for dim in self.dims.iter().rev() {
            if dim.size != 1 && dim.stride != expected {
                return false;
            }
            expected *= dim.size;
        }
        true
    }

    /// Without gaps once repeats are taken out and the dimensions are put in the order of their strides.
    pub(crate) fn is_compact(&self) -> bool {
        let mut dims: Dims = self.dims.iter().copied().filter(|d| d.stride != 0).collect();
        dims.sort_unstable_by_key(|d| d.stride);
        let mut expected = 1;
        dims.iter().all(|d| {
            let fits = d.stride == expected;
            expected *= d.size;
            fits
        })
    }

    pub(crate) fn transpose(&self, permutation: &[usize]) -> Self {
        Self {
            buffer: self.buffer,
            offset: self.offset,
            dims: permutation.iter().map(|&axis| self.dims[axis]).collect(),
        }
    }

    /// The last two dimensions the other way round.
    pub(crate) fn swap_matrix(&self) -> Self {
        let mut view = self.clone();
        let rank = view.dims.len();
        view.dims.swap(rank - 1, rank - 2);
        view
    }

    pub(crate) fn slice(&self, axis: usize, start: usize, length: usize) -> Self {
        let mut view = self.clone();
        view.offset += start * view.dims[axis].stride;
        view.dims[axis].size = length;
        if length <= 1 {
            view.dims[axis].stride = 0;
        }
        view
    }

    /// Broadcast as NumPy does: dimensions are added in front, dimensions of one position repeat.
    pub(crate) fn broadcast(&self, shape: &[usize]) -> Self {
        let added = shape.len() - self.dims.len();
        let dims = shape
            .iter()
            .enumerate()
            .map(|(axis, &size)| match axis.checked_sub(added) {
                Some(own) if self.dims[own].size == size => self.dims[own],
                _ => Dim { size, stride: 0 },
            })
            .collect();
        Self {
            buffer: self.buffer,
            offset: self.offset,
            dims,
        }
    }

    /// The same elements in another shape, if strides can express it.
    pub(crate) fn reshape(&self, shape: &[usize]) -> Option<Self> {
        if self.len() == 0 {
            return Some(Self {
                buffer: self.buffer,
                offset: self.offset,
                dims: dense_dims(shape),
            });
        }
        let old: Dims = self.dims.iter().copied().filter(|d| d.size != 1).collect();
        let mut dims: Dims = shape.iter().map(|&size| Dim { size, stride: 0 }).collect();
        let (mut from, mut to) = (0, 0);
        while from < old.len() {
            while shape[to] == 1 {
                to += 1;
            }
            // The smallest groups of old and new dimensions that hold the same number of elements.
            let (first_from, first_to) = (from, to);
            let (mut have, mut want) = (old[from].size, shape[to]);
            from += 1;
            to += 1;
            while have != want {
                if have < want {
                    have *= old[from].size;
                    from += 1;
                } else {
                    want *= shape[to];
                    to += 1;
                }
            }
            // Within a group, the old dimensions have to lie one inside the other.
            for pair in old[first_from..from].windows(2) {
                if pair[0].stride != pair[1].stride * pair[1].size {
                    return None;
                }
            }
            let mut stride = old[from - 1].stride;
            for dim in dims[first_to..to].iter_mut().rev() {
                if dim.size != 1 {
                    dim.stride = stride;
                    stride *= dim.size;
                }
            }
        }
        Some(Self {
            buffer: self.buffer,
            offset: self.offset,
            dims,
        })
    }
}

/// Loops over several views of one shape at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loop<const N: usize> {
    pub(crate) size: usize,
    pub(crate) strides: [usize; N],
}

/// Merges neighbouring loops where every view steps through both as through one, and drops loops of one position.
pub(crate) fn collapse<const N: usize>(loops: impl IntoIterator<Item = Loop<N>>) -> SmallVec<[Loop<N>; 4]> {
    let mut merged: SmallVec<[Loop<N>; 4]> = SmallVec::new();
    for inner in loops {
        if inner.size == 1 {
            continue;
        }
        match merged.last_mut() {
            Some(outer) if (0..N).all(|v| outer.strides[v] == inner.strides[v] * inner.size) => {
                outer.size *= inner.size;
                outer.strides = inner.strides;
            }
            _ => merged.push(inner),
        }
    }
    merged
}

/// Every combination of positions of `loops`, as the offset each view has there, row-major.
pub(crate) fn offsets<const N: usize>(loops: &[Loop<N>]) -> Vec<[usize; N]> {
    let mut all = vec![[0; N]];
    for level in loops {
        all = all
            .iter()
            .flat_map(|base| (0..level.size).map(move |i| std::array::from_fn(|v| base[v] + i * level.strides[v])))
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize]) -> View {
        View::dense(BufferId(0), shape)
    }

    #[test]
    fn reshape_of_a_transpose_needs_a_copy_only_where_groups_are_torn() {
        let transposed = view(&[2, 3, 4]).transpose(&[1, 0, 2]);
        assert!(transposed.reshape(&[6, 4]).is_none());
        let split = transposed.reshape(&[3, 2, 2, 2]).unwrap();
        assert_eq!(split.dims.iter().map(|d| d.stride).collect::<Vec<_>>(), [4, 12, 2, 1]);
        assert!(view(&[2, 3, 4]).reshape(&[4, 6]).unwrap().is_dense());
        assert_eq!(view(&[1, 4]).reshape(&[4, 1]).unwrap().shape().as_slice(), [4, 1]);
    }

    #[test]
    fn a_broadcast_view_is_compact_but_not_dense() {
        let wide = view(&[3]).broadcast(&[2, 3]);
        assert!(!wide.is_dense());
        assert!(wide.is_compact());
        assert_eq!(wide.extent(), 3);
        let gap = view(&[4, 4]).slice(1, 1, 2);
        assert!(!gap.is_compact());
        assert_eq!((gap.offset, gap.extent()), (1, 14));
    }

    #[test]
    fn loops_collapse_where_both_views_agree() {
        let dense = Loop {
            size: 2,
            strides: [12, 0],
        };
        let merged = collapse([
            dense,
            Loop {
                size: 3,
                strides: [4, 4],
            },
            Loop {
                size: 4,
                strides: [1, 1],
            },
        ]);
        assert_eq!(merged.len(), 2);
        assert_eq!(merged[1].size, 12);
        assert_eq!(offsets(&merged[..1]), [[0, 0], [12, 0]]);
    }
}
