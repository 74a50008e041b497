//! `jarvis lineage`: what is kept of the past, and proof that it is whole.

use super::replay::{moment, moment_text};
use crate::{log, terminal};
use anyhow::{Context, bail};
use jarvis_lineage::proof::{Checkpoint, Proof, VerifierKey, keys, verify};
use jarvis_lineage::{Copied, Keeping, Merge, Store, copy, merge, offload, retain};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(clap::Args)]
pub struct Lineage {
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Compare all history with what was signed; exit status 0 whole, 1 altered or cut
    Verify(Verify),
    /// Write a proof that others can check without the history
    Prove(Prove),
    /// Check a proof; exit status 0 it holds, 1 it does not
    Check(Check),
    /// Make few large files of many small ones
    Compact(Compact),
    /// Remove history that need not be kept any longer
    Retain(Retain),
    /// Put old history into an object store, such as S3; it stays part of the history
    Offload(Offload),
    /// Copy the history, as it is now, to a folder of its own; a run may go on. Again: what has come since
    Export(Export),
    /// Put a copy of a history into a data folder; a run with it goes on from there
    Import(Import),
}

#[derive(clap::Args)]
struct Data {
    /// The folder with the history
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    data: Data,
    /// Whose signatures count, as in DATA/proof/key.pub: the text, or a file [default: those of the folder]
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// A checkpoint that was kept elsewhere: the history must still begin with what it is about
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// text or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

#[derive(clap::Args)]
struct Prove {
    #[command(flatten)]
    data: Data,
    /// That what entered around this time is in the history, as it was last signed: 2026-11-22T08:30:00Z, or 10m for ten
    /// minutes ago
    #[arg(long, value_name = "TIME", value_parser = moment, required_unless_present = "since")]
    time: Option<u64>,
    /// That the history begins with what the checkpoint in this file is about
    #[arg(long, value_name = "FILE", conflicts_with = "time")]
    since: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Check {
    /// The file with the proof
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    /// Whose signature counts, as in DATA/proof/key.pub: the text, or a file
    #[arg(long, value_name = "KEY")]
    key: String,
    /// The older checkpoint, if the proof is about one
    #[arg(long, value_name = "FILE")]
    old: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Compact {
    #[command(flatten)]
    data: Data,
}

#[derive(clap::Args)]
struct Retain {
    #[command(flatten)]
    data: Data,
    /// How long history is kept, such as 90d; what it still rests on is kept too
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep: Option<Duration>,
    /// How long one stream is kept, as print_heat.temperature=7d
    #[arg(long, value_name = "STREAM=DURATION", value_parser = one_stream)]
    stream: Vec<(String, Duration)>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
struct Offload {
    #[command(flatten)]
    data: Data,
    /// Where to, the first time: s3://BUCKET/PREFIX. Credentials, region and endpoint come from AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT and others
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// What came so long ago
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1d")]
    older_than: Duration,
}

#[derive(clap::Args)]
struct Export {
    #[command(flatten)]
    data: Data,
    /// Where to: a new folder, or one with an earlier copy
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The private key too, so that the copy can go on signing under the same name
    #[arg(long)]
    with_key: bool,
}

#[derive(clap::Args)]
struct Import {
    #[command(flatten)]
    data: Data,
    /// The copy, as `export` has made it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

fn duration(text: &str) -> Result<Duration, String> {
    jarvis_spec::duration::parse(text).map_err(|error| error.to_string())
}

fn one_stream(text: &str) -> Result<(String, Duration), String> {
    let (stream, keep) =
        text.split_once('=').filter(|(stream, _)| stream.contains('.')).ok_or("write PIPELINE.STREAM=7d")?;
    Ok((stream.to_owned(), duration(keep)?))
}

/// A key, or all of a file, the newest last.
fn all_keys(text: &str) -> anyhow::Result<Vec<VerifierKey>> {
    if text.contains('+') {
        return Ok(vec![text.parse()?]);
    }
    let file = fs::read_to_string(text).with_context(|| format!("the key {text} cannot be read"))?;
    file.lines().map(|line| Ok(line.parse()?)).collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

impl Lineage {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        match self.task {
            Task::Verify(verify) => verify.execute(),
            Task::Prove(prove) => prove.execute(),
            Task::Check(check) => check.execute(),
            Task::Compact(compact) => compact.execute(),
            Task::Retain(retain) => retain.execute(),
            Task::Offload(offload) => offload.execute(),
            Task::Export(Export { data, to, with_key }) => told(&copy(&data.data, &to, with_key)?),
            Task::Import(Import { data, from }) => {
                let with_key = from.join("proof/key").exists();
                told(&copy(&from, &data.data, with_key)?)
            }
        }
    }
}

fn told(copied: &Copied) -> anyhow::Result<ExitCode> {
    let Copied { files, bytes } = copied;
    terminal::say(&format!("copied {} ({})", terminal::counted(*files as u64, "file"), size(*bytes)));
    Ok(ExitCode::SUCCESS)
}

impl Verify {
    fn execute(self) -> anyhow::Result<ExitCode> {
        let data = &self.data.data;
        must_be_there(data)?;
        let keys = self.key.iter().map(|text| all_keys(text)).collect::<anyhow::Result<Vec<_>>>()?.concat();
        let kept = self.checkpoint.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let verified = verify(data, &keys, &kept)?;
        let is_whole = verified.findings.is_empty();
        if self.format == "json" {
            terminal::print(&serde_json::to_string_pretty(&verified)?)?;
            return Ok(super::status(is_whole));
        }
        for finding in &verified.findings {
            let place =
                finding.block.map(|(after, until)| format!("{} to {}: ", moment_text(after), moment_text(until)));
            terminal::print(&format!("{}{}", place.unwrap_or_default(), finding.what))?;
        }
        for (stream, upto) in &verified.removed {
            terminal::print(&format!(
                "{stream}: rows up to {} were removed, as removed.json says",
                moment_text(*upto)
            ))?;
        }
        if verified.unsigned_blocks > 0 {
            let blocks = terminal::counted(verified.unsigned_blocks, "block");
            terminal::print(&format!("{blocks} not signed: the run has ended too early, the next one will"))?;
        }
        if verified.unsigned > 0 {
            let ticks = terminal::counted(verified.unsigned, "tick");
            terminal::print(&format!("{ticks} since {} not signed yet", moment_text(verified.until)))?;
        }
        let counts = format!(
            "{}, {}, {}, {}",
            terminal::counted(verified.rows, "row"),
            terminal::counted(verified.ticks, "tick"),
            terminal::counted(verified.blocks, "block"),
            terminal::counted(verified.checkpoints, "checkpoint")
        );
        let result = if is_whole { "whole" } else { "NOT as it was signed" };
        terminal::print(&format!("{counts}: {result}"))?;
        Ok(super::status(is_whole))
    }
}

impl Prove {
    fn execute(self) -> anyhow::Result<ExitCode> {
        let data = &self.data.data;
        must_be_there(data)?;
        let proof = match (self.time, self.since) {
            (_, Some(old)) => {
                let note = read(&old)?;
                let opened = keys(data)?.iter().find_map(|key| Checkpoint::open(&note, key).ok());
                let old =
                    opened.with_context(|| format!("{} is no checkpoint of {}", old.display(), data.display()))?;
                Proof::since(data, old.size)?
            }
            (Some(time), None) => Proof::of_time(data, time)?,
            (None, None) => bail!("name a --time, or a checkpoint with --since"),
        };
        terminal::print(proof.to_string().trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn execute(self) -> anyhow::Result<ExitCode> {
        let proof: Proof = read(&self.proof)?.parse()?;
        let old = self.old.as_deref().map(read).transpose()?;
        // Of several keys one must fit; if none does, what is said is about the newest.
        let checked: Vec<_> = all_keys(&self.key)?.iter().map(|key| proof.check(key, old.as_deref())).collect();
        let result = checked.into_iter().reduce(|before, newer| if before.is_ok() { before } else { newer });
        terminal::print(&result.context("the file holds no key")??)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Compact {
    fn execute(self) -> anyhow::Result<ExitCode> {
        must_be_there(&self.data.data)?;
        let merged = merge(&self.data.data, Merge::All)?;
        let (before, after) = (size(merged.bytes_before), size(merged.bytes_after));
        let files = terminal::counted(merged.before as u64, "file");
        terminal::say(&format!("made {} of {files} ({before}, now {after})", merged.after));
        Ok(ExitCode::SUCCESS)
    }
}

impl Retain {
    fn execute(self) -> anyhow::Result<ExitCode> {
        must_be_there(&self.data.data)?;
        if self.keep.is_none() && self.stream.is_empty() {
            bail!("say how long history is kept: --keep 90d, or --stream PIPELINE.STREAM=7d");
        }
        let keeping = Keeping { others: self.keep, streams: self.stream.into_iter().collect::<BTreeMap<_, _>>() };
        let retained = retain(&self.data.data, &keeping, now(), self.dry_run)?;
        for (stream, upto) in &retained.streams {
            terminal::print(&format!("{stream}: up to {}", moment_text(*upto)))?;
        }
        let verb = if self.dry_run { "would remove" } else { "removed" };
        let files = terminal::counted(retained.files as u64, "file");
        let begins = match retained.begins {
            0 => String::new(),
            begins => format!("; replay and explain begin at {}", moment_text(begins)),
        };
        terminal::say(&format!("{verb} {files} ({}){begins}", size(retained.bytes)));
        Ok(ExitCode::SUCCESS)
    }
}

impl Offload {
    fn execute(self) -> anyhow::Result<ExitCode> {
        let data = &self.data.data;
        must_be_there(data)?;
        if let Some(url) = &self.to {
            Store::choose(data, url)?;
        } else if Store::of(data)?.is_none() {
            bail!("{} has no store for old history yet: name one with --to s3://BUCKET/PREFIX", data.display());
        }
        let before = now().saturating_sub(self.older_than.as_micros() as u64);
        let offloaded = offload(data, before)?;
        terminal::say(&format!(
            "put {} ({}) into the store",
            terminal::counted(offloaded.files as u64, "file"),
            size(offloaded.bytes)
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// µs since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

fn must_be_there(data: &Path) -> anyhow::Result<()> {
    if !data.is_dir() {
        bail!("there is no folder {}: name that of a run with --data DIR", data.display());
    }
    Ok(())
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
