//! A real PrusaLink, the server that Prusa makes for a Raspberry Pi, with a printer of ours at its serial line.
//!
//! The program is installed once from the Python package index and kept for all later tests; each test starts its own
//! server and its own firmware (`prusa_firmware.py`) with a folder of their own. The server is not changed; what it
//! would reach out with is taken from it (`prusalink_run.py`).

use crate::octoprint::{environment, free_port, signal_group};
use reqwest::Method;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "0.8.1";
/// What it needs, but for what `prusalink_run.py` stands in for.
const NEEDS: [&str; 15] = [
    "prusa.connect.sdk.printer==0.8.1",
    "bidict~=0.22.1",
    "blinker~=1.5",
    "extendparser~=0.3.1",
    "jinja2-template-info~=0.2.4",
    "lockfile~=0.12.2",
    "packaging~=23.0",
    "PoorWSGI~=2.5.0",
    "pydantic~=1.10.12",
    "pyric~=0.1.6.3",
    "python-daemon~=3.0.1",
    // Its `pkg_resources`.
    "setuptools<81",
    "sortedcontainers~=2.4.0",
    "unidecode~=1.3.6",
    "validators~=0.20.0",
];
const PROGRAMS: [(&str, &str); 2] =
    [("run.py", include_str!("prusalink_run.py")), ("firmware.py", include_str!("prusa_firmware.py"))];

pub const KEY: &str = "a-key-of-prusa-link";
pub const USER: &str = "maker";
pub const PASSWORD: &str = "made-by-a-maker";
/// The MD5 of `USER:Administrator:PASSWORD`: its settings hold no password.
const DIGEST: &str = "b3f53e8e7708494ff4fb7840d8fa886c";

/// For the server to start on a busy machine; it waits for eight seconds for any printer to boot.
const START: Duration = Duration::from_secs(120);
/// For something that it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server and its printer; both end with the value.
pub struct PrusaLink {
    port: u16,
    server: Child,
    firmware: Child,
    folder: tempfile::TempDir,
}

impl PrusaLink {
    /// Returns when its printer is idle, and has said how warm it is.
    pub async fn start() -> Self {
        let python = installed().join("bin/python");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, program) in PROGRAMS {
            fs::write(at(name), program).unwrap();
        }
        fs::create_dir(at("data")).unwrap();
        let port = free_port();
        fs::write(at("prusalink.ini"), configuration(folder.path(), port)).unwrap();
        fs::write(at("data/settings.ini"), settings()).unwrap();
        let firmware = spawn(Command::new(&python).arg(at("firmware.py")).arg(at("serial")), &at("firmware.log"));
        let mut server = Command::new(&python);
        server.arg(at("run.py")).arg("--foreground").arg("--config").arg(at("prusalink.ini"));
        let server = spawn(&mut server, &at("server.log"));
        let server = Self { port, server, firmware, folder };
        server
            .until("an idle printer", START, |status| {
                status["printer"]["state"] == "IDLE" && !status["printer"]["temp_nozzle"].is_null()
            })
            .await;
        server
    }

    pub fn url(&self) -> url::Url {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// What the server itself says, with the key: the status, and its words or JSON.
    pub async fn ask(&self, method: Method, path: &str) -> reqwest::Result<(u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let request = client.request(method, self.url().join(path).unwrap()).timeout(PATIENCE);
        let answer = request.header("X-Api-Key", KEY).header("Accept", "application/json").send().await?;
        let status = answer.status().as_u16();
        let words = answer.text().await?;
        Ok((status, serde_json::from_str(&words).unwrap_or(Value::String(words))))
    }

    /// Waits until the server says of its printer that it is so.
    pub async fn is_state(&self, state: &str) {
        self.until(state, PATIENCE, |status| status["printer"]["state"] == state).await;
    }

    /// What happens at the printer: `click` or `kill`, as in `prusa_firmware.py`.
    pub fn at_the_printer(&mut self, what: &str) {
        writeln!(self.firmware.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    async fn until(&self, what: &str, patience: Duration, is_so: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        let mut said = None;
        while !said.as_ref().is_some_and(|(status, said)| *status == 200 && is_so(said)) {
            let log = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let logs = || format!("{}\n{}", log("server.log"), log("firmware.log"));
            assert!(begun.elapsed() < patience, "no {what} within {patience:?}, but {said:?}\n{}", logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
            said = self.ask(Method::GET, "/api/v1/status").await.ok();
        }
    }
}

impl Drop for PrusaLink {
    fn drop(&mut self) {
        for process in [&mut self.server, &mut self.firmware] {
            signal_group(process, "KILL");
            let _ = process.wait();
        }
    }
}

/// G-code that heats, homes, and then prints for about so many seconds: a tenth for each move. It says how far it is.
pub fn gcode(seconds: u32) -> String {
    let mut gcode = "M73 P0 R1\nM73 Q0 S1\nM190 S40\nM109 S120\nG28\nG1 Z0.2 F9000\n".to_owned();
    for step in 0..seconds * 10 {
        if step % 10 == 0 {
            let (done, left) = (step * 10 / seconds, (seconds - step / 10) / 60);
            let _ = writeln!(gcode, "M73 P{done} R{left}\nM73 Q{done} S{left}");
        }
        let _ = writeln!(gcode, "G1 X{} Y10 E{:.1} F3000", 10 + step % 2 * 5, f64::from(step) * 0.1);
    }
    let _ = writeln!(gcode, "M73 P100 R0\nM73 Q100 S0\n; estimated printing time (normal mode) = {seconds}s");
    gcode
}

fn configuration(folder: &Path, port: u16) -> String {
    // It keeps no files in any path that begins with /tmp: one slash more leads to the same place.
    let folder = folder.display();
    format!(
        "[daemon]\ndata_dir = /{folder}/data\n[http]\naddress = 127.0.0.1\nport = {port}\n\
         [printer]\nport = {folder}/serial\nsettings = ./settings.ini\ndirectory = ./PrusaLink gcodes\n\
         [cameras]\nauto_detect = False\n"
    )
}

/// Of a server that was set up, and has no account with Prusa's own.
fn settings() -> String {
    format!(
        "[printer]\ntype = MK3S\nname = test\n[service::connect]\nhostname = 127.0.0.1\ntls = False\nport = 9\n\
         [service::local]\nenable = 1\nusername = {USER}\ndigest = {DIGEST}\napi_key = {KEY}\n"
    )
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    let command = command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    command.process_group(0).spawn().unwrap()
}

/// An environment with the server, made if it is not there.
fn installed() -> PathBuf {
    let needs = tempfile::NamedTempFile::new().unwrap();
    fs::write(needs.path(), NEEDS.join("\n")).unwrap();
    let folder = environment(&format!("prusalink-{VERSION}"), &format!("-r{}", needs.path().display()));
    let lock = File::create(folder.join("server.lock")).unwrap();
    lock.lock().unwrap();
    let ready = folder.join("server-ready");
    if !ready.exists() {
        // Without what it says it needs: some of that has to be compiled.
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps"]);
        let output = pip.arg(format!("prusalink=={VERSION}")).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{pip:?}: {}", String::from_utf8_lossy(&output.stderr));
        File::create(ready).unwrap();
    }
    folder
}
