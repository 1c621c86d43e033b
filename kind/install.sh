#!/usr/bin/env bash
# Installs or upgrades both charts in the cluster, with the images that kind/images.sh wrote down.
#
#   kind/install.sh NAMESPACE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
namespace=${1:?which namespace? see --help}
if [[ -z ${KUBECONTEXT:-} ]]; then export KUBECONFIG=$CLUSTER_KUBECONFIG; fi
[[ -s $IMAGES_ENV ]] || die "there are no images yet: run kind/images.sh first"
# shellcheck source=/dev/null
source "$IMAGES_ENV"

# The tag of a build of one's own does not change with its content: the content's id in the pod's annotation makes Helm restart it.
build=$(docker image inspect -f '{{.Id}}' "$SYNCCLUSTER_IMAGE" 2>/dev/null || echo "$SYNCCLUSTER_IMAGE")
context=(${KUBECONTEXT:+--kube-context "$KUBECONTEXT"})
say "installing the operator by Helm into namespace $namespace"
k() { kubectl ${KUBECONTEXT:+--context "$KUBECONTEXT"} --namespace "$namespace" "$@"; }
# Helm sets nothing back that somebody else has set, but ends with an error: the e2e test `one_namespace`, if it was killed, has left none.
if k get deployment synccluster-operator >/dev/null 2>&1; then
  k scale deployment synccluster-operator --replicas=1 >/dev/null
fi
helm upgrade --install synccluster-crds "$ROOT_DIR/charts/synccluster-crds" "${context[@]}" --namespace "$namespace" --create-namespace >/dev/null
helm upgrade --install synccluster "$ROOT_DIR/charts/synccluster" "${context[@]}" --namespace "$namespace" --wait --timeout 3m \
  --set "images.synccluster=$SYNCCLUSTER_IMAGE,images.postgres=$POSTGRES_IMAGE,images.kafka=$KAFKA_IMAGE,images.connect=$CONNECT_IMAGE,images.clickhouse=$CLICKHOUSE_IMAGE" \
  --set-string "podAnnotations.synccluster\.dev/build=$build" >/dev/null
note "the operator is ready"
