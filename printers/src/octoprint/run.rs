//! Which print it is.
//!
//! OctoPrint gives its prints no names, but it counts for each file in its own storage how often it has been printed to
//! an end, good or bad. The file, the time of its upload and that count tell a print from all others, and they are the
//! same for the whole print, whoever asks and however often this program has been restarted. The book is read whenever
//! OctoPrint is asked for its state, for a print can be cancelled and begun again between two looks; the socket's
//! messages have the time of the start in them, as long as OctoPrint remembers it, and the book is read when it
//! changes. A new print has the mark of the one before it for a moment: a mark that is older than the print is not its
//! own. OctoPrint counts a print a moment after it has ended, so a new print of the same file waits until the last one is
//! counted.
//!
//! Some prints are never counted: a power cut ends them, or they are started anew while they are paused (`restart`). The
//! next print of the file then has their count. Who saw both tells them apart by their starts, and the later one's name
//! gets its start added. Who did not, gives both one name; so a command that is older than the print is not about it
//! (`Job::began_by`), and one that names it with its start, as this program did before it was started again, is, if the
//! start can be this print's. What is left: a command that somebody gives about the lost print only after the next one of
//! the same file began, and neither was seen by this run of this program.
//!
//! The printer's own card has no such book: there the start as it was inferred takes its place (see `start`).

use super::parse::{Loaded, Mark, storage};
use crate::http::Http;
use crate::json;
use crate::report::{Ending, Job, JobId, Phase, Report};
use crate::start::{self, Begun, Start};
use crate::wire::Fault;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// A print's time may step back by so much, seconds.
const WOBBLE: f64 = 5.0;
/// A mark is set when the print begins, and the time that the print has been going on is told in whole seconds, seconds.
const MARKED: f64 = 3.0;
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
    /// Prints of the file before this one, as they are counted.
    count: u64,
    elapsed: f64,
    /// When it began, as a message of the socket had it.
    began: Option<f64>,
    /// The start as part of its name, if another print had the same count.
    again: Option<u64>,
    ending: Option<Ending>,
}

impl Run {
    fn new(file: &Loaded, count: u64) -> Self {
        let Loaded { file, date, .. } = file.clone();
        Self { file, date, count, elapsed: 0.0, began: None, again: None, ending: None }
    }

    /// Whether nothing speaks against it that this print is the one that is seen now. `mark`: when it began, as a message
    /// has it. That nobody looked for a while, or that a pause made no time go by, speaks against nothing: a print that got
    /// another name in its middle could not be paused by its old one. Nor does a message without a time: a print that is being
    /// cancelled has none.
    fn is_still(&self, elapsed: Option<f64>, mark: Option<f64>) -> bool {
        let began = self.began.zip(mark).is_none_or(|(one, other)| one == other);
        self.ending.is_none() && began && elapsed.is_none_or(|elapsed| elapsed + WOBBLE >= self.elapsed)
    }

    /// The start of a print that has the count of this one, seconds since 1970.
    fn start_anew(&self, mark: Option<Mark>, begun: Begun) -> u64 {
        let age = mark.map_or_else(|| begun.by.elapsed().unwrap_or_default().as_secs_f64(), |mark| mark.age);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = (now.as_secs_f64() - age).max(0.0) as u64;
        self.again.map_or(start, |last| start.max(last + start::APART))
    }
}

