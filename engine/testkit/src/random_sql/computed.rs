//! Operators and functions, one of which an expression may end in.

use super::expression::Typed;
use super::{Column, Grower, Type};

impl Grower<'_> {
    /// Something computed from expressions that are one less deep.
    pub(super) fn computed(&mut self, of: Type, scope: &[Column], depth: usize) -> Typed {
        let depth = depth - 1;
        let sql = match of {
            Type::Float => return self.float(scope, depth),
            Type::Int => self.int(scope, depth),
            Type::Text => self.text(scope, depth),
            Type::Bool => format!("({})", self.predicate(scope, depth)),
            Type::Decimal => self.decimal(scope, depth),
            Type::List => self.list(scope, depth),
            Type::Time => self.time(scope, depth),
        };
        Typed::of(of, sql)
    }

    fn int(&mut self, scope: &[Column], depth: usize) -> String {
        let part = |g: &mut Self, of: Type| g.expression(of, scope, depth).sql;
        let (a, b) = (part(self, Type::Int), part(self, Type::Int));
        match self.pick(9) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {b})"),
            2 => format!("({a} * {})", 1 + self.pick(3)),
            3 => format!("abs({a})"),
            4 => format!("({a} % 3)"),
            5 => format!("CAST({} AS bigint)", part(self, Type::Decimal)),
            6 => format!("CAST(array_length({}) AS bigint)", part(self, Type::List)),
            7 => format!("({})[{}]", part(self, Type::List), 1 + self.pick(2)),
            _ => format!("CAST(character_length({}) AS bigint)", part(self, Type::Text)),
        }
    }

    fn float(&mut self, scope: &[Column], depth: usize) -> Typed {
        let part = |g: &mut Self, of: Type| g.expression(of, scope, depth);
        let (a, b) = (part(self, Type::Float), part(self, Type::Float));
        let (sql, exact) = match self.pick(5) {
            0 => (format!("({} + {})", a.sql, b.sql), a.exact && b.exact),
            1 => (format!("({} * 0.5)", a.sql), a.exact),
            2 => (format!("CAST({} AS double)", part(self, Type::Int).sql), true),
            // Tenths are no sums of powers of two.
            3 => (format!("CAST({} AS double)", part(self, Type::Decimal).sql), false),
            _ => (format!("({} / nullif({}, 0.0))", a.sql, b.sql), false),
        };
        Typed { exact, ..Typed::of(Type::Float, sql) }
    }

    fn text(&mut self, scope: &[Column], depth: usize) -> String {
        let part = |g: &mut Self, of: Type| g.expression(of, scope, depth).sql;
        let a = part(self, Type::Text);
        match self.pick(6) {
            0 => format!("upper({a})"),
            1 => format!("({a} || 'x')"),
            2 => format!("substr({a}, 1, 1)"),
            3 => format!("CAST({} AS text)", part(self, Type::Decimal)),
            4 => format!("array_to_string({}, ',')", part(self, Type::List)),
            _ => format!("CAST({} AS text)", part(self, Type::Int)),
        }
    }

    fn decimal(&mut self, scope: &[Column], depth: usize) -> String {
        let part = |g: &mut Self, of: Type| g.expression(of, scope, depth).sql;
        let (a, b) = (part(self, Type::Decimal), part(self, Type::Decimal));
        match self.pick(5) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {b})"),
            2 => format!("abs({a})"),
            3 => format!("(-{a})"),
            _ => format!("CAST({} AS decimal(12, 3))", part(self, Type::Int)),
        }
    }

    fn list(&mut self, scope: &[Column], depth: usize) -> String {
        let part = |g: &mut Self, of: Type| g.expression(of, scope, depth).sql;
        let (a, item) = (part(self, Type::List), part(self, Type::Int));
        match self.pick(6) {
            0 => format!("make_array({item})"),
            1 => format!("array_append({a}, {item})"),
            2 => format!("array_remove({a}, {item})"),
            3 => format!("array_distinct({a})"),
            4 => format!("array_concat({a}, {})", part(self, Type::List)),
            _ => format!("array_sort({a})"),
        }
    }

    fn time(&mut self, scope: &[Column], depth: usize) -> String {
        let a = self.expression(Type::Time, scope, depth).sql;
        match self.pick(3) {
            0 => format!("({a} + INTERVAL '1 second')"),
            1 => format!("tumble({a}, INTERVAL '4 seconds')"),
            _ => format!("date_trunc('minute', {a})"),
        }
    }
}
