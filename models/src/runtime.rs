//! Runs ONNX models on ONNX Runtime, which is loaded when it is first needed: whoever uses no model needs no library.

use crate::catalog::{Catalog, Entry};
use crate::store::Store;
use anyhow::{Context, anyhow, bail, ensure};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{PrimitiveTensorElementType, TensorElementType, TensorRef, ValueRef, ValueType};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// The name of the library in the catalog.
pub const LIBRARY: &str = "onnxruntime";

/// Numbers with a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Numbers that a model is given, row by row, with their shape.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    Float32(&'a [usize], &'a [f32]),
    Uint8(&'a [usize], &'a [u8]),
}

/// What an input or output is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    Float32,
    Uint8,
    Int64,
    /// Another type, by ONNX Runtime's name.
    Other(String),
}

/// An input or output of a model, as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    pub name: String,
    pub element: Element,
    /// `None`: any, or unknown before the model has run.
    pub sizes: Vec<Option<usize>>,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Float32 => f.write_str("float32"),
            Element::Uint8 => f.write_str("uint8"),
            Element::Int64 => f.write_str("int64"),
            Element::Other(name) => f.write_str(name),
        }
    }
}

/// As the catalog writes it, without the name: `float32[n,3,224,224]`.
impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> =
            self.sizes.iter().map(|size| size.map_or_else(|| "n".to_owned(), |size| size.to_string())).collect();
        write!(f, "{}[{}]", self.element, sizes.join(","))
    }
}

impl Outlet {
    fn new(outlet: &ort::value::Outlet) -> Self {
        let (element, sizes) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                let element = match ty {
                    TensorElementType::Float32 => Element::Float32,
                    TensorElementType::Uint8 => Element::Uint8,
                    TensorElementType::Int64 => Element::Int64,
                    TensorElementType::Float16 => Element::Other("float16".to_owned()),
                    other => Element::Other(other.to_string()),
                };
                (element, shape.iter().map(|size| usize::try_from(*size).ok()).collect())
            }
            other => (Element::Other(other.to_string()), vec![]),
        };
        Outlet { name: outlet.name().to_owned(), element, sizes }
    }
}

/// What computes: ONNX Runtime's execution providers. The library of the catalog has the processor's alone;
/// ORT_DYLIB_PATH names one that was built with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    #[default]
    Cpu,
    Cuda,
    TensorRt,
    OpenVino,
    CoreMl,
    DirectMl,
}

impl Provider {
    /// `None`: the processor, which is always there. What a provider cannot do the processor does.
    fn dispatch(self) -> Option<ExecutionProviderDispatch> {
        let dispatch = match self {
            Provider::Cpu => return None,
            Provider::Cuda => ep::CUDA::default().build(),
            Provider::TensorRt => ep::TensorRT::default().build(),
            Provider::OpenVino => ep::OpenVINO::default().build(),
            Provider::CoreMl => ep::CoreML::default().build(),
            Provider::DirectMl => ep::DirectML::default().build(),
        };
        Some(dispatch.error_on_failure())
    }
}

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Runs at the same time; each has the model's working memory of its own.
    pub sessions: usize,
    /// Threads of each run.
    pub threads: usize,
    pub provider: Provider,
}

impl Default for Options {
    fn default() -> Self {
        Options { sessions: 1, threads: 1, provider: Provider::Cpu }
    }
}

/// A model that is ready to run.
pub struct Model {
    name: String,
    inputs: Vec<Outlet>,
    outputs: Vec<Outlet>,
    notes: BTreeMap<String, String>,
    idle: Mutex<Vec<Session>>,
    returned: Condvar,
}

impl Model {
    /// Opens a model of the catalog.
    ///
    /// # Errors
    /// It or the library is not in the store, or altered; it cannot be loaded, or has other inputs and outputs than the
    /// catalog says.
    pub fn open(catalog: &Catalog, store: &Store, name: &str, options: Options) -> anyhow::Result<Self> {
        let entry = catalog.get(name)?;
        let path = store.find(name, entry)?;
        let model = Model::load(name.to_owned(), &path, &library(catalog, store)?, options)?;
        model.check(entry).with_context(|| format!("the model {name}"))?;
        Ok(model)
    }

