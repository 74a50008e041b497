//! What entered, tick by tick, out of the archive and the log.

use crate::archive::{InputArchive, TICKS};
use crate::layout;
use anyhow::Context;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use jarvis_log::{Batch, Folder, Tick, ticks};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::Path;

/// Reads all ticks below a data folder, in order. What a run that goes on adds meanwhile may or may not be among them.
///
/// # Errors
/// There is nothing, or it cannot be read.
pub fn past(data: &Path) -> anyhow::Result<Past> {
    let archive = InputArchive::new(data);
    let until = archive.until()?;
    let log = Folder::below(data);
    if until == 0 && !log.path().is_dir() {
        anyhow::bail!("nothing was kept in {}: run pipelines with --data {}", data.display(), data.display());
    }
    let stretches = archive.stretches(until)?.into();
    Ok(Past { archive, log, stretches, until, ticks: VecDeque::new(), recent: None, last: None })
}

/// The ticks of a data folder.
pub struct Past {
    archive: InputArchive,
    log: Folder,
    /// Where the stretches of the archive that are still to be read end.
    stretches: VecDeque<u64>,
    /// Where the archive ends.
    until: u64,
    ticks: VecDeque<Tick>,
    recent: Option<Box<dyn Iterator<Item = Result<Tick, jarvis_log::LogError>>>>,
    /// The time of the last tick.
    last: Option<u64>,
}

impl Past {
    fn next_tick(&mut self) -> anyhow::Result<Option<Tick>> {
        loop {
            if let Some(tick) = self.ticks.pop_front() {
                return Ok(Some(tick));
            }
            if let Some(upper) = self.stretches.pop_front() {
                self.ticks = self.archive.ticks(upper)?;
                continue;
            }
            if let Some(recent) = &mut self.recent {
                return Ok(recent.next().transpose()?);
            }
            // A run that goes on may have moved ticks from the log to the archive meanwhile.
            let recent = ticks(&self.log, self.until.saturating_sub(1))?;
            let until = self.archive.until()?;
            if until == self.until {
                self.recent = Some(Box::new(recent));
            } else {
                let new = self.archive.stretches(until)?.into_iter().filter(|upper| *upper > self.until);
                self.stretches.extend(new);
                self.until = until;
            }
        }
    }
    /// Every tick says which was before it.
    fn check(&mut self, tick: &Tick) -> anyhow::Result<()> {
        let last = self.last.replace(tick.time);
        if let Some(last) = last.filter(|last| *last != tick.previous) {
            anyhow::bail!("ticks are missing between {last} and {} (µs): part of the history was removed", tick.time);
        }
        Ok(())
    }
}

impl Iterator for Past {
    type Item = anyhow::Result<Tick>;
    fn next(&mut self) -> Option<Self::Item> {
        let tick = self.next_tick().transpose()?;
        Some(tick.and_then(|tick| self.check(&tick).map(|()| tick)))
    }
}

impl InputArchive {
    /// Where the stretches of time end that were archived at once, µs.
    fn stretches(&self, until: u64) -> std::io::Result<Vec<u64>> {
        let parts = self.parts(TICKS, until)?;
        Ok(parts.iter().filter_map(|part| layout::upper(part)).collect())
    }

    /// The ticks of the stretch that ends at `upper`.
    fn ticks(&self, upper: u64) -> anyhow::Result<VecDeque<Tick>> {
        let mut all: BTreeMap<u64, Tick> = BTreeMap::new();
        self.each(TICKS, upper, |rows| {
            let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
            let previous = rows.column(2).as_primitive::<TimestampMicrosecondType>();
            for (time, previous) in times.values().iter().zip(previous.values()) {
                let (time, previous) = (*time as u64, *previous as u64);
                all.insert(time, Tick { time, previous, ..Tick::default() });
            }
            Ok(())
        })?;
        // Places order the rows of one tick.
        let mut places: HashMap<String, u64> = HashMap::new();
        for stream in self.all_streams()?.into_iter().filter(|s| s != TICKS) {
            self.each(&stream, upper, |rows| {
                let times = rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
                let diffs = rows.column(1).as_primitive::<Int64Type>().values().to_vec();
                let content = rows.project(&(2..rows.num_columns()).collect::<Vec<_>>())?;
                let mut start = 0;
                while start < times.len() {
                    let time = times[start];
                    let count = times[start..].iter().take_while(|t| **t == time).count();
                    let place = places.entry(stream.clone()).or_default();
                    let batch = Batch {
                        stream: stream.clone(),
                        place: *place,
                        rows: content.slice(start, count),
                        diffs: diffs[start..start + count].to_vec(),
                    };
                    *place += count as u64;
                    start += count;
                    let tick = all.get_mut(&(time as u64)).context("rows of a tick that is not in the archive")?;
                    tick.batches.push(batch);
                }
                Ok(())
            })?;
        }
        Ok(all.into_values().collect())
    }

    /// Reads what a stretch that ends at `upper` has of a stream.
    fn each(
        &self,
        stream: &str,
        upper: u64,
        mut with: impl FnMut(&RecordBatch) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for part in self.parts(stream, upper)?.iter().filter(|p| layout::upper(p) == Some(upper)) {
            let damaged = || format!("{} cannot be read", part.display());
            let file = File::open(part).with_context(damaged)?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).with_context(damaged)?;
            for rows in reader.with_batch_size(8192).build().with_context(damaged)? {
                with(&rows.with_context(damaged)?).with_context(damaged)?;
            }
        }
        Ok(())
    }
}
