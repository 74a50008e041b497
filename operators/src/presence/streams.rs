//! Which stream says what, by its columns.

use super::boxes::{Findings, Found, Rect};
use super::view::Health;
use arrow::array::{Array, AsArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema, TimeUnit, TimestampMicrosecondType};
use jarvis_plan::{Event, Picked};
use jarvis_runtime::kinds::StreamSpec;
use jarvis_spec::{Diagnostic, Spanned};

const CAMERA: &str = "camera";
const AT: &str = "at";
/// The numbers of a box.
const SIDES: [&str; 5] = ["score", "left", "top", "width", "height"];

/// What the streams say, in the order of `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles(pub Vec<Role>);

/// What a stream says, and where its columns stand among those that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub says: Says,
    /// The time comes first, so that frames of one tick are in order.
    time: Option<usize>,
    own: usize,
    frame: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// What was found on frames.
    Findings,
    /// How cameras fare.
    Health,
}

/// An event, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Understood {
    Frame {
        taken: u64,
        frame: String,
        findings: Findings,
    },
    Health(Health),
    /// A frame that was not judged.
    Nothing,
}

impl Role {
    /// # Errors
    /// The stream has no columns that make it one of the two, or they are of other types.
    pub fn of(stream: &StreamSpec, written: &Spanned<String>) -> Result<(Self, Picked), Diagnostic> {
        let place = |name: &str| stream.schema.index_of(name).ok();
        let wrong =
            |message: String, help: &str| Diagnostic::error("unknown_column", message).at(&written.span).help(help);
        let (says, own) = match (place("boxes"), place("state")) {
            (Some(boxes), _) => (Says::Findings, boxes),
            (None, Some(state)) => (Says::Health, state),
            (None, None) => {
                let help = "what was found on frames has a column `boxes`, how cameras fare `state`";
                return Err(wrong(format!("{} says nothing of who is where", stream.name), help));
            }
        };
        let Some(key) = place(CAMERA) else {
            let help = "it needs a column `camera: utf8`";
            return Err(wrong(format!("{} does not say of which camera", stream.name), help));
        };
        let time = place(AT).or(stream.time);
        let frame = if says == Says::Findings { place("frame") } else { None };
        let columns: Vec<usize> = time.into_iter().chain([own]).chain(frame).collect();
        for column in columns.iter().chain([&key]) {
            if let Some((is, should)) = misfit(&stream.schema, *column, says) {
                let name = stream.schema.field(*column).name();
                return Err(wrong(
                    format!("the column {name} of {} is {is}", stream.name),
                    &format!("{name} is {should}"),
                ));
            }
        }
        let first = usize::from(time.is_some());
        let role = Role { says, time: time.map(|_| 0), own: first, frame: frame.map(|_| first + 1) };
        Ok((role, Picked { key: vec![key], columns }))
    }

    /// Where the frame's hash stands.
    pub fn frame_column(&self) -> Option<usize> {
        self.frame
    }

    /// Where it stands when it was.
    pub fn time_column(&self) -> Option<usize> {
        self.time
    }

    /// # Errors
    /// A word that is no state of a camera.
    pub fn understand(&self, event: &Event<'_>, class: &str) -> Result<Understood, String> {
        if self.says == Says::Health {
            let Some(state) = event.text(self.own) else { return Ok(Understood::Nothing) };
            return Ok(Understood::Health(Health::parse(state)?));
        }
        let Some(boxes) = event.value(self.own) else { return Ok(Understood::Nothing) };
        let boxes = boxes.as_list_opt::<i32>().ok_or("boxes are no list")?.value(0);
        let boxes = boxes.as_struct_opt().ok_or("a box is no struct")?;
        let findings = findings(boxes, class).map_err(|error| error.to_string())?;
        let taken = self.time.and_then(|column| event.value(column));
        let taken = taken.as_ref().and_then(|time| time.as_primitive_opt::<TimestampMicrosecondType>());
        let taken = taken.map_or(Ok(event.time), |time| u64::try_from(time.value(0)));
        let frame = self.frame.and_then(|column| event.text(column)).unwrap_or_default().to_owned();
        Ok(Understood::Frame { taken: taken.unwrap_or(0), frame, findings })
    }
}

