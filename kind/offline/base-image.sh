#!/usr/bin/env bash
# Gives the engine the image that Containerfiles start FROM, under its published name.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

tar=$("$KIND_DIR/offline/rootfs.sh" base)
key=$(basename "$tar" .tar)
if [[ $(docker image inspect -f '{{index .Config.Labels "synccluster.rootfs"}}' "$BASE_IMAGE" 2>/dev/null) != "$key" ]]; then
  say "importing $BASE_IMAGE"
  docker import -c "LABEL synccluster.rootfs=$key" -c 'CMD ["bash"]' "$tar" "$BASE_IMAGE" >/dev/null
fi
