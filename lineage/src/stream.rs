//! A stream as a table: its parts here, its parts in the store, and what is still in the log.
//!
//! What there is is looked up whenever the table is read, so that a statement may be prepared once and run often. Of parts
//! outside of the times that a query asks for only the columns are looked at: their names say what they are about.

use crate::{cold, layout};
use datafusion::arrow::array::{RecordBatch, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use std::fmt::Debug;
use std::future::Future;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

/// How often a statement is planned anew when files have gone.
const TRIES: usize = 3;
/// The column that parts are in the order of.
const TIME: &str = "_time";

/// Who knows what there is of a stream.
pub(crate) trait Content: Debug + Send + Sync {
    /// The parts, and what is still in the log. Neither: the stream is not there.
    fn content(&self) -> Result<(Vec<PathBuf>, Vec<RecordBatch>)>;
    /// Parts have gone into others meanwhile: the next content is of now.
    fn renew(&self);
    /// The folder that its parts are below.
    fn data(&self) -> &Path;
    /// For people.
    fn name(&self) -> String;
}

/// The table.
#[derive(Debug)]
pub(crate) struct Stream<C> {
    content: C,
    schema: SchemaRef,
}

impl<C: Content> Stream<C> {
    /// The stream as it is now; `None`: there is nothing of it.
    pub fn new(content: C) -> Result<Option<Self>> {
        let (parts, recent) = content.content()?;
        if parts.is_empty() && recent.is_empty() {
            return Ok(None);
        }
        let schema = merged(&parts, &recent)?;
        Ok(Some(Stream { content, schema }))
    }

    /// A run may merge parts while a statement is planned.
    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut tries = TRIES;
        loop {
            match self.plan_once(state, projection, filters, limit).await {
                Err(_) if tries > 0 => {
                    tries -= 1;
                    self.content.renew();
                }
                planned => return planned,
            }
        }
    }

    async fn plan_once(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (mut parts, recent) = self.content.content()?;
        if parts.is_empty() && recent.is_empty() {
            return Err(DataFusionError::Execution(format!("{} is gone", self.content.name())));
        }
        let times = times(filters);
        parts.retain(|part| {
            let touches = |(lower, upper): (u64, u64)| upper > *times.start() && lower <= *times.end();
            layout::lower(part).zip(layout::upper(part)).is_none_or(touches)
        });
        let (cold, here): (Vec<PathBuf>, Vec<PathBuf>) = parts.into_iter().partition(|part| cold::is_cold(part));
        let mut listings = vec![];
        if !cold.is_empty() {
            listings.push((self.stored(state, &cold)?, cold.len()));
        }
        if !here.is_empty() {
            let urls = here.iter().map(|part| ListingTableUrl::parse(part.display().to_string()));
            listings.push((self.listing(urls.collect::<Result<_>>()?)?, here.len()));
        }
        let mut plans = vec![];
        for (listing, count) in listings {
            // With a limit it would leave out files.
            let plan = listing.scan(state, projection, filters, None).await?;
            // A file that is not there is nothing to it, and no error.
            let found = files(&plan);
            if found != count {
                let message = format!("{found} of {count} files of {} are there", self.content.name());
                return Err(DataFusionError::Execution(message));
            }
            plans.push(plan);
        }
        if !recent.is_empty() {
            plans.push(in_memory(&self.schema, &recent)?.scan(state, projection, filters, limit).await?);
        }
        match plans.len() {
            0 => {
                let all = || (0..self.schema.fields().len()).collect();
                let columns = projection.cloned().unwrap_or_else(all);
                Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&columns)?))))
            }
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }

    /// Parts that are in the store: of each, only what is needed is read.
    fn stored(&self, state: &dyn Session, parts: &[PathBuf]) -> Result<ListingTable> {
        let outside = |error: anyhow::Error| DataFusionError::Execution(format!("{error:#}"));
        let data = self.content.data();
        let store = cold::Store::of(data).map_err(outside)?;
        let nowhere = || DataFusionError::Execution(format!("{} does not say where its old parts are", data.display()));
        let (root, objects) = store.ok_or_else(nowhere)?.objects().map_err(outside)?;
        state.runtime_env().register_object_store(&root, objects);
        let url = |part: &PathBuf| {
            let note = cold::Note::read(part).map_err(outside)?;
            ListingTableUrl::parse(format!("{root}/{}", note.key()))
        };
        self.listing(parts.iter().map(url).collect::<Result<_>>()?)
    }

    /// Parquet files; columns that one lacks are null in its rows.
    fn listing(&self, urls: Vec<ListingTableUrl>) -> Result<ListingTable> {
        let format = ParquetFormat::default().with_skip_metadata(false);
        let options = ListingOptions::new(Arc::new(format)).with_file_extension(layout::PART_END);
        let config = ListingTableConfig::new_with_multi_paths(urls);
        ListingTable::try_new(config.with_listing_options(options).with_schema(self.schema.clone()))
    }
}

impl<C: Content + 'static> TableProvider for Stream<C> {
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
        Box::pin(self.plan(state, projection, filters, limit))
    }
}

