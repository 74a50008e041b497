//! The graph on timely and differential dataflow: the only crate that names their types.
//!
//! Rows travel as Arrow batches between stateless steps, and as encoded byte rows through exchanges and in state. One
//! row type ([`row::Row`]), one time (`u64` µs), one weight (`i64`): the generics are compiled once.

pub mod columns;
pub mod delta;
pub mod encoded;
pub mod instance;
pub mod join;
pub mod ops;
pub mod output;
pub mod render;
pub mod row;
pub mod spine;
pub mod workers;

pub use delta::Delta;
pub use instance::Instance;
pub use ops::StepError;
pub use output::Closed;
