//! `jarvis run`: bounded files to their end, everything else until it is told to stop.

use crate::http::Listen;
use crate::live::{self, Setup};
use crate::postgres::Postgres;
use crate::project_arguments::{ProjectArguments, written};
use crate::{environment, kinds, log, terminal};
use anyhow::Context;
use jarvis_lineage::Store;
use jarvis_plan::Op;
use jarvis_runtime::{BatchOptions, BatchReport, Project, run_batch};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How much event time a tick of a batch covers.
const BATCH_TICK: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    project: ProjectArguments,
    /// Threads that share the dataflow
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers)]
    workers: usize,
    /// The longest a tick may take to close, such as 10ms; in a batch, the event time that a tick covers
    /// [default: 10ms live, 1s in a batch]
    #[arg(long, value_name = "DURATION", value_parser = tick)]
    tick: Option<Duration>,
    /// Where `lineage` sinks record and, live, the log is kept: after a restart, however the run has ended, it goes on from
    /// there. The folder is made if it is not there
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Live: syncs of the log to the disk are at least this far apart, such as 10ms; nothing is acknowledged or told before
    /// [default: as soon as the disk can]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    sync: Option<Duration>,
    /// Live: how often the log notes what sinks have been told [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    checkpoint: Option<Duration>,
    /// Live: the log is made smaller when it has grown by so many bytes since it was, or by as much as was left then
    /// [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    compact: Option<u64>,
    /// Live: how often history is signed, with the key in the data folder or in the file that JARVIS_SIGNING_KEY names
    /// [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    sign: Option<Duration>,
    /// Live: where history goes that is older than a day, as s3://BUCKET/PREFIX; it stays part of the history. Credentials,
    /// region and endpoint come from AWS_ACCESS_KEY_ID, AWS_ENDPOINT and others
    #[arg(long, value_name = "URL", requires = "data")]
    store: Option<String>,
    /// Live: how long history is kept, such as 90d; a source may say otherwise with `history` [default: forever]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    history: Option<Duration>,
    /// Live: where /metrics, `jarvis tap`, `top` and `sql` are answered, or none. There is no password: stay on loopback
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "JARVIS_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:7470"
    )]
    listen: Listen,
    /// Live: answer Postgres clients, such as psql and Grafana (as `--postgres=127.0.0.1:7433`). The password is that of
    /// JARVIS_POSTGRES_PASSWORD, or in the data folder, where one is made
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:7432", value_parser = postgres)]
    postgres: Option<SocketAddr>,
    /// Live: the certificate chain for Postgres clients, PEM; with --postgres-key, what they ask and get is encrypted
    #[arg(long, value_name = "FILE", requires = "postgres_key")]
    postgres_cert: Option<PathBuf>,
    /// Live: the private key of --postgres-cert, PEM
    #[arg(long, value_name = "FILE", requires = "postgres_cert")]
    postgres_key: Option<PathBuf>,
    /// Live: run an MQTT broker inside, for pipelines that name none (as `--embedded-broker=127.0.0.1:1884`)
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:1883", value_parser = broker)]
    embedded_broker: Option<SocketAddr>,
    /// Live: reload pipelines whose files change
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    watch: bool,
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(workers @ 1..=256) => Ok(workers),
        _ => Err("a number from 1 to 256".to_owned()),
    }
}

fn broker(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        // Pipelines must know the port before the broker has one.
        Ok(address) if address.port() == 0 => Err("name a port".to_owned()),
        Ok(address) => Ok(address),
        Err(_) => Err("write IP:PORT, such as 127.0.0.1:1883".to_owned()),
    }
}

fn postgres(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write IP:PORT, such as 127.0.0.1:7432".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    jarvis_spec::duration::parse(text).map_err(|error| error.to_string())
}

fn tick(text: &str) -> Result<Duration, String> {
    match jarvis_spec::duration::parse(text) {
        Ok(tick) if tick.is_zero() => Err("a tick takes at least 1us".to_owned()),
        Ok(tick) => Ok(tick),
        Err(error) => Err(error.to_string()),
    }
}

impl Run {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        if let Some(address) = self.embedded_broker
            && !environment::names_a_broker()
        {
            environment::set_broker(address);
        }
        let kinds = Arc::new(kinds::all());
        let project = self.project.load(&kinds, self.data.as_deref())?;
        if !project.warnings.is_empty() {
            terminal::show_findings(&project.warnings);
        }
        if project.is_bounded() {
            log::quiet();
            return self.to_the_end(project);
        }
        log::chatty();
        if let (Some(data), Some(url)) = (&self.data, &self.store) {
            Store::choose(data, url)?;
        }
        if let Some(address) = self.embedded_broker {
            live::start_broker(address)?;
            terminal::say(&format!("an MQTT broker listens on mqtt://{address}"));
        }
        let count = written(&project).count() as u64;
        let setup = Setup {
            arguments: self.project,
            kinds,
            workers: self.workers,
            tick: self.tick,
            data: self.data,
            sync: self.sync,
            checkpoint: self.checkpoint,
            compact: self.compact,
            sign: self.sign,
            history: self.history,
            postgres: self.postgres.map(|address| Postgres { address, tls: self.postgres_cert.zip(self.postgres_key) }),
            listen: self.listen,
            watch: self.watch,
        };
        live::run(project, setup, |scene| {
            let place = scene.http.map(|at| format!(", http://{at}")).unwrap_or_default();
            terminal::say(&format!("running {}{place}", terminal::counted(count, "pipeline")));
            Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn to_the_end(&self, mut project: Project) -> anyhow::Result<ExitCode> {
        leave_out_unread(&mut project);
        let options = BatchOptions { workers: self.workers, tick: self.tick.unwrap_or(BATCH_TICK) };
        let report = run_batch(project, &options).context("the run has ended early")?;
        terminal::say(&summary(&report));
        Ok(super::status(!report.failed))
    }
}

/// Takes out the tables of the facility that no sink rests on: reading them would be work for nothing.
fn leave_out_unread(project: &mut Project) {
    let mut compiled = project.compiled.clone();
    for sink in &project.sinks {
        compiled.read_sink(&sink.name);
    }
    let graph = compiled.graph;
    let is_input = |id: jarvis_plan::NodeId| {
        if let Op::Input(input) = graph.nodes[id].op { Some(graph.inputs[input].name.as_str()) } else { None }
    };
    let read: HashSet<&str> = graph.live().into_iter().filter_map(is_input).collect();
    project.sources.retain(|s| !s.spec.name.starts_with("facility.") || read.contains(s.spec.name.as_str()));
}

fn summary(report: &BatchReport) -> String {
    let BatchReport { rows_read, rows_written, seconds, errors, failed, samples, .. } = report;
    let mut text = String::new();
    if *errors > 0 {
        let fate = if *failed { "on_error: fail" } else { "they went to system.errors" };
        text = format!("{} could not be read or computed ({fate}):\n", terminal::counted(*errors, "row"));
        text.extend(samples.iter().map(|sample| format!("  {sample}\n")));
        if *errors > samples.len() as u64 {
            text.push_str("  ...\n");
        }
    }
    text + &format!("read {rows_read} rows, wrote {rows_written} rows in {seconds:.3} s")
}
