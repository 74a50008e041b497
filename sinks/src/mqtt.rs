//! `mqtt`: publishes a view to an MQTT broker.

mod connect;
mod driver;
mod link;

use crate::frames;
use crate::telling::Telling;
use arrow::datatypes::DataType;
use connect::Broker;
use driver::{MqttDriver, Sending};
use jarvis_cameras::Frames;
use jarvis_runtime::kinds::{PlanContext, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::mqtt_settings::{BrokerOptions, TlsOptions, broker_settings};
use jarvis_runtime::publish::{As, Publish};
use jarvis_runtime::topic::TopicTemplate;
use jarvis_spec::{Diagnostic, Diagnostics, Node, Secret, Spanned};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::time::Duration;

/// Publishes a view to an MQTT broker.
///
/// * `as: events`: `{"event":"raised","id":..,"time":..,<the row>}` when a row appears and, with `clear: true`,
///   `{"event":"cleared","id":..,"of":..,"time":..,<the key>}` when it goes. A receiver that has seen an `id` can drop it.
/// * `as: state`: the row, retained; an empty retained message when it goes. The topic names the columns of the key.
/// * `as: changes`: the row with `_time` and `_diff`.
///
/// With `qos: 1` at most 1,000 messages wait for their acknowledgement. While the broker is away nothing is lost: the graph
/// waits, and what was not acknowledged is sent again, in order. A graceful stop waits for all acknowledgements.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttOptions {
    /// The topic, with `{column}` where a column's value goes: `jarvis/alerts/heat/{tool}`.
    pub topic: Spanned<String>,
    /// How the view is told.
    #[serde(default, rename = "as")]
    pub mode: Option<Spanned<As>>,
    /// Events: say also that one has cleared.
    #[serde(default)]
    pub clear: bool,
    /// Events: the columns that say which event a row is about; the topic's columns if left out, or else all.
    #[serde(default)]
    pub key: Option<Vec<Spanned<String>>>,
    /// Events: how long one is worth telling. It says when it `expires`, and is dropped if the broker is away for longer.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    pub ttl: Option<Duration>,
    /// 1 (at least once) or 0 (at most once).
    #[serde(default)]
    pub qos: Option<Spanned<u8>>,
    /// Instead of the row, send the picture (JPEG) whose hash stands in this column; of a list the first one.
    #[serde(default)]
    pub picture: Option<Spanned<String>>,
    /// Whether the broker keeps the last message of each topic; `true` for state if left out.
    #[serde(default)]
    pub retain: Option<bool>,
    /// `mqtt://` or `mqtts://`, perhaps `user:password@`, host, and perhaps `:port`.
    #[serde(default)]
    pub broker: Option<Spanned<Secret>>,
    /// The name of this connection; one of its own for each sink if left out.
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(default)]
    pub username: Option<Secret>,
    #[serde(default)]
    pub password: Option<Secret>,
    #[serde(default)]
    pub tls: Option<TlsOptions>,
    /// How often a silent connection shows that it is alive; 30s if left out.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    pub keep_alive: Option<Duration>,
}

pub(crate) struct Mqtt;

impl SinkKind for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn options(&self) -> Schema {
        schema_for!(MqttOptions)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let read: MqttOptions = options.parse()?;
        let mut findings = Diagnostics::default();
        let publish = read.telling(stream, options).publish().map_err(|more| findings.extend(more)).ok();
        let qos = findings.keep(read.qos());
        let topic = findings.keep(read.topic(stream));
        let publish =
            publish.zip(topic.as_ref()).and_then(|(publish, topic)| findings.keep(read.identified(publish, topic)));
        let broker = findings.keep(read.broker(stream, options, context));
        let picture = read.picture.as_ref().and_then(|column| findings.keep(frames::column(column, stream)));
        let (Some(publish), Some(topic), Some(qos), Some(broker), true) =
            (publish, topic, qos, broker, findings.is_empty())
        else {
            return Err(findings);
        };
        let retain = read.retain.unwrap_or(publish.mode == As::State);
        let folder = context.data.as_ref().map(|data| data.join(jarvis_cameras::FOLDER));
        let picture = picture.map(|column| (column, Frames::shared(folder.as_deref())));
        let sending = Sending { topic, retain, qos, broker, picture };
        let driver = MqttDriver::new(publish.clone(), stream, sending)
            .map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(options.span()))?;
        Ok(SinkPlan { publish, driver: Box::new(driver) })
    }
}

impl MqttOptions {
    fn telling<'a>(&'a self, stream: &'a StreamSpec, options: &'a Node) -> Telling<'a> {
        Telling {
            stream,
            options,
            mode: self.mode.as_ref(),
            default: None,
            clear: self.clear,
            key: self.key.as_deref(),
            ttl: self.ttl,
            destination: format!("mqtt:{}", self.topic),
        }
    }

    fn qos(&self) -> Result<u8, Diagnostic> {
        match &self.qos {
            None => Ok(1),
            Some(qos) if qos.value <= 1 => Ok(qos.value),
            Some(qos) => {
                Err(Diagnostic::error("wrong_value", format!("`qos: {qos}` is not one that a sink can send with"))
                    .at(&qos.span)
                    .help("write 1 (at least once; events have an id to tell repeats by) or 0 (at most once)"))
            }
        }
    }

    fn topic(&self, stream: &StreamSpec) -> Result<TopicTemplate, Diagnostic> {
        let error = |message: String| Diagnostic::error("topic", message).at(&self.topic.span);
        let topic = TopicTemplate::parse(&self.topic, &stream.schema).map_err(|problem| error(problem.to_string()))?;
        for column in topic.columns() {
            let field = stream.schema.field(column);
            if field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary | DataType::LargeBinary) {
                let message = format!(
                    "the topic names the column `{}`, whose type {} makes no topic",
                    field.name(),
                    field.data_type()
                );
                return Err(error(message).help("name a column of text or numbers"));
            }
        }
        Ok(topic)
    }

    /// The identity, where the key leaves it to the topic.
    fn identified(&self, publish: Publish, topic: &TopicTemplate) -> Result<Publish, Diagnostic> {
        let columns = topic.columns();
        let identity = match (publish.mode, publish.identity) {
            (As::Changes, identity) => identity,
            (As::State, Some(key)) if key.len() != columns.len() || key.iter().any(|c| !columns.contains(c)) => {
                let message =
                    "with `as: state` the topic must name exactly the columns of the key: a message is kept per topic";
                return Err(Diagnostic::error("wrong_value", message)
                    .at(&self.topic.span)
                    .help("leave `key` out and name its columns in the topic, as in `shop/{tool}`"));
            }
            (_, Some(key)) => Some(key),
            // A topic without columns holds one message: the whole view is one state.
            (As::State, None) => Some(columns),
            (As::Events, None) => Some(columns).filter(|columns| !columns.is_empty()),
        };
        Ok(Publish { identity, ..publish })
    }

    fn broker(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<Broker, Diagnostic> {
        let span = self.broker.as_ref().map_or(options.span(), |broker| &broker.span);
        let settings = BrokerOptions {
            broker: self.broker.as_ref().map(|broker| broker.value.clone()),
            client_id: self.client_id.clone(),
            clean_session: Some(true),
            username: self.username.clone(),
            password: self.password.clone(),
            tls: self.tls.clone(),
            keep_alive: self.keep_alive,
        };
        let settings = broker_settings(settings, &stream.name, "out", context).map_err(|finding| finding.at(span))?;
        Ok(Broker::new(settings, self.client_id.is_none()))
    }
}
