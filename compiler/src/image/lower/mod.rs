//! Lowering: from a graph to the records of a plan.
//!
//! The way through: every value becomes an *item* with the kernel its operator declares ([`kernel`]); items are
//! fused ([`fuse`]); each is then written as *steps* over buffers ([`program`], `elementwise`, `matmul`, `reduce`),
//! where transposes, slices and broadcasts are only strided views ([`view`]); copies whose source can be produced in
//! place disappear ([`elide`]); steps that free memory move forward ([`schedule`]); scratch is placed by liveness
//! ([`arena`]); and steps become records ([`emit`]), small elementwise ones several to a record ([`chain`]).

mod arena;
mod chain;
mod elementwise;
mod elide;
mod emit;
mod fuse;
mod items;
pub(crate) mod kernel;
mod matmul;
mod program;
mod reduce;
mod schedule;
mod translate;
mod view;

use std::collections::{BTreeSet, HashMap};

use pliant_runtime::image::record::{Opcode, Record, Space};
use pliant_runtime::plan::{Plan, PlanError, SpaceSizes};
use serde::Serialize;
use thiserror::Error;

use super::constants::ConstantPool;
use crate::graph::Graph;
use items::Items;
use program::Program;
use translate::Translator;

/// A place in the memory of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which memory.
    pub space: Space,
    /// First element, in `f32` from the start of the space.
    pub offset: usize,
}

impl Place {
    /// A place in `space`.
    pub const fn new(space: Space, offset: usize) -> Self {
        Self { space, offset }
    }
}

/// Where the inputs and outputs of a graph live.
///
/// What is not bound lies one after the other, in the order of declaration: inputs in [`Space::Input`], outputs in
/// [`Space::Output`] (after whatever is bound there). An output may be bound to the place of an input in a writable
/// space: it replaces the input.
///
/// ```
/// use pliant_compiler::image::{Bindings, Place};
/// use pliant_runtime::image::record::Space;
///
/// let bindings = Bindings::new()
///     .input("state", Place::new(Space::State, 0))
///     .output("next_state", Place::new(Space::State, 0));
/// # let _ = bindings;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    inputs: HashMap<String, Place>,
    outputs: HashMap<String, Place>,
    minimum: [usize; Space::COUNT],
}

impl Bindings {
    /// Nothing bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds an input.
    pub fn input(mut self, name: &str, place: Place) -> Self {
        self.inputs.insert(name.to_owned(), place);
        self
    }

    /// Binds an output.
    pub fn output(mut self, name: &str, place: Place) -> Self {
        self.outputs.insert(name.to_owned(), place);
        self
    }

    /// Gives `space` at least this many elements, whatever the graph uses.
    pub fn at_least(mut self, space: Space, elements: usize) -> Self {
        self.minimum[space as usize] = self.minimum[space as usize].max(elements);
        self
    }
}

/// How to lower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerOptions {
    /// Several values in one record, in-place updates, direct writes. Without, results have the same bits: for tests.
    pub fuse: bool,
    /// Scratch values start at multiples of this many elements; 16 suits wide vector units, 1 wastes nothing.
    pub alignment: usize,
    /// Less scratch rather than the widest vectors: for devices. Same bits.
    pub compact: bool,
    /// Small elementwise records as [`Opcode::Chain`]s: for many instances side by side. Same bits. Not where `compact`.
    pub chain: bool,
    /// Records that cost more multiply-accumulates are split where the operation allows it.
    pub max_macs_per_record: Option<u64>,
}

impl Default for LowerOptions {
    fn default() -> Self {
        Self {
            fuse: true,
            alignment: 1,
            compact: false,
            chain: true,
            max_macs_per_record: None,
        }
    }
}

/// Where an input or output of a lowered graph lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name in the graph.
    pub name: String,
    /// Its place.
    pub place: Place,
    /// Its shape; elements are row-major `f32` (integers and truth values too).
    pub shape: Vec<usize>,
}

impl Slot {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements it covers in its space.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.place.offset..self.place.offset + self.elements()
    }
}

/// Records that compute a graph.
#[derive(Clone, Debug)]
pub struct LoweredPlan {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Contents of [`Space::Const`]; empty when lowered into a shared [`ConstantPool`].
    pub constants: Vec<f32>,
    /// Elements of each space.
    pub sizes: SpaceSizes,
    /// Inputs, in the order of the graph.
    pub inputs: Vec<Slot>,
    /// Outputs, in the order of the graph.
    pub outputs: Vec<Slot>,
    /// What it costs.
    pub statistics: PlanStatistics,
}