/// How many files a scan is about.
fn files(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let scan =
        plan.downcast_ref::<DataSourceExec>().and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>());
    scan.map_or(0, |scan| scan.file_groups.iter().map(|group| group.files().len()).sum())
}

/// The times that conditions leave, µs. Conditions that say nothing plain about them leave all.
fn times(filters: &[Expr]) -> RangeInclusive<u64> {
    let (mut from, mut until) = (i64::MIN, i64::MAX);
    for filter in filters {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (op, bounds) = match (is_time(left), is_time(right)) {
                    (true, false) => (Some(*op), micros(right)),
                    (false, true) => (op.swap(), micros(left)),
                    _ => continue,
                };
                let (Some(op), Some((floor, ceiling))) = (op, bounds) else { continue };
                match op {
                    Operator::Gt | Operator::GtEq => from = from.max(floor),
                    Operator::Lt | Operator::LtEq => until = until.min(ceiling),
                    Operator::Eq => (from, until) = (from.max(floor), until.min(ceiling)),
                    _ => {}
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
                from = from.max(micros(low).map_or(i64::MIN, |(floor, _)| floor));
                until = until.min(micros(high).map_or(i64::MAX, |(_, ceiling)| ceiling));
            }
            _ => {}
        }
    }
    let natural = |time: i64| u64::try_from(time).unwrap_or(0);
    natural(from)..=natural(until)
}

fn is_time(of: &Expr) -> bool {
    matches!(of, Expr::Column(column) if column.name == TIME)
}

/// A time as the last µs before or at it, and the first at or after it.
fn micros(of: &Expr) -> Option<(i64, i64)> {
    let exact = |micros: Option<i64>| micros.map(|m| (m, m));
    match of {
        Expr::Literal(ScalarValue::TimestampSecond(Some(s), _), _) => exact(s.checked_mul(1_000_000)),
        Expr::Literal(ScalarValue::TimestampMillisecond(Some(ms), _), _) => exact(ms.checked_mul(1000)),
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), _), _) => exact(Some(*us)),
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(ns), _), _) => {
            let floor = ns.div_euclid(1000);
            Some((floor, if ns.rem_euclid(1000) == 0 { floor } else { floor + 1 }))
        }
        _ => None,
    }
}

/// The columns of all parts: a pipeline may have been edited between them. What a part lacks is null in its rows.
fn merged(parts: &[PathBuf], recent: &[RecordBatch]) -> Result<SchemaRef> {
    let loose = |schema: &Schema| Schema::new(schema.fields().iter().map(|field| as_read(field)).collect::<Vec<_>>());
    let mut merged = Schema::empty();
    for part in parts {
        let found = cold::schema(part).map_err(|error| in_part(part, format!("{error:#}")))?;
        merged = Schema::try_merge([merged, loose(&found)]).map_err(|error| {
            in_part(part, format!("{error}; earlier parts have another type: move one or the other away"))
        })?;
    }
    let recent = recent.iter().map(|rows| loose(&rows.schema()));
    Ok(Arc::new(Schema::try_merge(std::iter::once(merged).chain(recent))?))
}

/// A column as it is read: texts as views, which DataFusion groups and compares by a quarter faster.
fn as_read(field: &Field) -> Field {
    let of = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    };
    field.clone().with_data_type(of).with_nullable(true)
}

fn in_part(part: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!("the part {} of the lineage cannot be read: {error}", part.display()))
}

/// Batches as a table.
fn in_memory(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<MemTable> {
    let column = |batch: &RecordBatch, field: &Field| match batch.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    };
    let conformed = batches.iter().map(|batch| {
        let columns = schema.fields().iter().map(|field| column(batch, field)).collect::<Result<_, _>>()?;
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    });
    MemTable::try_new(schema.clone(), vec![conformed.collect::<Result<_>>()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{col, lit};

    fn at(micros: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(micros), None))
    }

    #[test]
    fn plain_conditions_leave_some_times() {
        let all = 0..=i64::MAX as u64;
        assert_eq!(times(&[]), all);
        assert_eq!(times(&[col("_time").gt_eq(at(5)), col("_time").lt(at(9))]), 5..=9);
        assert_eq!(times(&[at(5).lt(col("_time"))]), 5..=i64::MAX as u64);
        assert_eq!(times(&[col("_time").eq(at(7)), col("x").gt(at(100))]), 7..=7);
        assert_eq!(times(&[col("_time").between(at(3), at(4))]), 3..=4);
        let nanos = lit(ScalarValue::TimestampNanosecond(Some(5_500), None));
        assert_eq!(times(&[col("_time").lt_eq(nanos.clone())]), 0..=6);
        assert_eq!(times(&[col("_time").gt_eq(nanos)]), 5..=i64::MAX as u64);
        // What says less is left to whoever looks at the rows.
        assert_eq!(times(&[col("_time").not_eq(at(5)), col("_time").not_between(at(1), at(2))]), all);
        assert_eq!(times(&[col("_time").gt(at(5)).or(col("x").gt(at(1)))]), all);
    }
}
