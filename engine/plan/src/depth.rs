//! How deep the tree of a query gets, found out before there is one.
//!
//! Trees of queries are gone through, and dropped, by functions that call themselves: a chain of some thousand operators
//! needs more stack than a thread has, and that ends the process. So the chains are measured in the text. Brackets are
//! limited by the parser; but chains in brackets in chains add up.

use crate::refusal::Refusal;
use datafusion::common::Result;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The deepest tree that is taken. A thread of 2 MiB went under at 1,000 ARRAY< or WITH names, not at 500, and at 2,000
/// `+` or AND, not at 1,000, in a build for development.
const DEEPEST: usize = 400;
/// Brackets and CASEs in one another.
const BRACKETS: usize = 100;

/// For whatever dialect it is read in: one may see a text where the other sees operators.
///
/// # Errors
/// The tree of such a text would be too deep.
pub fn check(sql: &str) -> Result<()> {
    let is_deep = |dialect: &dyn Dialect| {
        // What cannot be taken apart has no tree, and the parser says why.
        Tokenizer::new(dialect, sql).tokenize().is_ok_and(|tokens| depth(&tokens) > DEEPEST)
    };
    if !is_deep(&PostgreSqlDialect {}) && !is_deep(&GenericDialect {}) {
        return Ok(());
    }
    let message = format!("more than {DEEPEST} operators, joins, UNIONs or WITH names build on one another");
    Err(Refusal::new(message, "write x IN (...) for a long list of comparisons, and a long chain in several steps")
        .into_error())
}

/// What is between two brackets, or CASE and END.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Joins, further tables in FROM, UNIONs, names of a WITH, subqueries: each is put on top of those before.
    relations: usize,
    /// Operators since the last comma, or its like.
    operators: usize,
    /// Operators in the longest chain.
    longest: usize,
    /// The depth of the deepest level inside.
    inner: usize,
    is_from: bool,
    /// What a WITH gives a name to; what is in it is put below what follows.
    is_named: bool,
}

impl Level {
    fn operator(&mut self) {
        self.operators += 1;
        self.longest = self.longest.max(self.operators);
    }

    /// The next of a list begins.
    fn next(&mut self) {
        self.operators = 0;
    }

    fn closes_in(self, outer: &mut Self) {
        let apart = 1 + self.longest + self.inner;
        if self.is_named {
            outer.relations += self.relations;
            outer.inner = outer.inner.max(apart);
        } else {
            outer.inner = outer.inner.max(apart + self.relations);
        }
    }

    fn depth(&self) -> usize {
        1 + self.relations + self.longest + self.inner
    }
}

/// About the depth of the tree, rather more.
fn depth(tokens: &[Token]) -> usize {
    let mut open: Vec<Level> = vec![];
    let mut level = Level::default();
    let close = |level: &mut Level, open: &mut Vec<Level>| {
        // Without a beginning it is no SQL.
        let closed = std::mem::replace(level, open.pop().unwrap_or_default());
        closed.closes_in(level);
    };
    let (mut last, mut last_keyword) = (&Token::EOF, Keyword::NoKeyword);
    for token in tokens {
        if matches!(token, Token::Whitespace(_)) {
            continue;
        }
        let keyword = if let Token::Word(word) = token { word.keyword } else { Keyword::NoKeyword };
        // Where a value or a name must come, a word is no keyword, whatever it looks like.
        let is_name = is_operator(last)
            || matches!(last, Token::Period | Token::Comma)
            || matches!(last_keyword, Keyword::AS | Keyword::FROM | Keyword::JOIN);
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let is_named = matches!(last_keyword, Keyword::AS | Keyword::MATERIALIZED);
                match token {
                    Token::LParen if is_named => level.relations += 1,
                    // a[1][2]
                    Token::LBracket => level.operator(),
                    _ => {}
                }
                open.push(std::mem::replace(&mut level, Level { is_named, ..Level::default() }));
            }
            Token::RParen | Token::RBracket | Token::RBrace => close(&mut level, &mut open),
            Token::Comma if level.is_from => level.relations += 1,
            Token::Comma => level.next(),
            Token::SemiColon => {
                level.next();
                level.is_from = false;
            }
            Token::VerticalBarRightAngleBracket => level.relations += 1,
            Token::Word(_) => match keyword {
                Keyword::CASE => open.push(std::mem::take(&mut level)),
                Keyword::SELECT => {
                    level.is_from = false;
                    level.next();
                    // A WITH may do without AS.
                    level.relations += usize::from(*last == Token::LParen);
                }
                Keyword::JOIN | Keyword::APPLY | Keyword::EXPLAIN => level.relations += 1,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
                    level.is_from = false;
                    level.relations += 1;
                }
                Keyword::OR
                | Keyword::XOR
                | Keyword::AND
                | Keyword::NOT
                | Keyword::IS
                | Keyword::NOTNULL
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::MEMBER
                | Keyword::BETWEEN
                | Keyword::OVERLAPS
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::OPERATOR
                | Keyword::DIV
                | Keyword::INTERVAL => level.operator(),
                // It is always one: nothing else can follow the * of all columns.
                Keyword::FROM if last_keyword != Keyword::DISTINCT => level.is_from = true,
                _ if is_name => {}
                Keyword::END => close(&mut level, &mut open),
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::ON => level.next(),
                Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::WINDOW
                | Keyword::ORDER
                | Keyword::LIMIT => {
                    level.is_from = false;
                    level.next();
                }
                _ => {}
            },
            // a[1].'b'
            token if is_text(token) && *last == Token::Period => level.operator(),
            token if is_operator(token) => level.operator(),
            _ => {}
        }
        // The parser itself allows 50 in expressions, but not everywhere.
        if open.len() > BRACKETS {
            return usize::MAX;
        }
        (last, last_keyword) = (token, keyword);
    }
    while !open.is_empty() {
        close(&mut level, &mut open);
    }
    level.depth()
}

