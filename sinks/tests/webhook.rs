//! Posting to a real HTTP server of the test's own, which misbehaves as it is told to.

mod support;

use jarvis_runtime::kinds::SinkDriver;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{batch, driver, now};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug)]
struct Request {
    method: String,
    target: String,
    /// Names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
    at: Instant,
    /// The number of the connection.
    connection: usize,
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What the server does with a request.
#[derive(Clone)]
enum Reply {
    Ok,
    /// Status, headers (each with its line break) and body.
    Status(u16, String, String),
    /// Bytes as they are, and the end of the connection.
    Raw(&'static str),
    /// The connection ends without an answer.
    Drop,
    Hang,
    Late(Duration),
    /// A body without end.
    Endless(u16),
}

fn status(code: u16) -> Reply {
    Reply::Status(code, String::new(), String::new())
}

struct Server {
    port: u16,
    requests: mpsc::UnboundedReceiver<Request>,
    task: JoinHandle<()>,
}

impl Server {
    /// Gives these replies, in order, and then 204 to everything.
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), replies)
    }

    fn on(listener: TcpListener, replies: impl IntoIterator<Item = Reply>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let replies: Arc<Mutex<VecDeque<Reply>>> = Arc::new(Mutex::new(replies.into_iter().collect()));
        let (seen, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, number, replies.clone(), seen.clone()));
            }
        });
        Self { port, requests, task }
    }

    async fn next(&mut self) -> Request {
        let next = tokio::time::timeout(Duration::from_secs(20), self.requests.recv());
        next.await.expect("a request comes").expect("the server runs")
    }

    async fn take(&mut self, count: usize) -> Vec<Request> {
        let mut all = vec![];
        for _ in 0..count {
            all.push(self.next().await);
        }
        all
    }

    /// The column `over` of all requests so far.
    fn overs(&mut self) -> Vec<i64> {
        let all = std::iter::from_fn(|| self.requests.try_recv().ok());
        all.map(|request| request.json()["over"].as_i64().unwrap()).collect()
    }

    fn options(&self, rest: &str) -> String {
        format!("{{ url: 'http://127.0.0.1:{}/hook', {rest} }}", self.port)
    }

    async fn driver(&self, rest: &str) -> Box<dyn SinkDriver> {
        open(&self.options(rest)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn open(yaml: &str) -> Box<dyn SinkDriver> {
    let mut driver = driver("webhook", yaml, Path::new("."));
    driver.open().await.unwrap();
    driver
}

async fn serve(
    socket: TcpStream,
    connection: usize,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: mpsc::UnboundedSender<Request>,
) {
    let mut socket = BufReader::new(socket);
    while let Some(request) = read(&mut socket, connection).await {
        let _ = seen.send(request);
        let reply = replies.lock().unwrap().pop_front().unwrap_or(Reply::Ok);
        let text = match reply {
            Reply::Ok => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Reply::Late(wait) => {
                tokio::time::sleep(wait).await;
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
            }
            Reply::Status(code, headers, body) => {
                format!("HTTP/1.1 {code} Said\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
            }
            Reply::Raw(text) => return drop(socket.write_all(text.as_bytes()).await),
            Reply::Drop => return,
            Reply::Hang => return std::future::pending().await,
            Reply::Endless(code) => {
                let head = format!("HTTP/1.1 {code} Said\r\n\r\n");
                let mut sent = socket.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    sent = socket.write_all(&[b'x'; 10_000]).await;
                }
                return;
            }
        };
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(socket: &mut BufReader<TcpStream>, connection: usize) -> Option<Request> {
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Request { method, target, headers, body, at: Instant::now(), connection })
}

#[tokio::test]
async fn events_are_posted_in_order_with_their_id() {
    let mut server = Server::start([]).await;
    let mut driver = server.driver("as: events, clear: true, key: [tool], ttl: 1m").await;
    driver.write(&batch(&[(1_000_000, "t0", 30, 1), (1_000_000, "t1", 5, 1)])).await.unwrap();
    driver.write(&batch(&[(3_000_000, "t0", 30, -1)])).await.unwrap();
    driver.finish().await.unwrap();
    let heard = server.take(3).await;
    let raised = heard[0].json();
    let keys: Vec<&String> = raised.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["event", "id", "time", "expires", "tool", "over"]);
    assert_eq!((&raised["event"], &raised["tool"], &raised["over"]), (&"raised".into(), &"t0".into(), &30.into()));
    assert_eq!(heard[1].json()["tool"], "t1");
    let cleared = heard[2].json();
    assert_eq!((&cleared["event"], &cleared["of"]), (&"cleared".into(), &raised["id"]));
    for request in &heard {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/hook"));
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["user-agent"], format!("jarvis/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(request.headers["idempotency-key"], request.json()["id"].as_str().unwrap());
        assert_eq!(request.connection, 0, "one connection serves all");
    }
}

#[tokio::test]
async fn state_and_changes_are_told_as_they_are() {
    let mut server = Server::start([]).await;
    let mut driver = server.driver("as: state, key: [tool]").await;
    driver.write(&batch(&[(1, "t0", 1, 1)])).await.unwrap();
    driver.write(&batch(&[(2, "t0", 1, -1), (2, "t0", 2, 1)])).await.unwrap();
    driver.write(&batch(&[(3, "t0", 2, -1)])).await.unwrap();
    driver.finish().await.unwrap();
    let bodies: Vec<String> = server.take(3).await.into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [r#"{"tool":"t0","over":1}"#, r#"{"tool":"t0","over":2}"#, r#"{"_deleted":true,"tool":"t0"}"#]);
    let mut driver = server.driver("as: changes").await;
    driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 1, -1)])).await.unwrap();
    driver.finish().await.unwrap();
    let heard = server.take(2).await;
    assert_eq!(heard.iter().map(|r| r.json()["_diff"].as_i64()).collect::<Vec<_>>(), [Some(1), Some(-1)]);
    assert!(!heard[0].headers.contains_key("idempotency-key"));
}

