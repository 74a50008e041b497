//! `jarvis replay`: what was decided, and what other pipelines would have decided.

use crate::project_arguments::{AsTheyRan, ProjectArguments};
use crate::{kinds, log, terminal};
use anyhow::Context;
use jarvis_lineage::{past, past_for, pipelines_over_time};
use jarvis_runtime::rerun::Ticks;
use jarvis_runtime::versions::{Version, versions};
use jarvis_runtime::{Decision, Kinds, Replay as Runner, Rerun};
use serde_json::json;
use std::collections::{BTreeMap, btree_map::Entry};
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(clap::Args)]
pub struct Replay {
    #[command(flatten)]
    project: ProjectArguments,
    /// The folder that a run has kept its inputs in
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// From when on decisions are shown: 2026-11-22T08:30:00Z, or 10m for ten minutes ago [default: from the beginning]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<u64>,
    /// Until when, not included [default: to the end]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// Other pipelines, to run on the same inputs: only what they would decide otherwise is shown
    #[arg(long, value_name = "DIR")]
    with: Option<PathBuf>,
    /// table, or json: one object per line
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Threads that share the dataflow
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
}

/// µs since the epoch.
pub(super) fn moment(text: &str) -> Result<u64, String> {
    if let Ok(ago) = jarvis_spec::duration::parse(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Ok(now.saturating_sub(ago).as_micros() as u64);
    }
    let read: Result<jiff::Timestamp, _> = text.parse();
    let micros = read.map_err(|_| "write a time as 2026-11-22T08:30:00Z, or as 10m: so long ago".to_owned())?;
    u64::try_from(micros.as_microsecond()).map_err(|_| "the time lies before 1970".to_owned())
}

/// A time for people, as [`moment`] reads it.
pub(super) fn moment_text(micros: u64) -> String {
    jiff::Timestamp::from_microsecond(micros as i64).map_or_else(|_| micros.to_string(), |t| t.to_string())
}

/// Pipelines as they ran.
pub(super) fn former(project: &ProjectArguments, kinds: &Arc<Kinds>) -> anyhow::Result<AsTheyRan> {
    Ok(AsTheyRan { paths: project.paths(None)?, kinds: kinds.clone() })
}

/// The pipelines that ran, and from which tick on. Where no texts were kept: those of today.
pub(super) fn texts(
    data: &Path,
    project: &ProjectArguments,
    kinds: &Arc<Kinds>,
) -> anyhow::Result<Vec<(u64, Vec<Version>)>> {
    let texts = pipelines_over_time(data)?;
    if texts.is_empty() { Ok(vec![(0, versions(&project.load(kinds, None)?.pipelines))]) } else { Ok(texts) }
}

