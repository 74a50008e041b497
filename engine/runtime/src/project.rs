//! From files to something that can run: pipelines are read, sources and sinks are planned by their kinds, views are
//! compiled together.

mod operators;

use crate::kinds::{Kinds, PlanContext, SinkPlan, SourcePlan, StreamSpec};
use crate::versions::Version;
use jarvis_plan::{Compiled, SourceInfo, compile};
use jarvis_spec::{Diagnostic, Diagnostics, Pipeline, Sink, Source, SourceText};
use operators::PlannedOperators;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a project is read from.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// Pipeline files, or folders of them (`*.yaml`, `*.yml`).
    pub pipelines: Vec<PathBuf>,
    /// The folder with `facility.yaml`.
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
}

/// Pipelines that passed every check.
pub struct Project {
    pub pipelines: Vec<Pipeline>,
    pub compiled: Compiled,
    pub sources: Vec<PlannedSource>,
    pub sinks: Vec<PlannedSink>,
    /// What is probably not meant, in the order of the files.
    pub warnings: Diagnostics,
}

/// A source of a pipeline, ready to run.
pub struct PlannedSource {
    pub spec: StreamSpec,
    pub kind: String,
    pub plan: SourcePlan,
}

/// A sink of a pipeline, ready to run.
pub struct PlannedSink {
    /// `pipeline.sink`
    pub name: String,
    pub kind: String,
    pub plan: SinkPlan,
    /// The columns it is given.
    pub spec: StreamSpec,
    /// Its answers come by the source of the same name, and neither goes without the other. What must be equal beside
    /// the options for a reload to keep both.
    pub asks: Option<String>,
}

/// The files that the paths name, in order.
pub fn pipeline_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Diagnostics> {
    let mut found = vec![];
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| unreadable(path, &e))?;
        let mut inside: Vec<PathBuf> = entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|x| x == "yaml" || x == "yml"))
            .collect();
        inside.sort();
        if inside.is_empty() {
            return Err(Diagnostic::error("no_pipelines", format!("{} holds no pipeline", path.display()))
                .help("pipelines are files that end in .yaml")
                .into());
        }
        found.extend(inside);
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error("unreadable", format!("{} cannot be read: {error}", path.display()))
        .help("name a pipeline file or a folder of them")
}

/// Reads and parses every pipeline; the facility's tables come as a pipeline of their own, `facility`, whose sources
/// follow edits if `watch`. Sinks that answer are read as sinks: no kind is known here.
pub fn read_pipelines(paths: &Paths, watch: bool) -> Result<Vec<Pipeline>, Diagnostics> {
    read(paths, watch, &Kinds::default())
}

/// One pipeline, in which sinks that answer are operators.
fn parse(text: Arc<SourceText>, kinds: &Kinds) -> Result<Pipeline, Diagnostics> {
    let answering: Vec<&str> = kinds.answering().map(|kind| kind.name()).collect();
    jarvis_spec::parse_with_answering(text, &jarvis_spec::env::process, &answering)
}

fn read(paths: &Paths, watch: bool, kinds: &Kinds) -> Result<Vec<Pipeline>, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut pipelines: Vec<Pipeline> = vec![];
    for file in pipeline_files(&paths.pipelines)? {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => SourceText::new(file, text),
            Err(e) => {
                found.push(unreadable(&file, &e));
                continue;
            }
        };
        match parse(text, kinds) {
            Ok(p) => pipelines.push(p),
            Err(d) => found.extend(d),
        }
    }
    for (i, p) in pipelines.iter().enumerate() {
        if let Some(first) = pipelines[..i].iter().find(|q| q.name.value == p.name.value) {
            let message = format!("two pipelines are called {}", p.name.value);
            found.push(
                Diagnostic::error("duplicate_name", message)
                    .at(&p.name.span)
                    .note_at(&first.name.span, "the other one")
                    .help("give one of them another name"),
            );
        }
    }
    if found.has_errors() {
        found.sort();
        return Err(found);
    }
    pipelines.extend(facility(paths, watch)?);
    Ok(pipelines)
}

