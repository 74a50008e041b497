//! What entered, tick by tick, out of the archive and the log.

use crate::archive::{DELIVERIES, InputArchive, TICKS};
use crate::bases::{Base, bases};
use crate::retention::Removed;
use crate::{cold, layout};
use anyhow::Context;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use jarvis_log::{Batch, Entry, Folder, State, Tick, read_checkpoint, ticks};
use jarvis_runtime::floors::{COUNTING, Floors};
use jarvis_runtime::versions::{PIPELINES, Version, begun};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Reads all ticks below a data folder from the beginning of what was kept, in order. What a run that goes on adds
/// meanwhile may or may not be among them.
///
/// # Errors
/// There is nothing, or it cannot be read.
pub fn past(data: &Path) -> anyhow::Result<Past> {
    past_for(data, 0)
}

/// Reads what is needed to know what happened from a time on: first what still counted at some moment before, then the
/// ticks since. If history before that time was removed, it begins where it can.
///
/// # Errors
/// There is nothing, or it cannot be read.
pub fn past_for(data: &Path, from: u64) -> anyhow::Result<Past> {
    let removed = Removed::read(data)?.before();
    let base = bases(data)?.into_iter().rfind(|base| base.time < from.max(removed + 1));
    anyhow::ensure!(
        removed == 0 || base.as_ref().is_some_and(|base| base.time >= removed),
        "{} has lost what counted when the history before was removed: bases/ is not whole",
        data.display()
    );
    Past::since(data, base)
}

/// The moments at which the past can be begun, µs, in order; before the first one it begins with nothing.
///
/// # Errors
/// The folder cannot be read.
pub fn beginnings(data: &Path) -> anyhow::Result<Vec<u64>> {
    let removed = Removed::read(data)?.before();
    let bases = bases(data)?.into_iter().map(|base| base.time).filter(|time| *time >= removed);
    Ok((removed == 0).then_some(0).into_iter().chain(bases).collect())
}

/// The pipelines that ran, and from which tick on, in order.
///
/// # Errors
/// They cannot be read.
pub fn pipelines_over_time(data: &Path) -> anyhow::Result<Vec<(u64, Vec<Version>)>> {
    let ticks = ticks_of(data, PIPELINES)?;
    Ok(ticks.iter().filter_map(|tick| Some((tick.time, begun(tick)?))).collect())
}

/// What the edits up to a tick have left behind.
///
/// # Errors
/// It cannot be read.
pub fn floors_at(data: &Path, upto: u64) -> anyhow::Result<Floors> {
    let mut floors = Floors::default();
    ticks_of(data, COUNTING)?.iter().filter(|tick| tick.time <= upto).for_each(|tick| floors.follow(tick));
    Ok(floors)
}

/// What entered one stream, by tick, in order.
fn ticks_of(data: &Path, stream: &str) -> anyhow::Result<Vec<Tick>> {
    let archive = InputArchive::new(data);
    loop {
        let until = archive.until()?;
        let mut found: Vec<Tick> = vec![];
        let mut add = |time: u64, batch: Batch| match found.last_mut() {
            Some(last) if last.time == time => last.batches.push(batch),
            _ => found.push(Tick { time, batches: vec![batch], ..Tick::default() }),
        };
        let mut archived = Rows::open(&archive, stream, 0, until)?;
        while let Some((time, batch)) = archived.next()? {
            add(time, batch);
        }
        for tick in ticks(&Folder::below(data), until.saturating_sub(1))? {
            let tick = tick?;
            let batches = tick.batches.into_iter().filter(|batch| batch.stream == stream);
            batches.for_each(|batch| add(tick.time, batch));
        }
        // A run that goes on may have moved ticks from the log to the archive meanwhile.
        if archive.until()? == until {
            return Ok(found);
        }
    }
}

