//! The recorded streams as tables of DataFusion.
//!
//! A table is looked up when a query names it: folders are listed and the ends of its parts are read then, and of no
//! other stream.

use crate::archive::{InputArchive, Now};
use crate::layout;
use crate::stream::{Content, Stream};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes the streams recorded below a data folder tables: `lineage.PIPELINE.STREAM`, or just `PIPELINE.STREAM`. A
/// stream without a finished part is no table. `information_schema` lists them.
///
/// # Errors
/// The folder's path cannot be made absolute, or has a character that DataFusion takes for a pattern.
pub fn open(data: &Path) -> Result<SessionContext> {
    let data = std::path::absolute(data)?;
    if data.to_string_lossy().contains(['*', '?', '[']) {
        let message =
            format!("the path {} holds one of * ? [, which cannot be queried: rename the folder", data.display());
        return Err(DataFusionError::Configuration(message));
    }
    let config = SessionConfig::new()
        .with_default_catalog_and_schema("lineage", "system")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let context = crate::session(config);
    context.register_catalog("lineage", Arc::new(Pipelines::new(&data)));
    Ok(context)
}

/// The catalog for one who asks again and again: [`Lineage::renew`] makes the next query see what is there then.
///
/// # Errors
/// The folder's path cannot be made absolute.
pub fn lasting(data: &Path) -> Result<Lineage> {
    Ok(Lineage(Arc::new(Pipelines::new(&std::path::absolute(data)?))))
}

/// All streams of a data folder, for long.
#[derive(Clone, Debug)]
pub struct Lineage(Arc<Pipelines>);

impl Lineage {
    /// The next table is of a new moment.
    pub fn renew(&self) {
        self.0.inputs.renew();
    }

    /// Reads what entered and is still in the log, so that the next table need not.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn look(&self) -> Result<()> {
        self.0.inputs.now().map(drop)
    }

    /// A schema per pipeline, a table per stream.
    pub fn catalog(&self) -> Arc<dyn CatalogProvider> {
        self.0.clone()
    }
}

/// What entered, read when a query first asks: all its tables are of one moment.
#[derive(Debug)]
struct Inputs {
    archive: InputArchive,
    now: Mutex<Option<std::result::Result<Arc<Now>, String>>>,
}

impl Inputs {
    fn renew(&self) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
    fn now(&self) -> Result<Arc<Now>> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || self.archive.now().map(Arc::new).map_err(|error| error.strip_backtrace());
        now.get_or_insert_with(read).clone().map_err(DataFusionError::Execution)
    }
    /// The names of all streams, as (pipeline, stream). DataFusion has no way to say that they cannot be listed.
    fn names(&self) -> Vec<(String, String)> {
        let names = self.now().map(|now| now.streams());
        let names = names.inspect_err(|error| tracing::warn!(%error, "the inputs cannot be listed"));
        let split = |name: String| name.split_once('.').map(|(p, s)| (p.to_owned(), s.to_owned()));
        names.unwrap_or_default().into_iter().filter_map(split).collect()
    }
}

/// The first columns of a stream of decisions, after `_time` and `_diff`: what was told, its id, and the row as JSON.
pub const DECISION: [&str; 3] = ["_what", "_id", "_row"];
/// The table of the decisions of all sinks, in the schema `system`.
const DECISIONS: &str = "decisions";

/// The catalog: a schema per pipeline.
#[derive(Debug)]
struct Pipelines {
    /// What was recorded of views.
    views: PathBuf,
    inputs: Arc<Inputs>,
}

impl Pipelines {
    fn new(data: &Path) -> Self {
        let inputs = Inputs { archive: InputArchive::new(data), now: Mutex::default() };
        Pipelines { views: layout::streams(data), inputs: Arc::new(inputs) }
    }
}

impl CatalogProvider for Pipelines {
    fn schema_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = listed(layout::folders(&self.views), &self.views).into_iter().collect();
        names.extend(self.inputs.names().into_iter().map(|(pipeline, _)| pipeline));
        names.insert("system".to_owned());
        names.into_iter().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let folder = inside(&self.views, name)?;
        let is_there =
            name == "system" || folder.is_dir() || self.inputs.names().iter().any(|(pipeline, _)| pipeline == name);
        let inputs = self.inputs.clone();
        is_there.then(|| Arc::new(Pipeline { name: name.to_owned(), folder, inputs }) as _)
    }
}

