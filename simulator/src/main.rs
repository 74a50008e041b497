//! `jarvis-simulator`: plays the printers, sensors and doors of a facility over MQTT.

use anyhow::Context;
use clap::{Parser, ValueEnum};
use jarvis_simulator::broker_url::BrokerUrl;
use jarvis_simulator::facility::Facility;
use jarvis_simulator::publish::{Stage, now_ms, play};
use jarvis_simulator::script::Script;
use jarvis_simulator::world::World;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// Plays the printers, sensors and doors of a facility over MQTT
#[derive(Parser)]
#[command(name = "jarvis-simulator", version)]
struct Cli {
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
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
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
