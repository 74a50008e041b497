//! `command`: tells printers what to do, and enters what came of it as rows. `octoprint` and `moonraker` are the same for printers
//! of one protocol, and stand under `sinks:` as well.
//!
//! Each row of the stream in `from:` is one command. Its `action` is fixed in the options, never a toggle; it is about the
//! print in the row's column `job`, and if another one is being made, nothing is sent. Its outcome is read back from the
//! printer: that a command was accepted does not mean that it was carried out. Outcomes are recorded; after a kill, commands
//! without one are given again: a pause, resume or cancel is bound to its print; one that may have reached the printer is
//! sent again within 15 s only, and from then on the printer is only looked at. What an attempt has sent
//! before a kill, or before an edit of the operator or its printers, is not known any more: within `ttl` it may be sent once more, and a start may begin once more what has already ended. What is
//! older than `ttl` is left alone. Commands of one printer are carried out one after the other
//! ([`jarvis_printers::orders`]).

use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type};
use futures::future::BoxFuture;
use jarvis_printers::Printer;
use jarvis_printers::orders::{Files, Kind, Policy, Row, Told, Verb, carry_out};
use jarvis_printers::roster::{Named, Protocol, printers};
use jarvis_runtime::asking::{Asker, Question, Questions};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_runtime::roster::roster;
use jarvis_spec::node::Entry;
use jarvis_spec::{Diagnostic, Diagnostics, Node, Operator, Span};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The kinds `command`, for printers of every protocol, `octoprint` and `moonraker`.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    only: Option<Protocol>,
}

impl Command {
    pub const ALL: [Self; 3] =
        [Self { only: None }, Self { only: Some(Protocol::OctoPrint) }, Self { only: Some(Protocol::Moonraker) }];
}

/// Tells printers what to do, and says what came of it.
///
/// It reads a stream with the column `printer: utf8`, and `job: utf8` for what is about a print. Outcomes add the columns
/// `outcome: utf8` (`done`, `other_job`, `wrong_state`, `refused`, `not_confirmed`, `unreachable`, `observe_only`,
/// `unsupported`, `unknown_printer`, `expired`), `already: bool` (it was so before), `phase: utf8` (read last), `detail: utf8`
/// (for people) and `took_s: float64`.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The printers by name, or the path of a YAML file with them. Edits of the file count while it runs.
    #[schemars(with = "Printers")]
    printers: Node,
    /// What to do: `pause`, `resume`, `cancel`, `start` (the row's column `file`), `heat` (its columns `tool` and `celsius`),
    /// `upload` (its column `file` and, where it has them, `name`, the file's name on the printer, and `print`) or
    /// `emergency_stop`.
    #[schemars(with = "String", extend("enum" = Verb::NAMES))]
    action: Verb,
    /// The folder of the files to upload: a row names one by its path in it, and nothing leads out of it.
    #[serde(default)]
    files: Option<PathBuf>,
    /// How long a command may take until its outcome is said: 4s unless set, for an upload 2m.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    deadline: Option<Duration>,
    /// For so long a command is given, and given again while the printer cannot be reached or does not do it: 60s unless
    /// set, for an upload 10m. One that is older is not given any more. A start is given again only if it has certainly
    /// not reached the printer.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    ttl: Option<Duration>,
}

/// What `printers` may be, for the JSON schema.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only described, never made")]
enum Printers {
    File(String),
    Here(BTreeMap<String, BTreeMap<String, String>>),
}

impl OperatorKind for Command {
    fn name(&self) -> &'static str {
        self.only.map_or("command", Protocol::name)
    }

    fn options(&self) -> schemars::Schema {
        let mut schema = schemars::schema_for!(Options);
        if let Some(protocol) = self.only {
            let outcomes = schema.get("description").and_then(|text| text.as_str()).unwrap_or_default();
            let outcomes = outcomes.split_once("\n\n").map_or("", |(_, outcomes)| outcomes);
            let about = about_sink(protocol, outcomes);
            schema.insert("description".to_owned(), about.into());
        }
        schema
    }

    fn is_sink(&self) -> bool {
        self.only.is_some()
    }

    fn plan(
        &self,
        operator: &Operator,
        from: &[StreamSpec],
        context: &PlanContext,
    ) -> Result<OperatorPlan, Diagnostics> {
        let options: Options = operator.options.parse()?;
        let mut found = Diagnostics::default();
        from.iter().for_each(|stream| options.check_columns(stream, operator, &mut found));
        options.check_files(operator, &mut found);
        let policy = options.policy(operator, &mut found);
        let written = roster(&options.printers, context);
        let named = written.and_then(|written| named(&written, self.only));
        let (printers, others) = named.map_err(|wrong| found.extend(wrong)).unwrap_or_default();
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
        let has = |name: &str| from.iter().any(|stream| stream.schema.index_of(name).is_ok());
        // What may be left out says how, not what.
        let needed = options.action.columns().iter().filter(|column| column.is_needed);
        let own = needed.map(|column| column.name).filter(|name| has(name));
        let about = own.map(str::to_owned).collect();
        let files = options.files.as_ref().map(|folder| Files::new(context.resolve(folder)));
        let manner = Arc::new(Manner { verb: options.action, files, policy });
        Ok(OperatorPlan::Asks { adds, asker: Box::new(Commands { printers, others, about, manner }) })
    }
}

