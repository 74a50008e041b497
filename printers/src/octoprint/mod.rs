//! OctoPrint: a web server beside a printer, with its REST API and its push socket.
//!
//! The state comes over the push socket, twice a second at most. A silent socket is no proof of anything, so the server
//! is asked whenever the socket has said nothing for a moment; where the socket cannot be opened (a proxy that knows no
//! WebSocket), asking is all there is. Commands do not use the socket: they read over REST, which is never late.
//!
//! OctoPrint 2 answers in the shapes of version 1 to whoever does not send `X-OctoPrint-Api-Version`, so it is not
//! sent, and one parser reads both. Its plain `pause` is a toggle: here every command says which action it means.
//! A wrong key makes a request anonymous: reading is then forbidden (403), and a POST fails as a forged one (400).

mod parse;
mod run;

use crate::command::Action;
use crate::http::{Http, WebSettings, contents, size};
use crate::json;
use crate::report::{JobId, Phase, Report};
use crate::secret::Secret;
use crate::socket::Socket;
use crate::wire::{BadSettings, Fault, Unsent, Wire, tell};
use parse::{Live, Sight};
use reqwest::{Method, multipart};
use run::{Found, Runs, Source};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// After so much silence of the socket the server is asked.
const SILENCE: Duration = Duration::from_secs(3);
/// After so much, the socket is opened anew: it may be dead on one side.
const DEAD: Duration = Duration::from_secs(60);
/// So long the server is asked before the socket is tried again.
const WITHOUT_SOCKET: Duration = Duration::from_secs(60);
/// The unit of the socket's throttle.
const PACE: Duration = Duration::from_millis(500);

/// A printer behind OctoPrint. Files are named by their path in its local storage, or `sdcard:NAME`.
#[derive(Debug)]
pub struct OctoPrint {
    http: Http,
    interval: Duration,
    runs: Runs,
    /// As in [`Wire::turn`].
    turn: tokio::sync::Mutex<()>,
}

impl OctoPrint {
    /// # Errors
    /// The address or the key cannot be one. Nothing is connected yet.
    pub fn new(settings: &WebSettings) -> Result<Self, BadSettings> {
        let (http, interval) = (Http::new(settings)?, settings.interval.max(PACE));
        Ok(Self { http, interval, runs: Runs::default(), turn: tokio::sync::Mutex::default() })
    }

    /// Asks for the state, and for the print that it is about.
    async fn look(&self, live: &Live) -> Result<Report, Fault> {
        match self.ask(live, false).await? {
            Some(report) => Ok(report),
            None => {
                let report = self.ask(live, true).await?;
                report.ok_or_else(|| Fault::Away("its prints change faster than they can be read".to_owned()))
            }
        }
    }

    /// `None`: the print and its state do not belong together.
    async fn ask(&self, live: &Live, is_sure: bool) -> Result<Option<Report>, Fault> {
        let (job, printer) =
            futures::join!(self.http.get(self.http.at("api/job")), self.http.get(self.http.at("api/printer")));
        let printer = match printer {
            Ok(printer) => printer,
            // No printer is connected; the job's text says how it came to that.
            Err(Fault::Refused { status: 409, .. }) => Value::Null,
            Err(fault) => return Err(fault),
        };
        self.report(parse::asked(&job?, &printer, live), Source::Asked, is_sure).await
    }

    /// Completes what was seen with the print that it is.
    async fn report(&self, sight: Sight, source: Source, is_sure: bool) -> Result<Option<Report>, Fault> {
        let Sight { mut report, file } = sight;
        if let Some(file) = file {
            match self.runs.identify(&self.http, &file, &mut report, source, is_sure).await? {
                Found::Yes => {}
                Found::Doubtful => return Ok(None),
            }
        }
        Ok(Some(report))
    }

    /// Asks again and again.
    async fn poll(&self, seen: &mpsc::Sender<Report>, end: Instant) -> Result<(), Fault> {
        while Instant::now() < end {
            tell(seen, self.look(&Live::default()).await?).await?;
            sleep(self.interval).await;
        }
        Ok(())
    }

