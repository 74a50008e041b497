//! Moonraker: the web server in front of Klipper.
//!
//! News come over its WebSocket as JSON-RPC: the whole state once, then what has changed, which is laid over it. Reads
//! of a command and the commands themselves go over HTTP, each in a connection of its own, for `print/pause` answers
//! only when the macro behind it has ended. Moonraker's history numbers the prints, and that number names them here;
//! where it keeps none, the start does.
//!
//! An emergency stop goes to Moonraker's own method. `M112` as a script would wait behind everything that is queued.
//! Heaters are set by a script, there is no other way; the script is made here, of a heater's name and a number.

mod digest;
mod follow;
mod parse;

use crate::command::Action;
use crate::http::{Http, WebSettings, contents, size};
use crate::json;
use crate::report::{Job, JobId, Phase, Report};
use crate::secret::Secret;
use crate::start::{self, Start};
use crate::wire::{BadSettings, Fault, Unsent, Wire};
use reqwest::{Method, multipart};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Moonraker writes a print into its history a moment after it has begun.
const WRITING: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 10;

/// A printer behind Moonraker. Files are named by their path in its `gcodes`.
#[derive(Debug)]
pub struct Moonraker {
    http: Http,
    interval: Duration,
    starts: Start,
    /// The file that was last asked about.
    file: Mutex<Option<File>>,
    /// As in [`Wire::turn`].
    turn: tokio::sync::Mutex<()>,
}

/// What the slicer has written into a file.
#[derive(Clone, Debug, PartialEq)]
struct File {
    name: String,
    size: Option<u64>,
    estimated: Option<f64>,
    layers: Option<u32>,
}

/// What the history says of the last print.
struct Entry {
    id: String,
    file: String,
    is_running: bool,
}

impl Moonraker {
    /// # Errors
    /// The address or the key cannot be one. Nothing is connected yet.
    pub fn new(settings: &WebSettings) -> Result<Self, BadSettings> {
        let http = Http::new(settings)?;
        let (starts, file, turn) = (Start::default(), Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { http, interval: settings.interval, starts, file, turn })
    }

    /// Asks for everything.
    async fn look(&self) -> Result<Report, Fault> {
        let info = self.http.get(self.http.at("server/info")).await?;
        match json::text(&info, "/result/klippy_state").unwrap_or_default() {
            "ready" => {}
            "disconnected" => {
                let error = Some("Klipper is not running".to_owned());
                return Ok(Report { error, ..Report::online(Phase::Offline) });
            }
            state => return Ok(self.down(state).await),
        }
        let objects = self.http.get(self.http.at("printer/objects/list")).await?;
        let query = json!({ "objects": parse::objects(objects.pointer("/result/objects")) });
        let request = self.http.request(Method::POST, self.http.at("printer/objects/query")).json(&query);
        let answer = self.http.ask(request).await?;
        let report = parse::report(answer.pointer("/result/status").unwrap_or(&Value::Null));
        self.complete(report).await
    }

    /// Klipper runs, but cannot print: it has shut down, or has not started up.
    async fn down(&self, state: &str) -> Report {
        let info = self.http.get(self.http.at("printer/info")).await.unwrap_or_default();
        let said = json::text(&info, "/result/state_message").unwrap_or(state);
        let phase = if state == "startup" { Phase::Unknown } else { Phase::Error };
        Report { error: Some(said.to_owned()), ..Report::online(phase) }
    }

    /// Completes a report with the print and its file.
    async fn complete(&self, (mut report, file): (Report, Option<String>)) -> Result<Report, Fault> {
        let Some(name) = file else { return Ok(report) };
        let file = self.file(&name).await;
        let entry = self.entry(&name, report.phase.is_active()).await?;
        let id = match entry {
            Some(entry) => Some(format!("{name}#{}", entry.id)),
            None => self.starts.of(&name, &report).map(|began| start::named(&name, began)),
        };
        report.layers = report.layers.or(file.layers);
        report.left = report.left.or_else(|| parse::left(&report, file.estimated));
        let File { size, estimated, .. } = file;
        let shown = name.rsplit('/').next().unwrap_or(&name).to_owned();
        report.job = id.map(|id| Job { id: JobId(id), file: name, name: shown, size, estimated, began_by: None });
        if report.job.is_none() {
            report.ending = None;
        }
        Ok(report)
    }

    /// The print in the history. `None`: there is no history, or it does not know this print.
    async fn entry(&self, file: &str, is_active: bool) -> Result<Option<Entry>, Fault> {
        for _ in 0..PATIENCE {
            let Some(entry) = self.last_entry().await? else { return Ok(None) };
            if entry.file == file && (entry.is_running || !is_active) {
                return Ok(Some(entry));
            }
            if !is_active {
                break;
            }
            sleep(WRITING).await;
        }
        Ok(None)
    }