/// The ticks of a data folder.
pub struct Past {
    archive: InputArchive,
    log: Folder,
    /// What sinks had been told when the first ticks were all that counted, and up to when.
    base: Option<State>,
    /// The ticks that come first stand for all up to this one.
    begins: u64,
    /// The ticks of the base.
    first: VecDeque<Tick>,
    archived: Archived,
    recent: Option<Box<dyn Iterator<Item = Result<Tick, jarvis_log::LogError>>>>,
    /// The time of the last tick.
    last: u64,
}

impl Past {
    fn since(data: &Path, base: Option<Base>) -> anyhow::Result<Self> {
        let begins = base.as_ref().map_or(0, |base| base.time);
        let (mut state, mut first) = (None, VecDeque::new());
        for entry in base.iter().flat_map(|base| read_checkpoint(&base.path)) {
            match entry? {
                Entry::State(newest) => state = Some(newest),
                Entry::Tick(tick) => first.push_back(tick),
            }
        }
        Ok(Past { base: state, first, ..Past::after(data, begins)? })
    }

    /// The ticks after a time, without what counted then.
    pub(crate) fn after(data: &Path, begins: u64) -> anyhow::Result<Self> {
        let archive = InputArchive::new(data);
        let until = archive.until()?;
        let log = Folder::below(data);
        if until == 0 && !log.path().is_dir() {
            anyhow::bail!("nothing was kept in {}: run pipelines with --data {}", data.display(), data.display());
        }
        let archived = Archived::open(&archive, begins, until)?;
        Ok(Past { archive, log, base: None, begins, first: VecDeque::new(), archived, recent: None, last: begins })
    }

    /// What sinks had been told at some tick; the ticks up to there only say what still counted.
    pub fn base(&self) -> Option<&State> {
        self.base.as_ref()
    }

    /// The tick up to which the first ticks only say what still counted, µs.
    pub fn begins(&self) -> u64 {
        self.begins
    }

