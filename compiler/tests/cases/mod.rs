//! A graph for every operator, with inputs inside its domain and away from kinks and ties; its gradient and its
//! second-order gradient. Shared by the ONNX tests here and the conformance suite of the trainer.

// Each test binary uses a part.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeSet;

use pliant_compiler::{
    autodiff::gradients,
    graph::{DType, Graph, GraphError, Tensor, ValueId},
    ops::{Cast, Constant, Op, Operator as _, ReduceSum, Transpose},
    reference::Tensor64,
};

/// An operator at work.
pub struct Case {
    /// Operator and variant, as `matmul/batched`.
    pub name: String,
    /// Name of the operator under test.
    pub operator: &'static str,
    /// The operator applied; its only output is `y`.
    pub graph: Graph,
    /// Values of the inputs, exact in f32.
    pub inputs: Vec<(String, Tensor64)>,
}

impl Case {
    /// The f32 inputs.
    fn leaves(&self, graph: &Graph) -> Vec<ValueId> {
        let inputs = graph.inputs().iter().map(|port| port.value);
        inputs.filter(|&value| graph.dtype(value) == DType::F32).collect()
    }

    /// Whether the output has a gradient at all.
    pub fn is_differentiable(&self) -> bool {
        let y = self.graph.outputs()[0].value;
        self.graph.dtype(y) == DType::F32
            && !self.leaves(&self.graph).is_empty()
            && !matches!(self.operator, "Sign" | "Cast" | "Constant")
    }

    /// The gradient of a weighted sum of the output and its square (so that the second order is not zero for a linear
    /// operator) with respect to every f32 input.
    pub fn gradient(&self) -> Option<Graph> {
        self.is_differentiable().then(|| self.differentiate(1))
    }

    /// The gradient of a weighted sum of [`Self::gradient`].
    pub fn second_order(&self) -> Option<Graph> {
        self.is_differentiable().then(|| self.differentiate(2))
    }

    fn differentiate(&self, order: usize) -> Graph {
        let mut graph = Graph::new();
        let ports: Vec<ValueId> = self
            .graph
            .inputs()
            .iter()
            .map(|port| copy_input(&mut graph, &self.graph, port))
            .collect();
        let y = graph.inline(&self.graph, &ports).unwrap()[0];
        let leaves = self.leaves(&graph);
        let mut random = Random(7);
        let squared = graph.square(y).unwrap();
        let sum = graph.add(y, squared).unwrap();
        let mut scalar = random.weighted_sum(&mut graph, sum);
        let mut results = gradients(&mut graph, scalar, &leaves).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        for _ in 1..order {
            let sums: Vec<ValueId> = results.iter().map(|&g| random.weighted_sum(&mut graph, g)).collect();
            scalar = sums.into_iter().reduce(|a, b| graph.add(a, b).unwrap()).unwrap();
            results = gradients(&mut graph, scalar, &leaves).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
        for (index, value) in results.into_iter().enumerate() {
            graph.output(&format!("gradient_{index}"), value).unwrap();
        }
        graph.prune()
    }
}

fn copy_input(to: &mut Graph, from: &Graph, port: &pliant_compiler::graph::Port) -> ValueId {
    to.input(&port.name, from.dtype(port.value), from.shape(port.value))
        .unwrap()
}

/// Splitmix64: the same values everywhere.
pub struct Random(pub u64);

impl Random {
    /// A number in `lo..hi` that f32 holds exactly.
    pub fn between(&mut self, lo: f64, hi: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 40) as f64 / (1u64 << 24) as f64;
        f64::from((lo + (hi - lo) * unit) as f32)
    }

    /// As many numbers.
    pub fn many(&mut self, count: usize, lo: f64, hi: f64) -> Vec<f64> {
        (0..count).map(|_| self.between(lo, hi)).collect()
    }

