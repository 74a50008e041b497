//! Publications as requests.

use super::address::Address;
use super::body::Body;
use super::queue::Queue;
use super::receiver::{Manner, Message, Receiver};
use anyhow::anyhow;
use arrow::error::ArrowError;
use futures::future::BoxFuture;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::json_out::JsonRow;
use jarvis_runtime::kinds::{SinkDriver, StreamSpec};
use jarvis_runtime::publish::{Publication, Publish, Publisher, What};
use reqwest::header::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Of a row that cannot be sent, bytes in the log.
const SHOWN: usize = 1024;

pub(super) struct WebhookDriver {
    stream: StreamSpec,
    ttl: Option<Duration>,
    publisher: Publisher,
    row: JsonRow,
    address: Address,
    body: Body,
    manner: Manner,
    queue: Option<Queue>,
    /// The receiver has answered everything before this time, µs.
    delivered: Arc<AtomicU64>,
    /// The run goes on from a log.
    goes_on: bool,
}

/// How long ago a time in µs was.
fn age(time: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(time))
}

impl WebhookDriver {
    pub fn new(
        publish: Publish,
        stream: &StreamSpec,
        address: Address,
        body: Body,
        manner: Manner,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            stream: stream.clone(),
            ttl: publish.ttl,
            publisher: Publisher::new(publish, &stream.schema)?,
            row: JsonRow::new(&stream.schema)?,
            address,
            body,
            manner,
            queue: None,
            delivered: Arc::default(),
            goes_on: false,
        })
    }

    /// The messages of a batch. One that has no address is told to the log and left out.
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
                    row.truncate(SHOWN);
                    tracing::error!(stream = self.stream.name, row = %String::from_utf8_lossy(&row), "not sent: {reason}");
                }
            }
        }
        Ok(messages)
    }

    fn message(&self, p: &Publication, now: Instant) -> Result<Message, String> {
        let url = self.address.fill(|column| self.body.value(p, column))?;
        let mut body = Vec::new();
        self.body.write(p, &mut body);
        let id = p.id.as_deref().map(HeaderValue::from_str).transpose().map_err(|error| error.to_string())?;
        let ttl = self.ttl.filter(|_| p.what == What::Raised);
        // What is told after a restart may be old already.
        let age = if self.goes_on { age(p.time) } else { Duration::ZERO };
        let expires = ttl.and_then(|ttl| now.checked_add(ttl.saturating_sub(age)));
        Ok(Message { url, body: body.into(), id, expires })
    }
}

impl SinkDriver for WebhookDriver {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            let receiver = Receiver::new(self.manner.clone())?;
            self.queue = Some(Queue::new(receiver, &self.stream.name, self.delivered.clone()));
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let messages = self.messages(batch)?;
            let queue = self.queue.as_mut().ok_or_else(|| anyhow!("the sink is not open"))?;
            queue.post(messages, batch.upper).await
        })
    }

    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        let told = self.publisher.next(batch);
        Box::pin(async { Ok(told.map(drop)?) })
    }

    fn flush(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            match &mut self.queue {
                Some(queue) => queue.flush().await,
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
            match self.queue.take() {
                Some(queue) => queue.close().await,
                None => Ok(()),
            }
        })
    }
}
