#!/usr/bin/env bash
# Builds and runs jarvis with a broker of its own, the shipped pipelines and a simulated facility, until Ctrl-C or for
# DEMO_SECONDS. Whatever it starts, it ends.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/jarvis/target}"

say() { printf 'demo: %s\n' "$*"; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The port asked for, or the first free one from MQTT's own on: a broker may run here already.
free_port() {
    local port=${DEMO_PORT:-1883}
    while listens "$port"; do
        if [ -n "${DEMO_PORT:-}" ]; then
            say "something listens on port $port already; set DEMO_PORT to a free one" >&2
            return 1
        fi
        port=$((port + 1))
    done
    echo "$port"
}

jarvis='' simulator=''

finish() {
    trap '' INT TERM
    local pid tries
    for pid in $simulator $jarvis; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in $simulator $jarvis; do
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        kill -KILL "$pid" 2>/dev/null && say "process $pid had to be killed"
        wait "$pid" 2>/dev/null || true
    done
    return 0
}

# Fails if one of the two has ended by itself.
both_run() {
    if ! kill -0 "$jarvis" 2>/dev/null; then
        say 'jarvis has ended by itself; what it said is above' >&2
        return 1
    elif [ -n "$simulator" ] && ! kill -0 "$simulator" 2>/dev/null; then
        say 'the simulator has ended by itself; what it said is above' >&2
        return 1
    fi
}

scripts/setup.sh build
say 'building (the first time takes some minutes)'
cargo build --locked --package jarvis --package jarvis-simulator

port=$(free_port)
trap finish EXIT
trap 'echo; say "ending"; exit 0' INT TERM

"$CARGO_TARGET_DIR/debug/jarvis" demo --port "$port" &
jarvis=$!
until listens "$port"; do
    both_run
    sleep 0.1
done
RUST_LOG="${RUST_LOG:-warn,jarvis_simulator=info}" \
    "$CARGO_TARGET_DIR/debug/jarvis-simulator" --broker "mqtt://127.0.0.1:$port" --facility config/facility.yaml &
simulator=$!

cat <<TEXT
demo: running
  jarvis      process $jarvis: MQTT broker on mqtt://127.0.0.1:$port, the pipelines of pipelines/, the tables of config/
  simulator   process $simulator: the devices of config/facility.yaml, and every two minutes one of each trouble
  look        mosquitto_sub -p $port -v -t 'jarvis/alerts/#'        alerts, raised and cleared (package mosquitto-clients)
              mosquitto_sub -p $port -v -t 'jarvis/facility/#'      what there is and what goes on, per zone
              $CARGO_TARGET_DIR/debug/jarvis tap door_open.left_open
  change      config/limits.csv or a file in pipelines/: it counts as soon as it is saved
  end         Ctrl-C
The first alerts come after about half a minute.
TEXT

started=$SECONDS
while both_run; do
    if [ -n "${DEMO_SECONDS:-}" ] && [ $((SECONDS - started)) -ge "$DEMO_SECONDS" ]; then
        say "ending after $DEMO_SECONDS s"
        exit 0
    fi
    # A short sleep, so that a signal is answered soon.
    sleep 0.5
done
exit 1
