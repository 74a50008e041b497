//! The work of `infer`: frames through a network, off the threads that speak protocols.

use super::judges::{JudgePath, Judges, Learnt};
use super::{FRAME, newest};
use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use bytes::Bytes;
use jarvis_cameras::{Frames, Hash};
use jarvis_models::vision::{Extractor, MODEL};
use jarvis_models::{Catalog, Model, Options, Store, picture};
use jarvis_runtime::asking::{Question, Questions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after a model could not be opened it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Frames, judges and the network.
pub(super) struct Inference {
    path: JudgePath,
    judges: Judges,
    sessions: usize,
    threads: usize,
    frames: Arc<Frames>,
    network: Network,
}

/// The network, if it could be opened, and when it was tried.
#[derive(Default)]
struct Network {
    open: Option<Arc<Extractor>>,
    tried: Option<Instant>,
    told: String,
}

/// A question with what is needed to answer it.
struct Task {
    question: Question,
    pixels: Bytes,
    learnt: Arc<Learnt>,
}

/// What came of looking for that.
enum Looked {
    Ready(Task),
    Skip(Question),
    Fail(Question, &'static str, String),
}

impl Inference {
    pub fn new(path: JudgePath, sessions: usize, threads: usize, frames: Option<&Path>) -> Self {
        let frames = Frames::shared(frames);
        Inference { path, judges: Judges::default(), sessions, threads, frames, network: Network::default() }
    }

    pub async fn run(mut self, mut questions: Questions, newest_per: usize) -> anyhow::Result<()> {
        while let Some(asked) = questions.next().await {
            let (asked, older) = newest(asked, newest_per);
            questions.skip(older);
            let mut asked = asked.into_iter();
            loop {
                let some: Vec<Question> = asked.by_ref().take(self.sessions).collect();
                if some.is_empty() {
                    break;
                }
                self.judge(some, &questions).await?;
            }
        }
        Ok(())
    }

    /// Answers questions at the same time.
    async fn judge(&mut self, asked: Vec<Question>, questions: &Questions) -> anyhow::Result<()> {
        // Reading frames back from the disk and opening a network take their time.
        let (looked, network) = tokio::task::block_in_place(|| {
            let looked: Vec<Looked> = asked.into_iter().map(|question| self.look(question)).collect();
            let needed = looked.iter().any(|looked| matches!(looked, Looked::Ready(_)));
            (looked, if needed { self.network.get(self.sessions, self.threads) } else { Ok(None) })
        });
        let mut told = network.as_ref().err().map(|error| format!("{error:#}"));
        let network = network.ok().flatten();
        let mut running = vec![];
        for looked in looked {
            match (looked, &network) {
                (Looked::Skip(question), _) => questions.skip(vec![question]),
                (Looked::Fail(question, code, message), _) => questions.fail(question, code, message).await?,
                (Looked::Ready(task), Some(network)) => {
                    let (network, question) = (network.clone(), task.question.clone());
                    running.push((question, tokio::task::spawn_blocking(move || task.score(&network))));
                }
                (Looked::Ready(task), None) => match told.take() {
                    Some(why) => questions.fail(task.question, "no_model", why).await?,
                    None => questions.skip(vec![task.question]),
                },
            }
        }
        for (question, scored) in running {
            let (answer, took) = match scored.await {
                Ok(scored) => scored,
                Err(error) => (Err(anyhow::anyhow!("it could not be judged: {error}")), Duration::ZERO),
            };
            metrics::histogram!("jarvis_infer_seconds", "operator" => questions.operator().to_owned())
                .record(took.as_secs_f64());
            match answer {
                Ok(answer) => questions.answer(vec![(question, answer)]).await?,
                Err(error) => questions.fail(question, "not_judged", format!("{error:#}")).await?,
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
        let learnt = match self.judges.get(&self.path.file(&row)) {
            Ok(Some(learnt)) => learnt,
            Ok(None) => return Looked::Skip(question),
            Err(error) => return Looked::Fail(question, "no_judge", format!("{error:#}")),
        };
        match self.frames.get(&hash) {
            Some(pixels) => Looked::Ready(Task { question, pixels, learnt }),
            None => Looked::Skip(question),
        }
    }
}

impl Network {
    /// `Ok(None)`: there is none, which has been said.
    fn get(&mut self, sessions: usize, threads: usize) -> anyhow::Result<Option<Arc<Extractor>>> {
        if self.open.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return Ok(self.open.clone());
        }
        self.tried = Some(Instant::now());
        let open = || -> anyhow::Result<Model> {
            Model::open(&Catalog::shipped()?, &Store::of_user()?, MODEL, Options { sessions, threads })
        };
        match open() {
            Ok(model) => self.open = Some(Arc::new(Extractor::new(model))),
            Err(error) => {
                let told = std::mem::replace(&mut self.told, format!("{error:#}"));
                if told != self.told {
                    return Err(error);
                }
            }
        }
        Ok(self.open.clone())
    }
}

impl Task {
    /// The columns that an answer adds, and how long it took.
    fn score(self, network: &Extractor) -> (anyhow::Result<Vec<ArrayRef>>, Duration) {
        let begun = Instant::now();
        let Task { pixels, learnt, .. } = self;
        let score = || -> anyhow::Result<f64> {
            let features = network.features(&[picture::useful(&pixels)?])?;
            let features = features.first().context("the network says nothing of the frame")?;
            Ok(learnt.judge.score(features))
        };
        let answer = score().map(|score| {
            let score: ArrayRef = Arc::new(Float64Array::from(vec![score]));
            let judge: ArrayRef = Arc::new(StringArray::from(vec![learnt.name.clone()]));
            vec![score, judge]
        });
        (answer, begun.elapsed())
    }
}
