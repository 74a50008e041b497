#!/usr/bin/env bash
# Licences, bans and sources of all dependencies, and advisories where their database can be fetched.
# Exits 77 where cargo-deny is missing, unless CARGO_DENY=1 asks to install it.
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_DENY_VERSION="${CARGO_DENY_VERSION:-0.20.2}"

if ! cargo deny --version >/dev/null 2>&1; then
    if [ "${CARGO_DENY:-0}" != 1 ]; then
        echo 'deny: cargo-deny is not installed; `make deny`, or CARGO_DENY=1, installs and runs it' >&2
        exit 77
    fi
    cargo install cargo-deny --locked --version "$CARGO_DENY_VERSION"
fi

cargo deny --locked check --hide-inclusion-graph licenses bans sources

# The database lives in a git repository elsewhere: being offline is no finding.
if cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo deny --locked check --disable-fetch advisories
else
    echo 'deny: the advisory database could not be fetched: ADVISORIES WERE NOT CHECKED' >&2
fi
