#!/usr/bin/env bash
# Every query of the dashboard and every alert, against a real Prometheus that reads a real service under a
# little load: each must find data. Needs prometheus and promtool (Debian: apt-get install prometheus).
set -euo pipefail
cd "$(dirname "$0")/.."

for program in prometheus promtool python3; do
  command -v "$program" >/dev/null || { echo "monitoring-test: no $program. Advice: apt-get install prometheus" >&2; exit 1; }
done
here=$PWD
run=$(mktemp -d)
children=()
stop() {
  trap - EXIT
  for ((i = ${#children[@]} - 1; i >= 0; i--)); do
    kill -TERM "${children[i]}" 2>/dev/null || true
    wait "${children[i]}" 2>/dev/null || true
  done
  rm -rf "$run"
}
trap stop EXIT
trap 'exit 130' HUP INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
nats_port=$(free_port) http_port=$(free_port) monitoring_port=$(free_port) prometheus_port=$(free_port)

promtool check rules config/monitoring/alerts.yml

RUN_DIR=$run/service NATS_PORT=$nats_port HTTP_PORT=$http_port \
  PROFILE__MONITORING__LISTEN=127.0.0.1:$monitoring_port tools/run.sh >"$run/service.log" 2>&1 &
children+=($!)

# The shipped file, with other places and a shorter interval.
sed -e "s/profile:9464/127.0.0.1:$monitoring_port/" -e 's/interval: .*/interval: 1s/' \
  -e "s|- alerts.yml|- $here/config/monitoring/alerts.yml|" \
  config/monitoring/prometheus.yml >"$run/prometheus.yml"
promtool check config "$run/prometheus.yml"
prometheus --config.file="$run/prometheus.yml" --storage.tsdb.path="$run/measurements" \
  --web.listen-address="127.0.0.1:$prometheus_port" >"$run/prometheus.log" 2>&1 &
children+=($!)

python3 tools/monitoring_queries.py "http://127.0.0.1:$prometheus_port" "$run/service/env.sh" ||
  { tail -n 20 "$run/service.log" "$run/prometheus.log" >&2; exit 1; }
