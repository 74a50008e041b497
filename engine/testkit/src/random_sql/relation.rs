//! What stands behind FROM and WHERE.

use super::{Column, Grower, Select, Type};

const A: [(&str, Type); 6] = [
    ("id", Type::Int),
    ("g", Type::Text),
    ("f", Type::Float),
    ("x", Type::Int),
    ("at", Type::Time),
    ("d", Type::Decimal),
];
const B: [(&str, Type); 7] = [
    ("k", Type::Int),
    ("g", Type::Text),
    ("h", Type::Float),
    ("y", Type::Int),
    ("ts", Type::Time),
    ("m", Type::Decimal),
    ("l", Type::List),
];
const C: [(&str, Type); 5] =
    [("n", Type::Int), ("g", Type::Text), ("z", Type::Float), ("ok", Type::Bool), ("l", Type::List)];

fn named(sql: String, alias: &str, columns: &[(&str, Type)]) -> Select {
    let column = |(name, of): &(&str, Type)| Column { sql: format!("{alias}.{name}"), of: *of, exact: true };
    Select { sql, columns: columns.iter().map(column).collect() }
}

impl Grower<'_> {
    pub(super) fn relation(&mut self, depth: usize) -> Select {
        match if depth == 0 { self.pick(2) * 4 } else { self.pick(7) } {
            0 => self.table(),
            1 | 2 => self.join(depth),
            3 => {
                let inner = self.query(depth - 1, false);
                let alias = self.alias();
                let columns =
                    inner.columns.into_iter().map(|c| Column { sql: format!("{alias}.{}", c.sql), ..c }).collect();
                Select { sql: format!("({}) AS {alias}", inner.sql), columns }
            }
            4 => self.table(),
            5 => self.items(),
            _ => self.window(),
        }
    }

    fn table(&mut self) -> Select {
        let alias = self.alias();
        let (name, columns): (&str, &[(&str, Type)]) = match self.pick(3) {
            0 => ("b", &B),
            1 => ("a", &A),
            _ => ("c", &C),
        };
        named(format!("{name} AS {alias}"), &alias, columns)
    }

    /// A table's rows in windows by its time.
    pub(super) fn window(&mut self) -> Select {
        let alias = self.alias();
        let (table, time, columns): (&str, &str, &[(&str, Type)]) = match self.pick(3) {
            2 => ("b", "ts", &B[..4]),
            _ => ("a", "at", &A[..4]),
        };
        let function = match self.pick(2) {
            0 => format!("tumble({table}, {time}, INTERVAL '5 seconds')"),
            _ => format!("hop({table}, {time}, INTERVAL '3 seconds', INTERVAL '6 seconds')"),
        };
        let window = [("window_start", Type::Time), ("window_end", Type::Time)];
        named(format!("{function} AS {alias}"), &alias, &[columns, &window].concat())
    }

    /// The items of a table's lists.
    fn items(&mut self) -> Select {
        let alias = self.alias();
        let (table, columns): (&str, &[(&str, Type)]) = match self.pick(2) {
            0 => ("b", &[("k", Type::Int), ("m", Type::Decimal), ("item", Type::Int)]),
            _ => ("c", &[("n", Type::Int), ("g", Type::Text), ("item", Type::Int)]),
        };
        let sql = format!("(SELECT {}, {}, unnest(l) AS item FROM {table}) AS {alias}", columns[0].0, columns[1].0);
        named(sql, &alias, columns)
    }

    fn join(&mut self, depth: usize) -> Select {
        let left = if self.chance(3) { self.relation(depth - 1) } else { self.table() };
        let mut right = if self.chance(3) { self.relation(depth - 1) } else { self.table() };
        if right.sql.contains(" JOIN ") && !right.sql.starts_with('(') {
            right.sql = format!("({})", right.sql);
        }
        let kind = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "CROSS JOIN"]
            [self.pick(7)];
        let both: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
        let mut on = vec![];
        for _ in 0..1 + self.pick(2) {
            let of = [Type::Text, Type::Int, Type::Int, Type::Time, Type::Float, Type::Decimal][self.pick(6)];
            let depth = usize::from(self.chance(5));
            let op = if self.chance(6) { "IS NOT DISTINCT FROM" } else { "=" };
            on.push(format!(
                "({} {op} {})",
                self.expression(of, &left.columns, depth).sql,
                self.expression(of, &right.columns, 0).sql
            ));
        }
        if self.chance(3) {
            let residual = self.predicate(&both, 1);
            on.push(residual);
        }
        let on = if kind == "CROSS JOIN" { String::new() } else { format!(" ON {}", on.join(" AND ")) };
        let columns = if kind.contains("SEMI") || kind.contains("ANTI") { left.columns } else { both };
        Select { sql: format!("{} {kind} {}{on}", left.sql, right.sql), columns }
    }

    /// ` WHERE ...`, or nothing.
    pub(super) fn where_clause(&mut self, relation: &Select, depth: usize) -> String {
        let mut conditions = vec![];
        for _ in 0..self.pick(3) {
            let condition = match self.pick(8) {
                0..=4 => self.predicate(&relation.columns, 1),
                5 => self.timed(&relation.columns),
                _ if depth > 0 => self.subquery(&relation.columns),
                _ => self.predicate(&relation.columns, 0),
            };
            conditions.push(condition);
        }
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
    }

    /// A bound of `now()`.
    fn timed(&mut self, scope: &[Column]) -> String {
        // Of columns only: DataFusion moves a bound that reads none below a global aggregate, where it does not belong.
        if !scope.iter().any(|c| c.of == Type::Time) {
            return self.predicate(scope, 0);
        }
        let time = self.column(Type::Time, scope).sql;
        let seconds = 1 + self.pick(8);
        match self.pick(5) {
            0 => format!("{time} > now() - INTERVAL '{seconds} seconds'"),
            1 => format!("{time} <= now()"),
            2 => format!("{time} >= now() - INTERVAL '{seconds} seconds'"),
            3 => format!("{time} < now() + INTERVAL '{seconds} seconds'"),
            _ => format!("({time} BETWEEN now() - INTERVAL '{seconds} seconds' AND now())"),
        }
    }

    fn subquery(&mut self, scope: &[Column]) -> String {
        let inner = self.table();
        let of = [Type::Text, Type::Int][self.pick(2)];
        let (outer_key, inner_key) = (self.column(of, scope).sql, self.column(of, &inner.columns).sql);
        let own = self.predicate(&inner.columns, 0);
        let not = ["", "NOT "][self.pick(2)];
        let both: Vec<Column> = scope.iter().chain(&inner.columns).filter(|c| c.of != Type::List).cloned().collect();
        match self.pick(6) {
            0 => format!("{not}EXISTS (SELECT 1 FROM {} WHERE {inner_key} = {outer_key})", inner.sql),
            1 => format!("{outer_key} IN (SELECT {inner_key} FROM {} WHERE {own})", inner.sql),
            2 => format!(
                "{not}EXISTS (SELECT 1 FROM {} WHERE {inner_key} = {outer_key} AND {})",
                inner.sql,
                self.predicate(&both, 0)
            ),
            3 => {
                let (mine, theirs) = (self.column(Type::Int, scope).sql, self.column(Type::Int, &inner.columns).sql);
                let function = ["max", "min", "sum", "count"][self.pick(4)];
                format!("{mine} <= (SELECT {function}({theirs}) FROM {} WHERE {own})", inner.sql)
            }
            4 => format!("{not}EXISTS (SELECT 1 FROM {} WHERE {own})", inner.sql),
            _ => format!("(SELECT count(*) FROM {} WHERE {inner_key} = {outer_key}) > {}", inner.sql, self.pick(2)),
        }
    }
}