/// What a plan costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanStatistics {
    /// Number of records.
    pub records: usize,
    /// Multiply-accumulates; for kernels without products, elements.
    pub macs: u64,
    /// The most expensive record.
    pub largest_record_macs: u64,
    /// Bytes of the records.
    pub record_bytes: usize,
    /// Bytes of scratch.
    pub arena_bytes: usize,
    /// Bytes of scratch if no two values shared memory.
    pub unshared_arena_bytes: usize,
    /// Names of the kernels used, in order.
    pub kernels: Vec<&'static str>,
}

/// Why a graph cannot be lowered.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LowerError {
    /// A binding names no input or output of the graph.
    #[error("the bindings name {0:?}, which is no {1} of the graph")]
    UnknownName(String, &'static str),
    /// An output is bound to memory that no plan may write.
    #[error("output {name:?} is bound to {space:?}, which is read-only")]
    ReadOnly {
        /// The output.
        name: String,
        /// Where it is bound.
        space: Space,
    },
    /// An input or output is bound to the arena or the constants, which belong to the compiler.
    #[error("{name:?} is bound to {space:?}, whose contents the compiler decides")]
    Reserved {
        /// The input or output.
        name: String,
        /// Where it is bound.
        space: Space,
    },
    /// Two inputs, or two outputs, share memory.
    #[error("{first:?} and {second:?} are bound to overlapping places in {space:?}")]
    Overlap {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Where.
        space: Space,
    },
    /// More memory than a record can address.
    #[error("{space:?} would need {elements} elements, more than 2^28")]
    TooLarge {
        /// Which memory.
        space: Space,
        /// How many elements.
        elements: usize,
    },
    /// The executor's own check refuses the plan: a defect of the compiler.
    #[error("the executor refuses the lowered plan: {0:?}")]
    Refused(PlanError),
}

/// Lowers a graph.
///
/// ```
/// use pliant_compiler::graph::{DType, Graph};
/// use pliant_compiler::image::{Bindings, LowerOptions, lower};
/// use pliant_runtime::plan::{Exact, Plan, Spaces};
///
/// let mut graph = Graph::new();
/// let x = graph.input("x", DType::F32, &[2]).unwrap();
/// let y = graph.scale(x, 3.0).unwrap();
/// graph.output("y", y).unwrap();
///
/// let lowered = lower(&graph, &Bindings::new(), &LowerOptions::default()).unwrap();
/// let plan = Plan::new_checked(&lowered.records, lowered.sizes).unwrap();
/// let mut output = [0.0; 2];
/// let mut spaces = Spaces {
///     constants: &lowered.constants,
///     input: &[1.0, 2.0],
///     output: &mut output,
///     ..Spaces::default()
/// };
/// plan.run::<Exact>(&mut spaces).unwrap();
/// assert_eq!(output, [3.0, 6.0]);
/// ```
///
/// # Errors
/// [`LowerError`] when the bindings do not fit the graph or each other, or a space would be too large.
pub fn lower(graph: &Graph, bindings: &Bindings, options: &LowerOptions) -> Result<LoweredPlan, LowerError> {
    let mut pool = ConstantPool::aligned(options.alignment);
    let mut lowered = lower_with(graph, bindings, options, &mut pool)?;
    lowered.constants = pool.into_values();
    Ok(lowered)
}

/// As [`lower`], with constants that several plans share. The plan's [`Space::Const`] is as large as the pool is then.
///
/// # Errors
/// As [`lower`].
pub fn lower_with(
    graph: &Graph,
    bindings: &Bindings,
    options: &LowerOptions,
    pool: &mut ConstantPool,
) -> Result<LoweredPlan, LowerError> {
    let (inputs, outputs) = place_ports(graph, bindings)?;
    let mut items = Items::new(graph);
    let in_place = in_place_outputs(graph, &items, &inputs, &outputs);
    items.define_sums(|output| in_place.get(&output).copied());
    if options.fuse {
        items.fuse();
    }

    let mut program = Program::new(pool, options.compact);
    program.chain = options.fuse && options.chain && !options.compact;
    let mut translator = Translator::new(&mut program, &items);
    for (port, slot) in graph.inputs().iter().zip(&inputs) {
        translator.bind(port.value.index(), slot);
    }
    translator.items(graph);
    translator.outputs(&outputs);
    if options.fuse {
        program.elide_copies();
    }
    program.schedule();
    let arena = program.place_scratch(options.alignment.max(1), options.fuse);
    let mut records = program.records(&arena, options.max_macs_per_record)?;
    if program.chain {
        records = program.chained(records, options.max_macs_per_record);
    }
    let unshared = program.scratch_total();

    let mut sizes = bindings.minimum;
    for slot in inputs.iter().chain(&outputs) {
        let size = &mut sizes[slot.place.space as usize];
        *size = (*size).max(slot.range().end);
    }
    sizes[Space::Arena as usize] = sizes[Space::Arena as usize].max(arena.size);
    sizes[Space::Const as usize] = pool.values().len();
    for (bits, &elements) in (0..).zip(&sizes) {
        if elements > emit::MAX_ELEMENTS {
            return Err(LowerError::TooLarge {
                space: Space::from_bits(bits).unwrap_or(Space::Const),
                elements,
            });
        }
    }
    let sizes = SpaceSizes(sizes.map(|elements| elements as u32));
    let plan = Plan::new_checked(&records, sizes).map_err(LowerError::Refused)?;
    let statistics = statistics(&plan, unshared);
    Ok(LoweredPlan {
        records,
        constants: Vec::new(),
        sizes,
        inputs,
        outputs,
        statistics,
    })
}

