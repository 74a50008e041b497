//! What entered live runs, for good: ticks that the log no longer needs become Parquet.
//!
//! ```text
//! DATA/inputs/PIPELINE/STREAM/part-<lower>-<upper>.parquet    the rows that entered at lower <= _time < upper
//! DATA/inputs/system/ticks/part-<lower>-<upper>.parquet       the ticks themselves: written last, it makes all others count
//! ```

use crate::layout;
use crate::proof::Notary;
use crate::recorder::{Part, changes, changes_schema};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::DataFusionError;
use jarvis_log::{Batch, Folder, Tick, Witness, ticks};
use jarvis_runtime::Archive;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The stream of the ticks: `_time`, and the tick before, `previous`.
pub(crate) const TICKS: &str = "system.ticks";
/// What the log knows of sinks: `sink`, and before which time, `until`, everything has been delivered.
pub(crate) const DELIVERIES: &str = "system.deliveries";

/// The inputs below a data folder.
#[derive(Clone, Debug)]
pub struct InputArchive {
    data: PathBuf,
    /// How often history is signed.
    sign: Duration,
}

/// All inputs at one moment. What the archive has of them does not change any more.
#[derive(Debug)]
pub(crate) struct Now {
    /// What the archive has, by stream.
    parts: BTreeMap<String, Vec<PathBuf>>,
    /// What is still in the log, by stream.
    recent: BTreeMap<String, Vec<RecordBatch>>,
}

impl Now {
    /// The names of all streams: `pipeline.stream`.
    pub fn streams(&self) -> BTreeSet<String> {
        self.parts.keys().chain(self.recent.keys()).cloned().collect()
    }
    /// What the archive has of a stream, and what is still in the log.
    pub fn stream(&self, stream: &str) -> (Vec<PathBuf>, Vec<RecordBatch>) {
        let recent = self.recent.get(stream).cloned().unwrap_or_default();
        (self.parts.get(stream).cloned().unwrap_or_default(), recent)
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
    /// The archive of a data folder, which need not be there; it signs history every minute.
    pub fn new(data: &Path) -> Self {
        InputArchive { data: data.to_owned(), sign: Duration::from_secs(60) }
    }

    /// One that signs history so often, instead of every minute.
    pub fn signing_every(self, sign: Duration) -> Self {
        InputArchive { sign, ..self }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Everything before this time is in the archive, µs.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn until(&self) -> std::io::Result<u64> {
        let parts = layout::parts(&self.folder(TICKS))?;
        Ok(parts.iter().filter_map(|part| layout::upper(part)).max().unwrap_or(0))
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
            let streams = self.all_streams()?.into_iter();
            let parts = streams.map(|stream| Ok((stream.clone(), self.parts(&stream, until)?)));
            let parts: BTreeMap<String, Vec<PathBuf>> = parts.collect::<std::io::Result<_>>()?;
            if self.until()? == until {
                return Ok(Now { parts, recent: recent? });
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
        let mut known = Known::default();
        for tick in ticks(&Folder::below(&self.data), since).map_err(|e| outside(&e))? {
            let tick = tick.map_err(|e| outside(&e))?;
            known.add(&tick);
            for Batch { stream, rows, diffs, .. } in tick.batches {
                let schema = changes_schema(&rows.schema());
                let times = std::iter::repeat_n(tick.time, rows.num_rows());
                recent.entry(stream).or_default().push(changes(&schema, times, &diffs, &rows)?);
            }
        }
        let rows = known.rows().map_err(|e| outside(&e))?;
        recent.extend(rows.into_iter().map(|(stream, rows)| (stream.to_owned(), vec![rows])));
        Ok(recent)
    }

    pub(crate) fn folder(&self, stream: &str) -> PathBuf {
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
        let _lock = layout::try_lock(&self.data)?;
        let (lower, upper) = (self.until()?, upto + 1);
        self.clean(lower)?;
        let mut writing: BTreeMap<String, Writing> = BTreeMap::new();
        let mut known = Known::default();
        for tick in ticks(log, lower.saturating_sub(1))? {
            let tick: Tick = tick?;
            if tick.time > upto {
                break;
            }
            known.add(&tick);
            for Batch { stream, rows, diffs, .. } in tick.batches {
                // A stream that has got other columns begins another part, and the old one ends there.
                let is_other = writing.get(&stream).is_some_and(|w| w.given != rows.schema());
                if is_other && let Some(old) = writing.remove(&stream) {
                    old.part.close_before(tick.time, &old.folder)?;
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
        let Some(first) = known.times.first().map(|time| *time as u64) else { return Ok(()) };
        // The ticks come last.
        for (stream, rows) in known.rows()? {
            let folder = self.folder(stream);
            fs::create_dir_all(&folder)?;
            let mut part = Part::new(&folder, rows.schema(), first)?;
            part.write(&rows, upper)?;
            part.close(&folder)?;
        }
        Ok(())
    }

    fn has_checkpoint(&self, log: &Folder) -> anyhow::Result<()> {
        let _lock = layout::try_lock(&self.data)?;
        self.keep_base(log)
    }

    fn witness(&self) -> anyhow::Result<Option<Box<dyn Witness>>> {
        Ok(Some(Box::new(Notary::start(&self.data, self.sign)?)))
    }
}

/// What ticks say besides the rows of streams.
#[derive(Default)]
struct Known {
    times: Vec<i64>,
    previous: Vec<i64>,
    delivered: Vec<(i64, String, i64)>,
}

impl Known {
    fn add(&mut self, tick: &Tick) {
        self.times.push(tick.time as i64);
        self.previous.push(tick.previous as i64);
        let delivered = tick.delivered.iter().map(|(sink, until)| (tick.time as i64, sink.clone(), *until as i64));
        self.delivered.extend(delivered);
    }
    /// As streams; the ticks are the last one.
    fn rows(self) -> anyhow::Result<Vec<(&'static str, RecordBatch)>> {
        let mut streams = vec![];
        if !self.delivered.is_empty() {
            let (times, told): (Vec<i64>, Vec<_>) = self.delivered.into_iter().map(|(t, s, u)| (t, (s, u))).unzip();
            let (sinks, until): (Vec<String>, Vec<i64>) = told.into_iter().unzip();
            let columns = vec![
                (Field::new("sink", DataType::Utf8, false), Arc::new(StringArray::from(sinks)) as ArrayRef),
                (time_field("until"), time_column(until)),
            ];
            streams.push((DELIVERIES, with_times(times, columns)?));
        }
        if !self.times.is_empty() {
            let columns = vec![(time_field("previous"), time_column(self.previous))];
            streams.push((TICKS, with_times(self.times, columns)?));
        }
        Ok(streams)
    }
}

/// Rows that came once each, at these times.
fn with_times(times: Vec<i64>, columns: Vec<(Field, ArrayRef)>) -> anyhow::Result<RecordBatch> {
    let diffs: ArrayRef = Arc::new(Int64Array::from(vec![1; times.len()]));
    let own = [(time_field("_time"), time_column(times)), (Field::new("_diff", DataType::Int64, false), diffs)];
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = own.into_iter().chain(columns).unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn time_field(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), false)
}

fn time_column(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values))
}
