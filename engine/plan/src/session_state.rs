//! DataFusion, set up for planning: streams are tables, and only rules that a maintained view can follow are on.

use crate::functions;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::Result;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use std::sync::Arc;

/// The catalog that holds all streams: one schema per pipeline.
pub const CATALOG: &str = "jarvis";

/// The streams that queries can read.
#[derive(Clone, Debug)]
pub struct Streams {
    catalog: Arc<MemoryCatalogProvider>,
    base: SessionState,
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

impl Streams {
    pub fn new() -> Self {
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_create_default_catalog_and_schema(false);
        config.options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        config.options_mut().sql_parser.collect_spans = true;
        let mut base = SessionStateBuilder::new().with_config(config).with_default_features().build();
        base.catalog_list().register_catalog(CATALOG.into(), catalog.clone());
        for function in functions::all() {
            use datafusion::execution::FunctionRegistry;
            // Registering a function over one of the same name cannot fail.
            let _ = base.register_udf(Arc::new(function));
        }
        Streams { catalog, base }
    }
    /// Makes a stream known.
    pub fn add(&self, pipeline: &str, stream: &str, schema: SchemaRef) -> Result<()> {
        let tables = match self.catalog.schema(pipeline) {
            Some(tables) => tables,
            None => {
                let tables: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
                self.catalog.register_schema(pipeline, tables.clone())?;
                tables
            }
        };
        if tables.table_exist(stream) {
            tables.deregister_table(stream)?;
        }
        tables.register_table(stream.into(), Arc::new(EmptyTable::new(schema)))?;
        Ok(())
    }
    /// A session in which names without a pipeline are those of `pipeline`.
    pub fn session(&self, pipeline: &str) -> SessionState {
        let config = self.base.config().clone().with_default_catalog_and_schema(CATALOG, pipeline);
        SessionStateBuilder::new_from_existing(self.base.clone()).with_config(config).build()
    }
}
