//! Any supported query, over any history of changes: the maintained view is the batch answer, at every tick, on one
//! worker and on two, and when each row has a tick of its own.
//!
//! `ORACLE_CASES=20000` looks longer, `ORACLE_SEED=7` elsewhere.

use jarvis_testkit::compare::{Verdict, check};
use jarvis_testkit::history::{Act, Op, Step};
use jarvis_testkit::query::Table;
use jarvis_testkit::random_sql::query;
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

/// Queries that start with these genes.
fn holds(first: u8, salt: u8, tables: &[Table]) {
    let cases = number("ORACLE_CASES", 150) as u32;
    let mut seed = [0u8; 32];
    seed[..8].copy_from_slice(&number("ORACLE_SEED", 1).to_le_bytes());
    seed[8] = salt;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (held, refused, unjudged) = (Cell::new(0u32), Cell::new(0u32), Cell::new(0u32));
    let genes = prop::collection::vec(any::<u8>(), 0..90);
    let result = runner.run(&(genes, history()), |(mut genes, history)| {
        genes.insert(0, first);
        let sql = query(&genes, 2);
        // Of a stream that forgets, windows leave as a whole and not row by row.
        if tables.iter().any(|t| t.retain.is_some()) && (sql.contains("tumble(") || sql.contains("hop(")) {
            return Err(TestCaseError::reject("windows"));
        }
        match check(tables, &sql, &history) {
            Ok(Verdict::Same) => held.set(held.get() + 1),
            Ok(Verdict::Refused(why)) => {
                if number("ORACLE_VERBOSE", 0) > 0 {
                    println!("refused: {sql}\n{why}");
                }
                refused.set(refused.get() + 1);
            }
            Ok(Verdict::Unjudged(why)) => {
                if number("ORACLE_VERBOSE", 0) > 0 {
                    println!("unjudged: {sql}\n{why}");
                }
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
    tables[0].retain = Some((4, 6));
    tables[1].retain = Some((4, 9));
    tables[1].extra = "time: ts";
    for (salt, first) in [(7, 0), (8, 2), (9, 5), (10, 7)] {
        holds(first, salt, &tables);
    }
}
