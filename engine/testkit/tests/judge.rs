//! Who judges is judged: queries whose answer is plain, and that DataFusion has been seen to get wrong.

use jarvis_testkit::compare::{Verdict, check};
use jarvis_testkit::history::{Act, Op, Step};
use jarvis_testkit::tables::TABLES;

/// A row of `a` with the id 3 and an x of 0: nothing has the id 0.
#[test]
fn a_row_without_a_partner_is_not_lost() {
    let op = Op { table: 0, act: Act::Insert, cells: [4, 0, 1, 0, 0, 0, 0, 0] };
    let history = [Step { wait: 1, ops: vec![op] }];
    for sql in [
        "SELECT p.id FROM a p RIGHT JOIN a q ON p.x = q.id WHERE p.id IS NULL AND q.x = 0",
        "SELECT p.id FROM a p LEFT JOIN a q ON p.x = q.id WHERE q.id IS NULL AND p.x = 0",
    ] {
        assert_eq!(check(&TABLES, sql, &history), Ok(Verdict::Same), "{sql}");
    }
}
