//! Bambu's protocol over a real broker with TLS, with a scripted device behind it; not against a printer.

mod common;

use common::{Watched, command, within};
use jarvis_printers::{Action, Bambu, BambuSettings, Connection, Phase, Printer, Secret, What};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

const SERIAL: &str = "01S00C123456789";
const CODE: &str = "12345678";

/// A broker as it is in the printer: TLS with a certificate of its own, one user. The device itself uses a plain port.
struct Broker {
    port: u16,
    plain: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        run(Command::new("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]).args([
            "-subj",
            "/CN=01S00C123456789",
            "-keyout",
            &at("key.pem"),
            "-out",
            &at("cert.pem"),
        ]));
        run(Command::new("mosquitto_passwd").args(["-b", "-c", &at("users"), "bblp", CODE]));
        let (port, plain) = (free_port(), free_port());
        let settings = format!(
            "user root\nper_listener_settings true\nlistener {plain} 127.0.0.1\nallow_anonymous true\n\
             listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncertfile {}\nkeyfile {}\n",
            at("users"),
            at("cert.pem"),
            at("key.pem")
        );
        std::fs::write(at("mosquitto.conf"), settings).unwrap();
        // Debian installs it where only root looks.
        let mut mosquitto = Command::new("/usr/sbin/mosquitto");
        mosquitto.args(["-c", &at("mosquitto.conf")]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = mosquitto.spawn().unwrap();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { port, plain, process, _folder: folder }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// How the device takes commands.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// It does them and says so.
    Willing,
    /// It does them, and says nothing.
    Silent,
    /// It wants them signed.
    Signed,
}

/// A printer's firmware: the whole state on `pushall`, then only changes.
struct Device {
    requests: Arc<Mutex<Vec<Value>>>,
    client: AsyncClient,
    task: JoinHandle<()>,
}

impl Device {
    async fn start(broker: &Broker, manner: Manner) -> Self {
        Self::saying(broker, manner, vec![]).await
    }

    /// A device that says all this before its state.
    async fn saying(broker: &Broker, manner: Manner, first: Vec<String>) -> Self {
        let mut options = MqttOptions::new("firmware", "127.0.0.1", broker.plain);
        options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 1000);
        let says = client.clone();
        client.subscribe(format!("device/{SERIAL}/request"), QoS::AtLeastOnce).await.unwrap();
        let requests = Arc::new(Mutex::new(vec![]));
        let log = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                let Event::Incoming(Incoming::Publish(publish)) = event else { continue };
                let request: Value = serde_json::from_slice(&publish.payload).unwrap();
                log.lock().unwrap().push(request.clone());
                let answers = answers(&request, manner).into_iter().map(|answer| answer.to_string());
                for said in first.iter().cloned().chain(answers) {
                    client.publish(format!("device/{SERIAL}/report"), QoS::AtMostOnce, false, said).await.unwrap();
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        Self { requests, task, client: says }
    }

    async fn say(&self, change: Value) {
        let message = json!({ "print": change }).to_string();
        self.client.publish(format!("device/{SERIAL}/report"), QoS::AtMostOnce, false, message).await.unwrap();
    }

    fn commands(&self) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.get("print").is_some()).count()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answers(request: &Value, manner: Manner) -> Vec<Value> {
    if request.pointer("/pushing/command") == Some(&json!("pushall")) {
        return vec![json!({"print": {
            "command": "push_status", "gcode_state": "RUNNING", "gcode_file": "part.gcode", "subtask_name": "part",
            "task_id": "0", "gcode_start_time": "1795422360", "mc_percent": 40, "layer_num": 7, "total_layer_num": 20,
            "nozzle_temper": 220.0, "nozzle_target_temper": 220.0, "bed_temper": 55.0, "bed_target_temper": 55.0,
        }})];
    }
    if let Some(version) = request.get("info") {
        return vec![json!({"info": {"command": "get_version", "sequence_id": version["sequence_id"], "module": []}})];
    }
    let (sequence, command) = (&request["print"]["sequence_id"], &request["print"]["command"]);
    let reply = |extra: Value| {
        let mut print = json!({"sequence_id": sequence, "command": command, "param": ""});
        print.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "print": print })
    };
    if manner == Manner::Signed {
        return vec![reply(
            json!({"result": "failed", "reason": "mqtt message verify failed", "err_code": 84_033_543}),
        )];
    }
    let state = match command.as_str() {
        Some("pause") => "PAUSE",
        Some("resume") => "RUNNING",
        _ => "FAILED",
    };
    let change = json!({"print": {"command": "push_status", "gcode_state": state}});
    match manner {
        Manner::Silent => vec![change],
        _ => vec![reply(json!({"result": "success"})), change],
    }
}

fn printer(broker: &Broker, code: &str) -> Printer {
    let mut settings = BambuSettings::new("127.0.0.1", SERIAL, Secret::new(code));
    settings.port = broker.port;
    Printer::Bambu(Bambu::new(&settings).unwrap())
}

