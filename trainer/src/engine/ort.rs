//! Graphs on ONNX Runtime, CPU or CUDA execution provider.
//!
//! The shared library is loaded at run time, so Pliant builds and trains without it. Sessions have one thread: training
//! runs one program per worker, which beats threads inside an operator for graphs of this size.
//!
//! Resident values use two bindings in turn: the first reads buffer A and writes buffer B, the second the other way
//! round, bound once. Binding one buffer as both input and output is no error in ONNX Runtime, but operators then read
//! values that others already overwrote.
//!
//! On CUDA a run is recorded once a binding and then replayed as a CUDA graph: one launch instead of one an operator. That
//! needs fixed shapes, no control flow, and every input and output in the device's memory at its place, which is how
//! graphs and bindings are here.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ort::{
    LoadDynamicError,
    environment::Environment,
    ep,
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, RunOptions, Session},
    value::{DynTensor, TensorElementType},
};
use pliant_compiler::{
    graph::{DType, Graph},
    onnx::{ExportOptions, export},
};

use super::{
    CompileOptions, Engine, EngineError, Port, Program, Statistics, find_onnx_runtime,
    ports::{Ports, operators},
};

/// Which of ONNX Runtime's execution providers runs the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The CPU, one thread.
    Cpu,
    /// The NVIDIA GPU with this number. Nothing falls back to the CPU, and matrix products do not use TF32.
    Cuda {
        /// Number of the device, from 0.
        device: i32,
    },
}

/// The ONNX Runtime engine.
#[derive(Debug)]
pub struct OrtEngine {
    environment: Environment,
    provider: Provider,
}

/// The library of this process: ONNX Runtime allows one library and one environment.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

impl OrtEngine {
    /// Loads the library (see [`find_onnx_runtime`] for where it is looked for) and checks that the provider works.
    ///
    /// # Errors
    /// [`EngineError::LibraryMissing`], [`EngineError::LibraryUnusable`], [`EngineError::LibraryTooOld`],
    /// [`EngineError::LibraryAlreadyLoaded`], [`EngineError::CudaUnavailable`]: each says what to do next.
    pub fn new(library: Option<&Path>, provider: Provider) -> Result<Self, EngineError> {
        let path = find_onnx_runtime(library)?;
        let environment = load(&path)?;
        let engine = Self { environment, provider };
        if let Provider::Cuda { .. } = provider {
            engine.probe_cuda().map_err(|error| match error {
                EngineError::OnnxRuntime { message, .. } => EngineError::CudaUnavailable { reason: message },
                other => other,
            })?;
        }
        Ok(engine)
    }

    /// Creates a session for the smallest graph there is: a missing driver or library shows here, not hours later.
    fn probe_cuda(&self) -> Result<(), EngineError> {
        let mut graph = Graph::new();
        let built = graph
            .input("x", DType::F32, &[1])
            .and_then(|x| graph.neg(x))
            .and_then(|negated| graph.output("y", negated));
        debug_assert!(built.is_ok());
        let mut program = self.compile(&graph, &CompileOptions::default())?;
        program.set(0, &[1.0])?;
        program.run()
    }

    fn session(&self, model: &[u8]) -> ort::Result<Session> {
        let mut builder = Session::builder(&self.environment)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?;
        if let Provider::Cuda { device } = self.provider {
            let cuda = ep::CUDA::default()
                .with_device_id(device)
                .with_tf32(false)
                .with_cuda_graph(true)
                .build()
                .error_on_failure();
            builder = builder.with_execution_providers([cuda])?.with_disable_cpu_fallback()?;
        }
        builder.commit_from_memory(model)
    }
}

impl Engine for OrtEngine {
    fn name(&self) -> &'static str {
        match self.provider {
            Provider::Cpu => "ort",
            Provider::Cuda { .. } => "ort-cuda",
        }
    }

    fn prefers_whole_batches(&self) -> bool {
        matches!(self.provider, Provider::Cuda { .. })
    }

    fn compile(&self, graph: &Graph, options: &CompileOptions) -> Result<Box<dyn Program>, EngineError> {
        let start = Instant::now();
        let ports = Ports::new(graph, options)?;
        let graph = options.prepare(graph);
        let model = export(&graph, &ExportOptions::default())?;
        let session = self.session(&model).map_err(failed("creating the session"))?;
        let nodes = operators(&graph);
        let statistics = Statistics {
            graph_nodes: nodes,
            kernels: nodes,
            creation: start.elapsed(),
        };
        let mut program =
            OrtProgram::new(session, ports, self.provider, statistics).map_err(failed("binding buffers"))?;
        program.statistics.creation = start.elapsed();
        Ok(Box::new(program))
    }
}

