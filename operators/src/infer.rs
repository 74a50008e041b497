//! `infer`: asks a model about camera frames, and enters its answers as rows.
//!
//! * Each row of the stream in `from:` is a question about the frame whose hash stands in its column `frame`; the answer
//!   has the columns of the question and those that the model adds. Answers are recorded: a restart, `replay` and
//!   `explain` have them, and ask no model.
//! * Who falls behind takes the newest frame of each camera and skips the older ones, which
//!   `jarvis_questions_skipped_total` counts: a verdict on an old frame is worth less than one on the newest.
//! * A frame whose pixels have left the ring is skipped, too.
//! * Where there is no judge yet, or no model, an error row says so once, and what to do; as soon as there is one, frames
//!   are judged, and a judge that is learnt anew is taken up, as is a detector whose file has changed.

mod eyes;
mod judges;
mod work;

use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use eyes::{Wanted, Which};
use jarvis_models::{Catalog, Provider};
use jarvis_runtime::asking::{Asker, Question, Questions};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Operator, Span};
use judges::JudgePath;
use serde::Deserialize;
use std::collections::HashSet;
use work::Inference;

/// The column that holds the frame's hash.
const FRAME: &str = "frame";

/// The kind `infer`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Infer;

/// Asks a model about camera frames.
///
/// It reads a stream with a column `frame: utf8`, as the source `camera` has it. Answers add the columns `score: float64`
/// (how much the picture is like a failed print, from 0 to 1; from 0.5 on it is taken for one) and `judge: utf8` (the
/// first 16 digits of the SHA-256 of what had been learnt, or of the model). A detector adds the column
/// `boxes: list(struct(class: utf8, score: float64, left: float64, top: float64, width: float64, height: float64))` too,
/// in shares of the picture; its `score` is the evidence that all boxes are together.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What `jarvis vision learn` has written. `{column}` stands for the value of a column, so that each camera may have
    /// its own: `../judges/{camera}.json`.
    #[serde(default)]
    judge: Option<String>,
    /// Instead of a judge, a model that finds things: one of `jarvis models list` such as `person-detector`, or the path
    /// of an ONNX file or of a YAML file that describes one.
    #[serde(default)]
    detector: Option<String>,
    /// What a detector looks for, by the names of its classes: unless set what its description says, or all.
    #[serde(default)]
    classes: Vec<String>,
    /// The score from which on a detector tells what it finds, 0 to 1: unless set as its description says.
    #[serde(default)]
    threshold: Option<f64>,
    /// Of several frames that wait, only the newest for each value of this column is asked about: `camera` unless set.
    #[serde(default = "camera")]
    newest_per: String,
    /// How many runs of the model go on at the same time, each on a thread of its own: 1 unless set.
    #[serde(default = "one")]
    sessions: u8,
    /// How many frames go through the model in one run: 1 unless set. More are no faster on a processor, but on others.
    #[serde(default = "one")]
    batch: u8,
    /// Threads of one run of the model: 1 unless set.
    #[serde(default = "one")]
    threads: u8,
    /// What computes: `cpu` unless set, `cuda`, `tensorrt`, `openvino`, `coreml` or `directml`. All but the first need a
    /// build of ONNX Runtime that has it, which the variable `ORT_DYLIB_PATH` names.
    #[serde(default)]
    #[schemars(with = "String")]
    provider: Provider,
}

fn camera() -> String {
    "camera".to_owned()
}

fn one() -> u8 {
    1
}

impl OperatorKind for Infer {
    fn name(&self) -> &'static str {
        "infer"
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
        let at = |key: &str| operator.options.get(key).map_or_else(|| operator.options.span(), |node| node.span());
        let mut found = Diagnostics::default();
        let Some(stream) = from.first() else { return Err(found) };
        let text = |name: &str| stream.schema.field_with_name(name).is_ok_and(|f| *f.data_type() == DataType::Utf8);
        if !text(FRAME) {
            let message = format!("{} has no column `{FRAME}: utf8` with the hash of a frame", stream.name);
            let help = "name a stream of a `camera` source, or a view that keeps that column";
            found.push(Diagnostic::error("unknown_column", message).at(&operator.name.span).help(help));
        }
        let which = found.keep(which(&options, operator.options.span(), &at, context));
        let judge = options.judge.as_ref().and_then(|judge| {
            found.keep(JudgePath::parse(judge, &stream.schema, context).map_err(|(unknown, columns)| {
                Diagnostic::error("unknown_column", format!("there is no column {unknown}")).at(at("judge")).suggest(
                    &unknown,
                    columns.iter().map(String::as_str),
                    "name a column of the stream that is read",
                )
            }))
        });
        let newest_per = stream.schema.index_of(&options.newest_per).ok();
        if newest_per.is_none() {
            let columns = stream.schema.fields().iter().map(|field| field.name().as_str());
            let message = format!("there is no column {}", options.newest_per);
            let finding = Diagnostic::error("unknown_column", message).at(at("newest_per"));
            let help = "say with `newest_per` of which column's values the newest frame counts";
            found.push(finding.suggest(&options.newest_per, columns, help));
        }
        let numbers = [("sessions", options.sessions), ("batch", options.batch), ("threads", options.threads)];
        for (key, number) in numbers {
            if number == 0 {
                let finding = Diagnostic::error("wrong_value", format!("`{key}` is 0")).at(at(key));
                found.push(finding.help("write 1 or more"));
            }
        }
        let (Some(which), Some(newest_per)) = (which, newest_per) else { return Err(found) };
        if found.has_errors() {
            return Err(found);
        }
        let adds = eyes::columns(&which);
        let frames = context.data.as_ref().map(|data| data.join(jarvis_cameras::FOLDER));
        let runs = jarvis_models::Options {
            sessions: options.sessions.into(),
            threads: options.threads.into(),
            provider: options.provider,
        };
        let (classes, threshold) = (options.classes, options.threshold);
        let wanted = Wanted { which, classes, threshold, options: runs };
        let asker = Infers { judge, wanted, newest_per, batch: options.batch.into(), frames };
        Ok(OperatorPlan::Asks { adds, asker: Box::new(asker) })
    }
}