/// How a state was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// A message of the socket, with the time when the last print began.
    Pushed {
        began: Option<Mark>,
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
            let name = match file.size {
                Some(size) => format!("{}#{size}", file.file),
                None => file.file.clone(),
            };
            let began = self.starts.of(&name, report);
            report.job = began.map(|began| job(file, start::named(&name, began), None));
            report.ending = report.job.as_ref().and_then(|_| ending(report));
            return Ok(Found::Yes);
        }
        let known = self.last().clone().filter(|run| run.file == file.file && run.date == file.date);
        let upload = file.date.map_or_else(|| "?".to_owned(), |date| date.to_string());
        let begun = self.starts.begun(&format!("{}#{upload}", file.file), report);
        let run = if let Some(begun) = begun.filter(|_| report.phase.is_active()) {
            match self.running(http, path, file, report, known, (begun, source, is_sure)).await? {
                Some(run) => run,
                None => return Ok(Found::Doubtful),
            }
        } else if let Some(run) = known {
            Run { ending: run.ending.or_else(|| ending(report)), ..run }
        } else {
            let book = book(http, path).await?;
            let Some(count) = book.count.checked_sub(1) else { return Ok(Found::Yes) };
            let ending = book.last_was_good.map(|good| if good { Ending::Done } else { Ending::Cancelled });
            Run { ending, ..Run::new(file, count) }
        };
        let counted = format!("{}#{upload}.{}", file.file, run.count + 1);
        let name = run.again.map_or_else(|| counted.clone(), |again| start::named(&counted, again));
        report.job = Some(job(file, name, begun.map(|begun| begun.by)));
        report.ending = run.ending;
        *self.last() = Some(run);
        Ok(Found::Yes)
    }

    /// The print that is being made. `None`: it is doubtful.
    async fn running(
        &self,
        http: &Http,
        path: &str,
        file: &Loaded,
        report: &Report,
        known: Option<Run>,
        (begun, source, is_sure): (Begun, Source, bool),
    ) -> Result<Option<Run>, Fault> {
        let elapsed = report.elapsed;
        let is_pushed = matches!(source, Source::Pushed { .. });
        let mark = self.its_mark(source, begun, known.as_ref().filter(|run| run.is_still(elapsed, None)));
        let began = mark.map(|mark| mark.at);
        let same = known.clone().filter(|run| run.is_still(elapsed, began));
        match same {
            // A message without a mark says nothing of it.
            Some(run) if is_pushed && (began.is_none() || began == run.began) => {
                return Ok(Some(Run { elapsed: elapsed.unwrap_or(run.elapsed), ..run }));
            }
            // It may be counted before it is quite over.
            Some(run) if matches!(report.phase, Phase::Cancelling | Phase::Finishing) => return Ok(Some(run)),
            _ => {}
        }
        let ended = self.last().clone().filter(|run| run.file == file.file && run.ending.is_some());
        let count = count(http, path, ended.as_ref()).await?;
        if !is_sure && same.is_some_and(|run| count > run.count) {
            return Ok(None);
        }
        let is_counted = known.as_ref().is_none_or(|run| run.count != count);
        let again = match &known {
            _ if is_counted => None,
            Some(run) if run.is_still(elapsed, began) => run.again,
            // The one before was never counted.
            Some(run) => Some(run.start_anew(mark, begun)),
            None => None,
        };
        let same = known.filter(|run| !is_counted && run.again == again);
        let elapsed = elapsed.or(same.as_ref().map(|run| run.elapsed)).unwrap_or(0.0);
        let began = began.or(same.and_then(|run| run.began));
        Ok(Some(Run { elapsed, began, again, ..Run::new(file, count) }))
    }

    /// The mark in a message, if it is that of the print that is being made. `same`: the print that this seems to be.
    fn its_mark(&self, source: Source, begun: Begun, same: Option<&Run>) -> Option<Mark> {
        let Source::Pushed { began: Some(mark) } = source else { return None };
        let is = |run: &Run| run.began == Some(mark.at);
        let is_its = match (same.is_some_and(is), self.last().as_ref().is_some_and(is)) {
            (true, _) => true,
            // That of the print before, which is over.
            (false, true) => false,
            (false, false) => {
                let going_on = begun.by.elapsed().unwrap_or_default().as_secs_f64();
                mark.age <= going_on + MARKED
            }
        };
        is_its.then_some(mark)
    }

    fn last(&self) -> MutexGuard<'_, Option<Run>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn job(file: &Loaded, id: String, began_by: Option<SystemTime>) -> Job {
    let Loaded { file, name, size, estimated, .. } = file.clone();
    Job { id: JobId(id), file, name, size, estimated, began_by }
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

#[cfg(test)]
mod tests;
