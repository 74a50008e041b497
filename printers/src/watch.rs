//! Follows one printer for ever.
//!
//! A printer that does not answer is looked for again after a pause that doubles up to half a minute. It is reported to
//! be offline once nothing has been heard of it for as long as the caller's patience lasts, and only once; a printer
//! that turns us away is reported at once, for it will not get better by waiting.

use crate::report::{Connection, Report};
use crate::secret::Secret;
use crate::wire::{Fault, Wire};
use crate::words;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that stood for so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

pub(crate) async fn watch(wire: &impl Wire, patience: Duration, to: mpsc::Sender<Report>) {
    let (seen, readings) = mpsc::channel(16);
    let (faults, troubles) = mpsc::channel(1);
    let teller = Teller { secret: wire.secret(), patience, heard: Instant::now(), last: None, why: None, to };
    tokio::select! {
        () = search(wire, patience, &seen, &faults) => {}
        () = teller.tell(wire.name(), readings, troubles) => {}
    }
}

/// Connects again and again.
async fn search(wire: &impl Wire, patience: Duration, seen: &mpsc::Sender<Report>, faults: &mpsc::Sender<Fault>) {
    // A printer that is back is to be seen soon, however long it was away.
    // Several attempts fit into the patience, so that one that succeeds now and then is not taken for none.
    let longest = LONGEST_PAUSE.min((patience / 3).max(FIRST_PAUSE));
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        let fault = wire.follow(seen).await;
        if faults.send(fault).await.is_err() {
            return;
        }
        if since.elapsed() > GOOD {
            pause = FIRST_PAUSE;
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Says what has changed.
struct Teller<'a> {
    secret: Option<&'a Secret>,
    patience: Duration,
    /// When the printer was last heard of.
    heard: Instant,
    last: Option<Report>,
    /// Of the last fault.
    why: Option<String>,
    to: mpsc::Sender<Report>,
}

impl Teller<'_> {
    /// Ends when nobody listens.
    async fn tell(mut self, name: &str, mut readings: mpsc::Receiver<Report>, mut troubles: mpsc::Receiver<Fault>) {
        let to = self.to.clone();
        loop {
            let is_there = self.last.as_ref().is_none_or(|last| last.connection != Connection::Offline);
            let report = tokio::select! {
                // A fault comes after the readings before it.
                biased;
                () = to.closed() => return,
                Some(report) = readings.recv() => {
                    self.heard = Instant::now();
                    report
                }
                Some(fault) = troubles.recv() => match self.fault(fault) {
                    Some(report) => report,
                    None => continue,
                },
                () = sleep_until(self.heard + self.patience), if is_there => self.offline(),
                else => return,
            };
            let report = words::report(report, self.secret);
            if self.last.as_ref().is_some_and(|last| last.says_the_same(&report)) {
                continue;
            }
            self.log(name, &report);
            self.last = Some(report.clone());
            if to.send(report).await.is_err() {
                return;
            }
        }
    }

    fn fault(&mut self, fault: Fault) -> Option<Report> {
        match fault {
            Fault::Refused { .. } => {
                self.heard = Instant::now();
                let why = fault.to_string();
                Some(Report::out_of_reach(Connection::Refused, why, self.last.as_ref()))
            }
            Fault::Away(why) => {
                self.why = Some(why);
                None
            }
        }
    }

    fn offline(&mut self) -> Report {
        let why = self.why.take().unwrap_or_else(|| format!("nothing heard of it for {:?}", self.patience));
        Report::out_of_reach(Connection::Offline, why, self.last.as_ref())
    }

    /// Says each change of the connection once.
    fn log(&self, printer: &str, report: &Report) {
        let before = self.last.as_ref().map(|last| last.connection);
        let why = report.error.as_deref().unwrap_or_default();
        match (before, report.connection) {
            (before, now) if before == Some(now) => {}
            (Some(_), Connection::Online) => tracing::info!(printer, "a printer is back"),
            (None, Connection::Online) => tracing::info!(printer, "a printer is there"),
            (_, Connection::Offline) => tracing::warn!(printer, why, "a printer is out of reach"),
            (_, Connection::Refused) => tracing::error!(printer, why, "a printer turns us away: is the key right?"),
        }
    }
}
