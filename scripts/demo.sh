#!/usr/bin/env bash
# Builds and runs a whole facility on this machine: a broker, the shipped pipelines, simulated devices and a print that goes
# wrong, until Ctrl-C or for DEMO_SECONDS. `jarvis demo` starts what it needs, and ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/jarvis/target}"

scripts/setup.sh build
# Only the print needs Python; `jarvis demo` says what it lacks, and goes on without.
scripts/setup.sh demo || true
echo 'demo: building (the first time takes some minutes)'
cargo build --locked --package jarvis --package jarvis-simulator
exec "$CARGO_TARGET_DIR/debug/jarvis" demo ${DEMO_SECONDS:+--seconds "$DEMO_SECONDS"} ${DEMO_PORT:+--port "$DEMO_PORT"}
