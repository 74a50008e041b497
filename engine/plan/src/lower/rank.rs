//! `ORDER BY … LIMIT` and `row_number()`: the first rows, of all or of each partition.

use super::project::column_of;
use super::*;
use datafusion::logical_expr::{FetchType, Limit, SkipType, Sort, SortExpr, Window as WindowPlan};

impl Lowering<'_> {
    pub(super) fn limit(&mut self, limit: &Limit) -> Result<Lowered> {
        let skip = match limit.get_skip_type()? {
            SkipType::Literal(n) => n,
            SkipType::UnsupportedExpr => return refuse("OFFSET wants a number", "write the number itself", "OFFSET"),
        };
        let fetch = match limit.get_fetch_type()? {
            FetchType::Literal(n) => n,
            FetchType::UnsupportedExpr => return refuse("LIMIT wants a number", "write the number itself", "LIMIT"),
        };
        if !leads_to_sort(&limit.input) {
            return refuse(
                "LIMIT without ORDER BY would keep rows at random",
                "say which rows come first: ORDER BY ... LIMIT n",
                "LIMIT",
            );
        }
        self.limit = Some((skip, fetch));
        let lowered = self.plan(&limit.input);
        self.limit = None;
        lowered
    }

    pub(super) fn sort(&mut self, sort: &Sort) -> Result<Lowered> {
        let (skip, fetch) = match (self.limit.take(), sort.fetch) {
            (Some(limit), _) => limit,
            (None, Some(fetch)) => (0, Some(fetch)),
            (None, None) => {
                return refuse(
                    "a view is a set of rows and has no order",
                    "leave ORDER BY out, or add LIMIT to keep the first rows",
                    "ORDER",
                );
            }
        };
        let width = sort.input.schema().fields().len();
        let input = self.unbounded(&sort.input)?;
        let input = self.retire(input, width)?;
        let (input, order) = self.order(input, &sort.expr, sort.input.schema())?;
        self.first_rows(input, width, vec![], order, skip, fetch, None)
    }

    /// Plans a step below one that must see all of its rows: bounds from above say nothing about ranks below it.
    pub(super) fn unbounded(&mut self, plan: &LogicalPlan) -> Result<Lowered> {
        let bounds = std::mem::take(&mut self.rank_bounds);
        let input = self.plan(plan);
        self.rank_bounds = bounds;
        input
    }

    /// Adds columns for sort keys that are no columns yet.
    fn order(&mut self, input: Lowered, keys: &[SortExpr], schema: &DFSchema) -> Result<(Lowered, Vec<Order>)> {
        let exprs: Vec<Expr> = keys.iter().map(|k| k.expr.clone()).collect();
        let (input, columns) = self.with_columns(input, &exprs, schema)?;
        let order = keys
            .iter()
            .zip(columns)
            .map(|(k, column)| Order { column, descending: !k.asc, nulls_first: k.nulls_first })
            .collect();
        Ok((input, order))
    }

    /// The step with further columns where `exprs` are more than names; where each of them stands.
    pub(super) fn with_columns(
        &mut self,
        input: Lowered,
        exprs: &[Expr],
        schema: &DFSchema,
    ) -> Result<(Lowered, Vec<usize>)> {
        let node_schema = self.graph.schema(input.node).clone();
        let mut fields: Vec<FieldRef> = node_schema.fields().iter().cloned().collect();
        let mut project: Vec<Expression> = (0..fields.len()).map(|c| column_expr(&node_schema, c)).collect();
        let mut places = vec![];
        for expr in exprs {
            if let Some(c) = column_of(expr, schema) {
                places.push(c);
                continue;
            }
            let compiled = physical(expr, schema)?;
            let data_type = compiled.data_type(schema.as_arrow())?;
            fields.push(Arc::new(Field::new(format!("__key_{}", fields.len()), data_type, true)));
            project.push(compiled);
            places.push(fields.len() - 1);
        }
        if fields.len() == node_schema.fields().len() {
            return Ok((input, places));
        }
        let node = self.add(
            Op::Map { input: input.node, filter: None, project: Some(project) },
            Arc::new(Schema::new(fields)),
            "keys",
        );
        Ok((Lowered { node, ..input }, places))
    }

    #[allow(clippy::too_many_arguments)]
    fn first_rows(
        &mut self,
        input: Lowered,
        width: usize,
        partition: Vec<usize>,
        order: Vec<Order>,
        skip: usize,
        fetch: Option<usize>,
        number: Option<DataType>,
    ) -> Result<Lowered> {
        let node_schema = self.graph.schema(input.node).clone();
        let mut fields: Vec<Field> = node_schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        let numbered = number.is_some();
        if let Some(t) = &number {
            fields.push(Field::new("__rank", t.clone(), true));
        }
        let all = fields.len();
        let top = TopK { input: input.node, partition, order, skip, fetch, number };
        let node = self.add(Op::TopK(top), loose(&Schema::new(fields)), "top");
        let mut kept: Vec<usize> = (0..width).collect();
        if numbered {
            kept.push(all - 1);
        }
        let node = if kept.len() == all { node } else { self.columns(node, &kept, "columns") };
        Ok(Lowered { node, append_only: false, windows: input.windows, ..Lowered::plain(node) })
    }

    pub(super) fn window(&mut self, window: &WindowPlan) -> Result<Lowered> {
        let width = window.input.schema().fields().len();
        if is_beside_another(&window.input) {
            return refuse(
                "several window functions in one query are not kept up to date",
                "write one query for each, one around the other",
                "OVER",
            );
        }
        let [expr] = window.window_expr.as_slice() else {
            return refuse(
                "several window functions in one query are not kept up to date",
                "write one query for each, one around the other",
                "OVER",
            );
        };
        let name = window.schema.field(width).name().clone();
        let mut inner = expr;
        while let Expr::Alias(a) = inner {
            inner = &a.expr;
        }
        let Expr::WindowFunction(function) = inner else {
            return refuse("this window function is not kept up to date", "use row_number()", "OVER");
        };
        if function.fun.name() != "row_number" {
            let help = "use row_number() with a bound on it, or GROUP BY with an aggregate and a join";
            return refuse(
                format!("the window function {} is not kept up to date", function.fun.name()),
                help,
                function.fun.name(),
            );
        }
        let Some(fetch) = self.rank_bounds.iter().filter(|b| self.names(b, &name)).map(|b| b.rows).min() else {
            let refusal = Refusal::new(
                "row_number() without a bound would change every row behind each change",
                "bound it in a query around it: SELECT * FROM (SELECT *, row_number() OVER (...) AS rn FROM t) WHERE rn <= 10",
            );
            return Err(refusal.at("row_number").into_error());
        };
        let input = self.unbounded(&window.input)?;
        let input = self.retire(input, width)?;
        let schema = window.input.schema();
        let (input, partition) = self.with_columns(input, &function.params.partition_by, schema)?;
        let (input, order) = self.order(input, &function.params.order_by, schema)?;
        let number = window.schema.field(width).data_type().clone();
        self.first_rows(input, width, partition, order, 0, Some(fetch), Some(number))
    }

    /// Whether a filter's column is the window's: by name, or under the names that projections in between gave it.
    fn names(&self, bound: &RankBound, window: &str) -> bool {
        let below = self.aliases.iter().skip(bound.above);
        let name = below.fold(bound.column.as_str(), |name, names| {
            names.iter().find(|(alias, _)| alias == name).map_or(name, |(_, of)| of)
        });
        name == window
    }
}

/// Whether a window function stands in the same SELECT as another one, which the plan has below it.
fn is_beside_another(input: &LogicalPlan) -> bool {
    match input {
        LogicalPlan::Window(_) => true,
        LogicalPlan::Projection(p) => is_beside_another(&p.input),
        _ => false,
    }
}

fn leads_to_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(p) => leads_to_sort(&p.input),
        LogicalPlan::SubqueryAlias(a) => leads_to_sort(&a.input),
        _ => false,
    }
}
