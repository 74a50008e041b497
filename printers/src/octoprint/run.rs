//! Which print it is.
//!
//! OctoPrint gives its prints no names, but it counts for each file in its own storage how often it has been printed to
//! an end, good or bad. The file, the time of its upload and that count tell a print from all others, and they are the
//! same for the whole print, whoever asks and however often this program has been restarted. The book is read whenever
//! OctoPrint is asked for its state, for a print can be cancelled and begun again between two looks; the socket's
//! messages have the time of the start in them, as long as OctoPrint remembers it, and the book is read when it
//! changes. OctoPrint counts a print a moment after it has ended, so a new print of the same file waits until the last
//! one is counted. The printer's own card has no such book: there the start as it was observed takes its place. A print
//! that is started anew while it is paused (`restart`) stays the same print, for OctoPrint does not count the first
//! attempt.

use super::parse::{Loaded, storage};
use crate::http::Http;
use crate::json;
use crate::report::{Ending, Job, JobId, Phase, Report};
use crate::start::Start;
use crate::wire::Fault;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// A print's time may step back by so much, seconds.
const WOBBLE: f64 = 5.0;
/// OctoPrint's book-keeping takes no longer, even on a slow card.
const COUNTING: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 15;

#[derive(Debug, Default)]
pub(super) struct Runs {
    last: Mutex<Option<Run>>,
    starts: Start,
}

#[derive(Clone, Debug)]
struct Run {
    file: String,
    date: Option<u64>,
    /// Prints of the file before this one.
    count: u64,
    elapsed: f64,
    /// When it began, as a message of the socket had it.
    began: Option<f64>,
    ending: Option<Ending>,
}

/// How a state was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// A message of the socket, with the time when the last print began.
    Pushed {
        began: Option<f64>,
    },
    Asked,
}

/// What came of looking for the print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Yes,
    /// The book has one print more than it should: either the print has ended since the state was read, or it is
    /// another one. Reading both again will tell.
    Doubtful,
}

/// What OctoPrint's book says of a file.
struct Book {
    count: u64,
    last_was_good: Option<bool>,
}

impl Runs {
    /// Writes the print and its ending into the report. A file that was only selected is not a print. `is_sure`: what
    /// the book says is right, however surprising.
    pub async fn identify(
        &self,
        http: &Http,
        file: &Loaded,
        report: &mut Report,
        source: Source,
        is_sure: bool,
    ) -> Result<Found, Fault> {
        let (place, path) = storage(&file.file);
        if place != "local" {
            let began = self.starts.of(&file.file, report.phase, report.elapsed);
            report.job = began.map(|began| job(file, format!("{}@{began}", file.file)));
            report.ending = report.job.as_ref().and_then(|_| ending(report));
            return Ok(Found::Yes);
        }
        let known = self.last().clone().filter(|run| run.file == file.file && run.date == file.date);
        let run = if report.phase.is_active() {
            let elapsed = report.elapsed.unwrap_or(0.0);
            match known.filter(|run| run.ending.is_none() && elapsed + WOBBLE >= run.elapsed) {
                Some(run) if source == (Source::Pushed { began: run.began }) => Run { elapsed, ..run },
                // It may be counted before it is quite over.
                Some(run) if matches!(report.phase, Phase::Cancelling | Phase::Finishing) => run,
                known => {
                    let ended = self.last().clone().filter(|run| run.file == file.file && run.ending.is_some());
                    let count = count(http, path, ended.as_ref()).await?;
                    if !is_sure && known.is_some_and(|run| count > run.count) {
                        return Ok(Found::Doubtful);
                    }
                    let began = if let Source::Pushed { began } = source { began } else { None };
                    Run { file: file.file.clone(), date: file.date, count, elapsed, began, ending: None }
                }
            }
        } else if let Some(run) = known {
            Run { ending: run.ending.or_else(|| ending(report)), ..run }
        } else {
            let book = book(http, path).await?;
            let Some(count) = book.count.checked_sub(1) else { return Ok(Found::Yes) };
            let ending = book.last_was_good.map(|good| if good { Ending::Done } else { Ending::Cancelled });
            Run { file: file.file.clone(), date: file.date, count, elapsed: 0.0, began: None, ending }
        };
        let upload = run.date.map_or_else(|| "?".to_owned(), |date| date.to_string());
        report.job = Some(job(file, format!("{}#{upload}.{}", file.file, run.count + 1)));
        report.ending = run.ending;
        *self.last() = Some(run);
        Ok(Found::Yes)
    }

    fn last(&self) -> MutexGuard<'_, Option<Run>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn job(file: &Loaded, id: String) -> Job {
    let Loaded { file, name, size, estimated, .. } = file.clone();
    Job { id: JobId(id), file, name, size, estimated }
}

/// How a print that is no longer being made has ended. `None`: it is not known that it has.
fn ending(report: &Report) -> Option<Ending> {
    match report.phase {
        Phase::Error | Phase::Offline => Some(Ending::Failed),
        Phase::Idle if report.progress.is_some_and(|progress| progress >= 1.0) => Some(Ending::Done),
        Phase::Idle => Some(Ending::Cancelled),
        _ => None,
    }
}

/// Prints of the file before the one that has just begun.
async fn count(http: &Http, path: &str, known: Option<&Run>) -> Result<u64, Fault> {
    let mut count = book(http, path).await?.count;
    let Some(ended) = known.filter(|run| run.ending.is_some()) else { return Ok(count) };
    for _ in 0..PATIENCE {
        if count > ended.count {
            break;
        }
        sleep(COUNTING).await;
        count = book(http, path).await?.count;
    }
    Ok(count)
}

async fn book(http: &Http, path: &str) -> Result<Book, Fault> {
    let url = http.address(["api", "files", "local"].into_iter().chain(path.split('/')));
    let file = match http.get(url).await {
        Ok(file) => file,
        // Deleted since: it can be asked about no more.
        Err(Fault::Refused { status: 404, .. }) => return Ok(Book { count: 0, last_was_good: None }),
        Err(fault) => return Err(fault),
    };
    let of = |pointer: &str| json::whole(&file, pointer).unwrap_or(0);
    let count = of("/prints/success").saturating_add(of("/prints/failure"));
    Ok(Book { count, last_was_good: json::flag(&file, "/prints/last/success") })
}
