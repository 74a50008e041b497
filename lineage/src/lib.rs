//! What has happened, kept on disk and open to SQL.
//!
//! A [`Recorder`] appends the changes of one stream to Parquet files below a data folder; [`open`] makes all of them
//! tables `lineage.PIPELINE.STREAM`. [`encode`] writes rows as JSON lines, CSV and Parquet, for queries and for sinks.
//!
//! ```text
//! DATA/streams/PIPELINE/STREAM/part-<lower>-<upper>.parquet    lower <= _time < upper, µs, 20 digits
//! ```
//!
//! The inputs of live runs are in `DATA/inputs`, laid out likewise; the newest of them still in `DATA/log`. A table holds
//! both.
//!
//! A row of a part is a row of the stream with its `_time` and its `_diff`: the stream at a time is the sum of the
//! diffs up to then. A file that does not end in `.parquet` is being written, or was when the process ended; it is not
//! part of the lineage.

mod archive;
mod bases;
mod catalog;
mod cold;
mod copies;
pub mod encode;
mod layout;
mod merge;
mod past;
pub mod proof;
mod query;
mod recorder;
mod retention;
mod session;
mod stream;

pub use archive::InputArchive;
pub use catalog::{DECISION, Lineage, lasting, open};
pub use cold::{Offloaded, Store, offload};
pub use copies::{Copied, copy};
pub use merge::{Merge, Merged, merge};
pub use past::{Past, beginnings, floors_at, past, past_for, pipelines_over_time};
pub use query::{QueryError, ResultFormat, query, write};
pub use recorder::{RecordError, Recorder, Roll, changes_batch, changes_schema};
pub use retention::{Keeping, Retained, retain};
pub use session::{session, session_in};
