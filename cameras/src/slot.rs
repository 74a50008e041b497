//! Room for one picture between whoever makes it and whoever looks at it.

use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Holds the newest of what is put into it.
pub(crate) struct Slot<T> {
    content: Mutex<Content<T>>,
    filled: Notify,
    emptied: Notify,
}

struct Content<T> {
    newest: Option<T>,
    lost: u64,
}

impl<T> Slot<T> {
    pub fn new() -> Self {
        Self { content: Mutex::new(Content { newest: None, lost: 0 }), filled: Notify::new(), emptied: Notify::new() }
    }

    /// Takes the place of what is there, which is lost. Never waits.
    pub fn put(&self, value: T) {
        self.with(|content| content.lost += u64::from(content.newest.replace(value).is_some()));
        self.filled.notify_one();
    }

    /// Waits until the slot is empty: nothing is lost. For one who puts.
    pub async fn put_when_empty(&self, value: T) {
        while self.with(|content| content.newest.is_some()) {
            self.emptied.notified().await;
        }
        self.put(value);
    }

    /// Waits for something. Losing the future loses nothing. For one who takes.
    pub async fn take(&self) -> T {
        loop {
            if let Some(value) = self.try_take() {
                return value;
            }
            self.filled.notified().await;
        }
    }

    pub fn try_take(&self) -> Option<T> {
        let value = self.with(|content| content.newest.take());
        if value.is_some() {
            self.emptied.notify_one();
        }
        value
    }

    pub fn is_empty(&self) -> bool {
        self.with(|content| content.newest.is_none())
    }

    /// How many were lost since this was asked last.
    pub fn take_lost(&self) -> u64 {
        self.with(|content| std::mem::take(&mut content.lost))
    }

    fn with<R>(&self, act: impl FnOnce(&mut Content<T>) -> R) -> R {
        act(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_wins_and_the_others_are_counted() {
        let slot = Slot::new();
        (0..5).for_each(|n| slot.put(n));
        assert_eq!(slot.take().await, 4);
        assert_eq!((slot.take_lost(), slot.take_lost()), (4, 0));
        assert_eq!(slot.try_take(), None);
    }

    #[tokio::test]
    async fn who_waits_for_room_loses_nothing() {
        let slot = Slot::new();
        let put = async {
            for n in 0..100 {
                slot.put_when_empty(n).await;
            }
        };
        let take = async {
            for n in 0..100 {
                assert_eq!(slot.take().await, n);
            }
        };
        tokio::join!(put, take);
        assert_eq!(slot.take_lost(), 0);
    }
}
