//! Matrix products with their bias, activation and epilogue.

use pliant_runtime::image::record::{Binary, Opcode, Operand, Unary, flags};
use smallvec::{SmallVec, smallvec};

use super::elementwise::{record, word};
use super::program::{Home, Program, Read, Span, Step};
use super::view::{Dims, Loop, View, collapse, offsets};

/// Most records one product may become before its operands are copied into a plain layout instead.
const MOST_RECORDS: usize = 64;

/// What is computed together with a matrix product.
#[derive(Clone, Debug, Default)]
pub(crate) struct MatMulExtras {
    /// Initial value of every row of the sum, of shape `[.., 1, n]` (leading dimensions broadcast).
    pub(crate) bias: Option<View>,
    /// Applied to the sum.
    pub(crate) activation: Option<Unary>,
    /// Applied to the activated sum and this operand, of the product's shape.
    pub(crate) epilogue: Option<(Binary, View)>,
    /// Where the product is added to what is there, instead of a new buffer. A dense view of the product's shape.
    pub(crate) accumulate: Option<View>,
}

/// How the left operand lies.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Rows { stride: usize },
    Columns { stride: usize },
}

impl Program<'_> {
    /// `a[.., m, k] x w[.., k, n]`, leading dimensions broadcast to those of `shape` (`[.., m, n]`).
    ///
    /// A transposed or row-strided `a` is read as it lies; a `w` that is not dense is copied first. Where scratch counts
    /// more than speed and it takes smaller copies, the transposed product is computed: the same sums.
    pub(crate) fn matmul(&mut self, a: &View, w: &View, extras: MatMulExtras, shape: &[usize]) -> View {
        if !(self.compact && extras.bias.is_none() && extras.accumulate.is_none() && !right_fits(w)) {
            return self.product(a, w, extras, shape);
        }
        let transposed = (w.swap_matrix(), a.swap_matrix());
        let epilogue = extras
            .epilogue
            .map(|(function, view)| (function, view.broadcast(shape).swap_matrix()));
        let mut copies = if right_fits(&transposed.1) { 0 } else { distinct(a) };
        if let Some((_, view)) = epilogue.as_ref().filter(|(_, view)| !view.is_dense()) {
            copies += view.len();
        }
        if copies >= distinct(w) {
            let epilogue = epilogue.map(|(function, view)| (function, view.swap_matrix()));
            return self.product(a, w, MatMulExtras { epilogue, ..extras }, shape);
        }
        let mut swapped = shape.to_vec();
        swapped.swap(shape.len() - 1, shape.len() - 2);
        let extras = MatMulExtras { epilogue, ..extras };
        self.product(&transposed.0, &transposed.1, extras, &swapped)
            .swap_matrix()
    }

    fn product(&mut self, a: &View, w: &View, extras: MatMulExtras, shape: &[usize]) -> View {
        let rank = shape.len();
        let leading = &shape[..rank - 2];
        let (mut m, n) = (shape[rank - 2], shape[rank - 1]);
        let k = a.dims[a.dims.len() - 1].size;
        let mut a = a.broadcast(&[leading, &[m, k]].concat());
        let mut w = w.broadcast(&[leading, &[k, n]].concat());
        let mut n = n;
        let mut bias = extras.bias.map(|view| view.broadcast(&[leading, &[1, n]].concat()));
        let epilogue = extras.epilogue.map(|(function, view)| {
            let full = view.broadcast(shape);
            (function, self.dense(&full))
        });

        // One column out of a transposed `a`: as a row times `a`'s own storage, the kernel runs along the columns.
        // Same sums in the same order, and a column is stored like a row.
        let (rows, columns) = (a.dims[rank - 2], a.dims[rank - 1]);
        if n == 1 && m > 1 && rows.stride == 1 && (k == 1 || columns.stride == m) && bias.is_none() {
            (a, w) = (w.swap_matrix(), a.swap_matrix());
            (m, n) = (1, m);
        }

        let mut left = left_layout(&a);
        if left.is_none() {
            a = self.copied(&a);
            left = left_layout(&a);
        }
        if left.is_none() {
            a = self.dense_matrices(&a);
            left = left_layout(&a);
        }
        let mut left = left.unwrap_or(Left::Rows { stride: k });
        if !right_fits(&w) {
            w = self.copied(&w);
            if !right_fits(&w) {
                w = self.dense_matrices(&w);
            }
        }
        if let Some(view) = bias.as_mut().filter(|view| n > 1 && view.dims[rank - 1].stride != 1) {
            *view = self.dense_matrices(view);
        }

        let loops_of = |a: &View, w: &View, bias: &Option<View>| {
            collapse((0..rank - 2).map(|d| Loop {
                size: leading[d],
                strides: [
                    a.dims[d].stride,
                    w.dims[d].stride,
                    bias.as_ref().map_or(0, |view| view.dims[d].stride),
                ],
            }))
        };
        let mut loops = loops_of(&a, &w, &bias);
        let many = |loops: &[Loop<3>]| loops.iter().rev().skip(1).map(|l| l.size).product::<usize>() > MOST_RECORDS;
        if loops.len() > 1 && many(&loops) {
            a = self.dense(&a);
            left = Left::Rows { stride: k };
            w = self.dense(&w);
            bias = bias.map(|view| self.dense(&view));
            loops = loops_of(&a, &w, &bias);
        }

        // Batches that share `w` are further rows of one product.
        if let (Some(inner), Left::Rows { stride }) = (loops.last(), left)
            && inner.strides[1] == 0
            && inner.strides[2] == 0
            && (m == 1 || inner.strides[0] == m * stride)
        {
            let row = if m == 1 { inner.strides[0] } else { stride };
            left = Left::Rows { stride: row };
            m *= inner.size;
            loops.pop();
        }

        let (batch, batch_strides) = loops.last().map_or((1, [0; 3]), |l| (l.size, l.strides));
        let outer = &loops[..loops.len().saturating_sub(1)];
        let product = batch * m * n;
        let total: usize = shape.iter().product();
        let target = match &extras.accumulate {
            Some(view) => view.clone(),
            None => {
                let buffer = self.buffer(total, Home::Arena);
                View::dense(buffer, shape)
            }
        };

        let mut flag = 0;
        if extras.accumulate.is_some() {
            flag |= flags::ACCUMULATE;
        }
        let row_stride = match left {
            Left::Rows { stride } => stride,
            Left::Columns { stride } => {
                flag |= flags::TRANSPOSE_A;
                stride
            }
        };
        let activation = extras.activation.unwrap_or(Unary::Identity);
        let mut template = record(Opcode::MatMul, activation as u8, flag);
        template.words[4] = Operand::NONE.0;
        template.words[5] = Operand::NONE.0;
        for (index, value) in [
            batch,
            m,
            k,
            n,
            batch_strides[0],
            batch_strides[1],
            batch_strides[2],
            row_stride,
        ]
        .into_iter()
        .enumerate()
        {
            template.words[6 + index] = word(value);
        }
        if let Some((function, _)) = &epilogue {
            template.words[14] = *function as u32;
        }
        let within = match left {
            Left::Rows { stride } => (m - 1) * stride + k,
            Left::Columns { stride } => (k - 1) * stride + m,
        };
        for (index, starts) in offsets(outer).into_iter().enumerate() {
            let read = |word: usize, view: &View, start: usize, stride: usize, len: usize| Read {
                word,
                span: Span {
                    buffer: view.buffer,
                    offset: view.offset + start,
                    len: (batch - 1) * stride + len,
                },
                aliasable: false,
            };
            let mut reads: SmallVec<[Read; 4]> = smallvec![
                read(2, &a, starts[0], batch_strides[0], within),
                read(3, &w, starts[1], batch_strides[1], k * n),
            ];
            if let Some(view) = &bias {
                reads.push(read(4, view, starts[2], batch_strides[2], n));
            }
            if let Some((_, view)) = &epilogue {
                reads.push(read(5, view, index * product, 0, product));
            }
            self.steps.push(Step {
                record: template,
                out: Span {
                    buffer: target.buffer,
                    offset: target.offset + index * product,
                    len: product,
                },
                reads,
                keeps_output: extras.accumulate.is_some(),
            });
        }
        target
    }

    /// The last two dimensions of `view` row-major without gaps; matrices repeated where they were repeated.
    fn dense_matrices(&mut self, view: &View) -> View {
        let split = view.dims.len() - 2;
        let axes: SmallVec<[usize; 4]> = (0..view.dims.len())
            .filter(|&d| d >= split || view.dims[d].stride != 0)
            .collect();
        let kept: Dims = axes.iter().map(|&d| view.dims[d]).collect();
        let copy = self.dense(&View {
            buffer: view.buffer,
            offset: view.offset,
            dims: kept,
        });
        let mut dims = view.dims.clone();
        for (position, &axis) in axes.iter().enumerate() {
            dims[axis].stride = copy.dims[position].stride;
        }
        View {
            buffer: copy.buffer,
            offset: copy.offset,
            dims,
        }
    }
}

/// Elements of a view, repeats counted once.
fn distinct(view: &View) -> usize {
    view.dims.iter().filter(|d| d.stride != 0).map(|d| d.size).product()
}

/// How the matrices of `a` lie, if a record can read them so.
fn left_layout(a: &View) -> Option<Left> {
    let (rows, columns) = (a.dims[a.dims.len() - 2], a.dims[a.dims.len() - 1]);
    if columns.size == 1 || columns.stride == 1 {
        // A row stride of zero (a repeated row) is as good as any other.
        Some(Left::Rows {
            stride: if rows.size == 1 { columns.size } else { rows.stride },
        })
    } else if rows.size == 1 || rows.stride == 1 {
        Some(Left::Columns { stride: columns.stride })
    } else {
        None
    }
}

/// Whether the matrices of `w` are row-major without gaps.
fn right_fits(w: &View) -> bool {
    let (rows, columns) = (w.dims[w.dims.len() - 2], w.dims[w.dims.len() - 1]);
    (columns.size == 1 || columns.stride == 1) && (rows.size == 1 || rows.stride == columns.size)
}