    /// Follows the push socket.
    async fn push(&self, seen: &mpsc::Sender<Report>, mut socket: Socket) -> Result<(), Fault> {
        let mut live = Live::default();
        let mut heard = Instant::now();
        let mut asked = heard;
        loop {
            tokio::select! {
                message = socket.next() => {
                    let message = message.map_err(Fault::Away)?;
                    if message.get("reauthRequired").is_some() {
                        return Err(Fault::Away("it wants us to log in again".to_owned()));
                    }
                    if let Some(sight) = parse::pushed(&message, &mut live) {
                        heard = Instant::now();
                        let source = Source::Pushed { began: parse::began(&message) };
                        let report = match self.report(sight, source, false).await? {
                            Some(report) => report,
                            None => self.look(&live).await?,
                        };
                        tell(seen, report).await?;
                    }
                }
                () = sleep_until(heard.max(asked) + SILENCE) => {
                    if heard.elapsed() > DEAD {
                        return Ok(());
                    }
                    tell(seen, self.look(&live).await?).await?;
                    asked = Instant::now();
                }
            }
        }
    }

    /// Opens the push socket and logs in: subscribed first, for with the login everything begins to come.
    async fn open(&self) -> Result<Socket, String> {
        let login = self.http.request(Method::POST, self.http.at("api/login")).json(&json!({"passive": true}));
        let session = self.http.ask(login).await.map_err(|fault| fault.to_string())?;
        let (Some(user), Some(session)) = (json::text(&session, "/name"), json::text(&session, "/session")) else {
            return Err("its login yields no session".to_owned());
        };
        let mut socket = Socket::connect(&self.http.socket("sockjs/websocket")).await?;
        let state = json!({"logs": false, "messages": false});
        socket.send(&json!({"subscribe": {"state": state, "events": [], "plugins": false}})).await?;
        let throttle = (self.interval.as_millis() / PACE.as_millis()).max(1) as u64;
        socket.send(&json!({ "throttle": throttle })).await?;
        socket.send(&json!({"auth": format!("{user}:{session}")})).await?;
        Ok(socket)
    }

    async fn watch(&self, seen: &mpsc::Sender<Report>) -> Result<Infallible, Fault> {
        loop {
            tell(seen, self.look(&Live::default()).await?).await?;
            match self.open().await {
                Ok(socket) => self.push(seen, socket).await?,
                Err(why) => {
                    tracing::debug!(printer = self.http.name(), why, "no push socket: OctoPrint is asked instead");
                    self.poll(seen, Instant::now() + WITHOUT_SOCKET).await?;
                }
            }
        }
    }

    async fn post(&self, path: &str, body: Value) -> Result<(), Unsent> {
        self.http.act(self.http.request(Method::POST, self.http.at(path)).json(&body)).await?;
        Ok(())
    }

    async fn start(&self, file: &str) -> Result<(), Unsent> {
        let (storage, path) = parse::storage(file);
        let url = self.http.address(["api", "files", storage].into_iter().chain(path.split('/')));
        let body = json!({"command": "select", "print": true});
        self.http.act(self.http.request(Method::POST, url).json(&body)).await?;
        Ok(())
    }

    async fn heat(&self, tool: &str, celsius: f64) -> Result<(), Unsent> {
        match tool {
            "bed" | "chamber" => {
                self.post(&format!("api/printer/{tool}"), json!({"command": "target", "target": celsius})).await
            }
            _ => self.post("api/printer/tool", json!({"command": "target", "targets": {tool: celsius}})).await,
        }
    }

