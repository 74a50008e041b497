//! Conditions on `now()`: from `at > now() - INTERVAL '30 seconds'` to "the row counts until at + 30 s".

use crate::functions::{TIMESTAMP, constant_micros};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, cast, lit};

/// Bounds of the time in which a row counts, µs since the epoch as `Int64` expressions: `from` inclusive, `until`
/// exclusive.
#[derive(Debug, Default)]
pub struct Bounds {
    pub from: Vec<Expr>,
    pub until: Vec<Expr>,
}

/// Whether `now()` occurs in an expression.
pub fn mentions_now(expr: &Expr) -> bool {
    let mut found = false;
    // The closure never fails.
    let _ = expr.apply(|e| {
        found |= is_now(e);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(f) if f.func.name() == "now")
}

impl Bounds {
    /// Reads one condition; `None` if it is no comparison of `now()` that can be turned into a bound.
    pub fn add(&mut self, condition: &Expr) -> Option<()> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.add(left)?;
                self.add(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (op, bound) = comparison(left, *op, right)?;
                self.push(op, bound)
            }
            Expr::Between(b) if !b.negated => {
                let (low, high) =
                    (comparison(&b.expr, Operator::GtEq, &b.low), comparison(&b.expr, Operator::LtEq, &b.high));
                let ((op, bound), (op2, bound2)) = (low?, high?);
                self.push(op, bound)?;
                self.push(op2, bound2)
            }
            Expr::Not(inner) => match &**inner {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    let (op, bound) = comparison(left, op.negate()?, right)?;
                    self.push(op, bound)
                }
                _ => None,
            },
            _ => None,
        }
    }
    /// `now() op bound`
    fn push(&mut self, op: Operator, bound: Expr) -> Option<()> {
        match op {
            Operator::Lt => self.until.push(bound),
            Operator::LtEq => self.until.push(bound + lit(1i64)),
            Operator::Gt => self.from.push(bound + lit(1i64)),
            Operator::GtEq => self.from.push(bound),
            Operator::Eq => {
                self.from.push(bound.clone());
                self.until.push(bound + lit(1i64));
            }
            _ => return None,
        }
        Some(())
    }
}

/// `left op right` as `now() op bound`.
fn comparison(left: &Expr, op: Operator, right: &Expr) -> Option<(Operator, Expr)> {
    if mentions_now(left) && !mentions_now(right) {
        return isolate(left, op, right);
    }
    if mentions_now(right) && !mentions_now(left) {
        return isolate(right, op.swap()?, left);
    }
    None
}

/// `side op other`, where only `side` mentions `now()`.
fn isolate(side: &Expr, op: Operator, other: &Expr) -> Option<(Operator, Expr)> {
    if let Some(offset) = now_plus(side) {
        return Some((op, micros(other) - lit(offset)));
    }
    // now() - e compared with an interval, or e - now().
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = strip(side) else { return None };
    let interval = constant_micros(other)?;
    if let Some(offset) = now_plus(left).filter(|_| !mentions_now(right)) {
        return Some((op, micros(right) + lit(interval - offset)));
    }
    let offset = now_plus(right).filter(|_| !mentions_now(left))?;
    Some((op.swap()?, micros(left) - lit(interval + offset)))
}

/// `now()` plus a constant in µs.
fn now_plus(expr: &Expr) -> Option<i64> {
    match strip(expr) {
        e if is_now(e) => Some(0),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => match now_plus(left) {
            Some(offset) => Some(offset + constant_micros(right)?),
            None => Some(now_plus(right)? + constant_micros(left)?),
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            Some(now_plus(left)? - constant_micros(right)?)
        }
        _ => None,
    }
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(c) => strip(&c.expr),
        Expr::Alias(a) => strip(&a.expr),
        other => other,
    }
}

fn micros(expr: &Expr) -> Expr {
    cast(cast(expr.clone(), TIMESTAMP), DataType::Int64)
}
