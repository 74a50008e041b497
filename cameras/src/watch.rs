//! Watching a camera: connecting, looking, judging, telling, and connecting again.
//!
//! One loop owns all state. Pictures come through a slot that has room for one, so that looking at them sets the pace
//! and nothing queues up; looking is computing, and has a thread of its own. A camera that sends nothing is noticed by
//! the loop's own clock, whatever the reader of the camera is waiting for: it is dropped, and with it everything it
//! holds.

use crate::address::Kind;
use crate::back_off::BackOff;
use crate::feed::{Feed, Raw, Trouble};
use crate::hash::Hash;
use crate::health::{Diagnosis, Health, Report};
use crate::outbox::Outbox;
use crate::picture::{Light, NoPicture, Picture, look};
use crate::pipeline::{Source, play};
use crate::settings::{BadSettings, Settings};
use crate::{folder, web};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

/// How often is looked after everything.
const TICK: Duration = Duration::from_millis(250);
/// For what is left to be ended when watching ends.
const GOODBYE: Duration = Duration::from_secs(5);
/// A connection that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// What is told of a camera.
#[derive(Clone, Debug)]
pub enum Seen {
    Frame(Frame),
    Health(Health),
}

/// A picture.
#[derive(Clone, PartialEq)]
pub struct Frame {
    /// When it came: a camera's own clock is not believed. With RTSP it was taken about the latency before.
    pub taken: SystemTime,
    /// Counts the pictures since watching began, from 0; those that were skipped leave a gap.
    pub sequence: u64,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    pub jpeg: Bytes,
    /// Of the JPEG.
    pub hash: Hash,
    pub light: Light,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sequence, width, height, hash, light, .. } = self;
        write!(f, "Frame({sequence}, {width}x{height}, {} bytes, {hash}, {light:?})", self.jpeg.len())
    }
}

/// Why a camera cannot be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum Unwatchable {
    #[error(transparent)]
    Settings(#[from] BadSettings),
    #[error("GStreamer cannot be started: {0}")]
    GStreamer(gstreamer::glib::Error),
}

/// Watches a camera until nobody listens any more. A file or folder that does not begin again has an end: then
/// everything is delivered, the last of it a report that it is gone, and watching ends too.
///
/// A camera that cannot be reached, or sends nonsense, is no error but a report; it is tried again for ever, after one
/// second, then two, and so on up to thirty. When the receiver is slow, the newest frame takes the place of the one
/// that waits; only a folder waits for its receiver.
///
/// # Errors
/// The settings make no sense, or there is no GStreamer for a camera that needs it.
pub async fn watch(settings: Settings, sender: Sender<Seen>) -> Result<(), Unwatchable> {
    settings.check()?;
    if !matches!(settings.address.kind(), Kind::Http(_)) {
        let started = tokio::task::spawn_blocking(gstreamer::init).await;
        // It does not panic, and nobody aborts it.
        started.unwrap_or(Ok(())).map_err(Unwatchable::GStreamer)?;
    }
    let mut watch = Watch::new(settings, sender);
    while watch.step().await {}
    watch.close().await;
    Ok(())
}

struct Watch {
    feed: Arc<Feed>,
    sender: Sender<Seen>,
    diagnosis: Diagnosis,
    outbox: Outbox,
    /// The reading of the camera, and since when.
    attempt: Option<(BoxFuture<'static, Result<(), Trouble>>, Instant)>,
    looking: Option<(SystemTime, JoinHandle<Result<Picture, NoPicture>>)>,
    /// When to try again.
    resume: Option<Instant>,
    back_off: BackOff,
    /// When a picture was last found to be one.
    good: Option<Instant>,
    /// Of this attempt, what was wrong with its newest picture.
    bad: Option<String>,
    sequence: u64,
    lost: u64,
    /// Nothing more will come; everything is told.
    is_over: bool,
    has_ended: bool,
    ticks: Interval,
}

enum Event {
    Deaf,
    Delivered,
    Raw(Raw),
    Looked(Result<Picture, String>),
    Stopped(Result<(), Trouble>),
    Resume,
    Tick,
}

impl Watch {
    fn new(settings: Settings, sender: Sender<Seen>) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let diagnosis = Diagnosis::new(settings.criteria, settings.real_patience(), Instant::now());
        Self {
            feed: Arc::new(Feed::new(settings)),
            sender,
            diagnosis,
            outbox: Outbox::default(),
            attempt: None,
            looking: None,
            resume: Some(Instant::now()),
            back_off: BackOff::default(),
            good: None,
            bad: None,
            sequence: 0,
            lost: 0,
            is_over: false,
            has_ended: false,
            ticks,
        }
    }