    async fn upload(&self, path: &Path, name: &str) -> Result<(), Unsent> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let unreadable = |error: std::io::Error| Unsent::Refused {
            status: 0,
            message: format!("{} cannot be read: {error}", path.display()),
        };
        let source = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let size = source.metadata().await.map_err(unreadable)?.len();
        let part = multipart::Part::stream_with_length(contents(source), size);
        let form = multipart::Form::new().text("path", folder.to_owned()).part("file", part.file_name(file.to_owned()));
        let url = self.http.at("api/files/local");
        let answer = self.http.act(self.http.request(Method::POST, url).multipart(form)).await?;
        match (json::text(&answer, "/files/local/path"), json::flag(&answer, "/done")) {
            // It takes characters out of names that it does not like.
            (Some(stored), _) if stored != name => Err(Unsent::Refused {
                status: 0,
                message: format!("it stores {name:?} as {stored:?}: give the file a name that it keeps"),
            }),
            (_, Some(true)) => Ok(()),
            _ => Err(Unsent::Unclear("it does not say that the file has been stored".to_owned())),
        }
    }
}

impl Wire for OctoPrint {
    fn name(&self) -> &str {
        self.http.name()
    }

    async fn read(&self) -> Result<Report, Fault> {
        self.look(&Live::default()).await
    }

    async fn send(&self, action: &Action, _: Option<&JobId>) -> Result<(), Unsent> {
        match action {
            Action::Pause => self.post("api/job", json!({"command": "pause", "action": "pause"})).await,
            Action::Resume => self.post("api/job", json!({"command": "pause", "action": "resume"})).await,
            Action::Cancel => self.post("api/job", json!({"command": "cancel"})).await,
            Action::Start { file } => self.start(file).await,
            Action::Heat { tool, celsius } => self.heat(tool, *celsius).await,
            Action::Upload { path, name, .. } => self.upload(path, name).await,
            // OctoPrint sends it past its own queue.
            Action::EmergencyStop => self.post("api/printer/command", json!({"command": "M112"})).await,
        }
    }

    async fn has(&self, path: &Path, name: &str, is_sure: bool) -> Result<bool, Fault> {
        let of = |folder: &[&str], name: &str| self.http.address(folder.iter().copied().chain(name.split('/')));
        const LIST: [&str; 3] = ["api", "files", "local"];
        // Asked about a file in a folder that is not there, it breaks.
        for (end, _) in name.match_indices('/') {
            if self.http.find(of(&LIST, &name[..end])).await?.is_null() {
                return Ok(false);
            }
        }
        let listed = self.http.find(of(&LIST, name)).await?;
        let listed = json::whole(&listed, "/size");
        if listed.is_none() || listed != size(path).await {
            return Ok(false);
        }
        Ok(!is_sure || self.http.is_same(of(&["downloads", "files", "local"], name), path).await?)
    }

    fn secret(&self) -> Option<&Secret> {
        self.http.secret()
    }

    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    async fn follow(&self, seen: &mpsc::Sender<Report>) -> Fault {
        match self.watch(seen).await {
            Err(fault) => fault,
            Ok(never) => match never {},
        }
    }
}

/// Whether a nozzle is still far from being able to melt anything.
fn is_cold(report: &Report) -> bool {
    report.tools.iter().any(|tool| match (tool.name.starts_with("tool"), tool.actual, tool.target) {
        (true, Some(actual), Some(target)) => target > 0.0 && actual < target - 10.0,
        _ => false,
    })
}

/// What the temperatures tell of a print: it is prepared while they rise, and nothing comes out of a cold nozzle.
fn refine(report: &mut Report) {
    const HEAD: f64 = 0.05;
    let cold = is_cold(report);
    if report.phase == Phase::Printing && cold && report.progress.is_none_or(|progress| progress < HEAD) {
        report.phase = Phase::Preparing;
    }
    if cold || matches!(report.phase, Phase::Paused | Phase::Idle) {
        report.extruding = Some(false);
    }
}

#[cfg(test)]
pub(crate) fn read_anything(value: &Value) {
    let mut live = Live::default();
    let _ = (parse::pushed(value, &mut live), parse::began(value), parse::asked(value, value, &live));
}
