#!/usr/bin/env bash
# Holds messages/schemas/asyncapi.json against AsyncAPI's official schema, with AsyncAPI's own parser. It comes
# from npm, pinned by hash (tools/asyncapi-check/package-lock.json), into target/tools; no script of a package
# runs. Needs Node.js 18 or newer with npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly target="${CARGO_TARGET_DIR:-$PWD/target}"
command -v npm >/dev/null || { echo "asyncapi-check: no npm. Advice: install Node.js" >&2; exit 1; }

digest=$(cksum <tools/asyncapi-check/package-lock.json | cut -d ' ' -f 1)
readonly packages="$target/tools/asyncapi-check-$digest"
if [ ! -d "$packages" ]; then
  mkdir -p "$target/tools"
  fetched=$(mktemp -d "$target/tools/fetch.XXXXXX")
  cp tools/asyncapi-check/package*.json "$fetched/"
  npm ci --prefix "$fetched" --silent --ignore-scripts --no-audit --no-fund ||
    { echo "asyncapi-check: npm could not fetch the parser (its words are above)" >&2; exit 1; }
  mv -T "$fetched" "$packages" 2>/dev/null || rm -rf "$fetched"
fi
cp tools/asyncapi-check/check.js "$packages/"
node "$packages/check.js" messages/schemas/asyncapi.json
