//! Publications as MQTT messages.

use super::connect::{Broker, LONGEST_PACKET};
use super::link::{Link, Message};
use crate::frames::hashes;
use crate::messages::{Messages, value};
use crate::payload::Payload;
use anyhow::anyhow;
use arrow::error::ArrowError;
use futures::future::BoxFuture;
use jarvis_cameras::Frames;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::json_out::JsonRow;
use jarvis_runtime::kinds::{SinkDriver, StreamSpec};
use jarvis_runtime::publish::{Publication, Publish, What};
use jarvis_runtime::topic::TopicTemplate;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::runtime::RuntimeFlavor;

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
    messages: Messages,
    payload: Payload,
    sending: Sending,
    link: Option<Link>,
    /// The broker has everything before this time, µs.
    delivered: Arc<AtomicU64>,
}

impl MqttDriver {
    pub fn new(publish: Publish, stream: &StreamSpec, sending: Sending) -> Result<Self, ArrowError> {
        Ok(Self {
            stream: stream.clone(),
            payload: Payload::new(&publish, &stream.schema)?,
            messages: Messages::new(publish, &stream.name, &stream.schema)?,
            sending,
            link: None,
            delivered: Arc::default(),
        })
    }
}

/// The message of a publication; `left` is what is left of its time to live.
fn message(
    p: &Publication,
    row: &JsonRow,
    left: Option<Duration>,
    payload: &Payload,
    sending: &Sending,
) -> Result<Message, String> {
    let mut topic = String::new();
    sending.topic.fill(|column| value(row, p, column), &mut topic).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    match &sending.picture {
        _ if p.what == What::Remove => {}
        // Of one that has cleared only the key is known.
        Some((column, frames)) if p.what != What::Cleared => {
            let hash = hashes(p.rows.column(*column), p.row).into_iter().next().ok_or("it names no picture")?;
            let picture = frames.get(&hash).ok_or_else(|| format!("the picture {hash} is not kept any more"))?;
            bytes.extend_from_slice(&picture);
        }
        _ => payload.write(p, &mut bytes),
    }
    if topic.len() + bytes.len() > LONGEST_MESSAGE {
        return Err(format!("its {} bytes are more than MQTT allows ({LONGEST_MESSAGE})", bytes.len()));
    }
    let expires = left.and_then(|left| Instant::now().checked_add(left));
    Ok(Message { topic, payload: bytes.into(), retain: sending.retain, expires })
}

impl SinkDriver for MqttDriver {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        let (broker, delivered) = (self.sending.broker.clone(), self.delivered.clone());
        self.link = Some(Link::new(broker, self.sending.qos, &self.stream.name, delivered));
        Box::pin(async { Ok(()) })
    }

    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let Self { messages, payload, sending, .. } = self;
            let mut make = || messages.of(batch, |p, row, left| message(p, row, left, payload, sending));
            // A picture may have to be read from the disk.
            let is_slow = sending.picture.is_some()
                && tokio::runtime::Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
            let messages = if is_slow { tokio::task::block_in_place(make) } else { make() }?;
            let link = self.link.as_mut().ok_or_else(|| anyhow!("the sink is not open"))?;
            link.deliver(messages, batch.upper).await
        })
    }

    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        let told = self.messages.recall(batch);
        Box::pin(async { told })
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
        Box::pin(async { self.messages.snapshot() })
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { self.messages.restore(snapshot) })
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
