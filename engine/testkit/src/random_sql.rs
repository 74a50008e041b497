//! Random queries out of the SQL that is kept up to date.
//!
//! A query is grown from *genes*, a list of bytes: each choice takes the next one, and a list that has run out gives
//! zeros. Zero always stands for the simplest choice, so shrinking the list shrinks the query.

mod computed;
mod expression;
mod relation;

use expression::Typed;

/// The types that expressions are grown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Int,
    Float,
    Text,
    Bool,
    Time,
    Decimal,
    /// Of integers, unless it comes out of `array_agg`; nothing is computed from that.
    List,
}

/// A column in reach.
#[derive(Clone, Debug)]
pub struct Column {
    /// As it is written: `t0.x`.
    pub sql: String,
    pub of: Type,
    /// Sums of it do not round: small multiples of powers of two.
    pub exact: bool,
}

/// A query and the columns it gives.
#[derive(Clone, Debug)]
pub struct Select {
    pub sql: String,
    /// Names, without a table.
    pub columns: Vec<Column>,
}

/// Grows queries over the tables `a`, `b` and `c` of [`crate::tables`].
pub struct Grower<'g> {
    genes: std::slice::Iter<'g, u8>,
    aliases: usize,
}

/// A query out of genes; `depth` bounds how far subqueries nest.
pub fn query(genes: &[u8], depth: usize) -> String {
    Grower { genes: genes.iter(), aliases: 0 }.query(depth, true).sql
}

/// Groups of windows over a stream that retains its rows for `seconds`, and the same as a query over a stream that
/// retains all of them: a group counts until that long after the end of its window.
pub fn windows(genes: &[u8], seconds: u64) -> (String, String) {
    let mut grower = Grower { genes: genes.iter(), aliases: 0 };
    let relation = grower.window();
    let column = |name: &str| {
        relation.columns.iter().find(|c| c.sql.ends_with(name)).map_or_else(String::new, |c| c.sql.clone())
    };
    let (start, end) = (column("window_start"), column("window_end"));
    let condition = if grower.chance(3) { grower.predicate(&relation.columns, 1) } else { "true".into() };
    let key = |sql: &str, of: Type| Typed { sql: sql.into(), of, exact: true, is_constant: false };
    let mut keys = vec![key(&start, Type::Time)];
    if grower.chance(2) {
        keys.insert(0, key(&end, Type::Time));
    }
    if grower.chance(2) {
        keys.push(key(&relation.columns[1].sql, Type::Text));
    }
    let retained = format!("{end} + INTERVAL '{seconds} seconds' > now()");
    let from = grower.genes.clone();
    let sql = grower.groups(&relation, &format!(" WHERE {condition}"), keys.clone(), true).sql;
    grower.genes = from;
    let judged = grower.groups(&relation, &format!(" WHERE {condition} AND {retained}"), keys, true).sql;
    (sql, judged)
}

