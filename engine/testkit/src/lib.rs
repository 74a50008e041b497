//! Checks pipelines and the engine under a clock of their own: the `tests:` of pipelines, the laws that every operator
//! keeps, and a judge that answers any query from scratch.

pub mod batch;
pub mod compare;
pub mod content;
pub mod driver;
pub mod history;
pub mod laws;
pub mod query;
pub mod random_sql;
pub mod tables;
pub mod value;
pub mod yaml_tests;

pub use jarvis_runtime::cluster;
pub use yaml_tests::{Blessed, Failure, TestReport, TestResult, Variant, bless, run_tests};
