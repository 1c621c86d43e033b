#!/usr/bin/env bash
# Puts an ingress controller's image, Traefik's, into the cluster's nodes for the e2e test `ingress`. Where a registry can be reached it is the
# published one; elsewhere it is built from its Go module once (a large program: several minutes). The definitions of the Gateway API, which are
# no part of Kubernetes, are applied out of theirs. Without Go, and in a cluster that exists already (KUBECONTEXT), install them by hand:
#   kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.4.0/standard-install.yaml
#
#   kind/ingress.sh           build it and load it
#   kind/ingress.sh --build   build it only
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
# A cluster that exists already pulls the published image itself.
[[ -z ${KUBECONTEXT:-} ]] || exit 0
[[ -n $ENGINE ]] || die "there is no engine yet: run kind/up.sh first"
# The name that a published one has, so that a test knows but one.
image=traefik:$TRAEFIK_VERSION

if ! docker image inspect "$image" >/dev/null 2>&1; then
  if [[ $IMAGES == made ]]; then
    out=$CACHE/traefik/$TRAEFIK_VERSION-$(go env GOVERSION)
    mkdir -p "$out"
    if [[ ! -x $out/traefik ]]; then
      say "building Traefik $TRAEFIK_VERSION (about 6 minutes the first time)"
      module=$(go mod download -json "github.com/traefik/traefik/v3@$TRAEFIK_VERSION" | jq -r .Dir)
      # In its own folder: it has replacements in its go.mod, with which `go install` takes no module.
      (cd "$module" && CGO_ENABLED=0 logged "$out/log" go build -mod=readonly -trimpath -ldflags "-s -w" -o "$out/traefik.part" ./cmd/traefik)
      mv "$out/traefik.part" "$out/traefik"
    fi
    printf 'FROM scratch\nCOPY traefik /\nUSER 65532:65532\nENTRYPOINT ["/traefik"]\n' \
      | logged "$RUN/image-traefik.log" docker build -t "$image" -f - "$out"
  else
    logged "$RUN/image-traefik.log" docker pull "$image"
  fi
fi
[[ ${1:-} != --build ]] || exit 0
say "loading $image into the nodes"
logged "$RUN/load.log" kind load docker-image "$image" --name "$CLUSTER_NAME"
definitions=$(go mod download -json "sigs.k8s.io/gateway-api@$GATEWAY_API_VERSION" | jq -r .Dir)/config/crd/standard
say "applying the definitions of the Gateway API $GATEWAY_API_VERSION"
logged "$RUN/gateway-api.log" kubectl --kubeconfig "$CLUSTER_KUBECONFIG" apply --server-side -f "$definitions"
