//! Making the log smaller: what still counts takes the place of all that came.

use super::Archive;
use super::errors::KEPT;
use super::history::{History, Keep};
use crate::again::fitting;
use crate::floors::Floors;
use crate::versions::PIPELINES;
use jarvis_dataflow::Delta;
use jarvis_log::{Batch, Checkpointing, Entry, Folder, LogError, Mark, State, Tick, read};
use jarvis_plan::compile::ERRORS;
use std::collections::{BTreeMap, HashMap};

/// Writes a checkpoint of all ticks up to `upto`, and removes the segments that it stands for. Returns its size in
/// bytes; a failure is told to the log, and leaves everything as it was.
pub(super) fn compact(
    folder: &Folder,
    upto: u64,
    keeps: &HashMap<String, Keep>,
    floors: &Floors,
    marks: Vec<Mark>,
    delivered: BTreeMap<String, u64>,
    archive: Option<&dyn Archive>,
) -> u64 {
    let begun = std::time::Instant::now();
    let work = || -> anyhow::Result<u64> {
        if let Some(archive) = archive {
            archive.keep(folder, upto)?;
        }
        let size = checkpoint(folder, upto, keeps, floors, marks, delivered)?;
        if let Some(archive) = archive {
            archive.has_checkpoint(folder)?;
        }
        folder.forget(upto)?;
        Ok(size)
    };
    match work() {
        Ok(bytes) => {
            tracing::info!(bytes, took = ?begun.elapsed(), "the log holds what still counts");
            bytes
        }
        Err(error) => {
            tracing::error!("the log could not be made smaller: {error:#}");
            0
        }
    }
}

fn checkpoint(
    folder: &Folder,
    upto: u64,
    keeps: &HashMap<String, Keep>,
    floors: &Floors,
    marks: Vec<Mark>,
    delivered: BTreeMap<String, u64>,
) -> anyhow::Result<u64> {
    let entries = || -> Result<_, LogError> {
        let upto = move |e: &Result<Entry, LogError>| !matches!(e, Ok(Entry::Tick(tick)) if tick.time > upto);
        Ok(read(folder, false)?.take_while(upto))
    };
    let mut state = State::default();
    for entry in entries()? {
        if let Entry::State(newer) = entry?
            && newer.time <= upto
        {
            state = newer;
        }
    }
    let told = state.time;
    // The state speaks of a tick before the last one; the checkpoint stands for all.
    let mut counting = Counting::new(keeps, floors);
    let mut later = vec![];
    let mut last = (0, 0);
    for entry in entries()? {
        let Entry::Tick(tick) = entry? else { continue };
        last = (tick.time, tick.previous);
        if tick.time <= told { counting.add(tick)? } else { later.push(tick) }
    }
    let mut checkpoint = Checkpointing::new(folder.clone(), upto, &state)?;
    let (time, previous) = last;
    let mut last = Tick { time, previous, ..Tick::default() };
    for tick in counting.ticks(told).chain(later) {
        if tick.time == last.time { last = tick } else { checkpoint.tick(&tick)? }
    }
    checkpoint.tick(&Tick { marks, delivered, ..last })?;
    Ok(checkpoint.finish()?)
}

/// What still counts of some ticks.
struct Counting<'a> {
    keeps: &'a HashMap<String, Keep>,
    floors: &'a Floors,
    streams: HashMap<String, History>,
    /// The pipelines that run, and from which tick on.
    pipelines: Option<(u64, Batch)>,
    previous: HashMap<u64, u64>,
}

impl<'a> Counting<'a> {
    fn new(keeps: &'a HashMap<String, Keep>, floors: &'a Floors) -> Self {
        let errors = Keep::errors(KEPT);
        let histories = keeps.iter().map(|(name, keep)| (name.clone(), keep.history()));
        let streams = histories.chain([(ERRORS.to_owned(), errors.history())]).collect();
        Counting { keeps, floors, streams, pipelines: None, previous: HashMap::new() }
    }
    fn add(&mut self, mut tick: Tick) -> anyhow::Result<()> {
        self.floors.sieve(&mut tick);
        self.previous.insert(tick.time, tick.previous);
        for batch in tick.batches {
            if batch.stream == PIPELINES {
                self.pipelines = Some((tick.time, batch));
                continue;
            }
            let Batch { stream, place, rows, diffs } = batch;
            // No pipeline has the others any more.
            if let Some(history) = self.streams.get_mut(&stream) {
                history.forget(tick.time);
                let rows = match self.keeps.get(&stream) {
                    Some(keep) => fitting(&rows, &keep.schema, &stream)?,
                    None => rows,
                };
                let times = vec![tick.time; diffs.len()];
                history.add(&Delta::new(rows, times, diffs), place);
            }
        }
        Ok(())
    }
    /// What counts at a time, tick by tick.
    fn ticks(mut self, now: u64) -> impl Iterator<Item = Tick> {
        let mut ticks: BTreeMap<u64, Vec<Batch>> = BTreeMap::new();
        for (stream, history) in &mut self.streams {
            history.forget(now);
            for (time, deltas) in history.replay() {
                let batches = deltas.into_iter().map(|(delta, place)| {
                    let Delta { rows, diffs, .. } = delta;
                    Batch { stream: stream.clone(), place, rows, diffs }
                });
                ticks.entry(time).or_default().extend(batches);
            }
        }
        if let Some((time, batch)) = self.pipelines {
            ticks.entry(time).or_default().push(batch);
        }
        // The state speaks of this tick, whether or not something of it still counts.
        if self.previous.contains_key(&now) {
            ticks.entry(now).or_default();
        }
        let previous = self.previous;
        ticks.into_iter().map(move |(time, mut batches)| {
            batches.sort_by(|a, b| (&a.stream, a.place).cmp(&(&b.stream, b.place)));
            let previous = previous.get(&time).copied().unwrap_or(0);
            Tick { time, previous, batches, ..Tick::default() }
        })
    }
}
