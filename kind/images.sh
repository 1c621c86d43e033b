#!/usr/bin/env bash
# Builds the images from kind/images/*/Containerfile and puts into the cluster's nodes what they do not have yet.
# The binaries of SyncCluster's own image are taken from target/image/. The names of all images are written to
# images.env in the cache folder: SYNCCLUSTER_IMAGE, POSTGRES_IMAGE, KAFKA_IMAGE, CONNECT_IMAGE, CLICKHOUSE_IMAGE.
#
# With KUBECONTEXT set nothing is built and nothing can be loaded: push the image somewhere and name it in SYNCCLUSTER_IMAGE. The others may be named
# in the same way; CONNECT_IMAGE is needed for engine Debezium only, CLICKHOUSE_IMAGE for analytics.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source "$KIND_DIR/nodes.sh"
help_if_asked "$@"

write_env() {
  printf '%s=%s\n' SYNCCLUSTER_IMAGE "$1" POSTGRES_IMAGE "$2" KAFKA_IMAGE "$3" CONNECT_IMAGE "$connect" CLICKHOUSE_IMAGE "$clickhouse" >"$IMAGES_ENV"
}

# No registry has it, so it is made wherever there is an engine.
connect=${CONNECT_IMAGE:-synccluster/connect:$KAFKA_VERSION-$DEBEZIUM_VERSION}

clickhouse=$CLICKHOUSE_IMAGE_PUBLISHED
if [[ -n ${KUBECONTEXT:-} ]]; then
  own_image
  clickhouse=${CLICKHOUSE_IMAGE:-$clickhouse}
  write_env "$SYNCCLUSTER_IMAGE" "${POSTGRES_IMAGE:-$POSTGRES_IMAGE_PUBLISHED}" "${KAFKA_IMAGE:-$KAFKA_IMAGE_PUBLISHED}"
  note "images for '$KUBECONTEXT': $(tr '\n' ' ' <"$IMAGES_ENV")"
  exit
fi
[[ -n $ENGINE ]] || die "there is no cluster yet: run kind/up.sh first"
export KUBECONFIG=$CLUSTER_KUBECONFIG

staged=$ROOT_DIR/target/image
for binary in debezium operator connector sink schema gateway counter clickhouse seeder; do
  [[ -x $staged/synccluster-$binary ]] || die "$staged/synccluster-$binary is missing: \`make binaries\` puts the stripped release binaries there"
done

# build NAME IMAGE VERSION…: for what is staged by a script. An image remembers what it was made of, and is made again when that changed.
build() {
  local name=$1 image=$2 folder=$KIND_DIR/images/$1 context=$CACHE/image-$1 inputs
  shift 2
  inputs=$(digest "$folder" "$@")
  if [[ $(docker image inspect -f '{{index .Config.Labels "synccluster.inputs"}}' "$image" 2>/dev/null) == "$inputs" ]]; then return; fi
  say "building $image (about half a minute the first time)"
  rm -rf "$context"; mkdir -p "$context"
  "$folder/stage.sh" "$context"
  logged "$RUN/image-$name.log" docker build -t "$image" --label "synccluster.inputs=$inputs" -f "$folder/Containerfile" "$context"
  rm -rf "$context"
}

own=synccluster/synccluster:dev postgres=$POSTGRES_IMAGE_PUBLISHED kafka=$KAFKA_IMAGE_PUBLISHED
if [[ $IMAGES == made ]]; then
  "$KIND_DIR/offline/base-image.sh"
  postgres=synccluster/postgres:$POSTGRES_VERSION kafka=synccluster/kafka:$KAFKA_VERSION
  build postgres "$postgres" "$KIND_DIR/offline/rootfs.sh" "$POSTGRES_VERSION"
  build kafka "$kafka" "$KAFKA_VERSION" "$LOG4J_VERSION" "$(docker image inspect -f '{{.Id}}' "$BASE_IMAGE")"
  clickhouse=synccluster/clickhouse:$CLICKHOUSE_VERSION
  build clickhouse "$clickhouse" "$KIND_DIR/offline/rootfs.sh" "$CLICKHOUSE_VERSION"
  load "$clickhouse" || true
  load "$postgres" || true
  load "$kafka" || true
  "$KIND_DIR/offline/network-image.sh" >/dev/null
  if load synccluster/kind-network:dev; then
    kubectl -n kube-system rollout restart daemonset/synccluster-kind-network >/dev/null
    kubectl -n kube-system rollout status daemonset/synccluster-kind-network --timeout=60s >/dev/null
  fi
fi
# From Maven Central, whatever registry is in reach: who has no Maven has no engine Debezium, and everything else.
if command -v mvn >/dev/null && command -v jlink >/dev/null; then
  build connect "$connect" "$KAFKA_VERSION" "$DEBEZIUM_VERSION" "$LOG4J_VERSION" "$(docker image inspect -f '{{.Id}}' "$BASE_IMAGE" 2>/dev/null || true)"
  load "$connect" || true
else
  note "$connect: not made, it takes Maven and jlink (Debian: maven default-jdk-headless); engine Debezium needs it"
fi
logged "$RUN/image-synccluster.log" docker build -t "$own" -f "$KIND_DIR/images/synccluster/Containerfile" "$staged"
load "$own" || note "$own: the nodes have this build"
write_env "$own" "$postgres" "$kafka"
