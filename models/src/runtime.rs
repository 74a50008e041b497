//! Runs ONNX models on ONNX Runtime, which is loaded when it is first needed: whoever uses no model needs no library.

use crate::catalog::{Catalog, Entry};
use crate::store::Store;
use anyhow::{Context, anyhow, bail, ensure};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorRef, ValueType};
use std::collections::BTreeMap;
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

/// How a model is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Runs at the same time; each has the model's working memory of its own.
    pub sessions: usize,
    /// Threads of each run.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { sessions: 1, threads: 1 }
    }
}

/// A model that is ready to run.
pub struct Model {
    name: String,
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
        let library = match std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => store.find(LIBRARY, catalog.get(LIBRARY)?)?,
        };
        let sessions = (0..options.sessions.max(1)).map(|_| session(&library, &path, options.threads.max(1)));
        let sessions = sessions.collect::<anyhow::Result<Vec<_>>>().with_context(|| format!("the model {name}"))?;
        for session in sessions.iter().take(1) {
            check(session, entry).with_context(|| format!("the model {name}"))?;
        }
        Ok(Model { name: name.to_owned(), idle: Mutex::new(sessions), returned: Condvar::new() })
    }

    /// Runs the model on one input; its outputs by name. Waits while all sessions are busy.
    ///
    /// # Errors
    /// The input does not fit, or the run fails.
    pub fn run(&self, input: &str, tensor: &Tensor) -> anyhow::Result<BTreeMap<String, Tensor>> {
        let mut taken = Taken { model: self, session: Some(self.take()) };
        let session = taken.session.as_mut().context("it was taken above")?;
        run(session, input, tensor).with_context(|| format!("the model {}", self.name))
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

fn session(library: &Path, model: &Path, threads: usize) -> anyhow::Result<Session> {
    // Their errors hold the builder, which other threads must not have.
    let told = |error: &dyn std::fmt::Display| anyhow!("{error}");
    let builder = Session::builder(environment(library)?).map_err(|error| told(&error))?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::Level3).map_err(|error| told(&error))?;
    let mut builder = builder.with_intra_threads(threads).map_err(|error| told(&error))?;
    builder.commit_from_file(model).map_err(|error| anyhow!("{} cannot be loaded: {error}", model.display()))
}

/// Compares the inputs and outputs of a model with what the catalog says.
fn check(session: &Session, entry: &Entry) -> anyhow::Result<()> {
    for (what, said, outlets) in
        [("input", &entry.inputs, session.inputs()), ("output", &entry.outputs, session.outputs())]
    {
        for (name, shape) in said {
            let Some(outlet) = outlets.iter().find(|outlet| outlet.name() == name) else {
                let names: Vec<&str> = outlets.iter().map(ort::value::Outlet::name).collect();
                bail!("it has no {what} {name}; it has {}", names.join(", "))
            };
            let found = described(outlet.dtype());
            ensure!(found == *shape, "its {what} {name} is {found}, and the catalog says {shape}");
        }
    }
    Ok(())
}

/// As the catalog writes it: `float32[n,3,224,224]`.
fn described(value: &ValueType) -> String {
    let ValueType::Tensor { ty, shape, .. } = value else { return value.to_string() };
    let sizes: Vec<String> =
        shape.iter().map(|size| if *size < 0 { "n".to_owned() } else { size.to_string() }).collect();
    let kind = match ty.to_string().as_str() {
        "f32" => "float32".to_owned(),
        "i64" => "int64".to_owned(),
        other => other.to_owned(),
    };
    format!("{kind}[{}]", sizes.join(","))
}

fn run(session: &mut Session, input: &str, tensor: &Tensor) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let shape: Vec<i64> = tensor.shape.iter().map(|size| *size as i64).collect();
    let given = TensorRef::from_array_view((shape, tensor.values.as_slice()))?;
    let outputs = session.run(ort::inputs![input => given])?;
    let read = |(name, value): (&str, ort::value::ValueRef<'_>)| {
        let (shape, values) = value.try_extract_tensor::<f32>()?;
        let shape = shape.iter().map(|size| *size as usize).collect();
        Ok((name.to_owned(), Tensor { shape, values: values.to_vec() }))
    };
    outputs.iter().map(read).collect()
}
