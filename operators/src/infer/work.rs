//! The work of `infer`: frames through a model, off the threads that speak protocols.

use super::eyes::{Eyes, Glimpse, Lids, Wanted};
use super::judges::{JudgePath, Judges, Learnt};
use super::{FRAME, newest};
use arrow::array::{Array, ArrayRef, AsArray};
use bytes::Bytes;
use jarvis_cameras::{Frames, Hash};
use jarvis_runtime::asking::{Question, Questions};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Frames, who judges them, and what looks at them.
pub(super) struct Inference {
    /// `None`: what looks at a frame says all there is to say.
    judged: Option<(JudgePath, Judges)>,
    lids: Lids,
    sessions: usize,
    batch: usize,
    frames: Arc<Frames>,
}

/// A question with what is needed to answer it.
struct Task {
    question: Question,
    pixels: Bytes,
    learnt: Option<Arc<Learnt>>,
}

/// What came of looking for that.
enum Looked {
    Ready(Task),
    Skip(Question),
    Fail(Question, &'static str, String),
}

/// A question and its answer, or why it has none.
type Answered = (Question, anyhow::Result<Vec<ArrayRef>>);

impl Inference {
    pub fn new(judge: Option<JudgePath>, wanted: Wanted, batch: usize, frames: Option<&Path>) -> Self {
        let (sessions, frames) = (wanted.options.sessions, Frames::shared(frames));
        let judged = judge.map(|path| (path, Judges::default()));
        Inference { judged, lids: Lids::new(wanted), sessions, batch, frames }
    }

    pub async fn run(mut self, mut questions: Questions, newest_per: usize) -> anyhow::Result<()> {
        while let Some(asked) = questions.next().await {
            let (asked, older) = newest(asked, newest_per);
            questions.skip(older);
            let mut asked = asked.into_iter();
            loop {
                let some: Vec<Question> = asked.by_ref().take(self.sessions * self.batch).collect();
                if some.is_empty() {
                    break;
                }
                self.answer(some, &questions).await?;
            }
        }
        Ok(())
    }

    /// Answers questions at the same time.
    async fn answer(&mut self, asked: Vec<Question>, questions: &Questions) -> anyhow::Result<()> {
        // Reading frames back from the disk and opening a model take their time.
        let (looked, eyes) = tokio::task::block_in_place(|| {
            let looked: Vec<Looked> = asked.into_iter().map(|question| self.look(question)).collect();
            let needed = looked.iter().any(|looked| matches!(looked, Looked::Ready(_)));
            (looked, if needed { self.lids.open() } else { Ok(None) })
        });
        let mut told = eyes.as_ref().err().map(|error| format!("{error:#}"));
        let eyes = eyes.ok().flatten();
        let mut ready = vec![];
        for looked in looked {
            match looked {
                Looked::Skip(question) => questions.skip(vec![question]),
                Looked::Fail(question, code, message) => questions.fail(question, code, message).await?,
                Looked::Ready(task) if eyes.is_some() => ready.push(task),
                Looked::Ready(task) => match told.take() {
                    Some(why) => questions.fail(task.question, "no_model", why).await?,
                    None => questions.skip(vec![task.question]),
                },
            }
        }
        let Some(eyes) = eyes else { return Ok(()) };
        let mut running = vec![];
        while !ready.is_empty() {
            let some: Vec<Task> = ready.drain(..ready.len().min(self.batch)).collect();
            let about: Vec<Question> = some.iter().map(|task| task.question.clone()).collect();
            let (eyes, operator) = (eyes.clone(), questions.operator().to_owned());
            running.push((about, tokio::task::spawn_blocking(move || see(&eyes, some, operator))));
        }
        for (about, seen) in running {
            let answered = seen.await.unwrap_or_else(|error| {
                let failed = |question| (question, Err(anyhow::anyhow!("it could not be looked at: {error}")));
                about.into_iter().map(failed).collect()
            });
            for (question, answer) in answered {
                match answer {
                    Ok(answer) => questions.answer(vec![(question, answer)]).await?,
                    Err(error) => questions.fail(question, "not_judged", format!("{error:#}")).await?,
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, question: Question) -> Looked {
        let row = question.alone();
        let frame = row.column_by_name(FRAME).and_then(|column| column.as_string_opt::<i32>());
        let Some(frame) = frame.filter(|frame| frame.is_valid(0)) else {
            return Looked::Skip(question);
        };
        let Ok(hash) = frame.value(0).parse::<Hash>() else {
            let message = format!("{:?} is no hash of a frame", frame.value(0));
            return Looked::Fail(question, "no_frame", message);
        };
        let learnt = match &mut self.judged {
            None => None,
            Some((path, judges)) => match judges.get(&path.file(&row)) {
                Ok(Some(learnt)) => Some(learnt),
                Ok(None) => return Looked::Skip(question),
                Err(error) => return Looked::Fail(question, "no_judge", format!("{error:#}")),
            },
        };
        match self.frames.get(&hash) {
            Some(pixels) => Looked::Ready(Task { question, pixels, learnt }),
            None => Looked::Skip(question),
        }
    }
}

/// Looks at frames together. One that is no picture does not keep the others from being seen.
fn see(eyes: &Eyes, tasks: Vec<Task>, operator: String) -> Vec<Answered> {
    let begun = Instant::now();
    let count = tasks.len() as f64;
    let (mut answered, mut seen, mut glimpses) = (vec![], vec![], vec![]);
    for Task { question, pixels, learnt } in tasks {
        match eyes.picture(&pixels) {
            Ok(picture) => {
                seen.push(question);
                glimpses.push(Glimpse { picture, learnt });
            }
            Err(error) => answered.push((question, Err(error))),
        }
    }
    match eyes.see(glimpses) {
        Ok(answers) => answered.extend(seen.into_iter().zip(answers.into_iter().map(Ok))),
        Err(error) => {
            let said = format!("{error:#}");
            answered.extend(seen.into_iter().map(|question| (question, Err(anyhow::anyhow!(said.clone())))));
        }
    }
    let histogram = metrics::histogram!("jarvis_infer_seconds", "operator" => operator);
    (0..answered.len()).for_each(|_| histogram.record(begun.elapsed().as_secs_f64() / count));
    answered
}
