//! PrusaLink, version 1 of its API: the web server in Prusa's own firmware.
//!
//! It has no push, so it is asked. Prints have numbers, and every action names the one that it is about: the printer
//! itself refuses to pause another. Heaters cannot be set and there is no emergency stop. The key goes in `X-Api-Key`;
//! the digest login of older firmware is not spoken.

mod parse;

use crate::command::Action;
use crate::http::{Http, WebSettings, contents};
use crate::json;
use crate::report::Report;
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
}

impl PrusaLink {
    /// # Errors
    /// The address or the key cannot be one. Nothing is connected yet.
    pub fn new(settings: &WebSettings) -> Result<Self, BadSettings> {
        Ok(Self { http: Http::new(settings)?, interval: settings.interval, job: Mutex::default() })
    }

    async fn look(&self) -> Result<Report, Fault> {
        let status = self.http.get(self.http.at("api/v1/status")).await?;
        let job = match json::whole(&status, "/job/id") {
            Some(number) => self.job(number).await?,
            None => Value::Null,
        };
        Ok(parse::report(&status, &job))
    }

    /// What is being printed, which does not change while the number is the same.
    async fn job(&self, number: u64) -> Result<Value, Fault> {
        let known = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, job)) = known.filter(|(known, _)| *known == number) {
            return Ok(job);
        }
        let job = self.http.get(self.http.at("api/v1/job")).await?;
        // Between the two answers the next print may have begun.
        if json::whole(&job, "/id") != Some(number) {
            return Ok(Value::Null);
        }
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, job.clone()));
        Ok(job)
    }

    /// The number of the print, for an action. The caller has just read the state.
    async fn number(&self) -> Result<u64, Unsent> {
        let not_taken = |fault: Fault| Unsent::NotTaken(fault.to_string());
        let status = self.http.get(self.http.at("api/v1/status")).await.map_err(not_taken)?;
        json::whole(&status, "/job/id").ok_or_else(|| Unsent::NotTaken("it has no print".to_owned()))
    }

    async fn act(&self, method: Method, action: &str) -> Result<(), Unsent> {
        // The number that was read last is the one that was judged; only without it is the printer asked again.
        let known = self.job.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(number, _)| *number);
        let number = match known {
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

    async fn upload(&self, path: &Path, name: &str, print: bool) -> Result<(), Unsent> {
        let unreadable = |error: std::io::Error| Unsent::Refused {
            status: 0,
            message: format!("{} cannot be read: {error}", path.display()),
        };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        // RFC 8941's way to write a boolean.
        let print = if print { "?1" } else { "?0" };
        let request = self.http.request(Method::PUT, self.file(name));
        let request = request
            .header("Content-Length", size)
            .header("Content-Type", "text/x.gcode")
            .header("Overwrite", "?1")
            .header("Print-After-Upload", print)
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

    async fn send(&self, action: &Action) -> Result<(), Unsent> {
        match action {
            Action::Pause => self.act(Method::PUT, "pause").await,
            Action::Resume => self.act(Method::PUT, "resume").await,
            Action::Cancel => self.act(Method::DELETE, "").await,
            Action::Start { file } => self.start(file).await,
            Action::Upload { path, name, print } => self.upload(path, name, *print).await,
            Action::Heat { .. } | Action::EmergencyStop => Err(Unsent::Unsupported),
        }
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
