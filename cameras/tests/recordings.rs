//! Folders of pictures and video files, which stand for cameras.

mod rig;

use image::ImageFormat;
use jarvis_cameras::{Frame, Seen, Settings, State};
use rig::{Watched, check, encoded, hasty, jpeg, picture};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn frames(seen: &[Seen]) -> Vec<&Frame> {
    let mut frames = vec![];
    for seen in seen {
        if let Seen::Frame(frame) = seen {
            frames.push(frame);
        }
    }
    frames
}

fn assert_ended(seen: &[Seen]) {
    let Some(Seen::Health(last)) = seen.last() else { panic!("{seen:?}") };
    assert_eq!(last.state, State::Gone);
    assert!(last.reason.contains("has ended"), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_pictures_come_in_order_of_names_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for number in [3_u32, 1, 2, 0] {
        std::fs::write(folder.path().join(format!("{number}.jpg")), jpeg(64 + number, 48, number)).unwrap();
    }
    std::fs::write(folder.path().join("4.png"), encoded(picture(68, 48, 4), ImageFormat::Png)).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    let settings = Settings { rate: 100.0, ..hasty(folder.path().to_str().unwrap()) };
    let mut camera = Watched::start(settings);
    // Nobody takes anything for longer than one's patience.
    let Some(Seen::Frame(first)) = camera.next().await else { panic!("the first thing is no frame") };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = camera.rest().await;
    assert_ended(&seen);
    let frames = [vec![&first], frames(&seen)].concat();
    frames.iter().for_each(|frame| check(frame));
    assert_eq!(frames.iter().map(|frame| frame.width).collect::<Vec<_>>(), [64, 65, 66, 67, 68]);
    let gone = seen.iter().filter(|seen| matches!(seen, Seen::Health(health) if health.state == State::Gone)).count();
    assert_eq!(gone, 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_shown_at_the_rate_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2 {
        std::fs::write(folder.path().join(format!("{number}.jpg")), jpeg(64 + number, 48, number)).unwrap();
    }
    let settings = Settings { rate: 5.0, again: true, ..hasty(folder.path().to_str().unwrap()) };
    let mut camera = Watched::start(settings);
    camera.frame(|_| true).await;
    let begun = Instant::now();
    for number in 0..10 {
        let frame = camera.frame(|_| true).await;
        assert_eq!(frame.width, 64 + (number + 1) % 2);
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!((1.5..3.0).contains(&seconds), "{seconds}");
    assert_eq!(camera.state(State::Live).await.state, State::Live);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_and_no_folder_are_told_and_found_when_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures");
    let mut camera = Watched::start(hasty(path.to_str().unwrap()));
    assert!(camera.state(State::Gone).await.reason.contains("cannot be read"));
    std::fs::create_dir(&path).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    std::fs::write(path.join("1.jpg"), jpeg(64, 48, 1)).unwrap();
    let seen = camera.rest().await;
    assert_eq!(frames(&seen).len(), 1);
    assert_ended(&seen);
}

/// Three seconds of video at ten frames a second.
fn video(folder: &Path) -> PathBuf {
    let path = folder.join("one.mp4");
    let status = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", "num-buffers=30", "pattern=smpte", "!"])
        .args(["video/x-raw,width=320,height=240,framerate=10/1", "!", "x264enc", "speed-preset=ultrafast", "!"])
        .args(["mp4mux", "!", "filesink"])
        .arg(format!("location={}", path.display()))
        .status()
        .expect("this test needs gst-launch-1.0");
    assert!(status.success());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_plays_as_fast_as_it_was_recorded_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = video(folder.path());
    let begun = Instant::now();
    let seen = Watched::start(Settings { rate: 5.0, ..hasty(path.to_str().unwrap()) }).rest().await;
    let seconds = begun.elapsed().as_secs_f64();
    assert!((2.5..6.0).contains(&seconds), "{seconds}");
    assert_ended(&seen);
    let frames = frames(&seen);
    frames.iter().for_each(|frame| check(frame));
    assert!((12..=18).contains(&frames.len()), "{}", frames.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_plays_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", video(folder.path()).display());
    let mut camera = Watched::start(Settings { again: true, ..hasty(&url) });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        camera.frame(|_| true).await;
    }
    let live = camera.state(State::Live).await;
    assert!(live.frames > 50 && live.reason.contains("come"), "{live:?}");
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_video_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.mp4");
    for content in [b"this is no video at all, only text".repeat(100), vec![0; 100_000], vec![]] {
        std::fs::write(&path, content).unwrap();
        let mut camera = Watched::start(hasty(path.to_str().unwrap()));
        let gone = camera.state(State::Gone).await;
        assert!(!gone.reason.is_empty());
        camera.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_there_is_told() {
    let mut camera = Watched::start(hasty("/dev/video99"));
    let gone = camera.state(State::Gone).await;
    assert!(gone.reason.contains("/dev/video99"), "{gone:?}");
    camera.close().await;
}
