//! Writing: a thread of its own, which syncs all ticks that wait at once.

use crate::codec::Encoder;
use crate::frame::MAGIC;
use crate::{Folder, Locked, LogError, State, Tick, file_error};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a log is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment of about this many bytes is followed by a new one.
    pub segment: u64,
    /// Syncs are at least this far apart; a tick is durable so much later at most. Zero: as soon as the disk can.
    pub sync: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment: 64 << 20, sync: Duration::ZERO }
    }
}

/// Ticks that may wait for the disk before the one who writes waits.
const QUEUE: usize = 256;

enum Job {
    Tick(Box<Tick>),
    State(Box<State>),
    /// Answer when a new segment has begun after all ticks so far, the last of which has this time.
    Roll(u64, SyncSender<()>),
    /// Answer when everything is durable.
    Flush(SyncSender<()>),
}

/// One who sees every tick on its way to the disk.
pub trait Witness: Send {
    /// A tick is being written.
    fn tick(&mut self, tick: &Tick);
    /// All ticks seen so far are durable. When it wants to be called next though nothing is written, if ever.
    fn durable(&mut self) -> Option<Instant>;
    /// Nothing comes any more; all ticks seen are durable.
    fn end(&mut self);
}

/// What is called with the time of the last durable tick.
pub type OnDurable = Box<dyn FnMut(u64) + Send>;
/// What is called when the disk refuses.
pub type OnFailure = Box<dyn FnOnce(LogError) + Send>;

/// Appends ticks. Dropping it waits until all are durable.
pub struct Writer {
    folder: Folder,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Bytes since the last checkpoint.
    written: Arc<AtomicU64>,
    _lock: Locked,
}

impl Writer {
    /// Begins a new segment for ticks after `last`; what is there must have been [read](crate::read) and repaired.
    ///
    /// # Errors
    /// The segment cannot be made.
    pub fn start(
        folder: Folder,
        lock: Locked,
        last: u64,
        options: Options,
        on_durable: OnDurable,
        on_failure: OnFailure,
        witness: Option<Box<dyn Witness>>,
    ) -> Result<Self, LogError> {
        let written = Arc::<AtomicU64>::default();
        let segment = Segment::new(&folder, last + 1)?;
        let (jobs, inbox) = sync_channel(QUEUE);
        let mut disk = Disk {
            folder: folder.clone(),
            options,
            segment,
            durable: last,
            last,
            on_durable,
            written: written.clone(),
            synced: Instant::now(),
            witness,
            due: None,
        };
        let run = move || {
            if let Err(error) = disk.run(&inbox) {
                on_failure(error);
            }
        };
        let thread = std::thread::Builder::new().name("log".into()).spawn(run);
        let thread = thread.map_err(file_error(folder.path()))?;
        Ok(Writer { folder, jobs: Some(jobs), thread: Some(thread), written, _lock: lock })
    }
    /// Hands a tick over; waits while the disk is far behind.
    ///
    /// # Errors
    /// The writer has ended because the disk refused.
    pub fn append(&self, tick: Tick) -> Result<(), LogError> {
        self.send(Job::Tick(Box::new(tick)))
    }
    /// Appends what sinks had been told by a tick that was appended before.
    ///
    /// # Errors
    /// The writer has ended because the disk refused.
    pub fn append_state(&self, state: State) -> Result<(), LogError> {
        self.send(Job::State(Box::new(state)))
    }
    /// Returns when everything is durable.
    ///
    /// # Errors
    /// The disk has refused.
    pub fn flush(&self) -> Result<(), LogError> {
        self.ask(Job::Flush)
    }
    /// Bytes written since the last checkpoint was begun.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
    /// Begins a new segment: a checkpoint at `time`, the last tick so far, may stand for all segments before.
    ///
    /// # Errors
    /// The disk has refused.
    pub fn begin_checkpoint(&self, time: u64) -> Result<(), LogError> {
        self.written.store(0, Ordering::Relaxed);
        self.ask(|answer| Job::Roll(time, answer))
    }
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
    fn send(&self, job: Job) -> Result<(), LogError> {
        self.jobs.as_ref().ok_or(LogError::Ended)?.send(job).map_err(|_| LogError::Ended)
    }
    fn ask(&self, job: impl FnOnce(SyncSender<()>) -> Job) -> Result<(), LogError> {
        let (answer, answered) = sync_channel(1);
        self.send(job(answer))?;
        answered.recv().map_err(|_| LogError::Ended)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told by its hook.
            let _ = thread.join();
        }
    }
}

/// The file that is being written.
struct Segment {
    path: PathBuf,
    file: File,
    encoder: Encoder,
    bytes: u64,
}

impl Segment {
    fn new(folder: &Folder, first: u64) -> Result<Self, LogError> {
        let path = folder.segment(first);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).open(&path).map_err(file_error(&path))?;
        file.write_all(&MAGIC).and_then(|()| file.sync_all()).map_err(file_error(&path))?;
        folder.sync()?;
        Ok(Segment { path, file, encoder: Encoder::default(), bytes: MAGIC.len() as u64 })
    }
}

struct Disk {
    folder: Folder,
    options: Options,
    segment: Segment,
    /// The last durable tick.
    durable: u64,
    /// The last tick.
    last: u64,
    on_durable: OnDurable,
    written: Arc<AtomicU64>,
    synced: Instant,
    witness: Option<Box<dyn Witness>>,
    /// When the witness wants to be called.
    due: Option<Instant>,
}

