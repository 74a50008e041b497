//! Open questions as bytes, to be asked again after a restart.

use super::{Open, Question};
use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use std::sync::Arc;

/// Beside the columns of a question.
const OWN: [&str; 4] = ["__time", "__hash", "__count", "__left"];
/// In the schema's metadata: what was to be done.
const PURPOSE: &str = "purpose";

/// Questions as Arrow IPC streams, one after the other, one for all of the same columns: these, then time, hash, number and why
/// a question will not be asked.
///
/// # Errors
/// They cannot be written as Arrow.
pub(super) fn written(questions: &[Open], purpose: &str) -> anyhow::Result<Vec<u8>> {
    let mut kinds: Vec<(SchemaRef, Vec<&Open>)> = vec![];
    for open in questions {
        let schema = open.question.rows.schema();
        match kinds.iter_mut().find(|(known, _)| known.fields() == schema.fields()) {
            Some((_, alike)) => alike.push(open),
            None => kinds.push((schema, vec![open])),
        }
    }
    let mut bytes = vec![];
    for (schema, alike) in kinds {
        let numbers = OWN[..3].iter().map(|name| Field::new(*name, DataType::UInt64, false));
        let more = numbers.chain([Field::new(OWN[3], DataType::Utf8, true)]).map(Arc::new);
        let fields: Vec<_> = schema.fields().iter().cloned().chain(more).collect();
        let purpose = HashMap::from([(PURPOSE.to_owned(), purpose.to_owned())]);
        let whole: SchemaRef = Arc::new(Schema::new(fields).with_metadata(purpose));
        let mut writer = StreamWriter::try_new(&mut bytes, &whole)?;
        for Open { question, left, .. } in alike {
            let numbers = [question.id.0, question.id.1, question.count.unsigned_abs()];
            let numbers = numbers.map(|number| Arc::new(UInt64Array::from(vec![number])) as ArrayRef);
            let left: ArrayRef = Arc::new(StringArray::from(vec![left.as_deref()]));
            let columns = question.alone().columns().iter().cloned().chain(numbers).chain([left]).collect();
            writer.write(&RecordBatch::try_new(whole.clone(), columns)?)?;
        }
        writer.finish()?;
    }
    Ok(bytes)
}

/// Questions as [`written`] has them, each with what was to be done about it.
///
/// # Errors
/// It is something else.
pub(super) fn read(mut snapshot: &[u8]) -> anyhow::Result<Vec<(Open, String)>> {
    let mut questions = vec![];
    while !snapshot.is_empty() {
        let reader = StreamReader::try_new(&mut snapshot, None)?;
        let purpose = reader.schema().metadata().get(PURPOSE).cloned().unwrap_or_default();
        for rows in reader {
            questions.push((question(&rows?)?, purpose.clone()));
        }
    }
    Ok(questions)
}

fn question(rows: &RecordBatch) -> anyhow::Result<Open> {
    let own = rows.num_columns().checked_sub(OWN.len()).context("it has too few columns")?;
    anyhow::ensure!(rows.num_rows() == 1, "it is of another form");
    let number = |at: usize| {
        let column = rows.column(own + at).as_primitive_opt::<UInt64Type>();
        column.map(|column| column.value(0)).context("it is of another form")
    };
    let (id, count) = ((number(0)?, number(1)?), number(2)?.cast_signed());
    let left = rows.column(own + 3).as_string_opt::<i32>().context("it is of another form")?;
    let left = left.is_valid(0).then(|| left.value(0).to_owned());
    let schema = Arc::new(Schema::new(rows.schema().fields()[..own].to_vec()));
    let rows = RecordBatch::try_new(schema, rows.columns()[..own].to_vec())?;
    let question = Question { rows, row: 0, count, id };
    Ok(Open { question, is_answered: false, left })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    #[test]
    fn what_was_written_is_read() {
        let open = |name: &str, id: u64, left: Option<&str>| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
            let rows = RecordBatch::try_from_iter([(name, column)]).unwrap();
            let question = Question { rows, row: 1, count: 2, id: (id, id + 100) };
            Open { question, is_answered: true, left: left.map(str::to_owned) }
        };
        let all = [open("n", 1, None), open("m", 2, Some("an edit")), open("n", 3, Some("another"))];
        let mut found = read(&written(&all, "pause").unwrap()).unwrap();
        found.sort_by_key(|(open, _)| open.question.id);
        assert_eq!(found.len(), all.len());
        for ((found, purpose), open) in found.iter().zip(&all) {
            assert_eq!((found.question.alone(), found.question.id), (open.question.alone(), open.question.id));
            assert_eq!((&found.left, found.question.count, purpose.as_str()), (&open.left, 2, "pause"));
        }
        assert!(read(&[]).unwrap().is_empty());
        let bytes = written(&all, "").unwrap();
        assert!(read(&bytes[..bytes.len() / 3]).is_err() && read(b"something else").is_err());
    }
}
