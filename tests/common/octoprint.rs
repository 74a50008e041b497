//! A real OctoPrint with its virtual printer, for tests of printers and of the whole program.
//!
//! The program is installed once from the Python package index and kept for all later tests; each test starts its own
//! server with its own folder. Needs nothing of the crate that it is included in but `serde_json` and `tempfile`.

#![allow(dead_code, reason = "each test uses what it needs")]

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "1.11.8";
/// Of the server and its administrator; it opens nothing but a test's server.
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// For the server to start on a busy machine.
const START: Duration = Duration::from_secs(120);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A running server; it ends with the value.
pub struct OctoPrint {
    port: u16,
    process: Child,
    folder: tempfile::TempDir,
}

/// The settings of a server that asks nothing, phones nobody, and is connected to a virtual printer.
const SETTINGS: &str = "\
api:
  key: 0123456789abcdef0123456789abcdef
server:
  firstRun: false
  onlineCheck: {enabled: false}
  pluginBlacklist: {enabled: false}
serial:
  autoconnect: true
  port: VIRTUAL
plugins:
  virtual_printer: {enabled: true}
  _disabled: [softwareupdate, announcements, discovery, tracking, errortracking, achievements, pluginmanager, backup, \
  firmware_check, file_check, health_check]
";

impl OctoPrint {
    /// Returns when its virtual printer is ready to print.
    pub fn start() -> Self {
        let python = environment(&format!("octoprint-{VERSION}"), &format!("OctoPrint=={VERSION}"));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.yaml"), SETTINGS).unwrap();
        let port = free_port();
        let process = spawn(&python, port, folder.path());
        let server = Self { port, process, folder };
        server.wait_until_ready();
        server
    }

    /// Starts it once more after it was killed, with the same folder and at the same port.
    pub fn start_again(&mut self) {
        let python = environment(&format!("octoprint-{VERSION}"), &format!("OctoPrint=={VERSION}"));
        self.process = spawn(&python, self.port, self.folder.path());
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        self.wait_for("a printer that is ready", START, |server| {
            server
                .try_request("GET", "/api/printer", None)
                .is_ok_and(|(status, printer)| status == 200 && printer["state"]["flags"]["ready"] == true)
        });
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn key(&self) -> &'static str {
        KEY
    }

    /// Stores a file.
    pub fn upload(&self, name: &str, gcode: &str) {
        let border = "a-border-that-no-gcode-has";
        let body = format!(
            "--{border}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/plain\r\n\r\n{gcode}\r\n--{border}--\r\n"
        );
        let kind = format!("multipart/form-data; boundary={border}");
        let (status, answer) = exchange(self.port, "POST", "/api/files/local", Some((&kind, body.as_bytes()))).unwrap();
        assert_eq!(status, 201, "{answer}");
    }

    /// Puts a file onto the virtual printer's own card; what the printer calls it. The virtual printer does not list a file
    /// whose name is as short as a card's own names are.
    pub fn put_on_card(&self, name: &str, gcode: &str) -> String {
        let card = self.folder.path().join("virtualSd");
        fs::create_dir_all(&card).unwrap();
        fs::write(card.join(name), gcode).unwrap();
        self.post("/api/printer/sd", &json!({"command": "refresh"}));
        let listed = |server: &Self| {
            let (_, listed) = server.try_request("GET", "/api/files/sdcard", None).ok()?;
            Some(listed["files"].get(0)?["path"].as_str()?.to_owned())
        };
        self.wait_for("file on the card", ANSWER, |server| listed(server).is_some());
        listed(self).unwrap()
    }

    /// Starts to print a stored file.
    pub fn print(&self, name: &str) {
        let path = format!("/api/files/local/{}", name.replace(' ', "%20"));
        self.post(&path, &json!({"command": "select", "print": true}));
        self.wait_for("the print's beginning", ANSWER, |server| server.flag("printing"));
    }

    pub fn pause(&self) {
        self.post("/api/job", &json!({"command": "pause", "action": "pause"}));
        self.wait_for("a paused print", ANSWER, |server| server.flag("paused"));
    }

