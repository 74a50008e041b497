//! Cameras over RTSP, on a real server: what they show, and the ways in which they fail.

mod rig;
#[path = "../../tests/common/rtsp.rs"]
mod rtsp;

use jarvis_cameras::{Settings, State};
use rig::{Watched, check, hasty};
use rtsp::Rtsp;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_seen_at_its_rate_and_size() {
    let server = Rtsp::start();
    let mut camera = Watched::start(Settings { size: 320, rate: 5.0, ..hasty(&server.url("a")) });
    let first = camera.frame(|_| true).await;
    check(&first);
    assert_eq!((first.width, first.height), (320, 180));
    let begun = std::time::Instant::now();
    for _ in 0..15 {
        check(&camera.frame(|_| true).await);
    }
    let rate = 15.0 / begun.elapsed().as_secs_f64();
    assert!((3.5..6.5).contains(&rate), "{rate}");
    assert_eq!(camera.state(State::Live).await.skipped, 0);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn black_is_black_and_white_is_white() {
    let server = Rtsp::start();
    server.show("a", "black");
    let mut camera = Watched::start(hasty(&server.url("a")));
    let black = camera.frame(|_| true).await;
    assert!(black.light.mean < 3.0, "{black:?}");
    camera.state(State::Black).await;
    server.show("a", "smpte");
    camera.state(State::Live).await;
    server.show("a", "white");
    camera.frame(|frame| frame.light.mean > 250.0 && frame.light.contrast < 2.0).await;
    let covered = camera.state(State::Black).await;
    assert!(covered.reason.contains("covers"), "{covered:?}");
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_picture_is_noticed_though_it_is_encoded_anew() {
    let server = Rtsp::start();
    let mut camera = Watched::start(hasty(&server.url("a")));
    camera.state(State::Live).await;
    server.freeze("a");
    let frozen = camera.state(State::Frozen).await;
    assert!(frozen.reason.contains("not changed") || frozen.reason.contains("again and again"), "{frozen:?}");
    server.show("a", "smpte");
    camera.state(State::Live).await;
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_a_folder_are_shown() {
    let (server, folder) = (Rtsp::start(), tempfile::tempdir().unwrap());
    for number in 0..3 {
        std::fs::write(folder.path().join(format!("{number}.jpg")), rig::jpeg(400, 300, number)).unwrap();
    }
    server.show("a", folder.path().to_str().unwrap());
    server.pace("a", 0.3);
    let mut camera = Watched::start(hasty(&server.url("a")));
    let frame = camera.frame(|_| true).await;
    assert_eq!((frame.width, frame.height), (640, 360));
    assert!((60.0..160.0).contains(&frame.light.mean), "{frame:?}");
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stalls_is_gone_and_comes_back() {
    let server = Rtsp::start();
    let mut camera = Watched::start(hasty(&server.url("a")));
    camera.state(State::Live).await;
    server.stall("a");
    let gone = camera.state(State::Gone).await;
    assert!(gone.reason.contains("no picture for"), "{gone:?}");
    server.resume("a");
    camera.state(State::Live).await;
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_gone_and_is_found_again() {
    let server = Rtsp::start();
    let url = server.url("a");
    let mut camera = Watched::start(hasty(&url));
    camera.state(State::Live).await;
    server.stop();
    camera.state(State::Gone).await;
    server.restart();
    server.show("a", "smpte");
    camera.state(State::Live).await;
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_closed_is_replaced_before_anybody_notices() {
    let server = Rtsp::start();
    let patient = Settings { patience: Duration::from_secs(15), ..hasty(&server.url("a")) };
    let mut camera = Watched::start(patient);
    let before = camera.frame(|_| true).await.sequence;
    server.drop_connections();
    for _ in 0..30 {
        camera.frame(|_| true).await;
    }
    assert!(camera.frame(|_| true).await.sequence > before + 30);
    assert_eq!(camera.last.as_ref().unwrap().state, State::Live);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolution_that_changes_is_followed() {
    let server = Rtsp::start();
    let mut camera = Watched::start(hasty(&server.url("a")));
    camera.frame(|frame| (frame.width, frame.height) == (640, 360)).await;
    server.size("a", 320, 240);
    check(&camera.frame(|frame| (frame.width, frame.height) == (320, 240)).await);
    server.size("a", 1600, 1200);
    check(&camera.frame(|frame| (frame.width, frame.height) == (1280, 960)).await);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_used_and_never_said() {
    let server = Rtsp::start_with_password("maker", "hunter2!");
    let url = server.url("a");
    let with = |user: &str| url.replace("rtsp://", &format!("rtsp://{user}@"));
    let mut camera = Watched::start(hasty(&with("maker:hunter2%21")));
    camera.state(State::Live).await;
    camera.close().await;
    for user in ["maker:wrong-secret", "someone:hunter2%21"] {
        let mut camera = Watched::start(hasty(&with(user)));
        let gone = camera.state(State::Gone).await;
        assert!(gone.reason.contains("401"), "{gone:?}");
        let said = format!("{gone:?}");
        assert!(!said.contains("secret") && !said.contains("hunter2") && !said.contains("someone"), "{said}");
        camera.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_at_the_address_and_no_server_are_told() {
    let server = Rtsp::start();
    let url = server.url("a");
    for (url, words) in
        [(url.replace("/a", "/secret-place"), "404"), ("rtsp://127.0.0.1:1/secret-place".to_owned(), "")]
    {
        let mut camera = Watched::start(hasty(&url));
        let gone = camera.state(State::Gone).await;
        assert!(gone.reason.contains(words) && !gone.reason.contains("secret-place"), "{gone:?}");
        camera.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_gets_the_newest_frame_and_a_count() {
    let server = Rtsp::start();
    let mut camera = Watched::start(hasty(&server.url("a")));
    camera.frame(|_| true).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut before = None;
    let mut has_gap = false;
    for _ in 0..10 {
        let frame = camera.frame(|_| true).await;
        has_gap |= before.is_some_and(|before| frame.sequence > before + 10);
        before = Some(frame.sequence);
    }
    assert!(has_gap);
    let health = camera.state(State::Live).await;
    assert!(health.skipped > 10 && health.skipped < health.frames, "{health:?}");
    camera.close().await;
}

/// Signs itself, as cameras do.
fn certificate(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("both.pem");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("certificate.pem"))
        .output()
        .expect("this test needs openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    std::fs::write(&path, read("certificate.pem") + &read("key.pem")).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_only_if_it_shall_be() {
    let folder = tempfile::tempdir().unwrap();
    let server = Rtsp::start_with_tls(&certificate(folder.path()));
    let url = server.url("a");
    assert!(url.starts_with("rtsps://"));
    let mut camera = Watched::start(hasty(&url));
    camera.state(State::Live).await;
    camera.close().await;
    let mut camera = Watched::start(Settings { verify_tls: Some(true), ..hasty(&url) });
    let gone = camera.state(State::Gone).await;
    assert!(gone.reason.to_lowercase().contains("certificate"), "{gone:?}");
    camera.close().await;
}

/// Threads of this process that GStreamer has started: each pipeline has some.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_that_are_replaced_leave_nothing_behind() {
    let server = Rtsp::start();
    let mut camera = Watched::start(Settings { patience: Duration::from_secs(15), ..hasty(&server.url("a")) });
    let mut counts = vec![];
    for _ in 0..4 {
        for _ in 0..15 {
            camera.frame(|_| true).await;
        }
        counts.push(threads());
        server.drop_connections();
    }
    // Threads that wait for work are counted too; a connection has more than ten.
    assert!(counts[3] <= counts[0] + 8, "{counts:?}");
    camera.close().await;
}
