//! The judge of maintained views: the same query, answered from scratch by DataFusion over the accumulated input.

use crate::history::Held;
use crate::query::{PIPELINE, Query, Table, batch};
use crate::value::{Row, rows};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider};
use datafusion::common::ScalarValue;
use datafusion::config::Dialect;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use jarvis_plan::functions::TIMESTAMP;
use std::sync::Arc;

/// A table and what it holds.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    pub schema: SchemaRef,
    pub rows: Vec<Row>,
}

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
        content: &[Vec<Held>],
        time: u64,
    ) -> Result<Vec<Row>> {
        let kept = |table: &Table, rows: &[Held]| {
            rows.iter().filter(|held| table.retains(held, time)).map(|held| held.row.clone()).collect()
        };
        let tables: Vec<Relation> = tables
            .iter()
            .zip(&query.schemas)
            .zip(content)
            .map(|((t, schema), rows)| Relation { name: t.name.into(), schema: schema.clone(), rows: kept(t, rows) })
            .collect();
        let context = context(&tables)?;
        for function in jarvis_plan::functions::all().into_iter().filter(|f| f.name() != "now") {
            context.register_udf(function);
        }
        let now = ScalarValue::TimestampMicrosecond(Some(time as i64), None);
        let now = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(now.clone()));
        context.register_udf(create_udf("now", vec![], TIMESTAMP, Volatility::Immutable, Arc::new(now)));
        self.ask(&context, sql, |statement| jarvis_plan::table_functions::rewrite(statement).map(|_| ()))
    }

    /// The answer over these tables, to SQL in which nothing is the engine's own.
    ///
    /// # Errors
    /// What DataFusion says about the query or its computation.
    pub fn plain(&self, tables: &[Relation], sql: &str) -> Result<Vec<Row>> {
        self.ask(&context(tables)?, sql, |_| Ok(()))
    }

    fn ask(
        &self,
        context: &SessionContext,
        sql: &str,
        rewrite: impl FnOnce(&mut SqlStatement) -> Result<()>,
    ) -> Result<Vec<Row>> {
        self.runtime.block_on(async {
            let state = context.state();
            let mut statement = state.sql_to_statement(sql, &Dialect::PostgreSQL)?;
            if let Statement::Statement(s) = &mut statement {
                rewrite(s)?;
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

/// DataFusion over some tables, with the plainest plans.
fn context(tables: &[Relation]) -> Result<SessionContext> {
    let catalog = Arc::new(MemoryCatalogProvider::new());
    let schema = Arc::new(MemorySchemaProvider::new());
    for table in tables {
        let data = MemTable::try_new(table.schema.clone(), vec![vec![batch(&table.schema, &table.rows)]])?;
        schema.register_table(table.name.clone(), Arc::new(data))?;
    }
    catalog.register_schema(PIPELINE, schema)?;
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema("judge", PIPELINE);
    // What prunes rows early is one more thing that could be wrong.
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    optimizer.enable_dynamic_filter_pushdown = false;
    // With it, DataFusion 55.2 loses rows: SELECT .. FROM c RIGHT JOIN b ON c.g = b.g WHERE c.g IS NULL AND
    // b.k <= (SELECT max(n) FROM c).
    optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    // With these, DataFusion 55.2 takes a column of one side of a join for that of the other: SELECT p.id FROM a p
    // RIGHT JOIN a q ON p.x = q.id WHERE p.id IS NULL AND q.x = 0.
    let rules = PhysicalOptimizer::new().rules.into_iter().filter(|rule| !rule.name().starts_with("FilterPushdown"));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_physical_optimizer_rules(rules.collect())
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_catalog("judge", catalog);
    Ok(context)
}