/// The printers that are told, and the names of those that others tell.
fn named(written: &[Entry], only: Option<Protocol>) -> Result<(Vec<Named>, BTreeSet<String>), Diagnostics> {
    let named = printers(written, only)?;
    let own: BTreeSet<&String> = named.iter().map(|named| &named.name).collect();
    let others = written.iter().map(|entry| &entry.key.value).filter(|name| !own.contains(name)).cloned().collect();
    Ok((named, others))
}

/// What `octoprint` and `moonraker` say of themselves.
fn about_sink(protocol: Protocol, outcomes: &str) -> String {
    let (name, server) = match protocol {
        Protocol::OctoPrint => ("octoprint", "OctoPrint"),
        _ => ("moonraker", "Moonraker"),
    };
    format!(
        "Tells printers behind {server} what to do: each row that appears is one command.\n\n\
         What came of each is a row of the stream with the sink's name, which SQL, `jarvis tap` and other sinks read, and \
         `jarvis sql` as `lineage.PIPELINE.SINK`; it counts for 10m. Commands outlive a stop, a kill and an edit: one \
         that has its outcome is not given again, and one that had none yet is, until its `ttl` is over, unless the edit \
         changes `action`: then it becomes an error of the code `edited`. After an edit, a row that says the same in the columns that the action needs is the same \
         command. Otherwise a row that changes is another row: select the columns that a command needs, and none that goes on \
         changing.\n\n\
         Of a list with printers of several protocols it tells its own; rows about the others are for other sinks. \
         Under `operators:`, `{name}` is the same, with `retain` of its own; [`command`](operator-command.md) tells printers of \
         every protocol. In tests `answers:` stands in for the printers.\n\n{outcomes}"
    )
}

impl Options {
    fn check_columns(&self, stream: &StreamSpec, operator: &Operator, found: &mut Diagnostics) {
        for column in self.action.columns() {
            let (name, kind) = (column.name, data_type(column.kind));
            let message = match stream.schema.field_with_name(name) {
                Ok(field) if *field.data_type() == kind => continue,
                Ok(field) => format!("the column `{name}` of {} is {}, and not {kind}", stream.name, field.data_type()),
                Err(_) if !column.is_needed => continue,
                Err(_) => format!("{} has no column `{name}` of {kind}", stream.name),
            };
            let help = "the action needs it: add it in a view, or convert it with CAST";
            found.push(Diagnostic::error("unknown_column", message).at(&operator.name.span).help(help));
        }
    }

    fn check_files(&self, operator: &Operator, found: &mut Diagnostics) {
        match (&self.files, self.action) {
            (None, Verb::Upload) => {
                let message = "an upload takes files from one folder, and `files` does not say which";
                let help = "add `files:` with the path of a folder, from that of the pipeline";
                found.push(Diagnostic::error("missing_key", message).at(operator.options.span()).help(help));
            }
            (Some(_), action) if action != Verb::Upload => {
                let message = "`files` means nothing with this action";
                let help = "only `action: upload` takes files: leave it out";
                found.push(Diagnostic::error("wrong_value", message).at(place(operator, "files")).help(help));
            }
            _ => {}
        }
    }

