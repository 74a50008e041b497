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

/// Where the attempts to read a camera put its pictures.
pub(crate) struct Feed {
    pub settings: Settings,
    slot: Slot<Raw>,
    gate: Mutex<Gate>,
    waits: AtomicBool,
    connection: Arc<Semaphore>,
}

impl Feed {
    pub fn new(settings: Settings) -> Self {
        let gate = Mutex::new(Gate::new(settings.period()));
        let connection = Arc::new(Semaphore::new(1));
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

    /// The right to be connected, which one connection at a time has. A pipeline that is being taken down has it still.
    ///
    /// # Errors
    /// It is not given back in time.
    pub async fn connection(&self) -> Result<OwnedSemaphorePermit, Trouble> {
        let patience = self.settings.real_patience() / 2;
        match tokio::time::timeout(patience, self.connection.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Trouble::new("the connection before this one cannot be ended")),
        }
    }
}
