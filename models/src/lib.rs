//! Models: where they come from, how they run, and what is learnt on top of them.

pub mod catalog;
pub mod convert;
mod packages;
pub mod picture;
pub mod runtime;
pub mod store;
pub mod vision;

pub use catalog::Catalog;
pub use runtime::{Model, Options, Provider};
pub use store::Store;
