//! Starting the programs under test and measuring them from outside.

use crate::usage::{self, Usage};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The built programs. This one builds nothing.
#[derive(Clone, Debug)]
pub struct Programs {
    pub jarvis: Option<PathBuf>,
    pub twin: PathBuf,
    /// The folder of the benchmarks' pipelines.
    pub pipelines: PathBuf,
}

/// One run, from start to exit.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub wall: Duration,
    pub usage: Usage,
}

impl Programs {
    /// `jarvis run NAME.yaml`, with `BENCH_DATA` and `BENCH_OUT` set; `None` without a jarvis.
    pub fn jarvis(&self, name: &str, workers: usize, data: &Path, out: &Path) -> Option<Command> {
        let mut command = Command::new(self.jarvis.as_ref()?);
        command
            .arg("run")
            .arg(self.pipelines.join(format!("{name}.yaml")))
            .args(["--workers", &workers.to_string()])
            .env("BENCH_DATA", data)
            .env("BENCH_OUT", out);
        Some(command)
    }

    /// `twin NAME DATA WORKERS RESULTS`.
    pub fn twin(&self, name: &str, workers: usize, data: &Path, results: &Path) -> Command {
        let mut command = Command::new(&self.twin);
        command.arg(name).arg(data).arg(workers.to_string()).arg(results);
        command
    }
}

/// Event time as `--tick` takes it.
pub fn tick_argument(micros: u64) -> String {
    if micros.is_multiple_of(1000) { format!("{}ms", micros / 1000) } else { format!("{micros}us") }
}

/// Runs a program to its end. What it prints goes to `log`, which is shown if it fails.
pub fn measure(mut command: Command, log: &Path) -> Result<Measured> {
    let output = File::create(log).with_context(|| format!("writing {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let started = Instant::now();
    let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let usage = usage::wait(&child)?;
    let wall = started.elapsed();
    if usage.status != Some(0) {
        bail!("{command:?} ended with {:?}:\n{}", usage.status, fs::read_to_string(log).unwrap_or_default());
    }
    Ok(Measured { wall, usage })
}

/// A program that runs until it is dropped.
pub struct Running {
    /// `None` once it has been waited for.
    child: Option<Child>,
}

impl Running {
    /// Starts a program; what it prints goes to `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("writing {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Running { child: Some(child) })
    }

    /// Ends the program and tells what it used. Fails if it had ended by itself.
    pub fn stop(mut self) -> Result<Usage> {
        let mut child = self.child.take().context("the program has been waited for")?;
        if let Some(status) = child.try_wait()? {
            bail!("the program has ended by itself with {status}");
        }
        child.kill()?;
        Ok(usage::wait(&child)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself; there is nothing to do about either error.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
