//! Conditions: plain ones become filters, those on `now()` become bounds in time.

use super::project::column_of;
use super::*;
use crate::functions::constant_micros;
use crate::now::{Bounds, mentions_now};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Filter, Operator};

impl Lowering<'_> {
    pub(super) fn filter(&mut self, filter: &Filter) -> Result<Lowered> {
        let bounds = rank_bounds(&filter.predicate);
        let known = self.rank_bounds.len();
        let above = self.aliases.len();
        self.rank_bounds.extend(bounds.into_iter().map(|(column, rows)| RankBound { column, rows, above }));
        let input = self.plan(&filter.input);
        self.rank_bounds.truncate(known);
        self.conditions(input?, &filter.predicate, filter.input.schema())
    }

    /// Applies a condition to a step whose plan columns are `schema`.
    pub(super) fn conditions(&mut self, input: Lowered, predicate: &Expr, schema: &DFSchema) -> Result<Lowered> {
        let (timed, plain): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(predicate).into_iter().partition(|e| mentions_now(e));
        let mut lowered = input;
        if let Some(condition) = conjunction(plain.into_iter().cloned()) {
            let condition = physical(&condition, schema)?;
            let node_schema = self.graph.schema(lowered.node).clone();
            let node = self.add(
                Op::Map { input: lowered.node, filter: Some(condition), project: None },
                node_schema,
                "filter",
            );
            lowered = Lowered { node, ..lowered };
        }
        if timed.is_empty() {
            return Ok(lowered);
        }
        let mut bounds = Bounds::default();
        for condition in timed {
            if bounds.add(condition).is_none() {
                return Err(unbounded(condition).into_error());
            }
        }
        if bounds.from.iter().chain(&bounds.until).any(|b| b.column_refs().is_empty()) {
            // The optimizer moves such a condition below an aggregate, where it would empty the group and not the view.
            return refuse(
                "this condition on now() reads no column of the row",
                "compare now() with a timestamp of the row; for a fixed time keep it in a small table and join it",
                "now",
            );
        }
        self.bounded(lowered, bounds, schema)
    }

    /// A view that looks back for longer than its stream retains rows sees less than it says.
    fn warn_of_retention(&mut self, lowered: &Lowered, retire: Retire, bounds: &Bounds, schema: &DFSchema) {
        let looks_back = bounds.until.iter().filter_map(|b| after_event_time(b, lowered, schema)).min();
        let Some(looks_back) = looks_back.and_then(|b| u64::try_from(b).ok()).filter(|b| *b > retire.after + 1) else {
            return;
        };
        let shown = |micros: u64| jarvis_spec::duration::format(std::time::Duration::from_micros(micros));
        let message =
            format!("this looks back {}, but rows leave their source after {}", shown(looks_back), shown(retire.after));
        let help = "give the source a longer `retain`, or look back for less";
        self.warnings.push(Refusal::new(message, help).at("now"));
    }

    /// One temporal filter for the bounds and the retention.
    fn bounded(&mut self, lowered: Lowered, bounds: Bounds, schema: &DFSchema) -> Result<Lowered> {
        let width = schema.fields().len();
        let compile = |list: &[Expr]| list.iter().map(|e| physical(e, schema)).collect::<Result<Vec<_>>>();
        let (from, mut until) = (compile(&bounds.from)?, compile(&bounds.until)?);
        if let Some(retire) = lowered.retire {
            self.warn_of_retention(&lowered, retire, &bounds, schema);
            let by_name = unique_schema(self.graph.schema(lowered.node))?;
            until.push(physical(&self.retire_bound(lowered.node, retire), &by_name)?);
        }
        let append_only = lowered.append_only && until.is_empty();
        let punctual = lowered.punctual && from.is_empty() && until.is_empty();
        let kept: SchemaRef = Arc::new(self.graph.schema(lowered.node).project(&(0..width).collect::<Vec<_>>())?);
        let node = self.add(Op::Temporal { input: lowered.node, from, until, keep: width, hold: None }, kept, "until");
        Ok(Lowered { node, append_only, punctual, retire: None, ..lowered })
    }
}

/// Why a condition on `now()` is no bound in time.
fn unbounded(condition: &Expr) -> Refusal {
    let has = |wanted: &dyn Fn(&Expr) -> bool| condition.exists(|e| Ok(wanted(e))).unwrap_or(false);
    let months = |e: &Expr| match e {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(i)), _) => i.months != 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), _) => *months != 0,
        _ => false,
    };
    if has(&months) {
        let refusal = Refusal::new(
            "months and years differ in length, so this condition on now() is no fixed bound",
            "count in days: now() - INTERVAL '30 days'",
        );
        return ["month", "months", "mon", "mons", "year", "years", "now"].into_iter().fold(refusal, Refusal::at);
    }
    if has(&|e| matches!(e, Expr::BinaryExpr(b) if b.op == Operator::Or)) {
        return Refusal::new(
            "a condition on now() with OR is not kept up to date: a row's life has one beginning and one end",
            "join conditions by AND, or write two queries and join them by UNION",
        )
        .at("now");
    }
    Refusal::new(
        "this condition on now() cannot be kept up to date",
        "compare a timestamp with now() plus or minus a constant interval, as at > now() - INTERVAL '30 seconds'",
    )
    .at("now")
}

/// How long after its event time a bound lets a row go, µs.
fn after_event_time(bound: &Expr, lowered: &Lowered, schema: &DFSchema) -> Option<i64> {
    match bound {
        Expr::Cast(c) => after_event_time(&c.expr, lowered, schema),
        Expr::Column(_) => column_of(bound, schema).filter(|c| lowered.times.contains(c)).map(|_| 0),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let constant = match &**right {
                Expr::Literal(ScalarValue::Int64(Some(micros)), _) => *micros,
                other => constant_micros(other)?,
            };
            let before = after_event_time(left, lowered, schema)?;
            match op {
                Operator::Plus => before.checked_add(constant),
                Operator::Minus => before.checked_sub(constant),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `column <= 10`, `column < 11` and `column = 1`: how many ranks the rows can have.
fn rank_bounds(predicate: &Expr) -> Vec<(String, usize)> {
    let bound = |e: &&Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = e else { return None };
        let (column, op, value) = match (&**left, &**right) {
            (Expr::Column(c), Expr::Literal(v, _)) => (c, *op, v),
            (Expr::Literal(v, _), Expr::Column(c)) => (c, op.swap()?, v),
            _ => return None,
        };
        let value = match value.cast_to(&DataType::Int64).ok()? {
            datafusion::common::ScalarValue::Int64(Some(v)) => v,
            _ => return None,
        };
        let rows = match op {
            Operator::LtEq | Operator::Eq => value,
            Operator::Lt => value - 1,
            _ => return None,
        };
        Some((column.name.clone(), usize::try_from(rows).ok()?))
    };
    split_conjunction(predicate).iter().filter_map(bound).collect()
}
