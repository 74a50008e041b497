//! `jarvis-simulator`: plays the printers, sensors and doors of a facility over MQTT; `camera` and `pictures` play a
//! camera that looks at a printer.

use anyhow::Context;
use clap::{Parser, ValueEnum};
use jarvis_simulator::broker_url::BrokerUrl;
use jarvis_simulator::camera::{View, show};
use jarvis_simulator::facility::Facility;
use jarvis_simulator::picture::Picture;
use jarvis_simulator::publish::{Stage, now_ms, play};
use jarvis_simulator::script::Script;
use jarvis_simulator::sight;
use jarvis_simulator::world::World;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plays the printers, sensors and doors of a facility over MQTT
#[derive(Parser)]
#[command(name = "jarvis-simulator", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    facility: Playing,
}

#[derive(clap::Subcommand)]
enum Other {
    /// Play a camera: show over HTTP what a printer makes, as if it went wrong
    Camera(Camera),
    /// Draw pictures of a print that went well and of one that did not
    Pictures(Pictures),
}

#[derive(clap::Args)]
struct Camera {
    /// Where `GET /snapshot` is answered
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The OctoPrint that it looks at
    #[arg(long, value_name = "ADDRESS")]
    printer: SocketAddr,
    /// The OctoPrint's API key
    #[arg(long, value_name = "KEY", env = "OCTOPRINT_KEY", hide_env_values = true)]
    key: String,
    /// Which print is seen
    #[arg(long, default_value_t = 1)]
    print: u64,
    /// Seconds of a print after which it turns to spaghetti [default: never]
    #[arg(long, value_name = "SECONDS")]
    fails_after: Option<f64>,
}

#[derive(clap::Args)]
struct Pictures {
    /// The folder that gets `good/` and `bad/`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Which print is seen
    #[arg(long, default_value_t = 1)]
    print: u64,
    /// How many of either kind
    #[arg(long, default_value_t = 10)]
    count: u64,
}

#[derive(clap::Args)]
struct Playing {
    /// Where the broker is: `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`
    #[arg(
        long,
        value_name = "URL",
        env = "JARVIS_MQTT",
        hide_env_values = true,
        default_value = "mqtt://127.0.0.1:1883"
    )]
    broker: BrokerUrl,
    /// Which devices to play
    #[arg(long, value_name = "FILE", default_value = "config/facility.yaml")]
    facility: PathBuf,
    /// Seconds of the facility per second. Messages always carry the time of the clock
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// The same seed gives the same noise, jobs and doors
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// What goes wrong
    #[arg(long, value_enum, default_value_t = ScriptName::Demo)]
    script: ScriptName,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScriptName {
    /// Every two minutes each kind of trouble comes and goes once
    Demo,
    /// Nothing goes wrong
    Calm,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed <= 1000.0 => Ok(speed),
        _ => Err("a number above 0, at most 1000".into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let cli = Cli::parse();
    let played = match cli.other {
        None => run(cli.facility).await,
        Some(Other::Camera(camera)) => camera.play().await,
        Some(Other::Pictures(pictures)) => pictures.draw(),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Camera {
    async fn play(self) -> anyhow::Result<()> {
        let listener = tokio::net::TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", self.listen))?;
        let view = View { print: self.print, fails_after: self.fails_after, printer: self.printer, key: self.key };
        let stop = stop_signal().context("cannot listen for signals")?;
        tokio::select! {
            ended = show(listener, view) => ended.context("the camera has ended"),
            () = stop => Ok(()),
        }
    }
}

impl Pictures {
    fn draw(self) -> anyhow::Result<()> {
        write(&self.folder.join("good"), sight::good(self.print, self.count))?;
        write(&self.folder.join("bad"), sight::bad(self.print, self.count))
    }
}

/// Writes pictures as `000.bmp` and so on.
fn write(folder: &Path, pictures: impl Iterator<Item = Picture>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (n, picture) in pictures.enumerate() {
        let file = folder.join(format!("{n:03}.bmp"));
        std::fs::write(&file, picture.to_bmp()).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

async fn run(cli: Playing) -> anyhow::Result<()> {
    let facility = Facility::read(&cli.facility)?;
    let script = match cli.script {
        ScriptName::Demo => Script::demo(&facility),
        ScriptName::Calm => Script::calm(),
    };
    tracing::info!(
        "{} devices, {} printers, {} doors from {}",
        facility.devices.len(),
        facility.printers.len(),
        facility.doors.len(),
        cli.facility.display()
    );
    let world = World::new(&facility, script, cli.seed, now_ms());
    let client_id = format!("jarvis-simulator-{}", std::process::id());
    let stage = Stage { broker: cli.broker, client_id, speed: cli.speed };
    let stop = stop_signal().context("cannot listen for signals")?;
    let tally = play(world, &stage, stop).await;
    tracing::info!("{} messages published, {} lost while the broker was away or slow", tally.published, tally.lost);
    Ok(())
}

/// Resolves on Ctrl-C, and on SIGTERM where there is such a thing.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
