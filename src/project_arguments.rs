//! Which pipelines a command is about: the arguments that several commands share.

use anyhow::bail;
use jarvis_plan::compile::{ERRORS, errors_schema};
use jarvis_runtime::kinds::StreamSpec;
use jarvis_runtime::project::PlannedSink;
use jarvis_runtime::versions::{FormerProjects, Version, is_written};
use jarvis_runtime::{Kinds, Paths, Project};
use jarvis_spec::{Diagnostics, Pipeline};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the facility's tables if `--config` is not given.
const DEFAULT_CONFIG: &str = "config";

#[derive(Clone, Debug, clap::Args)]
pub struct ProjectArguments {
    /// Pipeline files, or folders of them
    #[arg(value_name = "PATH", default_value = "pipelines")]
    pub pipelines: Vec<PathBuf>,
    /// The folder with facility.yaml [default: `config`, where there is one]
    #[arg(long, value_name = "DIR")]
    pub config: Option<PathBuf>,
}

impl ProjectArguments {
    /// # Errors
    /// There is no such `--config` folder.
    pub fn paths(&self, data: Option<&Path>) -> anyhow::Result<Paths> {
        let config = match &self.config {
            Some(folder) if !folder.join("facility.yaml").is_file() => {
                bail!("there is no facility.yaml in {}: name its folder with --config", folder.display())
            }
            Some(folder) => Some(folder.clone()),
            None => Some(PathBuf::from(DEFAULT_CONFIG)).filter(|folder| folder.join("facility.yaml").is_file()),
        };
        Ok(Paths { pipelines: self.pipelines.clone(), config, data: data.map(Path::to_owned) })
    }

    /// # Errors
    /// All findings about the pipelines, as [`jarvis_spec::Diagnostics`].
    pub fn load(&self, kinds: &Kinds, data: Option<&Path>) -> anyhow::Result<Project> {
        Ok(Project::load(&self.paths(data)?, kinds)?)
    }
}

/// Projects of pipelines as they ran, whatever their files say now.
#[derive(Clone)]
pub struct AsTheyRan {
    /// With a data folder, their sinks keep what they tell there.
    pub paths: Paths,
    pub kinds: Arc<Kinds>,
}

impl std::fmt::Debug for AsTheyRan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsTheyRan").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl FormerProjects for AsTheyRan {
    fn project(&self, versions: &[Version]) -> Result<Project, Diagnostics> {
        let mut project = Project::as_it_ran(versions, &self.paths, &self.kinds)?;
        keep_decisions(&mut project, self.paths.data.as_deref());
        Ok(project)
    }
}

/// The pipelines that somebody wrote: without the one that stands for the facility's tables.
pub fn written(project: &Project) -> impl Iterator<Item = &Pipeline> {
    project.pipelines.iter().filter(|pipeline| is_written(pipeline))
}

/// Lets a live run keep what its sinks tell and what fails, below its data folder.
pub fn keep_decisions(project: &mut Project, data: Option<&Path>) {
    let Some(data) = data else { return };
    let sinks = std::mem::take(&mut project.sinks).into_iter();
    let kept = sinks.map(|sink| {
        let plan = jarvis_sinks::recorded(sink.plan, &sink.name, &sink.spec.schema, data);
        PlannedSink { plan, ..sink }
    });
    project.sinks = kept.collect();
    if project.sinks.iter().any(|sink| sink.kind == "lineage" && sink.spec.name == ERRORS) {
        // A pipeline keeps them itself.
        return;
    }
    let spec = StreamSpec { name: ERRORS.to_owned(), schema: errors_schema(), key: vec![], time: None, lateness: None };
    let (name, kind, plan) = (ERRORS.to_owned(), "lineage".to_owned(), jarvis_sinks::errors(data));
    project.sinks.push(PlannedSink { name, kind, plan, spec, asks: None });
}
