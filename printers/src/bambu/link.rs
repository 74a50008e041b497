//! The MQTT connection to one printer, and what is known through it.
//!
//! A task owns the connection and opens it anew when it is lost; each connection is a new client, so that nothing that
//! was meant for the last one is sent later. The first thing it asks for is the whole state (`pushall`, which some
//! models bear only every few minutes); from then on the printer's messages are laid over it.

use super::{BambuSettings, parse, verifier};
use crate::http::chain;
use crate::json;
use crate::wire::Fault;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions, QoS, TlsConfiguration,
    Transport,
};
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The longest message, bytes: a full state has some 20 kB.
const LONGEST: usize = 4 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A connection that stood for so long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// Messages that may be waiting to be sent.
const QUEUE: usize = 16;

/// What is known of the printer.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The way to it, or why there is none.
    pub line: Result<AsyncClient, Fault>,
    /// All that it said of itself over this connection, merged. `null` before the first message.
    pub print: Arc<Value>,
    pub heard: Instant,
}

#[derive(Debug)]
pub(super) struct Link {
    pub known: watch::Receiver<Known>,
    pub messages: broadcast::Sender<Arc<Value>>,
    serial: String,
    sequence: AtomicU64,
    task: JoinHandle<()>,
}

impl Link {
    /// Begins to connect. Must be called within a runtime.
    pub fn new(settings: BambuSettings) -> Self {
        let waiting = Fault::Away("it has not answered yet".to_owned());
        let (known, view) = watch::channel(Known { line: Err(waiting), print: Arc::default(), heard: Instant::now() });
        let (messages, _) = broadcast::channel(64);
        let serial = settings.serial.clone();
        let task = tokio::spawn(run(settings, known, messages.clone()));
        Self { known: view, messages, serial, sequence: AtomicU64::new(arbitrary()), task }
    }

    /// Hands a request to the connection; the number by which its answer is known.
    pub async fn send(&self, kind: &str, mut request: Value) -> Result<String, Fault> {
        let client = self.known.borrow().line.clone()?;
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed).to_string();
        request["sequence_id"] = Value::from(sequence.as_str());
        let message = json!({ kind: request }).to_string();
        let sent = client.publish(request_topic(&self.serial), QoS::AtLeastOnce, false, message).await;
        sent.map_err(|_| Fault::Away("the connection has just been lost".to_owned()))?;
        Ok(sequence)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn request_topic(serial: &str) -> String {
    format!("device/{serial}/request")
}

async fn run(settings: BambuSettings, known: watch::Sender<Known>, messages: broadcast::Sender<Arc<Value>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let fault = match open(&settings) {
            Ok((client, events)) => connection(&settings, client, events, &known, &messages, &mut pause).await,
            Err(fault) => fault,
        };
        known.send_modify(|known| {
            known.line = Err(fault);
            known.print = Arc::default();
        });
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A number that another process, on this machine or another, does not have: in containers they all have one id.
fn arbitrary() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 24
}

fn open(settings: &BambuSettings) -> Result<(AsyncClient, EventLoop), Fault> {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    // Two clients of one name throw each other out.
    let client = format!("jarvis-{:x}-{:x}", arbitrary(), CLIENTS.fetch_add(1, Ordering::Relaxed));
    let tls = verifier::unverified().map_err(|error| Fault::Away(format!("no TLS: {error}")))?;
    let mut options = MqttOptions::new(client, &settings.host, settings.port);
    options
        .set_credentials("bblp", settings.code.expose())
        .set_clean_session(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_max_packet_size(LONGEST, LONGEST)
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))));
    Ok(AsyncClient::new(options, QUEUE))
}

/// One connection, from its beginning to its end; why it ended.
async fn connection(
    settings: &BambuSettings,
    client: AsyncClient,
    mut events: EventLoop,
    known: &watch::Sender<Known>,
    messages: &broadcast::Sender<Arc<Value>>,
    pause: &mut Duration,
) -> Fault {
    let mut since: Option<Instant> = None;
    loop {
        let event = match events.poll().await {
            Ok(event) => event,
            Err(error) => {
                // One that breaks at once is not tried at once, however often it succeeds.
                if since.is_some_and(|since| since.elapsed() > GOOD) {
                    *pause = FIRST_PAUSE;
                }
                return fault(&error);
            }
        };
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => {
                let topic = format!("device/{}/report", settings.serial);
                // There is room: these are the first two of the queue.
                let _ = client.try_subscribe(topic, QoS::AtMostOnce);
                let all = json!({"pushing": {"sequence_id": "0", "command": "pushall"}}).to_string();
                let _ = client.try_publish(request_topic(&settings.serial), QoS::AtMostOnce, false, all);
                since = Some(Instant::now());
                known.send_modify(|known| {
                    known.line = Ok(client.clone());
                    known.heard = Instant::now();
                });
            }
            Event::Incoming(Incoming::Publish(publish)) => {
                let Ok(mut message) = serde_json::from_slice::<Value>(&publish.payload) else { continue };
                take(&message, known);
                json::keep(&mut message, &parse::is_answer);
                // Nobody may be waiting for an answer.
                let _ = messages.send(Arc::new(message));
            }
            _ => {}
        }
    }
}

/// Lays a message over what is known.
fn take(message: &Value, known: &watch::Sender<Known>) {
    known.send_modify(|known| {
        known.heard = Instant::now();
        let Some(print) = json::at(message, "/print") else { return };
        // An answer to a command repeats its parameters, which are no state.
        if json::text(print, "/command").is_none_or(|command| command == "push_status") {
            let mut change = print.clone();
            json::keep(&mut change, &parse::is_state);
            json::merge(Arc::make_mut(&mut known.print), change);
        }
    });
}

fn fault(error: &ConnectionError) -> Fault {
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
        ) => Fault::Refused { status: *code as u32, message: "the access code is not the printer's".to_owned() },
        error => Fault::Away(chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_does_not_grow_with_what_is_said() {
        let line = Err(Fault::Away(String::new()));
        let (known, view) = watch::channel(Known { line, print: Arc::default(), heard: Instant::now() });
        let all = json!({"command": "push_status", "gcode_state": "RUNNING", "gcode_file": "x".repeat(1 << 20)});
        take(&json!({ "print": all }), &known);
        let once = view.borrow().print.to_string().len();
        for junk in 0..1000 {
            take(&json!({"print": {format!("field{junk}"): "x".repeat(1000), "mc_percent": 10}}), &known);
        }
        let print = view.borrow().print.clone();
        assert_eq!(json::text(&print, "/gcode_state"), Some("RUNNING"));
        assert!(once < 10_000 && print.to_string().len() < once + 100, "{once} and {}", print.to_string().len());
    }
}
