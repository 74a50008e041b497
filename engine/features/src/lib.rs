//! Holds no code. Every member of the workspace depends on this crate, and it on every shared dependency, so that a
//! dependency has the same features whichever member is built: `cargo test -p X` reuses what the whole build made
//! instead of compiling DataFusion a second time.
