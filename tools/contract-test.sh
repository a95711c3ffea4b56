#!/usr/bin/env bash
# Holds messages/openapi.json against the running service with Schemathesis: a real nats-server, the real
# binary with a development key, free ports, two users. What is asked and what may be answered stands in
# tests/contract/schemathesis.toml.
#
# Schemathesis and what it needs come from PyPI, pinned by hash (tools/contract-test.requirements.txt), into
# target/tools; nothing is installed elsewhere. EXAMPLES=N: requests per operation and phase. SEED=N replays.
# BINARIES=FOLDER: profiled and profilectl, not target/debug.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly target="${CARGO_TARGET_DIR:-$PWD/target}"
readonly requirements=tools/contract-test.requirements.txt
readonly READY_SECONDS_MAX=30
fail() { printf 'contract-test: %s\n' "$*" >&2; exit 1; }

# A folder for this Python and these versions. `pip --target` works without the module venv.
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "no python3"
digest=$(cksum <"$requirements" | cut -d ' ' -f 1)
readonly packages="$target/tools/contract-test-$python-$digest"
if [ ! -d "$packages" ]; then
  mkdir -p "$target/tools"
  fetched=$(mktemp -d "$target/tools/fetch.XXXXXX")
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
    --only-binary=:all: --require-hashes --target "$fetched" -r "$requirements" || fail "pip could not fetch Schemathesis (its words are above)"
  mv -T "$fetched" "$packages" 2>/dev/null || rm -rf "$fetched"
fi

server=$(tools/nats-server.sh)
[ -n "${BINARIES:-}" ] || cargo build --quiet --locked --bin profiled --bin profilectl
readonly bin="${BINARIES:-$target/debug}"

scratch=$(mktemp -d)
children=()
stop() {
  trap - EXIT INT TERM
  for ((i = ${#children[@]} - 1; i >= 0; i--)); do
    kill -TERM "${children[i]}" 2>/dev/null || true
    wait "${children[i]}" 2>/dev/null || true
  done
  rm -rf "$scratch"
}
trap stop EXIT
trap 'stop; exit 130' INT TERM

# `await WHAT PID COMMAND...`: prints what the command prints once it succeeds.
await() {
  local what=$1 pid=$2
  shift 2
  for ((i = 0; i < READY_SECONDS_MAX * 10; i++)); do
    "$@" 2>/dev/null && return
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$scratch"/*.log >&2
  fail "$what did not come up within $READY_SECONDS_MAX s"
}

for name in INGRESS EGRESS REQUESTER CONSUMER; do export "NATS_${name}_PASSWORD=p-$name"; done
"$server" -c config/nats-server.conf -p -1 -m -1 -sd "$scratch/nats" >"$scratch/nats-server.log" 2>&1 &
children+=($!)
nats_address() { grep -o 'client connections on 127.0.0.1:[0-9]*' "$scratch/nats-server.log" | cut -d ' ' -f 4 | grep .; }
NATS_URL=nats://$(await nats-server "${children[0]}" nats_address)
export NATS_URL

export PROFILE__NATS__URLS="[\"$NATS_URL\"]" PROFILE__DATA_DIR="$scratch/data"
export PROFILE__NATS__INGRESS__USER=service_ingress PROFILE__NATS__EGRESS__USER=service_egress
export PROFILE__NATS__INGRESS__PASSWORD=$NATS_INGRESS_PASSWORD
export PROFILE__NATS__EGRESS__PASSWORD=$NATS_EGRESS_PASSWORD
export PROFILE__HTTP__LISTEN=127.0.0.1:0 PROFILE__TELEMETRY__FORMAT=json
"$bin/profiled" --dev >"$scratch/profiled.log" 2>&1 &
children+=($!)
address() { grep -o '"http":"[^"]*"' "$scratch/profiled.log" | cut -d '"' -f 4 | grep .; }
CONTRACT_URL=http://$(await profiled "${children[1]}" address)
export CONTRACT_URL

# The caller itself and the user of the document's examples: so that reads find somebody.
PROFILE_TOKEN=$("$bin/profilectl" token --dev --data-dir "$scratch/data" --sub operator --org zoo --role ORG_OWNER)
export PROFILE_TOKEN PROFILECTL_NATS_USER=requester PROFILECTL_NATS_PASSWORD=$NATS_REQUESTER_PASSWORD
for user in operator 42; do
  "$bin/profilectl" create --user-id "$user" --user-name "$user" --first-name Gigi --last-name Giraffe \
    --email gigi@zoo.example >/dev/null
done

seed=${SEED:-$RANDOM}
printf 'contract-test: SEED=%s replays\n' "$seed"
status=0
PYTHONPATH="$packages" HYPOTHESIS_STORAGE_DIRECTORY="$scratch/hypothesis" \
  python3 -m schemathesis.cli --config-file tests/contract/schemathesis.toml run \
  "$CONTRACT_URL/openapi.json" --max-examples "${EXAMPLES:-25}" --seed "$seed" --no-color || status=$?

# Whatever was sent: the service lives, and nothing in it panicked.
kill -0 "${children[1]}" 2>/dev/null || fail "profiled ended"
! grep -q 'panicked' "$scratch/profiled.log" || { grep panicked "$scratch/profiled.log" >&2; status=1; }
exit "$status"