/// Loads the library, or finds it loaded.
fn load(path: &Path) -> Result<Environment, EngineError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if let Some((loaded, environment)) = &*loaded {
        if *loaded != path {
            return Err(EngineError::LibraryAlreadyLoaded {
                loaded: loaded.clone(),
                asked: path,
            });
        }
        return Ok(environment.clone());
    }
    let builder = ort::init_from(&path).map_err(|error| match error {
        LoadDynamicError::BadVersion { version_str, path } => EngineError::LibraryTooOld {
            path,
            found: version_str,
        },
        other => EngineError::LibraryUnusable {
            path: path.clone(),
            reason: other.to_string(),
        },
    })?;
    let environment = builder
        .with_name("pliant")
        .with_telemetry(false)
        .build()
        .map_err(failed("creating the environment"))?;
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}

fn failed(doing: &'static str) -> impl FnOnce(ort::Error) -> EngineError {
    move |error| EngineError::OnnxRuntime {
        doing,
        message: error.to_string(),
    }
}

/// A tensor the host can reach, and its copy on the device where that is another memory.
struct Buffer {
    host: DynTensor,
    device: Option<DynTensor>,
}

impl Buffer {
    /// All zeros, on the host and in `device`'s memory.
    fn new(port: &Port, device: Option<&Allocator>) -> ort::Result<Self> {
        let element = match port.dtype {
            DType::F32 => TensorElementType::Float32,
            DType::I64 => TensorElementType::Int64,
            DType::Bool => TensorElementType::Bool,
        };
        let host = DynTensor::new(&Allocator::default(), element, port.shape.as_slice())?;
        let device = match device {
            Some(allocator) => {
                let mut tensor = DynTensor::new(allocator, element, port.shape.as_slice())?;
                host.copy_into(&mut tensor)?;
                Some(tensor)
            }
            None => None,
        };
        Ok(Self { host, device })
    }

    /// What a session binds.
    fn bound(&mut self) -> &mut DynTensor {
        self.device.as_mut().unwrap_or(&mut self.host)
    }

    fn write(&mut self, dtype: DType, values: &[f32]) -> ort::Result<()> {
        match dtype {
            DType::F32 => self.host.try_extract_tensor_mut::<f32>()?.1.copy_from_slice(values),
            DType::I64 => {
                let to = self.host.try_extract_tensor_mut::<i64>()?.1;
                to.iter_mut().zip(values).for_each(|(to, &value)| *to = value as i64);
            }
            DType::Bool => {
                let to = self.host.try_extract_tensor_mut::<bool>()?.1;
                to.iter_mut().zip(values).for_each(|(to, &value)| *to = value != 0.0);
            }
        }
        match &mut self.device {
            Some(device) => self.host.copy_into(device),
            None => Ok(()),
        }
    }

    fn read(&mut self, dtype: DType, into: &mut [f32]) -> ort::Result<()> {
        if let Some(device) = &self.device {
            device.copy_into(&mut self.host)?;
        }
        match dtype {
            DType::F32 => into.copy_from_slice(self.host.try_extract_tensor::<f32>()?.1),
            DType::I64 => {
                let from = self.host.try_extract_tensor::<i64>()?.1;
                into.iter_mut().zip(from).for_each(|(to, &value)| *to = value as f32);
            }
            DType::Bool => {
                let from = self.host.try_extract_tensor::<bool>()?.1;
                into.iter_mut()
                    .zip(from)
                    .for_each(|(to, &value)| *to = f32::from(u8::from(value)));
            }
        }
        Ok(())
    }
}