#[tokio::test]
async fn a_print_is_read_paused_and_resumed() {
    for manner in [Manner::Willing, Manner::Silent] {
        let broker = Broker::start();
        let device = Device::start(&broker, manner).await;
        let mut watched = Watched::new(printer(&broker, CODE), Duration::from_secs(2));
        let report = watched.until("the print", |report| report.phase == Phase::Printing).await;
        let job = report.job.unwrap().id;
        assert_eq!((report.layer, report.tools.len()), (Some(7), 2));
        assert_eq!(command(&watched.printer, Action::Pause, Some(&job)).await.what, What::Done { already: false });
        let paused = watched.until("the pause", |report| report.phase == Phase::Paused).await;
        // What the change left out is as it was.
        assert_eq!((paused.layer, paused.job.unwrap().id), (Some(7), job));
        assert_eq!(watched.command(Action::Pause).await.what, What::Done { already: true });
        assert_eq!(watched.command(Action::Resume).await.what, What::Done { already: false });
        assert_eq!(device.commands(), 2);
    }
}

#[tokio::test]
async fn a_printer_that_wants_signatures_is_only_observed() {
    let broker = Broker::start();
    let device = Device::start(&broker, Manner::Signed).await;
    let printer = printer(&broker, CODE);
    for _ in 0..2 {
        let outcome = command(&printer, Action::Pause, None).await;
        assert!(matches!(&outcome.what, What::ObserveOnly { why } if why.contains("developer mode")), "{outcome:?}");
    }
    assert_eq!(device.commands(), 1);
    assert!(printer.observe_only().is_some());
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_not_told() {
    let broker = Broker::start();
    let mut watched = Watched::new(printer(&broker, "87654321"), Duration::from_secs(2));
    let report = watched.until("the refusal", |report| report.connection == Connection::Refused).await;
    let outcome = watched.command(Action::Pause).await;
    assert!(matches!(outcome.what, What::Refused { .. }), "{outcome:?}");
    assert!(!format!("{report:?} {outcome:?} {:?}", watched.printer).contains("87654321"));
}

#[tokio::test]
async fn a_printer_that_falls_silent_is_offline() {
    let broker = Broker::start();
    let device = Device::start(&broker, Manner::Willing).await;
    let mut watched = Watched::new(printer(&broker, CODE), Duration::from_secs(5));
    watched.until("the print", |report| report.phase == Phase::Printing).await;
    // The broker stays, the firmware is gone.
    drop(device);
    watched.until("its absence", |report| report.connection == Connection::Offline).await;
    let outcome = within(&watched.printer, Action::Pause, None, Duration::from_secs(6)).await;
    assert!(matches!(outcome.what, What::Unreachable { .. }) && !outcome.sent, "{outcome:?}");
}

#[tokio::test]
async fn what_nobody_knows_or_can_read_does_no_harm() {
    let junk = (0..20).map(|number| {
        let fields: serde_json::Map<String, Value> =
            (0..1000).map(|field| (format!("field{number}-{field}"), json!({"x": "y".repeat(50)}))).collect();
        json!({ "print": fields }).to_string()
    });
    let hostile = ["[".repeat(10_000), "{\"print\":".repeat(10_000), "no JSON at all".to_owned()];
    let broker = Broker::start();
    let _device = Device::saying(&broker, Manner::Willing, hostile.into_iter().chain(junk).collect()).await;
    let mut watched = Watched::new(printer(&broker, CODE), Duration::from_secs(5));
    watched.until("the print", |report| report.phase == Phase::Printing).await;
    assert_eq!(watched.command(Action::Pause).await.what, What::Done { already: false });
}

#[tokio::test]
async fn a_print_without_a_number_or_a_date_is_told_from_the_next_one() {
    let broker = Broker::start();
    let device = Device::start(&broker, Manner::Willing).await;
    let mut watched = Watched::new(printer(&broker, CODE), Duration::from_secs(5));
    watched.until("the print", |report| report.phase == Phase::Printing).await;
    device.say(json!({"gcode_start_time": "0"})).await;
    let first = watched.until("its new name", |r| r.job.as_ref().is_some_and(|job| job.id.0.contains('~'))).await;
    let first = first.job.unwrap().id;
    device.say(json!({"mc_percent": 41, "layer_num": 8})).await;
    let report = watched.until("the next layer", |report| report.layer == Some(8)).await;
    assert_eq!(report.job.unwrap().id, first);
    // It is further back than it was: somebody has begun anew.
    device.say(json!({"mc_percent": 3, "layer_num": 1})).await;
    let next = watched.until("the next print", |report| report.layer == Some(1)).await.job.unwrap().id;
    let outcome = command(&watched.printer, Action::Pause, Some(&first)).await;
    assert_eq!((outcome.what, outcome.sent), (What::OtherJob { running: Some(next.clone()) }, false));
    assert_eq!(command(&watched.printer, Action::Pause, Some(&next)).await.what, What::Done { already: false });
}
