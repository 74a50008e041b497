//! Any supported query, over any history of changes: the maintained view is the batch answer, at every tick, on one
//! worker and on two, and when each row has a tick of its own.
//!
//! `ORACLE_CASES=20000` looks longer, `ORACLE_SEED=7` elsewhere.

use jarvis_testkit::compare::{Verdict, check_as};
use jarvis_testkit::history::{Act, Op, Step};
use jarvis_testkit::query::{Retain, Table};
use jarvis_testkit::random_sql::{query, windows};
use jarvis_testkit::tables::TABLES;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::Cell;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn op() -> impl Strategy<Value = Op> {
    let act = prop_oneof![5 => Just(Act::Insert), 1 => any::<u8>().prop_map(Act::Delete), 2 => any::<u8>().prop_map(Act::Replace)];
    (0u8..3, act, any::<[u8; 8]>()).prop_map(|(table, act, cells)| Op { table, act, cells })
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = (1u16..4000, prop::collection::vec(op(), 0..8)).prop_map(|(wait, ops)| Step { wait, ops });
    prop::collection::vec(step, 1..6)
}

/// Whether a query agrees with the judge over many histories; `grow` makes it out of genes, or nothing that is fit.
fn agrees(
    salt: u8,
    tables: &[Table],
    judged: &[Table],
    history: impl Strategy<Value = Vec<Step>>,
    grow: impl Fn(Vec<u8>) -> Option<(String, String)>,
) {
    let cases = number("ORACLE_CASES", 150) as u32;
    let mut seed = [0u8; 32];
    seed[..8].copy_from_slice(&number("ORACLE_SEED", 1).to_le_bytes());
    seed[8] = salt;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (held, refused, unjudged) = (Cell::new(0u32), Cell::new(0u32), Cell::new(0u32));
    let say = |what: &str, sql: &str, why: &str| {
        if number("ORACLE_VERBOSE", 0) > 0 {
            println!("{what}: {sql}\n{why}");
        }
    };
    let genes = prop::collection::vec(any::<u8>(), 0..90);
    let result = runner.run(&(genes, history), |(genes, history)| {
        let Some((sql, judged_sql)) = grow(genes) else { return Err(TestCaseError::reject("not fit")) };
        match check_as(tables, &sql, judged, &judged_sql, &history) {
            Ok(Verdict::Same) => held.set(held.get() + 1),
            Ok(Verdict::Refused(why)) => {
                say("refused", &sql, &why);
                refused.set(refused.get() + 1);
            }
            Ok(Verdict::Unjudged(why)) => {
                say("unjudged", &sql, &why);
                unjudged.set(unjudged.get() + 1);
            }
            Err(why) => return Err(TestCaseError::fail(format!("{sql}\n{why}"))),
        }
        Ok(())
    });
    println!("held {}, refused {}, unjudged {}", held.get(), refused.get(), unjudged.get());
    if let Err(why) = result {
        panic!("{why}");
    }
    assert!(held.get() * 2 > cases, "most queries are judged: {} of {cases} held", held.get());
}

/// Queries that start with this gene.
fn holds(first: u8, salt: u8, tables: &[Table]) {
    agrees(salt, tables, tables, history(), |mut genes| {
        genes.insert(0, first);
        let sql = query(&genes, 2);
        // Of a stream that forgets, windows leave as a whole and not row by row.
        let forgets = tables.iter().any(|t| matches!(t.retain, Retain::Event(..)));
        let fit = !forgets || !(sql.contains("tumble(") || sql.contains("hop("));
        fit.then(|| (sql.clone(), sql))
    });
}

#[test]
fn filters_and_joins() {
    holds(0, 0, &TABLES);
}

#[test]
fn groups() {
    holds(2, 1, &TABLES);
}

#[test]
fn distinct_rows() {
    holds(4, 2, &TABLES);
}

#[test]
fn unions() {
    holds(5, 3, &TABLES);
}

#[test]
fn first_rows() {
    holds(6, 4, &TABLES);
}

#[test]
fn first_rows_of_partitions() {
    holds(7, 5, &TABLES);
}

#[test]
fn common_table_expressions() {
    holds(8, 6, &TABLES);
}

/// Tables that forget rows are as if rows were deleted when their time is over.
#[test]
fn streams_that_forget() {
    let mut tables = TABLES;
    tables[0].retain = Retain::Event(4, 6);
    tables[1].retain = Retain::Event(4, 9);
    tables[1].extra = "time: ts";
    for (salt, first) in [(7, 0), (8, 2), (9, 5), (10, 7)] {
        holds(first, salt, &tables);
    }
}

/// The same for rows that count from when they arrive.
#[test]
fn streams_that_forget_what_arrived() {
    let mut tables = TABLES;
    tables[0].retain = Retain::Arrival(6);
    tables[0].extra = "";
    tables[2].retain = Retain::Arrival(9);
    for (salt, first) in [(11, 0), (12, 2), (13, 5), (14, 7)] {
        holds(first, salt, &tables);
    }
}

/// Of a stream that forgets, a group of windows stays whole until its window and the retention have passed.
#[test]
fn windows_that_are_forgotten() {
    let seconds = 4;
    let mut tables = TABLES;
    tables[0].retain = Retain::Event(4, seconds);
    tables[1].retain = Retain::Event(4, seconds);
    tables[1].extra = "time: ts";
    let mut judged = tables.clone();
    judged.iter_mut().for_each(|t| t.retain = Retain::Forever);
    agrees(15, &tables, &judged, history(), |genes| Some(windows(&genes, seconds)));
}
