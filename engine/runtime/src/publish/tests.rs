//! Publishers against a naive model over random changes.

use super::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `place utf8, tool int64?`: the identity is the tool in most tests, so it is not a prefix of the row.
type Row = (String, Option<i64>);
/// Time, row, diff.
type Change = (u64, Row, i64);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("place", DataType::Utf8, false), Field::new("tool", DataType::Int64, true)]))
}

fn batch(changes: &[Change]) -> ClosedBatch {
    let places: StringArray = changes.iter().map(|(_, row, _)| Some(row.0.as_str())).collect();
    let tools: Int64Array = changes.iter().map(|(_, row, _)| row.1).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(places), Arc::new(tools)];
    ClosedBatch {
        lower: changes.first().map_or(0, |c| c.0),
        upper: changes.last().map_or(1, |c| c.0 + 1),
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        times: changes.iter().map(|c| c.0).collect(),
        diffs: changes.iter().map(|c| c.2).collect(),
    }
}

fn publisher(mode: As, identity: Option<Vec<usize>>) -> Publisher {
    let publish = Publish { clear: true, identity, mode, ..Publish::changes("heat.hot/test") };
    Publisher::new(publish, &schema()).unwrap()
}

/// What was told, with the row it was told of.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    time: u64,
    what: What,
    row: Row,
    id: Option<String>,
    of: Option<String>,
}

fn hear(publisher: &mut Publisher, changes: &[Change]) -> Vec<Heard> {
    let told = publisher.next(&batch(changes)).unwrap();
    told.into_iter()
        .map(|p| {
            let place = p.rows.column(0).as_string::<i32>().value(p.row).to_owned();
            let tools = p.rows.column(1).as_primitive::<Int64Type>();
            let tool = arrow::array::Array::is_valid(tools, p.row).then(|| tools.value(p.row));
            Heard { time: p.time, what: p.what, row: (place, tool), id: p.id, of: p.of }
        })
        .collect()
}

/// Random histories: at each time some rows get a new number of copies. Retractions first within a time.
fn histories() -> impl Strategy<Value = Vec<Change>> {
    let row = (prop_oneof!["a", "b", "c", ""], proptest::option::of(-1..2_i64));
    vec(vec((row, 0..3_i64), 1..5), 0..12).prop_map(|times| {
        let mut copies: BTreeMap<Row, i64> = BTreeMap::new();
        let mut changes = Vec::new();
        for (i, wanted) in times.into_iter().enumerate() {
            let wanted: BTreeMap<Row, i64> = wanted.into_iter().collect();
            let mut now: Vec<Change> = Vec::new();
            for (row, count) in wanted {
                let before = copies.insert(row.clone(), count).unwrap_or(0);
                now.push((10 + i as u64, row, count - before));
            }
            now.retain(|c| c.2 != 0);
            now.sort_by_key(|c| c.2 > 0);
            changes.extend(now);
        }
        changes
    })
}

/// The view after each time at which it changed, with the view before it.
fn tables(changes: &[Change]) -> Vec<(u64, Vec<Row>, Vec<Row>)> {
    let mut table: BTreeMap<Row, i64> = BTreeMap::new();
    let mut tables = Vec::new();
    let rows = |table: &BTreeMap<Row, i64>| table.keys().cloned().collect::<Vec<_>>();
    for now in changes.chunk_by(|a, b| a.0 == b.0) {
        let before = rows(&table);
        for (_, row, diff) in now {
            *table.entry(row.clone()).or_default() += diff;
        }
        table.retain(|_, copies| *copies != 0);
        tables.push((now[0].0, before, rows(&table)));
    }
    tables
}

/// The greatest row of each tool.
fn greatest(table: &[Row]) -> BTreeMap<Option<i64>, Row> {
    // The table is in order, so the last one stays.
    table.iter().map(|row| (row.1, row.clone())).collect()
}

fn expected_state(changes: &[Change]) -> Vec<(u64, What, Row)> {
    let mut told = Vec::new();
    for (time, before, after) in tables(changes) {
        let (before, after) = (greatest(&before), greatest(&after));
        let gone = before.iter().filter(|(tool, _)| !after.contains_key(tool));
        told.extend(gone.map(|(_, row)| (time, What::Remove, row.clone())));
        let put = after.iter().filter(|(tool, row)| before.get(tool) != Some(row));
        told.extend(put.map(|(_, row)| (time, What::Put, row.clone())));
    }
    told
}

fn expected_events(changes: &[Change]) -> Vec<(u64, What, Option<i64>)> {
    let mut told = Vec::new();
    for (time, before, after) in tables(changes) {
        let (before, after) = (greatest(&before), greatest(&after));
        let gone = before.keys().filter(|tool| !after.contains_key(tool));
        told.extend(gone.map(|tool| (time, What::Cleared, *tool)));
        let new = after.keys().filter(|tool| !before.contains_key(tool));
        told.extend(new.map(|tool| (time, What::Raised, *tool)));
    }
    told
}

/// Cuts a history into batches between times.
fn cut(changes: &[Change], pattern: u64) -> Vec<Vec<Change>> {
    let mut batches: Vec<Vec<Change>> = vec![Vec::new()];
    for now in changes.chunk_by(|a, b| a.0 == b.0) {
        if pattern >> (now[0].0 % 64) & 1 == 1 {
            batches.push(Vec::new());
        }
        // There is always one: the list starts with one and only grows.
        batches.last_mut().unwrap().extend_from_slice(now);
    }
    batches
}

