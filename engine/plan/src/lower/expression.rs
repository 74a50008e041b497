//! Expressions of a plan over the columns of a node.

use crate::functions::{TIMESTAMP, constant_micros};
use crate::graph::Expression;
use crate::refusal::{Refusal, refuse};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};
use datafusion::physical_expr::create_physical_expr;
use std::sync::Arc;

/// A reference to a column by position.
pub(crate) fn column_expr(schema: &Schema, index: usize) -> Expression {
    Arc::new(datafusion::physical_expr::expressions::Column::new(schema.field(index).name(), index))
}

/// An expression over the columns of a plan, whose positions are those of the node.
pub(crate) fn physical(expr: &Expr, schema: &DFSchema) -> Result<Expression> {
    if crate::now::mentions_now(expr) {
        return refuse(
            "now() changes with every tick and can only bound rows in a condition",
            "compare it: WHERE at > now() - INTERVAL '30 seconds', joined by AND with other conditions",
            "now",
        );
    }
    if let Some(name) = volatile(expr) {
        let help = "a row that is taken back must get the value that it got when it came; let a source bring the value";
        return refuse(format!("{name}() gives another value at each call"), help, &name);
    }
    if let Some(word) = subquery_in(expr) {
        return Err(Refusal::new(
            "a subquery in this place is not kept up to date",
            "use it as a condition of WHERE, joined by AND; or LEFT JOIN the query and ask whether its column IS NULL",
        )
        .at(word)
        .at("SELECT")
        .into_error());
    }
    let expr = fixed_intervals(expr.clone(), schema)?;
    create_physical_expr(&expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
}

/// A timestamp plus or minus an interval of a fixed length as one with a duration: an addition of integers, where an
/// interval that may hold months asks the calendar for every row.
fn fixed_intervals(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let fixed = |e: Expr| -> Result<Transformed<Expr>> {
        let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) = e else {
            return Ok(Transformed::no(e));
        };
        let micros = match (&*right, left.get_type(schema)?) {
            (Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(i)), _), TIMESTAMP) if i.nanoseconds % 1000 == 0 => {
                constant_micros(&right)
            }
            _ => None,
        };
        let right = match micros {
            Some(micros) => Box::new(lit(ScalarValue::DurationMicrosecond(Some(micros)))),
            None => right,
        };
        Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
    };
    Ok(expr.transform_up(fixed)?.data)
}

/// The word that a subquery starts with which the optimizer could not turn into a join.
fn subquery_in(expr: &Expr) -> Option<&'static str> {
    let mut found = None;
    // The closure never fails.
    let _ = expr.apply(|e| {
        found = match e {
            Expr::Exists(_) => Some("EXISTS"),
            Expr::InSubquery(_) => Some("IN"),
            // The first SELECT is that of the query itself.
            Expr::ScalarSubquery(_) | Expr::SetComparison(_) => Some("(SELECT"),
            _ => None,
        };
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// A function in the expression that is not determined by its arguments.
fn volatile(expr: &Expr) -> Option<String> {
    let mut found = None;
    // The closure never fails.
    let _ = expr.apply(|e| {
        if let Expr::ScalarFunction(f) = e
            && f.func.signature().volatility == datafusion::logical_expr::Volatility::Volatile
        {
            found = Some(f.func.name().to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
