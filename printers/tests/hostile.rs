//! Servers that answer without end, with far too much, or with JSON that is nested as deep as a well.
//!
//! What is tested is that a command ends within its deadline, that the printer counts as out of reach, and that the client
//! does not take in what it is offered: the server counts how much of it went out.

mod common;

use common::{Watched, within};
use futures::{SinkExt, StreamExt};
use jarvis_printers::{Action, Connection, JobId, Moonraker, OctoPrint, Printer, PrusaLink, Secret, WebSettings, What};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

const HUGE: u64 = 1 << 30;
/// What may be on its way of an answer that nobody reads to its end: the limit of an answer, and the system's buffers.
const ON_ITS_WAY: u64 = 32 << 20;

/// What the server does with every request.
#[derive(Clone, Copy, Debug)]
enum Malice {
    /// A byte now and then, for ever.
    Drip,
    /// A GiB, as fast as it is read.
    Flood,
    /// JSON that is 10,000 lists deep.
    Deep,
    /// A print, and a hundred thousand fields that nobody knows.
    Junk,
}

struct Server {
    port: u16,
    /// The longest that went out in one answer, bytes.
    longest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(malice: Malice) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let longest = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&longest);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let _ = serve(stream, malice, &count).await;
                });
            }
        });
        Self { port, longest, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, malice: Malice, longest: &AtomicU64) -> std::io::Result<()> {
    // Requests of these tests are small: one packet.
    let _ = stream.read(&mut vec![0; 64 << 10]).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n").await?;
    match malice {
        Malice::Deep => stream.write_all("[".repeat(10_000).as_bytes()).await,
        Malice::Junk => {
            let fields: Vec<String> = (0..100_000).map(|field| format!("\"{field}\":{{}}")).collect();
            let fields = fields.join(",");
            let print = json!({
                "job": {"id": 1, "file": {"path": "a"}}, "printer": {"state": "PRINTING"}, "id": 1,
                "state": {"text": "Printing", "flags": {"printing": true}},
                "result": {"klippy_state": "ready", "objects": ["print_stats"],
                    "status": {"print_stats": {"state": "printing", "filename": "a"}}},
            });
            let print = print.to_string();
            let known = print.trim_end_matches('}').len();
            let (known, ends) = print.split_at(known);
            // Beside what is known, and within it.
            let answer = format!("{known},{fields}{ends}").replace("\"file\":{", &format!("\"file\":{{{fields},"));
            stream.write_all(answer.as_bytes()).await
        }
        Malice::Drip => loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        },
        Malice::Flood => {
            let part = vec![b' '; 64 << 10];
            let mut sent = 0;
            while sent < HUGE {
                stream.write_all(&part).await?;
                sent += part.len() as u64;
                longest.fetch_max(sent, Ordering::Relaxed);
            }
            Ok(())
        }
    }
}

