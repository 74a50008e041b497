//! Operators that ask something outside: a model, a service, a person.
//!
//! The questions are the rows that appear in a stream; they leave as a sink's rows do, once what caused them is durable.
//! The answers enter as a source's rows do: the log keeps them, so what runs again has them and asks nobody. A question
//! counts as told when its answer is durable. With each answer the log notes which questions have theirs, so that
//! a killed process asks again what was not answered, and nothing else.
//!
//! A question that is taken back before it was answered is answered all the same. Who falls behind may skip questions,
//! and says so.
//!
//! What an edit of the pipeline says in other words is no new question: rows that agree with ones that stood before, in what a
//! question is about ([`Asker::about`]), are not asked about again, and what is open is asked in the columns of now. Only
//! where something else is done now ([`Asker::purpose`]), or the columns do not fit, what is open becomes an error.

mod open;

use crate::again::conform;
use crate::arrival::{Arrival, Decoded, Note, RowError};
use crate::closed::ClosedBatch;
use crate::kinds::{Closed, Feed, LiveSource, SinkDriver, SinkPlan, SourcePlan};
use crate::publish::Publish;
use anyhow::Context;
use arrow::array::ArrayRef;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
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
    /// The columns that say what a question is about: after an edit, a row that agrees in them with one that stood before is
    /// not asked about again. Empty: those that the stream has before and after the edit.
    fn about(&self) -> Vec<String> {
        vec![]
    }
    /// What it does about a question. Questions that are open when an edit changes this are not asked of the new one: they
    /// become errors.
    fn purpose(&self) -> String {
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
    let between = Arc::new(Between {
        name: name.to_owned(),
        question: question.clone(),
        about: asker.about(),
        purpose: asker.purpose(),
        state: Mutex::default(),
        asked: Notify::new(),
        taken: Notify::new(),
        delivered: Arc::default(),
    });
    let asking = Asking { between: between.clone(), codec: Codec::new(question.clone())? };
    let answering = Answering { between, asker, schema: answer.clone() };
    let publish = Publish::changes(name);
    Ok((SinkPlan { publish, driver: Box::new(asking) }, SourcePlan::Live(Box::new(answering))))
}

/// What both ends see.
pub struct Between {
    name: String,
    /// The columns of questions.
    question: SchemaRef,
    about: Vec<String>,
    /// As [`Asker::purpose`].
    purpose: String,
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
    /// Those that will not be asked, and why; they become errors.
    left: Vec<(Question, String)>,
    /// Those that have no durable answer.
    open: BTreeMap<Id, Open>,
    /// Answered, and later than the first that is not.
    beyond: BTreeSet<Id>,
    /// Questions before this time have all been told, µs.
    upper: u64,
    /// Whether somebody answers yet.
    is_answering: bool,
    /// How many answers wait for the graph to take them.
    giving: usize,
    /// Who is asked instead, since a reload.
    successor: Option<Arc<Between>>,
    notes: u64,
}

/// A question without a durable answer.
#[derive(Clone, Debug)]
struct Open {
    question: Question,
    /// It has one that is not durable yet.
    is_answered: bool,
    /// Why it will not be asked.
    left: Option<String>,
}