    pub fn cancel(&self) {
        self.post("/api/job", &json!({"command": "cancel"}));
        self.wait_for("a cancelled print", ANSWER, |server| server.flag("ready"));
    }

    /// A flag of the printer's state: `printing`, `paused`, `ready`…
    pub fn flag(&self, name: &str) -> bool {
        let answer = self.try_request("GET", "/api/printer", None);
        answer.is_ok_and(|(_, printer)| printer["state"]["flags"][name] == true)
    }

    /// What it says of the print: `/api/job`.
    pub fn job(&self) -> Value {
        self.try_request("GET", "/api/job", None).unwrap().1
    }

    /// How often a stored file has been printed to an end.
    pub fn prints(&self, name: &str) -> u64 {
        let file = self.try_request("GET", &format!("/api/files/local/{name}"), None).unwrap().1;
        let of = |how: &str| file["prints"][how].as_u64().unwrap_or(0);
        of("success") + of("failure")
    }

    /// Sends G-code, or a `!!DEBUG:` command of the virtual printer, past everything else.
    pub fn gcode(&self, line: &str) {
        self.post("/api/printer/command", &json!({ "command": line }));
    }

    pub fn post(&self, path: &str, body: &Value) {
        let (status, answer) = self.try_request("POST", path, Some(body)).unwrap();
        assert!((200..300).contains(&status), "{path} {body}: {status} {answer}");
    }

    pub fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<(u16, Value)> {
        let body = body.map(Value::to_string);
        exchange(self.port, method, path, body.as_ref().map(|body| ("application/json", body.as_bytes())))
    }

    /// Ends the server as a power cut would.
    pub fn kill(&mut self) {
        signal_group(&self.process, "KILL");
        let _ = self.process.wait();
    }

    /// Stops all its threads: it takes connections, and answers nothing.
    pub fn freeze(&self) {
        signal_group(&self.process, "STOP");
    }

    pub fn thaw(&self) {
        signal_group(&self.process, "CONT");
    }

    fn wait_for(&self, what: &str, patience: Duration, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            let log = || fs::read_to_string(self.folder.path().join("out.log")).unwrap_or_default();
            assert!(begun.elapsed() < patience, "no {what} within {patience:?}:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for OctoPrint {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(python: &Path, port: u16, folder: &Path) -> Child {
    let log = File::create(folder.join("out.log")).unwrap();
    Command::new(python.join("bin/octoprint"))
        .args(["serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", &port.to_string(), "--basedir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap()
}

/// G-code that takes about so many seconds, in steps of a tenth, on the virtual printer.
pub fn gcode(seconds: u32) -> String {
    let mut gcode = "G28\nG1 Z0.2 F9000\n".to_owned();
    for step in 0..seconds * 10 {
        let _ = writeln!(gcode, "G1 X{} Y10 E{:.1} F3000\nG4 P100", step % 100, f64::from(step) * 0.1);
    }
    gcode
}

/// A Python environment with one package, made if it is not there; tests that want it at the same time wait.
pub fn environment(name: &str, package: &str) -> PathBuf {
    let peers = std::env::var_os("JARVIS_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let home =
            std::env::var_os("HOME").expect("tests keep real peers in a cache, which needs HOME or JARVIS_PEERS");
        Path::new(&home).join(".cache/jarvis/peers")
    });
    fs::create_dir_all(&peers).unwrap();
    let folder = peers.join(name);
    let ready = folder.join("ready");
    let lock = File::create(peers.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        // What an interrupted installation has left is of no use.
        let _ = fs::remove_dir_all(&folder);
        let run = |command: &mut Command| {
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", package]));
        File::create(ready).unwrap();
    }
    folder
}

pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A process and all that it has started.
pub fn signal_group(process: &Child, signal: &str) {
    let group = format!("-{}", process.id());
    let _ = Command::new("kill").args(["-s", signal, "--", &group]).stderr(Stdio::null()).status();
}

/// One HTTP request with the key.
fn exchange(port: u16, method: &str, path: &str, body: Option<(&str, &[u8])>) -> io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let (kind, body) = body.unwrap_or(("text/plain", b""));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Api-Key: {KEY}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("not an answer"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
