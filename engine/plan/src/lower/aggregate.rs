//! `GROUP BY`.

use super::*;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate as AggregatePlan, GroupingSet};

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, plan: &AggregatePlan) -> Result<Lowered> {
        let input = self.plan(&plan.input)?;
        let schema = plan.input.schema();
        let width = schema.fields().len();
        let group_windows: Vec<Option<Window>> =
            plan.group_expr.iter().map(|e| self.window_of(e, schema, &input)).collect();
        let expiring = group_windows.iter().position(Option::is_some);
        let (input, expire, lasts) = match (input.retire, expiring) {
            (Some(retire), Some(key)) => {
                let (to_end, size) = group_windows[key].map_or((0, 0), |w| (w.to_end, w.size));
                let expire = Moment { key, after: to_end + retire.after };
                (Lowered { retire: None, ..input }, Some(expire), size + retire.after)
            }
            _ => (self.retire(input, width)?, None, 0),
        };
        let calls = plan.aggr_expr.iter().map(unalias).collect::<Result<Vec<_>>>()?;
        let mut wanted: Vec<Expr> = plan.group_expr.clone();
        if let Some(set) = wanted.iter().find_map(|e| if let Expr::GroupingSet(set) = e { Some(set) } else { None }) {
            let word = match set {
                GroupingSet::Rollup(_) => "ROLLUP",
                GroupingSet::Cube(_) => "CUBE",
                GroupingSet::GroupingSets(_) => "GROUPING SETS",
            };
            // Those who write it in another way than with one space in between are pointed at its first word.
            let first = word.split(' ').next().unwrap_or(word);
            return Err(Refusal::new(
                format!("{word} is not kept up to date"),
                "write one query for each grouping, joined by UNION ALL",
            )
            .at(word)
            .at(first)
            .into_error());
        }
        for call in &calls {
            wanted.extend(arguments(call));
        }
        let (input, places) = self.with_columns(input, &wanted, schema)?;
        let mut places = places.into_iter();
        let keys: Vec<usize> = places.by_ref().take(plan.group_expr.len()).collect();
        let outputs = plan.schema.fields().iter().skip(plan.group_expr.len());
        let calls = calls
            .iter()
            .zip(outputs)
            .map(|(c, f)| self.call(c, &mut places, f.data_type()))
            .collect::<Result<Vec<_>>>()?;
        let settle = match expire {
            None if input.punctual => settled(&group_windows),
            _ => None,
        };
        let append_only = input.append_only;
        let aggregate =
            Aggregate { input: input.node, keys, calls, append_only, expire, lasts, settle, hold: None, panes: None };
        let node = self.add(Op::Aggregate(aggregate), loose(plan.schema.as_arrow()), "group");
        let windows = group_windows.into_iter().enumerate().filter_map(|(i, w)| Some((i, w?))).collect();
        Ok(Lowered { windows, lateness: input.lateness, ..Lowered::plain(node) })
    }

    fn call(
        &self,
        call: &AggregateFunction,
        places: &mut impl Iterator<Item = usize>,
        output: &DataType,
    ) -> Result<Call> {
        let name = call.func.name();
        let function = match name {
            "count" => Function::Count,
            "sum" => Function::Sum,
            "avg" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            "bool_and" => Function::BoolAnd,
            "bool_or" => Function::BoolOr,
            "array_agg" => Function::ArrayAgg,
            "first_value" => Function::FirstValue,
            "last_value" => Function::LastValue,
            "median" => Function::Median,
            other => {
                let help = "kept up to date are count, sum, avg, min, max, count(DISTINCT), bool_and, bool_or, array_agg, first_value, last_value and median";
                return refuse(format!("the aggregate {other} is not kept up to date"), help, other);
            }
        };
        if matches!(function, Function::FirstValue | Function::LastValue) && call.params.order_by.is_empty() {
            return refuse(
                format!("{name} without an order would pick a value at random"),
                format!("say which comes first: {name}(x ORDER BY at)"),
                name,
            );
        }
        let numeric = |t: &DataType| t.is_numeric() && !matches!(t, DataType::Decimal256(..) | DataType::Float16);
        let mut argument = None;
        if argument_of(call).is_some() {
            argument = places.next();
        }
        let order = call
            .params
            .order_by
            .iter()
            .filter_map(|o| Some(Order { column: places.next()?, descending: !o.asc, nulls_first: o.nulls_first }))
            .collect();
        let filter = call.params.filter.as_ref().and_then(|_| places.next());
        if matches!(function, Function::Sum | Function::Avg | Function::Median) && !numeric(output) {
            return refuse(
                format!("{name} over {output} is not kept up to date"),
                "cast its argument to a number",
                name,
            );
        }
        if function == Function::Median && matches!(output, DataType::Decimal128(..)) {
            return refuse("median of decimals is not kept up to date", "cast its argument to float64", name);
        }
        if call.params.distinct && function == Function::Count && argument.is_none() {
            return refuse("count(DISTINCT *) counts nothing in particular", "name a column", name);
        }
        Ok(Call { function, argument, filter, distinct: call.params.distinct, order, output: output.clone() })
    }
}

/// When the rows of a group are all there: its windows have ended and their lateness has passed.
fn settled(windows: &[Option<Window>]) -> Option<Moment> {
    let ends = windows.iter().enumerate().filter_map(|(key, w)| {
        let w = (*w)?;
        Some(Moment { key, after: w.to_end + w.lateness? })
    });
    ends.min_by_key(|m| m.after)
}

fn unalias(expr: &Expr) -> Result<AggregateFunction> {
    match expr {
        Expr::AggregateFunction(f) => Ok(f.clone()),
        Expr::Alias(a) => unalias(&a.expr),
        other => refuse(format!("{other} is no aggregate"), "use one of the aggregate functions", ""),
    }
}

/// The aggregated expression; none for `count(*)`, which arrives as the count of a constant.
fn argument_of(call: &AggregateFunction) -> Option<&Expr> {
    call.params.args.first().filter(|a| {
        !(call.func.name() == "count" && !call.params.distinct && matches!(a, Expr::Literal(v, _) if !v.is_null()))
    })
}

/// All expressions that a call reads, in the order in which `call` takes their places.
fn arguments(call: &AggregateFunction) -> Vec<Expr> {
    let order = call.params.order_by.iter().map(|o| o.expr.clone());
    argument_of(call)
        .cloned()
        .into_iter()
        .chain(order)
        .chain(call.params.filter.iter().map(|f| (**f).clone()))
        .collect()
}
