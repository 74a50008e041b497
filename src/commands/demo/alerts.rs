//! Listens to the broker as anybody could, and prints what it hears.

use crate::terminal;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::time::Duration;

const TOPICS: [&str; 2] = ["jarvis/alerts/#", OUTCOMES];
/// What came of a pause.
const OUTCOMES: &str = "jarvis/printers/+/paused";
/// Of prints: they have reasons, and a picture.
const PRINTS: &str = "jarvis/alerts/print/";
/// What an event says beside the row; a column of that name makes it `_name`.
const ABOUT: [&str; 5] = ["event", "id", "of", "time", "expires"];
/// Under the topic of a line.
const INDENT: &str = "                   ";
const LARGEST_PACKET: usize = 1 << 20;

/// Prints a line for every alert until the runtime ends.
pub async fn print(broker: SocketAddr) {
    let mut options = MqttOptions::new("jarvis-demo-alerts", broker.ip().to_string(), broker.port());
    options.set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET).set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 16);
    loop {
        match events.poll().await {
            // The broker forgets who was here before: subscribed at each connection.
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                for topic in TOPICS {
                    if let Err(error) = client.try_subscribe(topic, QoS::AtLeastOnce) {
                        tracing::warn!(%error, "alerts cannot be listened to");
                    }
                }
            }
            Ok(Event::Incoming(Incoming::Publish(message))) => {
                if let Err(error) = terminal::print(&line(&message.topic, &message.payload)) {
                    tracing::warn!(%error, "alerts cannot be printed");
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// `10:00:00  raised   jarvis/alerts/heat/mk4s-1/tool0  over=30.0`
fn line(topic: &str, payload: &[u8]) -> String {
    let Ok(Value::Object(event)) = serde_json::from_slice(payload) else {
        return format!("{topic} {}", String::from_utf8_lossy(payload));
    };
    let about = |name: &str| event.get(&key(&event, name)).map(super::super::tap::text).unwrap_or_default();
    let time = about("time");
    let clock = time.split_once('T').map_or("", |(_, clock)| clock.get(..8).unwrap_or(clock));
    let head = format!("{clock}  {:<7}  {topic}", about("event"));
    if let Some(told) = of_a_print(topic, &event) {
        return format!("{head}  {told}");
    }
    let is_about = |column: &str| ABOUT.iter().any(|name| key(&event, name) == column);
    let fields = event.iter().filter(|(column, _)| !is_about(column));
    let fields: Vec<String> =
        fields.map(|(column, value)| format!("{column}={}", super::super::tap::text(value))).collect();
    format!("{head}  {}", fields.join(" ")).trim_end().to_owned()
}

/// What is told of a print, with its reasons below it; `None`: it is about something else, or other people's.
fn of_a_print(topic: &str, event: &Map<String, Value>) -> Option<String> {
    let said = |name: &str| event.get(name).and_then(Value::as_str);
    let number = |of: &Value| of.as_f64().unwrap_or_default();
    if !topic.starts_with(PRINTS) {
        let outcome = said("outcome").filter(|_| topic.ends_with("/paused"))?;
        let took = event.get("took_s").map(number).unwrap_or_default();
        return Some(format!("pause {outcome} in {took:.1} s: {}", said("detail")?));
    }
    let (level, confidence) = (said("level")?, event.get("confidence").map(number)?);
    let mut text = format!("{level}, confidence {confidence:.2}");
    for reason in event.get("reasons").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| reason.get(name).and_then(Value::as_str).unwrap_or_default();
        text += &format!("\n{INDENT}{:.2}  {}: {}", number(&reason["weight"]), of("what"), of("detail"));
    }
    text.extend(said("snapshot").map(|snapshot| format!("\n{INDENT}{snapshot}")));
    Some(text)
}

/// The key under which the event says something about itself.
fn key(event: &Map<String, Value>, name: &str) -> String {
    let moved = format!("_{name}");
    if event.contains_key(&moved) { moved } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_one_line() {
        let payload = br#"{"event":"raised","id":"ab","time":"2026-11-22T10:00:00.5Z","tool":"t0","over":30.0}"#;
        assert_eq!(
            line("jarvis/alerts/heat/t0", payload),
            "10:00:00  raised   jarvis/alerts/heat/t0  tool=t0 over=30.0"
        );
    }

    #[test]
    fn a_column_called_id_is_a_field() {
        let payload = br#"{"event":"cleared","_id":"ab","of":"cd","time":"2026-11-22T10:00:00Z","id":7}"#;
        assert_eq!(line("t", payload), "10:00:00  cleared  t  id=7");
    }

    #[test]
    fn a_print_is_told_with_its_reasons_and_its_picture() {
        let failing = br#"{"event":"raised","id":"ab","time":"2026-11-22T10:00:00.5Z","printer":"p","level":"failing",
            "confidence":0.934,"message":"p has failed","reasons":[{"what":"spaghetti","weight":0.93,"detail":"seen"},
            {"what":"layer_stall","weight":0.3,"detail":"stands"}],"frames":["cd"],"snapshot":"http://x/frames/cd.jpg"}"#;
        assert_eq!(
            line("jarvis/alerts/print/p", failing),
            "10:00:00  raised   jarvis/alerts/print/p  failing, confidence 0.93\n                   0.93  \
             spaghetti: seen\n                   0.30  layer_stall: stands\n                   http://x/frames/cd.jpg"
        );
    }

    #[test]
    fn what_came_of_a_pause_is_one_line() {
        let done = br#"{"event":"raised","id":"ab","time":"2026-11-22T10:00:00Z","outcome":"done","detail":"read back",
            "took_s":0.31}"#;
        let expected = "10:00:00  raised   jarvis/printers/p/paused  pause done in 0.3 s: read back";
        assert_eq!(line("jarvis/printers/p/paused", done), expected);
    }

    #[test]
    fn anything_else_is_printed_as_it_is() {
        assert_eq!(line("t", b"hello"), "t hello");
    }
}
