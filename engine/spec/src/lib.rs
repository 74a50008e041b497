//! The pipeline language: YAML in, a spanned [`Pipeline`] or [`Diagnostics`] out.
//!
//! Nothing here knows a kind of source, operator or sink: the part of the text below a kind's key stays a
//! [`Node`], a YAML value that remembers where it was written, until the kind deserializes its own options.

mod deserialize;
mod deserialize_error;
pub mod diagnostic;
pub mod duration;
pub mod env;
pub mod language;
mod nearest;
pub mod node;
pub mod parse;
pub mod pipeline;
pub mod schema;
mod snippet;
pub mod source_text;
mod written;
mod yaml;
mod yaml_error;

pub use diagnostic::{Diagnostic, Diagnostics, Note, Severity};
pub use env::Secret;
pub use language::json_schema;
pub use nearest::nearest;
pub use node::Node;
pub use parse::{parse_pipeline, parse_with_answering};
pub use pipeline::*;
pub use source_text::{Place, SourceText, Span, Spanned};
