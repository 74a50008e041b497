//! SQL is read with PostgreSQL's grammar, within a number of steps.
//!
//! The parser tries one reading after the other, at every level anew, so what is nested and cannot be read takes it
//! exponential time: twenty open brackets a second, thirty a quarter of an hour. Whoever types a query into the file of
//! a running instance must not stop it, so steps are counted, and reading ends when they are too many. Queries of people
//! take some dozens of steps. Nor may it build a tree that is too deep for the stack (`depth.rs`).

use crate::depth;
use datafusion::common::{DataFusionError, Result};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias, TableFactor};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use std::any::TypeId;
use std::cell::Cell;
use std::collections::VecDeque;

/// Expressions that the parser may begin to read in one query, some tenths of a second, and more for each byte: long lists
/// are no nests.
const STEPS: usize = 100_000;
const STEPS_PER_BYTE: usize = 4;

/// What is said of a query that takes more.
pub const TOO_DEEP: &str = "the query is nested too deeply to be read, or a bracket or a CASE in it has no end";

/// The statements of a text.
///
/// # Errors
/// It is no SQL, or it takes too many steps to find out.
pub fn statements(sql: &str) -> Result<VecDeque<Statement>> {
    DFParserBuilder::new(sql).with_dialect(&Bounded::of(sql)?).build()?.parse_statements()
}

/// What may stand after FROM, also with `* EXCEPT (...)`, which PostgreSQL does not know.
///
/// # Errors
/// As [`statements`].
pub fn table_factor(sql: &str) -> Result<TableFactor> {
    let dialect = Bounded { has_except: true, ..Bounded::of(sql)? };
    let read = || Parser::new(&dialect).try_with_sql(sql)?.parse_table_factor();
    read().map_err(|error| DataFusionError::SQL(Box::new(error), None))
}

/// An expression.
///
/// # Errors
/// As [`statements`].
pub fn expression(sql: &str) -> Result<ExprWithAlias> {
    DFParserBuilder::new(sql).with_dialect(&Bounded::of(sql)?).build()?.parse_into_expr()
}

/// Whether another parser of a dialect like this one comes to an end with a text, and nobody's stack is too small for
/// what it makes of it.
///
/// # Errors
/// It does not, or not soon; or the tree of the query would be too deep.
pub fn readable(sql: &str) -> Result<()> {
    let dialect = Bounded::of(sql)?;
    // What is no SQL is said by whoever reads it.
    let _ = DFParserBuilder::new(sql).with_dialect(&dialect).build().and_then(|mut parser| parser.parse_statements());
    if dialect.left.get() > 0 {
        return Ok(());
    }
    Err(DataFusionError::Plan(TOO_DEEP.to_owned()))
}

/// PostgreSQL's dialect with an end to its patience.
#[derive(Debug)]
struct Bounded {
    base: PostgreSqlDialect,
    /// Steps.
    left: Cell<usize>,
    has_except: bool,
}

impl Bounded {
    /// For one text.
    ///
    /// # Errors
    /// Its tree would be too deep.
    fn of(sql: &str) -> Result<Self> {
        depth::check(sql)?;
        let left = Cell::new(STEPS + STEPS_PER_BYTE * sql.len());
        Ok(Bounded { base: PostgreSqlDialect {}, left, has_except: false })
    }
}

