//! `jarvis demo`: a whole facility on this machine. A broker and the pipelines run in this process, the devices in
//! another one; both talk MQTT. Beside them a real OctoPrint makes a virtual print, which goes wrong before a camera.
//! Alerts are printed as they come.

mod alerts;
mod leash;
mod octoprint;
mod print_watch;
mod stage;

use crate::http::Listen;
use crate::live::{self, Scene, Setup};
use crate::project_arguments::{ProjectArguments, written};
use crate::{environment, kinds, log, terminal};
use anyhow::{Context, bail};
use jarvis_runtime::{Control, Kinds, Project};
use print_watch::PrintWatch;
use stage::Stage;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};

/// MQTT's own port; the demo takes the first free one from here on.
const FIRST_PORT: u16 = 1883;
const LAST_PORT: u16 = 1983;

#[derive(clap::Args)]
pub struct Demo {
    #[command(flatten)]
    project: ProjectArguments,
    /// End after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// The broker's port [default: the first free one from 1883 on]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Leave the devices to somebody else, real or not
    #[arg(long)]
    no_simulator: bool,
    /// Print nothing virtual before a camera: JARVIS_CAMERAS and JARVIS_PRINTERS name your own, if there are any
    #[arg(long)]
    no_print_watch: bool,
    /// Where /metrics, `jarvis tap`, `top` and `sql` are answered, or none [default: 127.0.0.1:7470, or a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// What an earlier life of this process has prepared
    #[arg(long, hide = true)]
    stage: Option<PathBuf>,
}

impl Demo {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let stage = match &self.stage {
            _ if self.no_print_watch => None,
            Some(folder) => Some(Stage::found(folder)?),
            None => return Err(Stage::set(self.listen.unwrap_or_else(free_listen))?.enter()),
        };
        let broker = self.broker()?;
        environment::set_broker(broker);
        let kinds = Arc::new(kinds::all());
        let project = self.project.load(&kinds, stage.as_ref().map(Stage::data).as_deref())?;
        if project.is_bounded() {
            bail!("these pipelines read only files that end: `jarvis run` runs them");
        }
        log::quiet();
        live::start_broker(broker)?;
        let simulator = self.simulator()?;
        let has_print = stage.as_ref().is_some_and(|stage| PrintWatch::is_wanted(&project, stage));
        let player = has_print.then(|| simulator_program("--no-print-watch")).transpose()?;
        let words = self.words(&project, broker, has_print);
        let setup = self.setup(kinds, stage.as_ref());
        // They end with this function, whatever comes of the run.
        let (mut stage, mut print_watch) = (stage, None);
        live::run(project, setup, |scene| {
            let simulator = simulator.map(|command| start_simulator(command, scene)).transpose()?;
            terminal::say(&words.shown(scene.http, simulator));
            scene.runtime.spawn(alerts::print(broker));
            if let Some(seconds) = self.seconds {
                scene.runtime.spawn(stop_after(Duration::from_secs(seconds), scene.control.clone()));
            }
            if let Some(player) = player {
                print_watch = stage.take().map(|stage| PrintWatch::begin(stage, player)).transpose()?;
            }
            Ok(())
        })?;
        drop((print_watch, stage));
        Ok(ExitCode::SUCCESS)
    }

    fn setup(&self, kinds: Arc<Kinds>, stage: Option<&Stage>) -> Setup {
        Setup {
            arguments: self.project.clone(),
            kinds,
            workers: 1,
            tick: None,
            data: stage.map(Stage::data),
            sync: None,
            checkpoint: None,
            compact: None,
            sign: None,
            history: None,
            postgres: None,
            listen: stage.map_or_else(|| self.listen.unwrap_or_else(free_listen), Stage::listen),
            watch: true,
        }
    }

    fn broker(&self) -> anyhow::Result<SocketAddr> {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let Some(port) = self.port {
            return Ok(at(port));
        }
        let free = (FIRST_PORT..=LAST_PORT).map(at).find(|address| TcpListener::bind(address).is_ok());
        free.with_context(|| format!("no port from {FIRST_PORT} to {LAST_PORT} is free: choose one with --port"))
    }

    /// The command that plays the devices.
    fn simulator(&self) -> anyhow::Result<Option<Command>> {
        if self.no_simulator {
            return Ok(None);
        }
        let mut command = Command::new(simulator_program("--no-simulator")?);
        let config = self
            .project
            .paths(None)?
            .config
            .context("the simulator plays the devices of facility.yaml: name its folder with --config")?;
        command.arg("--facility").arg(config.join("facility.yaml"));
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        Ok(Some(command))
    }

    fn words(&self, project: &Project, broker: SocketAddr, has_print: bool) -> Words {
        let example = project.compiled.sink_streams.values().next().cloned().unwrap_or_default();
        let pipelines = written(project).count() as u64;
        Words { pipelines, from: self.project.pipelines.clone(), broker, has_print, example }
    }
}

