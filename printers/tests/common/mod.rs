//! What the tests of all protocols need.

#![allow(dead_code, reason = "each test uses what it needs")]

pub mod klipper;
pub mod proxy;
pub mod web;

use jarvis_printers::{Action, Command, JobId, Outcome, Printer, Report};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A printer with its reports.
pub struct Watched {
    pub printer: Arc<Printer>,
    reports: mpsc::Receiver<Report>,
    task: JoinHandle<()>,
    /// All that it said.
    pub seen: Vec<Report>,
}

impl Watched {
    /// `patience` before it is reported to be offline.
    pub fn new(printer: Printer, patience: Duration) -> Self {
        let printer = Arc::new(printer);
        let (sender, reports) = mpsc::channel(1000);
        let watched = Arc::clone(&printer);
        let task = tokio::spawn(async move { watched.reports(patience, sender).await });
        Self { printer, reports, task, seen: vec![] }
    }

    /// The next report for which it is so.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Report) -> bool) -> Report {
        let found = timeout(PATIENCE, async {
            loop {
                let report = self.reports.recv().await.expect("reports never end");
                self.seen.push(report.clone());
                if is_so(&report) {
                    return report;
                }
            }
        });
        match found.await {
            Ok(report) => report,
            Err(_) => panic!("no report of {what}; the last one: {:#?}", self.seen.last()),
        }
    }

    pub async fn command(&self, action: Action) -> Outcome {
        command(&self.printer, action, None).await
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn command(printer: &Printer, action: Action, job: Option<&JobId>) -> Outcome {
    within(printer, action, job, Duration::from_secs(10)).await
}

/// Carries out a command, and checks that it keeps its deadline.
pub async fn within(printer: &Printer, action: Action, job: Option<&JobId>, deadline: Duration) -> Outcome {
    let given = SystemTime::now();
    let (id, job) = ("test".to_owned(), job.cloned());
    let command = Command { id, action, job, given, deadline, send_before: None };
    let outcome = printer.command(&command).await;
    // Far more than a busy machine adds, and less than for ever.
    assert!(outcome.took < deadline + Duration::from_secs(20), "{outcome:?} after {deadline:?}");
    outcome
}