/// Methods that answer as PostgreSQL's dialect does.
macro_rules! as_the_base {
    ($($method:ident($($name:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $method(&self, $($name: $kind),*) -> $out {
            self.base.$method($($name),*)
        })*
    };
}

impl Dialect for Bounded {
    fn dialect(&self) -> TypeId {
        self.base.dialect()
    }

    /// Every expression begins here, also one that is only tried.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                self.base.parse_prefix(parser)
            }
            // The one error after which the parser tries hardly anything else; whatever it tries ends here.
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    /// `f(a + b => c)`: to find out, the parser would read every argument twice, and those inside it twice as often.
    /// `f(a => c)` is read without.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    fn supports_select_wildcard_except(&self) -> bool {
        self.has_except
    }

    as_the_base! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(ch: char) -> bool;
        is_identifier_start(ch: char) -> bool;
        is_identifier_part(ch: char) -> bool;
        supports_unicode_string_literal() -> bool;
        is_reserved_for_identifier(kw: Keyword) -> bool;
        is_custom_operator_part(ch: char) -> bool;
        get_next_precedence(parser: &Parser) -> Option<Result<u8, ParserError>>;
        supports_filter_during_aggregation() -> bool;
        supports_group_by_expr() -> bool;
        prec_value(prec: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_listen_notify() -> bool;
        supports_factorial_operator() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comment_on() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_empty_projections() -> bool;
        supports_nested_comments() -> bool;
        supports_string_escape_constant() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_geometric_types() -> bool;
        supports_set_names() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_notnull_operator() -> bool;
        supports_interval_options() -> bool;
        supports_insert_table_alias() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_xml_expressions() -> bool;
        supports_comment_optimizer_hint() -> bool;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many steps it takes to read a text, and whether it can be read.
    fn steps(sql: &str) -> (usize, bool) {
        let dialect = Bounded::of(sql).expect("it is not deep");
        let all = dialect.left.get();
        let read = DFParserBuilder::new(sql).with_dialect(&dialect).build().and_then(|mut p| p.parse_statements());
        (all - dialect.left.get(), read.is_ok())
    }

    #[test]
    fn what_takes_ages_to_be_read_is_refused() {
        let units = [
            "f(",
            "CAST(",
            "CAST(CASE (",
            "POSITION(",
            "ARRAY[",
            "(CASE ",
            "CASE - ",
            "@ CASE ",
            "a. ",
            "JOIN (",
            "(SELECT ",
            "1 + CURRENT_TIMESTAMP (",
            "INTERVAL POSITION (",
            "x IN (",
            "CASE WHEN ",
            "NOT (",
            "(((",
            "f(CASE CAST(",
            "CONNECT_BY_ROOT OVERLAPS NOT - ",
            "bool_or(st",
        ];
        let mut refused = 0;
        for unit in units {
            for (head, tail) in [("SELECT ", ""), ("SELECT 1 FROM a JOIN ", " 1 1"), ("SELECT 1 WHERE ", " x")] {
                for close in [")", ""] {
                    let sql = format!("{head}{}{tail}{}", unit.repeat(40), close.repeat(40));
                    let endless = readable(&sql).is_err();
                    assert!(!endless || statements(&sql).is_err(), "{sql}");
                    refused += u32::from(endless);
                }
            }
        }
        assert!(refused > 20, "some of them do take ages: {refused}");
    }

    #[test]
    fn windows_and_intervals_are_read_in_as_many_steps() {
        let deep = format!("{}5!{}", "CAST(".repeat(40), " AS)".repeat(40));
        assert!(table_factor(&format!("hop(t, {deep})")).is_err());
        assert!(expression(&deep).is_err());
        assert!(table_factor("(SELECT * EXCEPT (a) FROM hop(t, at, INTERVAL '1 day')) AS w").is_ok());
        assert!(expression("INTERVAL '1 day'").is_ok());
    }

    #[test]
    fn long_lists_are_read() {
        let list = (0..200_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        assert!(statements(&format!("SELECT x FROM t WHERE x IN ({list})")).is_ok());
    }

    #[test]
    fn functions_in_functions_take_a_step_each() {
        let nested = |depth: usize| steps(&format!("SELECT {}x{}", "f(".repeat(depth), ")".repeat(depth)));
        assert_eq!((nested(20).1, nested(40).1), (true, true));
        assert!(nested(40).0 < 100, "{:?}", nested(40));
    }

    /// Whatever differs from PostgreSQL's own dialect would be read otherwise.
    #[test]
    fn queries_are_read_as_by_the_base() {
        let queries = [
            r#"SELECT "a b", 'it''s', E'\n', U&'\0041', x::int8[], 1_000, 5!, a << 2, b NOTNULL FROM s AS t(x, y)"#,
            "SELECT a -> 'b' ->> 'c', a @> b, a ~* 'x', a !~ b, a || b, -a ^ 2, a AT TIME ZONE 'UTC', a BETWEEN 1 AND 2",
            "SELECT count(*) FILTER (WHERE a > 1), sum(b) OVER (PARTITION BY c ORDER BY d ROWS 3 PRECEDING) FROM s",
            "SELECT EXTRACT(epoch FROM at), EXTRACT('hour' FROM at), date_part('epoch', at) /* a /* b */ c */ FROM s",
            "SELECT TRIM(BOTH 'x' FROM a), SUBSTRING(a FROM 1 FOR 2), POSITION('a' IN b), OVERLAY(a PLACING b FROM 1)",
            "SELECT INTERVAL '1 day', INTERVAL '1' DAY, DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00' FROM s",
            "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT DISTINCT ON (x) * FROM b ORDER BY x NULLS LAST",
            "SELECT * FROM a LEFT JOIN b USING (id) FULL JOIN c ON a.id = c.id CROSS JOIN LATERAL (SELECT 1) d",
            "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CAST(a AS DECIMAL(10, 2)), ARRAY[1, 2][1], (ROW(1, 2)).f1",
            "SELECT a FROM s GROUP BY GROUPING SETS ((a), ()) HAVING a IN (1, 2) UNION ALL SELECT b FROM t LIMIT 3",
            "SELECT array_agg(a ORDER BY b), string_agg(DISTINCT a, ',') WITHIN GROUP (ORDER BY b) FROM s",
        ];
        let base =
            |sql: &str| DFParserBuilder::new(sql).with_dialect(&PostgreSqlDialect {}).build()?.parse_statements();
        for sql in queries {
            let (ours, theirs) = (statements(sql), base(sql));
            assert_eq!(ours.map_err(|e| e.to_string()), theirs.map_err(|e| e.to_string()), "{sql}");
        }
    }
}