fn printers(port: u16) -> Vec<Printer> {
    let settings = WebSettings::new(format!("http://127.0.0.1:{port}").parse().unwrap(), Some(Secret::new("key")));
    vec![
        Printer::OctoPrint(OctoPrint::new(&settings).unwrap()),
        Printer::Moonraker(Moonraker::new(&settings).unwrap()),
        Printer::PrusaLink(PrusaLink::new(&settings).unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_holds_a_command_up_or_is_swallowed_whole() {
    for malice in [Malice::Drip, Malice::Flood, Malice::Deep] {
        let server = Server::start(malice).await;
        for printer in printers(server.port) {
            let job = JobId("a#1".to_owned());
            let outcome = within(&printer, Action::Pause, Some(&job), Duration::from_secs(2)).await;
            assert!(matches!(outcome.what, What::Unreachable { .. }) && !outcome.sent, "{malice:?} {outcome:?}");
            let stop = within(&printer, Action::EmergencyStop, None, Duration::from_secs(1)).await;
            assert!(!stop.what.is_done(), "{malice:?} {stop:?}");
        }
        let longest = server.longest.load(Ordering::Relaxed);
        assert!(longest < ON_ITS_WAY, "{malice:?}: {longest} bytes were taken in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_answers_nonsense_is_out_of_reach() {
    for malice in [Malice::Flood, Malice::Deep] {
        let server = Server::start(malice).await;
        for printer in printers(server.port) {
            let mut watched = Watched::new(printer, Duration::from_secs(1));
            watched.until("its absence", |report| report.connection == Connection::Offline).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_nobody_knows_are_no_state() {
    let server = Server::start(Malice::Junk).await;
    for printer in printers(server.port) {
        let job = JobId("a#1".to_owned());
        // The print is read, or nobody could tell that it is another one.
        let outcome = within(&printer, Action::Cancel, Some(&job), Duration::from_secs(20)).await;
        assert!(matches!(outcome.what, What::OtherJob { running: Some(_) }) && !outcome.sent, "{outcome:?}");
        let remembered = format!("{printer:?}");
        assert!(remembered.len() < 2000, "{} bytes are remembered: {:.1000}", remembered.len(), remembered);
    }
}

const KEY: &str = "a-key-that-nobody-may-see";

/// A Moonraker that is ready over HTTP, and over its socket answers `identify` as it is told; it counts its sockets.
async fn moonraker(said: Value, news: Vec<String>) -> (u16, Arc<AtomicU64>, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (said, news, count) = (said.clone(), news.clone(), Arc::clone(&count));
            tokio::spawn(async move { speak(stream, said, news, &count).await });
        }
    });
    (port, opened, task)
}

async fn speak(mut stream: TcpStream, said: Value, news: Vec<String>, opened: &AtomicU64) -> Option<()> {
    let mut head = vec![0; 4096];
    let length = stream.peek(&mut head).await.ok()?;
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    if !head.contains("GET /websocket") {
        let _ = stream.read(&mut [0; 4096]).await.ok()?;
        let status = json!({"print_stats": {"state": "standby", "message": format!("{KEY}\n{}", "x".repeat(5000))}});
        let result = match head.split(' ').nth(1)? {
            "/server/info" => json!({"klippy_state": "ready"}),
            "/printer/objects/list" => json!({"objects": ["print_stats"]}),
            _ => json!({ "status": status }),
        };
        let body = json!({ "result": result }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        return stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
    }
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    opened.fetch_add(1, Ordering::Relaxed);
    while let Some(Ok(request)) = socket.next().await {
        let request: Value = serde_json::from_str(request.to_text().ok()?).ok()?;
        let mut answer = match request["method"].as_str()? {
            "server.connection.identify" => said.clone(),
            "printer.objects.list" => json!({"result": {"objects": ["print_stats"]}}),
            _ => json!({"result": {"status": {"print_stats": {"state": "standby"}}}}),
        };
        answer["id"] = request["id"].clone();
        socket.send(Message::text(answer.to_string())).await.ok()?;
        if request["method"] == "printer.objects.subscribe" {
            for message in &news {
                socket.send(Message::text(message.clone())).await.ok()?;
            }
        }
    }
    Some(())
}

fn moonraker_at(port: u16) -> Printer {
    let url = format!("http://127.0.0.1:{port}").parse().unwrap();
    Printer::Moonraker(Moonraker::new(&WebSettings::new(url, Some(Secret::new(KEY)))).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_is_struck_and_cut_before_anybody_sees_it() {
    let message = format!("{}{KEY} is wrong\u{7}{}", "x".repeat(280), "y".repeat(1 << 20));
    let (port, _, task) = moonraker(json!({"error": {"code": 401, "message": message}}), vec![]).await;
    let mut watched = Watched::new(moonraker_at(port), Duration::from_secs(2));
    watched.until("the refusal", |report| report.connection == Connection::Refused).await;
    for report in &watched.seen {
        let said = format!("{report:?}");
        assert!(!said.contains("a-key") && !said.contains("\\u{7}"), "{said}");
        let error = report.error.as_deref().unwrap_or_default();
        assert!(error.chars().count() <= 300, "{} characters", error.chars().count());
    }
    assert!(watched.seen.iter().filter(|report| report.error.is_some()).count() >= 2, "{:?}", watched.seen);
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_that_nobody_can_read_are_passed_over() {
    let junk = (0..50).map(|number| {
        let fields: serde_json::Map<String, Value> =
            (0..1000).map(|field| (format!("object{number}-{field}"), json!({"x": 1}))).collect();
        json!({"method": "notify_status_update", "params": [fields]}).to_string()
    });
    let print = json!({"print_stats": {"state": "error", "message": "the last word"}});
    let last = json!({"method": "notify_status_update", "params": [print]}).to_string();
    let news = ["[".repeat(10_000), "nothing".to_owned()].into_iter().chain(junk).chain([last]).collect();
    let (port, opened, task) = moonraker(json!({"result": {"connection_id": 1}}), news).await;
    let mut watched = Watched::new(moonraker_at(port), Duration::from_secs(5));
    watched.until("the last word", |report| report.error.as_deref() == Some("the last word")).await;
    // What nobody can read is no reason to hang up. That it is not remembered either is tested where news are laid over
    // the state.
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    task.abort();
}
