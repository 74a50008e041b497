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

/// Leaves of a state what another object has as well, and what a report is made of.
fn forget_others(state: &mut Value, wanted: &Value) {
    if let (Some(said), Some(wanted)) = (state.as_object_mut(), wanted.as_object()) {
        said.retain(|name, _| wanted.contains_key(name));
    }
    json::keep(state, &parse::is_state);
}

/// Lays news over the state. Only what was subscribed to changes.
fn lay(state: &mut Value, mut change: Value) {
    forget_others(&mut change, state);
    json::merge(state, change);
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
        let answer = self.call("printer.objects.subscribe", json!({ "objects": &objects })).await?;
        self.state = answer.ok().and_then(|mut answer| {
            let mut state = answer.get_mut("status")?.take();
            forget_others(&mut state, &objects);
            Some(state)
        });
        Ok(())
    }

    async fn take(&mut self, message: &Value) -> Result<News, Fault> {
        match json::text(message, "/method") {
            Some("notify_status_update") => {
                let (Some(state), Some(change)) = (&mut self.state, message.pointer("/params/0")) else {
                    return Ok(News::Nothing);
                };
                lay(state, change.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_does_not_grow_with_what_is_said() {
        let objects = parse::objects(Some(&json!(["print_stats", "extruder", "toolhead"])));
        let junk = |number: u32| {
            let mut said = json!({
                "print_stats": {"state": "printing", "filename": "x".repeat(1 << 16), "info": {"current_layer": number}},
                "extruder": {"temperature": vec![number; 1000]}, "toolhead": {"position": [1, 2, 3]},
            });
            for object in 0..50 {
                said[format!("object{number}-{object}")] = json!({"temperature": 1});
                said[format!("extruder{}", 10 + number * 50 + object)] = json!({"temperature": 1});
                said["print_stats"][format!("field{number}-{object}")] = Value::from("x".repeat(1000));
            }
            said
        };
        let mut state = junk(0);
        forget_others(&mut state, &objects);
        let once = state.to_string().len();
        for number in 1..200 {
            lay(&mut state, junk(number));
        }
        assert_eq!(json::small(&state, "/print_stats/info/current_layer"), Some(199));
        let now = state.to_string().len();
        assert!(once < 10_000 && now < once + 500, "{once} and {now}");
    }
}
