//! A small table in a file that people edit while jarvis runs.
//!
//! The file is read again when it changes, however that happens: written in place, replaced by a rename as editors do,
//! or behind a symbolic link. What goes on is the difference to what was told before. An edit with a mistake in it
//! changes nothing: the old rows stay, and the mistakes are error rows.

use crate::difference::Told;
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Decoded, RowError};
use jarvis_runtime::kinds::{Closed, Feed, LiveSource};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// How long a file must have been quiet before it is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// A file that never gets quiet is read all the same.
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// How often the file is looked at without being told, for file systems and situations that tell nothing.
const LOOK: Duration = Duration::from_secs(2);

/// Where the rows stand.
pub(crate) trait Table: Send + Sync + 'static {
    /// The file to watch.
    fn path(&self) -> &Path;
    /// All rows as they are now. The error is for people: what cannot be read, and why.
    fn read(&self) -> Result<Vec<Decoded>, String>;
}

/// A table that is told again whenever its file changes.
pub(crate) struct Watched(pub Arc<dyn Table>);

impl LiveSource for Watched {
    fn is_whole(&self) -> bool {
        true
    }

    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut told = Told::new(feed.stream.schema.clone(), feed.stream.key.clone())?;
            if let Some(rows) = feed.restored.rows.clone() {
                told.replace(&[Decoded { rows, weights: None, errors: vec![], bytes: 0 }])?;
            }
            let mut follower = Follower { table: self.0, told, feed, first: true, seen: None };
            // The feed is closed: the graph has stopped, as it may at any time.
            let _: Result<(), Closed> = follower.follow().await;
            Ok(())
        })
    }
}

struct Follower {
    table: Arc<dyn Table>,
    told: Told,
    feed: Feed,
    /// Nothing was told yet: good rows are told even beside bad ones.
    first: bool,
    /// The file as it was when it was last read.
    seen: Option<Fingerprint>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    target: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let target = path.canonicalize().ok()?;
        let metadata = target.metadata().ok()?;
        Some(Self { target, length: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl Follower {
    async fn follow(&mut self) -> Result<(), Closed> {
        let changed = Arc::new(Notify::new());
        // Watched before it is read for the first time, so that no edit falls in between.
        let _watcher = self.watch(changed.clone());
        self.read_again().await?;
        loop {
            tokio::select! {
                () = self.feed.closed() => return Err(Closed),
                () = changed.notified() => {
                    settle(&changed).await;
                    self.read_again().await?;
                }
                () = sleep(LOOK) => {
                    if Fingerprint::of(self.table.path()) != self.seen {
                        self.read_again().await?;
                    }
                }
            }
        }
    }

    /// Watches the folder, since the file itself may be replaced.
    fn watch(&self, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
        let path = self.table.path();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let handler = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        watcher
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "cannot be told of changes; looking every {LOOK:?} instead");
            })
            .ok()
    }

    async fn read_again(&mut self) -> Result<(), Closed> {
        let seen = Fingerprint::of(self.table.path());
        // Another file of the folder has changed.
        if !self.first && seen.is_some() && seen == self.seen {
            return Ok(());
        }
        self.seen = seen;
        let table = self.table.clone();
        let read = tokio::task::spawn_blocking(move || table.read()).await;
        let read = read.unwrap_or_else(|panic| Err(format!("reading failed: {panic}")));
        let changes = match read {
            Ok(now) => self.changes(now),
            Err(message) => Err(vec![RowError { code: "file", message, input: String::new() }]),
        };
        let decoded = changes.unwrap_or_else(|errors| {
            let path = self.table.path().display();
            tracing::warn!(stream = self.feed.stream.name, %path, errors = errors.len(), "the table cannot be read; its rows stay as they were");
            Decoded { rows: arrow::array::RecordBatch::new_empty(self.feed.stream.schema.clone()), weights: None, errors, bytes: 0 }
        });
        if decoded.rows.num_rows() == 0 && decoded.errors.is_empty() {
            return Ok(());
        }
        self.feed.send(Arrival::new(decoded)).await
    }

    /// What changed, or the mistakes because of which nothing changes.
    fn changes(&mut self, mut now: Vec<Decoded>) -> Result<Decoded, Vec<RowError>> {
        let errors: Vec<RowError> = now.iter_mut().flat_map(|decoded| std::mem::take(&mut decoded.errors)).collect();
        if !errors.is_empty() && !self.first {
            return Err(errors);
        }
        self.first = false;
        let changes = self.told.replace(&now);
        let failed = |error| vec![RowError { code: "wrong_type", message: format!("{error}"), input: String::new() }];
        changes.map(|changes| Decoded { errors, ..changes }).map_err(failed)
    }
}

/// Waits until nothing has changed for a while.
async fn settle(changed: &Notify) {
    let latest = Instant::now() + LONGEST_DELAY;
    while timeout_at(latest.min(Instant::now() + QUIET), changed.notified()).await.is_ok() {
        if Instant::now() >= latest {
            return;
        }
    }
}
