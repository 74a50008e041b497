//! Publishing through a real Mosquitto, started by the test on a free port.

mod support;

use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, NetworkOptions, Publish, QoS};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{batch, driver};
use tempfile::TempDir;

/// A broker that ends with the test.
struct Mosquitto {
    process: Child,
    port: u16,
    folder: TempDir,
}

fn program() -> &'static str {
    // Debian puts it where only root's path leads.
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

impl Mosquitto {
    async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), "allow_anonymous true").await
    }

    /// Starts with more lines of its configuration, which may name files in the folder as `FOLDER/..`.
    async fn start_with(folder: TempDir, lines: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let lines = lines.replace("FOLDER", &folder.path().display().to_string());
        let text = format!(
            "listener {port} 127.0.0.1\nset_tcp_nodelay true\nuser root\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 0\n{lines}\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let broker = Self { process: Self::process(folder.path()), port, folder };
        broker.wait().await;
        broker
    }

    fn process(folder: &Path) -> Child {
        let mut command = Command::new(program());
        command.arg("-c").arg(folder.join("mosquitto.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("mosquitto is installed: apt-get install mosquitto")
    }

    async fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it in good order: what it has acknowledged, it keeps.
    fn stop(&mut self) {
        let told = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(told.success());
        self.process.wait().unwrap();
    }

    async fn restart(&mut self) {
        self.process = Self::process(self.folder.path());
        self.wait().await;
    }

    fn options(&self, rest: &str) -> String {
        format!("{{ broker: 'mqtt://127.0.0.1:{}', {rest} }}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hears everything on a broker.
struct Listener {
    events: EventLoop,
    _client: AsyncClient,
}

impl Listener {
    async fn new(port: u16) -> Self {
        Self::with_session(port, true).await
    }

    async fn with_session(port: u16, clean: bool) -> Self {
        let name = format!("listener-{}", support::now());
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_max_packet_size(1 << 20, 1 << 20).set_clean_session(clean);
        let (client, mut events) = AsyncClient::new(options, 10);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        client.subscribe("#", QoS::AtLeastOnce).await.unwrap();
        loop {
            if let Event::Incoming(Incoming::SubAck(_)) = events.poll().await.unwrap() {
                return Self { events, _client: client };
            }
        }
    }

    async fn next(&mut self) -> Publish {
        let message = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(Incoming::Publish(message))) => return message,
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), message).await.expect("a message comes")
    }

    async fn take(&mut self, count: usize) -> Vec<(String, Value)> {
        let mut messages = Vec::new();
        for _ in 0..count {
            let message = self.next().await;
            messages.push((message.topic, serde_json::from_slice(&message.payload).unwrap_or(Value::Null)));
        }
        messages
    }

    /// What the broker has kept.
    async fn retained(port: u16, wait: Duration) -> BTreeMap<String, Value> {
        let mut listener = Self::new(port).await;
        let mut kept = BTreeMap::new();
        while let Ok(message) = tokio::time::timeout(wait, listener.next()).await {
            assert!(message.retain);
            kept.insert(message.topic, serde_json::from_slice(&message.payload).unwrap());
        }
        kept
    }
}

#[tokio::test]
async fn events_are_raised_and_cleared_on_their_topics() {
    let broker = Mosquitto::start().await;
    let mut listener = Listener::new(broker.port).await;
    let yaml = broker.options("topic: 'heat/{tool}', as: events, clear: true, ttl: 1m");
    let mut driver = driver("mqtt", &yaml, Path::new("."));
    driver.open().await.unwrap();
    driver.write(&batch(&[(1_000_000, "t0", 30, 1)])).await.unwrap();
    driver.write(&batch(&[(2_000_000, "t0", 30, -1), (2_000_000, "t0", 31, 1)])).await.unwrap();
    driver.write(&batch(&[(3_000_000, "t0", 31, -1)])).await.unwrap();
    driver.finish().await.unwrap();
    let heard = listener.take(2).await;
    let (topic, raised) = &heard[0];
    assert_eq!(topic, "heat/t0");
    let keys: Vec<&String> = raised.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["event", "id", "time", "expires", "tool", "over"]);
    assert_eq!((&raised["event"], &raised["over"]), (&"raised".into(), &30.into()));
    assert_eq!((&raised["time"], &raised["expires"]), (&"1970-01-01T00:00:01Z".into(), &"1970-01-01T00:01:01Z".into()));
    let (topic, cleared) = &heard[1];
    assert_eq!(topic, "heat/t0");
    assert_eq!((&cleared["event"], &cleared["of"], &cleared["tool"]), (&"cleared".into(), &raised["id"], &"t0".into()));
    assert_eq!(cleared.get("over"), None);
    assert!(Listener::retained(broker.port, Duration::from_millis(200)).await.is_empty());
}

#[tokio::test]
async fn state_is_kept_by_the_broker_until_it_goes() {
    let broker = Mosquitto::start().await;
    let mut driver = driver("mqtt", &broker.options("topic: 'state/{tool}', as: state"), Path::new("."));
    driver.open().await.unwrap();
    driver.write(&batch(&[(1, "t0", 1, 1), (1, "t1", 2, 1), (1, "t1", 5, 1), (1, "t2", 3, 1)])).await.unwrap();
    driver.write(&batch(&[(2, "t0", 1, -1), (2, "t1", 5, -1), (2, "t2", 3, -1), (2, "t2", 4, 1)])).await.unwrap();
    driver.flush().await.unwrap();
    let kept = Listener::retained(broker.port, Duration::from_millis(300)).await;
    let expected = [("state/t1", r#"{"tool":"t1","over":2}"#), ("state/t2", r#"{"tool":"t2","over":4}"#)];
    let expected = expected.map(|(topic, row)| (topic.to_owned(), serde_json::from_str(row).unwrap()));
    assert_eq!(kept, BTreeMap::from(expected));
    driver.write(&batch(&[(3, "t1", 2, -1), (3, "t2", 4, -1)])).await.unwrap();
    driver.finish().await.unwrap();
    assert!(Listener::retained(broker.port, Duration::from_millis(200)).await.is_empty());
}

#[tokio::test]
async fn changes_come_in_order_with_either_quality() {
    let broker = Mosquitto::start().await;
    for qos in [0, 1] {
        let mut listener = Listener::new(broker.port).await;
        let yaml = broker.options(&format!("topic: changes, as: changes, qos: {qos}"));
        let mut driver = driver("mqtt", &yaml, Path::new("."));
        driver.open().await.unwrap();
        let rows: Vec<_> = (0..3_000).map(|n| (1 + n as u64, "t0", n, if n % 3 == 0 { -1 } else { 2 })).collect();
        driver.write(&batch(&rows)).await.unwrap();
        driver.finish().await.unwrap();
        let heard = listener.take(rows.len()).await;
        for ((_, heard), row) in heard.iter().zip(&rows) {
            assert_eq!((&heard["over"], &heard["_diff"]), (&row.2.into(), &row.3.into()));
        }
    }
}

#[tokio::test]
async fn a_row_that_makes_no_topic_does_not_stop_the_others() {
    let broker = Mosquitto::start().await;
    let mut listener = Listener::new(broker.port).await;
    let mut driver = driver("mqtt", &broker.options("topic: 'x/{tool}', as: changes"), Path::new("."));
    driver.open().await.unwrap();
    driver.write(&batch(&[(1, "a/b", 1, 1), (1, "", 2, 1), (1, "+", 3, 1), (1, "good", 4, 1)])).await.unwrap();
    assert_eq!(listener.take(1).await[0].0, "x/good");
}

/// The broker stops and starts again while messages are on their way.
#[tokio::test]
async fn every_event_arrives_though_the_broker_goes_away() {
    const ROUND: i64 = 5_000;
    let mut broker = Mosquitto::start().await;
    let mut listener = Listener::with_session(broker.port, false).await;
    let yaml = broker.options("topic: 'heat/{tool}', as: events, key: [over]");
    let mut driver = driver("mqtt", &yaml, Path::new("."));
    driver.open().await.unwrap();
    let mut ids: BTreeMap<i64, HashSet<String>> = BTreeMap::new();
    for round in 0..3 {
        let all: Vec<_> = (round * ROUND..(round + 1) * ROUND).map(|n| (1 + n as u64, "t0", n, 1)).collect();
        let many = batch(&all);
        let write = async { driver.write(&many).await.unwrap() };
        let listen = async {
            for _ in 0..1_000 + round * 500 {
                hear(&mut listener, &mut ids).await;
            }
            broker.stop();
            broker.restart().await;
            while ids.len() < (round as usize + 1) * ROUND as usize {
                hear(&mut listener, &mut ids).await;
            }
        };
        tokio::join!(write, listen);
    }
    driver.finish().await.unwrap();
    assert!(ids.values().all(|ids| ids.len() == 1), "an event has the same id each time");
    let distinct: HashSet<&String> = ids.values().flatten().collect();
    assert_eq!(distinct.len(), ids.len());
}

async fn hear(listener: &mut Listener, ids: &mut BTreeMap<i64, HashSet<String>>) {
    let event: Value = serde_json::from_slice(&listener.next().await.payload).unwrap();
    ids.entry(event["over"].as_i64().unwrap()).or_default().insert(event["id"].as_str().unwrap().to_owned());
}

#[tokio::test]
async fn writing_waits_while_the_broker_is_away() {
    let mut broker = Mosquitto::start().await;
    let mut driver = driver("mqtt", &broker.options("topic: x, as: changes"), Path::new("."));
    broker.kill();
    driver.open().await.unwrap();
    let one = batch(&[(1, "t0", 1, 1)]);
    let mut write = driver.write(&one);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut write).await.is_err());
    broker.restart().await;
    tokio::time::timeout(Duration::from_secs(20), write).await.expect("it goes on").unwrap();
}

#[tokio::test]
async fn an_event_that_is_too_late_is_dropped() {
    let mut broker = Mosquitto::start().await;
    let mut driver = driver("mqtt", &broker.options("topic: x, as: events, ttl: 100ms"), Path::new("."));
    broker.kill();
    driver.open().await.unwrap();
    let late = batch(&[(1, "late", 1, 1)]);
    let mut write = driver.write(&late);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut write).await.is_err());
    broker.restart().await;
    let mut listener = Listener::new(broker.port).await;
    tokio::time::timeout(Duration::from_secs(20), write).await.expect("it goes on").unwrap();
    driver.write(&batch(&[(2, "in time", 2, 1)])).await.unwrap();
    assert_eq!(listener.take(1).await[0].1["tool"], "in time");
}

