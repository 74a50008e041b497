//! Cameras over RTSP, Video4Linux devices and video files, by GStreamer.
//!
//! ```text
//! rtspsrc | v4l2src | filesrc -> decodebin -> [identity] -> videoconvertscale -> I420 -> jpegenc -> appsink
//!                                                        ^ gate
//! ```
//!
//! Whatever comes is decoded, for a picture of a compressed stream needs those before it; what is not kept is dropped
//! right behind the decoder, before it costs more. `decodebin` takes the decoder of the highest rank, which is one in
//! hardware where there is a plugin for it. A file is played by the clock (`identity sync=true`).
//!
//! Luminance is brought to the full range of 0 to 255 of JPEG (JFIF): `jpegenc` does not do so by itself, and the
//! limited range of video would make every black picture a grey one.
//!
//! Every attempt has a pipeline of its own: one that has failed is in no state to be relied upon. Taking it down may
//! block, for it waits for the network, so a thread of its own does it; the next attempt begins when it is done.

use crate::address::Place;
use crate::feed::{Feed, Trouble};
use bytes::Bytes;
use futures::StreamExt;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// What is read.
pub(crate) enum Source<'a> {
    Rtsp(&'a Place),
    Device(&'a Path),
    File(&'a Path),
}

/// Reads until something goes wrong, or the file ends.
pub(crate) async fn play(source: Source<'_>, feed: &Arc<Feed>) -> Result<(), Trouble> {
    let connection = feed.connection().await?;
    let pipeline = build(&source, feed).map_err(|error| Trouble::new(error.message.to_string()))?;
    let bus = pipeline.bus().ok_or_else(|| Trouble::new("the pipeline has no bus"))?;
    let mut messages = bus.stream();
    let running = Running { pipeline, is_stopped: Arc::default(), connection: Some(connection) };
    let has_started = running.start().await;
    loop {
        let message = if has_started {
            messages.next().await
        } else {
            // The bus has the reason.
            tokio::time::timeout(Duration::from_secs(1), messages.next()).await.unwrap_or_default()
        };
        let Some(message) = message else {
            return Err(Trouble::new("the camera's pipeline cannot be started"));
        };
        match message.view() {
            gst::MessageView::Eos(_) if matches!(source, Source::File(_)) => break,
            gst::MessageView::Eos(_) => return Err(Trouble::new("the camera has ended the stream")),
            gst::MessageView::Error(error) => {
                // GStreamer does not say that it was the certificate.
                let is_checked =
                    matches!(source, Source::Rtsp(place) if place.is_encrypted()) && feed.settings.verifies_tls();
                let hint = if is_checked { "; its certificate is verified, and must be valid" } else { "" };
                return Err(Trouble::new(reason(error) + hint));
            }
            gst::MessageView::Latency(_) => {
                // It then stays as it was.
                let _ = running.pipeline.recalculate_latency();
            }
            gst::MessageView::Warning(warning) => {
                let address = &feed.settings.address;
                let text = address.scrub(&warning.error().to_string());
                tracing::debug!(camera = %address, text, "GStreamer warns");
            }
            _ => {}
        }
    }
    Ok(())
}

/// A pipeline that is taken down whatever happens.
struct Running {
    pipeline: gst::Pipeline,
    /// Locked while the pipeline is started or stopped: it must not be started afterwards.
    is_stopped: Arc<Mutex<bool>>,
    connection: Option<OwnedSemaphorePermit>,
}

impl Running {
    /// Whether it starts. A device may take its time to open.
    async fn start(&self) -> bool {
        let (pipeline, is_stopped) = (self.pipeline.clone(), self.is_stopped.clone());
        let start = move || {
            let is_stopped = is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
            !*is_stopped && pipeline.set_state(gst::State::Playing).is_ok()
        };
        tokio::task::spawn_blocking(start).await.unwrap_or(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (pipeline, is_stopped) = (self.pipeline.clone(), self.is_stopped.clone());
        let connection = self.connection.take();
        let stop = move || {
            let mut is_stopped = is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
            *is_stopped = true;
            // There is nothing else to be done with one that does not stop.
            let _ = pipeline.set_state(gst::State::Null);
            drop(connection);
        };
        // Without threads there is no pipeline either, and the process has other worries.
        let _ = std::thread::Builder::new().name("camera-stop".to_owned()).spawn(stop);
    }
}

fn element(name: &str) -> Result<gst::Element, gst::glib::BoolError> {
    gst::ElementFactory::make(name)
        .build()
        .map_err(|_| gst::glib::bool_error!("GStreamer has no element {name}: install the plugin that has it"))
}

fn build(source: &Source<'_>, feed: &Arc<Feed>) -> Result<gst::Pipeline, gst::glib::BoolError> {
    let pipeline = gst::Pipeline::new();
    let decoder = element("decodebin")?;
    pipeline.add(&decoder)?;
    let input = match source {
        Source::Rtsp(place) => rtsp(place, feed, &decoder)?,
        Source::Device(path) | Source::File(path) => {
            let is_file = matches!(source, Source::File(_));
            let input = element(if is_file { "filesrc" } else { "v4l2src" })?;
            let path = path.to_str().ok_or_else(|| gst::glib::bool_error!("the path is not UTF-8"))?;
            input.set_property(if is_file { "location" } else { "device" }, path);
            input
        }
    };
    pipeline.add(&input)?;
    if !matches!(source, Source::Rtsp(_)) {
        input.link(&decoder)?;
    }
    let entry = tail(&pipeline, feed, matches!(source, Source::File(_)))?;
    decoder.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps.structure(0).is_some_and(|caps| caps.name().starts_with("video/"));
        if is_video && !entry.is_linked() {
            // That nothing flows is told by the watchdog, if nothing else does.
            let _ = pad.link(&entry);
        }
    });
    Ok(pipeline)
}

/// A client of an RTSP server. Over TCP: a lost packet would spoil pictures, and firewalls know no UDP.
fn rtsp(place: &Place, feed: &Arc<Feed>, decoder: &gst::Element) -> Result<gst::Element, gst::glib::BoolError> {
    let client = element("rtspsrc")?;
    client.set_property("location", place.url.as_str());
    client.set_property_from_str("protocols", "tcp");
    client.set_property("latency", u32::try_from(feed.settings.latency.as_millis()).unwrap_or(u32::MAX));
    client.set_property("tcp-timeout", u64::try_from(feed.settings.patience.as_micros()).unwrap_or(u64::MAX));
    client.set_property("user-agent", "jarvis");
    if let Some(user) = &place.user {
        client.set_property("user-id", &user.name);
        client.set_property("user-pw", &user.password);
    }
    if !feed.settings.verifies_tls() {
        client.set_property_from_str("tls-validation-flags", "no-flags");
    }
    let is_video = |caps: &gst::CapsRef| {
        caps.structure(0).is_some_and(|caps| caps.get::<&str>("media").is_ok_and(|media| media == "video"))
    };
    client.connect("select-stream", false, move |values| {
        let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
        Some(caps.is_some_and(|caps| is_video(&caps)).to_value())
    });
    let entry = decoder.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("decodebin has no sink"))?;
    client.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        if is_video(&caps) && !entry.is_linked() {
            // As above.
            let _ = pad.link(&entry);
        }
    });
    Ok(client)
}

