#!/usr/bin/env bash
# Builds the image of Superset from kind/images/superset (650 MB of packages from PyPI, a few minutes) and puts it into the cluster's nodes, for
# `spec.analytics.superset.image: synccluster/superset:6.1`. No other target needs it.
#
#   kind/superset.sh           build it and load it
#   kind/superset.sh --build   build it only
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
[[ -n $ENGINE ]] || die "there is no engine yet: run kind/up.sh first"
image=synccluster/superset:6.1 base=python:3.11-slim-bookworm folder=$KIND_DIR/images/superset context=$CACHE/image-superset

if [[ $IMAGES == made ]] && ! docker image inspect "$base" >/dev/null 2>&1; then
  say "importing $base"
  docker import -c 'CMD ["python3"]' "$("$KIND_DIR/offline/rootfs.sh" python)" "$base" >/dev/null
fi
inputs=$(digest "$folder" "$base")
if [[ $(docker image inspect -f '{{index .Config.Labels "synccluster.inputs"}}' "$image" 2>/dev/null) != "$inputs" ]]; then
  say "building $image"
  rm -rf "$context"; mkdir -p "$context"
  trap 'rm -rf "$context"' EXIT
  "$folder/stage.sh" "$context"
  logged "$RUN/image-superset.log" docker build -t "$image" --label "synccluster.inputs=$inputs" -f "$folder/Containerfile" "$context"
fi
if [[ ${1:-} != --build ]]; then
  say "loading $image into the nodes"
  logged "$RUN/load.log" kind load docker-image "$image" --name "$CLUSTER_NAME"
fi
note "$image is there"
