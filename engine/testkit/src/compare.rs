//! Runs a query over a history and compares the view with the judge's answer at every tick.

use crate::batch::Judge;
use crate::cluster::Rows;
use crate::content::Content;
use crate::driver::{Driver, Tick, spread};
use crate::history::{BASE, Change, Held, Moment, Step, by_table, moments};
use crate::query::{Query, Table, batch};
use crate::value::{Row, Value, same_rows};
use jarvis_dataflow::Delta;
use jarvis_spec::Diagnostics;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How the rows of a moment are fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All in one tick, on this many workers.
    Together(usize),
    /// Each in a tick of its own, 1 µs apart, the last one at the moment's time.
    OneByOne,
}

/// All ways that must agree.
pub const WAYS: [Way; 3] = [Way::Together(1), Way::Together(2), Way::OneByOne];

/// What came of a comparison without a disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The view was right at every tick, in every way.
    Same,
    /// The query is not kept up to date, and the planner said so.
    Refused(String),
    /// The judge has no answer: it cannot plan or compute the query.
    Unjudged(String),
}

/// Checks a query against the judge.
///
/// # Errors
/// The first disagreement, with the rows of both sides.
pub fn check(tables: &[Table], sql: &str, history: &[Step]) -> Result<Verdict, String> {
    check_as(tables, sql, tables, sql, history)
}

/// Checks a query against the judge's answer to another one, over tables of the same rows that may be retained
/// otherwise: for what the engine's own rules make of a query.
///
/// # Errors
/// As [`check`].
pub fn check_as(
    tables: &[Table],
    sql: &str,
    judged_tables: &[Table],
    judged_sql: &str,
    history: &[Step],
) -> Result<Verdict, String> {
    let query = match Query::compile(tables, sql) {
        Ok(query) => query,
        Err(found) => return refused(tables, sql, &found),
    };
    let judge = Judge::new().map_err(|e| e.to_string())?;
    let moments = moments(tables, history);
    let ordering = if leaves_order_open(sql) { unordered } else { std::convert::identity };
    let mut answers: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    for way in WAYS {
        for (time, index, view) in run(&query, &moments, way)? {
            let answer = match answers.entry(time) {
                std::collections::btree_map::Entry::Occupied(held) => held.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let content: Vec<Vec<Held>> =
                        if index == 0 { vec![vec![]; tables.len()] } else { moments[index - 1].tables.clone() };
                    let answer = || judge.answer(&query, judged_tables, judged_sql, &content, time);
                    // DataFusion 55.2 panics in some first_value over groups; then there is no answer.
                    let answer = match catch_unwind(AssertUnwindSafe(answer)) {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(e)) => return Ok(Verdict::Unjudged(e.to_string())),
                        Err(_) => return Ok(Verdict::Unjudged("the judge has panicked".into())),
                    };
                    place.insert(answer.into_iter().map(ordering).collect())
                }
            };
            let rows = view.rows().map_err(|e| format!("{way:?}, moment {index}, {time}: {e}"))?;
            let rows: Vec<Row> = rows.into_iter().map(ordering).collect();
            if !same_rows(&rows, answer) {
                return Err(disagreement(way, index, time, &rows, answer, &moments));
            }
        }
    }
    Ok(Verdict::Same)
}

/// A refusal is fair if it is one of the engine's own, or if DataFusion cannot plan the query either.
fn refused(tables: &[Table], sql: &str, found: &Diagnostics) -> Result<Verdict, String> {
    let own = found.iter().all(|d| d.code == "sql_unsupported");
    let judge = Judge::new().map_err(|e| e.to_string())?;
    let answer = Query::compile(tables, "SELECT * FROM b")
        .ok()
        .map(|q| judge.answer(&q, tables, sql, &vec![vec![]; tables.len()], BASE));
    match answer {
        Some(Ok(_)) if !own => Err(format!("DataFusion plans what is refused here:\n{found}")),
        _ => Ok(Verdict::Refused(found.to_string())),
    }
}

/// Whether a list is aggregated without saying in which order.
fn leaves_order_open(sql: &str) -> bool {
    sql.split("array_agg(").skip(1).any(|call| {
        let mut depth = 1;
        let inside = call.chars().take_while(|c| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth > 0
        });
        !inside.collect::<String>().contains(" ORDER BY ")
    })
}

