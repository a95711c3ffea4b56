#!/usr/bin/env bash
# Every decoder under libFuzzer, one after the other, from the kept inputs (fuzz/corpus) on.
#
# SECONDS_EACH=1800 TARGETS="json_body http": how long, and which (the names in fuzz/fuzz_targets).
# KEEP=1: afterwards those found inputs that reach more code than the kept ones are kept too.
# Needs cargo-fuzz (cargo install cargo-fuzz --locked); no sanitizer, so that stable Rust is enough.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly seconds=${SECONDS_EACH:-1800}
# Longer inputs find nothing that shorter ones do not, but the body's limit, which has tests of its own.
readonly INPUT_BYTES_MAX=2048
readonly work="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
command -v cargo-fuzz >/dev/null ||
  { echo "fuzz: no cargo-fuzz on the PATH. Advice: cargo install cargo-fuzz --locked" >&2; exit 1; }
targets=${TARGETS:-$(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//')}

cargo fuzz build -s none
for name in $targets; do
  found="$work/$name"
  mkdir -p "$found"
  echo "fuzz: $name, $seconds s"
  cargo fuzz run -s none "$name" "$found" "fuzz/corpus/$name" -- -max_total_time="$seconds" \
    -max_len="$INPUT_BYTES_MAX" -timeout=10 -dict=fuzz/dictionary -print_final_stats=1 2>&1 |
    tee "$work/$name.log" | grep -E 'DONE|stat::|panicked|SUMMARY|Test unit written' ||
    { tail -n 30 "$work/$name.log" >&2; exit 1; }
  grep -q '^Done ' "$work/$name.log" || { tail -n 30 "$work/$name.log" >&2; exit 1; }
  [ "${KEEP:-}" != 1 ] ||
    cargo fuzz run -s none "$name" "fuzz/corpus/$name" "$found" -- -merge=1 >>"$work/$name.log" 2>&1
done
