#!/usr/bin/env bash
# Every program of examples/ against a real nats-server and the real service (tests/examples). What those in Python
# and TypeScript need comes from PyPI and npm, pinned by hash in examples/python/requirements.txt and
# examples/typescript/package-lock.json, into target/tools; nothing is installed elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
readonly NODE_MAJOR_MIN=20
fail() { printf 'examples-test: %s\n' "$@" >&2; exit 1; }

command -v curl >/dev/null || fail "no curl"
command -v python3 >/dev/null || fail "no python3"
python3 -c 'import venv, ensurepip' 2>/dev/null ||
  fail "python3 cannot make a venv. Advice: apt-get install python3-venv"
command -v node >/dev/null && command -v npm >/dev/null ||
  fail "no node or no npm. Advice: Node.js $NODE_MAJOR_MIN or newer, https://nodejs.org"
node_major=$(node -p 'process.versions.node.split(".")[0]')
((node_major >= NODE_MAJOR_MIN)) || fail "Node.js $(node --version) is too old, $NODE_MAJOR_MIN or newer is needed"
mkdir -p "$tools"

digest() { cat "$@" | cksum | cut -d ' ' -f 1; }

# One for this Python and these versions. It knows its own path, so it is made in its place, under a lock.
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
readonly venv="$tools/examples-python-$python-$(digest examples/python/requirements.txt)"
make_venv() {
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes \
    -r examples/python/requirements.txt || fail "pip could not fetch what the examples in Python need (its words are above)"
  touch "$venv/complete"
}

# A copy: what npm writes stays out of examples/. The compiler runs each time.
readonly typescript="$tools/examples-typescript-$node_major-$(digest examples/typescript/package.json examples/typescript/package-lock.json)"
make_typescript() {
  rm -rf "$typescript"
  mkdir -p "$typescript"
  cp examples/typescript/package.json examples/typescript/package-lock.json "$typescript"
  npm --prefix "$typescript" ci --silent --no-audit --no-fund ||
    fail "npm could not fetch what the examples in TypeScript need (its words are above)"
  touch "$typescript/complete"
}

exec 9>"$tools/examples.lock"
if command -v flock >/dev/null; then flock 9; fi
[ -f "$venv/complete" ] || make_venv
[ -f "$typescript/complete" ] || make_typescript
rm -rf "$typescript"/*.ts "$typescript/build"
cp examples/typescript/*.ts examples/typescript/tsconfig.json "$typescript"
(cd "$typescript" && node node_modules/typescript/bin/tsc)
exec 9>&-

tools/nats-server.sh >/dev/null
cargo build --quiet --locked --workspace --bins
EXAMPLES_PYTHON=$venv/bin/python EXAMPLES_TYPESCRIPT=$typescript/build \
  cargo test --locked --workspace --test examples
