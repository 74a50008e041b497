//! Operators that ask something outside: a model, a service, a person.
//!
//! The questions are the rows that appear in a stream; they leave as a sink's rows do, once what caused them is durable.
//! The answers enter as a source's rows do: the log keeps them, so what runs again has them and asks nobody. A question
//! counts as told when its answer is durable. With each answer the log notes which questions have theirs, so that
//! a killed process asks again what was not answered, and nothing else.
//!
//! A question that is taken back before it was answered is answered all the same. Who falls behind may skip questions,
//! and says so.

use crate::arrival::{Arrival, Decoded, Note, RowError};
use crate::closed::ClosedBatch;
use crate::kinds::{Closed, Feed, LiveSource, SinkDriver, SinkPlan, SourcePlan};
use crate::publish::Publish;
use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use jarvis_dataflow::columns::Codec;
use jarvis_dataflow::row::{Row, hash};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Questions that may wait before whoever asks waits too.
const MOST_WAITING: usize = 10_000;

/// Answers questions.
pub trait Asker: Send {
    /// Works until there are no more questions; an `Err` stops the process with its message.
    fn run(self: Box<Self>, questions: Questions) -> BoxFuture<'static, anyhow::Result<()>>;
    /// What must be equal beside its options for a reload to keep it: what a file says that they name.
    fn marks(&self) -> String {
        String::new()
    }
}

/// A row that wants an answer.
#[derive(Clone, Debug)]
pub struct Question {
    /// Holds it, in this row.
    pub rows: RecordBatch,
    pub row: usize,
    /// How many copies of it came.
    count: i64,
    id: Id,
}

impl Question {
    /// When it was asked, µs.
    pub fn time(&self) -> u64 {
        self.id.0
    }
    /// Its row alone.
    pub fn alone(&self) -> RecordBatch {
        self.rows.slice(self.row, 1)
    }
}

/// The tick of a question, µs, and a hash of its row.
type Id = (u64, u64);

/// The two ends of an operator that asks, for questions and answers of these columns: an answer's are those of its question, then
/// those that the asker adds.
pub(crate) fn ends(
    name: &str,
    asker: Box<dyn Asker>,
    question: &SchemaRef,
    answer: &SchemaRef,
) -> anyhow::Result<(SinkPlan, SourcePlan)> {
    let between = Arc::new(Between { name: name.to_owned(), ..Between::default() });
    let asking = Asking { between: between.clone(), codec: Codec::new(question.clone())?, schema: question.clone() };
    let answering = Answering { between, asker, question: question.clone(), schema: answer.clone() };
    let publish = Publish::changes(name);
    Ok((SinkPlan { publish, driver: Box::new(asking) }, SourcePlan::Live(Box::new(answering))))
}

/// What both ends see.
#[derive(Default)]
pub struct Between {
    name: String,
    state: Mutex<State>,
    /// Questions have come.
    asked: Notify,
    /// Questions have been taken.
    taken: Notify,
    delivered: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Question>,
    /// Those that have no durable answer; `true`: they have one that is not durable yet.
    open: BTreeMap<Id, (Question, bool)>,
    /// Answered, and later than the first that is not.
    beyond: BTreeSet<Id>,
    /// Questions before this time have all been told, µs.
    upper: u64,
    /// Whether somebody answers yet.
    is_answering: bool,
    /// Whoever answers waits for the graph to take an answer.
    is_giving: bool,
    /// Who is asked instead, since a reload.
    successor: Option<Arc<Between>>,
    notes: u64,
}

