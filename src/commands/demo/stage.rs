//! What stands ready before the pipelines are read: a folder with the rosters of one camera and one printer, and the
//! environment that names them.
//!
//! Nobody answers at their addresses yet; cameras and printers are looked for until they are there, and so is the judge. So
//! nothing that takes long has to be done before the start. The environment is what pipelines read, and it cannot be
//! changed safely once a program runs: the demo starts itself anew in the right one, in the same process.

use crate::http::Listen;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hidden argument by which the demo finds its stage again.
pub const ARGUMENT: &str = "--stage";
/// The camera's and the printer's name.
pub const PRINTER: &str = "virtual";

/// A folder of this demo, which is removed with the value.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stage {
    folder: PathBuf,
    pub camera: SocketAddr,
    pub printer: SocketAddr,
    /// The printer's API key.
    pub key: String,
    /// Where HTTP is answered: links to pictures lead there.
    http: Option<SocketAddr>,
}

impl Stage {
    /// # Errors
    /// There is no place for files, or no free port.
    pub fn set(listen: Listen) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("jarvis-demo-{}", std::process::id()));
        // It has a key in it.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("{} cannot be made", folder.display()))?;
        let http = match listen {
            Listen::At(address) if address.port() == 0 => Some(SocketAddr::new(address.ip(), free()?.port())),
            Listen::At(address) => Some(address),
            Listen::Nowhere => None,
        };
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
        let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let stage = Self { folder, camera: free()?, printer: free()?, key, http };
        let Self { camera, printer, key, .. } = &stage;
        let view = format!("{{ address: 'http://{camera}/snapshot', printer: {PRINTER}, rate: 1 }}");
        stage.write("cameras.yaml", &format!("{PRINTER}: {view}\n"))?;
        stage.write("printers.yaml", &format!("{PRINTER}: {{ octoprint: 'http://{printer}', key: '{key}' }}\n"))?;
        stage.write("stage.json", &serde_json::to_string(&stage)?)?;
        Ok(stage)
    }

    /// The stage that [`Stage::enter`] has left.
    ///
    /// # Errors
    /// There is none in the folder.
    pub fn found(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("stage.json");
        let text = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let stage: Self = serde_json::from_slice(&text).with_context(|| format!("{} is no stage", file.display()))?;
        Ok(stage)
    }

    /// Starts this program anew, with the stage in its arguments and its environment; returns if that fails.
    pub fn enter(self) -> anyhow::Error {
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return anyhow::Error::from(error).context("this program cannot be found"),
        };
        let mut given = std::env::args_os().skip(1);
        let mut command = Command::new(&program);
        // Behind the command's name, before whatever else is said.
        command.args(given.next()).arg(ARGUMENT).arg(&self.folder).args(given).envs(self.environment());
        anyhow::Error::from(command.exec()).context(format!("{} cannot be started anew", program.display()))
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("JARVIS_CAMERAS", self.path("cameras.yaml").into_os_string()),
            ("JARVIS_PRINTERS", self.path("printers.yaml").into_os_string()),
            ("JARVIS_JUDGE", self.path("judge.json").into_os_string()),
        ];
        variables.extend(self.http.map(|at| ("JARVIS_URL", format!("http://{at}").into())));
        variables
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where what enters is kept while the demo runs: pictures that are evidence have a place, and alerts can be explained.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Where HTTP is to be answered, so that links to pictures are right.
    pub fn listen(&self) -> Listen {
        self.http.map_or(Listen::Nowhere, Listen::At)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let file = self.path(name);
        std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Temporary files that cannot be removed are the system's to clear away.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An address that nobody listens at.
fn free() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_found_again_and_goes_with_its_value() {
        let stage = Stage::set("127.0.0.1:0".parse().unwrap()).unwrap();
        let folder = stage.path("");
        let found = Stage::found(&folder).unwrap();
        assert_eq!((found.camera, found.printer, found.listen()), (stage.camera, stage.printer, stage.listen()));
        assert!(matches!(stage.listen(), Listen::At(address) if address.port() != 0), "links need a port");
        let cameras = std::fs::read_to_string(folder.join("cameras.yaml")).unwrap();
        assert!(cameras.contains(&format!("http://{}/snapshot", stage.camera)), "{cameras}");
        drop(stage);
        assert!(!folder.exists());
        std::mem::forget(found);
    }
}
