//! Writes the steps of each item.

use pliant_runtime::image::record::{Binary, Reduce, Space, Ternary, Unary};
use smallvec::SmallVec;

use super::Slot;
use super::items::{ItemId, Items, constant_values};
use super::kernel::{Kernel, MatMulForm};
use super::matmul::MatMulExtras;
use super::program::{Home, Program};
use super::view::{BufferId, View};
use crate::graph::Graph;
use crate::ops::Op;

/// Values below this are rounded to integers exactly by adding and subtracting it.
const ROUNDING: f32 = 8_388_608.0;

/// Items in, steps out.
pub(super) struct Translator<'t, 'p> {
    program: &'t mut Program<'p>,
    items: &'t Items,
    views: Vec<Option<View>>,
    /// Buffers of the inputs, with their places.
    inputs: Vec<(BufferId, Space, usize, usize)>,
}

impl<'t, 'p> Translator<'t, 'p> {
    pub(super) fn new(program: &'t mut Program<'p>, items: &'t Items) -> Self {
        Self {
            program,
            items,
            views: vec![None; items.items.len()],
            inputs: Vec::new(),
        }
    }

    /// Gives an input its place.
    pub(super) fn bind(&mut self, item: ItemId, slot: &Slot) {
        let (space, offset) = (slot.place.space, slot.place.offset);
        let buffer = self.program.buffer(slot.elements(), Home::Fixed { space, offset });
        self.inputs.push((buffer, space, offset, slot.elements()));
        self.views[item] = Some(View::dense(buffer, &slot.shape));
    }

    /// Writes every needed item.
    pub(super) fn items(&mut self, graph: &Graph) {
        for id in 0..self.items.items.len() {
            if self.items.uses[id] == 0 || self.views[id].is_some() {
                continue;
            }
            let view = match &graph.nodes()[id].op {
                Op::Constant(constant) => {
                    let values = constant_values(constant.tensor.data());
                    self.program.constant(&values, constant.tensor.shape())
                }
                _ => self.item(id),
            };
            self.views[id] = Some(view);
        }
    }

    /// Copies outputs to their places (most of these copies are elided afterwards).
    pub(super) fn outputs(&mut self, slots: &[Slot]) {
        let views: Vec<View> = self.items.outputs.iter().map(|&id| self.view(id)).collect();
        // An output that only passes on an input another output replaces is saved before anything is replaced.
        let mut sources = Vec::with_capacity(views.len());
        for (view, slot) in views.iter().zip(slots) {
            let in_place = self.is_at(view, slot);
            let replaced = self
                .inputs
                .iter()
                .find(|(buffer, ..)| *buffer == view.buffer)
                .is_some_and(|input| {
                    let (_, space, offset, len) = *input;
                    slots.iter().any(|other| {
                        other.place.space == space && other.place.offset < offset + len && offset < other.range().end
                    })
                });
            sources.push(if replaced && !in_place {
                let out = self.program.scratch(&view.shape());
                self.program.copy_into(view, &out);
                out
            } else {
                view.clone()
            });
        }
        for (view, slot) in sources.iter().zip(slots) {
            if self.is_at(view, slot) {
                continue;
            }
            let home = Home::Fixed {
                space: slot.place.space,
                offset: slot.place.offset,
            };
            let buffer = self.program.buffer(slot.elements(), home);
            let target = View::dense(buffer, &view.shape());
            self.program.copy_into(view, &target);
        }
    }

    /// Whether a value already lies where the output is bound.
    fn is_at(&self, view: &View, slot: &Slot) -> bool {
        match self.program.buffers[view.buffer.index()].home {
            Home::Fixed { space, offset } => {
                view.is_dense()
                    && space == slot.place.space
                    && offset + view.offset == slot.place.offset
                    && view.len() == slot.elements()
            }
            _ => false,
        }
    }

    fn view(&self, id: ItemId) -> View {
        self.views[id].clone().expect("items come in topological order")
    }

