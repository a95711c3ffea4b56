#!/usr/bin/env bash
# nats-server with config/nats-server.conf and profiled with development keys, all on loopback, data
# under data/. Ends both when one ends or on Ctrl-C. ONCE=1: stops as soon as the service is healthy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly HEALTHY_SECONDS_MAX=30

mkdir -p run
# Passwords of this folder, made once: a letter first, since nats-server reads digits as a number.
if [[ ! -s run/passwords.env ]]; then
    (
        umask 077
        for who in INGRESS EGRESS REQUESTER CONSUMER; do
            printf 'NATS_%s_PASSWORD=p%s\n' "$who" "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
        done >run/passwords.env
    )
fi
set -a
# shellcheck disable=SC1091
source run/passwords.env
set +a

server=$(tools/nats-server.sh)
cargo build --locked --bins

pids=()
stop() {
    # Our own children, the service before the bus.
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
trap stop EXIT
trap 'exit 130' INT TERM

"$server" -c config/nats-server.conf -sd data/nats &
nats=$!
pids=("$nats")

export PROFILE__NATS__INGRESS__PASSWORD=$NATS_INGRESS_PASSWORD
export PROFILE__NATS__EGRESS__PASSWORD=$NATS_EGRESS_PASSWORD
bin=${CARGO_TARGET_DIR:-target}/debug
"$bin/profiled" --dev --config config/development.toml &
service=$!
pids=("$service" "$nats")

if [[ ${ONCE:-} == 1 ]]; then
    for ((i = 0; i < HEALTHY_SECONDS_MAX; i++)); do
        if "$bin/profiled" health --config config/development.toml; then
            echo "healthy"
            exit 0
        fi
        kill -0 "$service" 2>/dev/null || exit 1
        sleep 1
    done
    echo "run.sh: not healthy after $HEALTHY_SECONDS_MAX s" >&2
    exit 1
fi
echo "Passwords of the bus: run/passwords.env. Stop with Ctrl-C."
wait -n
exit 1
