//! Debian's Mosquitto, started for one run.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A broker on a free port of this machine, ended when dropped. It has Mosquitto's own settings.
pub struct Broker {
    child: Child,
    pub url: String,
}

/// Where Debian puts it, which is not on every user's path.
const PLACES: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

impl Broker {
    /// Starts a broker; its settings and log go to `folder`.
    pub fn start(folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let settings = folder.join("mosquitto.conf");
        fs::write(&settings, format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"))?;
        let log = folder.join("mosquitto.log");
        let child = start(&settings, &log)?;
        let broker = Broker { child, url: format!("mqtt://127.0.0.1:{port}") };
        broker.wait(port).with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(broker)
    }

    fn wait(&self, port: u16) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > Duration::from_secs(5) {
                bail!("mosquitto does not listen on port {port}");
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn start(settings: &PathBuf, log: &Path) -> Result<Child> {
    for place in PLACES {
        let output = File::create(log)?;
        let mut command = Command::new(place);
        command.arg("-c").arg(settings).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        match command.spawn() {
            Ok(child) => return Ok(child),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("starting {place}")),
        }
    }
    bail!("mosquitto is not installed: apt-get install mosquitto, or name a broker with --broker mqtt://host:port")
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