    fn item(&mut self, id: ItemId) -> View {
        let item = &self.items.items[id];
        let operands: SmallVec<[View; 5]> = item.operands.iter().map(|&operand| self.view(operand)).collect();
        let shape = item.shape.as_slice();
        match &item.kernel {
            Kernel::Leaf => unreachable!("inputs are bound and constants are placed before"),
            Kernel::Alias => self.reshaped(&operands[0], shape),
            Kernel::Broadcast => operands[0].broadcast(shape),
            Kernel::Transpose(permutation) => operands[0].transpose(permutation),
            Kernel::Slice { axis, start } => operands[0].slice(*axis, *start, shape[*axis]),
            Kernel::Unary(function, parameters) => self.program.unary(*function, *parameters, &operands[0]),
            Kernel::Binary(function) => self.program.binary(*function, &operands[0], &operands[1], shape),
            Kernel::Ternary(function) => self.ternary(*function, [&operands[0], &operands[1], &operands[2]], shape),
            Kernel::MatMul(form) => self.matmul(*form, &operands, shape),
            Kernel::Reduce {
                function,
                axes,
                scale,
                accumulate,
            } => {
                let kept: SmallVec<[usize; 4]> = operands[0]
                    .dims
                    .iter()
                    .enumerate()
                    .map(|(axis, d)| if axes.contains(&axis) { 1 } else { d.size })
                    .collect();
                let target = accumulate.then(|| {
                    let last = &operands[operands.len() - 1];
                    last.reshape(&kept).expect("an input is dense")
                });
                let result = self
                    .program
                    .reduce(*function, axes, *scale, &operands[0], target.as_ref());
                self.reshaped(&result, shape)
            }
            Kernel::Concat { axis } => {
                let out = self.program.scratch(shape);
                let mut start = 0;
                for operand in &operands {
                    let length = operand.dims[*axis].size;
                    self.program.copy_into(operand, &out.slice(*axis, start, length));
                    start += length;
                }
                out
            }
            Kernel::Gather { axis } => self.program.gather(&operands[0], &operands[1], *axis, shape),
            Kernel::ScatterAdd { axis } => self
                .program
                .scatter_add(&operands[0], &operands[1], &operands[2], *axis),
            Kernel::Softmax { axis, logarithm } => self.softmax(&operands[0], *axis, *logarithm),
            Kernel::Gru { axis } => self
                .program
                .gru([&operands[0], &operands[1], &operands[2]], *axis, shape),
            Kernel::Truncate => self.truncate(&operands[0]),
            Kernel::IsTrue => {
                let zero = self.program.constant(&[0.0], &[]);
                let shape = operands[0].shape();
                let is_zero = self.program.binary(Binary::Equal, &operands[0], &zero, &shape);
                self.program.unary(Unary::Not, [0.0; 2], &is_zero)
            }
        }
    }

    fn reshaped(&mut self, view: &View, shape: &[usize]) -> View {
        if let Some(reshaped) = view.reshape(shape) {
            return reshaped;
        }
        let dense = self.program.dense(view);
        dense.reshape(shape).expect("dense values take any shape")
    }

    /// A function of three values; sums of products over more loops than a record has become two records.
    fn ternary(&mut self, function: Ternary, operands: [&View; 3], shape: &[usize]) -> View {
        let second = match function {
            Ternary::AddProduct => Binary::Add,
            Ternary::SubProduct => Binary::Sub,
            Ternary::Where => return self.program.ternary(function, operands, shape),
        };
        if self.program.loops_of(operands, shape) <= 2 {
            return self.program.ternary(function, operands, shape);
        }
        let product = self.program.binary(Binary::Mul, operands[1], operands[2], shape);
        self.program.binary(second, operands[0], &product, shape)
    }

    fn matmul(&mut self, form: MatMulForm, operands: &[View], shape: &[usize]) -> View {
        let swapped = |view: &View| if form.swap { view.swap_matrix() } else { view.clone() };
        let mut rest = operands[2..].iter();
        let mut next = |present: bool| if present { rest.next().cloned() } else { None };
        let bias = next(form.bias);
        let epilogue = form.epilogue.zip(next(form.epilogue.is_some()));
        let accumulate = next(form.accumulate).map(|view| view.reshape(shape).expect("an input is dense"));
        let extras = MatMulExtras {
            bias,
            activation: form.activation,
            epilogue,
            accumulate,
        };
        self.program
            .matmul(&swapped(&operands[0]), &swapped(&operands[1]), extras, shape)
    }

    fn softmax(&mut self, a: &View, axis: usize, logarithm: bool) -> View {
        let shape = a.shape();
        let largest = self.program.reduce(Reduce::Max, &[axis], 1.0, a, None);
        let shifted = self.program.binary(Binary::Sub, a, &largest, &shape);
        let powers = self.program.unary(Unary::Exp, [0.0; 2], &shifted);
        let sum = self.program.reduce(Reduce::Sum, &[axis], 1.0, &powers, None);
        if logarithm {
            let log = self.program.unary(Unary::Log, [0.0; 2], &sum);
            self.program.binary(Binary::Sub, &shifted, &log, &shape)
        } else {
            self.program.binary(Binary::Div, &powers, &sum, &shape)
        }
    }

    /// Rounds towards zero: round the magnitude to nearest, take one off where that went up, put the sign back.
    fn truncate(&mut self, a: &View) -> View {
        let shape = a.shape();
        let magnitude = self.program.unary(Unary::Abs, [0.0; 2], a);
        let raised = self.program.unary(Unary::Affine, [1.0, ROUNDING], &magnitude);
        let nearest = self.program.unary(Unary::Affine, [1.0, -ROUNDING], &raised);
        let above = self.program.binary(Binary::Greater, &nearest, &magnitude, &shape);
        let below = self.program.binary(Binary::Sub, &nearest, &above, &shape);
        let sign = self.program.unary(Unary::Sign, [0.0; 2], a);
        self.program.binary(Binary::Mul, &below, &sign, &shape)
    }
}
