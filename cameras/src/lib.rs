//! Cameras: their pictures, and whether they can be believed.
//!
//! A camera is watched by [`watch`], which reconnects for ever and tells what it sees: [`Frame`]s, each a JPEG picture
//! with the SHA-256 of its bytes, and [`Health`], which says whether the camera is live, frozen, covered, in the dark
//! or gone. Whoever decides on a picture ("nobody is in the zone") needs both: a camera that shows nothing has not seen
//! that there is nothing.
//!
//! | Address | Read by |
//! |---|---|
//! | `rtsp://` `rtsps://` | GStreamer, over TCP; H.264, H.265, MJPEG and whatever else it has a decoder for |
//! | `http://` `https://` | MJPEG (`multipart/x-mixed-replace`), or one picture that is asked for again and again |
//! | `/dev/video0` | GStreamer, Video4Linux 2 |
//! | a video file | GStreamer, as fast as it was recorded |
//! | a folder | the pictures in it (JPEG, PNG, WebP, BMP), in the order of their names |
//!
//! The pixels do not travel with the events of a dataflow, only their hashes; [`Frames`] has the pixels, bounded in
//! memory and on disk, and keeps those that are evidence.
//!
//! GStreamer chooses decoders by rank, so that one in hardware is used where its plugin is installed.

mod address;
mod back_off;
mod digest;
mod feed;
mod folder;
mod frames;
mod gate;
mod hash;
mod health;
mod multipart;
mod outbox;
mod picture;
mod pipeline;
mod settings;
mod slot;
mod watch;
mod web;

/// Where pictures lie below a data folder.
pub const FOLDER: &str = "frames";

pub use address::{Address, BadAddress};
pub use frames::{Frames, Limits};
pub use hash::{BadHash, Hash};
pub use health::{Criteria, Diagnosis, Health, State};
pub use picture::{Fingerprint, Light};
pub use settings::{BadSettings, Settings};
pub use watch::{Frame, Seen, Unwatchable, watch};
