//! Columns as they are in a file to columns as they are declared.
//!
//! Columns are matched by name and cast. A value that the declared type cannot hold, a null where none may be, NaN and
//! infinities make their row an error row; the other rows stay.

use super::text_file::Layout;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::*;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use jarvis_runtime::arrival::{Decoded, RowError};
use jarvis_spec::schema::{RESERVED_COLUMNS, UNIT_KEY, field_type_name};
use std::sync::Arc;

/// A file whose columns do not fit the stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConformError {
    #[error("it has no column `{0}`, which must not be null")]
    Missing(String),
    #[error("its column `{column}` is {found}, which cannot become {declared}")]
    Type { column: String, found: DataType, declared: String },
    #[error("its column `{column}` is {found}, a type that pipelines do not have: declare a `schema` without it")]
    Unknown { column: String, found: DataType },
}

/// How to make declared columns from those of a file.
pub(crate) struct Conform {
    schema: SchemaRef,
    keyed: bool,
    /// Per column of the schema: the column of the file.
    from: Vec<Option<usize>>,
    /// Columns of the file that say what a row means.
    diff: Option<usize>,
    deleted: Option<usize>,
    /// The columns to read, in the file's order.
    roots: Vec<usize>,
}

impl Conform {
    pub fn new(file: &Schema, layout: &Layout) -> Result<Self, ConformError> {
        let schema = layout.schema.clone();
        let mut from = Vec::new();
        for field in schema.fields() {
            let found = file.index_of(field.name()).ok();
            match found.map(|index| file.field(index).data_type()) {
                None if !field.is_nullable() => return Err(ConformError::Missing(field.name().clone())),
                Some(data_type) if !castable(data_type, field) => {
                    let (column, found) = (field.name().clone(), data_type.clone());
                    return Err(ConformError::Type { column, found, declared: field_type_name(field) });
                }
                _ => {}
            }
            from.push(found);
        }
        let special =
            |name: &str, of: &[DataType]| file.index_of(name).ok().filter(|i| of.contains(file.field(*i).data_type()));
        let diff = special("_diff", &[DataType::Int64, DataType::Int32, DataType::Int16, DataType::Int8]);
        let deleted = special("_deleted", &[DataType::Boolean]);
        let mut roots: Vec<usize> = from.iter().copied().flatten().chain(diff).chain(deleted).collect();
        roots.sort_unstable();
        roots.dedup();
        Ok(Self { keyed: !layout.key.is_empty(), schema, from, diff, deleted, roots })
    }

    /// The columns of the file to read.
    pub fn roots(&self) -> Vec<usize> {
        self.roots.clone()
    }

    /// No rows.
    pub fn nothing(&self) -> Decoded {
        Decoded { rows: RecordBatch::new_empty(self.schema.clone()), weights: None, errors: Vec::new(), bytes: 0 }
    }