    async fn last_entry(&self) -> Result<Option<Entry>, Fault> {
        let mut url = self.http.at("server/history/list");
        url.set_query(Some("limit=1&order=desc"));
        let answer = match self.http.get(url).await {
            Ok(answer) => answer,
            // A Moonraker without `[history]`.
            Err(Fault::Refused { status: 404, .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let text = |pointer: &str| json::text(&answer, pointer).map(str::to_owned);
        let (id, file) = (text("/result/jobs/0/job_id"), text("/result/jobs/0/filename"));
        let is_running = json::text(&answer, "/result/jobs/0/status") == Some("in_progress");
        Ok(id.zip(file).map(|(id, file)| Entry { id, file, is_running }))
    }

    /// What is known of a file; asked once while it stays the same one.
    async fn file(&self, name: &str) -> File {
        let known = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|file| file.name == name) {
            return known;
        }
        let mut url = self.http.at("server/files/metadata");
        url.query_pairs_mut().append_pair("filename", name);
        // Without it a report is only poorer.
        let answer = self.http.get(url).await.unwrap_or_default();
        let file = File {
            name: name.to_owned(),
            size: json::whole(&answer, "/result/size"),
            estimated: json::number(&answer, "/result/estimated_time"),
            layers: json::small(&answer, "/result/layer_count"),
        };
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.clone());
        file
    }

    async fn post(&self, path: &str, body: Value) -> Result<(), Unsent> {
        self.http.act(self.http.request(Method::POST, self.http.at(path)).json(&body)).await?;
        Ok(())
    }

    async fn heat(&self, tool: &str, celsius: f64) -> Result<(), Unsent> {
        let Some(heater) = parse::heater(tool) else { return Err(Unsent::Unsupported) };
        let script = format!("SET_HEATER_TEMPERATURE HEATER={heater} TARGET={celsius:.1}");
        self.post("printer/gcode/script", json!({ "script": script })).await
    }

    /// Moonraker compares the file with its SHA-256 before it keeps it.
    async fn upload(&self, path: &Path, name: &str) -> Result<(), Unsent> {
        let unreadable = |error: std::io::Error| Unsent::Refused {
            status: 0,
            message: format!("{} cannot be read: {error}", path.display()),
        };
        let (checksum, size) = digest::sha256(path).await.map_err(unreadable)?;
        let source = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let part = multipart::Part::stream_with_length(contents(source), size).file_name(file.to_owned());
        let form = multipart::Form::new()
            .text("root", "gcodes")
            .text("path", folder.to_owned())
            .text("checksum", checksum)
            .part("file", part);
        let request = self.http.request(Method::POST, self.http.at("server/files/upload")).multipart(form);
        // What was known of a file of this name is no longer true.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.http.act(request).await?;
        Ok(())
    }
}

impl Wire for Moonraker {
    fn name(&self) -> &str {
        self.http.name()
    }

    async fn read(&self) -> Result<Report, Fault> {
        self.look().await
    }

    async fn send(&self, action: &Action, _: Option<&JobId>) -> Result<(), Unsent> {
        match action {
            Action::Pause => self.post("printer/print/pause", json!({})).await,
            Action::Resume => self.post("printer/print/resume", json!({})).await,
            Action::Cancel => self.post("printer/print/cancel", json!({})).await,
            Action::Start { file } => self.post("printer/print/start", json!({ "filename": file })).await,
            Action::Heat { tool, celsius } => self.heat(tool, *celsius).await,
            Action::Upload { path, name, .. } => self.upload(path, name).await,
            Action::EmergencyStop => self.post("printer/emergency_stop", json!({})).await,
        }
    }

    async fn has(&self, path: &Path, name: &str, is_sure: bool) -> Result<bool, Fault> {
        let (folder, file) = name
            .rsplit_once('/')
            .map_or(("gcodes".to_owned(), name), |(folder, file)| (format!("gcodes/{folder}"), file));
        let mut url = self.http.at("server/files/directory");
        url.query_pairs_mut().append_pair("path", &folder);
        let listing = match self.http.find(url).await {
            // So it says of a folder that is not there.
            Err(Fault::Refused { status: 400, .. }) => return Ok(false),
            listing => listing?,
        };
        let mut files = listing.pointer("/result/files").and_then(Value::as_array).into_iter().flatten();
        let listed = files.find(|listed| json::text(listed, "/filename") == Some(file));
        let listed = listed.and_then(|listed| json::whole(listed, "/size"));
        if listed.is_none() || listed != size(path).await {
            return Ok(false);
        }
        let url = self.http.address(["server", "files", "gcodes"].into_iter().chain(name.split('/')));
        Ok(!is_sure || self.http.is_same(url, path).await?)
    }

    fn secret(&self) -> Option<&Secret> {
        self.http.secret()
    }

    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    async fn follow(&self, seen: &mpsc::Sender<Report>) -> Fault {
        match self.news(seen).await {
            Err(fault) => fault,
            Ok(never) => match never {},
        }
    }
}

#[cfg(test)]
pub(crate) fn read_anything(value: &Value) {
    let (report, _) = parse::report(value);
    let _ = (parse::left(&report, None), parse::objects(Some(value)));
}
