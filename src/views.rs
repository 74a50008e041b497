//! SQL over views and the lineage together: a view is the table `PIPELINE.STREAM`, what was recorded of it is
//! `lineage.PIPELINE.STREAM`.

use arrow::record_batch::RecordBatch;
use datafusion::catalog::{CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::config::Dialect;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use jarvis_plan::dialect::readable;
use jarvis_plan::refusal::Refusal;
use std::path::Path;
use std::sync::Arc;

/// The catalog of the views, for names that begin with no catalog.
const LIVE: &str = "live";

/// The rows of a view: its name, `pipeline.stream`, and at least one batch, so that its columns are known.
pub type View = (String, Vec<RecordBatch>);

/// Answers a query. There is at least one batch, so that the columns are known even if no row is.
///
/// # Errors
/// The SQL does not plan, names what is not there, or writes or defines something.
pub async fn query(views: Vec<View>, data: Option<&Path>, sql: &str) -> Result<Vec<RecordBatch>> {
    readable(sql)?;
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(LIVE, "system")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let context = jarvis_lineage::session(config);
    context.register_catalog(LIVE, Arc::new(catalog(views)?));
    if let Some(lineage) = data.map(jarvis_lineage::open).transpose()?.and_then(|opened| opened.catalog("lineage")) {
        context.register_catalog("lineage", lineage);
    }
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, reading).await?;
    let schema = frame.schema().inner().clone();
    let mut batches = frame.collect().await?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

fn catalog(views: Vec<View>) -> Result<MemoryCatalogProvider> {
    let catalog = MemoryCatalogProvider::new();
    for (name, batches) in views {
        let (Some((pipeline, stream)), Some(first)) = (name.split_once('.'), batches.first()) else { continue };
        let table = MemTable::try_new(first.schema(), vec![batches])?;
        let schema = match catalog.schema(pipeline) {
            Some(schema) => schema,
            None => {
                let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
                catalog.register_schema(pipeline, schema.clone())?;
                schema
            }
        };
        schema.register_table(stream.to_owned(), Arc::new(table))?;
    }
    Ok(catalog)
}

/// The tables that a query names and that may be views: `pipeline.stream`. The query has been found to be
/// [readable].
///
/// # Errors
/// It is no SQL.
pub fn named(sql: &str) -> Result<Vec<String>> {
    let state = SessionContext::new().state();
    let statement = state.sql_to_statement(sql, &Dialect::Generic)?;
    let tables = state.resolve_table_references(&statement)?;
    let bare = |table: &datafusion::common::TableReference| match (table.catalog(), table.schema()) {
        (None, Some(pipeline)) => Some(format!("{pipeline}.{}", table.table())),
        _ => None,
    };
    Ok(tables.iter().filter_map(bare).collect())
}

/// The error for people.
pub fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        // What is refused here says so itself.
        DataFusionError::External(refusal) if refusal.is::<Refusal>() => refusal.to_string(),
        _ => error.strip_backtrace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    fn view(name: &str, values: &[i64]) -> View {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        (name.to_owned(), vec![RecordBatch::try_from_iter([("n", column)]).unwrap()])
    }

    #[tokio::test]
    async fn views_of_two_pipelines_are_joined() {
        let views = vec![view("a.x", &[1, 2, 3]), view("b.y", &[2, 3, 4]), view("b.z", &[])];
        let rows = query(views, None, "SELECT sum(n) AS n FROM a.x JOIN b.y USING (n)").await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 5);
    }

    #[tokio::test]
    async fn an_empty_answer_has_its_columns() {
        let rows = query(vec![view("b.z", &[])], None, "SELECT n FROM b.z").await.unwrap();
        assert_eq!(rows[0].schema().field(0).name(), "n");
    }

    #[tokio::test]
    async fn nothing_is_written() {
        for sql in ["CREATE TABLE t AS SELECT 1", "COPY (SELECT 1) TO 'x.csv'", "SET a.b = 1", "DROP TABLE a.x"] {
            assert!(query(vec![view("a.x", &[1])], None, sql).await.is_err(), "{sql}");
        }
    }

    #[test]
    fn names_without_a_catalog_may_be_views() {
        let names = named("SELECT * FROM a.x, lineage.a.x AS l WHERE EXISTS (SELECT 1 FROM b.y)").unwrap();
        assert_eq!(names, ["a.x", "b.y"]);
    }
}
