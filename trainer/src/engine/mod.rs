//! What runs graphs on the workstation.
//!
//! An [`Engine`] compiles a [`Graph`] into a [`Program`]; a program is set, run and read, over and over. Three
//! implementations stand behind the trait:
//!
//! | engine | name | needs | for |
//! |---|---|---|---|
//! | [`PlanEngine`] | `plan`, `plan-exact` | nothing: it is the device's own plan executor | set-up free training, parity with the device |
//! | [`OrtEngine`] | `ort`, `ort-cuda` | the ONNX Runtime shared library | the CPU and CUDA execution providers |
//! | `TractEngine` | `tract` | the cargo feature `tract` | what Linux boards run, in pure Rust |
//!
//! A program runs on one thread. Training is data-parallel: one program per worker thread over chunks of tasks, which
//! beats threads inside an operator for graphs of this size.
//!
//! *Resident* values are parameters and optimiser state that stay where the program runs: a pair of an input and an
//! output that are one variable, whose new value is the old value of the next run. See [`CompileOptions::resident`].
//!
//! ```
//! use pliant_compiler::graph::{DType, Graph};
//! use pliant_trainer::engine::{CompileOptions, Engine, PlanEngine};
//!
//! let mut graph = Graph::new();
//! let x = graph.input("x", DType::F32, &[3])?;
//! let y = graph.square(x)?;
//! graph.output("y", y)?;
//!
//! let mut program = PlanEngine::fast().compile(&graph, &CompileOptions::default())?;
//! program.set(0, &[1.0, 2.0, 3.0])?;
//! program.run()?;
//! let mut squares = [0.0; 3];
//! program.get(0, &mut squares)?;
//! assert_eq!(squares, [1.0, 4.0, 9.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::Duration;

use pliant_compiler::{
    graph::{DType, Graph},
    passes::simplify,
};

mod error;
mod library;
mod ort;
mod plan;
mod ports;
mod select;
#[cfg(feature = "tract")]
mod tract;

pub use error::EngineError;
pub use library::{ONNX_RUNTIME_VERSION, find_onnx_runtime};
pub use ort::{OrtEngine, Provider};
pub use plan::{PlanArithmetic, PlanEngine};
pub use select::{ENGINE_NAMES, EngineChoice, Timing, select};
#[cfg(feature = "tract")]
pub use tract::TractEngine;

/// Something that runs graphs.
pub trait Engine: Send + Sync {
    /// The name it is selected by: one of [`ENGINE_NAMES`] (but `auto`).
    fn name(&self) -> &'static str;

    /// Whether one run over all tasks is faster than one a chunk of them on several threads: on a GPU, whose cores the
    /// tasks share.
    fn prefers_whole_batches(&self) -> bool {
        false
    }

    /// Compiles a graph. Every buffer a run needs is allocated here.
    ///
    /// # Errors
    /// When the graph cannot be expressed on this engine, when [`CompileOptions::resident`] names a value that does not
    /// exist or pairs values of different shapes, or when the engine itself fails.
    fn compile(&self, graph: &Graph, options: &CompileOptions) -> Result<Box<dyn Program>, EngineError>;
}

/// How to compile a graph.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Pairs (input name, output name) that are one variable: after a run, the output's value is the input's value of
    /// the next run, without a copy to the host. Both must have the same shape and dtype; a name may be in one pair only.
    pub resident: Vec<(String, String)>,
    /// Compile the graph as it is, without the rewrites of [`passes::simplify`](pliant_compiler::passes::simplify): for
    /// tests of single operators.
    pub as_given: bool,
}

impl CompileOptions {
    /// Options with these resident pairs.
    pub fn resident(pairs: Vec<(String, String)>) -> Self {
        Self {
            resident: pairs,
            ..Self::default()
        }
    }

    /// The graph that is compiled.
    fn prepare(&self, graph: &Graph) -> Graph {
        if self.as_given { graph.prune() } else { simplify(graph) }
    }
}

/// An input or an output of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the graph.
    pub name: String,
    /// Element type in the graph. Values are always exchanged as `f32`: integers exactly, truth values as 0 and 1.
    pub dtype: DType,
    /// Shape, row-major.
    pub shape: Vec<usize>,
}

impl Port {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What compiling a graph took and gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Operators of the graph that was compiled, after the rewrites.
    pub graph_nodes: usize,
    /// Kernel calls of one run where the engine knows them (plan records); otherwise the nodes handed to it.
    pub kernels: usize,
    /// Wall-clock time of [`Engine::compile`].
    pub creation: Duration,
}

/// A compiled graph with its buffers.
///
/// Values keep until they are set again: an input that does not change is set once.
pub trait Program: Send {
    /// Inputs in the order of the graph.
    fn inputs(&self) -> &[Port];

    /// Outputs in the order of the graph.
    fn outputs(&self) -> &[Port];

    /// Copies `values` (row-major, as many as the input has elements) into input number `input`. For a resident input
    /// this replaces the variable's current value. Before the first `set` an input is all zeros.
    ///
    /// # Errors
    /// [`EngineError::NoSuchPort`], [`EngineError::Length`], or the engine's own failure (a device copy).
    fn set(&mut self, input: usize, values: &[f32]) -> Result<(), EngineError>;

    /// Runs the graph once.
    ///
    /// # Errors
    /// The engine's own failure. Values that are not finite are no error: they are the result.
    fn run(&mut self) -> Result<(), EngineError>;

    /// Copies output number `output` of the last run into `into` (as many elements as the output has). For a resident
    /// output this is the variable's current value, also right after a [`Program::set`].
    ///
    /// # Errors
    /// [`EngineError::NoSuchPort`], [`EngineError::Length`], or the engine's own failure (a device copy).
    fn get(&mut self, output: usize, into: &mut [f32]) -> Result<(), EngineError>;

    /// What compiling took.
    fn statistics(&self) -> Statistics;
}
