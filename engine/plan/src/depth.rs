//! How deep the tree of a query gets, found out before there is one.
//!
//! Trees of queries are gone through, and dropped, by functions that call themselves: a chain of some thousand operators
//! needs more stack than a thread has, and that ends the process. So the chains are measured in the text. Brackets are
//! limited by the parser; but chains in brackets in chains add up.

use crate::refusal::Refusal;
use datafusion::common::Result;
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The deepest tree that is taken. A thread of 2 MiB has gone under from some 600 ARRAY<, 900 WITH names and 1,500
/// other operators on, in builds for development.
const DEEPEST: usize = 400;

/// # Errors
/// The tree of such a text would be too deep.
pub fn check(sql: &str, dialect: &dyn Dialect) -> Result<()> {
    // What cannot be taken apart has no tree, and the parser says why.
    let Ok(tokens) = Tokenizer::new(dialect, sql).tokenize() else { return Ok(()) };
    if depth(&tokens) <= DEEPEST {
        return Ok(());
    }
    let message = format!("more than {DEEPEST} operators, joins, UNIONs or WITH names build on one another");
    Err(Refusal::new(message, "write x IN (...) for a long list of comparisons, and a long chain in several steps")
        .into_error())
}

/// What builds a chain, from what binds least: a chain of one is broken by each that binds less.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// Also what follows after commas in FROM, and each name of a WITH. Nothing breaks it but a bracket.
    Relation,
    Or,
    And,
    Comparison,
    Other,
}

const LINKS: usize = Link::Other as usize + 1;

/// What is between two brackets, or CASE and END.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// By [`Link`]: how many there are in the chain that goes on, and in the longest.
    current: [usize; LINKS],
    longest: [usize; LINKS],
    /// The depth of the deepest level inside.
    inner: usize,
    is_from: bool,
}

impl Level {
    fn add(&mut self, link: Link) {
        let at = link as usize;
        self.current[at] += 1;
        self.longest[at] = self.longest[at].max(self.current[at]);
        self.current[at + 1..].fill(0);
    }

    /// The next of a list begins.
    fn next(&mut self) {
        self.current[Link::Or as usize..].fill(0);
    }

    fn depth(&self) -> usize {
        1 + self.longest.iter().sum::<usize>() + self.inner
    }
}

/// At least the depth of the tree.
fn depth(tokens: &[Token]) -> usize {
    let mut open = vec![];
    let mut level = Level::default();
    let mut last = Keyword::NoKeyword;
    let close = |level: &mut Level, open: &mut Vec<Level>| {
        let inner = level.depth();
        // Without a beginning it is no SQL.
        *level = open.pop().unwrap_or_default();
        level.inner = level.inner.max(inner);
    };
    for token in tokens {
        let keyword = if let Token::Word(word) = token { word.keyword } else { Keyword::NoKeyword };
        match token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => {
                match (token, last) {
                    (Token::LParen, Keyword::AS | Keyword::MATERIALIZED) => level.add(Link::Relation),
                    // a[1][2]
                    (Token::LBracket, _) => level.add(Link::Other),
                    _ => {}
                }
                open.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket | Token::RBrace => close(&mut level, &mut open),
            Token::Comma if level.is_from => level.add(Link::Relation),
            Token::Comma | Token::SemiColon => level.next(),
            Token::Eq | Token::DoubleEq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => {
                level.add(Link::Comparison);
            }
            Token::Word(_) => match keyword {
                Keyword::CASE => open.push(std::mem::take(&mut level)),
                Keyword::END => close(&mut level, &mut open),
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE => level.next(),
                Keyword::FROM => level.is_from = true,
                Keyword::SELECT
                | Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::WINDOW
                | Keyword::ORDER
                | Keyword::LIMIT => {
                    level.is_from = false;
                    level.next();
                }
                Keyword::ON => level.next(),
                Keyword::JOIN | Keyword::APPLY => level.add(Link::Relation),
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
                    level.is_from = false;
                    level.add(Link::Relation);
                }
                Keyword::OR | Keyword::XOR => level.add(Link::Or),
                Keyword::AND => level.add(Link::And),
                Keyword::NOT
                | Keyword::IS
                | Keyword::NOTNULL
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::OVERLAPS => level.add(Link::Comparison),
                Keyword::AT | Keyword::COLLATE | Keyword::OPERATOR | Keyword::DIV => {
                    level.add(Link::Other);
                }
                _ => {}
            },
            Token::Number(..) | Token::Period | Token::Colon | Token::Placeholder(_) | Token::EOF => {}
            // A text of any kind.
            token if is_text(token) => {}
            _ => level.add(Link::Other),
        }
        last = keyword;
    }
    while !open.is_empty() {
        close(&mut level, &mut open);
    }
    level.depth()
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
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;

    fn measured(sql: &str) -> usize {
        depth(&Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().expect("tokens"))
    }

    #[test]
    fn chains_are_measured() {
        let chains: [(&str, &str, &str); 16] = [
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
            ("WITH a AS (SELECT 1)", ", a AS (SELECT 1)", " SELECT 1"),
            ("SELECT ", "CASE WHEN a THEN b END + ", "1"),
            ("SELECT ", "f(1, 2) + ", "1"),
            ("SELECT ", "(", "1"),
            ("SELECT ", "CASE WHEN ", "1"),
        ];
        for (head, unit, tail) in chains {
            let sql = |count: usize| format!("{head}{}{tail}", unit.repeat(count));
            assert!(measured(&sql(DEEPEST)) >= DEEPEST, "{unit}: {}", measured(&sql(DEEPEST)));
            assert!(measured(&sql(100)) < 210, "{unit}: {}", measured(&sql(100)));
        }
        // Each bracket holds a chain of its own.
        let nested = format!("SELECT {}1{}", "1 + 1 + (".repeat(100), ")".repeat(100));
        assert!(measured(&nested) >= 300, "{}", measured(&nested));
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
        ] {
            assert!(measured(&sql) < 20, "{}: {}", &sql[..40], measured(&sql));
        }
    }

    #[test]
    fn it_is_said_what_to_write_instead() {
        let deep = format!("SELECT 1 FROM t WHERE {} false", "v = 1 OR ".repeat(DEEPEST));
        let error = check(&deep, &PostgreSqlDialect {}).expect_err("too deep").to_string();
        assert!(error.contains("more than 400 operators") && error.contains("IN (...)"), "{error}");
        assert!(check("SELECT 'it''s", &PostgreSqlDialect {}).is_ok(), "others say that it has no end");
    }
}