    fn next_tick(&mut self) -> anyhow::Result<Option<Tick>> {
        loop {
            if let Some(tick) = self.first.pop_front() {
                return Ok(Some(tick));
            }
            if let Some(recent) = &mut self.recent {
                return Ok(recent.next().transpose()?);
            }
            if let Some(tick) = self.archived.next_tick()? {
                return Ok(Some(tick));
            }
            // A run that goes on may have moved ticks from the log to the archive meanwhile.
            let read = self.archived.until;
            let recent = ticks(&self.log, read.saturating_sub(1).max(self.begins))?;
            let until = self.archive.until()?;
            if until == read {
                self.recent = Some(Box::new(recent));
            } else {
                self.archived = Archived::open(&self.archive, read.saturating_sub(1).max(self.begins), until)?;
            }
        }
    }
    /// Every tick says which was before it; those of a base have gaps between them.
    fn check(&mut self, tick: &Tick) -> anyhow::Result<()> {
        if tick.time <= self.begins {
            return Ok(());
        }
        let last = std::mem::replace(&mut self.last, tick.time);
        anyhow::ensure!(
            last == tick.previous,
            "ticks are missing between {last} and {} (µs): part of the history was removed",
            tick.time
        );
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

/// The ticks of the archive, in order: the rows of all streams side by side.
struct Archived {
    /// Where the archive ended when it was opened.
    until: u64,
    ticks: Rows,
    streams: Vec<Rows>,
}

impl Archived {
    /// The ticks after `since` and before `until`.
    fn open(archive: &InputArchive, since: u64, until: u64) -> anyhow::Result<Self> {
        let rows = |stream: &str| Rows::open(archive, stream, since, until);
        let streams = archive.all_streams()?.into_iter().filter(|s| s != TICKS && s != DELIVERIES);
        Ok(Archived { until, ticks: rows(TICKS)?, streams: streams.map(|s| rows(&s)).collect::<Result<_, _>>()? })
    }

    fn next_tick(&mut self) -> anyhow::Result<Option<Tick>> {
        let Some((time, one)) = self.ticks.next()? else {
            for stream in &mut self.streams {
                if let Some(at) = stream.time()? {
                    anyhow::bail!("{} has rows at {at} (µs), where no tick is known", stream.stream);
                }
            }
            return Ok(None);
        };
        let previous = one.rows.columns().first().and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let previous = previous.context("the ticks have other columns")?.value(0) as u64;
        let mut tick = Tick { time, previous, ..Tick::default() };
        for stream in &mut self.streams {
            while let Some(at) = stream.time()?.filter(|at| *at <= time) {
                anyhow::ensure!(at == time, "{} has rows at {at} (µs), where no tick is known", stream.stream);
                tick.batches.extend(stream.next()?.map(|(_, batch)| batch));
            }
        }
        Ok(Some(tick))
    }
}

/// The rows of one stream in the archive, tick by tick.
struct Rows {
    data: PathBuf,
    stream: String,
    /// Those up to this tick are left out.
    since: u64,
    parts: VecDeque<PathBuf>,
    open: Option<(PathBuf, ParquetRecordBatchReader)>,
    /// What was read, and how much of it was handed out.
    rows: Option<(RecordBatch, usize)>,
    /// How many rows were handed out: they order the rows of one tick.
    place: u64,
}

impl Rows {
    /// The rows after `since` and before `until`.
    fn open(archive: &InputArchive, stream: &str, since: u64, until: u64) -> anyhow::Result<Self> {
        let parts = archive.parts(stream, until)?;
        let parts = parts.into_iter().filter(|p| layout::upper(p).is_some_and(|upper| upper > since + 1)).collect();
        let (data, stream) = (archive.data().to_owned(), stream.to_owned());
        Ok(Rows { data, stream, since, parts, open: None, rows: None, place: 0 })
    }

    /// The tick of the next rows.
    fn time(&mut self) -> anyhow::Result<Option<u64>> {
        loop {
            if let Some((rows, done)) = &mut self.rows {
                let times = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
                *done += times[*done..].iter().take_while(|time| **time as u64 <= self.since).count();
                if let Some(time) = times.get(*done) {
                    return Ok(Some(*time as u64));
                }
                self.rows = None;
            }
            let Some((path, reader)) = &mut self.open else {
                let Some(path) = self.parts.pop_front() else { return Ok(None) };
                let reader = cold::open(&self.data, &path)
                    .and_then(|file| {
                        Ok(ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(8192).build()?)
                    })
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                self.open = Some((path, reader));
                continue;
            };
            match reader.next() {
                Some(rows) => {
                    let damaged = || format!("{} cannot be read", path.display());
                    let rows = checked(rows.with_context(damaged)?, path).with_context(damaged)?;
                    self.rows = Some((rows, 0));
                }
                None => self.open = None,
            }
        }
    }

    /// The next rows that are of one tick.
    fn next(&mut self) -> anyhow::Result<Option<(u64, Batch)>> {
        let Some(time) = self.time()? else { return Ok(None) };
        let Some((rows, done)) = &mut self.rows else { return Ok(None) };
        let times = &rows.column(0).as_primitive::<TimestampMicrosecondType>().values()[*done..];
        let count = times.iter().take_while(|t| **t as u64 == time).count();
        let diffs = rows.column(1).as_primitive::<Int64Type>().values()[*done..*done + count].to_vec();
        let content = rows.project(&(2..rows.num_columns()).collect::<Vec<_>>())?.slice(*done, count);
        let batch = Batch { stream: self.stream.clone(), place: self.place, rows: content, diffs };
        self.place += count as u64;
        *done += count;
        Ok(Some((time, batch)))
    }
}

/// Rows of a part: the first column is the time, as the part's name says, the second the weight.
fn checked(rows: RecordBatch, part: &Path) -> anyhow::Result<RecordBatch> {
    let times = rows.columns().first().and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let weights = rows.columns().get(1).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let (Some(times), Some(_)) = (times, weights) else { anyhow::bail!("it does not begin with _time and _diff") };
    let (lower, upper) = (layout::lower(part).unwrap_or(0), layout::upper(part).unwrap_or(u64::MAX));
    if let Some(time) = times.values().iter().find(|time| !(lower..upper).contains(&(**time as u64))) {
        anyhow::bail!("it has a row at {time} (µs), which its name does not say");
    }
    Ok(rows)
}
