#!/usr/bin/env bash
# What docs/architecture.md says of the crates, checked by building and by the dependency tree.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

# The file side must stay free of the runtime: its role threads may not hold a handle of it.
if "$cargo" tree --locked -p rsync-engine -e normal --prefix none | grep -q '^tokio '; then
    echo "rsync-engine depends on tokio" >&2
    exit 1
fi

# The two crates that only compute know nothing of each other, nor of our other crates.
for crate in rsync-proto rsync-delta; do
    others=$("$cargo" tree --locked -p "$crate" -e normal --prefix none | sed 1d |
        grep -E '^(rsync-|rsyncd|syncline|testkit)' || true)
    if [ -n "$others" ]; then
        echo "$crate depends on $others" >&2
        exit 1
    fi
done

# They have no files, sockets or clocks: they build where there are none.
if [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
    "$cargo" check --locked -p rsync-proto -p rsync-delta --target wasm32-unknown-unknown
else
    echo "SKIPPED: build for wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown)" >&2
fi
