//! Brokers for tests, and those who publish to them.

use super::{Folder, PATIENCE, free_port, wait_for};
use rumqttc::{Client, Event, Incoming, MqttOptions, Outgoing, QoS};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest packet of these tests, bytes.
const LONGEST: usize = 1 << 22;

/// Publishes messages, at least once each, and waits until the broker has taken them.
///
/// Goes on with a new connection if it is thrown out: the embedded broker (rumqttd 0.20) counts the end of a client that
/// says goodbye twice, and the second time hits whoever has got its place meanwhile.
pub fn publish<T: AsRef<str>, P: AsRef<[u8]>>(port: u16, messages: &[(T, P)]) {
    let (mut taken, begun) = (0, Instant::now());
    while let Err((more, error)) = try_publish(port, &messages[taken..]) {
        println!("thrown out by the broker: {error}");
        assert!(begun.elapsed() < PATIENCE, "cannot publish: {error}");
        taken += more;
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As [`publish`], with one connection.
///
/// # Errors
/// So many were taken before it was lost, and why that was.
pub fn try_publish<T: AsRef<str>, P: AsRef<[u8]>>(port: u16, messages: &[(T, P)]) -> Result<(), (usize, String)> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut options = MqttOptions::new(own_name("publisher"), "127.0.0.1", port);
    options.set_clean_session(true).set_max_packet_size(LONGEST, LONGEST).set_inflight(100);
    let (client, mut connection) = Client::new(options, messages.len() + 1);
    for (topic, payload) in messages {
        client.publish(topic.as_ref(), QoS::AtLeastOnce, false, payload.as_ref()).unwrap();
    }
    let mut taken = 0;
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Incoming::PubAck(_))) => {
                taken += 1;
                if taken == messages.len() {
                    client.try_disconnect().unwrap();
                }
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => break,
            // Whoever has them all need not hear the goodbye.
            Err(error) if taken < messages.len() => return Err((taken, error.to_string())),
            Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Two clients of one name would throw each other out, even if the first has just left.
fn own_name(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{kind}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A Mosquitto of its own for one test, with its files in the test's folder.
pub struct Mosquitto {
    pub port: u16,
    log: std::path::PathBuf,
    process: Child,
}

impl Mosquitto {
    pub fn start(folder: &Folder) -> Self {
        let (port, log) = (free_port(), folder.path("mosquitto.log"));
        // Started by root it would otherwise become another user, who may not write here.
        let settings = format!(
            "user root\nlog_dest file {}\nlog_type all\nmax_queued_messages 0\nmax_inflight_messages 100\n\
             listener {port} 127.0.0.1\nallow_anonymous true\n",
            log.display()
        );
        folder.write("mosquitto.conf", &settings);
        let command = |program: &str| {
            let settings = folder.path("mosquitto.conf");
            Command::new(program).arg("-c").arg(settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        // Debian installs it where only root looks.
        let process = command("mosquitto").or_else(|_| command("/usr/sbin/mosquitto")).unwrap_or_else(|error| {
            panic!("this test needs Mosquitto ({error}): run `apt-get install -y mosquitto mosquitto-clients`")
        });
        let broker = Self { port, log, process };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "Mosquitto does not listen: {}", broker.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        broker
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until jarvis has subscribed so many times.
    pub fn wait_for_subscriptions(&self, times: usize) {
        wait_for("a subscription", || (self.log().matches("Sending SUBACK to jarvis").count() >= times).then_some(()));
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Listens, and keeps what it hears: (topic, payload), in order. Comes back if it is thrown out, as [`publish`] does.
pub struct Subscriber {
    heard: Arc<Mutex<Vec<(String, String)>>>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Subscriber {
    /// Returns when the broker has taken the subscription.
    pub fn start(port: u16, filter: &str) -> Self {
        let mut options = MqttOptions::new(own_name("listener"), "127.0.0.1", port);
        options.set_clean_session(false).set_max_packet_size(LONGEST, LONGEST);
        let (client, mut connection) = Client::new(options, 10);
        let filter = filter.to_owned();
        let heard: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (shared, (ready, is_ready)) = (heard.clone(), std::sync::mpsc::channel());
        let is_over = Arc::<AtomicBool>::default();
        let ended = is_over.clone();
        std::thread::spawn(move || {
            let mut is_subscribed = false;
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Incoming::Publish(p))) => {
                        let payload = String::from_utf8_lossy(&p.payload).into_owned();
                        shared.lock().unwrap().push((p.topic, payload));
                    }
                    Ok(Event::Incoming(Incoming::ConnAck(found))) if !found.session_present || !is_subscribed => {
                        client.try_subscribe(&filter, QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        is_subscribed = true;
                        // Nobody waits for it the second time.
                        let _ = ready.send(());
                    }
                    Ok(_) => {}
                    Err(_) if ended.load(Ordering::Relaxed) => return,
                    // Or the broker has been stopped.
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).expect("a subscription");
        Self { heard, is_over }
    }

    pub fn messages(&self) -> Vec<(String, String)> {
        self.heard.lock().unwrap().clone()
    }
}