fn unordered(row: Row) -> Row {
    row.into_iter().map(Value::unordered).collect()
}

fn disagreement(way: Way, index: usize, time: u64, view: &[Row], answer: &[Row], moments: &[Moment]) -> String {
    let mut text = format!("{way:?} at {time} (after {index} of {} moments)\n", moments.len());
    let list = |text: &mut String, title: &str, rows: &[Row]| {
        let mut rows = rows.to_vec();
        rows.sort();
        let _ = writeln!(text, "{title}:");
        for row in rows {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "    [{}]", cells.join(", "));
        }
    };
    list(&mut text, "  the view has", view);
    list(&mut text, "  the judge has", answer);
    if let Some(moment) = index.checked_sub(1).and_then(|i| moments.get(i)) {
        for (table, rows) in moment.tables.iter().enumerate() {
            let rows: Vec<Row> = rows.iter().map(|held| held.row.clone()).collect();
            list(&mut text, &format!("  table {table}"), &rows);
        }
    }
    text
}

/// The view at every tick: (time, moments fed so far, content).
fn run(query: &Query, moments: &[Moment], way: Way) -> Result<Vec<(u64, usize, Content)>, String> {
    let workers = if let Way::Together(n) = way { n } else { 1 };
    let failed = |e: crate::cluster::WorkerFailed| format!("{way:?}: {e}");
    let mut driver = Driver::start(Arc::new(query.compiled.graph.clone()), workers).map_err(failed)?;
    let mut seen = Seen { view: Content::default(), at: vec![], places: vec![0; query.inputs.len()] };
    for (index, moment) in moments.iter().enumerate() {
        let feeds: Vec<(u64, &[Change])> = match way {
            Way::Together(_) => vec![(moment.time, &moment.changes)],
            Way::OneByOne => one_by_one(moment),
        };
        for tick in driver.advance(feeds.first().map_or(moment.time, |f| f.0)).map_err(failed)? {
            seen.tick(tick, Some(index))?;
        }
        let last = feeds.len().saturating_sub(1);
        for (i, (time, changes)) in feeds.into_iter().enumerate() {
            let rows = spread(&feed(query, changes, time, &mut seen.places), workers, index);
            let tick = driver.tick(time, rows).map_err(failed)?;
            seen.tick(tick, (i == last).then_some(index + 1))?;
        }
    }
    let end = driver.now() + 30_000_000;
    for tick in driver.advance(end).map_err(failed)?.into_iter() {
        seen.tick(tick, Some(moments.len()))?;
    }
    Ok(seen.at)
}

struct Seen {
    view: Content,
    at: Vec<(u64, usize, Content)>,
    places: Vec<u64>,
}

impl Seen {
    /// Takes a tick in; `moment` says after how many moments it may be compared.
    fn tick(&mut self, tick: Tick, moment: Option<usize>) -> Result<(), String> {
        // That a row comes too late for its window is told, and is no failure.
        if let Some(error) = tick.errors.iter().find(|e| e.code != "late") {
            return Err(format!("a step failed: {error:?}"));
        }
        for closed in &tick.outputs {
            self.view.apply(&closed.delta).map_err(|e| e.to_string())?;
        }
        if let Some(moment) = moment {
            self.at.push((tick.time, moment, self.view.clone()));
        }
        Ok(())
    }
}

fn one_by_one(moment: &Moment) -> Vec<(u64, &[Change])> {
    if moment.changes.is_empty() {
        return vec![(moment.time, &[])];
    }
    let n = moment.changes.len() as u64;
    moment.changes.chunks(1).zip(moment.time + 1 - n..).map(|(c, t)| (t, c)).collect()
}

/// Changes as rows for the graph.
pub fn feed(query: &Query, changes: &[Change], time: u64, places: &mut [u64]) -> Vec<Rows> {
    let mut out = vec![];
    for (table, (rows, diffs)) in by_table(changes) {
        let n = rows.len();
        let delta = Delta::new(batch(&query.schemas[table], &rows), vec![time; n], diffs);
        out.push(Rows { input: query.inputs[table], delta, place: places[table] });
        places[table] += n as u64;
    }
    out
}
