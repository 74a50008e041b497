//! `jarvis check`: what is wrong with pipelines, or what is in them.

use crate::project_arguments::{ProjectArguments, written};
use crate::{kinds, log, terminal};
use jarvis_runtime::Project;
use jarvis_spec::Diagnostics;
use jarvis_spec::schema::field_type_name;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Check {
    #[command(flatten)]
    project: ProjectArguments,
    /// Findings as text on the standard error, or as JSON on the standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// List every stream with its columns
    #[arg(long)]
    streams: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Check {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let loaded = match self.project.load(&kinds::all(), None) {
            Ok(project) => Ok(project),
            Err(error) => Err(error.downcast::<Diagnostics>()?),
        };
        match self.format {
            Format::Json => terminal::print(&self.as_json(&loaded))?,
            Format::Text => match &loaded {
                Ok(project) => {
                    if !project.warnings.is_empty() {
                        terminal::show_findings(&project.warnings);
                    }
                    terminal::print(&self.as_text(project))?;
                }
                Err(found) => terminal::show_findings(found),
            },
        }
        Ok(super::status(loaded.is_ok()))
    }

    fn as_text(&self, project: &Project) -> String {
        let fine = format!("{}, fine\n", terminal::counted(written(project).count() as u64, "pipeline"));
        if !self.streams {
            return fine;
        }
        let heading = ["stream", "kind", "columns"].map(str::to_owned).to_vec();
        let row = |s: Stream| {
            vec![s.name, s.kind, s.columns.iter().map(|(n, t)| format!("{n}: {t}")).collect::<Vec<_>>().join(", ")]
        };
        let rows: Vec<Vec<String>> = std::iter::once(heading).chain(streams(project).into_iter().map(row)).collect();
        terminal::columns(&rows) + &fine
    }

    /// A list of findings; with `--streams` an object with the findings and the streams.
    fn as_json(&self, loaded: &Result<Project, Diagnostics>) -> String {
        let found = loaded.as_ref().map_or_else(Diagnostics::to_json, |project| project.warnings.to_json());
        if !self.streams {
            return format!("{found:#}");
        }
        let column = |(name, of): (String, String)| json!({ "name": name, "type": of });
        let stream = |s: Stream| json!({ "name": s.name, "kind": s.kind, "columns": s.columns.into_iter().map(column).collect::<Vec<_>>() });
        let streams: Vec<Value> = loaded.iter().flat_map(streams).map(stream).collect();
        format!("{:#}", json!({ "diagnostics": found, "streams": streams }))
    }
}

struct Stream {
    name: String,
    /// Of a source; `sql` for a view, `engine` for the engine's own.
    kind: String,
    /// Names and types as the language writes them.
    columns: Vec<(String, String)>,
}

fn streams(project: &Project) -> Vec<Stream> {
    let operator = |name: &str| {
        let mut all = project.pipelines.iter().flat_map(|p| p.operators.iter().map(move |o| (p, o)));
        let found = all.find(|(p, o)| format!("{}.{}", p.name.value, o.name.value) == name);
        found.map(|(_, operator)| operator.kind.value.clone())
    };
    let kind = |name: &str| {
        let source = project.sources.iter().find(|s| s.spec.name == name).map(|s| s.kind.clone());
        let source = source.or_else(|| operator(name));
        let engine = name.starts_with("system.").then(|| "engine".to_owned());
        source.or(engine).unwrap_or_else(|| "sql".to_owned())
    };
    let stream = |(name, info): (&String, &jarvis_plan::lower::StreamInfo)| {
        let columns = info.schema.fields().iter().map(|f| (f.name().clone(), field_type_name(f))).collect();
        Stream { name: name.clone(), kind: kind(name), columns }
    };
    project.compiled.streams.iter().map(stream).collect()
}
