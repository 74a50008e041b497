//! `mqtt`: messages of an MQTT broker (3.1.1) as rows.
//!
//! * A message is acknowledged when the tick that holds its row is safe, and the session is persistent: what is
//!   published with QoS 1 while jarvis is away or dies arrives later. How much a broker keeps for a client that is
//!   away is its own setting (Mosquitto: `max_queued_messages`), and so is how many messages may wait for their
//!   acknowledgement (`max_inflight_messages`).
//! * Levels of the topic that are written `{name}` become columns.
//! * An empty payload removes the key, which must then be in the topic.
//! * A payload longer than `max_payload` is an error row. Packets up to the protocol's own limit of 256 MiB are read
//!   for that; a broker can be told to refuse them earlier.

mod acks;
mod connection;
mod link;

use crate::decode::{DEFAULT_MAX_PAYLOAD, Decoder, Format};
use connection::Subscription;
use jarvis_runtime::kinds::{PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_runtime::mqtt_settings::{BrokerOptions, TlsOptions, broker_settings};
use jarvis_runtime::topic::TopicPattern;
use jarvis_spec::{Diagnostic, Diagnostics, Node, Secret, Spanned};
use rumqttc::QoS;
use serde::Deserialize;
use std::time::Duration;

/// The kind `mqtt`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MqttSource;

/// Messages of an MQTT broker as rows.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The topic to subscribe to, or a list of them. `+` stands for one level, `#` for the rest, and `{name}` for one level
    /// that becomes the column `name`.
    #[schemars(with = "Topics")]
    topic: Node,
    /// 0: at most once, 1: at least once.
    #[serde(default = "default_qos")]
    qos: Spanned<u8>,
    /// How payloads are written.
    #[serde(default)]
    format: Format,
    /// The broker: `mqtt://HOST`, `mqtt://USER:PASSWORD@HOST:1883`, or `mqtts://HOST` for TLS. Left out: the environment
    /// variable `JARVIS_MQTT`, else `mqtt://127.0.0.1:1883`.
    #[serde(default)]
    broker: Option<Secret>,
    /// The name of the session at the broker. Left out: one that stays the same for this pipeline on this machine.
    #[serde(default)]
    client_id: Option<String>,
    /// Forget the session when the connection ends: what is published meanwhile is lost. Default: false.
    #[serde(default)]
    clean_session: Option<bool>,
    #[serde(default)]
    username: Option<Secret>,
    #[serde(default)]
    password: Option<Secret>,
    /// TLS, for brokers that need more than the system's certificate authorities.
    #[serde(default)]
    tls: Option<TlsOptions>,
    /// Take the retained message of each topic when subscribing.
    #[serde(default = "yes")]
    retained: bool,
    /// The longest payload, bytes (64 KiB unless set); a longer one becomes an error row.
    #[serde(default = "default_max_payload")]
    max_payload: usize,
    /// How often a silent connection shows that it is alive: 1s to 65535s (30s unless set).
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    keep_alive: Option<Duration>,
}

/// What `topic` may be, for the JSON schema.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described, never made")]
enum Topics {
    One(String),
    Several(Vec<String>),
}

fn default_qos() -> Spanned<u8> {
    Spanned::new(1, jarvis_spec::Span::start_of(&jarvis_spec::SourceText::new("", "")))
}

fn default_max_payload() -> usize {
    DEFAULT_MAX_PAYLOAD
}

fn yes() -> bool {
    true
}

impl SourceKind for MqttSource {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let read: Options = options.parse()?;
        let mut findings = Diagnostics::default();
        let qos = findings.keep(qos(&read.qos));
        let patterns = topics(&read.topic, stream, &mut findings);
        let broker = BrokerOptions {
            broker: read.broker,
            client_id: read.client_id,
            clean_session: read.clean_session,
            username: read.username,
            password: read.password,
            tls: read.tls,
            keep_alive: read.keep_alive,
        };
        let settings =
            broker_settings(broker, &stream.name, "in", context).map_err(|finding| finding.at(options.span()));
        let settings = findings.keep(settings);
        let captured: Vec<usize> = patterns.first().map(|pattern| pattern.columns().collect()).unwrap_or_default();
        let decoder = Decoder::new(stream.schema.clone(), &stream.key, read.format, &captured, read.max_payload);
        let decoder = decoder.map_err(|error| {
            Diagnostic::error("format", error.to_string())
                .at(options.span())
                .help("change the `schema`, the `topic` or the `format`")
        });
        match (qos, settings, findings.keep(decoder)) {
            (Some(qos), Some(settings), Some(decoder)) if findings.is_empty() => {
                let (format, retained) = (read.format, read.retained);
                Ok(SourcePlan::Live(Box::new(Subscription { settings, patterns, qos, format, retained, decoder })))
            }
            _ => Err(findings),
        }
    }
}

fn qos(qos: &Spanned<u8>) -> Result<QoS, Diagnostic> {
    match qos.value {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        other => Err(Diagnostic::error(
            "wrong_value",
            format!("`qos` is {other}; jarvis reads with 0 (at most once) or 1 (at least once)"),
        )
        .at(&qos.span)
        .help("write `qos: 1`: messages published with QoS 2 then arrive with QoS 1")),
    }
}

/// The topics, which must all capture the same columns: what one of them leaves out would have to be in the payload.
fn topics(node: &Node, stream: &StreamSpec, findings: &mut Diagnostics) -> Vec<TopicPattern> {
    let one = [node.clone()];
    let nodes = if node.is_sequence() { node.items() } else { &one };
    if nodes.is_empty() {
        findings.push(Diagnostic::error("topic", "the list of topics is empty").at(node.span()).help("write a topic"));
    }
    let mut patterns: Vec<TopicPattern> = Vec::new();
    for node in nodes {
        let Some(text) = node.as_str() else {
            let message = format!("a topic must be a text, but is {}", node.describe());
            findings.push(Diagnostic::error("wrong_type", message).at(node.span()).help("put it in quotes"));
            continue;
        };
        match TopicPattern::parse(text, &stream.schema) {
            Ok(pattern) => {
                let columns = |pattern: &TopicPattern| {
                    let mut columns: Vec<usize> = pattern.columns().collect();
                    columns.sort_unstable();
                    columns
                };
                if patterns.first().is_some_and(|first| columns(first) != columns(&pattern)) {
                    let message = "all topics of a source must capture the same columns";
                    findings.push(
                        Diagnostic::error("topic", message)
                            .at(node.span())
                            .help("write two sources, or the same `{names}` in each topic"),
                    );
                }
                patterns.push(pattern);
            }
            Err(error) => findings.push(Diagnostic::error("topic", error.to_string()).at(node.span())),
        }
    }
    patterns
}

#[cfg(test)]
mod tests;
