//! `command`: tells printers what to do, and enters what came of it as rows.
//!
//! Each row of the stream in `from:` is one command. Its `action` is fixed in the options, never a toggle; it is about the
//! print in the row's column `job`, and if another one is being made, nothing is sent. Its outcome is read back from the
//! printer: that a command was accepted does not mean that it was carried out. Outcomes are recorded; after a kill, commands
//! without one are given again: a pause, resume or cancel is bound to its print and does nothing twice. What is older than
//! `ttl` by then is left alone. Commands of one printer are carried out one after the other.

use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type};
use futures::future::BoxFuture;
use jarvis_printers::roster::{Named, printers};
use jarvis_printers::{Action, Command as Order, JobId, Outcome, Printer, What};
use jarvis_runtime::asking::{Asker, Question, Questions};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_runtime::roster::roster;
use jarvis_spec::{Diagnostic, Diagnostics, Node, Operator};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(2);

/// The kind `command`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Command;

/// Tells printers what to do, and says what came of it.
///
/// It reads a stream with the column `printer: utf8`, and `job: utf8` for what is about a print. Outcomes add the columns
/// `outcome: utf8` (`done`, `other_job`, `wrong_state`, `refused`, `not_confirmed`, `unreachable`, `observe_only`,
/// `unsupported`, `unknown_printer`, `expired`), `already: bool` (it was so before), `phase: utf8` (read last), `detail: utf8`
/// (for people) and `took_s: float64`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The printers by name, or the path of a YAML file with them, of whatever protocol.
    #[schemars(with = "String")]
    printers: Node,
    /// What to do: `pause`, `resume`, `cancel`, `start` (the row's column `file`), `heat` (its columns `tool` and `celsius`)
    /// or `emergency_stop`.
    action: Verb,
    /// How long a command may take until its outcome is said: 4s unless set.
    #[serde(default = "deadline", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    deadline: Duration,
    /// For so long a command is given, and given again while the printer cannot be reached or does not do it: 60s unless
    /// set. One that is older is not given any more.
    #[serde(default = "ttl", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    ttl: Duration,
}

/// The actions as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Action")]
enum Verb {
    Pause,
    Resume,
    Cancel,
    Start,
    Heat,
    EmergencyStop,
}

fn deadline() -> Duration {
    Duration::from_secs(4)
}

fn ttl() -> Duration {
    Duration::from_secs(60)
}

impl Verb {
    /// The columns that its rows must have.
    fn columns(self) -> &'static [(&'static str, DataType)] {
        match self {
            Verb::Pause | Verb::Resume | Verb::Cancel => &[("printer", DataType::Utf8), ("job", DataType::Utf8)],
            Verb::Start => &[("printer", DataType::Utf8), ("file", DataType::Utf8)],
            Verb::Heat => &[("printer", DataType::Utf8), ("tool", DataType::Utf8), ("celsius", DataType::Float64)],
            Verb::EmergencyStop => &[("printer", DataType::Utf8)],
        }
    }
}

impl OperatorKind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn plan(
        &self,
        operator: &Operator,
        from: &[StreamSpec],
        context: &PlanContext,
    ) -> Result<OperatorPlan, Diagnostics> {
        let options: Options = operator.options.parse()?;
        let mut found = Diagnostics::default();
        for stream in from {
            for (name, kind) in options.action.columns() {
                let fits = stream.schema.field_with_name(name).is_ok_and(|field| field.data_type() == kind);
                if !fits {
                    let message = format!("{} has no column `{name}` of {kind}", stream.name);
                    let help = "the action needs it: add it in a view";
                    found.push(Diagnostic::error("unknown_column", message).at(&operator.name.span).help(help));
                }
            }
        }
        let printers = roster(&options.printers, context).and_then(|written| printers(&written, None));
        let printers = printers.map_err(|wrong| found.extend(wrong)).unwrap_or_default();
        if found.has_errors() {
            return Err(found);
        }
        let adds = vec![
            Field::new("outcome", DataType::Utf8, false),
            Field::new("already", DataType::Boolean, false),
            Field::new("phase", DataType::Utf8, true),
            Field::new("detail", DataType::Utf8, false),
            Field::new("took_s", DataType::Float64, false),
        ];
        let commands = Commands { printers, options: Arc::new(options) };
        Ok(OperatorPlan::Asks { adds, asker: Box::new(commands) })
    }
}

/// Ready to run.
struct Commands {
    printers: Vec<Named>,
    options: Arc<Options>,
}

impl Asker for Commands {
    fn marks(&self) -> String {
        format!("{:?}", self.printers.iter().map(|named| (&named.name, named.mark)).collect::<Vec<_>>())
    }
    fn run(self: Box<Self>, mut questions: Questions) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let (tell, mut told) = mpsc::unbounded_channel();
            let (mut lines, mut serving) = (HashMap::new(), JoinSet::new());
            for Named { name, printer, .. } in self.printers {
                let (line, waiting) = mpsc::unbounded_channel();
                let operator = questions.operator().to_owned();
                serving.spawn(serve(printer, waiting, tell.clone(), self.options.clone(), operator));
                lines.insert(name, line);
            }
            loop {
                tokio::select! {
                    asked = questions.next() => {
                        let Some(asked) = asked else { return Ok(()) };
                        for question in asked {
                            let name = text(&question, "printer").unwrap_or_default();
                            match lines.get(&name) {
                                Some(line) => line.send(question).context("nobody serves the printer any more")?,
                                None => {
                                    let detail = format!("there is no printer {name:?} in `printers`");
                                    let unknown = Told::unsent("unknown_printer", detail);
                                    questions.answer(vec![(question, unknown.columns())]).await?;
                                }
                            }
                        }
                    }
                    Some((question, came)) = told.recv() => {
                        let came: Told = came;
                        let operator = questions.operator().to_owned();
                        metrics::counter!("jarvis_commands_total", "operator" => operator, "outcome" => came.outcome)
                            .increment(1);
                        questions.answer(vec![(question, came.columns())]).await?;
                    }
                    Some(ended) = serving.join_next() => ended.context("a printer is served no more")?,
                }
            }
        })
    }
}

