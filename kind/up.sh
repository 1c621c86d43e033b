#!/usr/bin/env bash
# Brings up the kind cluster of kind.yaml and waits until its nodes are ready. Does nothing where nothing is to do.
#
#   kind/up.sh
#   kind/up.sh --images   makes the engine and the node image alone, if need be: what takes long the first time
#
# Where a Docker engine runs, that one is used; where the published node image can be pulled, that one is used. What is missing is made
# by kind/offline/ (root, Debian or Ubuntu). The kubeconfig is always written to the cache folder, never to ~/.kube/config.
#
#   KUBECONTEXT=name     use the cluster of this context of your own kubeconfig: only checks that it answers and that SYNCCLUSTER_IMAGE is named
#   SYNCCLUSTER_OFFLINE=1   make everything here, even if an engine runs
#   SYNCCLUSTER_CACHE=…     where to keep what is made (default ~/.cache/synccluster)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
[[ $# == 0 || $* == --images ]] || die "unknown: $*. See kind/up.sh --help"

if [[ -n ${KUBECONTEXT:-} ]]; then
  for tool in kubectl helm; do command -v "$tool" >/dev/null || die "$tool is missing: install it, or run kind/tools.sh, which builds it"; done
  contexts=$(kubectl config get-contexts --output name)
  grep -qxF -- "$KUBECONTEXT" <<<"$contexts" \
    || die "there is no context '$KUBECONTEXT' in ${KUBECONFIG:-~/.kube/config}, but: ${contexts:-none}. KUBECONFIG names another file"
  own_image
  kubectl --context "$KUBECONTEXT" --request-timeout=10s get nodes || die "the cluster of context '$KUBECONTEXT' does not answer"
  exit
fi

# choose: whose engine, whose images. Sets ENGINE, IMAGES and NODE_IMAGE.
choose() {
  if [[ $ENGINE != own && -z ${SYNCCLUSTER_OFFLINE:-} ]] && docker info >/dev/null 2>&1; then
    ENGINE=theirs
    if docker image inspect "$NODE_IMAGE_PUBLISHED" >/dev/null 2>&1 || { say "pulling $NODE_IMAGE_PUBLISHED"; docker pull -q "$NODE_IMAGE_PUBLISHED"; }; then
      IMAGES=published NODE_IMAGE=$NODE_IMAGE_PUBLISHED
      return
    fi
    note "no registry in reach: images are made here"
  else
    ENGINE=own
  fi
  IMAGES=made
  is_root || die "no Docker engine with a registry in reach, and making the images here needs root. Start Docker, or run this as root."
}

choose
if [[ $IMAGES == made ]]; then "$KIND_DIR/tools.sh" --offline; else "$KIND_DIR/tools.sh"; fi
if [[ $ENGINE == own ]]; then
  "$KIND_DIR/offline/engine.sh" start
  use_own_engine
fi
printf 'ENGINE=%s\nIMAGES=%s\n' "$ENGINE" "$IMAGES" >"$MODE_FILE"

nodes_running() { [[ $(docker ps -q --filter "label=io.x-k8s.kind.cluster=$CLUSTER_NAME" | wc -l) -gt 0 ]]; }

make_node_image() {
  "$KIND_DIR/offline/base-image.sh"
  NODE_IMAGE=$("$KIND_DIR/offline/node-image.sh" | tail -n 1)
}

if [[ ${1:-} == --images ]]; then
  if [[ $IMAGES == made ]]; then make_node_image; fi
  exit
fi

if kind get clusters 2>/dev/null | grep -qx "$CLUSTER_NAME"; then
  if ! nodes_running; then
    say "starting the nodes again"
    docker ps -aq --filter "label=io.x-k8s.kind.cluster=$CLUSTER_NAME" | xargs docker start >/dev/null
  fi
else
  if [[ $IMAGES == made ]]; then make_node_image; fi
  say "creating the cluster '$CLUSTER_NAME' (about a minute)"
  kind create cluster --config "$KIND_DIR/kind.yaml" --name "$CLUSTER_NAME" --image "$NODE_IMAGE" --kubeconfig "$CLUSTER_KUBECONFIG" --quiet \
    || die "kind could not create the cluster; kind/down.sh removes what is left of it"
fi
if [[ $ENGINE == own ]]; then "$KIND_DIR/offline/forward.sh" start 16443 8080; fi
kind export kubeconfig --name "$CLUSTER_NAME" --kubeconfig "$CLUSTER_KUBECONFIG" --quiet

export KUBECONFIG=$CLUSTER_KUBECONFIG
# After a restart the API server answers before it knows who may do what.
api_ready=''
for ((tries = 0; tries < 120; tries++)); do
  if kubectl get --raw /readyz >/dev/null 2>&1; then api_ready=yes; break; fi
  sleep 0.5
done
[[ -n $api_ready ]] || die "the API server does not answer; kind/down.sh and kind/up.sh make a new cluster"
kubectl wait --for=condition=Ready nodes --all --timeout=180s >/dev/null \
  || { kubectl get nodes,pods -A -o wide; die "the nodes are not ready; kind/down.sh and kind/up.sh make a new cluster"; }
note "the cluster is ready: export KUBECONFIG=$CLUSTER_KUBECONFIG PATH=$BIN:\$PATH"