impl State {
    fn ask(&mut self, question: Question) {
        self.open.insert(question.id, (question.clone(), false));
        self.waiting.push_back(question);
    }
    /// Before this time every question has been answered or skipped.
    fn answered_upto(&self) -> u64 {
        let open = self.open.iter().find(|(_, (_, is_answered))| !is_answered);
        open.map_or(self.upper, |((time, _), _)| *time)
    }
    /// Before this time every question has a durable answer or was skipped.
    fn delivered_upto(&self) -> u64 {
        self.open.first_key_value().map_or(self.upper, |((time, _), _)| *time)
    }
    fn is_answered(&mut self, id: Id) {
        if let Some((_, is_answered)) = self.open.get_mut(&id) {
            *is_answered = true;
        }
        self.beyond.insert(id);
        let upto = self.answered_upto();
        self.beyond = self.beyond.split_off(&(upto, 0));
    }
    /// What the log is told with an answer: up to when all have theirs, and which later ones.
    fn note(&mut self) -> Note {
        let mut words = self.answered_upto().to_le_bytes().to_vec();
        words.extend(self.beyond.iter().flat_map(|(time, hash)| [time.to_le_bytes(), hash.to_le_bytes()]).flatten());
        let first = self.notes;
        self.notes += 1;
        Note { first, count: 1, done: first, words }
    }
}

/// What a log says has been answered.
#[derive(Debug, Default, PartialEq)]
struct Answered {
    upto: u64,
    beyond: BTreeSet<Id>,
}

impl Answered {
    fn of(note: &Note) -> Option<Self> {
        let numbers: Vec<u64> =
            note.words.chunks_exact(8).map(|b| b.try_into().map(u64::from_le_bytes)).collect::<Result<_, _>>().ok()?;
        let (upto, rest) = numbers.split_first()?;
        Some(Answered { upto: *upto, beyond: rest.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect() })
    }
    fn holds(&self, id: &Id) -> bool {
        id.0 < self.upto || self.beyond.contains(id)
    }
}

impl Between {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// From now on another is asked, also what is open here. An answer that is under way from a source that has been
    /// replaced does not arrive; one that has arrived is in the log, and its question is known there.
    pub fn hand_over_to(&self, successor: &Arc<Between>) {
        let mut state = self.state();
        state.waiting.clear();
        for (_, (question, _)) in std::mem::take(&mut state.open) {
            successor.state().ask(question);
        }
        state.successor = Some(successor.clone());
        drop(state);
        self.taken.notify_one();
        successor.asked.notify_one();
    }
    fn tell_delivered(&self, state: &State) {
        self.delivered.fetch_max(state.delivered_upto(), Ordering::Release);
    }
    /// They have durable answers, or were skipped.
    fn close(&self, ids: &[Id]) {
        let mut state = self.state();
        for id in ids {
            state.open.remove(id);
        }
        self.tell_delivered(&state);
    }
}

/// The end that questions leave by.
struct Asking {
    between: Arc<Between>,
    codec: Codec,
    schema: SchemaRef,
}

/// Of an open question, beside its columns.
const OWN: [&str; 3] = ["__time", "__hash", "__count"];

impl Asking {
    fn questions(&self, batch: &ClosedBatch) -> anyhow::Result<Vec<Question>> {
        let encoded = self.codec.encode(batch.rows.columns(), batch.rows.num_rows())?;
        let asked = encoded.iter().enumerate().filter(|(row, _)| batch.diffs[*row] > 0);
        let question = |(row, encoded): (usize, &Row)| {
            let id = (batch.times[row], hash(encoded.bytes()));
            Question { rows: batch.rows.clone(), row, count: batch.diffs[row], id }
        };
        Ok(asked.map(question).collect())
    }
}