    fn policy(&self, operator: &Operator, found: &mut Diagnostics) -> Policy {
        let usual = self.action.policy();
        let policy = Policy { deadline: self.deadline.unwrap_or(usual.deadline), ttl: self.ttl.unwrap_or(usual.ttl) };
        for (name, duration) in [("deadline", policy.deadline), ("ttl", policy.ttl)] {
            if duration.is_zero() {
                let error = Diagnostic::error("wrong_value", "nothing is done in no time").at(place(operator, name));
                found.push(error.help(format!("write a time such as `{name}: 10s`")));
            }
        }
        policy
    }
}

/// Where an option stands.
fn place<'o>(operator: &'o Operator, option: &str) -> &'o Span {
    operator.options.get(option).unwrap_or(&operator.options).span()
}

/// Ready to run.
struct Commands {
    printers: Vec<Named>,
    /// Printers of the list that somebody else tells.
    others: BTreeSet<String>,
    /// As [`Asker::about`].
    about: Vec<String>,
    manner: Arc<Manner>,
}

/// What all commands of one operator have in common.
struct Manner {
    verb: Verb,
    files: Option<Files>,
    policy: Policy,
}

impl Asker for Commands {
    fn marks(&self) -> String {
        let own: Vec<_> = self.printers.iter().map(|named| (&named.name, named.mark)).collect();
        format!("{own:?} {:?}", self.others)
    }
    fn about(&self) -> Vec<String> {
        self.about.clone()
    }
    fn purpose(&self) -> String {
        self.manner.verb.name().to_owned()
    }
    fn run(self: Box<Self>, mut questions: Questions) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let (tell, mut told) = mpsc::unbounded_channel();
            let (mut lines, mut serving) = (HashMap::new(), JoinSet::new());
            for Named { name, printer, .. } in self.printers {
                let (line, waiting) = mpsc::unbounded_channel();
                let operator = questions.operator().to_owned();
                serving.spawn(serve(printer, waiting, tell.clone(), self.manner.clone(), operator));
                lines.insert(name, line);
            }
            loop {
                tokio::select! {
                    asked = questions.next() => {
                        let Some(asked) = asked else { return Ok(()) };
                        for question in asked {
                            let name = Asked(&question).text("printer").unwrap_or_default();
                            match lines.get(&name) {
                                Some(line) => line.send(question).context("nobody serves the printer any more")?,
                                None if self.others.contains(&name) => questions.skip(vec![question]),
                                None => {
                                    questions.answer(vec![(question, columns(Told::unknown(&name)))]).await?;
                                }
                            }
                        }
                    }
                    Some((question, came)) = told.recv() => {
                        let came: Told = came;
                        let operator = questions.operator().to_owned();
                        metrics::counter!("jarvis_commands_total", "operator" => operator, "outcome" => came.outcome)
                            .increment(1);
                        questions.answer(vec![(question, columns(came))]).await?;
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
    manner: Arc<Manner>,
    operator: String,
) {
    let Manner { verb, files, policy } = &*manner;
    while let Some(question) = waiting.recv().await {
        let id = format!("{operator} {}", question.time());
        let given = UNIX_EPOCH + Duration::from_micros(question.time());
        let told = match verb.order(id, given, &Asked(&question), files.as_ref()).await {
            Ok(order) => carry_out(&printer, &order, policy).await,
            Err(told) => told,
        };
        if to.send((question, told)).is_err() {
            return;
        }
    }
}

fn columns(told: Told) -> Vec<ArrayRef> {
    vec![
        Arc::new(StringArray::from(vec![told.outcome])),
        Arc::new(BooleanArray::from(vec![told.already])),
        Arc::new(StringArray::from(vec![told.phase])),
        Arc::new(StringArray::from(vec![told.detail])),
        Arc::new(Float64Array::from(vec![told.took.as_secs_f64()])),
    ]
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Number => DataType::Float64,
        Kind::Flag => DataType::Boolean,
    }
}

/// A question, as the row that it is.
struct Asked<'a>(&'a Question);

impl Row for Asked<'_> {
    fn text(&self, name: &str) -> Option<String> {
        Some(column(self.0, name)?.as_string_opt::<i32>()?.value(0).to_owned())
    }
    fn number(&self, name: &str) -> Option<f64> {
        Some(column(self.0, name)?.as_primitive_opt::<Float64Type>()?.value(0))
    }
    fn flag(&self, name: &str) -> Option<bool> {
        Some(column(self.0, name)?.as_boolean_opt()?.value(0))
    }
}

fn column(question: &Question, name: &str) -> Option<ArrayRef> {
    question.alone().column_by_name(name).filter(|column| column.is_valid(0)).cloned()
}
