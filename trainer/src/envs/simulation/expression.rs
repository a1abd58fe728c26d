//! A number that is a value of a graph.

use core::cell::RefCell;
use core::ops::{Add, Div, Mul, Neg, Sub};

use pliant_compiler::graph::{Graph, GraphError, ValueId};

use super::Number;

/// A graph under construction by [`Expression`]s.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_trainer::envs::{Expressions, Number};
///
/// /// Kinetic energy, for any number.
/// fn energy<T: Number>(mass: T, speed: T) -> T {
///     mass * speed.square() * 0.5
/// }
/// assert_eq!(energy(2.0f32, 3.0), 9.0);
///
/// let mut graph = Graph::new();
/// let mass = graph.input("mass", DType::F32, &[1, 8])?;
/// let speed = graph.input("speed", DType::F32, &[1, 8])?;
/// let expressions = Expressions::new(graph);
/// let energy = energy(expressions.of(mass), expressions.of(speed)).value();
/// let graph = expressions.finish()?;
/// assert_eq!(graph.shape(energy), [1, 8]);
/// # Ok::<(), pliant_compiler::graph::GraphError>(())
/// ```
#[derive(Debug)]
pub struct Expressions {
    graph: RefCell<Graph>,
    /// The first operator that was refused; what comes after it is not built.
    error: RefCell<Option<GraphError>>,
}

impl Expressions {
    /// Goes on building `graph`.
    pub fn new(graph: Graph) -> Self {
        Self {
            graph: RefCell::new(graph),
            error: RefCell::new(None),
        }
    }

    /// A value of the graph, as a number.
    pub fn of(&self, value: ValueId) -> Expression<'_> {
        Expression {
            expressions: self,
            value,
        }
    }

    /// The graph with everything that was computed.
    ///
    /// # Errors
    /// The first operator that was refused: values whose shapes do not fit each other.
    pub fn finish(self) -> Result<Graph, GraphError> {
        match self.error.into_inner() {
            Some(error) => Err(error),
            None => Ok(self.graph.into_inner()),
        }
    }

    fn build(
        &self,
        otherwise: ValueId,
        operator: impl FnOnce(&mut Graph) -> Result<ValueId, GraphError>,
    ) -> Expression<'_> {
        let mut error = self.error.borrow_mut();
        let value = match *error {
            Some(_) => otherwise,
            None => operator(&mut self.graph.borrow_mut()).unwrap_or_else(|refused| {
                *error = Some(refused);
                otherwise
            }),
        };
        self.of(value)
    }
}

/// A value of a graph under construction: arithmetic with it adds operators.
#[derive(Clone, Copy, Debug)]
pub struct Expression<'e> {
    expressions: &'e Expressions,
    value: ValueId,
}

impl<'e> Expression<'e> {
    /// The value in the graph.
    pub fn value(self) -> ValueId {
        self.value
    }

    fn unary(self, operator: impl FnOnce(&mut Graph, ValueId) -> Result<ValueId, GraphError>) -> Self {
        self.expressions.build(self.value, |graph| operator(graph, self.value))
    }

    fn binary(
        self,
        other: Self,
        operator: impl FnOnce(&mut Graph, ValueId, ValueId) -> Result<ValueId, GraphError>,
    ) -> Self {
        self.expressions
            .build(self.value, |graph| operator(graph, self.value, other.value))
    }
}

impl Number for Expression<'_> {
    fn sqrt(self) -> Self {
        self.unary(Graph::sqrt)
    }
    fn sin(self) -> Self {
        self.unary(Graph::sin)
    }
    fn cos(self) -> Self {
        self.unary(Graph::cos)
    }
    fn abs(self) -> Self {
        self.unary(Graph::abs)
    }
    fn max(self, other: Self) -> Self {
        self.binary(other, Graph::max)
    }
    fn relu(self) -> Self {
        self.unary(Graph::relu)
    }
    fn select_below(self, limit: Self, then: Self, otherwise: Self) -> Self {
        self.expressions.build(self.value, |graph| {
            let below = graph.less(self.value, limit.value)?;
            graph.where_(below, then.value, otherwise.value)
        })
    }
    fn constant_like(self, value: f32) -> Self {
        self.expressions.build(self.value, |graph| Ok(graph.scalar(value)))
    }
}

macro_rules! operators {
    ($($trait:ident::$method:ident),+) => {$(
        impl $trait for Expression<'_> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.binary(other, Graph::$method)
            }
        }
        impl $trait<f32> for Expression<'_> {
            type Output = Self;
            fn $method(self, other: f32) -> Self {
                self.$method(self.constant_like(other))
            }
        }
    )+};
}

operators!(Add::add, Sub::sub, Mul::mul, Div::div);

impl Neg for Expression<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(Graph::neg)
    }
}