/// A session with its buffers bound.
struct OrtProgram {
    // The bindings go before the buffers they refer to, and both before the session.
    bindings: Vec<IoBinding>,
    /// By binding: which CUDA graph is its own.
    options: Vec<RunOptions>,
    /// The binding of the next run: which of a resident value's two buffers is the current one.
    turn: usize,
    /// By input: one buffer, or two for a resident value.
    inputs: Vec<Vec<Buffer>>,
    /// By output: the host's buffer; none for a resident value.
    outputs: Vec<Option<Buffer>>,
    session: Session,
    ports: Ports,
    statistics: Statistics,
}

impl OrtProgram {
    fn new(session: Session, ports: Ports, provider: Provider, statistics: Statistics) -> ort::Result<Self> {
        let device = match provider {
            Provider::Cpu => None,
            Provider::Cuda { device } => Some(Allocator::new(
                &session,
                MemoryInfo::new(
                    AllocationDevice::CUDA,
                    device,
                    AllocatorType::Device,
                    MemoryType::Default,
                )?,
            )?),
        };
        let mut inputs = Vec::with_capacity(ports.inputs.len());
        for (port, next) in ports.inputs.iter().zip(&ports.next) {
            let count = if next.is_some() { 2 } else { 1 };
            inputs.push(
                (0..count)
                    .map(|_| Buffer::new(port, device.as_ref()))
                    .collect::<ort::Result<Vec<_>>>()?,
            );
        }
        // Read back on demand: a recorded graph has no copies to the host.
        let mut outputs = Vec::with_capacity(ports.outputs.len());
        for (port, previous) in ports.outputs.iter().zip(&ports.previous) {
            outputs.push(if previous.is_some() {
                None
            } else {
                Some(Buffer::new(port, device.as_ref())?)
            });
        }
        let turns = if ports.next.iter().any(Option::is_some) { 2 } else { 1 };
        let mut bindings = Vec::with_capacity(turns);
        let mut options = Vec::with_capacity(turns);
        for turn in 0..turns {
            let mut binding = session.create_binding()?;
            for (port, buffers) in ports.inputs.iter().zip(&mut inputs) {
                let current = turn % buffers.len();
                binding.bind_input(port.name.as_str(), buffers[current].bound())?;
            }
            for ((port, buffer), previous) in ports.outputs.iter().zip(&mut outputs).zip(&ports.previous) {
                let buffer = match (buffer, previous) {
                    (_, Some(input)) => &mut inputs[*input][1 - turn],
                    (Some(buffer), None) => buffer,
                    (None, None) => unreachable!("an output without a resident input has a buffer"),
                };
                binding.bind_output(port.name.as_str(), buffer.bound())?;
            }
            bindings.push(binding);
            let mut own = RunOptions::new()?;
            if device.is_some() {
                // Addresses are part of a recorded graph, so a binding never replays the other's. Numbers from 1.
                own.set("gpu_graph_id", (turn + 1).to_string())?;
            }
            options.push(own);
        }
        Ok(Self {
            bindings,
            options,
            turn: 0,
            inputs,
            outputs,
            session,
            ports,
            statistics,
        })
    }
}

impl Program for OrtProgram {
    fn inputs(&self) -> &[Port] {
        &self.ports.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.ports.outputs
    }

    fn set(&mut self, input: usize, values: &[f32]) -> Result<(), EngineError> {
        self.ports.check_input(input, values.len())?;
        let buffers = &mut self.inputs[input];
        let current = self.turn % buffers.len();
        buffers[current]
            .write(self.ports.inputs[input].dtype, values)
            .map_err(failed("setting an input"))
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.session
            .run_binding_with_options(&self.bindings[self.turn], &self.options[self.turn])
            .map_err(failed("running the graph"))?;
        self.turn = (self.turn + 1) % self.bindings.len();
        Ok(())
    }

    fn get(&mut self, output: usize, into: &mut [f32]) -> Result<(), EngineError> {
        self.ports.check_output(output, into.len())?;
        let dtype = self.ports.outputs[output].dtype;
        let buffer = match self.ports.previous[output] {
            Some(input) => Some(&mut self.inputs[input][self.turn]),
            None => self.outputs[output].as_mut(),
        };
        match buffer {
            Some(buffer) => buffer.read(dtype, into).map_err(failed("reading an output")),
            None => unreachable!("an output without a resident input has a buffer"),
        }
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}