#[tokio::test]
async fn what_a_passing_fault_hits_is_sent_again_and_the_order_stays() {
    let garbage = Reply::Raw("220 smtp.example ESMTP\r\n");
    let faults = [status(500), Reply::Drop, status(429), garbage];
    for fault in faults {
        let mut server = Server::start([Reply::Ok, fault]).await;
        let mut driver = server.driver("as: changes").await;
        let rows: Vec<_> = (0..4).map(|n| (1 + n as u64, "t0", n, 1)).collect();
        driver.write(&batch(&rows)).await.unwrap();
        driver.flush().await.unwrap();
        assert_eq!(driver.delivered().unwrap().load(Ordering::Acquire), 5);
        assert_eq!(server.overs(), [0, 1, 1, 2, 3]);
    }
}

#[tokio::test]
async fn pauses_between_attempts_grow() {
    let mut server = Server::start([status(503), status(408), status(425)]).await;
    let mut driver = server.driver("as: changes").await;
    driver.write(&batch(&[(1, "t0", 1, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    let at: Vec<Instant> = server.take(4).await.iter().map(|request| request.at).collect();
    for (pair, least) in at.windows(2).zip([1.0, 2.0, 4.0]) {
        let pause = pair[1].duration_since(pair[0]).as_secs_f64();
        assert!((least..least * 1.5 + 0.5).contains(&pause), "{pause} is not about {least}");
    }
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let later = Reply::Status(429, "Retry-After: 3\r\n".to_owned(), String::new());
    let mut server = Server::start([later]).await;
    let mut driver = server.driver("as: changes").await;
    driver.write(&batch(&[(1, "t0", 1, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    let heard = server.take(2).await;
    let pause = heard[1].at.duration_since(heard[0].at);
    assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(5), "{pause:?}");
}

#[tokio::test]
async fn what_the_receiver_never_takes_is_left_out() {
    for code in [400, 401, 404, 410, 413, 422] {
        let mut server = Server::start([status(code)]).await;
        let mut driver = server.driver("as: changes").await;
        driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 2, 1)])).await.unwrap();
        driver.flush().await.unwrap();
        assert_eq!(server.overs(), [1, 2], "{code}");
        assert_eq!(driver.delivered().unwrap().load(Ordering::Acquire), 3);
    }
}

#[tokio::test]
async fn a_row_that_makes_no_address_does_not_stop_the_others() {
    let mut server = Server::start([]).await;
    let yaml = format!("{{ url: 'http://127.0.0.1:{}/a/{{tool}}/x?n={{over}}', as: changes }}", server.port);
    let mut driver = open(&yaml).await;
    driver.write(&batch(&[(1, "..", 1, 1), (1, "", 2, 1), (1, "a/b ?", 3, 1)])).await.unwrap();
    driver.write(&batch(&[(2, ".", 1, 1)])).await.unwrap();
    driver.finish().await.unwrap();
    assert_eq!(server.next().await.target, "/a/a%2Fb%20%3F/x?n=3");
    assert_eq!(driver.delivered().unwrap().load(Ordering::Acquire), 3, "a batch without messages is delivered too");
}

#[tokio::test]
async fn redirects_are_followed_to_the_same_server_only() {
    let mut other = Server::start([]).await;
    let to = |code: u16, place: &str| Reply::Status(code, format!("Location: {place}\r\n"), String::new());
    let away = format!("http://127.0.0.1:{}/stolen", other.port);
    let replies = [to(308, "/moved"), Reply::Ok, to(307, &away), to(302, "/login")];
    let mut server = Server::start(replies).await;
    let mut driver = server.driver("as: changes, headers: { Authorization: Bearer secret }").await;
    driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 2, 1), (3, "t0", 3, 1), (4, "t0", 4, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    let heard: Vec<_> = server.take(5).await.iter().map(|r| (r.target.clone(), r.json()["over"].clone())).collect();
    let places = [("/hook", 1), ("/moved", 1), ("/hook", 2), ("/hook", 3), ("/hook", 4)];
    assert_eq!(heard, places.map(|(place, over)| (place.to_owned(), over.into())));
    assert!(other.requests.try_recv().is_err(), "nobody else hears of it");
}

#[tokio::test]
async fn an_event_that_is_too_late_is_dropped() {
    let mut server = Server::start([status(500), status(500)]).await;
    let mut driver = server.driver("as: events, clear: true, key: [tool], ttl: 300ms").await;
    let began = Instant::now();
    driver.write(&batch(&[(now(), "late", 1, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "the end of its time ends the pause");
    assert_eq!(server.overs(), [1]);
    // A clearing has no time limit, nor has the next event passed its own.
    driver.write(&batch(&[(now(), "late", 1, -1)])).await.unwrap();
    driver.flush().await.unwrap();
    driver.write(&batch(&[(now(), "next", 2, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    let events: Vec<Value> = server.take(3).await.iter().map(|request| request.json()["event"].clone()).collect();
    assert_eq!(events, ["cleared", "cleared", "raised"]);
}

#[tokio::test]
async fn an_old_event_is_not_told_after_a_restart() {
    let mut server = Server::start([]).await;
    let yaml = server.options("as: events, ttl: 1m");
    let mut driver = driver("webhook", &yaml, Path::new("."));
    driver.restore(vec![]).await.unwrap();
    driver.open().await.unwrap();
    driver.write(&batch(&[(now() - 120_000_000, "old", 1, 1), (now(), "new", 2, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    assert_eq!(server.overs(), [2]);
}

#[tokio::test]
async fn an_id_is_the_same_after_a_restart() {
    let mut server = Server::start([]).await;
    let yaml = server.options("as: events, clear: true, key: [tool]");
    let raise = batch(&[(1_000_000, "t0", 30, 1)]);
    let clear = batch(&[(2_000_000, "t0", 30, -1)]);
    let mut keys = vec![];
    let mut first = open(&yaml).await;
    first.write(&raise).await.unwrap();
    first.flush().await.unwrap();
    let snapshot = first.snapshot().await.unwrap();
    first.write(&clear).await.unwrap();
    first.finish().await.unwrap();
    keys.push(server.take(2).await.iter().map(|r| r.headers["idempotency-key"].clone()).collect::<Vec<_>>());
    // Not known to be delivered: told again, from nothing.
    let mut again = open(&yaml).await;
    again.restore(vec![]).await.unwrap();
    again.write(&raise).await.unwrap();
    again.write(&clear).await.unwrap();
    again.finish().await.unwrap();
    keys.push(server.take(2).await.iter().map(|r| r.headers["idempotency-key"].clone()).collect());
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0][0], keys[0][1]);
    // Delivered before, by the log or by the snapshot: only the rest is told.
    let mut recalled = open(&yaml).await;
    recalled.restore(vec![]).await.unwrap();
    recalled.recall(&raise).await.unwrap();
    let mut restored = open(&yaml).await;
    restored.restore(snapshot).await.unwrap();
    for driver in [&mut recalled, &mut restored] {
        driver.write(&clear).await.unwrap();
        driver.finish().await.unwrap();
        let heard = server.next().await;
        assert_eq!((&heard.headers["idempotency-key"], heard.json()["of"].as_str()), (&keys[0][1], Some(&*keys[0][0])));
    }
}

#[tokio::test]
async fn a_slow_receiver_makes_writing_wait() {
    let mut server = Server::start([Reply::Late(Duration::from_millis(500))]).await;
    let mut driver = server.driver("as: changes").await;
    let many: Vec<_> = (0..1_000).map(|n| (1, "t0", n, 1)).collect();
    driver.write(&batch(&many)).await.unwrap();
    let more = batch(&[(2, "t0", 1_000, 1)]);
    let mut write = driver.write(&more);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut write).await.is_err(), "the queue is full");
    tokio::time::timeout(Duration::from_secs(20), write).await.expect("it goes on").unwrap();
    driver.finish().await.unwrap();
    assert_eq!(server.overs(), (0..=1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receiver_that_hangs_is_asked_again() {
    let mut server = Server::start([Reply::Hang]).await;
    let mut driver = server.driver("as: changes, timeout: 200ms").await;
    driver.write(&batch(&[(1, "t0", 1, 1)])).await.unwrap();
    let flushed = tokio::time::timeout(Duration::from_secs(5), driver.flush()).await;
    flushed.expect("it goes on").unwrap();
    assert_eq!(server.overs(), [1, 1]);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let mut server = Server::start([Reply::Endless(200), Reply::Endless(400)]).await;
    let mut driver = server.driver("as: changes").await;
    driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 2, 1), (3, "t0", 3, 1)])).await.unwrap();
    let flushed = tokio::time::timeout(Duration::from_secs(5), driver.flush()).await;
    flushed.expect("it goes on").unwrap();
    assert_eq!(server.overs(), [1, 2, 3]);
}

#[tokio::test]
async fn a_receiver_that_comes_later_hears_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut driver = open(&format!("{{ url: 'http://{address}/', as: changes }}")).await;
    driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 2, 1)])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(driver.delivered().unwrap().load(Ordering::Acquire), 0);
    let mut server = Server::on(TcpListener::bind(address).await.unwrap(), []);
    driver.flush().await.unwrap();
    assert_eq!(server.overs(), [1, 2]);
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever_and_says_what_is_left() {
    let down = Reply::Status(503, "Retry-After: 600\r\n".to_owned(), "down for the night".to_owned());
    let mut server = Server::start(std::iter::repeat_n(down, 100)).await;
    let mut driver = server.driver("as: changes").await;
    driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 2, 1)])).await.unwrap();
    server.next().await;
    let began = Instant::now();
    let error = driver.finish().await.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(error.starts_with("2 messages were not sent to http://127.0.0.1:"), "{error}");
    assert!(error.ends_with("503 Service Unavailable: down for the night"), "{error}");
    assert!(server.overs().len() > 2, "the end is worth another attempt");
    assert_eq!(driver.delivered().unwrap().load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn the_end_waits_while_something_goes_through() {
    let late = Reply::Late(Duration::from_millis(2_100));
    let mut server = Server::start(std::iter::repeat_n(late, 4)).await;
    let mut driver = server.driver("as: changes").await;
    let rows: Vec<_> = (0..4).map(|n| (1, "t0", n, 1)).collect();
    driver.write(&batch(&rows)).await.unwrap();
    driver.finish().await.unwrap();
    assert_eq!(server.overs(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn bodies_have_the_shape_that_is_written() {
    let mut server = Server::start([]).await;
    let shape = "{ text: '{tool} is {over} over: \"{event}\"', n: '{over}', list: ['{tool}', 1, true, null], at: '{time}', braces: '{{}}' }";
    let mut driver = server.driver(&format!("as: events, clear: true, key: [tool], body: {shape}")).await;
    driver.write(&batch(&[(1_000_000, "t\"0\"\n", 30, 1)])).await.unwrap();
    driver.write(&batch(&[(2_000_000, "t\"0\"\n", 30, -1)])).await.unwrap();
    driver.finish().await.unwrap();
    let heard = server.take(2).await;
    let expected = r#"{"text":"t\"0\"\n is 30 over: \"raised\"","n":30,"list":["t\"0\"\n",1,true,null],"at":"1970-01-01T00:00:01Z","braces":"{}"}"#;
    assert_eq!(heard[0].body, expected);
    let cleared = r#"{"text":"t\"0\"\n is  over: \"cleared\"","n":null,"list":["t\"0\"\n",1,true,null],"at":"1970-01-01T00:00:02Z","braces":"{}"}"#;
    assert_eq!(heard[1].body, cleared);
    let mut driver = server.driver("as: changes, body: '{tool} {_diff}', headers: { Title: Heat }").await;
    driver.write(&batch(&[(1, "ö", 1, -2)])).await.unwrap();
    driver.finish().await.unwrap();
    let heard = server.next().await;
    assert_eq!(heard.body, "ö -2");
    assert_eq!((&*heard.headers["content-type"], &*heard.headers["title"]), ("text/plain; charset=utf-8", "Heat"));
    let mut driver = server.driver("as: changes, body: x, headers: { content-type: text/x }").await;
    driver.write(&batch(&[(1, "t0", 1, 1)])).await.unwrap();
    driver.finish().await.unwrap();
    assert_eq!(server.next().await.headers["content-type"], "text/x");
}

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::field::Visit for Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0.lock().unwrap(), " {field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().unwrap().push('\n');
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn secrets_are_sent_and_not_shown() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // A receiver that repeats what it was sent.
    let echo =
        "Cannot POST /services/T0B0-path-token?key=query-token with Bearer header-token of anna:hunter2".to_owned();
    let echoes =
        [Reply::Status(500, String::new(), echo.clone()), Reply::Status(400, String::new(), echo.clone()), Reply::Drop];
    let mut server = Server::start(echoes.into_iter().chain(std::iter::repeat_n(status(500), 50))).await;
    let yaml = format!(
        "{{ url: 'http://anna:hunter2@127.0.0.1:{}/services/T0B0-path-token?key=query-token', as: changes, \
         headers: {{ X-Token: Bearer header-token }} }}",
        server.port
    );
    let mut driver = open(&yaml).await;
    driver.write(&batch(&[(1, "t0", 1, 1), (2, "t0", 2, 1)])).await.unwrap();
    let error = driver.finish().await.unwrap_err();
    let heard = server.next().await;
    assert_eq!(heard.target, "/services/T0B0-path-token?key=query-token");
    assert_eq!(heard.headers["authorization"], "Basic YW5uYTpodW50ZXIy");
    assert_eq!(heard.headers["x-token"], "Bearer header-token");
    let shown = format!("{error:?} {}", log.0.lock().unwrap());
    assert!(shown.contains("Cannot POST /***/***?***") && shown.contains("refused and left out"), "{shown}");
    for secret in ["hunter2", "path-token", "query-token", "header-token", "YW5uYT"] {
        assert!(!shown.contains(secret), "{secret} is in:\n{shown}");
    }
}

/// OpenSSL's server with a certificate of its own, on a free port; what it hears it prints, what it reads it answers.
async fn tls_server(folder: &Path) -> (Child, u16) {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let certificate = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem \
                       -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext \
                       basicConstraints=critical,CA:FALSE";
    let serve = format!("s_server -quiet -accept 127.0.0.1:{port} -cert cert.pem -key key.pem");
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(folder).kill_on_drop(true).stderr(Stdio::null());
        command
    };
    assert!(openssl(certificate).status().await.expect("openssl is installed").success());
    let child = openssl(&serve).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "openssl does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (child, port)
}

/// The system's certificates are read once per process, and from where the environment says: so this is one of its own.
#[tokio::test]
#[ignore = "run by `tls_reaches_only_a_receiver_that_is_trusted`"]
async fn tells_over_tls() {
    let Ok(port) = std::env::var("WEBHOOK_TEST_PORT") else { return };
    let mut driver = open(&format!("{{ url: 'https://localhost:{port}/hook', as: changes }}")).await;
    driver.write(&batch(&[(1, "t0", 7, 1)])).await.unwrap();
    tokio::time::timeout(Duration::from_secs(4), driver.flush()).await.expect("it is told").unwrap();
}

#[tokio::test]
async fn tls_reaches_only_a_receiver_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, port) = tls_server(folder.path()).await;
    let mut input = server.stdin.take().unwrap();
    let mut output = BufReader::new(server.stdout.take().unwrap()).lines();
    let answering = tokio::spawn(async move {
        let mut heard = String::new();
        while let Ok(Some(line)) = output.next_line().await {
            if line.is_empty() {
                input.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                input.flush().await.unwrap();
            }
            heard.push_str(&line);
            if heard.contains("\"over\"") {
                break;
            }
        }
        heard
    });
    let told = |certificate: std::path::PathBuf| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tells_over_tls", "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("WEBHOOK_TEST_PORT", port.to_string()).env("SSL_CERT_FILE", certificate).kill_on_drop(true).status()
    };
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    assert!(!told(empty).await.unwrap().success(), "the certificate is nobody's");
    assert!(!answering.is_finished(), "nothing was sent to it");
    assert!(told(folder.path().join("cert.pem")).await.unwrap().success());
    server.start_kill().unwrap();
    let heard = answering.await.unwrap();
    assert!(heard.starts_with("POST /hook HTTP/1.1"), "{heard}");
}
