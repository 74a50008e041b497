//! W4: from a reading's publication on MQTT to the alert that it causes, through jarvis and through the twin.

use super::program::{Programs, Running};
use crate::mqtt::{Address, Broker, Latencies, Load, measure};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub programs: Programs,
    pub out: PathBuf,
    /// `mqtt://host:port`; without it a Mosquitto is started.
    pub broker: Option<String>,
    pub rate: u32,
    pub seconds: u32,
    /// Workers of jarvis.
    pub workers: usize,
}

/// Measures the broker's own floor, the twin and jarvis one after the other, and prints a table.
pub fn run(plan: &Plan) -> Result<()> {
    fs::create_dir_all(&plan.out)?;
    let out = plan.out.canonicalize()?;
    let started = plan.broker.is_none().then(|| Broker::start(&out)).transpose()?;
    let url = started.as_ref().map(|broker| &broker.url).or(plan.broker.as_ref()).context("no broker")?;
    let address = Address::parse(url)?;
    let load =
        Load { rate: plan.rate, seconds: plan.seconds, topic: "bench/temperature/{tool}", answers: "bench/alerts/#" };
    println!(
        "| way | answers | unanswered | p50 ms | p99 ms | max ms | cpu s | peak MB |\n|---|---|---|---|---|---|---|---|"
    );

    let echo = Load { topic: "bench/echo/{tool}", answers: "bench/echo/#", ..load.clone() };
    print("broker alone", &measure(&address, &echo)?, None);

    let mut twin = Command::new(&plan.programs.twin);
    twin.args(["w4", url]);
    through(plan, "twin", twin, &address, &load)?;
    let data = out.join("w4.data");
    for (way, log) in [("jarvis", false), ("jarvis with a log", true)] {
        let Some(mut jarvis) = plan.programs.jarvis("w4", plan.workers, &out, &out) else { continue };
        jarvis.env("BENCH_MQTT", url);
        if log {
            if data.exists() {
                fs::remove_dir_all(&data)?;
            }
            jarvis.arg("--data").arg(&data);
        }
        through(plan, way, jarvis, &address, &load)?;
    }
    Ok(())
}

fn through(plan: &Plan, name: &str, program: Command, address: &Address, load: &Load) -> Result<()> {
    let log = plan.out.join(format!("w4.{}.log", name.replace(' ', "-")));
    let running = Running::start(program, &log)?;
    let said = || format!("{name} said:\n{}", fs::read_to_string(&log).unwrap_or_default());
    let latencies = measure(address, load).with_context(said)?;
    let usage = running.stop().with_context(said)?;
    print(name, &latencies, Some((usage.cpu.as_secs_f64(), usage.peak_mb)));
    Ok(())
}

fn print(way: &str, latencies: &Latencies, usage: Option<(f64, f64)>) {
    let usage = usage.map_or("– | –".to_owned(), |(cpu, peak)| format!("{cpu:.2} | {peak:.0}"));
    println!(
        "| {way} | {} | {} | {:.3} | {:.3} | {:.3} | {usage} |",
        latencies.answered.len(),
        latencies.unanswered,
        latencies.percentile(0.5),
        latencies.percentile(0.99),
        latencies.percentile(1.0),
    );
}