/// Places of all inputs and outputs.
fn place_ports(graph: &Graph, bindings: &Bindings) -> Result<(Vec<Slot>, Vec<Slot>), LowerError> {
    let place = |ports: &[crate::graph::Port], bound: &HashMap<String, Place>, default: Space, kind| {
        if let Some(name) = bound
            .keys()
            .find(|name| !ports.iter().any(|port| *port.name == ***name))
        {
            return Err(LowerError::UnknownName(name.clone(), kind));
        }
        let elements = |port: &crate::graph::Port| graph.shape(port.value).iter().product::<usize>();
        let mut next = ports
            .iter()
            .filter_map(|port| {
                bound
                    .get(&*port.name)
                    .filter(|p| p.space == default)
                    .map(|p| p.offset + elements(port))
            })
            .max()
            .unwrap_or(0);
        let mut slots = Vec::with_capacity(ports.len());
        for port in ports {
            let place = bound.get(&*port.name).copied().unwrap_or_else(|| {
                let place = Place::new(default, next);
                next += elements(port);
                place
            });
            slots.push(Slot {
                name: port.name.to_string(),
                place,
                shape: graph.shape(port.value).to_vec(),
            });
        }
        let mut order: Vec<&Slot> = slots.iter().collect();
        order.sort_by_key(|slot| (slot.place.space as u8, slot.place.offset));
        for pair in order.windows(2) {
            if pair[0].place.space == pair[1].place.space && pair[0].range().end > pair[1].place.offset {
                let (first, second) = (pair[0].name.clone(), pair[1].name.clone());
                return Err(LowerError::Overlap {
                    first,
                    second,
                    space: pair[0].place.space,
                });
            }
        }
        Ok(slots)
    };
    let inputs = place(graph.inputs(), &bindings.inputs, Space::Input, "input")?;
    let outputs = place(graph.outputs(), &bindings.outputs, Space::Output, "output")?;
    for slot in inputs.iter().chain(&outputs) {
        if matches!(slot.place.space, Space::Arena | Space::Const) {
            return Err(LowerError::Reserved {
                name: slot.name.clone(),
                space: slot.place.space,
            });
        }
    }
    if let Some(slot) = outputs.iter().find(|slot| !slot.place.space.writable()) {
        return Err(LowerError::ReadOnly {
            name: slot.name.clone(),
            space: slot.place.space,
        });
    }
    Ok((inputs, outputs))
}

/// The input whose place an output takes, by output item.
fn in_place_outputs(graph: &Graph, items: &Items, inputs: &[Slot], outputs: &[Slot]) -> HashMap<usize, usize> {
    let by_place: HashMap<Place, usize> = inputs
        .iter()
        .zip(graph.inputs())
        .map(|(slot, port)| (slot.place, port.value.index()))
        .collect();
    items
        .outputs
        .iter()
        .zip(outputs)
        .filter_map(|(&item, slot)| by_place.get(&slot.place).map(|&input| (item, input)))
        .collect()
}

fn statistics(plan: &Plan<'_>, unshared: usize) -> PlanStatistics {
    let kernels: BTreeSet<&'static str> = plan.records().iter().filter_map(kernel_name).collect();
    PlanStatistics {
        records: plan.records().len(),
        macs: plan.macs(),
        largest_record_macs: plan.records().iter().map(Record::macs).max().unwrap_or(0),
        record_bytes: plan.records().len() * Record::BYTES,
        arena_bytes: plan.sizes().get(Space::Arena) as usize * 4,
        unshared_arena_bytes: unshared * 4,
        kernels: kernels.into_iter().collect(),
    }
}

/// The kernel a record needs, by the name of the runtime's feature without `kernel-`.
pub(crate) fn kernel_name(record: &Record) -> Option<&'static str> {
    Some(match record.opcode()? {
        Opcode::MatMul => "matmul",
        Opcode::Unary => "unary",
        Opcode::Binary => "binary",
        Opcode::Ternary => "ternary",
        Opcode::Reduce => "reduce",
        Opcode::Copy => "copy",
        Opcode::Gather => "gather",
        Opcode::ScatterAdd => "scatter-add",
        Opcode::Fill => "fill",
        Opcode::Chain => "chain",
        Opcode::Gru => "gru",
    })
}
