#!/usr/bin/env bash
# stand-in-images.sh FOLDER BINARIES : builds the images of docker-compose.yml without pulling
# anything, from what this machine has, as profile-service:stand-in, profile-nats:stand-in and, unless
# MONITORING is 0, profile-prometheus:stand-in (Debian's) and profile-grafana:stand-in (answers its health path).
# BINARIES holds profiled and profilectl; FOLDER is overwritten.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly folder=$1 binaries=$2

build() {
    DOCKER_BUILDKIT=0 docker build --quiet --tag "$1" "$2" >/dev/null
}

rm -rf "$folder"
mkdir -p "$folder/profile/owned" "$folder/nats/image/tmp"
mkdir -m 700 "$folder/profile/owned/"{data,keys,public-keys}

# As the last stages of Dockerfile.
mkdir "$folder/stripped"
for program in profiled profilectl; do
    strip --strip-debug -o "$folder/stripped/$program" "$binaries/$program"
done
tools/image-root.sh "$folder/profile/image" "$folder/stripped/"{profiled,profilectl}
sed -n '/^FROM scratch/,$p' Dockerfile |
    sed -e 's|--from=build /image/|image/|' -e 's|--from=build --chown=\([0-9:]*\) /owned/|--chown=\1 owned/|' \
        >"$folder/profile/Dockerfile"
build profile-service:stand-in "$folder/profile"

# nats-server and a shell with its tools, as the official image on Alpine has them.
busybox=$(command -v busybox) || {
    echo "stand-in-images.sh: needs busybox (Debian: apt-get install busybox-static)" >&2
    exit 1
}
tools/image-root.sh "$folder/nats/image/bin" "$busybox"
cp "$(tools/nats-server.sh)" "$folder/nats/image/bin/nats-server"
for tool in sh cat chmod chown echo mv od tr wget; do
    ln -s busybox "$folder/nats/image/bin/$tool"
done
printf '%s\n' 'FROM scratch' 'COPY image/ /' 'ENV PATH=/bin' >"$folder/nats/Dockerfile"
build profile-nats:stand-in "$folder/nats"

[[ ${MONITORING:-} != 0 ]] || exit 0

# The official image runs as nobody, and its volume belongs to nobody.
prometheus=$(command -v prometheus) || {
    echo "stand-in-images.sh: needs prometheus (Debian: apt-get install prometheus), or MONITORING=0" >&2
    exit 1
}
mkdir -p "$folder/prometheus/owned/prometheus"
tools/image-root.sh "$folder/prometheus/image" "$prometheus"
mkdir "$folder/prometheus/image/bin"
mv "$folder/prometheus/image/prometheus" "$folder/prometheus/image/bin/"
printf '%s\n' 'FROM scratch' 'COPY image/ /' 'COPY --chown=65534:65534 owned/ /' 'USER 65534:65534' \
    'ENTRYPOINT ["/bin/prometheus"]' >"$folder/prometheus/Dockerfile"
build profile-prometheus:stand-in "$folder/prometheus"

mkdir -p "$folder/grafana/owned/var/lib/grafana" "$folder/grafana/image/www/api"
tools/image-root.sh "$folder/grafana/image/bin" "$busybox"
for tool in sh cat; do ln -s busybox "$folder/grafana/image/bin/$tool"; done
echo '{"database":"ok"}' >"$folder/grafana/image/www/api/health"
printf '%s\n' 'FROM scratch' 'COPY image/ /' 'COPY --chown=472:0 owned/ /' 'ENV PATH=/bin' 'USER 472:0' \
    'ENTRYPOINT ["/bin/busybox", "httpd", "-f", "-p", "3000", "-h", "/www"]' >"$folder/grafana/Dockerfile"
build profile-grafana:stand-in "$folder/grafana"