/// The sections of `facility.yaml` as a pipeline of tables.
fn facility(paths: &Paths, watch: bool) -> Result<Option<Pipeline>, Diagnostics> {
    let Some(folder) = &paths.config else { return Ok(None) };
    let file = folder.join("facility.yaml");
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, &e))?;
    let text = SourceText::new(file, text);
    let root = jarvis_spec::Node::read(&text, &jarvis_spec::env::process)?;
    let sections = root.entries().iter().filter(|e| !e.value.items().is_empty()).map(|e| e.key.value.clone());
    let sources: String = sections
        .map(|s| format!("  {s}: {{ table: {{ facility: {s}, watch: {watch} }}, retain: forever }}\n"))
        .collect();
    if sources.is_empty() {
        return Ok(None);
    }
    let yaml = format!("pipeline: facility_tables\nsources:\n{sources}");
    let mut pipeline = jarvis_spec::parse::parse_pipeline(SourceText::new("facility", yaml), &|_| None)?;
    pipeline.name.value = "facility".into();
    Ok(Some(pipeline))
}

impl Project {
    /// Reads, plans and compiles; starts nothing.
    ///
    /// # Errors
    /// Everything found wrong, in the order of the files.
    pub fn load(paths: &Paths, kinds: &Kinds) -> Result<Project, Diagnostics> {
        let project = Self::build(read(paths, true, kinds)?, paths, kinds)?;
        if project.is_bounded() && project.sources.iter().any(|s| matches!(s.plan, SourcePlan::Live(_))) {
            // A batch reads the facility's tables once.
            return Self::build(read(paths, false, kinds)?, paths, kinds);
        }
        Ok(project)
    }

    /// The project of pipelines as they ran, in the facility as it is now. What they name is looked for beside the file that
    /// a pipeline has now, or where new ones would be.
    ///
    /// # Errors
    /// This build finds them wrong.
    pub fn as_it_ran(versions: &[Version], paths: &Paths, kinds: &Kinds) -> Result<Project, Diagnostics> {
        let parse = |path: &Path, text: &str| parse(SourceText::new(path, text), kinds);
        // Files that cannot be read any more have no say.
        let named = |path: PathBuf| Some((parse(&path, &std::fs::read_to_string(&path).ok()?).ok()?.name.value, path));
        let files: HashMap<String, PathBuf> =
            pipeline_files(&paths.pipelines).into_iter().flatten().filter_map(named).collect();
        let folder = paths.pipelines.first().map(|path| match path.parent() {
            Some(parent) if !path.is_dir() => parent.to_owned(),
            _ => path.clone(),
        });
        let folder = folder.unwrap_or_default();
        let mut found = Diagnostics::default();
        let mut pipelines = vec![];
        for Version { pipeline, text, .. } in versions {
            let path = files.get(pipeline).cloned().unwrap_or_else(|| folder.join(pipeline).with_extension("yaml"));
            match parse(&path, text) {
                Ok(pipeline) => pipelines.push(pipeline),
                Err(wrong) => found.extend(wrong),
            }
        }
        if found.has_errors() {
            return Err(found);
        }
        pipelines.extend(facility(paths, true)?);
        Self::build(pipelines, paths, kinds)
    }

    pub fn build(pipelines: Vec<Pipeline>, paths: &Paths, kinds: &Kinds) -> Result<Project, Diagnostics> {
        let mut found = Diagnostics::default();
        let (mut sources, mut infos) = (vec![], HashMap::new());
        for pipeline in &pipelines {
            let context = context(pipeline, paths);
            for source in &pipeline.sources {
                match plan_source(pipeline, source, &context, kinds) {
                    Ok((planned, info)) => {
                        infos.insert(planned.spec.name.clone(), info);
                        sources.push(planned);
                    }
                    Err(d) => found.extend(d),
                }
            }
        }
        let mut operators = PlannedOperators::new(paths, kinds);
        let compiled = match compile(&pipelines, &infos, &mut operators) {
            Ok(compiled) => Some(compiled),
            Err(d) => {
                found.extend(d);
                None
            }
        };
        let mut sinks = vec![];
        if let Some(compiled) = &compiled {
            match operators.ends(compiled) {
                Ok(ends) => ends.into_iter().for_each(|(sink, source)| {
                    sinks.push(sink);
                    sources.push(source);
                }),
                Err(d) => found.extend(d),
            }
        }
        for pipeline in &pipelines {
            let context = context(pipeline, paths);
            for sink in &pipeline.sinks {
                match plan_sink(pipeline, sink, compiled.as_ref(), &context, kinds) {
                    Ok(planned) => sinks.extend(planned),
                    Err(d) => found.extend(d),
                }
            }
        }
        found.extend(compiled.iter().flat_map(|c| &c.warnings).cloned());
        found.sort();
        match compiled {
            Some(compiled) if !found.has_errors() => {
                Ok(Project { pipelines, compiled, sources, sinks, warnings: found })
            }
            _ => Err(found),
        }
    }

