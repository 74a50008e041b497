//! Publications as MQTT messages.

use super::connect::{Broker, LONGEST_PACKET};
use super::link::{Link, Message};
use crate::frames::hashes;
use crate::payload::Payload;
use anyhow::anyhow;
use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use futures::future::BoxFuture;
use jarvis_cameras::Frames;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::json_out::{JsonRow, text};
use jarvis_runtime::kinds::{SinkDriver, StreamSpec};
use jarvis_runtime::publish::{Publication, Publish, Publisher, What};
use jarvis_runtime::topic::TopicTemplate;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A packet is a little longer than its topic and its payload.
const LONGEST_MESSAGE: usize = LONGEST_PACKET - 16;

/// Where messages go and how.
pub(super) struct Sending {
    pub topic: TopicTemplate,
    pub retain: bool,
    pub qos: u8,
    pub broker: Broker,
    /// Instead of the row: the picture that this column names.
    pub picture: Option<(usize, Arc<Frames>)>,
}

pub(super) struct MqttDriver {
    stream: StreamSpec,
    ttl: Option<Duration>,
    publisher: Publisher,
    payload: Payload,
    row: JsonRow,
    sending: Sending,
    link: Option<Link>,
    /// The broker has everything before this time, µs.
    delivered: Arc<AtomicU64>,
    /// The run goes on from a log.
    goes_on: bool,
}

/// How long ago a time in µs was.
fn age(time: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(time))
}

impl MqttDriver {
    pub fn new(publish: Publish, stream: &StreamSpec, sending: Sending) -> Result<Self, ArrowError> {
        Ok(Self {
            stream: stream.clone(),
            ttl: publish.ttl,
            payload: Payload::new(&publish, &stream.schema)?,
            publisher: Publisher::new(publish, &stream.schema)?,
            row: JsonRow::new(&stream.schema)?,
            sending,
            link: None,
            delivered: Arc::default(),
            goes_on: false,
        })
    }

    /// The messages of a batch. One that cannot be sent to any broker is told to the log and left out.
    fn messages(&mut self, batch: &ClosedBatch) -> Result<Vec<Message>, ArrowError> {
        let told = self.publisher.next(batch)?;
        let now = Instant::now();
        let mut messages = Vec::with_capacity(told.len());
        for p in &told {
            match self.message(p, now) {
                Ok(message) => messages.push(message),
                Err(reason) => {
                    metrics::counter!("jarvis_sink_unsendable_total", "stream" => self.stream.name.clone())
                        .increment(1);
                    let mut row = Vec::new();
                    self.row.write(&p.rows, p.row, &[], &mut row);
                    row.truncate(1024);
                    tracing::error!(stream = self.stream.name, row = %String::from_utf8_lossy(&row), "not published: {reason}");
                }
            }
        }
        Ok(messages)
    }

    fn message(&self, p: &Publication, now: Instant) -> Result<Message, String> {
        let mut topic = String::new();
        self.sending.topic.fill(|column| self.level(p, column), &mut topic).map_err(|error| error.to_string())?;
        let mut payload = Vec::new();
        if p.what != What::Remove {
            match &self.sending.picture {
                None => self.payload.write(p, &mut payload),
                Some((column, frames)) => {
                    let hash = hashes(p.rows.column(*column), p.row).into_iter().next().ok_or("it names no picture")?;
                    let picture =
                        frames.get(&hash).ok_or_else(|| format!("the picture {hash} is not kept any more"))?;
                    payload.extend_from_slice(&picture);
                }
            }
        }
        if topic.len() + payload.len() > LONGEST_MESSAGE {
            return Err(format!("its {} bytes are more than MQTT allows ({LONGEST_MESSAGE})", payload.len()));
        }
        let ttl = self.ttl.filter(|_| p.what == What::Raised);
        // What is told after a restart may be old already.
        let age = if self.goes_on { age(p.time) } else { Duration::ZERO };
        let expires = ttl.and_then(|ttl| now.checked_add(ttl.saturating_sub(age)));
        Ok(Message { topic, payload: payload.into(), retain: self.sending.retain, expires })
    }

    /// A column's value as part of a topic.
    fn level<'p>(&self, p: &'p Publication, column: usize) -> Option<Cow<'p, str>> {
        let array = p.rows.column(column);
        if array.is_null(p.row) {
            return None;
        }
        if matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return Some(text(array, p.row).into());
        }
        let mut json = Vec::new();
        self.row.write_value(&p.rows, p.row, column, &mut json);
        let json = String::from_utf8_lossy(&json);
        Some(json.trim_matches('"').to_owned().into()).filter(|value| value != "null")
    }
}

impl SinkDriver for MqttDriver {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        let (broker, delivered) = (self.sending.broker.clone(), self.delivered.clone());
        self.link = Some(Link::new(broker, self.sending.qos, &self.stream.name, delivered));
        Box::pin(async { Ok(()) })
    }

    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let messages = self.messages(batch)?;
            let link = self.link.as_mut().ok_or_else(|| anyhow!("the sink is not open"))?;
            link.deliver(messages, batch.upper).await
        })
    }

    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        let told = self.publisher.next(batch);
        Box::pin(async { Ok(told.map(drop)?) })
    }

    fn flush(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            match &mut self.link {
                Some(link) => link.flush().await,
                None => Ok(()),
            }
        })
    }

    fn snapshot(&mut self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        Box::pin(async { Ok(self.publisher.snapshot_bytes()?) })
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        self.goes_on = true;
        Box::pin(async move { Ok(self.publisher.restore_bytes(snapshot)?) })
    }

    fn delivered(&self) -> Option<Arc<AtomicU64>> {
        Some(self.delivered.clone())
    }

    fn finish(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            match self.link.take() {
                Some(link) => link.close().await,
                None => Ok(()),
            }
        })
    }
}
