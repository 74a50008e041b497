//! What is refused before planning has changed the query so much that its author would not know it again.

use crate::refusal::{Refusal, refuse};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

/// A view is a query: everything else that SQL can say is refused.
pub(crate) fn check_statement(statement: &Statement, sql: &str) -> Result<()> {
    match statement {
        Statement::Statement(s) if matches!(**s, SqlStatement::Query(_)) => Ok(()),
        _ => refuse("a view is a query", "write one SELECT", sql.split_whitespace().next().unwrap_or_default()),
    }
}

/// What the optimizer would turn into something else, or into a constant.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Distinct(Distinct::On(_)) = node {
            return Err(distinct_on().into_error());
        }
        node.apply_expressions(|e| e.apply(check_expression))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn distinct_on() -> Refusal {
    Refusal::new(
        "DISTINCT ON is not kept up to date in this form",
        "number the rows: SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY at DESC) AS place FROM t) WHERE place = 1",
    )
    .at("DISTINCT ON")
    .at("DISTINCT")
}

fn check_expression(expr: &Expr) -> Result<TreeNodeRecursion> {
    match expr {
        Expr::ScalarFunction(f) if f.func.signature().volatility == Volatility::Stable => {
            let name = f.func.name();
            let refusal = Refusal::new(
                format!("{name} changes while the view is kept up to date"),
                "compare a timestamp with now(), as at > now() - INTERVAL '1 day'; or keep today's date in a small table and join it",
            );
            let names = std::iter::once(name).chain(f.func.aliases().iter().map(String::as_str));
            Err(names.fold(refusal, Refusal::at).into_error())
        }
        Expr::SetComparison(comparison) => {
            let quantifier = comparison.quantifier.to_string();
            Err(Refusal::new(
                format!("a comparison with {quantifier} of a query is not kept up to date"),
                "compare with the greatest or the least: x >= (SELECT max(y) FROM t); for equality write IN or EXISTS",
            )
            .at(quantifier)
            .at("SOME")
            .into_error())
        }
        _ => Ok(TreeNodeRecursion::Continue),
    }
}