/// Carries out the commands of one printer, one after the other in the order they were given.
async fn serve(
    printer: Arc<Printer>,
    mut waiting: mpsc::UnboundedReceiver<Question>,
    to: mpsc::UnboundedSender<(Question, Told)>,
    options: Arc<Options>,
    operator: String,
) {
    while let Some(question) = waiting.recv().await {
        let told = loop {
            let told = tell(&printer, &question, &options, &operator).await;
            let may_come = matches!(told.outcome, "unreachable" | "not_confirmed");
            if !may_come || age(&question) + AGAIN >= options.ttl {
                break told;
            }
            tokio::time::sleep(AGAIN).await;
        };
        if to.send((question, told)).is_err() {
            return;
        }
    }
}

/// How long ago a command was given.
fn age(question: &Question) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(question.time()))
}

/// What is told of a command.
struct Told {
    outcome: &'static str,
    already: bool,
    phase: Option<&'static str>,
    detail: String,
    took: Duration,
}

impl Told {
    fn unsent(outcome: &'static str, detail: String) -> Self {
        Told { outcome, already: false, phase: None, detail, took: Duration::ZERO }
    }

    fn columns(self) -> Vec<ArrayRef> {
        vec![
            Arc::new(StringArray::from(vec![self.outcome])),
            Arc::new(BooleanArray::from(vec![self.already])),
            Arc::new(StringArray::from(vec![self.phase])),
            Arc::new(StringArray::from(vec![self.detail])),
            Arc::new(Float64Array::from(vec![self.took.as_secs_f64()])),
        ]
    }
}

async fn tell(printer: &Printer, question: &Question, options: &Options, operator: &str) -> Told {
    let age = age(question);
    if age > options.ttl {
        return Told::unsent("expired", format!("it is {age:.0?} old, and commands are given for {:?}", options.ttl));
    }
    let Some(action) = action(options.action, question) else {
        return Told::unsent("wrong_state", "a column that the action needs is null".to_owned());
    };
    let is_about_a_print = matches!(options.action, Verb::Pause | Verb::Resume | Verb::Cancel);
    let job = text(question, "job").map(JobId);
    if is_about_a_print && job.is_none() {
        return Told::unsent("wrong_state", "it does not say which print it is about".to_owned());
    }
    let id = format!("{operator} {}", question.time());
    let order = Order { id, action, job: job.filter(|_| is_about_a_print), deadline: options.deadline };
    let outcome = printer.command(&order).await;
    let (name, already, detail) = described(&outcome);
    Told { outcome: name, already, phase: Some(outcome.seen.name()), detail, took: outcome.took }
}

fn action(what: Verb, question: &Question) -> Option<Action> {
    Some(match what {
        Verb::Pause => Action::Pause,
        Verb::Resume => Action::Resume,
        Verb::Cancel => Action::Cancel,
        Verb::Start => Action::Start { file: text(question, "file")? },
        Verb::Heat => Action::Heat { tool: text(question, "tool")?, celsius: number(question, "celsius")? },
        Verb::EmergencyStop => Action::EmergencyStop,
    })
}

fn described(outcome: &Outcome) -> (&'static str, bool, String) {
    match &outcome.what {
        What::Done { already: true } => ("done", true, "it was so before".to_owned()),
        What::Done { already: false } => ("done", false, "carried out, and read back".to_owned()),
        What::OtherJob { running } => {
            let running = running.as_ref().map_or_else(|| "one that it does not name".to_owned(), JobId::to_string);
            ("other_job", false, format!("another print is being made: {running}"))
        }
        What::WrongState { phase } => ("wrong_state", false, format!("the printer is {}", phase.name())),
        What::Refused { status, message } => ("refused", false, format!("{message} (status {status})")),
        What::NotConfirmed { seen, why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            ("not_confirmed", false, format!("the printer was told, and is still {}{why}", seen.name()))
        }
        What::Unreachable { why } => {
            let sent = if outcome.sent { "it may have been told" } else { "nothing was sent" };
            ("unreachable", false, format!("{why}; {sent}"))
        }
        What::ObserveOnly { why } => ("observe_only", false, why.clone()),
        What::Unsupported => ("unsupported", false, "the printer has no such command".to_owned()),
    }
}

fn column(question: &Question, name: &str) -> Option<ArrayRef> {
    question.alone().column_by_name(name).filter(|column| column.is_valid(0)).cloned()
}

fn text(question: &Question, name: &str) -> Option<String> {
    Some(column(question, name)?.as_string_opt::<i32>()?.value(0).to_owned())
}

fn number(question: &Question, name: &str) -> Option<f64> {
    Some(column(question, name)?.as_primitive_opt::<Float64Type>()?.value(0))
}