/// What is behind the decoder; its entry.
fn tail(pipeline: &gst::Pipeline, feed: &Arc<Feed>, is_file: bool) -> Result<gst::Pad, gst::glib::BoolError> {
    let settings = &feed.settings;
    let pace = element("identity")?;
    pace.set_property("sync", is_file);
    let scale = element("videoconvertscale")?;
    scale.set_property("add-borders", false);
    let size = gst::IntRange::new(1, i32::try_from(settings.size).unwrap_or(i32::MAX));
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", size)
        .field("height", size)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        // 0 to 255, ITU-R BT.601.
        .field("colorimetry", "1:4:0:0")
        .build();
    let filter = element("capsfilter")?;
    filter.set_property("caps", caps);
    let encoder = element("jpegenc")?;
    encoder.set_property("quality", i32::from(settings.quality));
    // Without `async` the pipeline does not wait for a first picture before it runs: the gate may hold it back.
    let sink = AppSink::builder().sync(false).max_buffers(1).drop(true).async_(false).build();
    let to = feed.clone();
    let receive = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        to.put(Bytes::copy_from_slice(&map));
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(AppSinkCallbacks::builder().new_sample(receive).build());
    let chain = [&pace, &scale, &filter, &encoder, sink.upcast_ref()];
    pipeline.add_many(chain)?;
    gst::Element::link_many(chain)?;
    let gate = feed.clone();
    let pad = pace.static_pad("src").ok_or_else(|| gst::glib::bool_error!("identity has no source"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        if gate.opens() { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
    pace.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("identity has no sink"))
}

/// What an error means; its details without the names of elements.
fn reason(error: &gst::message::Error) -> String {
    let (what, debug) = (error.error(), error.debug().unwrap_or_default());
    match what.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NotAuthorized) => {
            return "the camera refuses the user name and password, or wants some (401)".to_owned();
        }
        Some(gst::ResourceError::NotFound) if debug.contains("404") => {
            return "the camera has no stream at this address (404)".to_owned();
        }
        _ => {}
    }
    let detail = debug.lines().last().and_then(|line| line.rsplit_once(": ").map(|(_, detail)| detail).or(Some(line)));
    match detail.map(str::trim).filter(|detail| !detail.is_empty() && !detail.contains("/GstPipeline")) {
        Some(detail) => format!("{} ({detail})", what.message()),
        None => what.message().to_owned(),
    }
}
