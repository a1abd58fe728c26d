//! Reductions, gathers and scatters.

use pliant_runtime::image::record::{Opcode, Reduce, Unary, flags};
use smallvec::{SmallVec, smallvec};

use super::elementwise::{record, word};
use super::program::{Program, Read, Span, Step};
use super::view::{Dim, Dims, View, dense_dims};

impl Program<'_> {
    /// Reduces `axes` of `a`, which stay as dimensions of one position, times `scale`.
    ///
    /// Axes that do not lie next to each other in memory are reduced one group after the other, the longest first. With
    /// `accumulate`, a dense view of the result's shape, the result is added to what is there.
    pub(crate) fn reduce(
        &mut self,
        function: Reduce,
        axes: &[usize],
        scale: f32,
        a: &View,
        accumulate: Option<&View>,
    ) -> View {
        let reduced = |axis: usize| axes.contains(&axis);
        let mut repeats = 1.0_f32;
        let mut view = a.clone();
        for &axis in axes {
            if view.dims[axis].stride == 0 {
                if function == Reduce::Sum {
                    repeats *= view.dims[axis].size as f32;
                }
                view.dims[axis].size = 1;
            }
        }
        if repeats != 1.0 {
            // A factor of its own: one rounding for the sum, one for the caller's factor, as without repeats.
            let once = View {
                dims: view.dims.clone(),
                ..view
            };
            let sum = self.reduce(function, axes, repeats, &once, None);
            let scaled = if scale == 1.0 { sum } else { self.scaled(&sum, scale) };
            return self.added(scaled, accumulate);
        }
        if !view.is_compact() {
            view = self.copied(&view);
        }
        // The loops in the order of memory; a loop over a repeated element is not run at all.
        let mut order: SmallVec<[usize; 4]> = (0..view.dims.len()).filter(|&d| view.dims[d].stride != 0).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(view.dims[d].stride));
        // Runs of neighbouring loops that are all kept or all reduced.
        let mut runs: Vec<(bool, usize)> = Vec::new();
        for &axis in &order {
            match runs.last_mut() {
                Some((kind, size)) if *kind == reduced(axis) => *size *= view.dims[axis].size,
                _ => runs.push((reduced(axis), view.dims[axis].size)),
            }
        }

        let kept: SmallVec<[usize; 4]> = order.iter().copied().filter(|&axis| !reduced(axis)).collect();
        let kept_shape: SmallVec<[usize; 4]> = kept.iter().map(|&axis| view.dims[axis].size).collect();
        let kept_dense = dense_dims(&kept_shape);
        let mut dims: Dims = a
            .dims
            .iter()
            .enumerate()
            .map(|(axis, d)| Dim {
                size: if reduced(axis) { 1 } else { d.size },
                stride: 0,
            })
            .collect();
        for (position, &axis) in kept.iter().enumerate() {
            dims[axis].stride = kept_dense[position].stride;
        }

        let stages = runs.iter().filter(|(kind, _)| *kind).count();
        if stages == 0 {
            let result = View {
                buffer: view.buffer,
                offset: view.offset,
                dims,
            };
            let result = if scale == 1.0 {
                result
            } else {
                self.scaled(&result, scale)
            };
            return self.added(result, accumulate);
        }
        let direct = accumulate.filter(|to| scale == 1.0 && to.dims == dims);
        let (mut buffer, mut offset) = (view.buffer, view.offset);
        for stage in 1..=stages {
            let longest = runs
                .iter()
                .enumerate()
                .filter(|(_, (kind, _))| *kind)
                .max_by_key(|(_, (_, size))| *size)
                .map_or(0, |(position, _)| position);
            let size = |runs: &[(bool, usize)]| runs.iter().map(|(_, size)| size).product::<usize>();
            let (outer, length, inner) = (size(&runs[..longest]), runs[longest].1, size(&runs[longest + 1..]));
            let last = stage == stages;
            let target = match direct.filter(|_| last) {
                Some(to) => to.clone(),
                None => self.scratch(&[outer * inner]),
            };
            let accumulates = last && direct.is_some();
            let flag = if accumulates { flags::ACCUMULATE } else { 0 };
            let mut template = record(Opcode::Reduce, function as u8, flag);
            template.words[3] = word(outer);
            template.words[4] = word(length);
            template.words[5] = word(inner);
            template.words[6] = if last { scale } else { 1.0 }.to_bits();
            self.steps.push(Step {
                record: template,
                out: Span {
                    buffer: target.buffer,
                    offset: target.offset,
                    len: outer * inner,
                },
                reads: smallvec![Read {
                    word: 2,
                    span: Span {
                        buffer,
                        offset,
                        len: outer * length * inner
                    },
                    aliasable: false
                }],
                keeps_output: accumulates,
            });
            (buffer, offset) = (target.buffer, target.offset);
            runs.remove(longest);
        }
        let result = View { buffer, offset, dims };
        if direct.is_some() {
            result
        } else {
            self.added(result, accumulate)
        }
    }

    /// `a * scale`, bit for bit the product: adding minus zero changes nothing.
    pub(crate) fn scaled(&mut self, a: &View, scale: f32) -> View {
        self.unary(Unary::Affine, [scale, -0.0], a)
    }

    fn added(&mut self, value: View, accumulate: Option<&View>) -> View {
        let Some(to) = accumulate else { return value };
        let sum = self.binary(pliant_runtime::image::record::Binary::Add, to, &value, &to.shape());
        self.copy_into(&sum, to);
        to.clone()
    }

    /// `out[o][j][i] = data[o][indices[j]][i]` along `axis`.
    pub(crate) fn gather(&mut self, data: &View, indices: &View, axis: usize, shape: &[usize]) -> View {
        let data = self.dense(data);
        let indices = self.dense(indices);
        let out = self.scratch(shape);
        let template = indexed(Opcode::Gather, &data, indices.len(), axis);
        self.steps.push(Step {
            record: template,
            out: Span::of(&out),
            reads: smallvec![
                Read {
                    word: 2,
                    span: Span::of(&data),
                    aliasable: false
                },
                Read {
                    word: 3,
                    span: Span::of(&indices),
                    aliasable: false
                },
            ],
            keeps_output: false,
        });
        out
    }

    /// `data` with `updates[o][j][i]` added at `[o][indices[j]][i]` along `axis`.
    pub(crate) fn scatter_add(&mut self, data: &View, indices: &View, updates: &View, axis: usize) -> View {
        let indices = self.dense(indices);
        let updates = self.dense(updates);
        let out = self.scratch(&data.shape());
        self.copy_into(data, &out);
        let template = indexed(Opcode::ScatterAdd, &out, indices.len(), axis);
        self.steps.push(Step {
            record: template,
            out: Span::of(&out),
            reads: smallvec![
                Read {
                    word: 2,
                    span: Span::of(&updates),
                    aliasable: false
                },
                Read {
                    word: 3,
                    span: Span::of(&indices),
                    aliasable: false
                },
            ],
            keeps_output: true,
        });
        out
    }
}

/// A gather or scatter over `axis` of a dense `data`.
fn indexed(opcode: Opcode, data: &View, indices: usize, axis: usize) -> pliant_runtime::image::record::Record {
    let size = |dims: &[Dim]| dims.iter().map(|d| d.size).product::<usize>();
    let mut template = record(opcode, 0, 0);
    template.words[4] = word(size(&data.dims[..axis]));
    template.words[5] = word(data.dims[axis].size);
    template.words[6] = word(indices);
    template.words[7] = word(size(&data.dims[axis + 1..]));
    template
}
