#!/usr/bin/env bash
# Builds Kubernetes' commands, etcd, CoreDNS and the local-path provisioner from their Go modules.
# The last line it prints is the folder they are in. Built once for a set of go.mod and go.sum files and a Go version.
#
#   kind/offline/kubernetes.sh             everything
#   kind/offline/kubernetes.sh kubectl     only the named Kubernetes commands
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

here=$KIND_DIR/offline
stamp=k8s.io/component-base/version
kubernetes_flags="-s -w -X $stamp.gitVersion=$KUBERNETES_VERSION -X $stamp.gitMajor=1 -X $stamp.gitMinor=${KUBERNETES_VERSION:3:2}"
out=$CACHE/kubernetes/$(digest "$here/kubernetes" "$here/coredns" "$kubernetes_flags" "$LOCAL_PATH_PROVISIONER_VERSION" "$(go env GOVERSION)")
mkdir -p "$out"
export CGO_ENABLED=0

# build_kubernetes NAME…: in one `go build`, which compiles what they share once.
build_kubernetes() {
  local name todo=()
  for name in "$@"; do [[ -x $out/$name ]] || todo+=("k8s.io/kubernetes/cmd/$name"); done
  ((${#todo[@]})) || return 0
  say "building Kubernetes $KUBERNETES_VERSION: ${todo[*]##*/} (all together about 7 minutes the first time)" >&2
  (cd "$here/kubernetes" && logged "$out/kubernetes.log" go build -ldflags "$kubernetes_flags" -o "$out/" "${todo[@]}")
}

# build_module NAME FOLDER PACKAGE ABOUT
build_module() {
  [[ -x $out/$1 ]] && return
  say "building $1 ($4 the first time)" >&2
  (cd "$here/$2" && logged "$out/$1.log" go build -ldflags "-s -w" -o "$out/$1" "$3")
}

if (($#)); then
  build_kubernetes "$@"
else
  build_kubernetes kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl kubeadm
  build_module etcd kubernetes go.etcd.io/etcd/server/v3 "about half a minute"
  build_module coredns coredns . "about 2 minutes"
  if [[ ! -x $out/local-path-provisioner ]]; then
    say "building local-path-provisioner $LOCAL_PATH_PROVISIONER_VERSION (about 2 minutes the first time)" >&2
    GOBIN=$out logged "$out/local-path-provisioner.log" \
      go install -ldflags "-s -w" "github.com/rancher/local-path-provisioner@$LOCAL_PATH_PROVISIONER_VERSION"
  fi
fi
echo "$out"
