//! Histories of changes: sequences of inserts, updates and deletes that are valid however they are cut or shrunk,
//! because a delete names its row by position among the rows that are there.

use crate::query::Table;
use crate::value::{Row, Value};
use std::collections::BTreeMap;

/// The start of every history, µs: 2026-01-01T00:00:00Z, a multiple of every usual size of windows.
pub const BASE: u64 = 1_767_225_600_000_000;

/// What happens to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Insert,
    /// The row at this position, modulo the number of rows, goes.
    Delete(u8),
    /// It goes and the new one comes.
    Replace(u8),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Modulo the number of tables.
    pub table: u8,
    pub act: Act,
    /// What the row's cells are made from, see [`cell`].
    pub cells: [u8; 8],
}

/// Changes that arrive at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Time since the last step, ms; at least one.
    pub wait: u16,
    pub ops: Vec<Op>,
}

/// A change of a table.
#[derive(Clone, Debug)]
pub struct Change {
    pub table: usize,
    pub row: Row,
    pub diff: i64,
}

/// A row that is in a table.
#[derive(Clone, Debug)]
pub struct Held {
    pub row: Row,
    /// µs since the epoch.
    pub arrived: u64,
}

/// Changes with their time, and the tables after them.
#[derive(Clone, Debug)]
pub struct Moment {
    /// µs since the epoch.
    pub time: u64,
    pub changes: Vec<Change>,
    pub tables: Vec<Vec<Held>>,
}

/// A small value of a type of the language; of equal seeds equal ones. Null is the last of each domain, so that
/// shrinking leads away from it.
pub fn cell(data_type: &str, seed: u8) -> Value {
    let nullable = data_type.ends_with('?');
    let seed = i64::from(seed);
    if nullable && seed % 7 == 6 {
        return Value::Null;
    }
    match data_type.trim_end_matches('?') {
        "int64" => Value::Int(i128::from(seed % 6) - 1),
        "float64" => Value::Float((seed % 6) as f64 * 0.5 - 0.5),
        "utf8" => Value::Text(["a", "b", "c", "", "bb", "A"][(seed % 6) as usize].into()),
        "bool" => Value::Bool(seed % 2 == 0),
        "decimal(10,2)" => Value::Decimal(i128::from(seed % 6) * 25 - 50, 2),
        "decimal(6,1)" => Value::Decimal(i128::from(seed % 6) * 5 - 5, 1),
        "list(int64?)" => Value::List(list(seed % 8)),
        _ => Value::Micros(BASE as i64 + (seed % 48) * 500_000),
    }
}

fn list(seed: i64) -> Vec<Value> {
    let items: &[Option<i128>] = match seed {
        0 => &[Some(1)],
        1 => &[],
        2 => &[Some(1), Some(2)],
        3 => &[Some(2), Some(1)],
        4 => &[Some(1), Some(1)],
        5 => &[Some(0)],
        6 => &[None],
        _ => &[Some(2), None, Some(3)],
    };
    items.iter().map(|i| i.map_or(Value::Null, Value::Int)).collect()
}

/// What a history does to tables that start empty. A table that is append-only ignores what would take rows back.
pub fn moments(tables: &[Table], history: &[Step]) -> Vec<Moment> {
    let mut now: Vec<Vec<Held>> = vec![vec![]; tables.len()];
    let mut time = BASE;
    let mut out = vec![];
    for step in history {
        time += u64::from(step.wait.max(1)) * 1000;
        let mut changes = vec![];
        for op in &step.ops {
            let table = usize::from(op.table) % tables.len();
            act(&tables[table], (table, time), op, &mut now[table], &mut changes);
        }
        out.push(Moment { time, changes, tables: now.clone() });
    }
    out
}

fn act(table: &Table, (index, time): (usize, u64), op: &Op, rows: &mut Vec<Held>, changes: &mut Vec<Change>) {
    let new = |from: Option<&Row>| -> Row {
        let cells = table.columns.iter().zip(op.cells).map(|((_, t), seed)| cell(t, seed));
        match from {
            // An update of a row with a key keeps the key.
            Some(old) => {
                cells.enumerate().map(|(c, v)| if table.key.contains(&c) { old[c].clone() } else { v }).collect()
            }
            None => cells.collect(),
        }
    };
    let at =
        |i: u8, rows: &[Held]| (!rows.is_empty() && !table.append_only).then(|| usize::from(i) % rows.len().max(1));
    let mut push = |row: Row, diff: i64| changes.push(Change { table: index, row, diff });
    match op.act {
        Act::Insert => {
            let row = new(None);
            push(row.clone(), 1);
            put(table, rows, Held { row, arrived: time });
        }
        Act::Delete(i) => {
            if let Some(i) = at(i, rows) {
                push(rows.remove(i).row, -1);
            }
        }
        Act::Replace(i) => {
            if let Some(i) = at(i, rows) {
                let row = new(Some(&rows[i].row));
                if table.key.is_empty() {
                    push(rows.remove(i).row, -1);
                }
                push(row.clone(), 1);
                put(table, rows, Held { row, arrived: time });
            }
        }
    }
}

fn put(table: &Table, rows: &mut Vec<Held>, new: Held) {
    let same = |held: &Held| !table.key.is_empty() && table.key.iter().all(|k| held.row[*k] == new.row[*k]);
    match rows.iter().position(same) {
        Some(i) => rows[i] = new,
        None => rows.push(new),
    }
}

/// The changes of one moment by table, in order: rows and their weights.
pub fn by_table(changes: &[Change]) -> BTreeMap<usize, (Vec<Row>, Vec<i64>)> {
    let mut out: BTreeMap<usize, (Vec<Row>, Vec<i64>)> = BTreeMap::new();
    for change in changes {
        let (rows, diffs) = out.entry(change.table).or_default();
        rows.push(change.row.clone());
        diffs.push(change.diff);
    }
    out
}

/// A history made from a seed alone: for tests that want some input and need no shrinking.
pub fn arbitrary(seed: u64, steps: usize, ops: usize) -> Vec<Step> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let mut op = || {
        let act = match next() % 8 {
            0 => Act::Delete(next()),
            1 | 2 => Act::Replace(next()),
            _ => Act::Insert,
        };
        Op { table: next(), act, cells: std::array::from_fn(|_| next()) }
    };
    (0..steps).map(|i| Step { wait: 700 + 130 * i as u16, ops: (0..ops).map(|_| op()).collect() }).collect()
}
