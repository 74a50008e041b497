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
    pub(super) fn of(of: Type, sql: String) -> Self {
        Typed { sql, of, exact: true, is_constant: false }
    }
}

impl Grower<'_> {
    /// A column of any type but lists, or something computed.
    pub(super) fn any(&mut self, scope: &[Column], depth: usize) -> Typed {
        let usable: Vec<&Column> = scope.iter().filter(|c| c.of != Type::List).collect();
        if usable.is_empty() || (depth > 0 && self.chance(3)) {
            let of = [Type::Int, Type::Float, Type::Text, Type::Bool, Type::Time, Type::Decimal][self.pick(6)];
            return self.expression(of, scope, depth);
        }
        let column = usable[self.pick(usable.len())];
        Typed { sql: column.sql.clone(), of: column.of, exact: column.exact, is_constant: false }
    }

    /// As [`Grower::any`], or a list.
    pub(super) fn any_or_list(&mut self, scope: &[Column], depth: usize) -> Typed {
        if scope.iter().any(|c| c.of == Type::List) && self.chance(5) {
            return self.expression(Type::List, scope, depth);
        }
        self.any(scope, depth)
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
            Type::Decimal => format!("CAST({}.25 AS decimal(10, 2))", self.pick(3)),
            Type::List => format!("make_array(CAST({} AS bigint), CAST(2 AS bigint))", self.pick(3)),
            Type::Time => format!("TIMESTAMP '2026-01-01T00:00:{:02}'", 2 * self.pick(20)),
        };
        Typed { sql, of, exact: true, is_constant: true }
    }

    pub(super) fn expression(&mut self, of: Type, scope: &[Column], depth: usize) -> Typed {
        if depth == 0 {
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
        if scope.iter().any(|c| c.of == Type::List) && self.chance(6) {
            return self.about_list(scope, depth);
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

    fn about_list(&mut self, scope: &[Column], depth: usize) -> String {
        let list = self.expression(Type::List, scope, depth).sql;
        match self.pick(5) {
            0 => format!("array_has({list}, {})", self.expression(Type::Int, scope, depth).sql),
            1 => format!("{list} IS NULL"),
            2 => format!("array_length({list}) > {}", self.pick(3)),
            3 => format!("({list})[1] = {}", self.expression(Type::Int, scope, depth).sql),
            _ => format!("{list} = {}", self.expression(Type::List, scope, depth).sql),
        }
    }
}
