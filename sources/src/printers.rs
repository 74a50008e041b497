//! `octoprint`, `moonraker`, `prusalink`, `bambu`: what printers say, as rows of the same columns.
//!
//! A row comes whenever something has changed, and every few seconds besides: that nothing has changed is news to whoever
//! watches over a print. A printer that cannot be reached says so in `connection` and `phase`, and why in `error`.
//! [`jarvis_printers`] speaks the protocols.

mod rows;

use futures::future::BoxFuture;
use jarvis_printers::Report;
use jarvis_printers::roster::{Named, Protocol, printers};
use jarvis_runtime::arrival::Arrival;
use jarvis_runtime::kinds::{Feed, LiveSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_runtime::roster::roster;
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use rows::{report_row, schema};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A kind of printers, by the protocol that they speak.
#[derive(Clone, Copy, Debug)]
pub struct PrinterSource(pub Protocol);

/// What printers say. The source brings its own schema: `printer: utf8`, `at: timestamp`, `connection: utf8` (`online`,
/// `offline`, `refused`), `phase: utf8` (`idle`, `preparing`, `printing`, `pausing`, `paused`, `cancelling`, `finishing`,
/// `error`, `offline`, `unknown`), `job: utf8?` (tells one print from all others), `file: utf8?`, `ending: utf8?` (`done`,
/// `cancelled`, `failed`), `progress: float64?` (0 to 1), `elapsed_s`, `left_s`, `z` (mm), `nozzle`, `nozzle_target`, `bed`,
/// `bed_target`, `chamber` (°C): all `float64?`, `layer`, `layers`: `int32?`, `filament: bool?`, `error: utf8?`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The printers by name, or the path of a YAML file with them. Of a file with printers of several protocols it takes its
    /// own.
    #[schemars(with = "Printers")]
    printers: Node,
    /// How often what has not changed is said again: 5s unless set.
    #[serde(default = "every", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    every: Duration,
    /// After this silence a printer counts as offline: 10s unless set.
    #[serde(default = "patience", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    patience: Duration,
}

/// What `printers` may be, for the JSON schema.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described, never made")]
enum Printers {
    File(String),
    Here(BTreeMap<String, BTreeMap<String, String>>),
}

fn every() -> Duration {
    Duration::from_secs(5)
}

fn patience() -> Duration {
    jarvis_printers::PATIENCE
}

impl SourceKind for PrinterSource {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn infer_schema(&self, _: &Node, _: &PlanContext) -> Option<Result<arrow::datatypes::SchemaRef, Diagnostics>> {
        Some(Ok(schema()))
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let read: Options = options.parse()?;
        if *stream.schema != *schema() {
            return Err(Diagnostic::error("wrong_schema", "printers bring their own columns")
                .at(options.span())
                .help("remove `schema`, and choose columns in a view")
                .into());
        }
        for (key, duration) in [("every", read.every), ("patience", read.patience)] {
            if duration < Duration::from_millis(100) {
                let at = options.get(key).map_or_else(|| options.span(), Node::span);
                let message = format!("`{key}` is {}", jarvis_spec::duration::format(duration));
                return Err(Diagnostic::error("wrong_value", message).at(at).help("choose 100ms or more").into());
            }
        }
        let printers = printers(&roster(&read.printers, context)?, Some(self.0))?;
        Ok(SourcePlan::Live(Box::new(Following { printers, every: read.every, patience: read.patience })))
    }
}

/// Ready to run.
struct Following {
    printers: Vec<Named>,
    every: Duration,
    patience: Duration,
}

impl LiveSource for Following {
    fn marks(&self) -> String {
        format!("{:?}", self.printers.iter().map(|named| (&named.name, named.mark)).collect::<Vec<_>>())
    }
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut following = JoinSet::new();
            for printer in self.printers {
                following.spawn(follow(printer, self.every, self.patience, feed.clone()));
            }
            while let Some(ended) = following.join_next().await {
                ended??;
            }
            feed.closed().await;
            Ok(())
        })
    }
}

/// Hands over what one printer says, until the graph is gone.
async fn follow(named: Named, every: Duration, patience: Duration, feed: Feed) -> anyhow::Result<()> {
    let (sender, mut reports) = mpsc::channel(16);
    let Named { name, printer, .. } = named;
    let telling = async {
        let mut last: Option<Report> = None;
        let mut due = Instant::now() + every;
        loop {
            let report = tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => report,
                    None => return Ok(()),
                },
                () = sleep_until(due), if last.is_some() => {
                    let Some(again) = last.clone() else { continue };
                    Report { at: std::time::SystemTime::now(), ..again }
                }
                () = feed.closed() => return Ok(()),
            };
            due = Instant::now() + every;
            let row = report_row(&name, &report)?;
            last = Some(report);
            if feed.send(Arrival::new(row)).await.is_err() {
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        () = printer.reports(patience, sender) => Ok(()),
        told = telling => told,
    }
}
