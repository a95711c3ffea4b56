#!/bin/sh
# Runs in a container of docker-compose.yml, before everything else. Makes the passwords of the bus in the
# volume /secrets, once, and from them and config/compose.toml the service's configuration, at every start.
# Each file can be read by the one user that needs it. Runs as root with no capability but CHOWN
# and DAC_READ_SEARCH: the checkout may be readable by its owner alone.
set -eu
umask 077

readonly SERVICE_UID=10001
cd /secrets

password() {
    # A letter first: nats-server reads digits as a number.
    printf 'p%s' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
}

make_passwords() {
    for who in ingress egress requester consumer; do
        password >"$who"
    done
    # For nats-server.
    for who in ingress egress requester consumer; do
        printf 'NATS_%s_PASSWORD=%s\n' "$(echo "$who" | tr a-z A-Z)" "$(cat "$who")"
    done >nats.env
    chmod 711 .
    : >complete
}

# Under another name first: the service may be reading the file that is there.
make_configuration() {
    # A start that was cut short may have left one that is not ours to write any more.
    rm -f profiled.toml.new
    cat /config/compose.toml - >profiled.toml.new <<END

[nats.ingress]
user = "service_ingress"
password = "$(cat ingress)"
inbox_prefix = "_INBOX_profile_ingress"

[nats.egress]
user = "service_egress"
password = "$(cat egress)"
inbox_prefix = "_INBOX_profile_egress"
END
    chown "$SERVICE_UID" profiled.toml.new
    mv -f profiled.toml.new profiled.toml
}

[ -e complete ] || make_passwords
make_configuration
