#!/usr/bin/env bash
# Several nodes in one go: three nats-servers that replicate the commit log, three services on it, an update at
# the first service, the read of it at the other two, the events received by a subscriber. Stays up afterwards
# unless ONCE=1. docs/scale-out.md tells what a real installation needs beside it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly NODES="1 2 3"
port=${NATS_PORT:-4250}
http_port=${HTTP_PORT:-8090}
run=${RUN_DIR:-run-cluster}
. tools/session.sh

command -v curl >/dev/null || fail "No curl: it asks each service by its own address."
server=$(tools/nats-server.sh)
cargo build --quiet --locked --bin profiled --bin profilectl ||
  fail "The build failed. It needs the Rust toolchain of rust-toolchain.toml and a C compiler (cc)."
bin=${CARGO_TARGET_DIR:-$PWD/target}/debug
lock_run "make run-cluster RUN_DIR=run2 NATS_PORT=4350 HTTP_PORT=8190"
read_passwords

# Of server N: PORT+N for clients, +10 for the other servers, +20 for monitoring.
at() { printf 'nats://127.0.0.1:%s' "$((port + $1))"; }
urls="$(at 1),$(at 2),$(at 3)"
advice="Look at the files $run/*.log. If one of the ports $((port + 1)) to $((port + 23)) or $((http_port + 1)) to $((http_port + 3)) is taken:
  make run-cluster NATS_PORT=4350 HTTP_PORT=8190"

set -m
for n in $NODES; do
  "$server" -c config/nats-cluster.conf -n "nats-$n" -p "$((port + n))" -m "$((port + 20 + n))" -sd "$run/nats-$n" \
    --cluster_name profile --cluster "$(at $((10 + n)))" --routes "$(at 11),$(at 12),$(at 13)" \
    >"$run/nats-$n.log" 2>&1 &
  children+=($!)
done

# One set of keys for all services, and one configuration; what differs stands in the environment.
"$bin/profilectl" token init-keys --out "$run/keys" --public-out "$run/public-keys" >/dev/null
cat >"$run/profiled.toml" <<EOF
[nats]
urls = ["${urls//,/\", \"}"]

[commit_log]
engine = "jetstream"
replicas = 3
monitoring_urls = ["http://127.0.0.1:$((port + 21))", "http://127.0.0.1:$((port + 22))", "http://127.0.0.1:$((port + 23))"]

[relay]
replicas = 3
# Set aside on the disk by each nats-server; by default it is 10 GiB.
max_bytes = 268_435_456

[[auth.issuers]]
issuer = "profile-cluster"
audiences = ["profile"]
algorithms = ["EdDSA"]
jwks_file = "$run/public-keys/jwks.json"
EOF
for n in $NODES; do
  PROFILE__DATA_DIR="$run/data-$n" PROFILE__HTTP__LISTEN="127.0.0.1:$((http_port + n))" \
    "$bin/profiled" --config "$run/profiled.toml" >"$run/profiled-$n.log" 2>&1 &
  children+=($!)
done
set +m

export NATS_URL=$urls
for n in $NODES; do
  ready=
  for _ in $(seq 300); do
    for child in "${children[@]}"; do
      kill -0 "$child" 2>/dev/null || { tail -qn 2 "$run"/*.log >&2; fail "One of the processes ended. $advice"; }
    done
    if PROFILE__DATA_DIR="$run/data-$n" "$bin/profiled" --config "$run/profiled.toml" health >/dev/null 2>&1; then
      ready=1
      break
    fi
    sleep 0.2
  done
  [ "$ready" ] || fail "Service $n did not get ready within a minute. $advice"
done

PROFILE_TOKEN=$("$bin/profilectl" token --key "$run/keys/signing-key.pem" --issuer profile-cluster --audience profile \
  --sub operator --org zoo --role ORG_OWNER)
export PROFILE_TOKEN
user=gigi-$(date +%s)
watch_two_events "$user"

ask() { # service, method, path, body
  say "service $1: $2 $3"
  [ -z "${4:-}" ] || printf '%s\n' "$4"
  curl --silent --show-error --fail-with-body --max-time 20 -X "$2" -H "Authorization: Bearer $PROFILE_TOKEN" \
    -H 'Content-Type: application/json' ${4:+--data "$4"} "http://127.0.0.1:$((http_port + $1))$3" |
    tee "$run/answer.json" || fail "The request failed. $advice"
  printf '\n'
}
ask 1 POST /v2/users/human \
  "{\"userId\":\"$user\",\"username\":\"$user\",\"organization\":{\"orgId\":\"zoo\"},\"profile\":{\"givenName\":\"Gigi\",\"familyName\":\"Giraffe\"},\"email\":{\"email\":\"gigi@zoo.example\",\"isVerified\":true}}"
ask 1 PUT "/management/v1/users/$user/profile" \
  '{"firstName":"Gigi","lastName":"Giraffe","displayName":"Gigi G","preferredLanguage":"en","gender":"GENDER_FEMALE"}'
for n in 2 3; do
  ask "$n" GET "/management/v1/users/$user/profile"
  grep -q '"displayName": *"Gigi G"' "$run/answer.json" || fail "Service $n does not know of the change. $advice"
done
show_two_events "$user"

[ "${ONCE:-}" != 1 ] || { say "done"; exit 0; }
say "Three services are up; Ctrl-C stops them. Stop one of them, or one nats-server, and go on at another:"
printf '  %s\n' "kill -9 ${children[3]}   # service 1" "kill -9 ${children[0]}   # nats-server 1" \
  "curl -H 'Authorization: Bearer $PROFILE_TOKEN' http://127.0.0.1:$((http_port + 2))/management/v1/users/$user/profile"
interrupted=0
while true; do
  kill -0 "${children[4]}" 2>/dev/null || fail "Service 2 ended. $advice"
  sleep 1
done
