# What tools/run.sh and tools/run-cluster.sh share: `$run` is the folder of the session, `children` its processes.
fail() { printf '\n%s\n' "$*" >&2; exit 1; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Two nats-servers on one folder would spoil it. The children keep the lock until they have ended.
lock_run() { # what to do instead
  mkdir -p "$run"
  command -v flock >/dev/null || return 0
  exec 9>"$run/lock"
  flock -n 9 || fail "Another \`make\` uses $run. Stop it, or choose another folder and ports:
  $1"
}

# Passwords of the four users of config/nats-server.conf, made once and kept with the data.
read_passwords() {
  if [ ! -f "$run/passwords.env" ]; then
    (
      umask 077
      for name in INGRESS EGRESS REQUESTER CONSUMER; do
        printf 'NATS_%s_PASSWORD=p%s\n' "$name" "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
      done >"$run/passwords.env"
    )
  fi
  set -a
  . "$run/passwords.env"
  set +a
  export PROFILE__NATS__INGRESS__USER=service_ingress PROFILE__NATS__EGRESS__USER=service_egress
  export PROFILE__NATS__INGRESS__PASSWORD=$NATS_INGRESS_PASSWORD
  export PROFILE__NATS__EGRESS__PASSWORD=$NATS_EGRESS_PASSWORD
}

children=()
interrupted=130
# The last one started is the first to end: a service before the server that it needs for its last answers.
stop() {
  trap - EXIT INT TERM
  for ((i = ${#children[@]} - 1; i >= 0; i--)); do
    kill -TERM "${children[i]}" 2>/dev/null || true
    wait "${children[i]}" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'stop; exit "$interrupted"' HUP INT TERM

requester() {
  PROFILECTL_NATS_USER=requester PROFILECTL_NATS_PASSWORD=$NATS_REQUESTER_PASSWORD \
    "$bin/profilectl" "$@"
}

# Starts a subscriber of the events of `$1` that ends after two, and returns when it hears.
watch_two_events() {
  PROFILECTL_NATS_USER=consumer PROFILECTL_NATS_PASSWORD=$NATS_CONSUMER_PASSWORD \
    "$bin/profilectl" watch "$1" --count 2 --json >"$run/events.json" 2>"$run/watch.log" &
  watcher=$!
  children+=("$watcher")
  for _ in $(seq 50); do grep -q watching "$run/watch.log" && break; sleep 0.1; done
}

show_two_events() {
  timeout 20 tail --pid="$watcher" -f /dev/null || fail "No event arrived within 20 seconds. $advice"
  say "events received by a subscriber of profile-event.v1.*.$1.>"
  cat "$run/events.json"
  [ "$(grep -c profile-service.profile "$run/events.json")" = 2 ] || fail "Two events were expected. $advice"
}
