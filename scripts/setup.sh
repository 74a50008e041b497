#!/usr/bin/env bash
# Installs what is missing to build (`setup.sh build`), for the print of the demo (`setup.sh demo`) and to test (`setup.sh
# build test`). Asks for nothing, and does nothing where nothing is missing.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

# A command that must be there, the Debian package that has it, the Homebrew formula that has it.
needed_for() {
    case "$1" in
    build) printf '%s\n' 'cc build-essential -' 'pkg-config pkg-config pkg-config' \
        'gstreamer-app-1.0.pc libgstreamer-plugins-base1.0-dev gstreamer' \
        'libgstvideoconvertscale.so gstreamer1.0-plugins-base -' 'libgstrtsp.so gstreamer1.0-plugins-good -' \
        'libgstvideoparsersbad.so gstreamer1.0-plugins-bad -' 'libgstlibav.so gstreamer1.0-libav -' ;;
    demo) printf '%s\n' 'python3-venv python3-venv -' 'pip3 python3-pip python' ;;
    test) printf '%s\n' 'gst-launch-1.0 gstreamer1.0-tools gstreamer' 'libgstx264.so gstreamer1.0-plugins-ugly -' \
        'GstRtspServer-1.0.typelib gir1.2-gst-rtsp-server-1.0 -' 'python3-gi python3-gi -' 'python3-venv python3-venv -' 'mosquitto mosquitto mosquitto' 'mosquitto_sub mosquitto-clients mosquitto' 'openssl openssl openssl' 'psql postgresql-client libpq' 'pip3 python3-pip python' 'npm npm node' ;;
    *)
        say "there is nothing to set up for '$1': say build, demo or test"
        exit 2
        ;;
    esac
}

# Debian puts servers in /usr/sbin, which not every user has in the path; Homebrew does too.
has_command() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/usr/local/sbin/$1" ] || [ -x "/opt/homebrew/sbin/$1" ]; }

# A command, a library that pkg-config knows (*.pc), a plugin of GStreamer (*.so), a description of one (*.typelib), or a
# module of the system's Python.
has() {
    case "$1" in
    *.pc) pkg-config --exists "${1%.pc}" 2>/dev/null ;;
    *.so) [ "$(uname -s)" = Darwin ] || ls /usr/lib/*/gstreamer-1.0/"$1" >/dev/null 2>&1 ;;
    *.typelib) [ "$(uname -s)" = Darwin ] || ls /usr/lib/*/girepository-1.0/"$1" >/dev/null 2>&1 ;;
    python3-gi) [ "$(uname -s)" = Darwin ] || /usr/bin/python3 -c 'import gi' 2>/dev/null ;;
    python3-venv) python3 -c 'import ensurepip' 2>/dev/null ;;
    *) has_command "$1" ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot install packages as $(id -un) without sudo; run as root: $*"
        exit 1
    fi
}

if ! command -v cargo >/dev/null; then
    say 'Rust is missing: install it from https://rustup.rs and open a new shell'
    exit 1
fi

debian='' formulae='' missing=''
for purpose in "${@:-build}"; do
    lines=$(needed_for "$purpose")
    while read -r command package formula; do
        has "$command" && continue
        missing="$missing $command"
        debian="$debian $package"
        [ "$formula" = - ] || formulae="$formulae $formula"
    done <<<"$lines"
done
[ -n "$missing" ] || exit 0

case "$(uname -s)" in
Darwin)
    say "missing:$missing"
    [ -z "$formulae" ] || say "install with: brew install$formulae"
    has cc || say 'install a compiler with: xcode-select --install'
    exit 1
    ;;
Linux)
    if ! command -v apt-get >/dev/null; then
        say "missing:$missing (on Debian the packages$debian); install them and try again"
        exit 1
    fi
    say "installing$debian"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    # The names are ours, one word each. sudo drops the environment, hence env.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $debian
    ;;
*)
    say "missing:$missing; install them and try again"
    exit 1
    ;;
esac
