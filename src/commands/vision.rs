//! `jarvis vision`: good and failed prints told apart, learnt from a few pictures.

use crate::terminal;
use anyhow::Context;
use jarvis_models::vision::{Extractor, Judge, Lessons, MODEL, evaluate, pictures_in};
use jarvis_models::{Catalog, Model, Options, Store, picture};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Vision {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Learn from pictures of good prints and, if there are any, of failed ones
    Learn(Learn),
    /// Say how much pictures are like failed prints: from 0 to 1, and from 0.5 on they are taken for failures
    Score(Score),
    /// Learn from a few pictures of two folders, and test on the others
    Eval(Eval),
}

#[derive(clap::Args)]
struct Learn {
    /// Pictures of good prints (.jpg, .png, .webp, .bmp); at least two, and better ten
    #[arg(long, value_name = "DIR")]
    good: PathBuf,
    /// Pictures of failed prints
    #[arg(long, value_name = "DIR")]
    bad: Option<PathBuf>,
    /// The file that what was learnt is written to
    #[arg(long, value_name = "FILE", default_value = "judge.json")]
    out: PathBuf,
    #[command(flatten)]
    running: Running,
}

#[derive(clap::Args)]
struct Score {
    /// What `jarvis vision learn` has written
    #[arg(value_name = "JUDGE")]
    judge: PathBuf,
    #[arg(value_name = "PICTURE", required = true)]
    pictures: Vec<PathBuf>,
    #[command(flatten)]
    running: Running,
}

#[derive(clap::Args)]
struct Eval {
    /// Pictures of good prints
    #[arg(long, value_name = "DIR")]
    good: PathBuf,
    /// Pictures of failed prints
    #[arg(long, value_name = "DIR")]
    bad: PathBuf,
    /// How many pictures of each folder are learnt from
    #[arg(long, value_name = "N", default_value_t = 5)]
    shots: usize,
    /// Learn from good pictures only
    #[arg(long)]
    only_good: bool,
    /// text, or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    #[command(flatten)]
    running: Running,
}

#[derive(clap::Args)]
struct Running {
    /// The same seed deals and paints the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads that the network runs on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
}

impl Running {
    fn extractor(&self) -> anyhow::Result<Extractor> {
        let options = Options { threads: self.threads.into(), ..Options::default() };
        Ok(Extractor::new(Model::open(&Catalog::shipped()?, &Store::of_user()?, MODEL, options)?))
    }
}

impl Vision {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let (text, is_fine) = match self.what {
            What::Learn(learn) => (learn.execute()?, true),
            What::Score(score) => score.execute()?,
            What::Eval(eval) => (eval.execute()?, true),
        };
        std::io::stdout().write_all(text.as_bytes()).context("the standard output takes no more")?;
        Ok(super::status(is_fine))
    }
}

fn left_out(error: &anyhow::Error) {
    terminal::say(&format!("left out: {error:#}"));
}

impl Learn {
    fn execute(self) -> anyhow::Result<String> {
        let read = |folder: &Path| -> anyhow::Result<Vec<_>> {
            let pictures = pictures_in(folder)?.into_iter().map(|file| picture::read(&file));
            Ok(pictures.filter_map(|picture| picture.inspect_err(left_out).ok()).collect())
        };
        let bad = self.bad.as_deref().map(read).transpose()?.unwrap_or_default();
        let lessons = Lessons { good: read(&self.good)?, bad };
        let judge = Judge::learn(&self.running.extractor()?, &lessons, self.running.seed)?;
        std::fs::write(&self.out, judge.to_json()?)
            .with_context(|| format!("{} cannot be written", self.out.display()))?;
        let (good, bad) = judge.shown();
        Ok(format!(
            "learnt from {good} good and {bad} bad pictures: {}\n\
             a failure scores higher than a good picture, each left out of what was learnt: {:.3}\n",
            self.out.display(),
            judge.left_out()
        ))
    }
}

impl Score {
    fn execute(self) -> anyhow::Result<(String, bool)> {
        let file = &self.judge;
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let judge = Judge::of_json(&text).with_context(|| file.display().to_string())?;
        let extractor = self.running.extractor()?;
        let (mut said, mut is_fine) = (String::new(), true);
        for file in &self.pictures {
            let picture = match picture::read(file) {
                Ok(picture) => picture,
                Err(error) => {
                    terminal::say(&format!("{error:#}"));
                    is_fine = false;
                    continue;
                }
            };
            let features = extractor.features(&[picture])?;
            let score = features.first().map_or(0.0, |features| judge.score(features));
            said.push_str(&format!("{score:.3} {}\n", file.display()));
        }
        Ok((said, is_fine))
    }
}

impl Eval {
    fn execute(self) -> anyhow::Result<String> {
        let extractor = self.running.extractor()?;
        let found = evaluate(&extractor, &self.good, &self.bad, self.shots, self.only_good, self.running.seed)?;
        for error in &found.unreadable {
            terminal::say(&format!("left out: {error}"));
        }
        if self.format == "json" {
            return Ok(format!("{}\n", serde_json::to_string(&found)?));
        }
        let ((learnt_good, learnt_bad), (good, bad)) = (found.learnt, found.tested);
        Ok(format!(
            "auc                    {:.4}\n\
             balanced_accuracy      {:.4}\n\
             false_alarms_per_hour  {:.1}\n\
             ms_per_frame           {:.1}\n\
             learnt from            {learnt_good} good, {learnt_bad} bad\n\
             tested on              {good} good, {bad} bad\n",
            found.auc, found.balanced_accuracy, found.false_alarms_per_hour, found.ms_per_frame
        ))
    }
}
