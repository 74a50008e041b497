//! What every way to read a camera has in common: pictures go into a slot, and an attempt ends with a reason.

use crate::gate::Gate;
use crate::settings::Settings;
use crate::slot::Slot;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A picture as it came.
pub(crate) struct Raw {
    pub taken: SystemTime,
    pub bytes: Bytes,
}

/// Why an attempt to read a camera has ended, for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Trouble(pub String);

impl Trouble {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// So often a connection that is being ended is waited for.
const ATTEMPTS: u32 = 3;
/// Connections to one camera that do not end, at most.
const LEFT_BEHIND: usize = 4;

/// Where the attempts to read a camera put its pictures.
pub(crate) struct Feed {
    pub settings: Settings,
    slot: Slot<Raw>,
    gate: Mutex<Gate>,
    waits: AtomicBool,
    connection: Mutex<Connection>,
}

/// The right to be connected.
struct Connection {
    right: Arc<Semaphore>,
    /// How often in a row it was waited for in vain.
    in_vain: u32,
    /// Of connections that do not end.
    left_behind: Vec<Arc<Semaphore>>,
}

impl Connection {
    /// After some attempts, a connection that does not end is not waited for any more.
    fn give_up(&mut self) {
        self.in_vain += 1;
        self.left_behind.retain(|right| right.available_permits() == 0);
        if self.in_vain >= ATTEMPTS && self.left_behind.len() < LEFT_BEHIND {
            tracing::warn!("a connection to a camera that does not end is left behind");
            self.left_behind.push(std::mem::replace(&mut self.right, Arc::new(Semaphore::new(1))));
            self.in_vain = 0;
        }
    }
}

impl Feed {
    pub fn new(settings: Settings) -> Self {
        let gate = Mutex::new(Gate::new(settings.period()));
        let right = Arc::new(Semaphore::new(1));
        let connection = Mutex::new(Connection { right, in_vain: 0, left_behind: vec![] });
        Self { settings, slot: Slot::new(), gate, waits: AtomicBool::new(false), connection }
    }

    /// Whether the frame of this moment is to be kept.
    pub fn opens(&self) -> bool {
        self.with_gate(|gate| gate.opens(Instant::now()))
    }

    /// How long until a frame is to be kept.
    pub fn until_due(&self) -> Duration {
        self.with_gate(|gate| gate.wait(Instant::now()))
    }

    fn with_gate<R>(&self, act: impl FnOnce(&mut Gate) -> R) -> R {
        act(&mut self.gate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A picture of this moment; one that nobody has taken yet is lost. Never waits.
    pub fn put(&self, bytes: Bytes) {
        self.slot.put(Raw { taken: SystemTime::now(), bytes });
    }

    /// A picture that must not be lost: waits until there is room.
    pub async fn put_when_empty(&self, bytes: Bytes) {
        self.waits.store(true, Ordering::Relaxed);
        self.slot.put_when_empty(Raw { taken: SystemTime::now(), bytes }).await;
    }

    /// Whether whoever reads the camera waits for the receiver.
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    pub async fn take(&self) -> Raw {
        self.slot.take().await
    }

    pub fn is_empty(&self) -> bool {
        self.slot.is_empty()
    }

    pub fn take_lost(&self) -> u64 {
        self.slot.take_lost()
    }

    /// The right to be connected, which one connection at a time has. A pipeline that is being taken down has it still; one
    /// that hangs while it is taken down is left behind after a while, with its thread and memory, and a few at most are.
    ///
    /// # Errors
    /// It is not given back in time.
    pub async fn connection(&self) -> Result<OwnedSemaphorePermit, Trouble> {
        let patience = self.settings.real_patience() / 2;
        let right = self.with_connection(|connection| connection.right.clone());
        match tokio::time::timeout(patience, right.acquire_owned()).await {
            Ok(Ok(permit)) => {
                self.with_connection(|connection| connection.in_vain = 0);
                Ok(permit)
            }
            _ => {
                self.with_connection(Connection::give_up);
                Err(Trouble::new("the connection before this one cannot be ended"))
            }
        }
    }

    fn with_connection<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        act(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[tokio::test]
    async fn a_connection_that_never_ends_is_left_behind_and_few_are() {
        let address = Address::parse("rtsp://127.0.0.1:9/").expect("it is an address");
        let settings = Settings { patience: Duration::from_millis(20), rate: 120.0, ..Settings::new(address) };
        let feed = Feed::new(settings);
        let mut hanging = vec![];
        for _ in 0..=LEFT_BEHIND {
            hanging.push(feed.connection().await.expect("nobody else has it"));
            for _ in 0..ATTEMPTS {
                assert!(feed.connection().await.is_err());
            }
        }
        assert!(feed.connection().await.is_err(), "no more are left behind");
        // One of those that were left behind has ended after all: there is room for another.
        drop(hanging.remove(0));
        assert!(feed.connection().await.is_err());
        assert!(feed.connection().await.is_ok());
    }
}
