//! `infer`: asks a model about camera frames, and enters its answers as rows.
//!
//! * Each row of the stream in `from:` is a question about the frame whose hash stands in its column `frame`; the answer
//!   has the columns of the question and those that the model adds. Answers are recorded: a restart, `replay` and
//!   `explain` have them, and ask no model.
//! * Who falls behind takes the newest frame of each camera and skips the older ones, which
//!   `jarvis_questions_skipped_total` counts: a verdict on an old frame is worth less than one on the newest.
//! * A frame whose pixels have left the ring is skipped, too.
//! * Where there is no judge yet, or no model, an error row says so once, and what to do; as soon as there is one, frames
//!   are judged, and a judge that is learnt anew is taken up.

mod judges;
mod work;

use arrow::datatypes::{DataType, Field};
use arrow::util::display::array_value_to_string;
use jarvis_runtime::asking::{Asker, Question, Questions};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Operator};
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
/// first 16 digits of the SHA-256 of what had been learnt).
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What `jarvis vision learn` has written. `{column}` stands for the value of a column, so that each camera may have
    /// its own: `../judges/{camera}.json`.
    judge: String,
    /// Of several frames that wait, only the newest for each value of this column is asked about: `camera` unless set.
    #[serde(default = "camera")]
    newest_per: String,
    /// How many frames are judged at the same time, each on a thread of its own: 1 unless set.
    #[serde(default = "one")]
    sessions: u8,
    /// Threads of one run of the network: 1 unless set.
    #[serde(default = "one")]
    threads: u8,
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
        let judge =
            found.keep(JudgePath::parse(&options.judge, &stream.schema, context).map_err(|(unknown, columns)| {
                Diagnostic::error("unknown_column", format!("there is no column {unknown}")).at(at("judge")).suggest(
                    &unknown,
                    columns.iter().map(String::as_str),
                    "name a column of the stream that is read",
                )
            }));
        let newest_per = stream.schema.index_of(&options.newest_per).ok();
        if newest_per.is_none() {
            let columns = stream.schema.fields().iter().map(|field| field.name().as_str());
            let message = format!("there is no column {}", options.newest_per);
            let finding = Diagnostic::error("unknown_column", message).at(at("newest_per"));
            let help = "say with `newest_per` of which column's values the newest frame counts";
            found.push(finding.suggest(&options.newest_per, columns, help));
        }
        for (key, number) in [("sessions", options.sessions), ("threads", options.threads)] {
            if number == 0 {
                let finding = Diagnostic::error("wrong_value", format!("`{key}` is 0")).at(at(key));
                found.push(finding.help("write 1 or more"));
            }
        }
        let (Some(judge), Some(newest_per)) = (judge, newest_per) else { return Err(found) };
        if found.has_errors() {
            return Err(found);
        }
        let adds = vec![Field::new("score", DataType::Float64, false), Field::new("judge", DataType::Utf8, false)];
        let frames = context.data.as_ref().map(|data| data.join(jarvis_cameras::FOLDER));
        let (sessions, threads) = (options.sessions.into(), options.threads.into());
        let asker = Infers { judge, newest_per, sessions, threads, frames };
        Ok(OperatorPlan::Asks { adds, asker: Box::new(asker) })
    }
}

/// The operator, ready to run.
struct Infers {
    judge: JudgePath,
    newest_per: usize,
    sessions: usize,
    threads: usize,
    /// Where the pixels are.
    frames: Option<std::path::PathBuf>,
}

impl Asker for Infers {
    fn run(self: Box<Self>, questions: Questions) -> futures::future::BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let Infers { judge, newest_per, sessions, threads, frames } = *self;
            Inference::new(judge, sessions, threads, frames.as_deref()).run(questions, newest_per).await
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
