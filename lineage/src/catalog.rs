//! The recorded streams as tables of DataFusion.
//!
//! A table is looked up when a query names it: folders are listed and the ends of its parts are read then, and of no
//! other stream.

use crate::archive::{InputArchive, Now};
use crate::layout;
use datafusion::arrow::array::{RecordBatch, new_null_array};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeSet;
use std::fs::File;
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
    context.register_catalog("lineage", Arc::new(Pipelines::new(&data, false)));
    Ok(context)
}

/// The catalog for one who asks again and again: [`Lineage::renew`] makes the next query see what is there then.
///
/// # Errors
/// The folder's path cannot be made absolute.
pub fn lasting(data: &Path) -> Result<Lineage> {
    Ok(Lineage(Arc::new(Pipelines::new(&std::path::absolute(data)?, true))))
}

/// All streams of a data folder, for long.
#[derive(Clone, Debug)]
pub struct Lineage(Arc<Pipelines>);

impl Lineage {
    /// The next table is of a new moment.
    pub fn renew(&self) {
        *self.0.inputs.now.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

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
    fn now(&self) -> Result<Arc<Now>> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || self.archive.now().map(Arc::new).map_err(|error| error.strip_backtrace());
        now.get_or_insert_with(read).clone().map_err(DataFusionError::Execution)
    }
    /// The names of all streams, as (pipeline, stream). DataFusion has no way to say that they cannot be listed.
    fn names(&self) -> Vec<(String, String)> {
        let names = self.now().and_then(|now| Ok(now.streams()?));
        let names = names.inspect_err(|error| tracing::warn!(%error, "the inputs cannot be listed"));
        let split = |name: String| name.split_once('.').map(|(p, s)| (p.to_owned(), s.to_owned()));
        names.unwrap_or_default().into_iter().filter_map(split).collect()
    }
}

/// The catalog: a schema per pipeline.
#[derive(Debug)]
struct Pipelines {
    /// What was recorded of views.
    views: PathBuf,
    inputs: Arc<Inputs>,
    /// Tables look again what is there whenever they are read.
    is_lasting: bool,
}

impl Pipelines {
    fn new(data: &Path, is_lasting: bool) -> Self {
        let inputs = Inputs { archive: InputArchive::new(data), now: Mutex::default() };
        Pipelines { views: layout::streams(data), inputs: Arc::new(inputs), is_lasting }
    }
}

impl CatalogProvider for Pipelines {
    fn schema_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = listed(layout::folders(&self.views), &self.views).into_iter().collect();
        names.extend(self.inputs.names().into_iter().map(|(pipeline, _)| pipeline));
        names.into_iter().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let folder = inside(&self.views, name)?;
        let is_there = folder.is_dir() || self.inputs.names().iter().any(|(pipeline, _)| pipeline == name);
        let (inputs, is_lasting) = (self.inputs.clone(), self.is_lasting);
        is_there.then(|| Arc::new(Pipeline { name: name.to_owned(), folder, inputs, is_lasting }) as _)
    }
}

/// A schema: a table per stream.
#[derive(Clone, Debug)]
struct Pipeline {
    name: String,
    /// What was recorded of its views.
    folder: PathBuf,
    inputs: Arc<Inputs>,
    is_lasting: bool,
}

impl Pipeline {
    fn table_now(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(folder) = inside(&self.folder, name) else { return Ok(None) };
        let parts = layout::parts(&folder)?;
        if !parts.is_empty() {
            return Ok(Some(Arc::new(listing(&parts)?)));
        }
        let stream = format!("{}.{name}", self.name);
        let (parts, recent) = self.inputs.now()?.stream(&stream)?;
        Ok(match (parts.is_empty(), recent.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Arc::new(listing(&parts)?)),
            (true, false) => Some(Arc::new(in_memory(None, recent)?)),
            (false, false) => {
                let old = Arc::new(listing(&parts)?);
                let new = Arc::new(in_memory(Some(old.schema()), recent)?);
                let scan =
                    |table: Arc<dyn TableProvider>| LogicalPlanBuilder::scan(name, provider_as_source(table), None);
                let both = scan(old)?.union(scan(new)?.build()?)?.build()?;
                Some(Arc::new(ViewTable::new(both, None)))
            }
        })
    }
}

