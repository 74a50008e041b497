//! Publications as requests.

use super::address::Address;
use super::body::Body;
use super::queue::Queue;
use super::receiver::{Manner, Message, Receiver};
use crate::messages::Messages;
use anyhow::anyhow;
use arrow::error::ArrowError;
use futures::future::BoxFuture;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{SinkDriver, StreamSpec};
use jarvis_runtime::publish::{Publication, Publish};
use reqwest::header::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct WebhookDriver {
    stream: StreamSpec,
    messages: Messages,
    address: Address,
    body: Body,
    manner: Manner,
    queue: Option<Queue>,
    /// The receiver has answered everything before this time, µs.
    delivered: Arc<AtomicU64>,
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
            messages: Messages::new(publish, &stream.name, &stream.schema)?,
            address,
            body,
            manner,
            queue: None,
            delivered: Arc::default(),
        })
    }
}

/// The message of a publication; `left` is what is left of its time to live.
fn message(p: &Publication, left: Option<Duration>, address: &Address, body: &Body) -> Result<Message, String> {
    let url = address.fill(|column| body.value(p, column))?;
    let mut bytes = Vec::new();
    body.write(p, &mut bytes);
    let id = p.id.as_deref().map(HeaderValue::from_str).transpose().map_err(|error| error.to_string())?;
    let expires = left.and_then(|left| Instant::now().checked_add(left));
    Ok(Message { url, body: bytes.into(), id, expires })
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
            let Self { messages, address, body, .. } = self;
            let messages = messages.of(batch, |p, _, left| message(p, left, address, body))?;
            let queue = self.queue.as_mut().ok_or_else(|| anyhow!("the sink is not open"))?;
            queue.post(messages, batch.upper).await
        })
    }

    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        let told = self.messages.recall(batch);
        Box::pin(async { told })
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
            match self.queue.take() {
                Some(queue) => queue.close().await,
                None => Ok(()),
            }
        })
    }
}