/// A schema: a table per stream.
#[derive(Clone, Debug)]
struct Pipeline {
    name: String,
    /// What was recorded of its views.
    folder: PathBuf,
    inputs: Arc<Inputs>,
}

impl Pipeline {
    fn table_now(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.name == "system" && name == DECISIONS {
            return self.decisions();
        }
        let Some(folder) = inside(&self.folder, name) else { return Ok(None) };
        let table = Table { pipeline: self.clone(), name: name.to_owned(), folder };
        Ok(Stream::new(table)?.map(|stream| Arc::new(stream) as _))
    }
}

impl Pipeline {
    /// What all sinks have told: `_time`, `sink`, `what`, `id`, `row`.
    fn decisions(&self) -> Result<Option<Arc<dyn TableProvider>>> {
        let views = layout::streams(self.inputs.archive.data());
        let mut all: Option<LogicalPlanBuilder> = None;
        for pipeline in listed(layout::folders(&views), &views) {
            let here = Pipeline { name: pipeline.clone(), folder: views.join(&pipeline), inputs: self.inputs.clone() };
            for sink in listed(layout::folders(&here.folder), &here.folder) {
                // One whose columns have become others must not take all with it.
                let table =
                    here.table_now(&sink).inspect_err(|error| tracing::warn!(%error, "left out of the decisions"));
                let Ok(Some(table)) = table else { continue };
                if DECISION.iter().any(|column| table.schema().index_of(column).is_err()) {
                    continue;
                }
                let name = format!("{pipeline}.{sink}");
                let [what, id, row] = DECISION.map(col);
                let columns = [
                    col("_time"),
                    lit(name.clone()).alias("sink"),
                    what.alias("what"),
                    id.alias("id"),
                    row.alias("row"),
                ];
                let one = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.project(columns)?;
                all = Some(match all {
                    None => one,
                    Some(all) => all.union(one.build()?)?,
                });
            }
        }
        let plan = all.map(LogicalPlanBuilder::build).transpose()?;
        Ok(plan.map(|plan| Arc::new(ViewTable::new(plan, None)) as _))
    }
}

/// What there is of a stream: of a view what was recorded, of an input what entered.
#[derive(Debug)]
struct Table {
    pipeline: Pipeline,
    name: String,
    /// Where a view would be recorded.
    folder: PathBuf,
}

impl Content for Table {
    fn content(&self) -> Result<(Vec<PathBuf>, Vec<RecordBatch>)> {
        let parts = layout::parts(&self.folder)?;
        if !parts.is_empty() {
            return Ok((parts, vec![]));
        }
        Ok(self.pipeline.inputs.now()?.stream(&self.name()))
    }
    fn renew(&self) {
        self.pipeline.inputs.renew();
    }
    fn data(&self) -> &Path {
        self.pipeline.inputs.archive.data()
    }
    fn name(&self) -> String {
        format!("{}.{}", self.pipeline.name, self.name)
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl SchemaProvider for Pipeline {
    fn table_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = listed(layout::folders(&self.folder), &self.folder).into_iter().collect();
        let entered = self.inputs.names().into_iter().filter(|(pipeline, _)| *pipeline == self.name);
        names.extend(entered.map(|(_, stream)| stream));
        if self.name == "system" {
            names.insert(DECISIONS.to_owned());
        }
        names.into_iter().filter(|stream| self.table_exist(stream)).collect()
    }

    fn table<'p, 'n, 'a>(&'p self, name: &'n str) -> Later<'a, Option<Arc<dyn TableProvider>>>
    where
        'p: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move { self.table_now(name) })
    }

    fn table_type<'p, 'n, 'a>(&'p self, name: &'n str) -> Later<'a, Option<TableType>>
    where
        'p: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move { Ok(self.table_exist(name).then_some(TableType::Base)) })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_now(name).is_ok_and(|table| table.is_some())
    }
}

/// A folder in a folder; a quoted name in SQL may hold anything, such as `..`.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain.then(|| folder.join(name))
}

/// DataFusion has no way to say that names cannot be listed.
fn listed(names: std::io::Result<Vec<String>>, folder: &Path) -> Vec<String> {
    names.unwrap_or_else(|error| {
        tracing::warn!(folder = %folder.display(), %error, "the lineage cannot be listed");
        Vec::new()
    })
}
