//! Running the binary: in a folder of its own, to its end or as an instance that answers.

#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod mqtt;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Only there so that a test that waits in vain ends.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with files, in which `jarvis` is run.
pub struct Folder(TempDir);

impl Folder {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let file = self.path(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jarvis"));
        command.args(arguments).current_dir(self.0.path());
        for name in ["JARVIS_MQTT", "JARVIS_LISTEN", "RUST_LOG", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
    }

    pub fn jarvis(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// As [`Folder::jarvis`], but it must succeed; gives the standard output.
    pub fn fine(&self, arguments: &[&str]) -> String {
        let output = self.jarvis(arguments);
        assert!(
            output.status.success(),
            "jarvis {arguments:?}: {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The folder of this repository, which is where tests are started; a build may be shared by several checkouts.
pub fn repository() -> PathBuf {
    std::env::current_dir().unwrap()
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A `jarvis` that runs until it is told to stop.
pub struct Instance {
    child: Child,
    said: Arc<Mutex<String>>,
    printed: Arc<Mutex<String>>,
}

/// Collects lines as they come.
fn collect(lines: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let collected = Arc::new(Mutex::new(String::new()));
    let shared = collected.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            let mut text = shared.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
    collected
}

impl Instance {
    pub fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::run(folder.command(arguments))
    }

    pub fn run(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, printed) = (collect(child.stderr.take().unwrap()), collect(child.stdout.take().unwrap()));
        Self { child, said, printed }
    }

    /// With a broker of its own and an HTTP port; gives both.
    pub fn with_broker(folder: &Folder, pipelines: &str) -> (Self, u16, SocketAddr) {
        let port = free_port();
        let broker = format!("--embedded-broker=127.0.0.1:{port}");
        let instance = Self::start(folder, &["run", pipelines, &broker, "--listen", "127.0.0.1:0", "--data", "data"]);
        let at = instance.address();
        (instance, port, at)
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.wait_to_say("http://");
        let said = self.said();
        said.split("http://").nth(1).unwrap().split([' ', '\n', '/']).next().unwrap().parse().unwrap()
    }

    /// What it has said so far, on the standard error.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// What it has printed so far, on the standard output.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    pub fn wait_to_say(&self, words: &str) {
        let begun = Instant::now();
        while !self.said().contains(words) {
            assert!(begun.elapsed() < PATIENCE, "it never says {words:?}, but:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop, as service managers do. What it has said is shown if it fails.
    pub fn terminate(self) -> ExitStatus {
        self.signal("-TERM");
        let (status, said) = self.end();
        if !status.success() {
            println!("{status}; it said:\n{said}");
        }
        status
    }

    /// Sends a signal: `-TERM`, `-INT`.
    pub fn signal(&self, signal: &str) {
        let asked = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// Waits until it has ended; gives its status and all that it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end; it said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        };
        // The thread that reads has the last lines soon after.
        wait_for("the end of its words", || (Arc::strong_count(&self.said) == 1).then_some(()));
        (status, self.said())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request; gives the status and the body.
pub fn http(at: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub fn get(at: SocketAddr, path: &str) -> (u16, String) {
    http(at, &format!("GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n"))
}