impl Replay {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let kinds = Arc::new(kinds::all());
        let workers = usize::from(self.workers);
        let mut second = match &self.with {
            None => None,
            Some(with) => {
                let other = ProjectArguments { pipelines: vec![with.clone()], ..self.project.clone() };
                // Sinks of a replay tell nobody, so that they need no folder.
                Some(Runner::start(other.load(&kinds, None)?, workers)?)
            }
        };
        let (from, until) = (self.from.unwrap_or(0), self.until.unwrap_or(u64::MAX));
        let mut out = BufWriter::new(stdout().lock());
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        // Other pipelines may need rows that no longer counted for those that ran.
        let past = if second.is_some() { past(&self.data)? } else { past_for(&self.data, from)? };
        let begins = past.begins();
        let former = former(&self.project, &kinds)?;
        let texts = texts(&self.data, &self.project, &kinds)?;
        let again = || -> anyhow::Result<Ticks> { Ok(Box::new(past_for(&self.data, begins + 1)?)) };
        let mut first = Rerun::start(&former, &texts, begins, workers, again)?;
        if let Some(state) = past.base() {
            first.go_on_from(state)?;
            second.iter_mut().try_for_each(|second| second.go_on_from(state))?;
        }
        if begins > from {
            let begins = moment_text(begins);
            terminal::say(&format!("what was before {begins} was removed, but for what still counted then"));
        }
        for tick in past {
            let tick = tick?;
            if tick.time >= until {
                break;
            }
            let time = tick.time;
            let decided = first.tick(&tick)?;
            let otherwise = second.as_mut().map(|second| second.tick(&tick)).transpose()?;
            if time < from || time <= begins {
                continue;
            }
            let shown = match otherwise {
                None => decided.into_iter().map(|decision| ("decided", decision, None)).collect(),
                Some(otherwise) => differences(decided, otherwise),
            };
            for (how, decision, before) in shown {
                *counts.entry(how).or_default() += 1;
                self.show(how, &decision, before.as_ref(), &mut out).context("the standard output takes no more")?;
            }
        }
        out.flush()?;
        drop(out);
        terminal::say(&self.summary(&counts));
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, how: &str, d: &Decision, before: Option<&Decision>, out: &mut impl Write) -> std::io::Result<()> {
        let time = moment_text(d.time);
        if self.format == "json" {
            let row = |d: &Decision| serde_json::from_str::<serde_json::Value>(&d.row).unwrap_or_default();
            let mut object = json!({ "time": time, "sink": d.sink, "what": d.what, "id": d.id, "row": row(d) });
            if self.with.is_some() {
                object["would"] = json!(how);
            }
            if let Some(before) = before {
                object["was"] = row(before);
            }
            return writeln!(out, "{object}");
        }
        let id = d.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
        let how = if self.with.is_some() { format!("{how:<8}") } else { String::new() };
        write!(out, "{how}{time} {} {}{id} {}", d.sink, d.what, d.row)?;
        match before {
            Some(before) => writeln!(out, " instead of {}", before.row),
            None => writeln!(out),
        }
    }

    fn summary(&self, counts: &BTreeMap<&str, u64>) -> String {
        let count = |how: &str| counts.get(how).copied().unwrap_or(0);
        if self.with.is_none() {
            return terminal::counted(count("decided"), "decision");
        }
        let [added, gone, changed] = ["added", "gone", "changed"].map(count);
        if added + gone + changed == 0 {
            return "nothing would differ".to_owned();
        }
        format!("{added} added, {gone} gone, {changed} changed")
    }
}

/// How what is decided at one time differs from what others decide: (how, the new decision, the old one if changed).
fn differences(decided: Vec<Decision>, otherwise: Vec<Decision>) -> Vec<(&'static str, Decision, Option<Decision>)> {
    // Decisions about the same: an event by its id, others by what they say.
    let key = |d: &Decision| {
        let about = d.id.clone().unwrap_or_else(|| d.row.clone());
        (d.sink.clone(), d.what.clone(), about)
    };
    let mut before: BTreeMap<_, Vec<Decision>> = BTreeMap::new();
    for decision in decided {
        before.entry(key(&decision)).or_default().push(decision);
    }
    let mut found = vec![];
    for decision in otherwise {
        match before.entry(key(&decision)) {
            Entry::Vacant(_) => found.push(("added", decision, None)),
            Entry::Occupied(mut entry) => {
                let old = entry.get_mut().pop();
                if entry.get().is_empty() {
                    entry.remove();
                }
                if let Some(old) = old.filter(|old| old.row != decision.row) {
                    found.push(("changed", decision, Some(old)));
                }
            }
        }
    }
    found.extend(before.into_values().flatten().map(|decision| ("gone", decision, None)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_so_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Ok(1_500_000));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Ok(0));
        let hour = moment("2h").unwrap().abs_diff(moment("1h").unwrap());
        assert!(hour.abs_diff(3_600_000_000) < 60_000_000, "{hour}");
        for wrong in ["", "yesterday", "1969-01-01T00:00:00Z", "2026-11-22"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
