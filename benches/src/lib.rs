//! Speed of the engine, measured against programs written by hand for the same data.
//!
//! `generate` writes the data, `twins` are the hand-written programs, `compare` runs both, checks that they agree
//! and prints the ratio. `README.md` says what each workload measures and how to run it.

pub mod clock;
pub mod compare;
pub mod drive;
pub mod figures;
pub mod generate;
pub mod mapped;
pub mod mqtt;
pub mod operators;
pub mod outcome;
pub mod random;
pub mod text;
pub mod twins;
pub mod usage;
pub mod workload;
