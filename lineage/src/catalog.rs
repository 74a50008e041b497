//! The recorded streams as tables of DataFusion.
//!
//! A table is looked up when a query names it: folders are listed and the ends of its parts are read then, and of no
//! other stream.

use crate::layout;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

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
    context.register_catalog("lineage", Arc::new(Pipelines { streams: layout::streams(&data) }));
    Ok(context)
}

/// The catalog: a schema per pipeline.
#[derive(Debug)]
struct Pipelines {
    streams: PathBuf,
}

impl CatalogProvider for Pipelines {
    fn schema_names(&self) -> Vec<String> {
        listed(layout::folders(&self.streams), &self.streams)
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let folder = inside(&self.streams, name)?;
        folder.is_dir().then(|| Arc::new(Pipeline { folder }) as _)
    }
}

/// A schema: a table per stream.
#[derive(Debug)]
struct Pipeline {
    folder: PathBuf,
}

impl Pipeline {
    fn table_now(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(folder) = inside(&self.folder, name) else { return Ok(None) };
        let parts = layout::parts(&folder)?;
        if parts.is_empty() {
            return Ok(None);
        }
        let schema = merged(&parts)?;
        let format = ParquetFormat::default().with_skip_metadata(false);
        let options = ListingOptions::new(Arc::new(format)).with_file_extension(layout::PART_END);
        let url = ListingTableUrl::parse(format!("{}/", folder.display()))?;
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        Ok(Some(Arc::new(ListingTable::try_new(config)?)))
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl SchemaProvider for Pipeline {
    fn table_names(&self) -> Vec<String> {
        let streams = listed(layout::folders(&self.folder), &self.folder);
        streams.into_iter().filter(|stream| self.table_exist(stream)).collect()
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
        inside(&self.folder, name).is_some_and(|folder| layout::parts(&folder).is_ok_and(|parts| !parts.is_empty()))
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
