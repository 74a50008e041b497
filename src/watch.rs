//! Pipelines that are edited while they run.
//!
//! Whatever changes a pipeline file, or a file of devices that one names (saving in place, a rename over it, another file in a watched folder), the project
//! is loaded anew and takes the running one's place only if nothing is wrong with it.

use crate::project_arguments::keep_decisions;
use crate::terminal;
use jarvis_runtime::project::pipeline_files;
use jarvis_runtime::{Control, Kinds, Paths, Project};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

/// How long the files must have been quiet: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// Files that never get quiet are read all the same.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// How often files are looked at without being told: some file systems tell nothing.
const LOOK: Duration = Duration::from_secs(2);

/// What the files say; `None` for one that cannot be read.
type Texts = BTreeMap<PathBuf, Option<String>>;

/// Reloads pipelines whose files change, until the dataflow has ended.
pub async fn follow(paths: Paths, kinds: Arc<Kinds>, control: mpsc::Sender<Control>) {
    let changed = Arc::new(Notify::new());
    let _watcher = watch(&paths, changed.clone());
    let mut seen = texts(&paths);
    loop {
        tokio::select! {
            () = control.closed() => return,
            () = changed.notified() => settle(&changed).await,
            () = sleep(LOOK) => {}
        }
        let now = texts(&paths);
        if now == seen {
            continue;
        }
        seen = now;
        reload(&paths, &kinds, &control).await;
    }
}

/// Watches the folders, since an editor may put a new file in a file's place.
fn watch(paths: &Paths, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    };
    let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
        for folder in folders(&paths.pipelines) {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    watcher
        .inspect_err(
            |error| tracing::warn!(%error, "cannot be told of edited pipelines; looking every {LOOK:?} instead"),
        )
        .ok()
}

fn folders(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let folder = |path: &PathBuf| match path.parent() {
        _ if path.is_dir() => path.clone(),
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => Path::new(".").to_owned(),
    };
    paths.iter().map(folder).collect()
}

fn texts(paths: &Paths) -> Texts {
    // A folder that cannot be listed, or is empty, is what it was not before: that is said when it is loaded.
    let files = pipeline_files(&paths.pipelines).unwrap_or_default();
    let files = files.into_iter().chain(jarvis_runtime::roster::named());
    files.map(|file| (file.clone(), std::fs::read_to_string(file).ok())).collect()
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

async fn reload(paths: &Paths, kinds: &Arc<Kinds>, control: &mpsc::Sender<Control>) {
    let (paths, kinds, data) = (paths.clone(), kinds.clone(), paths.data.clone());
    let project = match tokio::task::spawn_blocking(move || Project::load(&paths, &kinds)).await {
        Ok(Ok(mut project)) => {
            keep_decisions(&mut project, data.as_deref());
            Box::new(project)
        }
        Ok(Err(found)) => {
            terminal::show_findings(&found);
            return terminal::say("not reloaded: the pipelines run on as they were before this edit");
        }
        Err(panic) => return terminal::say(&format!("not reloaded, for checking the pipelines failed: {panic}")),
    };
    let (reply, answer) = oneshot::channel();
    if control.send(Control::Reload { project, reply }).await.is_err() {
        return;
    }
    match answer.await {
        Ok(Ok(())) => terminal::say("reloaded the pipelines"),
        // The run ends with this error.
        Ok(Err(error)) => terminal::say(&format!("not reloaded: {error:#}")),
        // The dataflow has ended meanwhile, and says so itself.
        Err(_) => {}
    }
}
