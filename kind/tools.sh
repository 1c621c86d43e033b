#!/usr/bin/env bash
# Makes sure that kind, kubectl and helm exist at the versions of versions.env, in the cache folder's bin/.
# All three are built from their Go modules, so one way serves a laptop and a machine that reaches only package registries.
# On Debian and Ubuntu missing packages are installed when this runs as root; elsewhere they are named.
#
#   kind/tools.sh                what every machine needs
#   kind/tools.sh --offline      and what kind/offline/ needs to make an engine and images
#   kind/tools.sh --tests        and what the tests need: Maven and Java for the parts they run, nftables for kind/network, Chromium for the page,
#                                tmux for the counter's terminal, ClickHouse for its sink, openssl for certificates, Python
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"

# command=package, as Debian names it.
# A compiler and perl: librdkafka and its OpenSSL are built from their sources.
needed=(curl=curl jq=jq npm=npm cc=gcc perl=perl)
case ${1:-} in
  --offline) needed+=(dockerd=docker.io containerd=containerd runc=runc iptables=iptables ip=iproute2 nsenter=util-linux socat=socat mmdebstrap=mmdebstrap
    mvn=maven jlink=default-jdk-headless) ;;
  --tests) needed+=(mvn=maven java=default-jre-headless xz=xz-utils setpriv=util-linux ip=iproute2 nft=nftables chromium=chromium tmux=tmux
    clickhouse-server=clickhouse-server clickhouse-client=clickhouse-client openssl=openssl) ;;
esac

missing=()
for pair in "${needed[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
done
# Debian's Python comes without what makes virtual environments.
[[ ${1:-} != --tests ]] || python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)

# Packages must not start services: the engine runs from kind/offline/engine.sh, with its own data and network.
install_packages() {
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  logged "$RUN/apt.log" apt-get update -q
  logged "$RUN/apt.log" apt-get install -q -y --no-install-recommends "${missing[@]}"
}

if ((${#missing[@]})); then
  if is_root && on_debian; then
    say "installing Debian packages: ${missing[*]}"
    install_packages
  else
    die "missing: ${missing[*]} (Debian's names). Install them, e.g. sudo apt-get install ${missing[*]}, and run this again."
  fi
fi
command -v go >/dev/null || die "Go is missing: install Go 1.25 or newer from https://go.dev/dl (or your package manager), then run this again."

# go_tool NAME MODULE VERSION ABOUT: a link in bin/ to the build of exactly this version.
go_tool() {
  local name=$1 module=$2 version=$3 about=$4 home=$CACHE/tools/$1-$3
  if [[ ! -x $home/$name ]]; then
    say "building $name $version ($about the first time)"
    CGO_ENABLED=0 GOBIN=$home logged "$RUN/$name.log" go install -ldflags "-s -w" "$module@$version"
  fi
  ln -sfn "$home/$name" "$BIN/$name"
}

go_tool kind sigs.k8s.io/kind "$KIND_VERSION" "a few seconds"
go_tool helm helm.sh/helm/v4/cmd/helm "$HELM_VERSION" "about 3 minutes"
ln -sfn "$("$KIND_DIR/offline/kubernetes.sh" kubectl)/kubectl" "$BIN/kubectl"
note "tools: kind $KIND_VERSION, kubectl $KUBERNETES_VERSION, helm $HELM_VERSION in $BIN"
