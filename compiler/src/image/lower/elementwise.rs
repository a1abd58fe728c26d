//! Records that compute element by element, and copies.

use pliant_runtime::image::record::{Binary, Opcode, Operand, Record, Ternary, Unary};
use smallvec::{SmallVec, smallvec};

use super::program::{Home, Program, Read, Span, Step};
use super::view::{Dim, Dims, Loop, View, collapse, dense_dims, offsets};

/// Most records one strided operation may become before its operands are copied into a plain layout instead.
const MOST_RECORDS: usize = 16;

/// A record of `opcode` and `function` without operands.
pub(super) fn record(opcode: Opcode, function: u8, flags: u32) -> Record {
    let mut words = [0; 16];
    words[0] = opcode as u32 | u32::from(function) << 8 | flags;
    words[1] = Operand::NONE.0;
    Record { words }
}

/// A count or stride as a record word.
pub(super) fn word(value: usize) -> u32 {
    // Every buffer is checked against `Operand::MAX_OFFSET` before a program becomes a plan.
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Program<'_> {
    /// `f(a)`. The result has the layout of `a`: repeats stay repeats, a transpose stays a transpose.
    pub(crate) fn unary(&mut self, function: Unary, parameters: [f32; 2], a: &View) -> View {
        let a = if a.is_compact() { a.clone() } else { self.copied(a) };
        let count = a.extent();
        let out = self.buffer(count, Home::Arena);
        let mut record = record(Opcode::Unary, function as u8, 0);
        record.words[3] = word(count);
        record.words[4] = parameters[0].to_bits();
        record.words[5] = parameters[1].to_bits();
        let span = |buffer, offset| Span {
            buffer,
            offset,
            len: count,
        };
        self.steps.push(Step {
            record,
            out: span(out, 0),
            reads: smallvec![Read {
                word: 2,
                span: span(a.buffer, a.offset),
                aliasable: true
            }],
            keeps_output: false,
        });
        View {
            buffer: out,
            offset: 0,
            dims: a.dims,
        }
    }

    /// `f(a, b)`, broadcast to `shape`.
    pub(crate) fn binary(&mut self, function: Binary, a: &View, b: &View, shape: &[usize]) -> View {
        self.elementwise(Opcode::Binary, function as u8, [a, b], shape)
    }

    /// `f(a, b, c)`, broadcast to `shape`.
    pub(crate) fn ternary(&mut self, function: Ternary, operands: [&View; 3], shape: &[usize]) -> View {
        self.elementwise(Opcode::Ternary, function as u8, operands, shape)
    }

    /// The gates of a gated recurrent unit along `axis`: from the products of the input and of the state, and the state.
    pub(crate) fn gru(&mut self, operands: [&View; 3], axis: usize, shape: &[usize]) -> View {
        let operands = operands.map(|view| self.dense(view));
        let out = self.scratch(shape);
        let (outer, inner) = shape.split_at(axis);
        let mut record = record(Opcode::Gru, 0, 0);
        record.words[5] = word(outer.iter().product());
        record.words[6] = word(inner.iter().product());
        let reads = (2..)
            .zip(&operands)
            .map(|(word, view)| Read {
                word,
                span: Span::of(view),
                aliasable: word == 4,
            })
            .collect();
        self.steps.push(Step {
            record,
            out: Span::of(&out),
            reads,
            keeps_output: false,
        });
        out
    }

    fn elementwise<const N: usize>(
        &mut self,
        opcode: Opcode,
        function: u8,
        operands: [&View; N],
        shape: &[usize],
    ) -> View {
        let operands = operands.map(|view| view.broadcast(shape));
        // A dimension every operand repeats is computed once and repeated in the result.
        let kept: SmallVec<[usize; 4]> = (0..shape.len())
            .filter(|&d| operands.iter().any(|view| view.dims[d].stride != 0))
            .collect();
        let order = memory_order(&operands, &kept);
        let ordered: SmallVec<[usize; 4]> = order.iter().map(|&d| shape[d]).collect();
        let dense = dense_dims(&ordered);
        let mut dims: Dims = shape.iter().map(|&size| Dim { size, stride: 0 }).collect();
        for (position, &axis) in order.iter().enumerate() {
            dims[axis].stride = dense[position].stride;
        }
        let loops_of = |operands: &[View; N]| {
            collapse(order.iter().map(|&axis| Loop {
                size: shape[axis],
                strides: std::array::from_fn::<usize, N, _>(|v| operands[v].dims[axis].stride),
            }))
        };
        let most = if opcode == Opcode::Ternary { 2 } else { 3 };
        let mut loops = loops_of(&operands);
        let mut operands = operands;
        while loops.len() > most && loops[..loops.len() - most].iter().map(|l| l.size).product::<usize>() > MOST_RECORDS
        {
            // Lay the most scattered operand out like the result; in the end all are, and the loops are one.
            let worst = (0..N)
                .filter(|&v| {
                    order
                        .iter()
                        .zip(&dense)
                        .any(|(&axis, d)| operands[v].dims[axis].stride != d.stride)
                })
                .max_by_key(|&v| order.iter().filter(|&&axis| operands[v].dims[axis].stride != 0).count())
                .expect("operands that all lie like the result collapse to one loop");
            operands[worst] = self.copied_like(&operands[worst], &order, &dims);
            loops = loops_of(&operands);
        }

        let len = ordered.iter().product();
        let out = self.buffer(len, Home::Arena);
        let split = loops.len().saturating_sub(most);
        let inner = &loops[split..];
        let inner_len: usize = inner.iter().map(|l| l.size).product();
        let mut template = record(opcode, function, 0);
        let (first_dim, first_stride) = if opcode == Opcode::Ternary { (5, 7) } else { (4, 7) };
        let padding = most - inner.len();
        for position in 0..most {
            let level = position.checked_sub(padding).map(|p| &inner[p]);
            template.words[first_dim + position] = word(level.map_or(1, |l| l.size));
            for v in 0..N {
                template.words[first_stride + v * most + position] = word(level.map_or(0, |l| l.strides[v]));
            }
        }
        for (index, starts) in offsets(&loops[..split]).into_iter().enumerate() {
            let reads = (0..N)
                .map(|v| {
                    let extent = 1 + inner.iter().map(|l| (l.size - 1) * l.strides[v]).sum::<usize>();
                    let like_output = inner
                        .iter()
                        .rev()
                        .scan(1, |stride, l| {
                            let expected = *stride;
                            *stride *= l.size;
                            Some(l.strides[v] == expected)
                        })
                        .all(|fits| fits);
                    let span = Span {
                        buffer: operands[v].buffer,
                        offset: operands[v].offset + starts[v],
                        len: extent,
                    };
                    Read {
                        word: 2 + v,
                        span,
                        aliasable: like_output,
                    }
                })
                .collect();
            let out = Span {
                buffer: out,
                offset: index * inner_len,
                len: inner_len,
            };
            self.steps.push(Step {
                record: template,
                out,
                reads,
                keeps_output: false,
            });
        }
        View {
            buffer: out,
            offset: 0,
            dims,
        }
    }

    /// How many loops an operation over these operands needs once neighbouring ones are merged.
    pub(crate) fn loops_of<const N: usize>(&self, operands: [&View; N], shape: &[usize]) -> usize {
        let operands = operands.map(|view| view.broadcast(shape));
        let kept: SmallVec<[usize; 4]> = (0..shape.len())
            .filter(|&d| operands.iter().any(|view| view.dims[d].stride != 0))
            .collect();
        let order = memory_order(&operands, &kept);
        collapse(order.iter().map(|&axis| Loop {
            size: shape[axis],
            strides: std::array::from_fn::<usize, N, _>(|v| operands[v].dims[axis].stride),
        }))
        .len()
    }

    /// The elements of `view` copied so that they lie without gaps, row-major; repeats stay repeats.
    pub(crate) fn copied(&mut self, view: &View) -> View {
        if let Some(copy) = self.dense_copies.get(view) {
            return copy.clone();
        }
        let axes: SmallVec<[usize; 4]> = (0..view.dims.len()).filter(|&d| view.dims[d].stride != 0).collect();
        let kept: Dims = axes.iter().map(|&d| view.dims[d]).collect();
        let kept = View {
            buffer: view.buffer,
            offset: view.offset,
            dims: kept,
        };
        let compact = self.copied_all(&kept);
        let mut dims: Dims = view
            .dims
            .iter()
            .map(|d| Dim {
                size: d.size,
                stride: 0,
            })
            .collect();
        for (position, &axis) in axes.iter().enumerate() {
            dims[axis].stride = compact.dims[position].stride;
        }
        let copy = View {
            buffer: compact.buffer,
            offset: compact.offset,
            dims,
        };
        self.dense_copies.insert(view.clone(), copy.clone());
        copy
    }

    /// The elements of `view`, row-major in scratch, repeats written out; `view` itself where it already is.
    pub(crate) fn dense(&mut self, view: &View) -> View {
        if view.is_dense() {
            return View {
                dims: dense_dims(&view.shape()),
                ..view.clone()
            };
        }
        if view.dims.iter().any(|d| d.size > 1 && d.stride == 0) {
            let key = view.clone();
            if let Some(copy) = self.dense_copies.get(&key).filter(|copy| copy.is_dense()) {
                return copy.clone();
            }
            let copy = self.copied_all(view);
            self.dense_copies.insert(key, copy.clone());
            return copy;
        }
        self.copied(view)
    }

    /// `view` laid out like a result whose dimensions `order` lie in `dims`.
    fn copied_like(&mut self, view: &View, order: &[usize], dims: &Dims) -> View {
        let transposed = view.transpose(order);
        let copy = self.dense(&transposed);
        View {
            buffer: copy.buffer,
            offset: copy.offset,
            dims: dims.clone(),
        }
    }

    fn copied_all(&mut self, view: &View) -> View {
        if let Some(value) = self.uniform_value(view) {
            let out = self.scratch(&view.shape());
            self.fill(&out, value);
            return out;
        }
        if let Some(values) = self.constant_values(view) {
            let shape = view.shape();
            let offset = self.constants.insert(&values);
            let space = pliant_runtime::image::record::Space::Const;
            let buffer = self.buffer(values.len(), Home::Fixed { space, offset });
            return View::dense(buffer, &shape);
        }
        let out = self.scratch(&view.shape());
        self.copy_into(view, &out);
        out
    }

    /// Copies `from` into `to`, another view of the same shape.
    pub(crate) fn copy_into(&mut self, from: &View, to: &View) {
        if let Some(value) = self.uniform_value(from).filter(|_| to.is_dense()) {
            return self.fill(to, value);
        }
        let loops = collapse(to.dims.iter().zip(&from.dims).map(|(to, from)| Loop {
            size: to.size,
            strides: [to.stride, from.stride],
        }));
        let split = loops.len().saturating_sub(4);
        let inner = &loops[split..];
        let mut template = record(Opcode::Copy, 0, 0);
        let padding = 4 - inner.len();
        for position in 0..4_usize {
            let level = position.checked_sub(padding).map(|p| &inner[p]);
            template.words[3 + position] = word(level.map_or(1, |l| l.size));
            template.words[7 + position] = word(level.map_or(0, |l| l.strides[0]));
            template.words[11 + position] = word(level.map_or(0, |l| l.strides[1]));
        }
        let extent = |v: usize| 1 + inner.iter().map(|l| (l.size - 1) * l.strides[v]).sum::<usize>();
        let elements: usize = inner.iter().map(|l| l.size).product();
        for [to_start, from_start] in offsets(&loops[..split]) {
            let out = Span {
                buffer: to.buffer,
                offset: to.offset + to_start,
                len: extent(0),
            };
            let span = Span {
                buffer: from.buffer,
                offset: from.offset + from_start,
                len: extent(1),
            };
            let reads = smallvec![Read {
                word: 2,
                span,
                aliasable: false
            }];
            // A copy that leaves gaps shares its region with the values in the gaps.
            let keeps_output = out.len != elements;
            self.steps.push(Step {
                record: template,
                out,
                reads,
                keeps_output,
            });
        }
    }

    /// Writes `value` everywhere in the dense view `to`.
    pub(crate) fn fill(&mut self, to: &View, value: f32) {
        let mut record = record(Opcode::Fill, 0, 0);
        record.words[2] = word(to.len());
        record.words[3] = value.to_bits();
        let out = Span {
            buffer: to.buffer,
            offset: to.offset,
            len: to.len(),
        };
        self.steps.push(Step {
            record,
            out,
            reads: SmallVec::new(),
            keeps_output: false,
        });
    }
}

/// The order in which to compute the dimensions `kept`, outermost first: that of the memory of the operands that have
/// all of them, where these agree, otherwise the plain order.
fn memory_order<const N: usize>(operands: &[View; N], kept: &[usize]) -> SmallVec<[usize; 4]> {
    let plain: SmallVec<[usize; 4]> = SmallVec::from_slice(kept);
    let mut agreed: Option<SmallVec<[usize; 4]>> = None;
    for view in operands {
        if kept.iter().any(|&d| view.dims[d].stride == 0) {
            continue;
        }
        let mut order = plain.clone();
        order.sort_by_key(|&d| std::cmp::Reverse(view.dims[d].stride));
        match &agreed {
            None => agreed = Some(order),
            Some(other) if *other == order => {}
            Some(_) => return plain,
        }
    }
    agreed.unwrap_or(plain)
}
