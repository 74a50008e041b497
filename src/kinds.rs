//! Everything that pipelines can name: the explicit list of all kinds of this program.

use jarvis_runtime::Kinds;
use serde_json::json;

/// The kinds of sources and sinks.
pub fn all() -> Kinds {
    Kinds { sources: jarvis_sources::kinds(), operators: jarvis_operators::kinds(), sinks: jarvis_sinks::kinds() }
}

/// What `sql:` takes, as the schemas of the other kinds say it for theirs.
pub fn sql_options() -> serde_json::Value {
    json!({
        "type": "string",
        "description": "A view: the SELECT whose result is kept up to date. Streams of the same file go by their names, \
            others are PIPELINE.STREAM."
    })
}
