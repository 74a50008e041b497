//! The laws, over one query per operator.

use jarvis_testkit::compare::feed;
use jarvis_testkit::history::{arbitrary, moments};
use jarvis_testkit::laws::{Feed, Laws, check_laws};
use jarvis_testkit::query::Query;
use jarvis_testkit::tables::TABLES;
use std::sync::Arc;

fn holds(sql: &str) {
    let mut tables = TABLES;
    // Everything is taken back in the end.
    tables[2].append_only = false;
    let query = Query::compile(&tables, sql).unwrap_or_else(|found| panic!("{found}"));
    let graph = Arc::new(query.compiled.graph.clone());
    for (seed, steps, ops) in [(11, 6, 6), (12, 10, 2)] {
        let mut places = vec![0; query.inputs.len()];
        let feeds: Vec<Feed> = moments(&tables, &arbitrary(seed, steps, ops))
            .into_iter()
            .map(|m| Feed { time: m.time, rows: feed(&query, &m.changes, m.time, &mut places) })
            .collect();
        if let Err(broken) = check_laws(&graph, &feeds, Laws::default()) {
            panic!("seed {seed}: {sql}\n{broken}");
        }
    }
}

macro_rules! laws {
    ($($name:ident: $sql:expr;)*) => { $(#[test] fn $name() { holds($sql); })* };
}

laws! {
    maps: "SELECT g, y * 2 AS d FROM b WHERE y > 0";
    upserts: "SELECT * FROM a";
    joins: "SELECT a.id, b.y FROM a JOIN b ON a.g = b.g";
    outer_joins: "SELECT a.id, b.y, b.k FROM a FULL JOIN b ON a.g = b.g AND b.y > a.x";
    anti_joins: "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.g = a.g)";
    sums: "SELECT g, count(*) AS n, sum(h) AS s, avg(y) AS a FROM b GROUP BY g";
    bags: "SELECT g, min(y) AS lo, max(h) AS hi, count(DISTINCT k) AS d, median(h) AS m FROM b GROUP BY g";
    global_aggregates: "SELECT count(*) AS n, max(y) AS m FROM b";
    distinct_rows: "SELECT DISTINCT g, y FROM b";
    first_rows: "SELECT id, x FROM a ORDER BY x DESC, id LIMIT 3";
    first_rows_of_partitions: "SELECT id, rn FROM (SELECT id, row_number() OVER (PARTITION BY g ORDER BY f, id) AS rn FROM a) t WHERE rn <= 2";
    unions: "SELECT g FROM a UNION SELECT g FROM c";
    windows: "SELECT window_start, count(*) AS n, max(x) AS m FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') GROUP BY window_start";
    sessions: "SELECT g, window_start, window_end, count(*) AS n FROM session(a, at, INTERVAL '3 seconds', g) GROUP BY g, window_start, window_end";
    temporal_filters: "SELECT id, x FROM a WHERE at > now() - INTERVAL '4 seconds' AND at <= now() + INTERVAL '1 second'";
    unnested_lists: "SELECT k, unnest(make_array(y, y + 1)) AS u FROM b";
}
