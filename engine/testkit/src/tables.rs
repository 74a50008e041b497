//! Three small tables for properties of queries: one with a key, one a multiset, one that never takes a row back.

use crate::query::{Retain, Table};

/// The tables `a`, `b` and `c`. The domains of their cells are small, so that rows meet.
pub const TABLES: [Table; 3] = [
    Table {
        name: "a",
        columns: &[
            ("id", "int64"),
            ("g", "utf8?"),
            ("x", "int64?"),
            ("f", "float64?"),
            ("at", "timestamp"),
            ("d", "decimal(10,2)?"),
        ],
        key: &[0],
        append_only: false,
        extra: "time: at\nlateness: 2s",
        retain: Retain::Forever,
    },
    Table {
        name: "b",
        columns: &[
            ("k", "int64?"),
            ("g", "utf8?"),
            ("y", "int64?"),
            ("h", "float64?"),
            ("ts", "timestamp?"),
            ("m", "decimal(6,1)?"),
            ("l", "list(int64?)?"),
        ],
        key: &[],
        append_only: false,
        extra: "",
        retain: Retain::Forever,
    },
    Table {
        name: "c",
        columns: &[("g", "utf8?"), ("z", "float64?"), ("ok", "bool?"), ("n", "int64"), ("l", "list(int64?)?")],
        key: &[],
        append_only: true,
        extra: "",
        retain: Retain::Forever,
    },
];