/// Who is asked.
fn which<'n>(
    options: &Options,
    all: &Span,
    at: &impl Fn(&str) -> &'n Span,
    context: &PlanContext,
) -> Result<Which, Diagnostic> {
    match (&options.judge, &options.detector) {
        (Some(_), None) if !options.classes.is_empty() => {
            let finding = Diagnostic::error("wrong_value", "a judge knows no classes").at(at("classes"));
            Err(finding.help("leave `classes` out, or ask a `detector`"))
        }
        (Some(_), None) if options.threshold.is_some() => {
            let finding = Diagnostic::error("wrong_value", "a judge scores every frame").at(at("threshold"));
            Err(finding.help("leave `threshold` out, or ask a `detector`"))
        }
        (None, Some(_)) if options.threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) => {
            let finding = Diagnostic::error("wrong_value", "`threshold` lies in 0 to 1").at(at("threshold"));
            Err(finding.help("write a share such as 0.3"))
        }
        (Some(_), None) => Ok(Which::Judged),
        (None, Some(detector)) => {
            let path = context.folder.join(detector);
            let is_file = [".onnx", ".yaml", ".yml"].iter().any(|ending| detector.to_lowercase().ends_with(ending));
            if is_file {
                return Ok(Which::Described(path));
            }
            let catalog = Catalog::shipped().map(|catalog| catalog.models).unwrap_or_default();
            let detectors = catalog.into_iter().filter(|(_, entry)| entry.detection.is_some());
            let detectors: Vec<String> = detectors.map(|(name, _)| name).collect();
            if detectors.contains(detector) {
                return Ok(Which::Shipped(detector.clone()));
            }
            let finding = Diagnostic::error("wrong_value", format!("there is no detector {detector:?}"));
            let help = "name one of the catalog, or a file that ends in .onnx or .yaml";
            Err(finding.at(at("detector")).suggest(detector, detectors.iter().map(String::as_str), help))
        }
        (Some(_), Some(_)) => {
            let finding = Diagnostic::error("wrong_value", "a frame is shown to a judge or to a detector, not to both");
            Err(finding.at(at("detector")).help("write an operator for each"))
        }
        (None, None) => {
            let finding = Diagnostic::error("missing_key", "it does not say who is asked").at(all);
            Err(finding.help("name what `jarvis vision learn` has written with `judge:`, or a model with `detector:`"))
        }
    }
}

/// The operator, ready to run.
struct Infers {
    judge: Option<JudgePath>,
    wanted: Wanted,
    newest_per: usize,
    batch: usize,
    /// Where the pixels are.
    frames: Option<std::path::PathBuf>,
}

impl Asker for Infers {
    fn run(self: Box<Self>, questions: Questions) -> futures::future::BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let Infers { judge, wanted, newest_per, batch, frames } = *self;
            Inference::new(judge, wanted, batch, frames.as_deref()).run(questions, newest_per).await
        })
    }
}

/// The newest question for each value of a column, in the order in which they came, and the others.
fn newest(questions: Vec<Question>, column: usize) -> (Vec<Question>, Vec<Question>) {
    let of =
        |question: &Question| array_value_to_string(question.rows.column(column), question.row).unwrap_or_default();
    let mut seen = HashSet::new();
    let (mut newest, mut older) = (vec![], vec![]);
    for question in questions.into_iter().rev() {
        if seen.insert(of(&question)) { newest.push(question) } else { older.push(question) }
    }
    newest.reverse();
    (newest, older)
}
