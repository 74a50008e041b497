//! What entered live runs, for good: ticks that the log no longer needs become Parquet.
//!
//! ```text
//! DATA/inputs/PIPELINE/STREAM/part-<lower>-<upper>.parquet    the rows that entered at lower <= _time < upper
//! DATA/inputs/system/ticks/part-<lower>-<upper>.parquet       the ticks themselves: written last, it makes all others count
//! ```

use crate::layout;
use crate::recorder::{Part, changes, changes_schema};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::DataFusionError;
use jarvis_log::{Batch, Folder, Tick, ticks};
use jarvis_runtime::Archive;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The stream of the ticks: `_time`, and the tick before, `previous`.
pub(crate) const TICKS: &str = "system.ticks";

/// The inputs below a data folder.
#[derive(Clone, Debug)]
pub struct InputArchive {
    data: PathBuf,
}

/// All inputs at one moment. What the archive has of them does not change any more.
#[derive(Debug)]
pub(crate) struct Now {
    archive: InputArchive,
    /// Where the archive ends, µs.
    until: u64,
    /// What is still in the log, by stream.
    recent: BTreeMap<String, Vec<RecordBatch>>,
}

impl Now {
    /// The names of all streams: `pipeline.stream`.
    pub fn streams(&self) -> std::io::Result<BTreeSet<String>> {
        Ok(self.archive.all_streams()?.into_iter().chain(self.recent.keys().cloned()).collect())
    }
    /// What the archive has of a stream, and what is still in the log.
    pub fn stream(&self, stream: &str) -> std::io::Result<(Vec<PathBuf>, Vec<RecordBatch>)> {
        let recent = self.recent.get(stream).cloned().unwrap_or_default();
        Ok((self.archive.parts(stream, self.until)?, recent))
    }
}

/// The part of a stream that is being written.
struct Writing {
    folder: PathBuf,
    /// As the rows came.
    given: SchemaRef,
    schema: SchemaRef,
    part: Part,
}

impl InputArchive {
    pub fn new(data: &Path) -> Self {
        InputArchive { data: data.to_owned() }
    }

    /// Everything before this time is in the archive, µs.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn until(&self) -> std::io::Result<u64> {
        let parts = layout::parts(&self.folder(TICKS))?;
        Ok(parts.last().and_then(|part| layout::upper(part)).unwrap_or(0))
    }

    /// Removes what a killed process has begun: parts that no tick has made count.
    fn clean(&self, until: u64) -> anyhow::Result<()> {
        for stream in self.all_streams()? {
            let folder = self.folder(&stream);
            let late = layout::parts(&folder)?.into_iter().filter(|p| layout::upper(p).is_none_or(|u| u > until));
            for part in late.chain(layout::unfinished(&folder)?) {
                fs::remove_file(&part)?;
            }
        }
        Ok(())
    }

    /// What is there now, though a run may be moving ticks from the log to the archive meanwhile.
    ///
    /// # Errors
    /// A folder or the log cannot be read.
    pub(crate) fn now(&self) -> Result<Now, DataFusionError> {
        loop {
            let until = self.until()?;
            let recent = self.recent(until);
            if self.until()? == until {
                return Ok(Now { archive: self.clone(), until, recent: recent? });
            }
        }
    }

    /// The names of all streams in the archive.
    pub(crate) fn all_streams(&self) -> std::io::Result<Vec<String>> {
        let (root, mut streams) = (layout::inputs(&self.data), vec![]);
        for pipeline in layout::folders(&root)? {
            let here = layout::folders(&root.join(&pipeline))?;
            streams.extend(here.iter().map(|stream| format!("{pipeline}.{stream}")));
        }
        Ok(streams)
    }

    /// The parts of a stream that count.
    pub(crate) fn parts(&self, stream: &str, until: u64) -> std::io::Result<Vec<PathBuf>> {
        let parts = layout::parts(&self.folder(stream))?;
        Ok(parts.into_iter().filter(|p| layout::upper(p).is_some_and(|u| u <= until)).collect())
    }

    /// What entered since and is still in the log, by stream.
    fn recent(&self, until: u64) -> Result<BTreeMap<String, Vec<RecordBatch>>, DataFusionError> {
        let outside = |e: &dyn std::fmt::Display| DataFusionError::Execution(format!("the log cannot be read: {e}"));
        let since = until.saturating_sub(1);
        let mut recent: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        let (mut times, mut previous) = (vec![], vec![]);
        for tick in ticks(&Folder::below(&self.data), since).map_err(|e| outside(&e))? {
            let tick = tick.map_err(|e| outside(&e))?;
            times.push(tick.time as i64);
            previous.push(tick.previous as i64);
            for Batch { stream, rows, diffs, .. } in tick.batches {
                let schema = changes_schema(&rows.schema());
                let times = std::iter::repeat_n(tick.time, rows.num_rows());
                recent.entry(stream).or_default().push(changes(&schema, times, &diffs, &rows)?);
            }
        }
        if !times.is_empty() {
            let rows = tick_rows(times, previous).map_err(|e| outside(&e))?;
            recent.insert(TICKS.to_owned(), vec![rows]);
        }
        Ok(recent)
    }

    fn folder(&self, stream: &str) -> PathBuf {
        let (pipeline, name) = stream.split_once('.').unwrap_or(("system", stream));
        layout::inputs(&self.data).join(pipeline).join(name)
    }

    fn begin(&self, stream: &str, given: &SchemaRef, time: u64) -> anyhow::Result<Writing> {
        let folder = self.folder(stream);
        fs::create_dir_all(&folder)?;
        let schema = changes_schema(given);
        let part = Part::new(&folder, schema.clone(), time)?;
        Ok(Writing { folder, given: given.clone(), schema, part })
    }
}