    /// Converts a batch of the columns [`Conform::roots`].
    pub fn apply(&self, batch: &RecordBatch) -> Decoded {
        let bytes = batch.get_array_memory_size() as u64;
        let mut faults = Faults { rows: vec![None; batch.num_rows()] };
        // Columns are in the file's order, which is that of `roots`.
        let read = |index: usize| self.roots.binary_search(&index).ok().map(|at| batch.column(at).clone());
        let weights = self.weights(batch.num_rows(), &read, &mut faults);
        let removal = |row: usize| self.keyed && weights.as_ref().is_some_and(|weights| weights[row] < 0);
        let mut columns = Vec::new();
        for (field, from) in self.schema.fields().iter().zip(&self.from) {
            columns.push(match from.and_then(&read) {
                Some(array) => conform(&array, field, &removal, &mut faults),
                None => arrow::array::new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        let errors = faults.errors(batch);
        let (columns, weights) = match errors.is_empty() {
            true => (columns, weights),
            false => faults.keep_good(&columns, weights, batch.num_rows()),
        };
        let rows = weights.as_ref().map_or_else(|| batch.num_rows() - errors.len(), Vec::len);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        match RecordBatch::try_new_with_options(self.schema.clone(), columns, &options) {
            Ok(rows) => Decoded { rows, weights, errors, bytes },
            Err(error) => {
                let error = RowError { code: "wrong_type", message: error.to_string(), input: String::new() };
                Decoded { errors: vec![error], bytes, ..self.nothing() }
            }
        }
    }

    /// What `_diff` and `_deleted` say, with the rules of the text formats.
    fn weights(&self, rows: usize, read: &dyn Fn(usize) -> Option<ArrayRef>, faults: &mut Faults) -> Option<Vec<i64>> {
        let diff = self.diff.and_then(read).and_then(|array| cast_with_options(&array, &DataType::Int64, &SAFE).ok());
        let deleted = self.deleted.and_then(read);
        if diff.is_none() && deleted.is_none() {
            return None;
        }
        let mut weights = vec![1; rows];
        for (row, weight) in weights.iter_mut().enumerate() {
            let diff = diff.as_ref().filter(|a| a.is_valid(row)).map(|a| a.as_primitive::<Int64Type>().value(row));
            let gone = deleted.as_ref().is_some_and(|a| a.is_valid(row) && a.as_boolean().value(row));
            *weight = match (diff, gone, self.keyed) {
                (None | Some(1), false, _) => 1,
                (Some(-1), false, false) | (None | Some(1), true, true) => -1,
                _ => {
                    faults.set(row, "wrong_change", || {
                        "`_diff` or `_deleted` says what this stream cannot do".to_owned()
                    });
                    1
                }
            };
        }
        Some(weights)
    }
}

/// The first fault of each row.
struct Faults {
    rows: Vec<Option<(&'static str, String)>>,
}

impl Faults {
    fn set(&mut self, row: usize, code: &'static str, message: impl FnOnce() -> String) {
        self.rows[row].get_or_insert_with(|| (code, message()));
    }

    fn errors(&self, batch: &RecordBatch) -> Vec<RowError> {
        let faulty = self.rows.iter().enumerate().filter_map(|(row, fault)| fault.as_ref().map(|fault| (row, fault)));
        faulty
            .map(|(row, (code, message))| RowError { code, message: message.clone(), input: shown(batch, row) })
            .collect()
    }

    fn keep_good(
        &self,
        columns: &[ArrayRef],
        weights: Option<Vec<i64>>,
        rows: usize,
    ) -> (Vec<ArrayRef>, Option<Vec<i64>>) {
        let good: BooleanArray = BooleanBuffer::collect_bool(rows, |row| self.rows[row].is_none()).into();
        let columns = columns.iter().map(|column| {
            // Filtering fails only for arrays of another length than the filter.
            arrow::compute::filter(column, &good).expect("a filter of the column's length")
        });
        let weights = weights
            .map(|weights| weights.into_iter().zip(&self.rows).filter(|(_, f)| f.is_none()).map(|(w, _)| w).collect());
        (columns.collect(), weights)
    }
}

/// A row as text, for error rows.
fn shown(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::new().with_display_error(true);
    let mut text = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = ArrayFormatter::try_new(column, &options).map(|formatter| formatter.value(row).to_string());
        text.push_str(&format!(
            "{}{}={}",
            if text.is_empty() { "" } else { ", " },
            field.name(),
            value.unwrap_or_default()
        ));
    }
    crate::decode::shown(text.as_bytes())
}

const SAFE: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// One column as declared; what does not fit becomes a fault of its row.
fn conform(array: &ArrayRef, field: &Field, removal: &dyn Fn(usize) -> bool, faults: &mut Faults) -> ArrayRef {
    let declared = field.data_type();
    let cast = match cast_to(array, field) {
        Ok(cast) => cast,
        Err(error) => {
            for row in 0..array.len() {
                faults.set(row, "wrong_type", || format!("`{}`: {error}", field.name()));
            }
            return arrow::array::new_null_array(declared, array.len());
        }
    };
    let not_finite = not_finite(&cast);
    if cast.null_count() > 0 || not_finite.is_some() {
        for row in 0..array.len() {
            if cast.is_null(row) && array.is_valid(row) {
                faults.set(row, "out_of_range", || {
                    format!("`{}`: the value does not fit {}", field.name(), field_type_name(field))
                });
            } else if cast.is_null(row) && !field.is_nullable() && !removal(row) {
                faults.set(row, "missing_field", || {
                    format!("`{}`: the value is null; a `?` after the column's type would allow that", field.name())
                });
            } else if cast.is_valid(row) && not_finite.as_ref().is_some_and(|bits| bits.value(row)) {
                faults.set(row, "not_finite", || format!("`{}`: the value is not a finite number", field.name()));
            }
        }
    }
    if field.is_nullable() { cast } else { without_nulls(cast) }
}

/// Removals may leave out what is not the key: a placeholder stands there, not null.
fn without_nulls(array: ArrayRef) -> ArrayRef {
    if array.null_count() == 0 {
        return array;
    }
    let data = array.to_data().into_builder().nulls(None).build();
    // Behind a null of any flat type stands a value of the type; nested types keep their nulls, and the batch says so.
    data.map_or(array, arrow::array::make_array)
}

/// Where a column of floats is NaN or infinite; `None` if nowhere.
fn not_finite(array: &ArrayRef) -> Option<BooleanBuffer> {
    let mut bits = BooleanBufferBuilder::new(array.len());
    match array.data_type() {
        DataType::Float64 => {
            array.as_primitive::<Float64Type>().values().iter().for_each(|v| bits.append(!v.is_finite()))
        }
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().values().iter().for_each(|v| bits.append(!v.is_finite()))
        }
        _ => return None,
    }
    let bits = bits.finish();
    (bits.count_set_bits() > 0).then_some(bits)
}

fn castable(from: &DataType, to: &Field) -> bool {
    can_cast_types(from, to.data_type()) && !matches!((from, to.data_type()), (DataType::Utf8, DataType::Interval(_)))
}

fn cast_to(array: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let declared = field.data_type();
    if array.data_type() == declared {
        return Ok(array.clone());
    }
    let array = without_zone(array)?;
    if let (true, DataType::Timestamp(..)) = (array.data_type().is_integer(), declared) {
        // Whole numbers count the column's unit.
        let unit = match field.metadata().get(UNIT_KEY).map(String::as_str) {
            Some("s") => TimeUnit::Second,
            Some("us") => TimeUnit::Microsecond,
            Some("ns") => TimeUnit::Nanosecond,
            _ => TimeUnit::Millisecond,
        };
        let array = cast_with_options(&array, &DataType::Int64, &SAFE)?;
        let array = cast_with_options(&array, &DataType::Timestamp(unit, None), &SAFE)?;
        return cast_with_options(&array, declared, &SAFE);
    }
    cast_with_options(&array, declared, &SAFE)
}

/// A timestamp with a time zone is the same instant without one.
fn without_zone(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let data = array.to_data().into_builder().data_type(DataType::Timestamp(*unit, None)).build()?;
            Ok(arrow::array::make_array(data))
        }
        _ => Ok(array.clone()),
    }
}

/// A file's schema in the types of the language, without the columns that have a meaning of their own.
pub(crate) fn language_schema(file: &Schema) -> Result<SchemaRef, ConformError> {
    let columns = file.fields().iter().filter(|field| !RESERVED_COLUMNS.contains(&field.name().as_str()));
    let fields = columns.map(|field| language_field(field)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn language_field(field: &Field) -> Result<Field, ConformError> {
    let of = language_type(field.data_type());
    let of =
        of.ok_or_else(|| ConformError::Unknown { column: field.name().clone(), found: field.data_type().clone() })?;
    Ok(Field::new(field.name(), of, field.is_nullable()))
}

fn language_type(of: &DataType) -> Option<DataType> {
    Some(match of {
        DataType::Boolean
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => of.clone(),
        _ if of.is_integer() => of.clone(),
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Dictionary(_, values) => language_type(values)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(language_field(item).ok()?.with_name("item")))
        }
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| language_field(field).ok()).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
