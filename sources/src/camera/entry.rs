//! A camera as it is written.

use super::Camera;
use jarvis_cameras::{Address, Settings};
use jarvis_runtime::kinds::PlanContext;
use jarvis_spec::node::Entry;
use jarvis_spec::{Diagnostic, Secret};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// A camera.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// `rtsp://` or `rtsps://` (H.264, H.265, MJPEG); `http://` or `https://` (MJPEG, or a picture that is asked for again
    /// and again); `/dev/video0`; a video file; or a folder of pictures.
    address: Secret,
    /// The printer that it looks at.
    #[serde(default)]
    printer: Option<String>,
    /// Frames that are kept of each second: 1 unless set.
    #[serde(default)]
    rate: Option<f64>,
    /// The largest width and height that are kept, pixels: 1280 unless set.
    #[serde(default)]
    size: Option<u32>,
    /// How long it may show nothing until it counts as gone and is connected to anew: 10s unless set.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    patience: Option<Duration>,
    /// Whether its server must prove who it is: for https unless set, not for rtsps, where cameras sign for themselves.
    #[serde(default)]
    verify_tls: Option<bool>,
    /// Whether a video file or folder begins again at its end.
    #[serde(default)]
    again: bool,
    /// How long the picture may stay exactly the same until the camera counts as frozen: 30s unless set, never where it
    /// is a recording.
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    #[schemars(with = "Option<String>")]
    frozen_after: Option<Duration>,
}

/// # Errors
/// An unknown key, an address that is none, or a setting out of its bounds.
pub(super) fn entry(entry: &Entry, context: &PlanContext) -> Result<Camera, Diagnostic> {
    let written: Written = entry.value.parse()?;
    let address = written.address.expose();
    // Files are named from the folder of the pipeline.
    let is_file = !address.contains("://") && !address.starts_with("/dev/");
    let address = match is_file {
        true => context.resolve(Path::new(address)).to_string_lossy().into_owned(),
        false => address.to_owned(),
    };
    let at = |key: &str| entry.value.get(key).map_or_else(|| entry.value.span(), |node| node.span());
    let address = Address::parse(&address).map_err(|error| {
        Diagnostic::error("address", error.to_string())
            .at(at("address"))
            .help("write rtsp://, rtsps://, http://, https://, /dev/videoN, or the path of a video file or a folder")
    })?;
    let mut settings = Settings::new(address);
    settings.rate = written.rate.unwrap_or(settings.rate);
    settings.size = written.size.unwrap_or(settings.size);
    settings.patience = written.patience.unwrap_or(settings.patience);
    settings.verify_tls = written.verify_tls;
    settings.again = written.again;
    settings.criteria.frozen = written.frozen_after.or(settings.criteria.frozen);
    settings.check().map_err(|error| {
        Diagnostic::error("wrong_value", format!("the camera {}: {error}", entry.key.value)).at(entry.value.span())
    })?;
    Ok(Camera { name: entry.key.value.clone(), printer: written.printer, settings })
}
