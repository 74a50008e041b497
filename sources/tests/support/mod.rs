//! A real Mosquitto and a graph that takes what a source feeds.

use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::kinds::{Feed, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_sources::MqttSource;
use jarvis_spec::schema::parse_type;
use jarvis_spec::{Node, SourceText};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// Nothing here takes this long unless it never happens.
pub const SOON: Duration = Duration::from_secs(20);

/// A broker of its own for one test, on a free port, with its files in a folder of its own.
pub struct Mosquitto {
    pub port: u16,
    pub folder: TempDir,
    process: Option<Child>,
}

impl Mosquitto {
    /// `more`: lines of its configuration; `FOLDER` in them is its folder.
    pub fn start(more: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), more)
    }

    pub fn start_in(folder: TempDir, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a free port").port();
        let path = folder.path().display();
        let more = more.replace("FOLDER", &path.to_string());
        let anonymous = if more.contains("allow_anonymous") { "" } else { "allow_anonymous true" };
        // Started by root it would otherwise become another user, who may not write here.
        let config = format!(
            "user root\npersistence true\npersistence_location {path}/\nlog_dest file {path}/log\nlog_type all\n\
             max_queued_messages 0\nlistener {port} 127.0.0.1\n{anonymous}\n{more}\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("written");
        let mut broker = Self { port, folder, process: None };
        broker.start_again();
        broker
    }

    pub fn start_again(&mut self) {
        let command = |program: &str| {
            let config = self.folder.path().join("mosquitto.conf");
            Command::new(program).arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        // Debian installs it where only root looks.
        let process = command("mosquitto").or_else(|_| command("/usr/sbin/mosquitto"));
        self.process = Some(process.unwrap_or_else(|error| {
            panic!("this test needs Mosquitto ({error}): run `apt-get install -y mosquitto mosquitto-clients`")
        }));
        let until = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "Mosquitto does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end, as a service manager does: it then writes its sessions to disk.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let killed = Command::new("kill").arg(process.id().to_string()).status().expect("kill");
        assert!(killed.success());
        process.wait().expect("it ends");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Publishes and waits until the broker has it.
    pub async fn publish(&self, messages: &[(&str, &[u8])], qos: QoS, retain: bool) {
        publish(self.port, messages, qos, retain).await;
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub async fn publish(port: u16, messages: &[(&str, &[u8])], qos: QoS, retain: bool) {
    let mut options = MqttOptions::new(format!("publisher-{}", std::process::id()), "127.0.0.1", port);
    options.set_clean_session(true).set_max_packet_size(1 << 24, 1 << 24);
    let (client, mut events) = AsyncClient::new(options, messages.len() + 2);
    for (topic, payload) in messages {
        client.publish(*topic, qos, retain, *payload).await.expect("there is room");
    }
    client.disconnect().await.expect("there is room");
    let mut acknowledged = 0;
    let done = async {
        while let Ok(event) = events.poll().await {
            match event {
                Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
                Event::Outgoing(rumqttc::Outgoing::Disconnect) if qos == QoS::AtMostOnce => return,
                _ => {}
            }
            if qos == QoS::AtLeastOnce && acknowledged == messages.len() {
                return;
            }
        }
    };
    timeout(SOON, done).await.expect("the broker takes the messages");
}

pub fn stream(columns: &[(&str, &str)], key: &[usize]) -> StreamSpec {
    let fields: Vec<_> = columns.iter().map(|(name, of)| parse_type(name, of).expect(of)).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    StreamSpec { name: "test.stream".to_owned(), schema, key: key.to_vec(), time: None, lateness: None }
}

/// A source at work, and what it has fed.
pub struct Running {
    arrivals: Receiver<(usize, Arrival)>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

pub fn start(stream: &StreamSpec, yaml: &str, folder: &Path) -> Running {
    let options = Node::read(&SourceText::new("test.yaml", yaml), &|_| None).expect(yaml);
    let context = PlanContext { folder: folder.to_owned(), config: None, data: None };
    let source = match MqttSource.plan(stream, &options, &context) {
        Ok(SourcePlan::Live(source)) => source,
        Ok(SourcePlan::Bounded(_)) => panic!("it is bounded"),
        Err(findings) => panic!("{findings}"),
    };
    let (feed, arrivals) = Feed::channel(stream.clone(), 4);
    Running { arrivals, task: tokio::spawn(source.run(feed)) }
}

impl Running {
    pub async fn next(&mut self) -> Arrival {
        timeout(SOON, self.arrivals.recv()).await.expect("something arrives").expect("the source runs").1
    }

    /// Arrivals until there are so many rows and errors.
    pub async fn take(&mut self, count: usize) -> Taken {
        let mut taken = Taken::default();
        while taken.rows.len() + taken.errors.len() < count {
            taken.add(self.next().await);
        }
        taken
    }

    /// What arrives within a short while: nothing, if all is well.
    pub async fn rest(&mut self) -> Taken {
        let mut taken = Taken::default();
        while let Ok(Some((_, arrival))) = timeout(Duration::from_millis(400), self.arrivals.recv()).await {
            taken.add(arrival);
        }
        taken
    }

    pub async fn stop(self) {
        drop(self.arrivals);
        timeout(SOON, self.task).await.expect("the source ends").expect("it does not panic").expect("it ends well");
    }
}

/// Rows as text, errors by code, and the acknowledgements that wait.
#[derive(Default)]
pub struct Taken {
    pub rows: Vec<String>,
    pub errors: Vec<(&'static str, String)>,
    pub on_safe: Vec<Box<dyn FnOnce() + Send>>,
}

impl Taken {
    fn add(&mut self, arrival: Arrival) {
        self.rows.extend(texts(&arrival.decoded));
        self.errors.extend(arrival.decoded.errors.iter().map(|error| (error.code, error.message.clone())));
        self.on_safe.extend(arrival.on_safe);
    }

    pub fn make_safe(self) {
        self.on_safe.into_iter().for_each(|on_safe| on_safe());
    }
}

fn texts(decoded: &Decoded) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::new().with_null("null");
    let value = |column: &arrow::array::ArrayRef, row| {
        ArrayFormatter::try_new(column, &options).expect("text").value(row).to_string()
    };
    (0..decoded.rows.num_rows())
        .map(|row| {
            let removal = decoded.weights.as_ref().is_some_and(|weights| weights[row] < 0);
            let values: Vec<_> = decoded.rows.columns().iter().map(|column| value(column, row)).collect();
            format!("{}{}", if removal { "-" } else { "" }, values.join("|"))
        })
        .collect()
}
