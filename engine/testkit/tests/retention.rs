//! How rows leave, where that takes more than a table with fewer rows to say.

use jarvis_testkit::compare::{Verdict, check, check_as};
use jarvis_testkit::history::arbitrary;
use jarvis_testkit::query::{Retain, Table};
use jarvis_testkit::tables::TABLES;

/// `a` and `b` forget rows so many seconds after their time.
fn forgetful(seconds: u64) -> [Table; 3] {
    let mut tables = TABLES;
    tables[0].retain = Retain::Event(4, seconds);
    tables[1].retain = Retain::Event(4, seconds);
    tables[1].extra = "time: ts";
    tables
}

fn same(result: Result<Verdict, String>) {
    match result {
        Ok(Verdict::Same) => {}
        Ok(other) => panic!("{other:?}"),
        Err(why) => panic!("{why}"),
    }
}

/// Rows leave one by one.
fn row_by_row(tables: &[Table], sql: &str) {
    for (seed, steps, ops) in [(1, 6, 8), (2, 14, 2), (3, 5, 20)] {
        same(check(tables, sql, &arbitrary(seed, steps, ops)));
    }
}

/// Rows leave with their window, four seconds after its end; `judged` says the same of tables that forget nothing.
fn window_by_window(sql: &str, judged: &str) {
    for (seed, steps, ops) in [(1, 6, 8), (2, 14, 2), (3, 5, 20)] {
        same(check_as(&forgetful(4), sql, &TABLES, judged, &arbitrary(seed, steps, ops)));
    }
}

#[test]
fn groups_of_windows_leave_as_a_whole() {
    window_by_window(
        "SELECT tumble(at, INTERVAL '5 seconds') AS w, g, count(*) AS n, sum(d) AS s FROM a GROUP BY 1, 2",
        "SELECT * FROM (SELECT tumble(at, INTERVAL '5 seconds') AS w, g, count(*) AS n, sum(d) AS s FROM a GROUP BY 1, 2) t
         WHERE w + INTERVAL '9 seconds' > now()",
    );
}

#[test]
fn distinct_windows_are_groups() {
    window_by_window(
        "SELECT DISTINCT window_end, g FROM hop(b, ts, INTERVAL '3 seconds', INTERVAL '6 seconds')",
        "SELECT DISTINCT window_end, g FROM hop(b, ts, INTERVAL '3 seconds', INTERVAL '6 seconds')
         WHERE window_end + INTERVAL '4 seconds' > now()",
    );
}

#[test]
fn what_rests_on_groups_of_windows_follows_them() {
    window_by_window(
        "SELECT t.m, a.id FROM (SELECT window_start, max(k) AS m FROM tumble(b, ts, INTERVAL '5 seconds') GROUP BY 1) t JOIN a ON a.id = t.m
         WHERE a.at <= now()",
        "SELECT t.m, a.id FROM (SELECT window_start, max(k) AS m FROM tumble(b, ts, INTERVAL '5 seconds')
                                WHERE window_end + INTERVAL '4 seconds' > now() GROUP BY 1) t JOIN a ON a.id = t.m
         WHERE a.at <= now() AND a.at + INTERVAL '4 seconds' > now()",
    );
}

#[test]
fn a_day_is_no_window() {
    row_by_row(
        &forgetful(6),
        "SELECT CAST(tumble(at, INTERVAL '5 seconds') AS date) AS day, count(*) AS n FROM a GROUP BY 1",
    );
}

#[test]
fn windows_that_are_not_grouped_forget_row_by_row() {
    row_by_row(&forgetful(6), "SELECT id, window_start FROM hop(a, at, INTERVAL '3 seconds', INTERVAL '6 seconds')");
}

#[test]
fn sessions_forget_row_by_row() {
    let tables = forgetful(6);
    let sql = "SELECT id, window_start, window_end FROM session(a, at, INTERVAL '1 second', g)";
    let judged = "SELECT id, min(at) OVER (PARTITION BY g, visit) AS window_start,
                         max(at) OVER (PARTITION BY g, visit) + INTERVAL '1 second' AS window_end
                  FROM (SELECT id, g, at, sum(begins) OVER (PARTITION BY g ORDER BY at) AS visit
                        FROM (SELECT id, g, at, CASE WHEN at - lag(at) OVER (PARTITION BY g ORDER BY at) < INTERVAL '1 second'
                                                     THEN 0 ELSE 1 END AS begins FROM a) p) q";
    for (seed, steps, ops) in [(1, 6, 8), (2, 14, 2), (3, 5, 20)] {
        same(check_as(&tables, sql, &tables, judged, &arbitrary(seed, steps, ops)));
    }
}

#[test]
fn hops_over_another_column_than_the_time_forget_row_by_row() {
    let mut tables = TABLES;
    tables[0].retain = Retain::Arrival(6);
    tables[0].extra = "";
    row_by_row(
        &tables,
        "SELECT window_start, count(*) AS n FROM hop(a, at, INTERVAL '3 seconds', INTERVAL '6 seconds') GROUP BY window_start",
    );
}
