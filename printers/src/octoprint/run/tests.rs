//! Which print it is, by what messages say one after the other.

use super::*;
use crate::http::WebSettings;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that knows how often the file was printed, and counts how often it is asked.
struct Shelf {
    http: Http,
    count: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    runs: Runs,
    task: JoinHandle<()>,
}

impl Shelf {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (count, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, asks) = (Arc::clone(&count), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                asks.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]).await;
                let body = format!("{{\"prints\": {{\"success\": {}}}}}", counted.load(Ordering::SeqCst));
                let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self { http: Http::new(&WebSettings::new(url, None)).unwrap(), count, asked, runs: Runs::default(), task }
    }

    /// The print that a message is about. `mark`: how long ago a print began, by the last mark in the message.
    async fn pushed(&self, phase: Phase, elapsed: impl Into<Option<f64>>, mark: Option<(f64, f64)>) -> Job {
        let file = Loaded { file: "a".to_owned(), name: "a".to_owned(), size: None, date: Some(1), estimated: None };
        let mut report = Report { elapsed: elapsed.into(), ..Report::online(phase) };
        let source = Source::Pushed { began: mark.map(|(at, age)| Mark { at, age }) };
        for is_sure in [false, true] {
            match self.runs.identify(&self.http, &file, &mut report, source, is_sure).await.unwrap() {
                Found::Yes => break,
                Found::Doubtful => assert!(!is_sure, "still doubtful"),
            }
        }
        report.job.unwrap()
    }

    async fn printing(&self, elapsed: f64, mark: Option<(f64, f64)>) -> String {
        self.pushed(Phase::Printing, elapsed, mark).await.id.0
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn the_mark_of_the_print_before_is_not_the_new_one_s() {
    let shelf = Shelf::new().await;
    assert_eq!(shelf.printing(100.0, Some((7000.0, 100.0))).await, "a#1.1");
    shelf.pushed(Phase::Idle, 100.0, Some((7000.0, 101.0))).await;
    shelf.count.store(1, Ordering::SeqCst);
    // It has begun, and its own mark is not there yet.
    assert_eq!(shelf.printing(0.0, Some((7000.0, 102.0))).await, "a#1.2");
    assert_eq!(shelf.printing(1.0, Some((7101.0, 1.0))).await, "a#1.2");

    // Nor is it for whoever has not seen the print before.
    let later = Shelf::new().await;
    assert_eq!(later.printing(0.0, Some((7000.0, 102.0))).await, "a#1.1");
    assert_eq!(later.printing(1.0, Some((7101.0, 1.0))).await, "a#1.1");
}

#[tokio::test]
async fn a_print_that_is_started_anew_has_one_name_with_or_without_its_mark() {
    let shelf = Shelf::new().await;
    assert_eq!(shelf.printing(100.0, Some((7000.0, 100.0))).await, "a#1.1");
    // It was started anew, which is not counted.
    let anew = shelf.printing(0.0, Some((7000.0, 102.0))).await;
    assert!(start::is_with_start(&anew, "a#1.1", SystemTime::now() + Duration::from_secs(60)), "{anew}");
    for step in 1..5 {
        assert_eq!(shelf.printing(f64::from(step), Some((7101.0, f64::from(step)))).await, anew);
    }
}

#[tokio::test]
async fn the_book_is_read_when_a_print_begins_and_not_with_every_message() {
    let shelf = Shelf::new().await;
    // Its mark has been pushed out of the list; or it is older than the print seems to be, which was paused for long.
    for (mark, age) in [(None, 0.0), (Some(7000.0), 900.0)] {
        let of = |step: u32| mark.map(|at| (at, age + f64::from(step)));
        let first = shelf.printing(100.0, of(0)).await;
        let asked = shelf.asked();
        for step in 1..20 {
            assert_eq!(shelf.printing(100.0 + f64::from(step), of(step)).await, first);
        }
        assert_eq!(shelf.asked(), asked, "{mark:?}");
    }
    // It had a mark, and has none any more.
    let marked = Shelf::new().await;
    let first = marked.printing(100.0, Some((7000.0, 100.0))).await;
    let asked = marked.asked();
    for step in 1..20 {
        assert_eq!(marked.printing(100.0 + f64::from(step), None).await, first);
    }
    assert_eq!(marked.asked(), asked);
    // A new mark is looked into.
    let asked = shelf.asked();
    shelf.printing(121.0, Some((7890.0, 1.0))).await;
    assert_eq!(shelf.asked(), asked + 1);
}

#[tokio::test]
async fn a_print_whose_clock_stands_still_began_when_it_did() {
    let shelf = Shelf::new().await;
    let first = shelf.pushed(Phase::Preparing, 2.0, None).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = shelf.pushed(Phase::Preparing, 2.0, None).await;
    assert!(first.began_by.is_some());
    assert_eq!(first.began_by, later.began_by);
}

/// While it is being cancelled OctoPrint tells no time any more, and may have counted it already.
#[tokio::test]
async fn a_print_that_is_being_cancelled_keeps_its_name() {
    for counted in [0, 1] {
        let shelf = Shelf::new().await;
        let first = shelf.printing(100.0, Some((7000.0, 100.0))).await;
        shelf.count.store(counted, Ordering::SeqCst);
        for mark in [None, Some((7000.0, 101.0))] {
            assert_eq!(shelf.pushed(Phase::Cancelling, None, mark).await.id.0, first, "{counted}");
        }
    }
}