/// Runs a program that must succeed.
fn done(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a message is delivered within a moment.
async fn delivers(yaml: &str, folder: &Path, patience: Duration) -> bool {
    let mut driver = driver("mqtt", yaml, folder);
    driver.open().await.unwrap();
    tokio::time::timeout(patience, driver.write(&batch(&[(1, "t0", 1, 1)]))).await.is_ok()
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_password_opens_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    done("mosquitto_passwd", &["-b", "-c", "users", "jarvis", "good"], folder.path());
    let broker = Mosquitto::start_with(folder, "allow_anonymous false\npassword_file FOLDER/users").await;
    let with = |login: &str| format!("{{ broker: 'mqtt://{login}127.0.0.1:{}', topic: x, as: changes }}", broker.port);
    assert!(delivers(&with("jarvis:good@"), Path::new("."), LONG).await);
    assert!(!delivers(&with("jarvis:wrong@"), Path::new("."), SHORT).await);
    assert!(!delivers(&with(""), Path::new("."), SHORT).await);
}

#[tokio::test]
async fn tls_reaches_only_a_broker_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 \
                       -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    done("openssl", &certificate.split_whitespace().collect::<Vec<_>>(), folder.path());
    let lines = "allow_anonymous true\ncertfile FOLDER/cert.pem\nkeyfile FOLDER/key.pem";
    let broker = Mosquitto::start_with(folder, lines).await;
    let with = |tls: &str| format!("{{ broker: 'mqtts://localhost:{}', {tls} topic: x, as: changes }}", broker.port);
    assert!(delivers(&with("tls: { ca: cert.pem },"), broker.folder.path(), LONG).await);
    assert!(!delivers(&with(""), broker.folder.path(), SHORT).await);
}