impl State {
    fn ask(&mut self, question: Question) {
        self.open.insert(question.id, Open { question: question.clone(), is_answered: false, left: None });
        self.waiting.push_back(question);
    }
    fn leave(&mut self, question: Question, why: String) {
        let open = Open { question: question.clone(), is_answered: false, left: Some(why.clone()) };
        self.open.insert(question.id, open);
        self.left.push((question, why));
    }
    /// Before this time every question has been answered or skipped.
    fn answered_upto(&self) -> u64 {
        let open = self.open.iter().find(|(_, open)| !open.is_answered);
        open.map_or(self.upper, |((time, _), _)| *time)
    }
    /// Before this time every question has a durable answer or was skipped.
    fn delivered_upto(&self) -> u64 {
        self.open.first_key_value().map_or(self.upper, |((time, _), _)| *time)
    }
    fn is_answered(&mut self, id: Id) {
        if let Some(open) = self.open.get_mut(&id) {
            open.is_answered = true;
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
        state.left.clear();
        let (left, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.open).into_values().partition(|open| open.left.is_some());
        state.successor = Some(successor.clone());
        drop(state);
        self.taken.notify_one();
        let left = left.into_iter().filter_map(|open| Some((open.question, open.left?))).collect();
        self.pass_on(successor, open.into_iter().map(|open| open.question).collect(), left, 0);
    }
    /// To whoever is asked instead.
    fn pass_on(&self, successor: &Between, questions: Vec<Question>, mut left: Vec<(Question, String)>, upper: u64) {
        if self.purpose == successor.purpose {
            return successor.take(questions, left, upper);
        }
        let why = successor.is_not_for(&self.purpose);
        left.extend(questions.into_iter().map(|question| (question, why.clone())));
        successor.take(vec![], left, upper);
    }
    /// Why what was asked for another purpose is not done here.
    fn is_not_for(&self, purpose: &str) -> String {
        match (purpose, self.purpose.as_str()) {
            ("", _) | (_, "") => "an edit put another kind of operator here".to_owned(),
            (was, is) => format!("an edit put `{is}` in the place of `{was}`"),
        }
    }
    /// As [`Asker::about`].
    pub fn about(&self) -> &[String] {
        &self.about
    }
    /// Asks whoever is asked now, and leaves questions, each with the reason; `upper`: no more questions come from before this
    /// time, µs.
    fn take(&self, questions: Vec<Question>, left: Vec<(Question, String)>, upper: u64) {
        let mut state = self.state();
        if let Some(successor) = state.successor.clone() {
            drop(state);
            return self.pass_on(&successor, questions, left, upper);
        }
        state.upper = state.upper.max(upper);
        for question in questions {
            match self.fitting(&question) {
                Ok(question) => state.ask(question),
                Err(why) => state.leave(question, format!("an edit changed the columns: {why}")),
            }
        }
        left.into_iter().for_each(|(question, why)| state.leave(question, why));
        self.tell_delivered(&state);
        drop(state);
        self.asked.notify_one();
    }
    /// A question in the columns of now: those that it did not have are null.
    fn fitting(&self, question: &Question) -> Result<Question, String> {
        if question.rows.schema().fields() == self.question.fields() {
            return Ok(question.clone());
        }
        let rows = conform(&question.alone(), &self.question)?;
        Ok(Question { rows, row: 0, ..question.clone() })
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
}

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
                    let state = self.between.state();
                    // Before somebody answers, questions wait however many they are: that is while a log runs again. And
                    // who waits for the graph to take an answer cannot take questions: the graph must not wait for it.
                    let may_wait = state.waiting.len() < MOST_WAITING || !state.is_answering || state.giving > 0;
                    if may_wait || state.successor.is_some() {
                        break;
                    }
                }
                taken.await;
            }
            self.between.take(questions, vec![], batch.upper);
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
        let open: Vec<Open> = self.between.state().open.values().cloned().collect();
        Box::pin(async move { open::written(&open, &self.between.purpose) })
    }
    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let (mut asked, mut left) = (vec![], vec![]);
            for (open, purpose) in open::read(&snapshot).context("the questions that were open cannot be read")? {
                let is_other = purpose != self.between.purpose;
                match open.left.or_else(|| is_other.then(|| self.between.is_not_for(&purpose))) {
                    Some(why) => left.push((open.question, why)),
                    None => asked.push(open.question),
                }
            }
            self.between.take(asked, left, 0);
            Ok(())
        })
    }
}

/// The end that answers enter by.
struct Answering {
    between: Arc<Between>,
    asker: Box<dyn Asker>,
    schema: SchemaRef,
}

impl LiveSource for Answering {
    fn marks(&self) -> String {
        format!("{:?} {}", self.between.question, self.asker.marks())
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
            let (left, fresh) = (VecDeque::new(), vec![]);
            asker.run(Questions { between, feed, answered, schema, left, fresh }).await
        })
    }
}

/// Questions as they come, and the way back for answers.
pub struct Questions {
    between: Arc<Between>,
    feed: Feed,
    answered: Answered,
    schema: SchemaRef,
    /// Those that have come and will not be asked, with the reason, and those that will.
    left: VecDeque<(Question, String)>,
    fresh: Vec<Question>,
}

impl Questions {
    /// The operator's name, `pipeline.operator`.
    pub fn operator(&self) -> &str {
        &self.between.name
    }

    /// All questions that wait, the oldest first; waits for one. `None`: the graph has stopped. Whoever stops waiting loses none.
    pub async fn next(&mut self) -> Option<Vec<Question>> {
        loop {
            {
                let mut state = self.between.state();
                self.left.extend(state.left.drain(..));
                self.fresh.extend(state.waiting.drain(..));
            }
            self.between.taken.notify_one();
            while let Some((question, why)) = self.left.front().cloned() {
                if self.answered.holds(&question.id) {
                    self.close(vec![question]);
                } else {
                    self.fail(question, "edited", format!("it had no answer when {why}")).await.ok()?;
                }
                self.left.pop_front();
            }
            let (known, new) = self.fresh.drain(..).partition(|question| self.answered.holds(&question.id));
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

    /// Says that a question has no answer; it becomes an error.
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

    /// Nothing is noted before the graph takes it: whoever stops waiting has answered nothing.
    async fn hand_over(&self, decoded: Decoded, ids: Vec<Id>) -> Result<(), Closed> {
        let place = {
            let _giving = Giving::of(&self.between);
            self.feed.place().await?
        };
        let between = self.between.clone();
        let safe = ids.clone();
        let on_safe: Box<dyn FnOnce() + Send> = Box::new(move || between.close(&safe));
        let mut state = self.between.state();
        ids.iter().for_each(|id| state.is_answered(*id));
        let note = Some(state.note());
        // Notes arrive in their order: another answer waits for the state.
        place.fill(Arrival { decoded, note, on_safe: Some(on_safe) });
        Ok(())
    }
}

/// While it lives, an answer waits for the graph, which must not wait for questions to be taken.
struct Giving<'a>(&'a Between);

impl<'a> Giving<'a> {
    fn of(between: &'a Between) -> Self {
        between.state().giving += 1;
        between.taken.notify_one();
        Giving(between)
    }
}

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        self.0.state().giving -= 1;
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
