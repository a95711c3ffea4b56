#!/usr/bin/env bash
# The main job in one go: a nats-server, the service on embedded storage, one create and one update by
# request-reply, the events received by a subscriber. Stays up afterwards unless ONCE=1.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${NATS_PORT:-4222}
http_port=${HTTP_PORT:-8080}
run=${RUN_DIR:-run}
. tools/session.sh

server=$(tools/nats-server.sh)
cargo build --quiet --locked --bin profiled --bin profilectl ||
  fail "The build failed. It needs the Rust toolchain of rust-toolchain.toml and a C compiler (cc)."
bin=${CARGO_TARGET_DIR:-$PWD/target}/debug
lock_run "make run RUN_DIR=run2 NATS_PORT=4333 HTTP_PORT=8081"
read_passwords

# In process groups of their own: Ctrl-C then reaches this script alone, which stops the service before
# the server that the service still needs for its last answers.
set -m
# -m -1: any free port for monitoring, so that NATS_PORT is the only one to choose.
"$server" -c config/nats-server.conf -p "$port" -m -1 -sd "$run/nats" >"$run/nats-server.log" 2>&1 &
children+=($!)
export PROFILE__NATS__URLS="[\"nats://127.0.0.1:$port\"]"
export PROFILE__DATA_DIR="$run/data" PROFILE__HTTP__LISTEN=127.0.0.1:$http_port
"$bin/profiled" --dev >"$run/profiled.log" 2>&1 &
children+=($!)
set +m

export NATS_URL=nats://127.0.0.1:$port
advice="Look at $run/nats-server.log and $run/profiled.log. If port $port or $http_port is taken, choose others:
  make run NATS_PORT=4333 HTTP_PORT=8081
If $run holds data of something else, choose another folder: make run RUN_DIR=run2"
for _ in $(seq 100); do
  kill -0 "${children[0]}" 2>/dev/null || { tail -n 3 "$run/nats-server.log" >&2; fail "nats-server ended. $advice"; }
  kill -0 "${children[1]}" 2>/dev/null || { tail -n 3 "$run/profiled.log" >&2; fail "profiled ended. $advice"; }
  if "$bin/profiled" health >/dev/null 2>&1; then ready=1; break; fi
  sleep 0.2
done
[ "${ready:-}" ] || fail "The service did not get ready within 20 seconds. $advice"

token() { "$bin/profilectl" token --dev --data-dir "$run/data" "$@"; }
PROFILE_TOKEN=$(token --sub operator --org zoo --role ORG_OWNER)
export PROFILE_TOKEN
user=gigi-$(date +%s)

watch_two_events "$user"

play() { # subject, command, body
  say "request  $1"
  printf '%s\n' "$3"
  say "reply"
  printf '%s' "$3" | requester "$2" --file - --json || fail "The request failed. $advice"
}
play profile.v1.create create \
  "{\"userId\":\"$user\",\"userName\":\"gigi\",\"profile\":{\"firstName\":\"Gigi\",\"lastName\":\"Giraffe\"},\"email\":{\"email\":\"gigi@zoo.example\"}}"
play profile.v1.update update \
  "{\"userId\":\"$user\",\"firstName\":\"Gigi\",\"lastName\":\"Giraffe\",\"displayName\":\"Gigi G\",\"preferredLanguage\":\"en\",\"gender\":\"GENDER_FEMALE\"}"

show_two_events "$user"

[ "${ONCE:-}" != 1 ] || { say "done"; exit 0; }
(
  umask 077
  cat >"$run/env.sh" <<EOF
export PATH="$bin:\$PATH" NATS_URL=$NATS_URL PROFILE_TOKEN=$PROFILE_TOKEN
export PROFILECTL_NATS_USER=requester PROFILECTL_NATS_PASSWORD=$NATS_REQUESTER_PASSWORD
export NATS_CONSUMER_PASSWORD=$NATS_CONSUMER_PASSWORD PROFILE_URL=http://127.0.0.1:$http_port
EOF
)
say "The service is up; Ctrl-C stops it. In another terminal:"
cat <<EOF
  source $run/env.sh
  profilectl get $user
  profilectl patch $user --nick-name Gi
  profilectl history $user
  profilectl list --prefix gi
  profilectl watch --user consumer --password "\$NATS_CONSUMER_PASSWORD"   # live; --all: all that is kept
  curl -H "Authorization: Bearer \$PROFILE_TOKEN" \$PROFILE_URL/management/v1/users/$user/profile
EOF
interrupted=0
ended=0
wait "${children[1]}" || ended=$?
tail -n 3 "$run/profiled.log" >&2
fail "profiled ended with status $ended. $advice"
