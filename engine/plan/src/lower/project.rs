//! Projections and unnesting.

use super::*;
use crate::functions::constant_micros;
use datafusion::logical_expr::{Projection, Unnest};

impl Lowering<'_> {
    pub(super) fn projection(&mut self, projection: &Projection) -> Result<Lowered> {
        self.aliases.push(projection.expr.iter().filter_map(renaming).collect());
        let input = self.plan(&projection.input);
        self.aliases.pop();
        let input = input?;
        let input_schema = projection.input.schema();
        let mut project = projection.expr.iter().map(|e| physical(e, input_schema)).collect::<Result<Vec<_>>>()?;
        let mut fields: Vec<Field> =
            loose(projection.schema.as_arrow()).fields().iter().map(|f| f.as_ref().clone()).collect();
        let (mut windows, mut hops, mut times) = (HashMap::new(), HashMap::new(), vec![]);
        for (i, expr) in projection.expr.iter().enumerate() {
            if let Some(window) = self.window_of(expr, input_schema, &input) {
                windows.insert(i, window);
            }
            if let Some(window) = hop_of(expr, input_schema, &input) {
                hops.insert(i, window);
            }
            if let Some(c) = column_of(expr, input_schema)
                && input.times.contains(&c)
            {
                times.push(i);
            }
        }
        let retire = match input.retire {
            None => None,
            Some(r) => {
                let node_schema = self.graph.schema(input.node).clone();
                project.push(column_expr(&node_schema, r.time));
                fields.push(Field::new("__time", node_schema.field(r.time).data_type().clone(), true));
                Some(Retire { time: fields.len() - 1, after: r.after })
            }
        };
        let schema = Arc::new(Schema::new(fields));
        let node = self.add(Op::Map { input: input.node, filter: None, project: Some(project) }, schema, "project");
        Ok(Lowered { node, retire, windows, hops, times, ..input })
    }

    /// What an expression has to do with a window: a window's column, `tumble(event time, size)`, or that plus a constant.
    pub(super) fn window_of(&self, expr: &Expr, schema: &DFSchema, input: &Lowered) -> Option<Window> {
        match expr {
            Expr::Alias(a) => self.window_of(&a.expr, schema, input),
            // As another type it is another moment, or of another unit.
            Expr::Cast(c) if *c.field.data_type() == TIMESTAMP => self.window_of(&c.expr, schema, input),
            Expr::Column(_) => input.windows.get(&column_of(expr, schema)?).copied(),
            Expr::ScalarFunction(f) if f.func.name() == "tumble" => {
                let time = column_of(f.args.first()?, schema)?;
                let size = constant_micros(f.args.get(1)?)?;
                input.times.contains(&time).then_some(Window {
                    to_end: size as u64,
                    size: size as u64,
                    lateness: input.lateness,
                })
            }
            Expr::BinaryExpr(b) if b.op == datafusion::logical_expr::Operator::Plus => {
                let window = self.window_of(&b.left, schema, input)?;
                let added = u64::try_from(constant_micros(&b.right)?).ok()?;
                Some(Window { to_end: window.to_end.checked_sub(added)?, ..window })
            }
            _ => None,
        }
    }

    pub(super) fn unnest(&mut self, unnest: &Unnest) -> Result<Lowered> {
        let input = self.plan(&unnest.input)?;
        let [(column, list)] = unnest.list_type_columns.as_slice() else {
            return refuse(
                "unnest of several lists at once is not kept up to date",
                "unnest one list per query, and join",
                "unnest",
            );
        };
        if !unnest.struct_type_columns.is_empty() || list.depth != 1 {
            return refuse("unnest takes one list, one level deep", "unnest again in a second query", "unnest");
        }
        let width = unnest.schema.fields().len();
        let straight = unnest.dependency_indices.iter().enumerate().all(|(i, d)| i == *d);
        if !straight {
            return refuse(
                "unnest in this place is not kept up to date",
                "select it as a column of its own: SELECT a, unnest(list) AS x",
                "unnest",
            );
        }
        let node_schema = self.graph.schema(input.node).clone();
        let mut fields: Vec<Field> =
            loose(unnest.schema.as_arrow()).fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(node_schema.fields().iter().skip(width).map(|f| f.as_ref().clone()));
        let mut windows = input.windows.clone();
        windows.remove(column);
        let mut hops = input.hops.clone();
        windows.extend(hops.remove(column).map(|window| (*column, window)));
        let node = self.add(Op::Unnest { input: input.node, column: *column }, Arc::new(Schema::new(fields)), "unnest");
        Ok(Lowered { node, windows, hops, ..input })
    }
}

/// What `hop(event time, slide, size)` has to do with windows.
fn hop_of(expr: &Expr, schema: &DFSchema, input: &Lowered) -> Option<Window> {
    match expr {
        Expr::Alias(a) => hop_of(&a.expr, schema, input),
        Expr::Column(_) => input.hops.get(&column_of(expr, schema)?).copied(),
        Expr::ScalarFunction(f) if f.func.name() == "hop" => {
            let time = column_of(f.args.first()?, schema)?;
            let size = u64::try_from(constant_micros(f.args.get(2)?)?).ok()?;
            input.times.contains(&time).then_some(Window { to_end: size, size, lateness: input.lateness })
        }
        _ => None,
    }
}

/// `x AS y` as (y, x).
fn renaming(expr: &Expr) -> Option<(String, String)> {
    let Expr::Alias(a) = expr else { return None };
    match &*a.expr {
        Expr::Column(c) => Some((a.name.clone(), c.name.clone())),
        _ => None,
    }
}

/// The position of a column that an expression merely names.
pub(super) fn column_of(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(c) => schema.index_of_column(c).ok(),
        Expr::Alias(a) => column_of(&a.expr, schema),
        _ => None,
    }
}
