#!/usr/bin/env bash
# Deletes the cluster and ends everything that up.sh started. What was built stays in the cache folder, for the next time.
#
#   kind/down.sh            the cluster, the forwarders, our engine with its network namespace and mounts
#   kind/down.sh --cache    and the cache folder
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
# It would be the wrong one.
[[ -z ${KUBECONTEXT:-} ]] || die "this deletes the kind cluster and nothing of '$KUBECONTEXT'. There:
    kubectl --context $KUBECONTEXT delete namespace demo
    helm --kube-context $KUBECONTEXT --namespace synccluster-system uninstall synccluster
  and, with every SyncCluster there is: kubectl --context $KUBECONTEXT delete crd syncclusters.synccluster.dev"

if [[ $ENGINE == own ]]; then
  "$KIND_DIR/offline/forward.sh" stop
  # A cluster can only be deleted by an engine that runs.
  if [[ -d $CACHE/engine/root && ${1:-} != --cache ]]; then "$KIND_DIR/offline/engine.sh" start; fi
fi
if command -v kind >/dev/null && docker version >/dev/null 2>&1; then
  if kind get clusters 2>/dev/null | grep -qx "$CLUSTER_NAME"; then
    say "deleting the cluster '$CLUSTER_NAME'"
    kind delete cluster --name "$CLUSTER_NAME" --kubeconfig "$CLUSTER_KUBECONFIG" --quiet
  fi
fi
if [[ $ENGINE == own ]]; then "$KIND_DIR/offline/engine.sh" stop; fi
rm -f "$MODE_FILE" "$CLUSTER_KUBECONFIG" "$CLUSTER_KUBECONFIG.lock" "$IMAGES_ENV"

if [[ ${1:-} == --cache ]]; then
  say "removing $CACHE"
  rm -rf "$CACHE"
fi