const MODES: [As; 3] = [As::Events, As::State, As::Changes];

proptest! {
    #[test]
    fn state_is_the_greatest_row_of_each_identity(changes in histories()) {
        let heard = hear(&mut publisher(As::State, Some(vec![1])), &changes);
        let heard: Vec<_> = heard.into_iter().map(|h| (h.time, h.what, h.row)).collect();
        prop_assert_eq!(heard, expected_state(&changes));
    }

    #[test]
    fn events_tell_when_an_identity_comes_and_goes(changes in histories()) {
        let heard = hear(&mut publisher(As::Events, Some(vec![1])), &changes);
        let told: Vec<_> = heard.iter().map(|h| (h.time, h.what, h.row.1)).collect();
        prop_assert_eq!(told, expected_events(&changes));
        // Every id is told once; a cleared one names the raise before it.
        let mut raised: BTreeMap<Option<i64>, String> = BTreeMap::new();
        let mut ids = std::collections::HashSet::new();
        for h in heard {
            let id = h.id.expect("an event has an id");
            prop_assert!(ids.insert(id.clone()));
            match h.what {
                What::Raised => drop(raised.insert(h.row.1, id)),
                _ => prop_assert_eq!(h.of, raised.remove(&h.row.1)),
            }
        }
    }

    #[test]
    fn changes_are_told_as_they_are(changes in histories()) {
        let heard = hear(&mut publisher(As::Changes, None), &changes);
        let told: Vec<Change> = heard.into_iter().map(|h| match h.what {
            What::Change(diff) => (h.time, h.row, diff),
            _ => unreachable!("changes only"),
        }).collect();
        prop_assert_eq!(told, changes);
    }

    #[test]
    fn batches_and_restarts_make_no_difference(changes in histories(), pattern: u64, kill: u64) {
        for (mode, identity) in MODES.into_iter().flat_map(|m| [(m, None), (m, Some(vec![])), (m, Some(vec![1]))]) {
            let at_once = hear(&mut publisher(mode, identity.clone()), &changes);
            let mut heard = Vec::new();
            let mut current = publisher(mode, identity.clone());
            for (i, part) in cut(&changes, pattern).iter().enumerate() {
                heard.extend(hear(&mut current, part));
                if kill >> (i % 64) & 1 == 1 {
                    let kept = serde_json::to_string(&current.snapshot().unwrap()).unwrap();
                    current = publisher(mode, identity.clone());
                    current.restore(&serde_json::from_str(&kept).unwrap()).unwrap();
                }
            }
            prop_assert_eq!(heard, at_once);
        }
    }

    #[test]
    fn undoing_everything_leaves_nothing_told(changes in histories()) {
        let mut left: BTreeMap<Row, i64> = BTreeMap::new();
        for (_, row, diff) in &changes {
            *left.entry(row.clone()).or_default() += diff;
        }
        let undo: Vec<Change> = left.into_iter().filter(|(_, n)| *n != 0).map(|(row, n)| (1_000, row, -n)).collect();
        for mode in [As::Events, As::State] {
            let mut publisher = publisher(mode, Some(vec![1]));
            let mut heard = hear(&mut publisher, &changes);
            heard.extend(hear(&mut publisher, &undo));
            let mut told = BTreeMap::new();
            for h in heard {
                match h.what {
                    What::Raised | What::Put => drop(told.insert(h.row.1, h.row)),
                    _ => drop(told.remove(&h.row.1)),
                }
            }
            prop_assert!(told.is_empty());
            prop_assert!(publisher.is_empty());
        }
    }
}

#[test]
fn an_update_at_one_time_is_no_new_event() {
    let row = |place: &str| (place.to_owned(), Some(1));
    let mut publisher = publisher(As::Events, Some(vec![1]));
    assert_eq!(hear(&mut publisher, &[(1, row("a"), 1)]).len(), 1);
    assert_eq!(hear(&mut publisher, &[(2, row("a"), -1), (2, row("b"), 1)]), vec![]);
    let heard = hear(&mut publisher, &[(3, row("b"), -1), (4, row("b"), 1)]);
    assert_eq!(heard.iter().map(|h| h.what).collect::<Vec<_>>(), vec![What::Cleared, What::Raised]);
}

#[test]
fn cleared_is_told_only_if_asked_for() {
    let publish = Publish { mode: As::Events, ..Publish::changes("quiet") };
    let mut publisher = Publisher::new(publish, &schema()).unwrap();
    let heard = hear(&mut publisher, &[(1, ("a".to_owned(), None), 1), (2, ("a".to_owned(), None), -1)]);
    assert_eq!(heard.iter().map(|h| h.what).collect::<Vec<_>>(), vec![What::Raised]);
}

#[test]
fn a_snapshot_of_an_edited_sink_is_refused() {
    let snapshot = publisher(As::State, Some(vec![1])).snapshot().unwrap();
    assert!(matches!(publisher(As::Events, Some(vec![1])).restore(&snapshot), Err(RestoreError::OtherMode(..))));
    assert!(matches!(publisher(As::State, Some(vec![0])).restore(&snapshot), Err(RestoreError::OtherColumns(..))));
}

#[test]
fn a_column_that_is_not_there_is_refused() {
    let publish = Publish { mode: As::Events, identity: Some(vec![7]), ..Publish::changes("x") };
    assert!(Publisher::new(publish, &schema()).is_err());
}
