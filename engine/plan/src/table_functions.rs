//! Windows as table functions: `FROM tumble(stream, at, INTERVAL '10 seconds')`, `hop(stream, at, slide, size)` and
//! `session(stream, at, gap, key, ...)` add `window_start` and `window_end` to a stream's columns.
//!
//! The first two are rewritten to subqueries over scalar functions before planning; a session becomes a table of its
//! own, which the lowering knows.

use crate::dialect::table_factor;
use crate::refusal::refuse;
use datafusion::common::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{
    FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Statement, TableAlias, TableFactor, VisitMut,
    VisitorMut,
};
use std::ops::ControlFlow;

/// A use of `session(...)`.
#[derive(Clone, Debug)]
pub struct SessionCall {
    /// The name of the table that stands for it.
    pub table: String,
    /// The stream, as written.
    pub stream: String,
    pub time: String,
    /// As written: `INTERVAL '5 minutes'`.
    pub gap: String,
    pub keys: Vec<String>,
}

/// Rewrites the window functions of a statement; returns the sessions it uses.
pub fn rewrite(statement: &mut Statement) -> Result<Vec<SessionCall>> {
    let mut rewriter = Rewriter { sessions: vec![] };
    match statement.visit(&mut rewriter) {
        ControlFlow::Continue(()) => Ok(rewriter.sessions),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter {
    sessions: Vec<SessionCall>,
}

impl VisitorMut for Rewriter {
    type Break = DataFusionError;
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        match self.replace(factor) {
            Ok(Some(new)) => *factor = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter {
    fn replace(&mut self, factor: &TableFactor) -> Result<Option<TableFactor>> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return Ok(None) };
        let function = name.to_string().to_lowercase();
        if !matches!(function.as_str(), "tumble" | "hop" | "session") {
            return Ok(None);
        }
        let args = args.args.iter().map(plain).collect::<Result<Vec<String>>>()?;
        let alias = alias.as_ref().map_or_else(|| default_alias(args.first()), |a| a.name.to_string());
        let text = match (function.as_str(), args.as_slice()) {
            ("tumble", [stream, at, size]) => {
                format!(
                    "(SELECT *, tumble({at}, {size}) AS window_start, tumble({at}, {size}) + {size} AS window_end FROM {stream}) AS {alias}"
                )
            }
            ("hop", [stream, at, slide, size]) => format!(
                "(SELECT * EXCEPT (__start), __start AS window_start, __start + {size} AS window_end FROM (SELECT *, unnest(hop({at}, {slide}, {size})) AS __start FROM {stream})) AS {alias}"
            ),
            ("session", [stream, at, gap, keys @ ..]) => {
                let table = format!("__session_{}", self.sessions.len());
                self.sessions.push(SessionCall {
                    table: table.clone(),
                    stream: stream.clone(),
                    time: at.clone(),
                    gap: gap.clone(),
                    keys: keys.to_vec(),
                });
                let name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(table))]);
                return Ok(Some(renamed(factor, name, alias)));
            }
            ("tumble", _) => {
                return refuse(
                    "tumble takes a stream, its time column and a size",
                    "write tumble(temperature, at, INTERVAL '10 seconds')",
                    "tumble",
                );
            }
            ("hop", _) => {
                return refuse(
                    "hop takes a stream, its time column, a slide and a size",
                    "write hop(bids, at, INTERVAL '2 seconds', INTERVAL '10 seconds')",
                    "hop",
                );
            }
            _ => {
                return refuse(
                    "session takes a stream, its time column, a gap and the keys",
                    "write session(clicks, at, INTERVAL '5 minutes', person)",
                    "session",
                );
            }
        };
        table_factor(&text).map(Some)
    }
}

fn renamed(factor: &TableFactor, new_name: ObjectName, new_alias: String) -> TableFactor {
    let mut out = factor.clone();
    if let TableFactor::Table { name, alias, args, .. } = &mut out {
        *name = new_name;
        *args = None;
        *alias = Some(TableAlias { explicit: true, name: Ident::new(new_alias), columns: vec![], at: None });
    }
    out
}

fn plain(argument: &FunctionArg) -> Result<String> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Ok(e.to_string()),
        other => {
            let text = other.to_string();
            let name = text.split_whitespace().next().unwrap_or_default().to_owned();
            refuse(
                format!("{text} cannot be an argument of a window"),
                "write its arguments in order, without names",
                &name,
            )
        }
    }
}

/// The stream's own name without its pipeline.
fn default_alias(stream: Option<&String>) -> String {
    stream.and_then(|s| s.rsplit('.').next()).unwrap_or("w").to_string()
}