/// A sign that takes a value before or after it.
fn is_operator(token: &Token) -> bool {
    !is_text(token)
        && !matches!(
            token,
            Token::Word(_)
                | Token::Number(..)
                | Token::Placeholder(_)
                | Token::Whitespace(_)
                | Token::EOF
                | Token::Comma
                | Token::SemiColon
                | Token::Period
                | Token::Colon
                | Token::LParen
                | Token::RParen
                | Token::LBracket
                | Token::RBracket
                | Token::LBrace
                | Token::RBrace
        )
}

fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(sql: &str) -> usize {
        depth(&Tokenizer::new(&GenericDialect {}, sql).tokenize().expect("tokens"))
    }

    #[test]
    fn chains_are_measured() {
        let chains = [
            ("SELECT ", "1+", "1"),
            ("SELECT CAST(1 AS ", "ARRAY<", "INT"),
            ("SELECT 1 ", "UNION ALL SELECT 1, 2 ", ""),
            ("SELECT 1 WHERE true ", "AND true ", ""),
            ("SELECT 1 FROM t WHERE ", "v = 1 OR ", "true"),
            ("SELECT v", "::INT", ""),
            ("SELECT v", "[1]", ""),
            ("SELECT v", " IS NULL", ""),
            ("SELECT v", " AT TIME ZONE 'UTC'", ""),
            ("SELECT 1 FROM t ", "CROSS JOIN t ", ""),
            ("SELECT 1 FROM t", ", t", ""),
            ("SELECT * FROM t", ", t", ""),
            ("WITH a AS (SELECT 1)", ", a AS (SELECT 1)", " SELECT 1"),
            ("SELECT ", "CASE WHEN a THEN b END + ", "1"),
            ("SELECT ", "f(1, 2) + ", "1"),
            ("", "EXPLAIN ", "SELECT 1"),
            ("SELECT ", "INTERVAL ", "'1'"),
            ("SELECT a", " RLIKE b", ""),
            ("SELECT ", "when + ", "when"),
            ("SELECT CASE WHEN ", "when + ", "when END"),
            ("SELECT ", "t.end + ", "1"),
            ("SELECT 1 FROM t AS limit", ", t", ""),
            ("SELECT a[1]", ".'b'", ""),
            ("SELECT a", " ~ b = c", ""),
            ("SELECT a", " = b BETWEEN 1 AND 2", ""),
            ("WITH a AS (SELECT 1)", ", b AS (SELECT 1 FROM a JOIN a)", " SELECT 1"),
            ("SELECT 1 FROM t ", "|> WHERE x ", ""),
            ("SELECT ", "case + ", "1"),
        ];
        for (head, unit, tail) in chains {
            let sql = |count: usize| format!("{head}{}{tail}", unit.repeat(count));
            assert!(measured(&sql(DEEPEST)) >= DEEPEST, "{unit}: {}", measured(&sql(DEEPEST)));
            assert!(measured(&sql(60)) < 320, "{unit}: {}", measured(&sql(60)));
        }
        for unit in ["(", "CASE WHEN ", "[", "CAST(1 AS TABLE(a "] {
            assert!(measured(&format!("SELECT {}", unit.repeat(BRACKETS + 1))) > DEEPEST, "{unit}");
        }
        // Each bracket holds a chain of its own.
        let nested = format!("SELECT {}1{}", "1 + 1 + (".repeat(90), ")".repeat(90));
        assert!(measured(&nested) >= 270, "{}", measured(&nested));
    }

    #[test]
    fn what_is_long_is_not_deep() {
        let many = |unit: &str| unit.repeat(20_000);
        for sql in [
            format!("SELECT {}1", many("a + b AS c, ")),
            format!("SELECT x IN ({}1)", many("-1, ")),
            format!("SELECT CASE {} END", many("WHEN a = 1 AND b > 2 THEN c + 1 ")),
            format!("SELECT f({}1)", many("a + 1, ")),
            format!("SELECT 1 FROM t ORDER BY {}1", many("a + 1, ")),
            format!("SELECT 1 FROM t WHERE x IN (1) GROUP BY {}1", many("a % 2, ")),
            format!("VALUES {}(1)", many("(1 + 1, 'a'), ")),
            format!("SELECT a IS DISTINCT FROM b, {}1", many("c + 1, ")),
            format!("SELECT {}1", many("(SELECT max(x) FROM t WHERE t.y = s.y), ")),
        ] {
            assert!(measured(&sql) < 20, "{}: {}", &sql[..40], measured(&sql));
        }
    }

    #[test]
    fn it_is_said_what_to_write_instead() {
        let deep = format!("SELECT 1 FROM t WHERE {} false", "v = 1 OR ".repeat(DEEPEST));
        let error = check(&deep).expect_err("too deep").to_string();
        assert!(error.contains("more than 400 operators") && error.contains("IN (...)"), "{error}");
        assert!(check("SELECT 'it''s").is_ok(), "others say that it has no end");
    }
}