    /// Does the next thing; whether there is another.
    async fn step(&mut self) -> bool {
        let event = self.next().await;
        let now = Instant::now();
        match event {
            Event::Deaf => return false,
            Event::Delivered | Event::Tick => {}
            Event::Raw(raw) => {
                let (size, quality) = (self.feed.settings.size, self.feed.settings.quality);
                let looking = tokio::task::spawn_blocking(move || look(raw.bytes, size, quality));
                self.looking = Some((raw.taken, looking));
            }
            Event::Looked(picture) => self.looked(picture, now),
            Event::Stopped(result) => self.stopped(result, now),
            Event::Resume => {
                self.resume = None;
                self.bad = None;
                self.attempt = Some((attempt(self.feed.clone()).boxed(), now));
            }
        }
        self.look_after(now);
        !(self.is_over && self.outbox.is_empty())
    }

    /// Waits for the next thing. What it drops while waiting loses nothing.
    async fn next(&mut self) -> Event {
        let may_look = self.looking.is_none() && !self.waits_for_receiver();
        let resume = self.resume.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = self.sender.closed() => Event::Deaf,
            permit = self.sender.reserve(), if !self.outbox.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(seen) = self.outbox.next() {
                        permit.send(seen);
                    }
                    Event::Delivered
                }
                Err(_) => Event::Deaf,
            },
            looked = done(&mut self.looking) => Event::Looked(looked),
            raw = self.feed.take(), if may_look => Event::Raw(raw),
            result = stopped(&mut self.attempt) => Event::Stopped(result),
            () = tokio::time::sleep_until(resume.into()), if self.resume.is_some() => Event::Resume,
            _ = self.ticks.tick() => Event::Tick,
        }
    }

    /// A folder's pictures must not be lost.
    fn waits_for_receiver(&self) -> bool {
        self.feed.waits() && self.outbox.has_frame()
    }

    fn looked(&mut self, picture: Result<Picture, String>, now: Instant) {
        let Some((taken, _)) = self.looking.take() else { return };
        let picture = match picture {
            Ok(picture) => picture,
            Err(reason) => {
                self.diagnosis.trouble(now, reason.clone());
                self.bad = Some(reason);
                return;
            }
        };
        let Picture { width, height, jpeg, hash, light, fingerprint } = picture;
        self.diagnosis.frame(now, light, fingerprint);
        self.outbox.add_frame(Frame { taken, sequence: self.sequence, width, height, jpeg, hash, light });
        self.sequence += 1;
        (self.good, self.bad) = (Some(now), None);
        if self.attempt.as_ref().is_some_and(|(_, since)| *since + GOOD < now) {
            self.back_off.reset();
        }
    }

    fn stopped(&mut self, result: Result<(), Trouble>, now: Instant) {
        let Some((_, since)) = self.attempt.take() else { return };
        let trouble = match result {
            Ok(())
                if self.feed.settings.again && (self.is_under_way() || self.good.is_some_and(|good| good >= since)) =>
            {
                // A recording of one picture would otherwise be opened as fast as it can be.
                self.resume = Some(now.max(since + self.feed.settings.period().min(TICK)));
                return;
            }
            Ok(()) if !self.feed.settings.again => {
                self.has_ended = true;
                return;
            }
            Ok(()) => Trouble::new("the recording has no picture that can be shown"),
            Err(trouble) => trouble,
        };
        self.trouble(&trouble.0, now);
    }

    /// Whether a picture has come that has not been looked at yet.
    fn is_under_way(&self) -> bool {
        self.looking.is_some() || !self.feed.is_empty()
    }

    /// The camera cannot be read: it is tried again after a while.
    fn trouble(&mut self, reason: &str, now: Instant) {
        let reason = self.feed.settings.address.scrub(reason);
        let pause = self.back_off.next();
        tracing::debug!(camera = %self.feed.settings.address, reason, ?pause, "the camera cannot be read");
        self.diagnosis.trouble(now, reason);
        self.resume = Some(now + pause);
    }

    /// Does what time demands.
    fn look_after(&mut self, now: Instant) {
        let patience = self.feed.settings.real_patience();
        if self.waits_for_receiver() {
            self.good = self.good.map(|_| now);
            self.diagnosis.excuse(now);
        }
        if let Some((_, since)) = &self.attempt {
            let quiet = now.saturating_duration_since(self.good.map_or(*since, |good| good.max(*since)));
            if quiet >= patience {
                self.attempt = None;
                let reason = match &self.bad {
                    Some(bad) => bad.clone(),
                    None => format!("no picture for {} s", quiet.as_secs()),
                };
                self.trouble(&reason, now);
            }
        }
        if self.has_ended && !self.is_over && self.looking.is_none() && self.feed.is_empty() {
            self.is_over = true;
            self.diagnosis.end(now, "the recording has ended");
        }
        self.lost += self.feed.take_lost();
        if let Some(report) = self.diagnosis.report(now) {
            self.tell(report);
        }
    }

    fn tell(&mut self, report: Report) {
        let Report { state, reason, lasting, frames, rate } = report;
        let at = SystemTime::now();
        let skipped = self.lost + self.outbox.skipped();
        let since = at.checked_sub(lasting).unwrap_or(at);
        self.outbox.add_health(Health { at, state, reason, since, frames, skipped, rate });
    }

    /// Waits for a pipeline to be taken down.
    async fn close(mut self) {
        self.attempt = None;
        let _ = tokio::time::timeout(GOODBYE, self.feed.connection()).await;
    }
}