impl Grower<'_> {
    /// A choice among `n`.
    fn pick(&mut self, n: usize) -> usize {
        usize::from(self.genes.next().copied().unwrap_or(0)) % n.max(1)
    }
    fn chance(&mut self, one_in: usize) -> bool {
        self.pick(one_in) == one_in - 1
    }
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases - 1)
    }

    /// A whole query. `outermost` queries may give lists.
    fn query(&mut self, depth: usize, outermost: bool) -> Select {
        if depth == 0 {
            return self.plain(0);
        }
        match self.pick(9) {
            0 | 1 => self.plain(depth),
            2 | 3 => self.grouped(depth, outermost),
            4 => {
                let inner = self.plain(depth);
                Select { sql: inner.sql.replacen("SELECT", "SELECT DISTINCT", 1), columns: inner.columns }
            }
            5 => self.union(depth),
            6 => self.top(depth),
            7 => self.ranked(depth),
            _ => self.with(depth),
        }
    }

    fn plain(&mut self, depth: usize) -> Select {
        let relation = self.relation(depth);
        let condition = self.where_clause(&relation, depth);
        let n = 1 + self.pick(4);
        let mut list = vec![];
        let mut columns = vec![];
        for i in 0..n {
            let e = self.any_or_list(&relation.columns, 2);
            list.push(format!("{} AS c{i}", e.sql));
            columns.push(Column { sql: format!("c{i}"), of: e.of, exact: e.exact });
        }
        Select { sql: format!("SELECT {} FROM {}{condition}", list.join(", "), relation.sql), columns }
    }

    fn grouped(&mut self, depth: usize, outermost: bool) -> Select {
        let relation = self.relation(depth);
        let condition = self.where_clause(&relation, depth);
        let keys: Vec<Typed> =
            (0..self.pick(3)).map(|_| self.any_or_list(&relation.columns, 1)).filter(|k| !k.is_constant).collect();
        self.groups(&relation, &condition, keys, outermost)
    }

    fn groups(&mut self, relation: &Select, condition: &str, keys: Vec<Typed>, outermost: bool) -> Select {
        let mut list = vec![];
        let mut columns = vec![];
        for (i, key) in keys.iter().enumerate() {
            list.push(format!("{} AS c{i}", key.sql));
            columns.push(Column { sql: format!("c{i}"), of: key.of, exact: key.exact });
        }
        for i in keys.len()..keys.len() + 1 + self.pick(3) {
            let call = self.call(&relation.columns, outermost);
            list.push(format!("{} AS c{i}", call.sql));
            columns.push(Column { sql: format!("c{i}"), of: call.of, exact: call.exact });
        }
        let mut sql = format!("SELECT {} FROM {}{condition}", list.join(", "), relation.sql);
        if !keys.is_empty() {
            sql += &format!(" GROUP BY {}", keys.iter().map(|k| k.sql.as_str()).collect::<Vec<_>>().join(", "));
        }
        if self.chance(3) {
            let having = match self.pick(3) {
                0 => format!("count(*) > {}", self.pick(4)),
                1 => {
                    let e = self.expression(Type::Int, &relation.columns, 1);
                    format!("sum({}) >= {}", e.sql, self.pick(4))
                }
                _ => {
                    let e = self.expression(Type::Text, &relation.columns, 0);
                    format!("max({}) IS NOT NULL", e.sql)
                }
            };
            sql += &format!(" HAVING {having}");
        }
        Select { sql, columns }
    }

    fn call(&mut self, scope: &[Column], outermost: bool) -> Typed {
        let filter = |g: &mut Self| {
            if g.chance(5) { format!(" FILTER (WHERE {})", g.predicate(scope, 1)) } else { String::new() }
        };
        let number = |g: &mut Self| {
            let of = [Type::Int, Type::Float, Type::Int, Type::Decimal][g.pick(4)];
            let e = g.expression(of, scope, 1);
            if e.exact { e } else { g.column(Type::Int, scope) }
        };
        let call = |sql: String, of: Type, exact: bool| Typed { sql, of, exact, is_constant: false };
        match self.pick(12) {
            0 => call(format!("count(*){}", filter(self)), Type::Int, true),
            1 => call(format!("count({}){}", self.any_or_list(scope, 1).sql, filter(self)), Type::Int, true),
            2 => {
                let e = number(self);
                call(format!("sum({}){}", e.sql, filter(self)), e.of, true)
            }
            3 => {
                let e = number(self);
                let of = if e.of == Type::Decimal { Type::Decimal } else { Type::Float };
                call(format!("avg({}){}", e.sql, filter(self)), of, e.of == Type::Decimal)
            }
            4 => {
                let e = self.any(scope, 1);
                call(format!("min({}){}", e.sql, filter(self)), e.of, e.exact)
            }
            5 => {
                let e = self.any(scope, 1);
                call(format!("max({}){}", e.sql, filter(self)), e.of, e.exact)
            }
            6 => call(format!("count(DISTINCT {}){}", self.any_or_list(scope, 1).sql, filter(self)), Type::Int, true),
            7 => call(format!("bool_and({})", self.predicate(scope, 1)), Type::Bool, true),
            8 => call(format!("bool_or({})", self.predicate(scope, 1)), Type::Bool, true),
            9 => {
                let e = number(self);
                call(format!("median({})", e.sql), e.of, false)
            }
            10 => {
                let (e, by) = (self.any(scope, 1), self.any(scope, 1));
                let direction = if self.chance(2) { " DESC" } else { "" };
                let function = if self.chance(2) { "last_value" } else { "first_value" };
                // Rows that are equal in both are equal in the value, so the answer is determined.
                let order = if by.sql == e.sql {
                    format!("{}{direction}", e.sql)
                } else {
                    format!("{}{direction}, {}", by.sql, e.sql)
                };
                call(format!("{function}({} ORDER BY {order})", e.sql), e.of, e.exact)
            }
            _ if outermost => {
                let e = self.any(scope, 1).sql;
                let order = ["".into(), format!(" ORDER BY {e}"), format!(" ORDER BY {e} DESC NULLS LAST")];
                call(format!("array_agg({e}{})", order[self.pick(3)]), Type::List, true)
            }
            _ => call("count(*)".into(), Type::Int, true),
        }
    }

    fn union(&mut self, depth: usize) -> Select {
        let first = self.query(depth - 1, false);
        let relation = self.relation(depth - 1);
        let list: Vec<String> = first
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| format!("{} AS c{i}", self.expression(c.of, &relation.columns, 1).sql))
            .collect();
        let condition = self.where_clause(&relation, 0);
        let op = ["UNION ALL", "UNION", "EXCEPT", "INTERSECT"][self.pick(4)];
        let alias = self.alias();
        let columns: Vec<String> = first.columns.iter().map(|c| c.sql.clone()).collect();
        let sql = format!(
            "SELECT {} FROM ({}) AS {alias} {op} SELECT {} FROM {}{condition}",
            columns.join(", "),
            first.sql,
            list.join(", "),
            relation.sql
        );
        let columns = first.columns.into_iter().map(|c| Column { exact: false, ..c }).collect();
        Select { sql, columns }
    }

    /// All columns are in the order, so that the first rows are determined.
    fn order(&mut self, columns: &[Column]) -> String {
        let start = self.pick(columns.len());
        let keys: Vec<String> = (0..columns.len())
            .map(|i| {
                let direction = ["", " DESC", " DESC NULLS LAST", " NULLS FIRST"][self.pick(4)];
                let column = &columns[(start + i) % columns.len()];
                match column.of {
                    // DataFusion does not always order lists by the same rule where nulls are in them.
                    Type::List => format!("array_to_string({}, ',', '?'){direction}", column.sql),
                    _ => format!("{}{direction}", column.sql),
                }
            })
            .collect();
        keys.join(", ")
    }

    fn top(&mut self, depth: usize) -> Select {
        let inner = self.query(depth - 1, false);
        let alias = self.alias();
        let order = self.order(&inner.columns);
        let offset = if self.chance(3) { format!(" OFFSET {}", 1 + self.pick(2)) } else { String::new() };
        let sql =
            format!("SELECT * FROM ({}) AS {alias} ORDER BY {order} LIMIT {}{offset}", inner.sql, 1 + self.pick(4));
        // In brackets, because it may stand in a UNION.
        let outer = self.alias();
        Select { sql: format!("SELECT * FROM ({sql}) AS {outer}"), columns: inner.columns }
    }

    fn ranked(&mut self, depth: usize) -> Select {
        let inner = self.query(depth - 1, false);
        let (alias, outer) = (self.alias(), self.alias());
        let order = self.order(&inner.columns);
        let partition = match self.pick(inner.columns.len() + 1) {
            0 => String::new(),
            n => format!("PARTITION BY {} ", inner.columns[n - 1].sql),
        };
        let bound = ["<= 2", "= 1", "< 4", "= 2"][self.pick(4)];
        let with_rank = self.chance(2);
        let names: Vec<&str> = inner.columns.iter().map(|c| c.sql.as_str()).collect();
        let shown = if with_rank { format!("{}, rn AS c{}", names.join(", "), names.len()) } else { names.join(", ") };
        let sql = format!(
            "SELECT {shown} FROM (SELECT *, row_number() OVER ({partition}ORDER BY {order}) AS rn FROM ({}) AS {alias}) AS {outer} WHERE rn {bound}",
            inner.sql
        );
        let rank = with_rank.then(|| Column { sql: format!("c{}", inner.columns.len()), of: Type::Int, exact: true });
        Select { sql, columns: inner.columns.into_iter().chain(rank).collect() }
    }

    fn with(&mut self, depth: usize) -> Select {
        let inner = self.query(depth - 1, false);
        let name = format!("w{}", self.aliases);
        let (left, right) = (self.alias(), self.alias());
        let qualified = |alias: &str| -> Vec<Column> {
            inner.columns.iter().map(|c| Column { sql: format!("{alias}.{}", c.sql), ..c.clone() }).collect()
        };
        let mut scope = qualified(&left);
        let from = if self.chance(2) {
            let key = self.pick(inner.columns.len());
            scope.extend(qualified(&right));
            format!(
                "{name} AS {left} JOIN {name} AS {right} ON {left}.{key} = {right}.{key}",
                key = inner.columns[key].sql
            )
        } else {
            format!("{name} AS {left}")
        };
        let (mut list, mut columns) = (vec![], vec![]);
        for i in 0..1 + self.pick(3) {
            let e = self.any_or_list(&scope, 1);
            list.push(format!("{} AS c{i}", e.sql));
            columns.push(Column { sql: format!("c{i}"), of: e.of, exact: e.exact });
        }
        Select { sql: format!("WITH {name} AS ({}) SELECT {} FROM {from}", inner.sql, list.join(", ")), columns }
    }
}