    /// Opens a file of anybody's; `library` is ONNX Runtime, as [`library`] finds it.
    ///
    /// # Errors
    /// The file is not there, is no ONNX model or a damaged one, or the library cannot be loaded.
    pub fn open_file(path: &Path, library: &Path, options: Options) -> anyhow::Result<Self> {
        Model::load(path.display().to_string(), path, library, options)
    }

    fn load(name: String, path: &Path, library: &Path, options: Options) -> anyhow::Result<Self> {
        let sessions = (0..options.sessions.max(1)).map(|_| session(library, path, options));
        let sessions = sessions.collect::<anyhow::Result<Vec<_>>>().with_context(|| format!("the model {name}"))?;
        let first = sessions.first().context("a model has a session at least")?;
        let inputs = first.inputs().iter().map(Outlet::new).collect();
        let outputs = first.outputs().iter().map(Outlet::new).collect();
        let notes = notes(first);
        Ok(Model { name, inputs, outputs, notes, idle: Mutex::new(sessions), returned: Condvar::new() })
    }

    /// In the catalog, or its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In the order of the file.
    pub fn inputs(&self) -> &[Outlet] {
        &self.inputs
    }

    /// In the order of the file.
    pub fn outputs(&self) -> &[Outlet] {
        &self.outputs
    }

    /// What whoever exported the model has noted in its file: ONNX's `metadata_props`.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.get(key).map(String::as_str)
    }

    /// Runs the model on one input; its outputs by name. Waits while all sessions are busy.
    ///
    /// # Errors
    /// The input does not fit, or the run fails.
    pub fn run(&self, input: &str, tensor: &Tensor) -> anyhow::Result<BTreeMap<String, Tensor>> {
        self.run_on(input, Given::Float32(&tensor.shape, &tensor.values))
    }

    /// As [`Model::run`], with numbers of any type that models take. Outputs of other numbers become 32-bit floats; those
    /// that hold none, or 16-bit floats, are left out.
    ///
    /// # Errors
    /// The input does not fit, or the run fails.
    pub fn run_on(&self, input: &str, given: Given<'_>) -> anyhow::Result<BTreeMap<String, Tensor>> {
        let mut taken = Taken { model: self, session: Some(self.take()) };
        let session = taken.session.as_mut().context("it was taken above")?;
        run(session, input, given).with_context(|| format!("the model {}", self.name))
    }

    /// Compares the inputs and outputs with what the catalog says.
    fn check(&self, entry: &Entry) -> anyhow::Result<()> {
        for (what, said, outlets) in [("input", &entry.inputs, &self.inputs), ("output", &entry.outputs, &self.outputs)]
        {
            for (name, shape) in said {
                let Some(outlet) = outlets.iter().find(|outlet| outlet.name == *name) else {
                    let names: Vec<&str> = outlets.iter().map(|outlet| outlet.name.as_str()).collect();
                    bail!("it has no {what} {name}; it has {}", names.join(", "))
                };
                let found = outlet.to_string();
                ensure!(found == *shape, "its {what} {name} is {found}, and the catalog says {shape}");
            }
        }
        Ok(())
    }

    fn take(&self) -> Session {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match idle.pop() {
                Some(session) => return session,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// A session that is given back whatever happens.
struct Taken<'a> {
    model: &'a Model,
    session: Option<Session>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.model.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.session.take());
        self.model.returned.notify_one();
    }
}

/// Where ONNX Runtime is: the file that ORT_DYLIB_PATH names, or the one of the store.
///
/// # Errors
/// There is no such variable, and the library is not in the store, or altered.
pub fn library(catalog: &Catalog, store: &Store) -> anyhow::Result<PathBuf> {
    match std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        None => store.find(LIBRARY, catalog.get(LIBRARY)?),
    }
}