impl Disk {
    fn run(&mut self, inbox: &Receiver<Job>) -> Result<(), LogError> {
        let mut buffer = vec![];
        while let Some(first) = self.first(inbox) {
            let mut answers = vec![];
            let mut job = Some(first);
            while let Some(next) = job {
                match next {
                    Job::Tick(tick) => {
                        self.segment.encoder.tick(&tick, self.durable, &mut buffer)?;
                        self.last = tick.time;
                        if let Some(witness) = &mut self.witness {
                            witness.tick(&tick);
                        }
                    }
                    Job::State(state) => self.segment.encoder.state(&state, &mut buffer)?,
                    Job::Flush(answer) => answers.push(answer),
                    Job::Roll(time, answer) => {
                        self.write(&mut buffer)?;
                        self.roll(time + 1)?;
                        answers.push(answer);
                    }
                }
                job = self.next(inbox, answers.is_empty());
            }
            self.write(&mut buffer)?;
            for answer in answers {
                // Who asked may have gone.
                let _ = answer.send(());
            }
            if self.segment.bytes >= self.options.segment {
                self.roll(self.last + 1)?;
            }
        }
        if let Some(witness) = &mut self.witness {
            witness.end();
        }
        Ok(())
    }
    /// What is to be written next; meanwhile the witness is called when it wants to be.
    fn first(&mut self, inbox: &Receiver<Job>) -> Option<Job> {
        loop {
            let Some(due) = self.due else { return inbox.recv().ok() };
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.due = self.witness.as_mut().and_then(|w| w.durable()),
            }
        }
    }
    /// What else is to be written before the next sync.
    fn next(&self, inbox: &Receiver<Job>, may_wait: bool) -> Option<Job> {
        let wait = self.options.sync.saturating_sub(self.synced.elapsed());
        if may_wait && !wait.is_zero() { inbox.recv_timeout(wait).ok() } else { inbox.try_recv().ok() }
    }
    fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), LogError> {
        if buffer.is_empty() {
            return Ok(());
        }
        let Segment { file, path, bytes, .. } = &mut self.segment;
        file.write_all(buffer).and_then(|()| file.sync_data()).map_err(file_error(path))?;
        *bytes += buffer.len() as u64;
        self.written.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        buffer.clear();
        self.synced = Instant::now();
        self.durable = self.last;
        (self.on_durable)(self.durable);
        self.due = self.witness.as_mut().and_then(|w| w.durable());
        Ok(())
    }
    fn roll(&mut self, first: u64) -> Result<(), LogError> {
        if self.segment.path != self.folder.segment(first) {
            self.segment = Segment::new(&self.folder, first)?;
        }
        Ok(())
    }
}

/// Writes a checkpoint: a state, and the ticks of which something still counts. It takes effect when it is
/// [finished](Checkpointing::finish).
pub struct Checkpointing {
    folder: Folder,
    time: u64,
    path: PathBuf,
    file: File,
    encoder: Encoder,
    buffer: Vec<u8>,
    ticks: u64,
}

impl Checkpointing {
    /// Stands for all ticks up to `time`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(folder: Folder, time: u64, state: &State) -> Result<Self, LogError> {
        let path = Folder::unfinished(&folder.checkpoint(time));
        let file = File::create(&path).map_err(file_error(&path))?;
        let mut encoder = Encoder::default();
        let mut buffer = MAGIC.to_vec();
        encoder.state(state, &mut buffer)?;
        Ok(Checkpointing { folder, time, path, file, encoder, buffer, ticks: 0 })
    }
    /// # Errors
    /// The disk refuses.
    pub fn tick(&mut self, tick: &Tick) -> Result<(), LogError> {
        self.encoder.tick(tick, self.time, &mut self.buffer)?;
        self.ticks += 1;
        if self.buffer.len() > 1 << 20 { self.write() } else { Ok(()) }
    }
    /// Puts the checkpoint in the place of older ones, and returns its size in bytes. Segments are left: see
    /// [`Folder::forget`].
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(mut self) -> Result<u64, LogError> {
        self.encoder.end(self.ticks, &mut self.buffer)?;
        self.write()?;
        let finished = self.folder.checkpoint(self.time);
        self.file.sync_all().map_err(file_error(&self.path))?;
        let size = self.file.metadata().map_err(file_error(&self.path))?.len();
        std::fs::rename(&self.path, &finished).map_err(file_error(&finished))?;
        self.folder.sync()?;
        for (time, path) in self.folder.checkpoints()? {
            if time < self.time {
                remove(&path)?;
            }
        }
        Ok(size)
    }
    fn write(&mut self) -> Result<(), LogError> {
        self.file.write_all(&self.buffer).map_err(file_error(&self.path))?;
        self.buffer.clear();
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), LogError> {
    std::fs::remove_file(path).map_err(file_error(path))
}

impl Folder {
    /// Removes segments all of whose ticks a checkpoint at `time` stands for.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn forget(&self, time: u64) -> Result<(), LogError> {
        let segments = self.segments()?;
        for pair in segments.windows(2) {
            // It ends where the next one begins.
            if pair[1].0 <= time + 1 {
                remove(&pair[0].1)?;
            }
        }
        Ok(())
    }
}
