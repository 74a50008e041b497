//! What a camera says of its zones, as rows.

use super::view::{Blind, Health, Standing, Status, View, Why};
use super::zone::{Doubt, Member, Zone};
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use std::sync::Arc;

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// Frames that a row names.
const FRAMES: usize = 4;

/// The members of a track.
fn track_fields() -> Fields {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let own = [Field::new("id", DataType::Int64, true), Field::new("since", TIME, true)];
    own.into_iter().chain(["score", "left", "top", "width", "height"].map(number)).collect()
}

pub(super) fn schema() -> SchemaRef {
    let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
    Arc::new(Schema::new(vec![
        Field::new("camera", DataType::Utf8, true),
        Field::new("zone", DataType::Utf8, true),
        Field::new("status", DataType::Utf8, true),
        Field::new("people", DataType::Int32, true),
        Field::new("since", TIME, true),
        Field::new("observed_at", TIME, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("tracks", list(DataType::Struct(track_fields())), true),
        Field::new("frames", list(DataType::Utf8), true),
        Field::new("cameras", DataType::Int32, true),
    ]))
}

/// A row per zone; `cameras` says how many cameras see one.
pub(super) fn rows(camera: &str, view: &View, cameras: &[i32], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let told: Vec<(&Zone, Standing)> = view.tell().collect();
    let texts = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let observed = view.newest().map(|(taken, _)| *taken as i64);
    let count = |(zone, standing): &(&Zone, Standing)| match standing.status {
        Status::Present => Some(i32::try_from(zone.people().count()).unwrap_or(i32::MAX)),
        Status::Vacated => Some(0),
        Status::Unknown(_) => None,
    };
    let since = told.iter().map(|(_, standing)| standing.since as i64);
    let columns: Vec<ArrayRef> = vec![
        texts(told.iter().map(|_| camera.to_owned()).collect()),
        texts(told.iter().map(|(zone, _)| zone.name.as_ref().to_owned()).collect()),
        texts(told.iter().map(|(_, standing)| standing.status.name().to_owned()).collect()),
        Arc::new(Int32Array::from_iter(told.iter().map(count))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(since)),
        Arc::new(TimestampMicrosecondArray::from_iter(told.iter().map(|_| observed))),
        texts(told.iter().map(|(zone, standing)| reason(zone, standing.status, &view.settings().class)).collect()),
        tracks(&told, view)?,
        frames(&told, view)?,
        Arc::new(Int32Array::from_iter_values(cameras.iter().copied())),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// In words, without numbers that would change with every frame.
fn reason(zone: &Zone, status: Status, class: &str) -> String {
    match status {
        Status::Present => format!("{} × {class} seen", zone.people().count()),
        Status::Vacated => "seen to be empty".to_owned(),
        Status::Unknown(Why::Zone(doubt)) => match doubt {
            Doubt::NotYet => "not seen empty for long enough yet".to_owned(),
            Doubt::Maybe => "somebody may be there".to_owned(),
            Doubt::Missing => "somebody was last seen inside, and not leaving".to_owned(),
        },
        Status::Unknown(Why::Blind(blind)) => match blind {
            Blind::NoWord => "nothing is known of how the camera fares".to_owned(),
            Blind::Is(Health::Gone) => "the camera is gone".to_owned(),
            Blind::Is(health) => format!("the camera's picture is {}", health.name()),
            Blind::NoFrame => "no fresh frame was judged".to_owned(),
            Blind::Still => "the picture stands still".to_owned(),
        },
    }
}

/// Those who are told of a zone, if any.
fn people(zone: &Zone, status: Status) -> impl Iterator<Item = &Member> {
    zone.people().filter(move |_| status == Status::Present)
}

/// A list per row.
fn lists(values: ArrayRef, lengths: Vec<usize>) -> Result<ArrayRef, ArrowError> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)?))
}

fn tracks(told: &[(&Zone, Standing)], view: &View) -> Result<ArrayRef, ArrowError> {
    let of = |(zone, standing): &(&Zone, Standing)| -> Vec<_> {
        let followed = people(zone, standing.status);
        followed.filter_map(|member| Some((member.since, view.tracker().get(member.track)?))).collect()
    };
    let each: Vec<Vec<_>> = told.iter().map(of).collect();
    let lengths = each.iter().map(Vec::len).collect();
    let all: Vec<_> = each.into_iter().flatten().collect();
    let number = |of: fn(&super::tracker::Track) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(all.iter().map(|(_, track)| of(track))))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, track)| track.id))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(|(since, _)| *since as i64))),
        number(|track| track.score),
        number(|track| track.rect.left),
        number(|track| track.rect.top),
        number(|track| track.rect.width),
        number(|track| track.rect.height),
    ];
    lists(Arc::new(StructArray::try_new_with_length(track_fields(), columns, None, all.len())?), lengths)
}

/// The frames that a row rests on most: the newest one; of an empty zone that with which it began; of people those on which
/// they were last seen, and came.
fn frames_of<'z>(zone: &'z Zone, status: Status, view: &'z View) -> Vec<&'z str> {
    let seen = people(zone, status).flat_map(|member| member.frames.iter().rev());
    let empty = zone.run().filter(|_| status == Status::Vacated).map(|run| &run.first);
    let mut frames: Vec<&str> = vec![];
    for id in view.newest().map(|(_, id)| id).into_iter().chain(empty).chain(seen) {
        if !id.is_empty() && frames.len() < FRAMES && !frames.contains(&id.as_ref()) {
            frames.push(id);
        }
    }
    frames
}

fn frames(told: &[(&Zone, Standing)], view: &View) -> Result<ArrayRef, ArrowError> {
    let each: Vec<Vec<&str>> = told.iter().map(|(zone, standing)| frames_of(zone, standing.status, view)).collect();
    let lengths = each.iter().map(Vec::len).collect();
    let all: Vec<&str> = each.into_iter().flatten().collect();
    lists(Arc::new(StringArray::from(all)), lengths)
}
