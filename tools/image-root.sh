#!/bin/sh
# image-root.sh FOLDER BINARY... : lays out the root of an image FROM scratch in FOLDER: each binary at
# the top, and every shared library it needs (ldd) at the path where its loader looks for it.
set -eu
root=$1
shift
mkdir -p "$root"
for binary in "$@"; do
    cp "$binary" "$root/"
    # Lines are `name => /path (address)` and `/path/of/the/loader (address)`; none for a static one.
    { ldd "$binary" 2>/dev/null || true; } | grep -o '/[^ )]*' | while read -r library; do
        [ -e "$root$library" ] || { mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library"; }
    done
done
