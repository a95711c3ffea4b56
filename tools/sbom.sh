#!/usr/bin/env bash
# Writes a bill of materials (CycloneDX 1.5, JSON) of each program to target/sbom, and checks that it lists every
# crate that the program's own Cargo.toml names. Needs `cargo install cargo-cyclonedx --locked`, and python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly out="${CARGO_TARGET_DIR:-$PWD/target}/sbom"
cargo cyclonedx --version >/dev/null 2>&1 ||
  { echo "sbom: no cargo-cyclonedx. Advice: cargo install cargo-cyclonedx --locked" >&2; exit 1; }

# The tool writes beside each Cargo.toml of the workspace, and knows no other place.
readonly name=bom-$$
tidy() { find . -name "$name.json" -not -path './target/*' -delete; }
trap tidy EXIT
mkdir -p "$out"
for service in profile profilectl; do
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0) \
    cargo cyclonedx --quiet --manifest-path "services/$service/Cargo.toml" --format json --spec-version 1.5 \
    --override-filename "$name"
  mv "services/$service/$name.json" "$out/$service.cdx.json"
  python3 tools/sbom_check.py "$service" "$out/$service.cdx.json"
done
