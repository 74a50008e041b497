//! Cameras over HTTP, on servers that do well and servers that do all kinds of wrong.

#[path = "rig/page.rs"]
mod page;
mod rig;

use jarvis_cameras::{Hash, Seen, Settings, State};
use page::{Page, Visitor};
use rig::{Watched, check, hasty, jpeg};
use std::time::Duration;
use tokio::time::sleep;

const MJPEG: &str = "multipart/x-mixed-replace;boundary=frame";

async fn pause() {
    sleep(Duration::from_millis(100)).await;
}

/// Pictures of a size, ten a second, for as long as somebody looks or so many.
async fn stream(mut visitor: Visitor, pictures: u32, size: impl Fn(u32) -> (u32, u32)) -> std::io::Result<()> {
    visitor.begin(MJPEG).await?;
    for number in 0..pictures {
        let (width, height) = size(number);
        visitor.part(&jpeg(width, height, number)).await?;
        pause().await;
    }
    Ok(())
}

/// What is told of a camera that never shows anything.
async fn gone(page: &Page) -> String {
    let mut camera = Watched::start(hasty(&page.url()));
    let gone = camera.state(State::Gone).await;
    assert!(!format!("{gone:?}").contains("secret"), "{gone:?}");
    camera.close().await;
    gone.reason
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mjpeg_streams_own_pictures_go_through_unchanged() {
    let page = Page::serve(|visitor| stream(visitor, u32::MAX, |_| (320, 240))).await;
    let mut camera = Watched::start(hasty(&page.url()));
    let own: Vec<Hash> = (0..200).map(|number| Hash::of(&jpeg(320, 240, number))).collect();
    for _ in 0..10 {
        let frame = camera.frame(|_| true).await;
        check(&frame);
        assert!(own.contains(&frame.hash));
    }
    camera.state(State::Live).await;
    assert_eq!(page.asked(), 1);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_changes_is_followed() {
    let sizes = |number| if number < 10 { (320, 240) } else { (800, 200) };
    let page = Page::serve(move |visitor| stream(visitor, u32::MAX, sizes)).await;
    let mut camera = Watched::start(Settings { size: 400, ..hasty(&page.url()) });
    camera.frame(|frame| (frame.width, frame.height) == (320, 240)).await;
    check(&camera.frame(|frame| (frame.width, frame.height) == (400, 100)).await);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_picture_is_asked_for_at_the_rate() {
    let page = Page::serve(|visitor| async move {
        let picture = jpeg(320, 240, visitor.number as u32);
        visitor.answer("200 OK", "Content-Type: image/jpeg\r\n", &picture).await
    })
    .await;
    let mut camera = Watched::start(Settings { rate: 5.0, ..hasty(&page.url()) });
    camera.frame(|_| true).await;
    let (begun, before) = (std::time::Instant::now(), page.asked());
    for _ in 0..10 {
        check(&camera.frame(|_| true).await);
    }
    let rate = (page.asked() - before) as f64 / begun.elapsed().as_secs_f64();
    assert!((3.5..6.5).contains(&rate), "{rate}");
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_said_as_the_camera_wants_it() {
    for challenge in
        ["Basic realm=\"cam\"", "Digest realm=\"cam\", nonce=\"abc\", qop=\"auth\"", "Digest realm=\"c\", nonce=\"n\""]
    {
        let scheme = challenge.split(' ').next().unwrap();
        let page = Page::serve(move |visitor| async move {
            let request = visitor.request.to_ascii_lowercase();
            let expected = match scheme {
                // admin:hunter2
                "Basic" => visitor.request.contains("Basic YWRtaW46aHVudGVyMg=="),
                _ => request.contains("authorization: digest username=\"admin\"") && request.contains("response="),
            };
            if expected {
                visitor.answer("200 OK", "Content-Type: image/jpeg\r\n", &jpeg(64, 64, 1)).await
            } else {
                assert!(!request.contains("authorization"), "{request}");
                visitor.answer("401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), b"").await
            }
        })
        .await;
        let url = page.url().replace("http://", "http://admin:hunter2@");
        let mut camera = Watched::start(hasty(&url));
        camera.state(State::Live).await;
        camera.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_pictures_are_told() {
    for (status, headers, words) in [
        ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "wants a user name"),
        ("404 Not Found", "", "404"),
        ("500 Internal Server Error", "", "500"),
        ("200 OK", "Content-Type: text/html\r\n", "text/html"),
        ("200 OK", "Content-Type: multipart/x-mixed-replace\r\n", "no boundary"),
        ("200 OK", "Content-Type: image/jpeg\r\n", "neither JPEG"),
        ("302 Found", "Location: /secret-path\r\n", "redirect"),
    ] {
        let page = Page::serve(move |visitor| visitor.answer(status, headers, b"nothing to see")).await;
        let reason = gone(&page).await;
        assert!(reason.contains(words), "{reason} without {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_it() {
    let page =
        Page::serve(|visitor| visitor.answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")).await;
    let mut camera = Watched::start(hasty(&page.url().replace("http://", "http://admin:hunter2@")));
    let gone = camera.state(State::Gone).await;
    assert!(gone.reason.contains("refuses") && !format!("{gone:?}").contains("hunter2"), "{gone:?}");
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_hang_are_left() {
    /// Where it hangs.
    #[derive(Clone, Copy, Debug)]
    enum At {
        Head,
        Stream,
        Part,
        Picture,
    }
    for at in [At::Head, At::Stream, At::Part, At::Picture] {
        let page = Page::serve(move |mut visitor| async move {
            match at {
                At::Head => visitor.write(b"HTTP/1.1 200 OK\r\n").await?,
                At::Stream => visitor.begin(MJPEG).await?,
                At::Part => {
                    visitor.begin(MJPEG).await?;
                    visitor.write(b"--frame\r\nContent-Length: 5000\r\n\r\nabc").await?;
                }
                At::Picture => visitor.begin("image/jpeg").await?,
            }
            sleep(Duration::from_secs(600)).await;
            Ok(())
        })
        .await;
        let begun = std::time::Instant::now();
        let reason = gone(&page).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{at:?}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stops_is_gone_and_connected_to_anew() {
    let page = Page::serve(|mut visitor| async move {
        if visitor.number == 0 {
            visitor.begin(MJPEG).await?;
            visitor.part(&jpeg(320, 240, 1)).await?;
            visitor.part(&jpeg(320, 240, 2)).await?;
            sleep(Duration::from_secs(600)).await;
            return Ok(());
        }
        stream(visitor, u32::MAX, |_| (320, 240)).await
    })
    .await;
    let mut camera = Watched::start(hasty(&page.url()));
    camera.state(State::Live).await;
    camera.state(State::Gone).await;
    camera.state(State::Live).await;
    assert_eq!(page.asked(), 2);
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_again_and_again_is_not_asked_for_too_often() {
    let page = Page::serve(|visitor| stream(visitor, 1, |_| (320, 240))).await;
    let mut camera = Watched::start(hasty(&page.url()));
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        camera.next().await;
    }
    assert!((2..=5).contains(&page.asked()), "{}", page.asked());
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_an_end_are_refused() {
    for (kind, start, words) in [
        (MJPEG, "", "no boundary"),
        (MJPEG, "--frame\r\nX: ", "head of a part"),
        (MJPEG, "--frame\r\n\r\n", "longer than"),
        (MJPEG, "--frame\r\nContent-Length: 99999999999\r\n\r\n", "longer than"),
        ("image/jpeg", "", "longer than"),
    ] {
        let page = Page::serve(move |mut visitor| async move {
            visitor.begin(kind).await?;
            visitor.write(start.as_bytes()).await?;
            loop {
                visitor.write(&[b'x'; 65_536]).await?;
            }
        })
        .await;
        let reason = gone(&page).await;
        assert!(reason.contains(words), "{reason} without {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_no_pictures_are_told_and_pictures_among_them_are_seen() {
    let page = Page::serve(|mut visitor| async move {
        visitor.begin(MJPEG).await?;
        loop {
            visitor.part(b"this is no picture").await?;
            pause().await;
        }
    })
    .await;
    assert!(gone(&page).await.contains("neither JPEG"));
    let page = Page::serve(|mut visitor| async move {
        visitor.begin(MJPEG).await?;
        for number in 0..u32::MAX {
            let picture = jpeg(320, 240, number);
            let end = if number % 2 == 0 { picture.len() } else { picture.len() / 2 };
            visitor.part(&picture[..end]).await?;
            pause().await;
        }
        Ok(())
    })
    .await;
    let mut camera = Watched::start(hasty(&page.url()));
    for _ in 0..10 {
        check(&camera.frame(|_| true).await);
    }
    assert_eq!(camera.last.as_ref().map(|health| health.state), Some(State::Live));
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_stays_the_same_is_frozen() {
    let page = Page::serve(|visitor| async move {
        visitor.answer("200 OK", "Content-Type: image/jpeg\r\n", &jpeg(320, 240, 1)).await
    })
    .await;
    let mut camera = Watched::start(hasty(&page.url()));
    camera.state(State::Frozen).await;
    camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_ends_when_nobody_listens_even_if_the_server_hangs() {
    let page = Page::serve(|visitor| async move {
        sleep(Duration::from_secs(600)).await;
        drop(visitor);
        Ok(())
    })
    .await;
    let camera = Watched::start(Settings { patience: Duration::from_secs(600), ..hasty(&page.url()) });
    pause().await;
    let begun = std::time::Instant::now();
    camera.close().await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_are_an_error() {
    let settings = Settings { rate: 0.0, ..hasty("http://127.0.0.1:1/") };
    let (sender, _receiver) = tokio::sync::mpsc::channel::<Seen>(1);
    let error = jarvis_cameras::watch(settings, sender).await.unwrap_err();
    assert!(error.to_string().contains("rate"), "{error}");
}
