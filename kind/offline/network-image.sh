#!/usr/bin/env bash
# Builds the image of the node network daemon (kind/network) on top of the node's own tools: seconds, whenever the binary changed.
# Prints the image's id.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

command -v cargo >/dev/null || die "Rust is missing: install it from https://rustup.rs, then run this again"
target=$(cd "$ROOT_DIR" && cargo metadata --no-deps --format-version 1 | jq -r .target_directory)
[[ -e $target/release/synccluster-kind-network ]] || say "building the node network daemon (2 to 4 minutes the first time)" >&2
(cd "$ROOT_DIR" && cargo build -q --release -p synccluster-kind-network >&2)
context=$CACHE/network-image
mkdir -p "$context"
install -s -m 0755 "$target/release/synccluster-kind-network" "$context/"
docker build -q -t synccluster/kind-network:dev -f "$KIND_DIR/offline/node/Containerfile.network" "$context"
