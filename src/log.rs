//! What the engine says while it works, on the standard error.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Says warnings only, for commands that end by themselves. `RUST_LOG` overrides it.
pub fn quiet() {
    start("warn,rumqttd=off,rumqttd::router=off");
}

/// Says also what is connected, lost and reloaded.
pub fn chatty() {
    start(
        "warn,rumqttd=off,rumqttd::router=off,jarvis=info,jarvis_runtime=info,jarvis_sources=info,jarvis_sinks=info,jarvis_lineage=info",
    );
}

fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
    debug_assert!(started.is_ok(), "the log is started once");
}
