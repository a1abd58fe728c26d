//! Fusion: several values made by one record.
//!
//! Every rewrite gives the same bits as the values made one by one, with two exceptions that are the definition of what
//! they compute and happen with and without fusion: a bias is the initial value of a matrix product's sum, and a sum
//! that is added to an accumulator in place starts from the accumulator.

use pliant_runtime::image::record::{Binary, Reduce, Ternary, Unary};

use super::items::{ItemId, Items};
use super::kernel::{Kernel, MatMulForm};

impl Items {
    /// Definitions that hold with and without fusion.
    ///
    /// `in_place` gives, for an output that is bound to the same place as an input, that input.
    pub(crate) fn define_sums(&mut self, in_place: impl Fn(ItemId) -> Option<ItemId>) {
        for id in 0..self.items.len() {
            self.bias(id);
        }
        self.count_uses();
        let outputs = self.outputs.clone();
        for output in outputs {
            if let Some(input) = in_place(output) {
                self.accumulate(output, input);
            }
        }
        self.count_uses();
    }

    /// All rewrites that save records.
    pub(crate) fn fuse(&mut self) {
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.recurrent_gates(id);
            }
        }
        self.count_uses();
        self.relu_outputs();
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.gradient_epilogue(id);
            }
        }
        self.count_uses();
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.transposed_product(id);
            }
        }
        self.count_uses();
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.product_tail(id);
            }
        }
        self.count_uses();
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.signs(id);
            }
        }
        self.count_uses();
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.multiply_add(id);
            }
        }
        self.count_uses();
        for id in 0..self.items.len() {
            if self.uses[id] > 0 {
                self.affine(id);
                self.scaled_sum(id);
            }
        }
        self.count_uses();
    }

    /// `matmul(a, w) + bias`, the product used nowhere else.
    fn bias(&mut self, id: ItemId) {
        let Some([x, y]) = self.binary(id, Binary::Add) else {
            return;
        };
        for (product, bias) in [(x, y), (y, x)] {
            let Kernel::MatMul(form) = self.items[product].kernel else {
                continue;
            };
            let shape = &self.items[id].shape;
            let other = &self.items[bias].shape;
            let rank = shape.len();
            // Where the product has one row, a second summand of that shape is as good as a bias.
            let one_row = other.len() < 2 || other[other.len() - 2] == 1;
            let fits = form == MatMulForm::default()
                && self.uses[product] == 1
                && self.uses[id] > 0
                && product != bias
                && self.items[product].shape == *shape
                && other.last() == Some(&shape[rank - 1])
                && one_row;
            if fits {
                let mut operands = self.items[product].operands.clone();
                operands.push(bias);
                self.items[id].operands = operands;
                self.items[id].kernel = Kernel::MatMul(MatMulForm { bias: true, ..form });
                return;
            }
        }
    }

    /// `input + sum`, where the output replaces the input in memory and neither is used otherwise.
    fn accumulate(&mut self, output: ItemId, input: ItemId) {
        let Some([x, y]) = self.binary(output, Binary::Add) else {
            return;
        };
        if self.uses[output] != 1 || self.uses[input] != 1 || (x != input && y != input) {
            return;
        }
        let mut sum = if x == input { y } else { x };
        if self.items[sum].elements() != self.items[output].elements()
            || self.items[input].elements() != self.items[output].elements()
        {
            return;
        }
        // The accumulator is dense, so it can be seen in the shape the sum has before it is reshaped.
        while self.items[sum].kernel == Kernel::Alias && self.uses[sum] == 1 {
            sum = self.items[sum].operands[0];
        }
        if self.uses[sum] != 1 {
            return;
        }
        let kernel = match &self.items[sum].kernel {
            Kernel::MatMul(form) if *form == MatMulForm::default() => Kernel::MatMul(MatMulForm {
                accumulate: true,
                ..*form
            }),
            Kernel::Reduce {
                function: Reduce::Sum,
                axes,
                scale: 1.0,
                accumulate: false,
            } => Kernel::Reduce {
                function: Reduce::Sum,
                axes: axes.clone(),
                scale: 1.0,
                accumulate: true,
            },
            _ => return,
        };
        let mut operands = self.items[sum].operands.clone();
        operands.push(input);
        let shape = self.items[sum].shape.clone();
        self.items[output].kernel = kernel;
        self.items[output].operands = operands;
        self.items[output].shape = shape;
    }

    /// `relu(x) > 0` is `x > 0`: asking the output frees the input for fusion.
    fn relu_outputs(&mut self) {
        let mut relu_of = vec![None; self.items.len()];
        for id in 0..self.items.len() {
            if let Some(x) = self.unary(id, Unary::Relu) {
                relu_of[x] = Some(id);
            }
            if let Some([x, zero]) = self.binary(id, Binary::Greater)
                && self.items[zero].uniform == Some(0.0)
                && let Some(relu) = relu_of[x]
            {
                self.items[id].operands[0] = relu;
            }
        }
        self.count_uses();
    }

    /// Back through tanh, sigmoid and relu, written in terms of their outputs.
    fn gradient_epilogue(&mut self, id: ItemId) {
        if let Kernel::Ternary(Ternary::Where) = self.items[id].kernel {
            let [condition, value, otherwise] = [0, 1, 2].map(|operand| self.items[id].operands[operand]);
            if self.is_uniform(otherwise, 0.0)
                && let Some([y, zero]) = self.binary(condition, Binary::Greater)
                && self.items[zero].uniform == Some(0.0)
                && self.items[zero].elements() == 1
            {
                self.set(id, Kernel::Binary(Binary::ReluGradient), &[value, y]);
            }
            return;
        }
        let Some([x, y]) = self.binary(id, Binary::Mul) else {
            return;
        };
        for (cotangent, slope) in [(x, y), (y, x)] {
            if self.items[slope].elements() != self.items[id].elements() {
                continue;
            }
            if let Some([one, square]) = self.binary(slope, Binary::Sub)
                && self.is_uniform(one, 1.0)
                && self.items[one].elements() == 1
                && let Some(value) = self.square_of(square)
            {
                return self.set(id, Kernel::Binary(Binary::TanhGradient), &[cotangent, value]);
            }
            if let Some([a, b]) = self.binary(slope, Binary::Mul) {
                for (value, rest) in [(a, b), (b, a)] {
                    if let Some([one, same]) = self.binary(rest, Binary::Sub)
                        && same == value
                        && self.is_uniform(one, 1.0)
                        && self.items[one].elements() == 1
                    {
                        return self.set(id, Kernel::Binary(Binary::SigmoidGradient), &[cotangent, value]);
                    }
                }
            }
        }
    }

    fn square_of(&self, id: ItemId) -> Option<ItemId> {
        self.unary(id, Unary::Square)
            .or_else(|| self.binary(id, Binary::Mul).filter(|[a, b]| a == b).map(|[a, _]| a))
    }

    /// `transpose(matmul(a, b))` is `matmul(b', a')`, sum for sum; worth it where an operand is a transpose already.
    fn transposed_product(&mut self, id: ItemId) {
        let Some(product) = self.swapped_matrix(id) else { return };
        let Kernel::MatMul(form) = self.items[product].kernel else {
            return;
        };
        let operands = &self.items[product].operands;
        let transposed = operands.iter().any(|&operand| self.swapped_matrix(operand).is_some());
        let rank = self.items[id].shape.len();
        let same_rank = operands.iter().all(|&operand| self.items[operand].shape.len() == rank);
        if form == MatMulForm::default() && self.uses[product] == 1 && transposed && same_rank {
            let (a, b) = (operands[0], operands[1]);
            self.set(id, Kernel::MatMul(MatMulForm { swap: true, ..form }), &[b, a]);
        }
    }

    /// The operand of an item that only swaps its last two axes.
    fn swapped_matrix(&self, id: ItemId) -> Option<ItemId> {
        let Kernel::Transpose(permutation) = &self.items[id].kernel else {
            return None;
        };
        let rank = permutation.len();
        let swaps = rank >= 2
            && permutation[rank - 1] == rank - 2
            && permutation[rank - 2] == rank - 1
            && permutation[..rank - 2]
                .iter()
                .enumerate()
                .all(|(axis, &from)| axis == from);
        swaps.then(|| self.items[id].operands[0])
    }

    /// Activation and epilogue of a matrix product that is used once.
    fn product_tail(&mut self, id: ItemId) {
        let candidates: [Option<(usize, ItemId)>; 2] = match self.items[id].kernel {
            Kernel::Unary(function, _) if function != Unary::Identity && function as u8 <= Unary::Relu as u8 => {
                [Some((0, self.items[id].operands[0])), None]
            }
            Kernel::Binary(function) => {
                let swappable = matches!(function, Binary::Add | Binary::Mul);
                let operands = &self.items[id].operands;
                [Some((0, operands[0])), swappable.then(|| (1, operands[1]))]
            }
            _ => return,
        };
        for (position, product) in candidates.into_iter().flatten() {
            let Kernel::MatMul(form) = self.items[product].kernel else {
                continue;
            };
            if self.uses[product] != 1
                || form.accumulate
                || form.epilogue.is_some()
                || self.items[product].shape != self.items[id].shape
            {
                continue;
            }
            let mut operands = self.items[product].operands.clone();
            let form = match self.items[id].kernel {
                Kernel::Unary(function, _) if form.activation.is_none() => MatMulForm {
                    activation: Some(function),
                    ..form
                },
                Kernel::Binary(function) => {
                    let other = self.items[id].operands[1 - position];
                    if self.items[other].shape != self.items[id].shape || self.items[other].uniform.is_some() {
                        continue;
                    }
                    operands.push(other);
                    MatMulForm {
                        epilogue: Some(function),
                        ..form
                    }
                }
                _ => continue,
            };
            self.items[id].kernel = Kernel::MatMul(form);
            self.items[id].operands = operands;
            // Later rewrites in this pass see the product as gone.
            self.uses[product] = 0;
            return;
        }
    }

    /// `a + -b`, `-a + b`, `a - -b`: the sign goes into the operation.
    fn signs(&mut self, id: ItemId) {
        let negated =
            |items: &Self, operand: ItemId| items.unary(operand, Unary::Neg).filter(|_| items.uses[operand] == 1);
        if let Some([a, b]) = self.binary(id, Binary::Add) {
            if let Some(b) = negated(self, b) {
                self.set(id, Kernel::Binary(Binary::Sub), &[a, b]);
            } else if let Some(a) = negated(self, a) {
                self.set(id, Kernel::Binary(Binary::Sub), &[b, a]);
            }
        } else if let Some([a, b]) = self.binary(id, Binary::Sub)
            && let Some(b) = negated(self, b)
        {
            self.set(id, Kernel::Binary(Binary::Add), &[a, b]);
        }
    }

    /// Sums and products with a number. Adding minus zero, and multiplying by one, change no bits.
    fn affine(&mut self, id: ItemId) {
        let Kernel::Binary(function) = self.items[id].kernel else {
            return;
        };
        let (a, b) = (self.items[id].operands[0], self.items[id].operands[1]);
        let whole = |operand: ItemId| self.items[operand].shape == self.items[id].shape;
        let (x, c, flipped) = match (self.items[a].uniform, self.items[b].uniform) {
            (None, Some(c)) if whole(a) => (a, c, false),
            (Some(c), None) if whole(b) => (b, c, true),
            _ => return,
        };
        let (x, scale, shift) = match (function, flipped) {
            (Binary::Mul, _) => (x, c, -0.0),
            (Binary::Div, true) if c.to_bits() == 1.0_f32.to_bits() => {
                return self.set(id, Kernel::Unary(Unary::Reciprocal, [0.0; 2]), &[x]);
            }
            (Binary::Add, _) | (Binary::Sub, _) => {
                let (sign, shift) = match (function, flipped) {
                    (Binary::Add, _) => (1.0, c),
                    (_, false) => (1.0, -c),
                    (_, true) => (-1.0, c),
                };
                // A product with a number right before: its factor takes the sign.
                match self.items[x].kernel {
                    Kernel::Unary(Unary::Affine, [inner, zero])
                        if self.uses[x] == 1 && zero.to_bits() == (-0.0_f32).to_bits() =>
                    {
                        (self.items[x].operands[0], sign * inner, shift)
                    }
                    _ => (x, sign, shift),
                }
            }
            _ => return,
        };
        self.set(id, Kernel::Unary(Unary::Affine, [scale, shift]), &[x]);
    }

    /// A sum times a number.
    fn scaled_sum(&mut self, id: ItemId) {
        let Kernel::Unary(Unary::Affine, [factor, zero]) = self.items[id].kernel else {
            return;
        };
        let sum = self.items[id].operands[0];
        if let Kernel::Reduce {
            function: Reduce::Sum,
            axes,
            scale: 1.0,
            accumulate: false,
        } = &self.items[sum].kernel
            && self.uses[sum] == 1
            && zero.to_bits() == (-0.0_f32).to_bits()
        {
            let kernel = Kernel::Reduce {
                function: Reduce::Sum,
                axes: axes.clone(),
                scale: factor,
                accumulate: false,
            };
            let operand = self.items[sum].operands[0];
            self.set(id, kernel, &[operand]);
        }
    }

    /// The gates of a gated recurrent unit, where nobody else wants a gate (a backward pass does).
    fn recurrent_gates(&mut self, id: ItemId) {
        if let Some((axis, operands)) = self.gates_of(id) {
            self.set(id, Kernel::Gru { axis }, &operands);
        }
    }

    /// The axis and the operands of a [`Kernel::Gru`] that gives this item.
    fn gates_of(&self, id: ItemId) -> Option<(usize, [ItemId; 3])> {
        let once = |id: ItemId| self.uses[id] == 1;
        let product = |id: ItemId| self.binary(id, Binary::Mul).filter(|_| once(id));
        let swapped = |[a, b]: [ItemId; 2]| [[a, b], [b, a]];
        // (1 - update) candidate + update state
        let (rest, candidate, update, state) =
            swapped(self.binary(id, Binary::Add)?)
                .into_iter()
                .find_map(|[new, old]| {
                    let (new, old) = (product(new)?, product(old)?);
                    swapped(new).into_iter().find_map(|[rest, candidate]| {
                        let [one, update] = self.binary(rest, Binary::Sub).filter(|_| once(rest))?;
                        let state = swapped(old).into_iter().find(|[gate, _]| *gate == update)?[1];
                        (self.is_uniform(one, 1.0) && self.uses[update] == 2)
                            .then_some((rest, candidate, update, state))
                    })
                })?;
        let shape = &self.items[id].shape;
        let alike = [rest, candidate, update, state];
        if alike.iter().any(|&part| self.items[part].shape != *shape) {
            return None;
        }
        let Kernel::Slice { axis, start } = self.items[update].kernel else {
            return None;
        };
        let hidden = shape[axis];
        // Which value an item is blocks `first` to `end` of, in units of the hidden state.
        let blocks = |id: ItemId, first: usize, end: usize| match self.items[id].kernel {
            Kernel::Slice { axis: along, start }
                if along == axis && start == first * hidden && self.items[id].shape[axis] == (end - first) * hidden =>
            {
                Some(self.items[id].operands[0])
            }
            _ => None,
        };
        // gates = sigmoid(input + state)
        let gates = blocks(update, 1, 2).filter(|_| start == hidden)?;
        let sums = self.unary(gates, Unary::Sigmoid).filter(|_| self.uses[gates] == 2)?;
        let shares = self.binary(sums, Binary::Add).filter(|_| once(sums))?;
        // candidate = tanh(input + reset state)
        let sum = self.unary(candidate, Unary::Tanh).filter(|_| once(candidate))?;
        let parts = self.binary(sum, Binary::Add).filter(|_| once(sum))?;
        swapped(parts).into_iter().find_map(|[input, kept]| {
            let input = blocks(input, 2, 3).filter(|_| once(input))?;
            let recurrent = swapped(product(kept)?).into_iter().find_map(|[reset, share]| {
                let same = blocks(reset, 0, 1).filter(|_| once(reset))? == gates;
                blocks(share, 2, 3).filter(|_| same && once(share))
            })?;
            let fits = swapped(shares).into_iter().any(|[first, second]| {
                let of = |id: ItemId| blocks(id, 0, 2).filter(|_| once(id));
                of(first) == Some(input) && of(second) == Some(recurrent)
            });
            let whole = |id: ItemId| {
                let products = &self.items[id].shape;
                let others = |other: usize| other == axis || products[other] == shape[other];
                products.len() == shape.len() && products[axis] == 3 * hidden && (0..shape.len()).all(others)
            };
            (fits && whole(input) && whole(recurrent)).then_some((axis, [input, recurrent, state]))
        })
    }

    /// `a + b * c`, `a - b * c`, the product used nowhere else.
    fn multiply_add(&mut self, id: ItemId) {
        let (function, candidates) = match self.items[id].kernel {
            Kernel::Binary(Binary::Add) => (Ternary::AddProduct, [Some(1), Some(0)]),
            Kernel::Binary(Binary::Sub) => (Ternary::SubProduct, [Some(1), None]),
            _ => return,
        };
        for position in candidates.into_iter().flatten() {
            let product = self.items[id].operands[position];
            let other = self.items[id].operands[1 - position];
            let number = self.items[other].uniform.is_some();
            if self.uses[product] != 1
                || self.items[product].shape != self.items[id].shape
                || product == other
                || number
            {
                continue;
            }
            if let Some([b, c]) = self.binary(product, Binary::Mul) {
                return self.set(id, Kernel::Ternary(function), &[other, b, c]);
            }
        }
    }

    fn set(&mut self, id: ItemId, kernel: Kernel, operands: &[ItemId]) {
        self.items[id].kernel = kernel;
        self.items[id].operands = operands.iter().copied().collect();
    }
}
