//! Joins. Inner joins are one step; the others are made of inner joins: a row without a partner is a row, minus the
//! rows whose key (or, with further conditions, that themselves) have one.

use super::*;
use datafusion::common::{JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::Join;

/// One side of a join: its columns, then columns of its key that are computed.
struct Side {
    node: NodeId,
    key: Vec<usize>,
    width: usize,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<Lowered> {
        if join.null_aware
            && join.on.iter().any(|(l, r)| nullable(l, join.left.schema()) || nullable(r, join.right.schema()))
        {
            return refuse(
                "NOT IN over columns that may be null is never true once a null is among them",
                "write NOT EXISTS (SELECT ... WHERE ...), or declare the columns without ?",
                "IN",
            );
        }
        let (left, of_left) = self.side(&join.left, join.on.iter().map(|(l, _)| l.clone()).collect())?;
        let (right, of_right) = self.side(&join.right, join.on.iter().map(|(_, r)| r.clone()).collect())?;
        let windows = joined_windows(join.join_type, &of_left, &of_right, left.width);
        let nulls_match = join.null_equality == NullEquality::NullEqualsNull;
        let sides = Sides { left, right, nulls_match };
        let pairs_schema = pair_schema(join)?;
        let lowered = match join.join_type {
            JoinType::Inner => {
                let node = self.pairs(&sides, &loose(join.schema.as_arrow()));
                let append_only = of_left.append_only && of_right.append_only;
                let lowered = Lowered { append_only, windows, ..Lowered::plain(node) };
                return match &join.filter {
                    None => Ok(lowered),
                    Some(filter) => self.conditions(lowered, filter, &join.schema),
                };
            }
            JoinType::Left | JoinType::Right | JoinType::Full => self.outer(join, &sides, &pairs_schema)?,
            JoinType::LeftSemi => self.partnered(&sides.left, &sides, join, &pairs_schema, true)?,
            JoinType::RightSemi => self.partnered(&sides.right, &sides, join, &pairs_schema, false)?,
            JoinType::LeftAnti => self.alone(&sides.left, &sides, join, &pairs_schema, true)?,
            JoinType::RightAnti => self.alone(&sides.right, &sides, join, &pairs_schema, false)?,
            JoinType::LeftMark => self.marked(&sides.left, &sides, join, &pairs_schema, true)?,
            JoinType::RightMark => self.marked(&sides.right, &sides, join, &pairs_schema, false)?,
        };
        let schema = loose(join.schema.as_arrow());
        let node = self.rename(lowered, schema)?;
        Ok(Lowered { windows, ..Lowered::plain(node) })
    }

    fn side(&mut self, plan: &LogicalPlan, key: Vec<Expr>) -> Result<(Side, Lowered)> {
        let width = plan.schema().fields().len();
        let input = self.unbounded(plan)?;
        let input = self.retire(input, width)?;
        let (input, key) = self.with_columns(input, &key, plan.schema())?;
        Ok((Side { node: input.node, key, width }, input))
    }

    /// The inner join: all columns of both sides.
    fn pairs(&mut self, sides: &Sides, schema: &SchemaRef) -> NodeId {
        let output =
            (0..sides.left.width).map(JoinColumn::Left).chain((0..sides.right.width).map(JoinColumn::Right)).collect();
        self.equal(&sides.left, &sides.right, sides.nulls_match, output, schema.clone())
    }
    fn equal(
        &mut self,
        left: &Side,
        right: &Side,
        nulls_match: bool,
        output: Vec<JoinColumn>,
        schema: SchemaRef,
    ) -> NodeId {
        let op = Op::Join {
            left: left.node,
            right: right.node,
            left_key: left.key.clone(),
            right_key: right.key.clone(),
            nulls_match,
            output,
        };
        self.add(op, schema, "join")
    }
    /// The inner join with the further conditions of `ON`.
    fn matches(&mut self, join: &Join, sides: &Sides, pairs: &DFSchema) -> Result<NodeId> {
        let node = self.pairs(sides, &loose(pairs.as_arrow()));
        match &join.filter {
            None => Ok(node),
            Some(filter) => Ok(self.conditions(Lowered::plain(node), filter, pairs)?.node),
        }
    }

    /// Rows of one side that have a partner.
    fn partnered(
        &mut self,
        side: &Side,
        sides: &Sides,
        join: &Join,
        pairs: &DFSchema,
        is_left: bool,
    ) -> Result<NodeId> {
        let schema: SchemaRef = Arc::new(self.graph.schema(side.node).project(&(0..side.width).collect::<Vec<_>>())?);
        let output = (0..side.width).map(JoinColumn::Left).collect();
        let other = if is_left { &sides.right } else { &sides.left };
        let (me, partner, nulls_match) = if join.filter.is_none() {
            let keys = self.distinct_of(other.node, &other.key);
            let partner = Side { node: keys, key: (0..other.key.len()).collect(), width: 0 };
            (Side { node: side.node, key: side.key.clone(), width: side.width }, partner, sides.nulls_match)
        } else {
            let matched = self.matches(join, sides, pairs)?;
            let start = if is_left { 0 } else { sides.left.width };
            let rows = self.distinct_of(matched, &(start..start + side.width).collect::<Vec<_>>());
            let all: Vec<usize> = (0..side.width).collect();
            (
                Side { node: side.node, key: all.clone(), width: side.width },
                Side { node: rows, key: all, width: 0 },
                true,
            )
        };
        Ok(self.equal(&me, &partner, nulls_match, output, schema))
    }

    /// Rows of one side that have none.
    fn alone(&mut self, side: &Side, sides: &Sides, join: &Join, pairs: &DFSchema, is_left: bool) -> Result<NodeId> {
        let partnered = self.partnered(side, sides, join, pairs, is_left)?;
        let schema = self.graph.schema(partnered).clone();
        let all = self.columns(side.node, &(0..side.width).collect::<Vec<_>>(), "columns");
        let minus = self.add(Op::Negate { input: partnered }, schema.clone(), "without");
        Ok(self.add(Op::Union { inputs: vec![all, minus] }, schema, "without"))
    }

    /// All rows of one side, with a column that says whether there is a partner.
    fn marked(&mut self, side: &Side, sides: &Sides, join: &Join, pairs: &DFSchema, is_left: bool) -> Result<NodeId> {
        let yes = self.partnered(side, sides, join, pairs, is_left)?;
        let no = self.alone(side, sides, join, pairs, is_left)?;
        let schema = loose(join.schema.as_arrow());
        let inputs = [(yes, true), (no, false)]
            .map(|(node, mark)| self.padded(node, 0, vec![ScalarValue::Boolean(Some(mark))], side.width, &schema))
            .to_vec();
        Ok(self.add(Op::Union { inputs }, schema, "union"))
    }

    fn outer(&mut self, join: &Join, sides: &Sides, pairs: &DFSchema) -> Result<NodeId> {
        let schema = loose(join.schema.as_arrow());
        let matched = self.matches(join, sides, pairs)?;
        let mut inputs = vec![self.rename(matched, schema.clone())?];
        let nulls = |range: std::ops::Range<usize>| {
            range.map(|c| ScalarValue::try_new_null(schema.field(c).data_type())).collect::<Result<Vec<_>>>()
        };
        let (left, right) = (sides.left.width, sides.right.width);
        if join.join_type != JoinType::Right {
            let rows = self.alone(&sides.left, sides, join, pairs, true)?;
            let pad = nulls(left..left + right)?;
            inputs.push(self.padded(rows, 0, pad, left, &schema));
        }
        if join.join_type != JoinType::Left {
            let rows = self.alone(&sides.right, sides, join, pairs, false)?;
            let pad = nulls(0..left)?;
            inputs.push(self.padded(rows, left, pad, right, &schema));
        }
        Ok(self.add(Op::Union { inputs }, schema, "union"))
    }

    /// A side's columns, from position `at` on, beside constants.
    fn padded(
        &mut self,
        node: NodeId,
        at: usize,
        constants: Vec<ScalarValue>,
        width: usize,
        schema: &SchemaRef,
    ) -> NodeId {
        let given = self.graph.schema(node).clone();
        let columns = (0..width).map(|c| column_expr(&given, c));
        let constants = constants
            .into_iter()
            .map(|v| Arc::new(datafusion::physical_expr::expressions::Literal::new(v)) as Expression);
        let project =
            if at == 0 { columns.chain(constants).collect() } else { constants.chain(columns).collect::<Vec<_>>() };
        self.add(Op::Map { input: node, filter: None, project: Some(project) }, schema.clone(), "pad")
    }
}

struct Sides {
    left: Side,
    right: Side,
    nulls_match: bool,
}

/// Columns of windows keep being that through a join.
fn joined_windows(kind: JoinType, left: &Lowered, right: &Lowered, width: usize) -> HashMap<usize, Window> {
    match kind {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.windows.clone(),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.windows.clone(),
        _ => left
            .windows
            .iter()
            .map(|(c, w)| (*c, *w))
            .chain(right.windows.iter().map(|(c, w)| (c + width, *w)))
            .collect(),
    }
}

/// The columns that a join's condition sees: those of both sides, whatever the join puts out.
fn pair_schema(join: &Join) -> Result<DFSchema> {
    join.left.schema().join(join.right.schema())
}

fn nullable(expr: &Expr, schema: &DFSchema) -> bool {
    use datafusion::logical_expr::ExprSchemable;
    expr.nullable(schema).unwrap_or(true)
}
