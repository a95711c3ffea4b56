#!/usr/bin/env bash
# stand-in-images.sh FOLDER BINARIES : builds the two images of docker-compose.yml without pulling
# anything, from what this machine has, as profile-service:stand-in and profile-nats:stand-in.
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

# As the last stage of Dockerfile.
tools/image-root.sh "$folder/profile/image" "$binaries/profiled" "$binaries/profilectl"
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