    /// Whether every source ends: then the run is a batch.
    pub fn is_bounded(&self) -> bool {
        // The facility's tables are watched while a run lasts, but they keep no run alive.
        self.sources.iter().all(|s| matches!(s.plan, SourcePlan::Bounded(_)) || s.spec.name.starts_with("facility."))
    }
}

fn context(pipeline: &Pipeline, paths: &Paths) -> PlanContext {
    let folder = match pipeline.text.path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    PlanContext { folder, config: paths.config.clone(), data: paths.data.clone() }
}

fn unknown_kind<'a>(
    what: &str,
    kind: &jarvis_spec::Spanned<String>,
    names: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let names: Vec<&str> = names.collect();
    let all = format!("kinds of {what}s: {}", names.join(", "));
    Diagnostic::error("unknown_kind", format!("there is no kind of {what} called {}", kind.value))
        .at(&kind.span)
        .suggest(&kind.value, names, all)
}

fn plan_source(
    pipeline: &Pipeline,
    source: &Source,
    context: &PlanContext,
    kinds: &Kinds,
) -> Result<(PlannedSource, SourceInfo), Diagnostics> {
    let kind = kinds
        .source(&source.kind.value)
        .ok_or_else(|| unknown_kind("source", &source.kind, kinds.sources.iter().map(|k| k.name())))?;
    let schema = match &source.schema {
        Some(schema) => schema.value.clone(),
        None => match kind.infer_schema(&source.options, context) {
            Some(schema) => schema?,
            None => {
                let help = "add `schema: { column: type, ... }`; only Parquet files and tables of the facility bring their own";
                return Err(Diagnostic::error(
                    "missing_schema",
                    format!("the source {} has no schema", source.name.value),
                )
                .at(&source.name.span)
                .help(help)
                .into());
            }
        },
    };
    let place =
        |name: &jarvis_spec::Spanned<String>| {
            schema.index_of(&name.value).map_err(|_| {
                let names = schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
                Diagnostic::error("unknown_column", format!("there is no column {}", name.value))
                    .at(&name.span)
                    .suggest(&name.value, names, "name a column of the schema")
            })
        };
    let key = source.key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let time = source.time.as_ref().map(place).transpose()?;
    let spec = StreamSpec {
        name: format!("{}.{}", pipeline.name.value, source.name.value),
        schema: schema.clone(),
        key,
        time,
        lateness: source.lateness.as_ref().map(|l| l.value),
    };
    let plan = kind.plan(&spec, &source.options, context)?;
    let append_only = match &plan {
        SourcePlan::Bounded(b) => b.append_only(),
        SourcePlan::Live(_) => false,
    };
    Ok((PlannedSource { spec, kind: source.kind.value.clone(), plan }, SourceInfo { schema, append_only }))
}

fn plan_sink(
    pipeline: &Pipeline,
    sink: &Sink,
    compiled: Option<&Compiled>,
    context: &PlanContext,
    kinds: &Kinds,
) -> Result<Option<PlannedSink>, Diagnostics> {
    let sinks = kinds.sinks.iter().map(|k| k.name());
    let kind = kinds
        .sink(&sink.kind.value)
        .ok_or_else(|| unknown_kind("sink", &sink.kind, sinks.chain(kinds.answering().map(|k| k.name()))))?;
    let name = format!("{}.{}", pipeline.name.value, sink.name.value);
    // Without a graph the columns are not known; what is wrong with it has been said.
    let Some((compiled, node)) = compiled.and_then(|c| Some((c, *c.sinks.get(&name)?))) else { return Ok(None) };
    let stream = compiled.sink_streams.get(&name).cloned().unwrap_or_else(|| name.clone());
    let spec = StreamSpec {
        name: stream,
        schema: compiled.graph.schema(node).clone(),
        key: vec![],
        time: None,
        lateness: None,
    };
    let plan = kind.plan(&spec, &sink.options, context)?;
    Ok(Some(PlannedSink { name, kind: sink.kind.value.clone(), plan, spec, asks: None }))
}
