//! An RTSP server for tests, which shows what it is told: H.264 of patterns or of a folder's pictures.
//!
//! It is `rtsp_server.py`, beside this file, on GStreamer's RTSP server; it ends with the test.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const NEEDS: &str = "run `apt-get install -y python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly`";

/// A running server. Streams are addressed by names, and exist from when they are first named.
pub struct Rtsp {
    port: u16,
    scheme: &'static str,
    arguments: Vec<String>,
    running: Mutex<Running>,
}

struct Running {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    names: BTreeSet<String>,
}

#[allow(dead_code, reason = "every test binary uses a part of it")]
impl Rtsp {
    pub fn start() -> Self {
        Self::start_with("rtsp", &[])
    }

    /// Who watches must say who he is (Digest).
    pub fn start_with_password(user: &str, password: &str) -> Self {
        Self::start_with("rtsp", &["--user", user, "--password", password])
    }

    /// With TLS; the file has a certificate and its key.
    pub fn start_with_tls(certificate: &Path) -> Self {
        Self::start_with("rtsps", &["--tls", certificate.to_str().unwrap()])
    }

    fn start_with(scheme: &'static str, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (running, port) = Running::start(0, &arguments);
        Self { port, scheme, arguments, running: Mutex::new(running) }
    }

    /// The address of a stream. One that nothing was said about shows a test card, a part of
    /// which is noise.
    pub fn url(&self, name: &str) -> String {
        let is_new = !self.with(|running| running.names.contains(name));
        if is_new {
            self.show(name, "smpte");
        }
        format!("{}://127.0.0.1:{}/{name}", self.scheme, self.port)
    }

    /// Shows a pattern of `videotestsrc` or the pictures of a folder, for a second each, again and again. A stream that
    /// runs goes on with it. `smpte` and `snow` change all the time; `black` and `white` have no contrast; `ball` is a
    /// ball in the dark.
    pub fn show(&self, name: &str, what: &str) {
        self.tell(&format!("show {name} {what}"), Some(name));
    }

    /// How long each picture of a folder is shown.
    pub fn pace(&self, name: &str, seconds: f64) {
        self.tell(&format!("pace {name} {seconds}"), None);
    }

    /// The resolution, from now on; a stream that runs changes it.
    pub fn size(&self, name: &str, width: u32, height: u32) {
        self.tell(&format!("size {name} {width}x{height}"), None);
    }

    /// Goes on with the last picture until something else is to be shown.
    pub fn freeze(&self, name: &str) {
        self.tell(&format!("freeze {name}"), None);
    }

    /// Sends nothing more, and closes nothing.
    pub fn stall(&self, name: &str) {
        self.tell(&format!("stall {name}"), None);
    }

    /// Sends again.
    pub fn resume(&self, name: &str) {
        self.tell(&format!("resume {name}"), None);
    }

    /// Closes all connections; new ones may be made at once.
    pub fn drop_connections(&self) {
        self.tell("drop", None);
    }

    /// Ends the server. Nobody listens at its port until [`Rtsp::restart`].
    pub fn stop(&self) {
        self.with(Running::stop);
    }

    /// Starts again at the same port; streams must be told anew what to show.
    pub fn restart(&self) {
        self.with(|running| {
            running.stop();
            *running = Running::start(self.port, &self.arguments).0;
        });
    }

    fn tell(&self, command: &str, name: Option<&str>) {
        self.with(|running| {
            writeln!(running.commands, "{command}").expect("the RTSP server has ended");
            let mut answer = String::new();
            running.answers.read_line(&mut answer).unwrap();
            assert_eq!(answer.trim(), "done", "{command}");
            running.names.extend(name.map(str::to_owned));
        });
    }

    fn with<R>(&self, act: impl FnOnce(&mut Running) -> R) -> R {
        act(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Running {
    fn start(port: u16, arguments: &[String]) -> (Self, u16) {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script()).args(["--port", &port.to_string()]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("this test needs Python ({error}): {NEEDS}"));
        let commands = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("the RTSP server does not start: {NEEDS}"));
        (Self { process, commands, answers, names: BTreeSet::new() }, port)
    }

    fn stop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The tests of a crate are started in its own folder, those of the program in the repository's.
fn script() -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let candidates = here.ancestors().map(|folder| folder.join("tests/common/rtsp_server.py"));
    candidates.into_iter().find(|path| path.exists()).expect("tests/common/rtsp_server.py")
}
