#!/usr/bin/env bash
# Brings the shipped docker-compose.yml up, changes a profile over NATS, reads the events, kills the
# service (SIGKILL), starts it again and checks that nothing is lost. Then with the profile `monitoring`: every
# query of the dashboard and of the alerts finds data in that Prometheus. Everything is removed afterwards.
#
# Needs Docker and `docker compose` or docker-compose 1.29. Without a running Docker daemon it starts
# one of its own, which needs root and Debian's docker.io, docker-compose, busybox-static and prometheus. Where
# images cannot be pulled or built it uses stand-ins made of what is here (tools/stand-in-images.sh);
# an override file then changes the names of the images and nothing else. At last the profile `cluster`: a change is
# read while each of its services and each of its nats-servers is away. Prometheus is Debian's then, and what
# stands in for Grafana only says that it is healthy. MONITORING=0: without that part.
#
# PULL=never: stand-ins at once. BINARIES=FOLDER: profiled and profilectl for them, not target/release (those
# of a debug build are over the bound on the image's size).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PULL_SECONDS_MAX=300 HEALTHY_SECONDS_MAX=60 IMAGE_BYTES_MAX=60000000
readonly scratch="${CARGO_TARGET_DIR:-$PWD/target}/compose-test"
readonly override="$scratch/images.yml" edited="$scratch/edited.yml"
image=profile-service
# Any free port: the test itself stays inside the network of the stack.
export NATS_PORT=${NATS_PORT:-0} HTTP_PORT=${HTTP_PORT:-0}
export PROMETHEUS_PORT=${PROMETHEUS_PORT:-0} GRAFANA_PORT=${GRAFANA_PORT:-0}
# Stand-ins for the two variables that only `ctl` takes.
export PROFILE_TOKEN="" PROFILECTL_NATS_PASSWORD=""
daemon=""

say() { printf 'compose-test: %s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    compose logs --tail 30 >&2 || true
    exit 1
}

compose() { "${compose[@]}" --project-name profile-compose-test "${files[@]}" "$@"; }
ctl() { compose run --rm -T "${as[@]}" ctl "$@"; }

ensure_daemon() {
    if docker info >/dev/null 2>&1; then return; fi
    [[ $(id -u) == 0 ]] || { say "no Docker daemon, and starting one needs root" >&2; exit 1; }
    command -v dockerd >/dev/null ||
        { say "no dockerd (Debian: apt-get install docker.io docker-compose busybox-static prometheus)" >&2; exit 1; }
    export DOCKER_HOST="unix://$scratch/docker.sock"
    dockerd --host "$DOCKER_HOST" --data-root "$scratch/docker" --exec-root "$scratch/exec" \
        --pidfile "$scratch/docker.pid" >"$scratch/dockerd.log" 2>&1 &
    daemon=$!
    for ((i = 0; i < 30; i++)); do
        if docker info >/dev/null 2>&1; then return; fi
        kill -0 "$daemon" 2>/dev/null || break
        sleep 1
    done
    tail -5 "$scratch/dockerd.log" >&2
    say "dockerd does not start" >&2
    exit 1
}

ensure_images() {
    if [[ ${PULL:-} != never ]] && timeout "$PULL_SECONDS_MAX" docker pull --quiet nats:2.15-alpine &&
        docker build --tag profile-service .; then
        return
    fi
    say "official images cannot be had here: stand-ins"
    [[ -n ${BINARIES:-} ]] || cargo build --release --locked -p profile -p profilectl
    tools/stand-in-images.sh "$scratch/images" "${BINARIES:-${CARGO_TARGET_DIR:-target}/release}"
    {
        echo "services:"
        printf '  %s: { image: "profile-nats:stand-in" }\n' secrets nats nats-1 nats-2 nats-3
        printf '  %s: { image: "profile-service:stand-in" }\n' keys profile ctl node-1 node-2 node-3
        [[ ${MONITORING:-} == 0 ]] ||
            printf '  %s: { image: "profile-%s:stand-in" }\n' prometheus prometheus grafana grafana
    } >"$override"
    files+=(-f "$override")
    image=profile-service:stand-in
}