impl Archive for InputArchive {
    fn keep(&self, log: &Folder, upto: u64) -> anyhow::Result<()> {
        let (lower, upper) = (self.until()?, upto + 1);
        self.clean(lower)?;
        let mut writing: BTreeMap<String, Writing> = BTreeMap::new();
        let (mut times, mut previous) = (vec![], vec![]);
        for tick in ticks(log, lower.saturating_sub(1))? {
            let tick: Tick = tick?;
            if tick.time > upto {
                break;
            }
            times.push(tick.time as i64);
            previous.push(tick.previous as i64);
            for Batch { stream, rows, diffs, .. } in tick.batches {
                // A stream that has got other columns begins another part.
                let is_other = writing.get(&stream).is_some_and(|w| w.given != rows.schema());
                if is_other && let Some(old) = writing.remove(&stream) {
                    old.part.close(&old.folder)?;
                }
                let into = match writing.entry(stream) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let new = self.begin(entry.key(), &rows.schema(), tick.time)?;
                        entry.insert(new)
                    }
                };
                let times = std::iter::repeat_n(tick.time, rows.num_rows());
                into.part.write(&changes(&into.schema, times, &diffs, &rows)?, upper)?;
            }
        }
        for Writing { folder, part, .. } in writing.into_values() {
            part.close(&folder)?;
        }
        let Some(first) = times.first().copied() else { return Ok(()) };
        let folder = self.folder(TICKS);
        fs::create_dir_all(&folder)?;
        let rows = tick_rows(times, previous)?;
        let mut part = Part::new(&folder, rows.schema(), first as u64)?;
        part.write(&rows, upper)?;
        Ok(part.close(&folder)?)
    }
}

fn tick_rows(times: Vec<i64>, previous: Vec<i64>) -> anyhow::Result<RecordBatch> {
    let field = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), false);
    let diffs: ArrayRef = Arc::new(Int64Array::from(vec![1; times.len()]));
    let column = |values: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(values)) as ArrayRef;
    let fields = vec![field("_time"), Field::new("_diff", DataType::Int64, false), field("previous")];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![column(times), diffs, column(previous)])?)
}
