#!/usr/bin/env bash
# Every check there is. A step that fails does not keep the others from running; the last line counts them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/jarvis/target}"
export RUST_BACKTRACE="${RUST_BACKTRACE:-1}"
# Debian's mosquitto is in a folder that not every user has in the path.
export PATH="$PATH:/usr/sbin:/opt/homebrew/sbin"

passed=0 failed=0 failures='' skipped=''

# step NAME COMMAND..: runs it and counts it. Status 77 means that it could not be tried.
step() {
    local name=$1 status=0 started=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    "$@" || status=$?
    local took=$((SECONDS - started))
    case $status in
    0) passed=$((passed + 1)) && printf '<== %s: passed in %d s\n' "$name" "$took" ;;
    77) skipped="$skipped, $name" && printf '<== %s: SKIPPED\n' "$name" ;;
    *)
        failed=$((failed + 1))
        failures="$failures, $name"
        printf '<== %s: FAILED in %d s (status %d)\n' "$name" "$took" "$status"
        ;;
    esac
    return $status
}

# Steps that run what was built.
built() {
    if [ "$is_built" = no ]; then
        failed=$((failed + 1))
        failures="$failures, $1"
        printf '\n==> %s\n<== %s: FAILED, it was not built\n' "$1" "$1"
        return 1
    fi
    step "$@"
}

tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --no-fail-fast
    else
        cargo test --workspace --locked --lib --bins --tests
    fi
}

docs() { RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps --locked; }

demo() {
    local out status=0
    out=$(DEMO_SECONDS="${DEMO_TEST_SECONDS:-45}" scripts/demo.sh 2>&1) || status=$?
    if [ $status = 0 ] && grep -q 'jarvis/alerts/' <<<"$(grep -v mosquitto_sub <<<"$out")"; then
        return 0
    fi
    printf '%s\nthe demo ended with status %d, or raised no alert\n' "$out" "$status"
    return 1
}

jarvis="$CARGO_TARGET_DIR/debug/jarvis"

step 'setup' scripts/setup.sh build test
step 'format' cargo fmt --all --check
is_built=no
step 'build' cargo build --workspace --all-targets --locked && is_built=yes
built 'tests' tests
built 'doc tests' cargo test --workspace --doc --locked
built 'shipped pipelines: check' "$jarvis" check pipelines
built 'shipped pipelines: test' "$jarvis" test pipelines
built 'demo' demo
step 'clippy' cargo clippy --workspace --all-targets --locked -- -D warnings
step 'docs' docs
step 'dependencies' scripts/deny.sh

printf '\n%d s\n' "$SECONDS"
[ -z "$skipped" ] || printf 'SKIPPED: %s\n' "${skipped#, }"
[ -z "$failures" ] || printf 'FAILED: %s\n' "${failures#, }"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