impl Pipeline {
    /// A table that looks what is there whenever it is read.
    fn again(&self, name: &str, now: &Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
        Arc::new(Stream { pipeline: self.clone(), name: name.to_owned(), schema: now.schema() })
    }
}

/// A stream as a table of prepared statements, which are planned once and run often.
#[derive(Debug)]
struct Stream {
    pipeline: Pipeline,
    name: String,
    schema: SchemaRef,
}

impl TableProvider for Stream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
    fn scan<'s, 'a, 'p, 'f, 't>(
        &'s self,
        state: &'a dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'f [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 't>>
    where
        's: 't,
        'a: 't,
        'p: 't,
        'f: 't,
        Self: 't,
    {
        Box::pin(async move {
            let now = self.pipeline.table_now(&self.name)?;
            let gone = || DataFusionError::Execution(format!("{}.{} is gone", self.pipeline.name, self.name));
            let now = now.ok_or_else(gone)?;
            // Columns may have been added since.
            let all: Vec<usize> = (0..self.schema.fields().len()).collect();
            let wanted = projection.unwrap_or(&all).iter();
            let places = wanted.map(|i| now.schema().index_of(self.schema.field(*i).name()));
            let places = places.collect::<std::result::Result<Vec<_>, _>>()?;
            now.scan(state, Some(&places), filters, limit).await
        })
    }
}

/// Parquet files as one table.
fn listing(parts: &[PathBuf]) -> Result<ListingTable> {
    let schema = merged(parts)?;
    let format = ParquetFormat::default().with_skip_metadata(false);
    let options = ListingOptions::new(Arc::new(format)).with_file_extension(layout::PART_END);
    let urls = parts.iter().map(|part| ListingTableUrl::parse(part.display().to_string())).collect::<Result<_>>()?;
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    ListingTable::try_new(config)
}

/// Batches as a table; columns may have been added meanwhile, and what a batch lacks is null in its rows.
fn in_memory(first: Option<SchemaRef>, batches: Vec<RecordBatch>) -> Result<MemTable> {
    let loose = |schema: &Schema| {
        Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
    };
    let schemas = first.iter().cloned().chain(batches.iter().map(RecordBatch::schema)).map(|s| loose(&s));
    let schema = Arc::new(Schema::try_merge(schemas)?);
    let column = |batch: &RecordBatch, field: &Field| match batch.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let conformed = batches.iter().map(|batch| {
        let columns = schema.fields().iter().map(|field| column(batch, field)).collect();
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    });
    MemTable::try_new(schema.clone(), vec![conformed.collect::<Result<_>>()?])
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl SchemaProvider for Pipeline {
    fn table_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = listed(layout::folders(&self.folder), &self.folder).into_iter().collect();
        let entered = self.inputs.names().into_iter().filter(|(pipeline, _)| *pipeline == self.name);
        names.extend(entered.map(|(_, stream)| stream));
        names.into_iter().filter(|stream| self.table_exist(stream)).collect()
    }

    fn table<'p, 'n, 'a>(&'p self, name: &'n str) -> Later<'a, Option<Arc<dyn TableProvider>>>
    where
        'p: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let table = self.table_now(name)?;
            Ok(if self.is_lasting { table.map(|table| self.again(name, &table)) } else { table })
        })
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

/// The columns of all parts: a pipeline may have been edited between them. What a part lacks is null in its rows.
fn merged(parts: &[PathBuf]) -> Result<SchemaRef> {
    let mut merged = Schema::empty();
    for part in parts {
        let found = File::open(part)
            .map_err(|error| in_part(part, error))
            .and_then(|file| ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| in_part(part, error)))?;
        let nullable: Vec<Field> =
            found.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        merged = Schema::try_merge([merged, Schema::new(nullable)]).map_err(|error| {
            in_part(part, format!("{error}; earlier parts have another type: move one or the other away"))
        })?;
    }
    Ok(Arc::new(merged))
}

fn in_part(part: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!("the part {} of the lineage cannot be read: {error}", part.display()))
}
