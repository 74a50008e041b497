//! Views as tables: what they hold when a statement begins.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use jarvis_lineage::Lineage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

/// How the schemas begin that hold the history of a pipeline.
pub const HISTORY: &str = "lineage_";

/// By name, `pipeline.stream`, the rows.
type Views = BTreeMap<String, RecordBatch>;

/// The catalog of the views, and of the history under names of two parts.
#[derive(Debug)]
pub struct Live {
    views: Arc<RwLock<Views>>,
    history: Option<Lineage>,
    /// Schemas that say what there is: `pg_catalog`.
    others: RwLock<BTreeMap<String, Arc<dyn SchemaProvider>>>,
}

impl Live {
    pub fn new(history: Option<Lineage>) -> Self {
        Live { views: Arc::default(), history, others: RwLock::default() }
    }

    /// From now on tables hold these rows.
    pub fn renew(&self, views: Vec<(String, RecordBatch)>) {
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = views.into_iter().collect();
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

impl CatalogProvider for Live {
    fn schema_names(&self) -> Vec<String> {
        let views = read(&self.views);
        let live: BTreeSet<String> = views.keys().filter_map(|name| Some(name.split_once('.')?.0.to_owned())).collect();
        let history = self.history.iter().flat_map(|history| history.catalog().schema_names());
        let others = read(&self.others);
        live.into_iter().chain(history.map(|name| format!("{HISTORY}{name}"))).chain(others.keys().cloned()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if let Some(other) = read(&self.others).get(name) {
            return Some(other.clone());
        }
        let prefix = format!("{name}.");
        if read(&self.views).keys().any(|view| view.starts_with(&prefix)) {
            return Some(Arc::new(Pipeline { name: name.to_owned(), views: self.views.clone() }));
        }
        self.history.as_ref()?.catalog().schema(name.strip_prefix(HISTORY)?)
    }

    fn register_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<Option<Arc<dyn SchemaProvider>>> {
        Ok(self.others.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), schema))
    }
}

/// The views of a pipeline.
#[derive(Debug)]
struct Pipeline {
    name: String,
    views: Arc<RwLock<Views>>,
}

impl Pipeline {
    fn table_now(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let name = format!("{}.{name}", self.name);
        let schema = read(&self.views).get(&name)?.schema();
        Some(Arc::new(View { name, schema, views: self.views.clone() }))
    }
}

#[async_trait]
impl SchemaProvider for Pipeline {
    fn table_names(&self) -> Vec<String> {
        let views = read(&self.views);
        let split = views.keys().filter_map(|name| name.split_once('.'));
        split.filter(|(pipeline, _)| *pipeline == self.name).map(|(_, stream)| stream.to_owned()).collect()
    }
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.table_now(name))
    }
    fn table_exist(&self, name: &str) -> bool {
        self.table_now(name).is_some()
    }
}

/// A view: a statement that was prepared once reads what it holds whenever it runs.
#[derive(Debug)]
struct View {
    name: String,
    schema: SchemaRef,
    views: Arc<RwLock<Views>>,
}

#[async_trait]
impl TableProvider for View {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn table_type(&self) -> TableType {
        TableType::View
    }
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = read(&self.views).get(&self.name).filter(|rows| rows.schema() == self.schema).cloned();
        let changed =
            || DataFusionError::Execution(format!("{} is not what it was: prepare the statement anew", self.name));
        let table = MemTable::try_new(self.schema.clone(), vec![vec![rows.ok_or_else(changed)?]])?;
        table.scan(state, projection, filters, limit).await
    }
}
