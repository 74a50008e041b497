//! Where rows come from: one file per kind of source, and the decoders that they share.

pub mod decode;