impl SinkDriver for Asking {
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let questions = self.questions(batch)?;
            loop {
                let taken = self.between.taken.notified();
                {
                    let mut state = self.between.state();
                    if let Some(successor) = state.successor.clone() {
                        drop(state);
                        let mut state = successor.state();
                        state.upper = state.upper.max(batch.upper);
                        questions.into_iter().for_each(|question| state.ask(question));
                        drop(state);
                        successor.asked.notify_one();
                        return Ok(());
                    }
                    // Before somebody answers, questions wait however many they are: that is while a log runs again. And
                    // who waits for the graph to take an answer cannot take questions: the graph must not wait for it.
                    if state.waiting.len() < MOST_WAITING || !state.is_answering || state.is_giving {
                        state.upper = state.upper.max(batch.upper);
                        questions.into_iter().for_each(|question| state.ask(question));
                        self.between.tell_delivered(&state);
                        break;
                    }
                }
                taken.await;
            }
            self.between.asked.notify_one();
            Ok(())
        })
    }
    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let mut state = self.between.state();
            state.upper = state.upper.max(batch.upper);
            Ok(())
        })
    }
    fn between(&self) -> Option<Arc<Between>> {
        Some(self.between.clone())
    }
    fn delivered(&self) -> Option<Arc<AtomicU64>> {
        Some(self.between.delivered.clone())
    }
    /// The questions that have no durable answer: a restart asks them again, although they have been told.
    fn snapshot(&mut self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        let open: Vec<Question> = self.between.state().open.values().map(|(question, _)| question.clone()).collect();
        Box::pin(async move { written(&self.schema, &open) })
    }
    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let open = read(&snapshot).context("the questions that were open cannot be read")?;
            let own = |question: &Question| question.rows.schema().fields() == self.schema.fields();
            let (open, others): (Vec<_>, Vec<_>) = open.into_iter().partition(own);
            if !others.is_empty() {
                tracing::warn!(
                    operator = self.between.name,
                    questions = others.len(),
                    "open questions had other columns, and are not asked any more"
                );
            }
            open.into_iter().for_each(|question| self.between.state().ask(question));
            self.between.asked.notify_one();
            Ok(())
        })
    }
}

/// Questions as an Arrow IPC stream: their columns, then time, hash and number.
fn written(schema: &SchemaRef, questions: &[Question]) -> anyhow::Result<Vec<u8>> {
    let own = schema.fields().iter().cloned();
    let more = OWN.map(|name| Arc::new(Field::new(name, DataType::UInt64, false)));
    let whole: SchemaRef = Arc::new(Schema::new(own.chain(more).collect::<Vec<_>>()));
    let mut writer = StreamWriter::try_new(vec![], &whole)?;
    for question in questions {
        let numbers = [question.id.0, question.id.1, question.count.unsigned_abs()];
        let more = numbers.map(|number| Arc::new(UInt64Array::from(vec![number])) as ArrayRef);
        let columns = question.alone().columns().iter().cloned().chain(more).collect();
        writer.write(&RecordBatch::try_new(whole.clone(), columns)?)?;
    }
    writer.finish()?;
    Ok(writer.into_inner()?)
}

fn read(snapshot: &[u8]) -> anyhow::Result<Vec<Question>> {
    if snapshot.is_empty() {
        return Ok(vec![]);
    }
    let mut questions = vec![];
    for rows in StreamReader::try_new(snapshot, None)? {
        let rows = rows?;
        let own = rows.num_columns().checked_sub(OWN.len()).context("it has too few columns")?;
        let number = |at: usize| {
            let column = rows.column(own + at).as_primitive_opt::<UInt64Type>();
            column.filter(|column| column.len() == 1).map(|column| column.value(0)).context("it is of another form")
        };
        let (id, count) = ((number(0)?, number(1)?), number(2)?.cast_signed());
        questions.push(Question { rows: rows.project(&(0..own).collect::<Vec<_>>())?, row: 0, count, id });
    }
    Ok(questions)
}

/// The end that answers enter by.
struct Answering {
    between: Arc<Between>,
    asker: Box<dyn Asker>,
    question: SchemaRef,
    schema: SchemaRef,
}

impl LiveSource for Answering {
    fn marks(&self) -> String {
        format!("{:?} {}", self.question, self.asker.marks())
    }
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let Answering { between, asker, schema, .. } = *self;
            let note = feed.restored.notes.last();
            let answered = note.and_then(Answered::of).unwrap_or_default();
            {
                let mut state = between.state();
                state.is_answering = true;
                state.notes = note.map_or(0, |note| note.first + 1);
                // What the next notes say includes what the log says already.
                state.beyond.extend(answered.beyond.iter().copied());
                state.upper = state.upper.max(answered.upto);
            }
            between.taken.notify_one();
            asker.run(Questions { between, feed, answered, schema }).await
        })
    }
}

