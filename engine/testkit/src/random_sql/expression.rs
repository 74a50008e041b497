//! Scalar expressions and conditions that cannot fail.

use super::{Column, Grower, Type};

/// An expression with its type.
#[derive(Clone, Debug)]
pub struct Typed {
    pub sql: String,
    pub of: Type,
    /// See [`Column::exact`].
    pub exact: bool,
    /// It reads no column.
    pub is_constant: bool,
}

impl Typed {
    fn of(of: Type, sql: String) -> Self {
        Typed { sql, of, exact: true, is_constant: false }
    }
}

impl Grower<'_> {
    /// A column of any type but lists, or something computed.
    pub(super) fn any(&mut self, scope: &[Column], depth: usize) -> Typed {
        let usable: Vec<&Column> = scope.iter().filter(|c| c.of != Type::List).collect();
        if usable.is_empty() || (depth > 0 && self.chance(3)) {
            let of = [Type::Int, Type::Float, Type::Text, Type::Bool, Type::Time][self.pick(5)];
            return self.expression(of, scope, depth);
        }
        let column = usable[self.pick(usable.len())];
        Typed { sql: column.sql.clone(), of: column.of, exact: column.exact, is_constant: false }
    }

    /// A column of this type, or a constant if there is none.
    pub(super) fn column(&mut self, of: Type, scope: &[Column]) -> Typed {
        let usable: Vec<&Column> = scope.iter().filter(|c| c.of == of).collect();
        match usable.len() {
            0 => self.constant(of),
            n => {
                let column = usable[self.pick(n)];
                Typed { sql: column.sql.clone(), of, exact: column.exact, is_constant: false }
            }
        }
    }

    fn constant(&mut self, of: Type) -> Typed {
        let sql = match of {
            Type::Int => format!("CAST({} AS bigint)", self.pick(5)),
            Type::Float => format!("CAST({}.5 AS double)", self.pick(3)),
            Type::Text => ["'a'", "'b'", "'bb'", "''"][self.pick(4)].into(),
            Type::Bool => ["true", "false"][self.pick(2)].into(),
            Type::Time | Type::List => format!("TIMESTAMP '2026-01-01T00:00:{:02}'", 2 * self.pick(20)),
        };
        Typed { sql, of, exact: true, is_constant: true }
    }

    pub(super) fn expression(&mut self, of: Type, scope: &[Column], depth: usize) -> Typed {
        if depth == 0 || of == Type::List {
            return self.column(of, scope);
        }
        match self.pick(8) {
            0..=2 => self.column(of, scope),
            3 => self.constant(of),
            4 => {
                let (then, other) = (self.expression(of, scope, depth - 1), self.expression(of, scope, depth - 1));
                let when = self.predicate(scope, depth - 1);
                let exact = then.exact && other.exact;
                Typed { exact, ..Typed::of(of, format!("CASE WHEN {when} THEN {} ELSE {} END", then.sql, other.sql)) }
            }
            5 => {
                let (first, second) = (self.column(of, scope), self.expression(of, scope, depth - 1));
                let exact = first.exact && second.exact;
                let function = if self.chance(2) { "nullif" } else { "coalesce" };
                Typed { exact, ..Typed::of(of, format!("{function}({}, {})", first.sql, second.sql)) }
            }
            _ => self.computed(of, scope, depth),
        }
    }

    fn computed(&mut self, of: Type, scope: &[Column], depth: usize) -> Typed {
        let part = |g: &mut Self, of: Type| g.expression(of, scope, depth - 1);
        match of {
            Type::Int => {
                let (a, b) = (part(self, Type::Int), part(self, Type::Int));
                let sql = match self.pick(6) {
                    0 => format!("({} + {})", a.sql, b.sql),
                    1 => format!("({} - {})", a.sql, b.sql),
                    2 => format!("({} * {})", a.sql, 1 + self.pick(3)),
                    3 => format!("abs({})", a.sql),
                    4 => format!("({} % 3)", a.sql),
                    _ => format!("CAST(character_length({}) AS bigint)", part(self, Type::Text).sql),
                };
                Typed::of(of, sql)
            }
            Type::Float => {
                let (a, b) = (part(self, Type::Float), part(self, Type::Float));
                let exact = a.exact && b.exact;
                match self.pick(4) {
                    0 => Typed { exact, ..Typed::of(of, format!("({} + {})", a.sql, b.sql)) },
                    1 => Typed { exact: a.exact, ..Typed::of(of, format!("({} * 0.5)", a.sql)) },
                    2 => Typed::of(of, format!("CAST({} AS double)", part(self, Type::Int).sql)),
                    _ => Typed { exact: false, ..Typed::of(of, format!("({} / nullif({}, 0.0))", a.sql, b.sql)) },
                }
            }
            Type::Text => {
                let a = part(self, Type::Text);
                Typed::of(
                    of,
                    match self.pick(4) {
                        0 => format!("upper({})", a.sql),
                        1 => format!("({} || 'x')", a.sql),
                        2 => format!("substr({}, 1, 1)", a.sql),
                        _ => format!("CAST({} AS text)", part(self, Type::Int).sql),
                    },
                )
            }
            Type::Bool => {
                let sql = self.predicate(scope, depth - 1);
                Typed::of(of, format!("({sql})"))
            }
            Type::Time | Type::List => {
                let a = part(self, Type::Time);
                Typed::of(
                    of,
                    match self.pick(3) {
                        0 => format!("({} + INTERVAL '1 second')", a.sql),
                        1 => format!("tumble({}, INTERVAL '4 seconds')", a.sql),
                        _ => format!("date_trunc('minute', {})", a.sql),
                    },
                )
            }
        }
    }

    /// A condition without subqueries and without `now()`.
    pub(super) fn predicate(&mut self, scope: &[Column], depth: usize) -> String {
        if depth > 0 {
            match self.pick(8) {
                0 => return format!("({} AND {})", self.predicate(scope, depth - 1), self.predicate(scope, depth - 1)),
                1 => return format!("({} OR {})", self.predicate(scope, depth - 1), self.predicate(scope, depth - 1)),
                2 => return format!("NOT ({})", self.predicate(scope, depth - 1)),
                _ => {}
            }
        }
        let left = self.any(scope, depth);
        match self.pick(8) {
            0..=3 => {
                let op = ["=", "<", "<=", ">", ">=", "<>"][self.pick(6)];
                format!("{} {op} {}", left.sql, self.expression(left.of, scope, depth).sql)
            }
            4 => format!("{} IS NULL", left.sql),
            5 => format!("{} IS NOT NULL", left.sql),
            6 => {
                let (low, high) = (self.constant(left.of), self.expression(left.of, scope, depth));
                match left.of {
                    Type::Text => format!("{} LIKE '%b%'", left.sql),
                    Type::Bool => left.sql,
                    _ => format!("({} BETWEEN {} AND {})", left.sql, low.sql, high.sql),
                }
            }
            _ => {
                let right = self.expression(left.of, scope, depth);
                format!("({} IS DISTINCT FROM {})", left.sql, right.sql)
            }
        }
    }
}
