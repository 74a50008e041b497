//! Moonraker's WebSocket: one subscription, and what comes of it.

use super::{Moonraker, parse};
use crate::json;
use crate::report::Report;
use crate::socket::Socket;
use crate::wire::{Fault, tell};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// For an answer to a request.
const ANSWER: Duration = Duration::from_secs(5);
/// After so much silence the server is asked; it says something of itself every second.
const SILENCE: Duration = Duration::from_secs(3);

/// A connection, and what is subscribed over it.
struct Line {
    socket: Socket,
    next: u64,
    /// The state that the changes are laid over. `None`: Klipper is not ready, and there is no subscription.
    state: Option<Value>,
}

impl Moonraker {
    pub(super) async fn news(&self, seen: &mpsc::Sender<Report>) -> Result<Infallible, Fault> {
        // Over HTTP it is told more clearly what is wrong.
        let mut last = self.look().await?;
        tell(seen, last.clone()).await?;
        let mut line = self.open().await?;
        line.subscribe().await?;
        let mut told = Instant::now();
        let mut is_due = false;
        loop {
            let report = tokio::select! {
                message = line.socket.next() => match line.take(&message.map_err(Fault::Away)?).await? {
                    News::Nothing => continue,
                    News::State => {
                        is_due = true;
                        let (report, file) = parse::report(line.state.as_ref().unwrap_or(&Value::Null));
                        if report.phase == last.phase && told.elapsed() < self.interval {
                            continue;
                        }
                        self.complete((report, file)).await?
                    }
                    News::Klipper => self.look().await?,
                },
                () = sleep_until(told + self.interval), if is_due => {
                    self.complete(parse::report(line.state.as_ref().unwrap_or(&Value::Null))).await?
                }
                () = sleep_until(told + SILENCE) => self.look().await?,
            };
            is_due = false;
            told = Instant::now();
            last = report.clone();
            tell(seen, report).await?;
        }
    }

    async fn open(&self) -> Result<Line, Fault> {
        let socket = Socket::connect(&self.http.socket("websocket")).await.map_err(Fault::Away)?;
        let mut line = Line { socket, next: 1, state: None };
        let mut who = json!({
            "client_name": "jarvis", "version": env!("CARGO_PKG_VERSION"), "type": "other",
            "url": "https://localhost/jarvis",
        });
        if let Some(key) = self.http.key() {
            who["api_key"] = Value::from(key.expose());
        }
        match line.call("server.connection.identify", who).await? {
            Ok(_) => Ok(line),
            Err((code, message)) => Err(Fault::Refused { status: code, message }),
        }
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Nothing,
    /// The printer's state has changed.
    State,
    /// Klipper has come or gone, or a print was written into the history.
    Klipper,
}

impl Line {
    /// Subscribes to what a report is made of. There is nothing to subscribe to before Klipper is ready.
    async fn subscribe(&mut self) -> Result<(), Fault> {
        self.state = None;
        let Ok(list) = self.call("printer.objects.list", json!({})).await? else { return Ok(()) };
        let objects = parse::objects(list.pointer("/objects"));
        let answer = self.call("printer.objects.subscribe", json!({ "objects": objects })).await?;
        self.state = answer.ok().and_then(|mut answer| Some(answer.get_mut("status")?.take()));
        Ok(())
    }

    async fn take(&mut self, message: &Value) -> Result<News, Fault> {
        match json::text(message, "/method") {
            Some("notify_status_update") => {
                let (Some(state), Some(change)) = (&mut self.state, message.pointer("/params/0")) else {
                    return Ok(News::Nothing);
                };
                json::merge(state, change.clone());
                Ok(News::State)
            }
            Some("notify_klippy_ready") => {
                self.subscribe().await?;
                Ok(News::Klipper)
            }
            Some("notify_klippy_shutdown" | "notify_klippy_disconnected") => {
                self.state = None;
                Ok(News::Klipper)
            }
            Some("notify_history_changed") => Ok(News::Klipper),
            _ => Ok(News::Nothing),
        }
    }

    /// Calls a method; its result, or its error's code and message. News that come before it are laid over the state.
    async fn call(&mut self, method: &str, params: Value) -> Result<Result<Value, (u32, String)>, Fault> {
        let id = self.next;
        self.next += 1;
        let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": id});
        self.socket.send(&request).await.map_err(Fault::Away)?;
        let answer = timeout(ANSWER, async {
            loop {
                let message = self.socket.next().await?;
                if message.get("id").and_then(Value::as_u64) == Some(id) {
                    return Ok::<_, String>(message);
                }
            }
        });
        let silent = |_| Fault::Away(format!("it does not answer to {method}"));
        let mut answer = answer.await.map_err(silent)?.map_err(Fault::Away)?;
        match answer.get_mut("result") {
            Some(result) => Ok(Ok(result.take())),
            None => {
                let code = json::number(&answer, "/error/code").map_or(0, |code| code.abs() as u32);
                Ok(Err((code, json::text(&answer, "/error/message").unwrap_or("no reason given").to_owned())))
            }
        }
    }
}