/// ONNX Runtime can be started once in a process.
fn environment(library: &Path) -> anyhow::Result<&'static Environment> {
    static STARTED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let start = || {
        let builder =
            ort::init_from(library).map_err(|error| format!("{} cannot be loaded: {error}", library.display()))?;
        builder.with_telemetry(false).build().map_err(|error| error.to_string())
    };
    STARTED.get_or_init(start).as_ref().map_err(|error| anyhow!("ONNX Runtime cannot be started: {error}"))
}

fn session(library: &Path, model: &Path, options: Options) -> anyhow::Result<Session> {
    // Their errors hold the builder, which other threads must not have.
    let told = |error: &dyn std::fmt::Display| anyhow!("{error}");
    let builder = Session::builder(environment(library)?).map_err(|error| told(&error))?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::Level3).map_err(|error| told(&error))?;
    let mut builder = builder.with_intra_threads(options.threads.max(1)).map_err(|error| told(&error))?;
    if let Some(provider) = options.provider.dispatch() {
        builder = builder.with_execution_providers([provider]).map_err(|error| {
            anyhow!(
                "the provider {:?} cannot be used: {error}; ORT_DYLIB_PATH names a build of ONNX Runtime that has it",
                options.provider
            )
        })?;
    }
    builder.commit_from_file(model).map_err(|error| anyhow!("{} cannot be loaded: {error}", model.display()))
}

/// The metadata of a file; none where it cannot be read, since no model needs it.
fn notes(session: &Session) -> BTreeMap<String, String> {
    let Ok(metadata) = session.metadata() else { return BTreeMap::new() };
    let keys = metadata.custom_keys().unwrap_or_default();
    keys.into_iter().filter_map(|key| Some((key.clone(), metadata.custom(&key)?))).collect()
}

fn run(session: &mut Session, input: &str, given: Given<'_>) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let sizes = |shape: &[usize]| -> Vec<i64> { shape.iter().map(|size| *size as i64).collect() };
    let given: SessionInputValue<'_> = match given {
        Given::Float32(shape, values) => TensorRef::from_array_view((sizes(shape), values))?.into(),
        Given::Uint8(shape, values) => TensorRef::from_array_view((sizes(shape), values))?.into(),
    };
    let outputs = session.run(ort::inputs![input => given])?;
    Ok(outputs.iter().filter_map(|(name, value)| Some((name.to_owned(), floats(&value)?))).collect())
}

/// `None`: it holds no numbers that can be read.
fn floats(value: &ValueRef<'_>) -> Option<Tensor> {
    match value.dtype().tensor_type()? {
        TensorElementType::Float32 => read(value, |number: f32| number),
        TensorElementType::Float64 => read(value, |number: f64| number as f32),
        TensorElementType::Int64 => read(value, |number: i64| number as f32),
        TensorElementType::Int32 => read(value, |number: i32| number as f32),
        TensorElementType::Uint8 => read(value, |number: u8| f32::from(number)),
        _ => None,
    }
}

fn read<T: PrimitiveTensorElementType + Copy>(value: &ValueRef<'_>, convert: impl Fn(T) -> f32) -> Option<Tensor> {
    let (shape, values) = value.try_extract_tensor::<T>().ok()?;
    let shape = shape.iter().map(|size| *size as usize).collect();
    Some(Tensor { shape, values: values.iter().map(|number| convert(*number)).collect() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// ONNX Runtime, fetched once into the user's cache.
    pub fn library() -> PathBuf {
        if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            return path.into();
        }
        let (catalog, store) = (Catalog::shipped().unwrap(), Store::of_user().unwrap());
        let entry = catalog.get(LIBRARY).unwrap();
        let path = store.path(LIBRARY, entry);
        if !path.exists() {
            store.pull(LIBRARY, entry).unwrap();
        }
        path
    }
}
