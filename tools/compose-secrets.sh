#!/bin/sh
# Runs in a container of docker-compose.yml, before everything else: makes the passwords of the bus,
# once, in the volume /secrets, and gives each user of them a file that only it may read.
set -eu
umask 077

readonly SERVICE_UID=10001
cd /secrets
[ ! -e complete ] || exit 0

password() {
    # A letter first: nats-server reads digits as a number.
    printf 'p%s' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
}
for who in ingress egress requester consumer; do
    password >"$who"
done

# For nats-server.
for who in ingress egress requester consumer; do
    printf 'NATS_%s_PASSWORD=%s\n' "$(echo "$who" | tr a-z A-Z)" "$(cat "$who")"
done >nats.env

# For profiled.
cat /config/compose.toml - >profiled.toml <<END

[nats.ingress]
user = "service_ingress"
password = "$(cat ingress)"
inbox_prefix = "_INBOX_profile_ingress"

[nats.egress]
user = "service_egress"
password = "$(cat egress)"
inbox_prefix = "_INBOX_profile_egress"
END
chown "$SERVICE_UID" profiled.toml
chmod 711 .
: >complete
