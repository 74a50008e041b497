//! PrusaLink, version 1 of its API: the web server in Prusa's own firmware.
//!
//! It has no push, so it is asked. Prints have numbers, and every action names the one that it is about: the printer
//! itself refuses to pause another. Heaters cannot be set and there is no emergency stop. A key goes in `X-Api-Key`;
//! otherwise it wants a user and a password by HTTP Digest.

mod parse;

use crate::command::Action;
use crate::http::{Http, WebSettings, contents, size};
use crate::json;
use crate::report::{JobId, Report};
use crate::secret::Secret;
use crate::wire::{BadSettings, Fault, Unsent, Wire, tell};
use reqwest::{Method, Url};
use serde_json::Value;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Where a file goes that is named without a storage.
const STORAGE: &str = "usb";

/// A printer with PrusaLink. Files are named `usb/PATH` (or another storage of the printer's).
#[derive(Debug)]
pub struct PrusaLink {
    http: Http,
    interval: Duration,
    /// The print that was asked about last, with its number.
    job: Mutex<Option<(u64, Value)>>,
    /// As in [`Wire::turn`].
    turn: tokio::sync::Mutex<()>,
}

impl PrusaLink {
    /// # Errors
    /// The address or the key cannot be one. Nothing is connected yet.
    pub fn new(settings: &WebSettings) -> Result<Self, BadSettings> {
        let (http, interval) = (Http::new(settings)?, settings.interval);
        Ok(Self { http, interval, job: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    async fn look(&self) -> Result<Report, Fault> {
        let status = self.http.get(self.http.at("api/v1/status")).await?;
        let job = match json::whole(&status, "/job/id") {
            Some(number) => self.job(number).await?,
            None => self.last(),
        };
        Ok(parse::report(&status, &job))
    }

    /// The print that was asked about last.
    fn last(&self) -> Value {
        let known = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or(Value::Null, |(_, job)| job.clone())
    }

    /// What is being printed, which does not change while the number is the same.
    async fn job(&self, number: u64) -> Result<Value, Fault> {
        let known = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, job)) = known.filter(|(known, _)| *known == number) {
            return Ok(job);
        }
        let mut job = self.http.get(self.http.at("api/v1/job")).await?;
        json::keep(&mut job, &parse::is_job);
        // Between the two answers the next print may have begun.
        if json::whole(&job, "/id") != Some(number) {
            return Ok(Value::Null);
        }
        // While a print begins, its file may not have been looked at yet.
        if json::text(&job, "/file/name").is_some() {
            *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, job.clone()));
        }
        Ok(job)
    }

    /// The number of the print, for an action. The caller has just read the state.
    async fn number(&self) -> Result<u64, Unsent> {
        let not_taken = |fault: Fault| Unsent::NotTaken(fault.to_string());
        let status = self.http.get(self.http.at("api/v1/status")).await.map_err(not_taken)?;
        json::whole(&status, "/job/id").ok_or_else(|| Unsent::NotTaken("it has no print".to_owned()))
    }

    /// Names the print that was judged: if another one has begun since, the printer itself declines.
    async fn act(&self, method: Method, action: &str, about: Option<&JobId>) -> Result<(), Unsent> {
        let number = match about.and_then(parse::number) {
            Some(number) => number,
            None => self.number().await?,
        };
        let url = self.http.at(format!("api/v1/job/{number}/{action}").trim_end_matches('/'));
        self.http.act(self.http.request(method, url)).await?;
        Ok(())
    }

    fn file(&self, name: &str) -> Url {
        let path = name.trim_start_matches('/');
        let (storage, path) = path.split_once('/').unwrap_or((STORAGE, path));
        self.http.address(["api", "v1", "files", storage].into_iter().chain(path.split('/')))
    }

    async fn start(&self, file: &str) -> Result<(), Unsent> {
        self.http.act(self.http.request(Method::POST, self.file(file))).await?;
        Ok(())
    }

    async fn upload(&self, path: &Path, name: &str) -> Result<(), Unsent> {
        let unreadable = |error: std::io::Error| Unsent::Refused {
            status: 0,
            message: format!("{} cannot be read: {error}", path.display()),
        };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        let request = self.http.request(Method::PUT, self.file(name));
        let request = request
            .header("Content-Length", size)
            .header("Content-Type", "text/x.gcode")
            // RFC 8941's way to write a boolean.
            .header("Overwrite", "?1")
            .header("Print-After-Upload", "?0")
            .body(contents(file));
        self.http.act(request).await?;
        Ok(())
    }
}

impl Wire for PrusaLink {
    fn name(&self) -> &str {
        self.http.name()
    }

    async fn read(&self) -> Result<Report, Fault> {
        self.look().await
    }

    async fn send(&self, action: &Action, about: Option<&JobId>) -> Result<(), Unsent> {
        match action {
            Action::Pause => self.act(Method::PUT, "pause", about).await,
            Action::Resume => self.act(Method::PUT, "resume", about).await,
            Action::Cancel => self.act(Method::DELETE, "", about).await,
            Action::Start { file } => self.start(file).await,
            Action::Upload { path, name, .. } => self.upload(path, name).await,
            Action::Heat { .. } | Action::EmergencyStop => Err(Unsent::Unsupported),
        }
    }

    async fn has(&self, path: &Path, name: &str, is_sure: bool) -> Result<bool, Fault> {
        let listed = self.http.find(self.file(name)).await?;
        let size_there = json::whole(&listed, "/size");
        if size_there.is_none() || size_there != size(path).await {
            return Ok(false);
        }
        match json::text(&listed, "/refs/download") {
            _ if !is_sure => Ok(true),
            // A path on the same server, whatever it says.
            Some(place) => self.http.is_same(self.http.at(place.trim_start_matches('/')), path).await,
            None => Ok(false),
        }
    }

    fn secret(&self) -> Option<&Secret> {
        self.http.secret()
    }

    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    async fn follow(&self, seen: &mpsc::Sender<Report>) -> Fault {
        loop {
            let told = match self.look().await {
                Ok(report) => tell(seen, report).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = told {
                return fault;
            }
            sleep(self.interval).await;
        }
    }
}

#[cfg(test)]
pub(crate) fn read_anything(value: &Value) {
    let _ = parse::report(value, value);
}
