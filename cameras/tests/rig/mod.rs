//! Watching in tests: what was seen, with an end to waiting.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use jarvis_cameras::{Address, Criteria, Frame, Health, Seen, Settings, State, Unwatchable, watch};
use std::io::Cursor;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Only there so that a test that waits in vain ends.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Ten frames a second, and little patience.
pub fn hasty(address: &str) -> Settings {
    let settings = Settings::new(Address::parse(address).unwrap());
    let criteria = Criteria {
        hold: Duration::from_millis(500),
        frozen: settings.criteria.frozen.map(|_| Duration::from_secs(3)),
        heartbeat: Duration::from_secs(1),
        ..settings.criteria
    };
    Settings { rate: 10.0, patience: Duration::from_secs(2), criteria, ..settings }
}

/// A camera that is watched until this is dropped.
pub struct Watched {
    receiver: Receiver<Seen>,
    task: JoinHandle<Result<(), Unwatchable>>,
    pub last: Option<Health>,
}

impl Watched {
    pub fn start(settings: Settings) -> Self {
        let (sender, receiver) = channel(4);
        Self { receiver, task: tokio::spawn(watch(settings, sender)), last: None }
    }

    pub async fn next(&mut self) -> Option<Seen> {
        let seen = timeout(PATIENCE, self.receiver.recv()).await;
        let seen = seen.unwrap_or_else(|_| panic!("nothing is seen any more; last: {:?}", self.last));
        if let Some(Seen::Health(health)) = &seen {
            self.last = Some(health.clone());
        }
        seen
    }

    /// The next frame that is as it should be.
    pub async fn frame(&mut self, is_right: impl Fn(&Frame) -> bool) -> Frame {
        let search = async {
            loop {
                match self.next().await.expect("watching has ended") {
                    Seen::Frame(frame) if is_right(&frame) => return frame,
                    _ => {}
                }
            }
        };
        let found = timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("the frame does not come; last: {:?}", self.last))
    }

    /// Waits for a report of a state.
    pub async fn state(&mut self, state: State) -> Health {
        let search = async {
            loop {
                match self.next().await.expect("watching has ended") {
                    Seen::Health(health) if health.state == state => return health,
                    _ => {}
                }
            }
        };
        let found = timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("it does not become {state}; last: {:?}", self.last))
    }

    /// Everything until watching ends of itself.
    pub async fn rest(mut self) -> Vec<Seen> {
        let mut all = vec![];
        while let Some(seen) = self.next().await {
            all.push(seen);
        }
        self.task.await.unwrap().unwrap();
        all
    }

    /// Stops listening; watching must then end.
    pub async fn close(mut self) {
        self.receiver.close();
        timeout(PATIENCE, self.task).await.expect("watching does not end").unwrap().unwrap();
    }
}

/// A picture with noise, unlike those of other numbers.
pub fn picture(width: u32, height: u32, number: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x * 7919 + y * 104_729 + number * 1_299_709).wrapping_mul(2_654_435_761) >> 28;
        Rgb([(x * 200 / width) as u8 + noise as u8, (y * 200 / height) as u8 + noise as u8, 90])
    })
}

pub fn jpeg(width: u32, height: u32, number: u32) -> Vec<u8> {
    encoded(picture(width, height, number), ImageFormat::Jpeg)
}

pub fn encoded(picture: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    DynamicImage::from(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A frame is a JPEG of the size it says.
pub fn check(frame: &Frame) {
    let decoded = image::load_from_memory_with_format(&frame.jpeg, ImageFormat::Jpeg).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (frame.width, frame.height));
    assert_eq!(jarvis_cameras::Hash::of(&frame.jpeg), frame.hash);
}
