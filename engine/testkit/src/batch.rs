//! The judge of maintained views: the same query, answered from scratch by DataFusion over the accumulated input.

use crate::query::{PIPELINE, Query, Table, batch};
use crate::value::{Row, rows};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider};
use datafusion::common::ScalarValue;
use datafusion::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use jarvis_plan::functions::TIMESTAMP;
use std::sync::Arc;

/// Answers queries with DataFusion alone.
pub struct Judge {
    runtime: tokio::runtime::Runtime,
}

impl Judge {
    /// # Errors
    /// The runtime could not be started.
    pub fn new() -> std::io::Result<Self> {
        Ok(Judge { runtime: tokio::runtime::Builder::new_current_thread().build()? })
    }

    /// The answer when `now()` is `time` (µs) and the tables hold these rows.
    ///
    /// # Errors
    /// What DataFusion says about the query or its computation.
    pub fn answer(
        &self,
        query: &Query,
        tables: &[Table],
        sql: &str,
        content: &[Vec<Row>],
        time: u64,
    ) -> Result<Vec<Row>> {
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let schema = Arc::new(MemorySchemaProvider::new());
        for ((table, columns), rows) in tables.iter().zip(&query.schemas).zip(content) {
            let rows: Vec<Row> = rows.iter().filter(|r| table.retains(r, time)).cloned().collect();
            let data = MemTable::try_new(columns.clone(), vec![vec![batch(columns, &rows)]])?;
            schema.register_table(table.name.into(), Arc::new(data))?;
        }
        catalog.register_schema(PIPELINE, schema)?;
        let mut config = SessionConfig::new()
            .with_target_partitions(1)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema("judge", PIPELINE);
        // The plainest plans: what prunes rows early is one more thing that could be wrong.
        let optimizer = &mut config.options_mut().optimizer;
        optimizer.enable_join_dynamic_filter_pushdown = false;
        optimizer.enable_topk_dynamic_filter_pushdown = false;
        optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        optimizer.enable_dynamic_filter_pushdown = false;
        // With it, DataFusion 55.2 loses rows: SELECT .. FROM c RIGHT JOIN b ON c.g = b.g WHERE c.g IS NULL AND
        // b.k <= (SELECT max(n) FROM c).
        optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        let context = SessionContext::new_with_config(config);
        context.register_catalog("judge", catalog);
        for function in jarvis_plan::functions::all().into_iter().filter(|f| f.name() != "now") {
            context.register_udf(function);
        }
        let now = ScalarValue::TimestampMicrosecond(Some(time as i64), None);
        let now = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(now.clone()));
        context.register_udf(create_udf("now", vec![], TIMESTAMP, Volatility::Immutable, Arc::new(now)));
        self.runtime.block_on(async {
            let state = context.state();
            let mut statement = state.sql_to_statement(sql, &Dialect::PostgreSQL)?;
            if let Statement::Statement(s) = &mut statement {
                jarvis_plan::table_functions::rewrite(s)?;
            }
            let plan = state.statement_to_plan(statement).await?;
            let batches = context.execute_logical_plan(plan).await?.collect().await?;
            let mut out = vec![];
            for batch in &batches {
                out.extend(rows(batch)?);
            }
            Ok(out)
        })
    }
}