/// The simulator, which stands beside this program. `without` is how to do without it.
fn simulator_program(without: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(format!("jarvis-simulator{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        let path = program.display();
        bail!("{path} is not there: build it with `cargo build -p jarvis-simulator`, or say {without}");
    }
    Ok(program)
}

/// The usual address; if something has it already (another jarvis), any free one.
fn free_listen() -> Listen {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 7470));
    let port = if TcpListener::bind(usual).is_ok() { usual.port() } else { 0 };
    Listen::At(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Gives its process id.
fn start_simulator(mut command: Command, scene: &Scene<'_>) -> anyhow::Result<u32> {
    let _entered = scene.runtime.enter();
    let child = command.kill_on_drop(true).spawn().context("the simulator cannot be started")?;
    let id = child.id().unwrap_or_default();
    scene.runtime.spawn(await_end(child));
    Ok(id)
}

async fn await_end(mut child: Child) {
    // On Ctrl-C both end at once; then nobody is left to read this.
    if let Ok(status) = child.wait().await
        && !status.success()
    {
        terminal::say(&format!("the simulator has ended: {status}"));
    }
}

async fn stop_after(time: Duration, control: tokio::sync::mpsc::Sender<Control>) {
    tokio::time::sleep(time).await;
    terminal::say(&format!("ending after {} s", time.as_secs()));
    // A dataflow that is gone has stopped.
    let _ = control.send(Control::Stop).await;
}

/// What is said at the start.
struct Words {
    pipelines: u64,
    from: Vec<PathBuf>,
    broker: SocketAddr,
    /// Something is printed before a camera.
    has_print: bool,
    /// A stream that is worth a look.
    example: String,
}

impl Words {
    fn shown(&self, http: Option<SocketAddr>, simulator: Option<u32>) -> String {
        let (broker, port) = (self.broker, self.broker.port());
        let from = self.from.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let pipelines = terminal::counted(self.pipelines, "pipeline");
        let mut text = format!("jarvis demo: {pipelines} of {from}\n  broker     mqtt://{broker}, in this process\n");
        text += &match simulator {
            Some(id) => {
                format!("  devices    process {id}: those of facility.yaml; every two minutes each kind of trouble\n")
            }
            None => "  devices    whoever talks to the broker\n".to_owned(),
        };
        if self.has_print {
            text += "  print      a virtual one, which goes wrong before a camera, when OctoPrint has started\n";
        }
        if let Some(http) = http {
            let at = if http.port() == 7470 { String::new() } else { format!(" --at {http}") };
            text += &format!(
                "  look       jarvis top{at}\n             jarvis tap {}{at}\n             http://{http}/metrics\n",
                self.example
            );
        }
        text += &format!("             mosquitto_sub -p {port} -v -t 'jarvis/#'\n  end        Ctrl-C\n");
        text += "Alerts as they come; the first ones take about half a minute:";
        text
    }
}
