//! What is done to the history of a run now and then: few large files of many small ones, what need not be
//! kept goes, and what is old goes to the store.

use crate::project_arguments::ProjectArguments;
use jarvis_lineage::{Keeping, Merge, Store, merge, offload, retain};
use jarvis_runtime::{Kinds, Project};
use jarvis_spec::Retain;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often.
const PERIOD: Duration = Duration::from_secs(600);
/// So many parts of about the same size become one: a row is written about four times in a year.
const MANY: usize = 16;
/// History that is put into a store, if there is one.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// Longer than anything is kept.
const FOREVER: Duration = Duration::from_secs(1 << 40);

/// A data folder, and who says how long things are kept in it.
#[derive(Clone)]
pub struct House {
    pub data: PathBuf,
    /// Where a source does not say; `None`: for ever.
    pub history: Option<Duration>,
    pub arguments: ProjectArguments,
    pub kinds: Arc<Kinds>,
}

impl House {
    /// Goes on until the runtime ends; a crash in between leaves nothing half-done.
    pub async fn keep(self) {
        let mut clock = tokio::time::interval(PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first one strikes at once.
        clock.tick().await;
        loop {
            clock.tick().await;
            let house = self.clone();
            // A panic has been told by its hook.
            let _ = tokio::task::spawn_blocking(move || house.once()).await;
        }
    }

    /// Each is done whether or not the others can be.
    fn once(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let done =
            [("merged", self.merge()), ("shortened", self.forget(now)), ("put into the store", self.offload(now))];
        for (what, done) in done {
            if let Err(error) = done {
                tracing::error!("the history could not be {what}: {error:#}");
            }
        }
    }

    fn merge(&self) -> anyhow::Result<()> {
        let merged = merge(&self.data, Merge::WhenMany(MANY))?;
        if merged.before > 0 {
            tracing::info!(before = merged.before, after = merged.after, "merged parts of the history");
        }
        Ok(())
    }

    /// A store that cannot be reached only means that history stays here.
    fn offload(&self, now: u64) -> anyhow::Result<()> {
        if Store::of(&self.data)?.is_some() {
            let offloaded = offload(&self.data, now.saturating_sub(OLD.as_micros() as u64))?;
            if offloaded.files > 0 {
                tracing::info!(files = offloaded.files, bytes = offloaded.bytes, "put old history into the store");
            }
        }
        Ok(())
    }

    /// Removes what need not be kept any longer.
    fn forget(&self, now: u64) -> anyhow::Result<()> {
        // Pipelines may have been edited; while they have errors, everything stays.
        let Ok(project) = self.arguments.load(&self.kinds, None) else { return Ok(()) };
        let keeping = keeping(&project, self.history);
        let retained = retain(&self.data, &keeping, now, false)?;
        if retained.files > 0 {
            tracing::info!(files = retained.files, bytes = retained.bytes, "removed old history");
        }
        Ok(())
    }
}

/// What sources, and operators that ask, say about their history.
fn keeping(project: &Project, others: Option<Duration>) -> Keeping {
    let said = project.pipelines.iter().flat_map(|pipeline| {
        let sources = pipeline.sources.iter().map(|source| (&source.name, &source.history));
        let operators = pipeline.operators.iter().map(|operator| (&operator.name, &operator.history));
        sources.chain(operators).map(move |(name, history)| (&pipeline.name.value, name, history))
    });
    let streams = said.filter_map(|(pipeline, name, history)| {
        let keep = match history.as_ref()?.value {
            Retain::For(keep) => keep,
            Retain::Forever => FOREVER,
        };
        Some((format!("{pipeline}.{}", name.value), keep))
    });
    Keeping { others, streams: streams.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use jarvis_lineage::{Recorder, Roll};
    use jarvis_runtime::closed::ClosedBatch;

    fn parts(house: &House) -> usize {
        let files = std::fs::read_dir(house.data.join("streams/a/x")).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|end| end == "parquet")).count()
    }

    #[test]
    fn many_small_parts_become_one_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = folder.path().join("a.yaml");
        std::fs::write(&pipeline, "pipeline: a\nsources: { s: { timer: { every: 1s }, retain: 1m } }\n").unwrap();
        let arguments = ProjectArguments { pipelines: vec![pipeline], config: None };
        let (data, kinds) = (folder.path().join("data"), Arc::new(crate::kinds::all()));
        let mut house = House { data, history: None, arguments, kinds };
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut recorder = Recorder::new(&house.data, "a.x", &rows.schema(), Roll::default()).unwrap();
        for time in 1..=MANY as u64 {
            let batch =
                ClosedBatch { lower: time, upper: time + 1, times: vec![time], diffs: vec![1], rows: rows.clone() };
            recorder.append(&batch).unwrap();
            recorder.roll().unwrap();
        }
        assert_eq!(parts(&house), MANY);
        house.once();
        assert_eq!(parts(&house), 1);
        house.history = Some(Duration::from_secs(1));
        house.once();
        assert_eq!(parts(&house), 0);
    }
}