/// Questions as they come, and the way back for answers.
pub struct Questions {
    between: Arc<Between>,
    feed: Feed,
    answered: Answered,
    schema: SchemaRef,
}

impl Questions {
    /// The operator's name, `pipeline.operator`.
    pub fn operator(&self) -> &str {
        &self.between.name
    }

    /// All questions that wait, the oldest first; waits for one. `None`: the graph has stopped.
    pub async fn next(&mut self) -> Option<Vec<Question>> {
        loop {
            let waiting: Vec<Question> = self.between.state().waiting.drain(..).collect();
            self.between.taken.notify_one();
            let (known, new) = waiting.into_iter().partition(|question| self.answered.holds(&question.id));
            self.close(known);
            if !new.is_empty() {
                return Some(new);
            }
            tokio::select! {
                () = self.between.asked.notified() => {}
                () = self.feed.closed() => return None,
            }
        }
    }

    /// Resolves when the graph has stopped.
    pub async fn closed(&self) {
        self.feed.closed().await
    }

    /// Gives answers: for each question one value of each column that the operator adds.
    ///
    /// # Errors
    /// The columns are not those of the operator; the graph has stopped.
    pub async fn answer(&self, answers: Vec<(Question, Vec<ArrayRef>)>) -> anyhow::Result<()> {
        let Some(weights) = nonempty(answers.iter().map(|(question, _)| question.count).collect()) else {
            return Ok(());
        };
        let row = |(question, added): &(Question, Vec<ArrayRef>)| {
            let columns = question.alone().columns().iter().chain(added).cloned().collect();
            RecordBatch::try_new(self.schema.clone(), columns)
        };
        let rows = answers
            .iter()
            .map(row)
            .collect::<Result<Vec<_>, _>>()
            .context("an answer has other columns than it should")?;
        let rows = concat_batches(&self.schema, &rows)?;
        let decoded = Decoded { rows, weights: Some(weights), errors: vec![], bytes: 0 };
        let ids = answers.into_iter().map(|(question, _)| question.id).collect();
        Ok(self.hand_over(decoded, ids).await?)
    }

    /// Says that a question has no answer; it becomes an error row.
    ///
    /// # Errors
    /// The graph has stopped.
    pub async fn fail(&self, question: Question, code: &'static str, message: impl Into<String>) -> Result<(), Closed> {
        let input = jarvis_dataflow::ops::map::describe(&question.rows, question.row);
        let errors = vec![RowError { code, message: message.into(), input }];
        let decoded = Decoded { rows: RecordBatch::new_empty(self.schema.clone()), weights: None, errors, bytes: 0 };
        self.hand_over(decoded, vec![question.id]).await
    }

    /// Leaves questions unanswered, because newer ones matter more; they are counted.
    pub fn skip(&self, questions: Vec<Question>) {
        let skipped = questions.len() as u64;
        metrics::counter!("jarvis_questions_skipped_total", "operator" => self.between.name.clone()).increment(skipped);
        self.close(questions);
    }

    fn close(&self, questions: Vec<Question>) {
        self.between.close(&questions.into_iter().map(|question| question.id).collect::<Vec<_>>());
    }

    async fn hand_over(&self, decoded: Decoded, ids: Vec<Id>) -> Result<(), Closed> {
        let note = {
            let mut state = self.between.state();
            ids.iter().for_each(|id| state.is_answered(*id));
            state.note()
        };
        let between = self.between.clone();
        let on_safe: Box<dyn FnOnce() + Send> = Box::new(move || between.close(&ids));
        self.between.state().is_giving = true;
        self.between.taken.notify_one();
        let sent = self.feed.send(Arrival { decoded, note: Some(note), on_safe: Some(on_safe) }).await;
        self.between.state().is_giving = false;
        sent
    }
}

impl Drop for Questions {
    /// Nobody answers any more: who asks does not wait for it.
    fn drop(&mut self) {
        self.between.state().is_answering = false;
        self.between.taken.notify_one();
    }
}

fn nonempty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
