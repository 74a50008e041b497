//! Checks pipelines and the engine under a clock of their own: the `tests:` of pipelines, the laws that every operator
//! keeps, and a judge that answers any query from scratch.

pub mod batch;
#[path = "../../runtime/src/cluster.rs"]
pub mod cluster;
pub mod compare;
pub mod content;
pub mod driver;
pub mod history;
pub mod query;
pub mod random_sql;
pub mod tables;
pub mod value;
