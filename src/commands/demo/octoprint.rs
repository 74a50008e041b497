//! A real OctoPrint with its virtual printer: installed once from the Python package index, and kept for the next time.
//!
//! The server asks nothing, phones nobody and listens on loopback only; its settings, files and key go with the demo.

use super::leash::Leashes;
use super::stage::Stage;
use crate::terminal;
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

const VERSION: &str = "1.11.8";
/// For the server to start on a busy machine.
const START: Duration = Duration::from_secs(180);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(200);
/// Seconds that the print takes: longer than anybody looks at it.
const PRINT: u32 = 3600;
/// The file that is printed.
pub const FILE: &str = "spiral_vase.gcode";

/// Installs OctoPrint if it is not there, and gives its program.
///
/// # Errors
/// There is no Python, no network, no place, or the demo ends.
pub fn installed(leashes: &Leashes) -> anyhow::Result<PathBuf> {
    let peers = match std::env::var_os("JARVIS_PEERS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let home = std::env::var_os("HOME").context("OctoPrint is kept in a cache: set HOME or JARVIS_PEERS")?;
            Path::new(&home).join(".cache/jarvis/peers")
        }
    };
    fs::create_dir_all(&peers).with_context(|| format!("{} cannot be made", peers.display()))?;
    let folder = peers.join(format!("octoprint-{VERSION}"));
    let (ready, program) = (folder.join("ready"), folder.join("bin/octoprint"));
    // Whoever wants it at the same time waits.
    let lock = File::create(peers.join(format!("octoprint-{VERSION}.lock")))?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if leashes.is_over() => bail!("the demo is ending"),
            Err(TryLockError::WouldBlock) => sleep(LOOK),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    if !ready.exists() {
        let place = folder.display();
        terminal::say(&format!("print watch: installing OctoPrint {VERSION} in {place}; once, and it takes minutes"));
        // What an interrupted installation has left is of no use.
        let _ = fs::remove_dir_all(&folder);
        leashes.run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]).arg(format!("OctoPrint=={VERSION}"));
        leashes.run(&pip)?;
        File::create(ready)?;
    }
    Ok(program)
}

/// A running server.
pub struct OctoPrint<'a> {
    stage: &'a Stage,
    leashes: &'a Leashes,
}

impl<'a> OctoPrint<'a> {
    /// Returns when its virtual printer is ready to print.
    ///
    /// # Errors
    /// It does not start, or the demo ends.
    pub fn start(program: &Path, stage: &'a Stage, leashes: &'a Leashes) -> anyhow::Result<Self> {
        let folder = stage.path("octoprint");
        fs::create_dir(&folder)?;
        fs::write(folder.join("config.yaml"), settings(&stage.key))?;
        let (host, port) = (stage.printer.ip().to_string(), stage.printer.port().to_string());
        let mut command = Command::new(program);
        // Started by root it would otherwise refuse.
        command.args(["serve", "--iknowwhatimdoing", "--host", &host, "--port", &port, "--basedir"]).arg(&folder);
        leashes.serve(&command, File::create(stage.path("octoprint.log"))?)?;
        let server = Self { stage, leashes };
        server.wait_for("a printer that is ready", START, "ready")?;
        Ok(server)
    }

    /// Stores the file, and starts to print it.
    ///
    /// # Errors
    /// The server refuses, or the printer does not begin.
    pub fn print(&self) -> anyhow::Result<()> {
        let border = "a-border-that-no-gcode-has";
        let body = format!(
            "--{border}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{FILE}\"\r\n\
             Content-Type: text/plain\r\n\r\n{}\r\n--{border}--\r\n",
            gcode(PRINT)
        );
        let kind = format!("multipart/form-data; boundary={border}");
        self.asked("POST", "/api/files/local", &kind, body.as_bytes())?;
        let select = json!({ "command": "select", "print": true }).to_string();
        self.asked("POST", &format!("/api/files/local/{FILE}"), "application/json", select.as_bytes())?;
        self.wait_for("the print's beginning", ANSWER, "printing")
    }

    fn wait_for(&self, what: &str, patience: Duration, flag: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Ok(printer) = self.asked("GET", "/api/printer", "text/plain", b"")
                && printer["state"]["flags"][flag] == true
            {
                return Ok(());
            }
            ensure!(!self.leashes.is_over(), "the demo is ending");
            ensure!(begun.elapsed() < patience, "OctoPrint has not got to {what} in {} s", patience.as_secs());
            sleep(LOOK);
        }
    }

    /// One request with the key. It is of HTTP/1.0, whose answers end with the connection.
    fn asked(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> anyhow::Result<Value> {
        let Stage { printer, key, .. } = self.stage;
        let mut stream = TcpStream::connect_timeout(printer, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {printer}\r\nX-Api-Key: {key}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = vec![];
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("OctoPrint does not answer as it should")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "OctoPrint answers {method} {path} with {status}: {}", body.trim());
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

fn settings(key: &str) -> String {
    let unneeded = "softwareupdate, announcements, discovery, tracking, errortracking, achievements, pluginmanager, \
                    backup, firmware_check, file_check, health_check";
    format!(
        "api: {{key: {key}}}\n\
         server: {{firstRun: false, onlineCheck: {{enabled: false}}, pluginBlacklist: {{enabled: false}}}}\n\
         serial: {{autoconnect: true, port: VIRTUAL}}\n\
         plugins:\n  virtual_printer: {{enabled: true}}\n  _disabled: [{unneeded}]\n"
    )
}

/// A spiral, 0.2 mm higher with each turn of four seconds, in steps of a tenth of a second.
fn gcode(seconds: u32) -> String {
    let mut gcode = "G28\nG1 Z0.2 F9000\n".to_owned();
    for step in 0..seconds * 10 {
        let (sine, cosine) = (f64::from(step) * std::f64::consts::TAU / 40.0).sin_cos();
        let (x, y) = (100.0 + 20.0 * cosine, 100.0 + 20.0 * sine);
        let (z, e) = (0.2 + 0.005 * f64::from(step), 0.1 * f64::from(step));
        // Writing to a text does not fail.
        let _ = writeln!(gcode, "G1 X{x:.2} Y{y:.2} Z{z:.3} E{e:.1} F3000\nG4 P100");
    }
    gcode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gcode_takes_its_time_and_rises() {
        let gcode = gcode(8);
        assert_eq!(gcode.matches("G4 P100").count(), 80);
        assert!(gcode.contains("G1 X120.00 Y100.00 Z0.400 E4.0 F3000"), "the second turn begins where the first did");
    }
}