await_healthy() { # the service, unless another one is named
    local id
    id=$(compose ps -q "${1:-profile}")
    for ((i = 0; i < HEALTHY_SECONDS_MAX; i++)); do
        [[ $(docker inspect --format '{{.State.Health.Status}}' "$id") != healthy ]] || return 0
        sleep 1
    done
    fail "the service is not healthy after $HEALTHY_SECONDS_MAX s"
}

# `as_user NAME`: the following `ctl` speaks as this user of the bus.
as_user() {
    local password
    password=$(compose exec -T nats cat "/secrets/$1")
    as=(-e "PROFILECTL_NATS_USER=$1" -e "PROFILECTL_NATS_PASSWORD=$password" -e "PROFILE_TOKEN=$token")
}

# `mint ROLE`: a token.
mint() {
    ctl token --key /keys/signing-key.pem --issuer profile-compose --audience profile \
        --sub admin1 --org org1 --role "$1"
}

# Where volumes are mounted in the service's container.
mounts() {
    docker inspect --format '{{range .Mounts}}{{println .Destination}}{{end}}' "$(compose ps -q profile)" |
        sort | tr -s '\n' ' '
}

# `profiled.toml`, read as the service's user.
configuration() {
    compose run --rm -T --user 10001:10001 --entrypoint cat secrets /secrets/profiled.toml
}

# config/compose.toml with one more line, in the place of the shipped one.
edit_configuration() {
    { cat config/compose.toml && printf '\n[telemetry]\nfilter = "debug"\n'; } >"$scratch/edited.toml"
    printf 'services:\n  secrets:\n    volumes: ["%s:/config/compose.toml:ro"]\n' "$scratch/edited.toml" \
        >"$edited"
    files+=(-f "$edited")
}

# The versions of the first N events of the user, in a line.
event_versions() {
    as_user consumer
    ctl --json watch user1 --all --count "$1" |
        grep -o '"userversion": *"\?[0-9]*' | grep -o '[0-9]*$' | tr '\n' ' '
}

nick_name_is() {
    as_user requester
    ctl --json get user1 | grep -q "\"nickName\": *\"$1\"" || fail "the nick name is not $1"
}

# `published SERVICE PORT`: the address on this machine.
published() { printf 'http://%s' "$(compose port "$1" "$2")"; }

# The same queries as `make monitoring-test`, with a client in a container of its own for each request.
monitoring() {
    compose --profile monitoring up -d
    await_healthy
    local prometheus grafana
    prometheus=$(published prometheus 9090)
    grafana=$(published grafana 3000)
    as_user requester
    {
        printf 'profilectl() { '
        printf '%q ' "${compose[@]}" --project-name profile-compose-test "${files[@]}" run --rm -T "${as[@]}" ctl
        printf '"$@" </dev/null; }\n'
    } >"$scratch/env.sh"
    python3 tools/monitoring_queries.py "$prometheus" "$scratch/env.sh" || fail "a query finds no data"
    python3 - "$prometheus" "$grafana" <<'EOF' || fail "Prometheus or Grafana does not answer as it should"
import json, sys, urllib.request

def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)