    fn weighted_sum(&mut self, graph: &mut Graph, value: ValueId) -> ValueId {
        let shape = graph.shape(value).to_vec();
        let weights: Vec<f32> = self
            .many(shape.iter().product(), 0.25, 1.0)
            .into_iter()
            .map(|w| w as f32)
            .collect();
        let weights = graph.constant(Tensor::f32(&shape, weights).unwrap());
        let product = graph.mul(value, weights).unwrap();
        graph.sum_all(product).unwrap()
    }
}

/// A case being built.
pub struct Builder {
    pub graph: Graph,
    inputs: Vec<(String, Tensor64)>,
    random: Random,
}

impl Builder {
    fn input(&mut self, dtype: DType, shape: &[usize], data: Vec<f64>) -> ValueId {
        let name = format!("x{}", self.inputs.len());
        let value = self.graph.input(&name, dtype, shape).unwrap();
        self.inputs.push((
            name,
            Tensor64 {
                dtype,
                shape: shape.into(),
                data,
            },
        ));
        value
    }

    /// Uniform in `lo..hi`.
    fn uniform(&mut self, shape: &[usize], lo: f64, hi: f64) -> ValueId {
        let data = self.random.many(shape.iter().product(), lo, hi);
        self.input(DType::F32, shape, data)
    }

    /// In -1.5..1.5, at least 0.2 from zero, no two closer than about 0.01: no kinks, no ties.
    fn apart(&mut self, shape: &[usize]) -> ValueId {
        let count: usize = shape.iter().product();
        let data = (0..count).map(|i| {
            // A stride coprime to the count visits every place once.
            let place = (i * 7919 + 3 * self.inputs.len()) % count.max(1);
            let size = 0.2 + 1.3 * (place as f64 + 0.25 + 0.5 * self.random.between(0.0, 1.0)) / count as f64;
            f64::from(
                (if self.random.between(0.0, 1.0) < 0.5 {
                    -size
                } else {
                    size
                }) as f32,
            )
        });
        let data = data.collect();
        self.input(DType::F32, shape, data)
    }

    fn indices(&mut self, shape: &[usize], data: &[i64]) -> ValueId {
        self.input(DType::I64, shape, data.iter().map(|&index| index as f64).collect())
    }

    fn truths(&mut self, shape: &[usize]) -> ValueId {
        let data = self
            .random
            .many(shape.iter().product(), 0.0, 1.0)
            .into_iter()
            .map(|v| v.round())
            .collect();
        self.input(DType::Bool, shape, data)
    }
}

