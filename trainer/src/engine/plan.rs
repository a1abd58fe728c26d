//! Graphs on the plan executor of the device, on this workstation: no set-up, and the reference for parity.

use std::time::Instant;

use bytemuck::{Pod, Zeroable};
use pliant_compiler::{
    graph::Graph,
    image::{Bindings, LowerOptions, LoweredPlan, Place, Slot, lower},
};
use pliant_runtime::{
    image::record::Space,
    plan::{AdaptedRef, Exact, Fast, PreparedPlan, Spaces},
};

use super::{
    CompileOptions, Engine, EngineError, Port, Program, Statistics,
    ports::{Ports, operators},
};

/// How the plan executor rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanArithmetic {
    /// Every sum in index order, multiply and add rounded each: the bits of every device.
    Exact,
    /// Products fused into sums and sums reordered where that is faster; within the stated tolerance of [`Self::Exact`].
    Fast,
}

/// The embedded engine.
#[derive(Clone, Copy, Debug)]
pub struct PlanEngine {
    arithmetic: PlanArithmetic,
}

impl PlanEngine {
    /// For training: may fuse and reassociate.
    pub const fn fast() -> Self {
        Self {
            arithmetic: PlanArithmetic::Fast,
        }
    }

    /// For parity: the bits of the device.
    pub const fn exact() -> Self {
        Self {
            arithmetic: PlanArithmetic::Exact,
        }
    }

    /// How it rounds.
    pub const fn arithmetic(&self) -> PlanArithmetic {
        self.arithmetic
    }
}

impl Engine for PlanEngine {
    fn name(&self) -> &'static str {
        match self.arithmetic {
            PlanArithmetic::Fast => "plan",
            PlanArithmetic::Exact => "plan-exact",
        }
    }

    fn compile(&self, graph: &Graph, options: &CompileOptions) -> Result<Box<dyn Program>, EngineError> {
        let start = Instant::now();
        let ports = Ports::new(graph, options)?;
        // A resident value is updated in place: its input and its output are one range of the state.
        let mut bindings = Bindings::new();
        let mut offset = 0;
        for (input, output) in ports
            .next
            .iter()
            .enumerate()
            .filter_map(|(input, next)| Some((input, (*next)?)))
        {
            let place = Place::new(Space::State, offset);
            bindings = bindings
                .input(&ports.inputs[input].name, place)
                .output(&ports.outputs[output].name, place);
            offset += ports.inputs[input].len().next_multiple_of(Line::LEN);
        }
        let graph = options.prepare(graph);
        let lowered = lower(
            &graph,
            &bindings,
            &LowerOptions {
                alignment: Line::LEN,
                ..LowerOptions::default()
            },
        )?;
        let plan = PreparedPlan::new(&lowered.records, lowered.sizes).map_err(EngineError::Plan)?;
        let graph_nodes = operators(&graph);
        let mut program = PlanProgram {
            arithmetic: self.arithmetic,
            memory: Memory::new(&lowered),
            statistics: Statistics {
                graph_nodes,
                kernels: lowered.records.len(),
                creation: start.elapsed(),
            },
            plan,
            inputs: lowered.inputs,
            outputs: lowered.outputs,
            ports,
        };
        program.statistics.creation = start.elapsed();
        Ok(Box::new(program))
    }
}

/// Sixteen elements that start at a multiple of 64 bytes: whole vectors and whole cache lines.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;

    fn zeros(elements: usize) -> Vec<Self> {
        vec![Self::zeroed(); elements.div_ceil(Self::LEN)]
    }
}

/// The spaces of one program.
struct Memory {
    constants: Vec<Line>,
    input: Vec<Line>,
    arena: Vec<Line>,
    state: Vec<Line>,
    output: Vec<Line>,
}

impl Memory {
    fn new(lowered: &LoweredPlan) -> Self {
        let zeros = |space| Line::zeros(lowered.sizes.get(space) as usize);
        let mut constants = Line::zeros(lowered.constants.len());
        bytemuck::cast_slice_mut(&mut constants)[..lowered.constants.len()].copy_from_slice(&lowered.constants);
        Self {
            constants,
            input: zeros(Space::Input),
            arena: zeros(Space::Arena),
            state: zeros(Space::State),
            output: zeros(Space::Output),
        }
    }

    fn spaces(&mut self) -> Spaces<'_> {
        Spaces {
            constants: bytemuck::cast_slice(&self.constants),
            input: bytemuck::cast_slice(&self.input),
            bank: &[],
            adapted: AdaptedRef::Shared(&[]),
            arena: bytemuck::cast_slice_mut(&mut self.arena),
            state: bytemuck::cast_slice_mut(&mut self.state),
            output: bytemuck::cast_slice_mut(&mut self.output),
            accumulator: &mut [],
        }
    }

    /// The values of a place in the input, the state or the output.
    fn at(&mut self, space: Space) -> &mut [f32] {
        match space {
            Space::Input => bytemuck::cast_slice_mut(&mut self.input),
            Space::State => bytemuck::cast_slice_mut(&mut self.state),
            Space::Output => bytemuck::cast_slice_mut(&mut self.output),
            other => unreachable!("inputs and outputs are not bound to {other:?}"),
        }
    }
}

/// A lowered graph with its memory.
struct PlanProgram {
    arithmetic: PlanArithmetic,
    plan: PreparedPlan,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
    memory: Memory,
    ports: Ports,
    statistics: Statistics,
}

impl Program for PlanProgram {
    fn inputs(&self) -> &[Port] {
        &self.ports.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.ports.outputs
    }

    fn set(&mut self, input: usize, values: &[f32]) -> Result<(), EngineError> {
        self.ports.check_input(input, values.len())?;
        let slot = &self.inputs[input];
        self.memory.at(slot.place.space)[slot.range()].copy_from_slice(values);
        Ok(())
    }

    fn run(&mut self) -> Result<(), EngineError> {
        let mut spaces = self.memory.spaces();
        let result = match self.arithmetic {
            PlanArithmetic::Exact => self.plan.run::<Exact>(&mut spaces),
            PlanArithmetic::Fast => self.plan.run::<Fast>(&mut spaces),
        };
        result.map_err(EngineError::Plan)
    }

    fn get(&mut self, output: usize, into: &mut [f32]) -> Result<(), EngineError> {
        self.ports.check_output(output, into.len())?;
        let slot = &self.outputs[output];
        into.copy_from_slice(&self.memory.at(slot.place.space)[slot.range()]);
        Ok(())
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}