/// The boxes of a class. Whether a detector writes its name in capitals makes no difference; a box without a class may be
/// of any.
fn findings(boxes: &StructArray, class: &str) -> Result<Findings, arrow::error::ArrowError> {
    let missing = |name: &str| arrow::error::ArrowError::SchemaError(format!("a box has no {name}"));
    let classes = boxes.column_by_name("class").and_then(|column| column.as_string_opt::<i32>());
    let classes = classes.ok_or_else(|| missing("class"))?;
    let column = |name: &&str| cast(boxes.column_by_name(name).ok_or_else(|| missing(name))?, &DataType::Float64);
    let sides = SIDES.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let is_wanted =
        |row: &usize| boxes.is_null(*row) || classes.is_null(*row) || classes.value(*row).eq_ignore_ascii_case(class);
    let found = |row: usize| {
        let number = |side: usize| {
            let column = sides[side].as_primitive_opt::<Float64Type>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        if boxes.is_null(row) || classes.is_null(row) {
            return None;
        }
        Some(Found { score: number(0)?, rect: Rect::new(number(1)?, number(2)?, number(3)?, number(4)?)? })
    };
    Ok(Findings::new((0..boxes.len()).filter(is_wanted).map(found)))
}

/// What a column is, if it is not what it should be, and that.
fn misfit(schema: &Schema, column: usize, says: Says) -> Option<(String, &'static str)> {
    let field = schema.field(column);
    let (fits, should) = match (field.name().as_str(), field.data_type()) {
        ("boxes", kind) if says == Says::Findings => (
            is_boxes(kind),
            "list(struct(class: utf8, score: float64, left: float64, top: float64, width: float64, height: float64))",
        ),
        (CAMERA | "frame" | "state", kind) => (*kind == DataType::Utf8, "utf8"),
        (_, kind) => (matches!(kind, DataType::Timestamp(TimeUnit::Microsecond, _)), "a timestamp"),
    };
    (!fits).then(|| (field.data_type().to_string(), should))
}

fn is_boxes(kind: &DataType) -> bool {
    let DataType::List(item) = kind else { return false };
    let DataType::Struct(members) = item.data_type() else { return false };
    let is = |name: &str, fits: fn(&DataType) -> bool| {
        members.iter().any(|member| member.name() == name && fits(member.data_type()))
    };
    is("class", |kind| *kind == DataType::Utf8)
        && SIDES.iter().all(|side| is(side, |kind| matches!(kind, DataType::Float64 | DataType::Float32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;
    use std::sync::Arc;

    /// Boxes of one frame; some numbers are narrower, and the order of the members is another one.
    fn boxes(classes: &[Option<&str>]) -> ArrayRef {
        let count = classes.len();
        let wide = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value; count])) };
        let members: Vec<(Arc<Field>, ArrayRef)> = vec![
            ("height", wide(0.4)),
            ("width", wide(0.1)),
            ("top", wide(0.3)),
            ("left", wide(0.2)),
            ("score", Arc::new(Float32Array::from(vec![0.5; count])) as ArrayRef),
            ("class", Arc::new(StringArray::from(classes.to_vec()))),
        ]
        .into_iter()
        .map(|(name, values)| (Arc::new(Field::new(name, values.data_type().clone(), true)), values))
        .collect();
        let values: ArrayRef = Arc::new(StructArray::from(members));
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([count]), values, None))
    }

    fn understand(column: ArrayRef) -> Result<Understood, String> {
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![5_000_000]));
        let frame: ArrayRef = Arc::new(StringArray::from(vec!["f"]));
        let camera: ArrayRef = Arc::new(StringArray::from(vec!["front"]));
        let own = [("camera", camera), ("at", at), ("boxes", column), ("frame", frame)];
        let fields = own.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let stream = StreamSpec { name: "p.found".into(), schema, key: vec![], time: None, lateness: None };
        let source = jarvis_spec::SourceText::new("p.yaml", "found");
        let written = jarvis_spec::Node::read(&source, &|_| None).expect("a text is YAML");
        let written = Spanned { value: "found".to_owned(), span: written.span().clone() };
        let (role, picked) = Role::of(&stream, &written).map_err(|found| found.to_string())?;
        // As the graph hands rows over: the key, which stream, and what was picked.
        let number: ArrayRef = Arc::new(Int32Array::from(vec![0]));
        let columns = picked.key.iter().map(|column| own[*column].clone()).chain([("__stream", number)]);
        let columns = columns.chain(picked.columns.iter().map(|column| own[*column].clone()));
        let rows = RecordBatch::try_from_iter(columns).expect("one row each");
        role.understand(&Event { stream: 0, time: 9_000_000, rows: &rows, row: 0, first: 2 }, "person")
    }

    #[test]
    fn boxes_of_the_class_are_read_by_their_names() {
        let Ok(Understood::Frame { taken, frame, findings }) = understand(boxes(&[Some("Person"), Some("cat")])) else {
            panic!("it is a frame")
        };
        let rect = Rect { left: 0.2, top: 0.3, width: 0.1, height: 0.4 };
        assert_eq!((taken, frame.as_str(), findings.whole, findings.found.len()), (5_000_000, "f", true, 1));
        let found = findings.found[0];
        assert!(found.score == 0.5 && (found.rect.width - rect.width).abs() < 1e-12 && found.rect.left == rect.left);
    }

    #[test]
    fn an_empty_list_is_a_look_and_null_is_none() {
        let is_empty = |said| matches!(said, Ok(Understood::Frame { findings, .. }) if findings == Findings::new([]));
        assert!(is_empty(understand(boxes(&[]))));
        let null = arrow::array::new_null_array(boxes(&[]).data_type(), 1);
        assert_eq!(understand(null), Ok(Understood::Nothing));
    }

    #[test]
    fn a_box_without_a_class_may_be_of_any() {
        let said = understand(boxes(&[None]));
        assert!(matches!(said, Ok(Understood::Frame { findings, .. }) if !findings.whole && findings.found.is_empty()));
    }

    #[test]
    fn a_column_of_another_type_is_refused() {
        let said = understand(Arc::new(StringArray::from(vec!["[]"]))).err().unwrap_or_default();
        assert!(said.contains("the column boxes of p.found is Utf8") && said.contains("list(struct("), "{said}");
    }
}