/// Reads the camera once, to its end or until something goes wrong.
async fn attempt(feed: Arc<Feed>) -> Result<(), Trouble> {
    match feed.settings.address.kind() {
        Kind::Rtsp(place) => play(Source::Rtsp(place), &feed).await,
        Kind::Http(place) => web::read(place, &feed).await,
        Kind::Device(path) => play(Source::Device(path), &feed).await,
        Kind::Recording(path) => {
            if is_pictures(path).await? {
                folder::show(path, &feed).await
            } else {
                play(Source::File(path), &feed).await
            }
        }
    }
}

async fn is_pictures(path: &Path) -> Result<bool, Trouble> {
    let found = tokio::fs::metadata(path).await;
    let found = found.map_err(|error| Trouble::new(format!("{} cannot be read: {error}", path.display())))?;
    Ok(found.is_dir() || folder::is_picture(path))
}

async fn stopped(attempt: &mut Option<(BoxFuture<'static, Result<(), Trouble>>, Instant)>) -> Result<(), Trouble> {
    match attempt {
        Some((attempt, _)) => attempt.await,
        None => std::future::pending().await,
    }
}

async fn done(looking: &mut Option<(SystemTime, JoinHandle<Result<Picture, NoPicture>>)>) -> Result<Picture, String> {
    match looking {
        Some((_, looking)) => match looking.await {
            Ok(picture) => picture.map_err(|error| error.to_string()),
            // A decoder that gives up in its own way on what a camera has sent.
            Err(_) => Err("the picture cannot be decoded".to_owned()),
        },
        None => std::future::pending().await,
    }
}