prometheus, grafana = sys.argv[1:]
rules = [rule for group in read(f"{prometheus}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
targets = read(f"{prometheus}/api/v1/targets")["data"]["activeTargets"]
assert rules and all(rule["health"] in ("ok", "unknown") for rule in rules), rules
assert [target["health"] for target in targets] == ["up"], targets
assert read(f"{grafana}/api/health")["database"] == "ok"
print(f"{len(rules)} alerts are loaded")
EOF
    compose exec -T grafana cat /etc/grafana/dashboards/profile-service.json |
        cmp - config/monitoring/grafana/dashboards/profile-service.json || fail "Grafana has no dashboard"
}

# Three services on three nats-servers; every one of them goes away once.
cluster() {
    compose stop profile nats
    compose --profile cluster up -d node-1 node-2 node-3
    local number
    for number in 1 2 3; do await_healthy "node-$number"; done
    token=$(mint ORG_OWNER)
    as_clustered 1
    ctl create --user-id user2 --user-name u2 --first-name Ada --last-name Byron --email ada@example.com
    for number in 1 2 3; do
        docker kill --signal KILL "$(compose ps -q "nats-$number")" "$(compose ps -q "node-$number")" >/dev/null
        as_clustered $((number % 3 + 1))
        until_done ctl patch user2 --nick-name "nick$number" --idempotency-key "key$number"
        until_done nick_name_of_user2_is "nick$number"
        compose --profile cluster up -d "node-$number"
        await_healthy "node-$number"
    done
}

nick_name_of_user2_is() { ctl --json get user2 | grep -q "\"nickName\": *\"$1\""; }

# The following `ctl` is the requester at this nats-server of the cluster.
as_clustered() {
    local password
    password=$(compose exec -T "nats-$1" cat /secrets/requester)
    as=(-e "NATS_URL=nats://nats-$1:4222" -e PROFILECTL_NATS_USER=requester -e "PROFILECTL_NATS_PASSWORD=$password"
        -e "PROFILE_TOKEN=$token")
}

# While a new leader is elected an answer may be "later".
until_done() {
    local tries
    for ((tries = 0; tries < HEALTHY_SECONDS_MAX; tries++)); do
        if "$@"; then return 0; fi
        sleep 1
    done
    fail "not within $HEALTHY_SECONDS_MAX tries: $*"
}

clean_up() {
    if docker info >/dev/null 2>&1; then compose --profile cluster --profile monitoring --profile tools down --volumes --remove-orphans >/dev/null 2>&1 || true; fi
    if [[ -n $daemon ]]; then
        kill "$daemon" && wait "$daemon" || true
    fi
    rm -rf "$scratch"
}

rm -rf "$scratch"
mkdir -p "$scratch"
files=(-f docker-compose.yml)
as=()
token=""
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
trap clean_up EXIT
trap 'exit 130' INT TERM
ensure_daemon
ensure_images

size=$(docker image inspect --format '{{.Size}}' "$image")
say "size of the service's image: $size bytes"
((size < IMAGE_BYTES_MAX)) || fail "the image takes more than $IMAGE_BYTES_MAX bytes"
say "one command"
compose up -d
await_healthy

say "the service sees the public key and not the private one"
[[ $(mounts) =~ ^" "?"/data /public-keys /secrets "$ ]] || fail "the service has other mounts: $(mounts)"

say "a change over NATS and its events"
token=$(mint ORG_OWNER)
as_user requester
ctl create --user-id user1 --user-name u1 --first-name Ada --last-name Byron --email ada@example.com
ctl update user1 --first-name Ada --last-name Lovelace --nick-name first
[[ $(event_versions 2) == "1 2 " ]] || fail "the events of versions 1 and 2 did not come"

say "kill -9 of the service, and start"
docker kill --signal KILL "$(compose ps -q profile)" >/dev/null
compose start profile
await_healthy
nick_name_is first
ctl patch user1 --nick-name second
nick_name_is second
[[ $(event_versions 3) == "1 2 3 " ]] || fail "events were lost, doubled or out of order"

say "the same events out of the log"
token=$(mint IAM_OWNER)
as_user consumer
[[ $(ctl replay --limit 1 --all | grep -o 'version [0-9]*' | tr '\n' ' ') == "version 1 version 2 version 3 " ]] ||
    fail "replay does not print the three events"
[[ $(ctl replay --after 3 2>&1) == *"position 3, the end of the log"* ]] ||
    fail "replay does not end with its position"

say "a second start leaves passwords, keys and data, and reads the edited configuration"
edit_configuration
compose down
compose up -d
await_healthy
nick_name_is second
configuration | grep -q '^filter = "debug"$' || fail "an edit of config/compose.toml was not read"
if [[ ${MONITORING:-} != 0 ]]; then
    say "lines move: every query of the dashboard and of the alerts, in the stack's own Prometheus"
    token=$(mint ORG_OWNER)
    monitoring
fi
say "several nodes: each service and each nats-server goes away once"
cluster
say "passed"
