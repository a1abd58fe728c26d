//! Graphs on tract: ONNX in pure Rust, what Linux boards run `policy.onnx` and `adapt.onnx` with.
//!
//! On a workstation it is slower than the other engines; it stands here so that one conformance suite covers what boards
//! run, and as a fallback that needs neither a shared library nor the plan executor. Behind the cargo feature `tract`:
//! it brings about a hundred and fifty crates.
//!
//! A program is one thread and one state, reused from run to run. tract gives new tensors for outputs, so a resident
//! value is handed over without a copy: the output's tensor is the input's in the next run.

use std::{sync::Arc, time::Instant};

use pliant_compiler::{
    graph::{DType, Graph},
    onnx::{ExportOptions, export},
};
use tract_onnx::prelude::{
    DatumType, Framework as _, InferenceModelExt as _, IntoArcTensor as _, IntoRunnable as _, TValue, TVec, Tensor,
    TractError, TypedSimpleState, onnx,
};

use super::{
    CompileOptions, Engine, EngineError, Port, Program, Statistics,
    ports::{Ports, operators},
};

/// The tract engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct TractEngine;

impl TractEngine {
    /// An engine; it needs nothing.
    pub const fn new() -> Self {
        Self
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn compile(&self, graph: &Graph, options: &CompileOptions) -> Result<Box<dyn Program>, EngineError> {
        let start = Instant::now();
        let ports = Ports::new(graph, options)?;
        let graph = options.prepare(graph);
        let model = export(&graph, &ExportOptions::default())?;
        let model = onnx()
            .model_for_read(&mut model.as_slice())
            .map_err(failed("reading the model"))?;
        let plan = model
            .into_optimized()
            .and_then(|model| model.into_runnable())
            .map_err(failed("optimising the model"))?;
        let kernels = plan.order_without_consts().len();
        let state = plan.spawn().map_err(failed("creating the state"))?;
        let zeros = |ports: &[Port]| -> Result<Vec<Arc<Tensor>>, EngineError> {
            let zero = |port: &Port| Tensor::zero_dt(datum_type(port.dtype), &port.shape).map(Arc::new);
            ports
                .iter()
                .map(zero)
                .collect::<Result<_, _>>()
                .map_err(failed("making buffers"))
        };
        Ok(Box::new(TractProgram {
            inputs: zeros(&ports.inputs)?,
            outputs: zeros(&ports.outputs)?,
            state,
            statistics: Statistics {
                graph_nodes: operators(&graph),
                kernels,
                creation: start.elapsed(),
            },
            ports,
        }))
    }
}

fn datum_type(dtype: DType) -> DatumType {
    match dtype {
        DType::F32 => DatumType::F32,
        DType::I64 => DatumType::I64,
        DType::Bool => DatumType::Bool,
    }
}

fn failed(doing: &'static str) -> impl FnOnce(TractError) -> EngineError {
    // The alternate form has the causes, which say what is wrong; the outermost only says where.
    move |error| EngineError::Tract {
        doing,
        message: format!("{error:#}"),
    }
}

/// A model with its state and the tensors that go in and out.
struct TractProgram {
    state: TypedSimpleState,
    inputs: Vec<Arc<Tensor>>,
    /// Of the last run; unused for resident outputs, which are in `inputs`.
    outputs: Vec<Arc<Tensor>>,
    ports: Ports,
    statistics: Statistics,
}

impl Program for TractProgram {
    fn inputs(&self) -> &[Port] {
        &self.ports.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.ports.outputs
    }

    fn set(&mut self, input: usize, values: &[f32]) -> Result<(), EngineError> {
        self.ports.check_input(input, values.len())?;
        // Copies the old values where an output shares the tensor (an output that is this very input); else writes in place.
        let tensor = Arc::make_mut(&mut self.inputs[input]);
        let written = (|| {
            let mut plain = tensor.try_as_plain_ram_mut()?;
            match self.ports.inputs[input].dtype {
                DType::F32 => plain.as_slice_mut::<f32>()?.copy_from_slice(values),
                DType::I64 => {
                    let to = plain.as_slice_mut::<i64>()?;
                    to.iter_mut().zip(values).for_each(|(to, &value)| *to = value as i64);
                }
                DType::Bool => {
                    let to = plain.as_slice_mut::<bool>()?;
                    to.iter_mut().zip(values).for_each(|(to, &value)| *to = value != 0.0);
                }
            }
            Ok(())
        })();
        written.map_err(failed("setting an input"))
    }

    fn run(&mut self) -> Result<(), EngineError> {
        let inputs: TVec<TValue> = self
            .inputs
            .iter()
            .map(|tensor| TValue::from_const(tensor.clone()))
            .collect();
        let outputs = self.state.run(inputs).map_err(failed("running the graph"))?;
        for (index, value) in outputs.into_iter().enumerate() {
            let mut tensor = value.into_arc_tensor();
            // tract's optimiser turns some integers into its symbolic dimension type; what leaves has the graph's type.
            let declared = datum_type(self.ports.outputs[index].dtype);
            if tensor.datum_type() != declared {
                let cast = tensor.cast_to_dt(declared).map_err(failed("converting an output"))?;
                tensor = Arc::new(cast.into_owned());
            }
            match self.ports.previous[index] {
                Some(input) => self.inputs[input] = tensor,
                None => self.outputs[index] = tensor,
            }
        }
        Ok(())
    }

    fn get(&mut self, output: usize, into: &mut [f32]) -> Result<(), EngineError> {
        self.ports.check_output(output, into.len())?;
        let tensor = match self.ports.previous[output] {
            Some(input) => &self.inputs[input],
            None => &self.outputs[output],
        };
        let read = (|| {
            let plain = tensor.try_as_plain_ram()?;
            match self.ports.outputs[output].dtype {
                DType::F32 => into.copy_from_slice(plain.as_slice::<f32>()?),
                DType::I64 => {
                    let from = plain.as_slice::<i64>()?;
                    into.iter_mut().zip(from).for_each(|(to, &value)| *to = value as f32);
                }
                DType::Bool => {
                    let from = plain.as_slice::<bool>()?;
                    into.iter_mut()
                        .zip(from)
                        .for_each(|(to, &value)| *to = f32::from(u8::from(value)));
                }
            }
            Ok(())
        })();
        read.map_err(failed("reading an output"))
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}
