//! Which groups add up per slide. That they come to the same is shown where all queries are judged.

use jarvis_plan::Op;
use jarvis_testkit::query::Query;
use jarvis_testkit::tables::TABLES;

/// Into how many windows the first group of a query deals its sums out; `None`: it counts row by row.
fn windows(sql: &str) -> Option<usize> {
    let query = Query::compile(&TABLES, sql).unwrap();
    let graph = jarvis_plan::simplify::simplify(&query.compiled.graph);
    let group = graph.live().into_iter().find_map(|n| match &graph.nodes[n].op {
        Op::Aggregate(a) => Some(a.panes.clone()),
        _ => None,
    });
    group.expect("the query has a group").map(|panes| panes.windows)
}

#[test]
fn groups_of_windows_add_up_per_slide() {
    for sql in [
        "SELECT window_start, window_end, count(*) AS n FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') GROUP BY window_start, window_end",
        "SELECT window_end, g, max(x) AS m FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') WHERE x > 1 GROUP BY window_end, g",
        "SELECT DISTINCT window_start FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds')",
        "SELECT s, count(*) AS n FROM (SELECT window_start + INTERVAL '1 second' AS s FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds')) GROUP BY s",
    ] {
        assert_eq!(windows(sql), Some(3), "{sql}");
    }
}

#[test]
fn windows_that_tell_in_another_way_count_row_by_row() {
    for sql in [
        // Not made of whole slides.
        "SELECT window_start, count(*) AS n FROM hop(a, at, INTERVAL '4 seconds', INTERVAL '6 seconds') GROUP BY window_start",
        // Some windows are left out.
        "SELECT window_start, count(*) AS n FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') WHERE window_start > TIMESTAMP '2020-01-01' GROUP BY window_start",
        // Windows are aggregated, or no key.
        "SELECT g, max(window_end) AS last FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') GROUP BY g",
        "SELECT g, count(*) AS n FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') GROUP BY g",
        // Several windows share a key.
        "SELECT date_trunc('minute', window_start) AS m, count(*) AS n FROM hop(a, at, INTERVAL '2 seconds', INTERVAL '6 seconds') GROUP BY date_trunc('minute', window_start)",
    ] {
        assert_eq!(windows(sql), None, "{sql}");
    }
}