/// Operators of [`Op`] that no case is about.
pub fn uncovered(cases: &[Case]) -> Vec<&'static str> {
    let covered: BTreeSet<&str> = cases.iter().map(|case| case.operator).collect();
    Op::NAMES
        .iter()
        .copied()
        .filter(|name| !covered.contains(name))
        .collect()
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add =
        |operator: &'static str, variant: &str, build: &dyn Fn(&mut Builder) -> Result<ValueId, GraphError>| {
            let seed = 1 + cases.len() as u64;
            let mut b = Builder {
                graph: Graph::new(),
                inputs: Vec::new(),
                random: Random(seed),
            };
            let name = if variant.is_empty() {
                operator.to_owned()
            } else {
                format!("{operator}/{variant}")
            };
            let y = build(&mut b).unwrap_or_else(|e| panic!("{name}: {e}"));
            b.graph.output("y", y).unwrap();
            assert!(
                b.graph.nodes().iter().any(|node| node.op.name() == operator),
                "{name} was folded away"
            );
            cases.push(Case {
                name,
                operator,
                graph: b.graph,
                inputs: b.inputs,
            });
        };

    add("Input", "", &|b| Ok(b.uniform(&[2, 3], -1.0, 1.0)));
    add("Constant", "", &|b| {
        b.uniform(&[2], -1.0, 1.0);
        b.graph.push_exact(
            Constant {
                tensor: Tensor::f32(&[3], vec![1.0, -2.5, 0.125]).unwrap(),
            },
            &[],
        )
    });

    type Binary = fn(&mut Graph, ValueId, ValueId) -> Result<ValueId, GraphError>;
    let arithmetic: [(&str, Binary); 6] = [
        ("Add", Graph::add),
        ("Sub", Graph::sub),
        ("Mul", Graph::mul),
        ("Div", Graph::div),
        ("Min", Graph::min),
        ("Max", Graph::max),
    ];
    for (operator, method) in arithmetic {
        for (variant, left, right) in shapes() {
            add(operator, variant, &|b| {
                let (x, y) = (b.apart(left), b.apart(right));
                method(&mut b.graph, x, y)
            });
        }
    }
    for (variant, left, right) in shapes() {
        add("Pow", variant, &|b| {
            let (x, y) = (b.uniform(left, 0.3, 2.0), b.uniform(right, -1.5, 2.5));
            b.graph.pow(x, y)
        });
    }
    for exponent in [2.0, 3.0, 0.5] {
        add("Pow", &format!("exponent {exponent}"), &|b| {
            let x = b.uniform(&[3, 4], 0.3, 2.0);
            let exponent = b.graph.scalar(exponent);
            b.graph.pow(x, exponent)
        });
    }
    for (operator, method) in [
        ("Greater", Graph::greater as Binary),
        ("Less", Graph::less),
        ("Equal", Graph::equal),
    ] {
        for (variant, left, right) in shapes() {
            add(operator, variant, &|b| {
                let (x, y) = (b.apart(left), b.apart(right));
                method(&mut b.graph, x, y)
            });
        }
    }
    add("Equal", "to itself", &|b| {
        let x = b.apart(&[4]);
        b.graph.equal(x, x)
    });
    for (operator, method) in [("And", Graph::and as Binary), ("Or", Graph::or)] {
        add(operator, "", &|b| {
            let (x, y) = (b.truths(&[3, 4]), b.truths(&[4]));
            method(&mut b.graph, x, y)
        });
    }

    type Unary = fn(&mut Graph, ValueId) -> Result<ValueId, GraphError>;
    let smooth: [(&str, Unary, f64, f64); 9] = [
        ("Neg", Graph::neg, -2.0, 2.0),
        ("Sqrt", Graph::sqrt, 0.3, 3.0),
        ("Exp", Graph::exp, -2.0, 1.5),
        ("Log", Graph::log, 0.3, 3.0),
        ("Sin", Graph::sin, -4.0, 4.0),
        ("Cos", Graph::cos, -4.0, 4.0),
        ("Tanh", Graph::tanh, -3.0, 3.0),
        ("Sigmoid", Graph::sigmoid, -4.0, 4.0),
        ("Softplus", Graph::softplus, -4.0, 4.0),
    ];
    for (operator, method, lo, hi) in smooth {
        add(operator, "", &|b| {
            let x = b.uniform(&[5, 7], lo, hi);
            method(&mut b.graph, x)
        });
    }
    for (operator, method) in [
        ("Abs", Graph::abs as Unary),
        ("Sign", Graph::sign),
        ("Relu", Graph::relu),
        ("Identity", Graph::identity),
    ] {
        add(operator, "", &|b| {
            let x = b.apart(&[5, 7]);
            method(&mut b.graph, x)
        });
    }
    add("Not", "", &|b| {
        let x = b.truths(&[9]);
        b.graph.not(x)
    });
    add("StopGradient", "", &|b| {
        let x = b.apart(&[6]);
        let stopped = b.graph.stop_gradient(x)?;
        b.graph.mul(x, stopped)
    });
    for (variant, lo, hi) in [
        ("both", -0.5, 0.75),
        ("below", -0.5, f32::INFINITY),
        ("above", f32::NEG_INFINITY, 0.5),
    ] {
        add("Clip", variant, &|b| {
            let x = b.uniform(&[6, 5], -1.5, 1.5);
            b.graph.clip(x, lo, hi)
        });
    }
    add("Where", "same shape", &|b| {
        let (c, x, y) = (b.truths(&[3, 4]), b.apart(&[3, 4]), b.apart(&[3, 4]));
        b.graph.where_(c, x, y)
    });
    add("Where", "broadcast", &|b| {
        let (c, x, y) = (b.truths(&[3, 1]), b.apart(&[4]), b.apart(&[2, 1, 1]));
        b.graph.where_(c, x, y)
    });

    let products: [(&str, &[usize], &[usize]); 6] = [
        ("plain", &[3, 4], &[4, 5]),
        ("wide", &[2, 17], &[17, 33]),
        ("batched", &[2, 3, 4], &[2, 4, 5]),
        ("one left for all", &[3, 4], &[2, 4, 5]),
        ("one right for all", &[2, 3, 4], &[4, 5]),
        ("broadcast", &[2, 1, 3, 4], &[3, 4, 2]),
    ];
    for (variant, left, right) in products {
        add("MatMul", variant, &|b| {
            let (x, y) = (b.uniform(left, -1.0, 1.0), b.uniform(right, -1.0, 1.0));
            b.graph.matmul(x, y)
        });
    }
    add("MatMul", "transposed left", &|b| {
        let (x, y) = (b.uniform(&[4, 3], -1.0, 1.0), b.uniform(&[4, 5], -1.0, 1.0));
        let x = b.graph.transpose_matrix(x)?;
        b.graph.matmul(x, y)
    });
    add("MatMul", "transposed right", &|b| {
        let (x, y) = (b.uniform(&[2, 3, 4], -1.0, 1.0), b.uniform(&[2, 5, 4], -1.0, 1.0));
        let y = b.graph.transpose_matrix(y)?;
        b.graph.matmul(x, y)
    });
    add("MatMul", "bias and tanh", &|b| {
        let (x, w, c) = (
            b.uniform(&[3, 4], -1.0, 1.0),
            b.uniform(&[4, 5], -1.0, 1.0),
            b.uniform(&[5], -1.0, 1.0),
        );
        let y = b.graph.matmul(x, w)?;
        let y = b.graph.add(y, c)?;
        b.graph.tanh(y)
    });

    type Reduction = fn(&mut Graph, ValueId, &[usize], bool) -> Result<ValueId, GraphError>;
    let reductions: [(&str, Reduction); 3] = [
        ("ReduceSum", Graph::reduce_sum),
        ("ReduceMean", Graph::reduce_mean),
        ("ReduceMax", Graph::reduce_max),
    ];
    for (operator, method) in reductions {
        let axes: [(&str, &[usize], bool); 6] = [
            ("first", &[0], false),
            ("middle", &[1], true),
            ("last", &[2], false),
            ("outer two", &[0, 2], true),
            ("inner two", &[1, 2], false),
            ("all", &[0, 1, 2], false),
        ];
        for (variant, axes, keep) in axes {
            add(operator, variant, &|b| {
                let x = b.apart(&[3, 4, 5]);
                method(&mut b.graph, x, axes, keep)
            });
        }
    }
    add("ReduceSum", "no axes", &|b| {
        let x = b.apart(&[3, 4]);
        b.graph.push_exact(
            ReduceSum {
                axes: Default::default(),
                keep_dims: false,
            },
            &[x],
        )
    });
    type Along = fn(&mut Graph, ValueId, usize) -> Result<ValueId, GraphError>;
    for (operator, method) in [("Softmax", Graph::softmax as Along), ("LogSoftmax", Graph::log_softmax)] {
        for axis in 0..3 {
            add(operator, &format!("axis {axis}"), &|b| {
                let x = b.uniform(&[2, 3, 4], -2.0, 2.0);
                method(&mut b.graph, x, axis)
            });
        }
    }

    for permutation in [&[1, 0, 2][..], &[2, 1, 0], &[1, 2, 0], &[0, 2, 1]] {
        add("Transpose", &format!("{permutation:?}"), &|b| {
            let x = b.apart(&[2, 3, 4]);
            b.graph.transpose(x, permutation)
        });
    }
    add("Transpose", "four axes", &|b| {
        let x = b.apart(&[2, 3, 4, 2]);
        b.graph.push(
            Transpose {
                permutation: [3, 1, 0, 2].as_slice().into(),
            },
            &[x],
        )
    });
    for shape in [&[12][..], &[2, 6], &[4, 1, 3]] {
        add("Reshape", &format!("{shape:?}"), &|b| {
            let x = b.apart(&[3, 4]);
            b.graph.reshape(x, shape)
        });
    }
    add("Reshape", "to a scalar", &|b| {
        let x = b.apart(&[1, 1]);
        b.graph.reshape(x, &[])
    });
    for (from, to) in [
        (&[3, 1][..], &[3, 4][..]),
        (&[4], &[2, 3, 4]),
        (&[], &[5]),
        (&[2, 1, 3], &[2, 4, 3]),
    ] {
        add("Expand", &format!("{from:?} {to:?}"), &|b| {
            let x = b.apart(from);
            b.graph.expand(x, to)
        });
    }
    for axes in [&[0][..], &[2], &[0, 2]] {
        add("Squeeze", &format!("{axes:?}"), &|b| {
            let x = b.apart(&[1, 4, 1]);
            b.graph.squeeze(x, axes)
        });
    }
    for axes in [&[0][..], &[2], &[0, 3]] {
        add("Unsqueeze", &format!("{axes:?}"), &|b| {
            let x = b.apart(&[3, 4]);
            b.graph.unsqueeze(x, axes)
        });
    }
    for axis in 0..2 {
        add("Concat", &format!("axis {axis}"), &|b| {
            let (x, y, z) = (b.apart(&[2, 3]), b.apart(&[2, 3]), b.apart(&[2, 3]));
            b.graph.concat(&[x, y, z, x], axis)
        });
    }
    for (axis, start, end) in [(0, 1, 3), (1, 0, 2), (2, 3, 5)] {
        add("Slice", &format!("axis {axis}"), &|b| {
            let x = b.apart(&[4, 3, 5]);
            b.graph.slice(x, axis, start, end)
        });
    }
    for (variant, shape, indices) in indices() {
        for axis in 0..2 {
            add("Gather", &format!("axis {axis}, {variant}"), &|b| {
                let (x, i) = (b.apart(&[4, 4, 2]), b.indices(shape, indices));
                b.graph.gather(x, i, axis)
            });
            add("ScatterAdd", &format!("axis {axis}, {variant}"), &|b| {
                let mut updated = vec![4, 4, 2];
                updated.splice(axis..=axis, shape.iter().copied());
                let (x, i, u) = (b.apart(&[4, 4, 2]), b.indices(shape, indices), b.apart(&updated));
                b.graph.scatter_add(x, i, u, axis)
            });
        }
    }
    add("Cast", "f32 to bool", &|b| {
        let x = b.input(DType::F32, &[4], vec![0.0, 1.0, -0.5, 0.0]);
        b.graph.cast(x, DType::Bool)
    });
    add("Cast", "f32 to i64", &|b| {
        let x = b.input(DType::F32, &[4], vec![-1.75, 0.5, 2.0, 7.9]);
        b.graph.push(Cast { to: DType::I64 }, &[x])
    });
    add("Cast", "bool to f32", &|b| {
        let x = b.truths(&[5]);
        b.graph.cast(x, DType::F32)
    });
    add("Cast", "i64 to f32", &|b| {
        let x = b.indices(&[3], &[3, -4, 0]);
        b.graph.cast(x, DType::F32)
    });
    cases
}

fn shapes() -> [(&'static str, &'static [usize], &'static [usize]); 5] {
    [
        ("same shape", &[3, 5], &[3, 5]),
        ("rows", &[3, 5], &[5]),
        ("columns", &[3, 1], &[3, 5]),
        ("outer", &[3, 1, 1], &[2, 5]),
        ("scalar", &[], &[7]),
    ]
}

fn indices() -> [(&'static str, &'static [usize], &'static [i64]); 3] {
    [
        ("vector", &[5], &[3, 0, 0, 2, 3]),
        ("matrix", &[2, 2], &[1, 3, 1, 0]),
        ("scalar", &[], &[2]),
    ]
}
