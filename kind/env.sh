# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# Sourced by every script of kind/: versions, places, and how to speak.
# All that is made lies under one cache folder outside the checkout; `rm -rf` of it costs time, never data.

KIND_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT_DIR=$(dirname "$KIND_DIR")
set -a
# shellcheck source=kind/versions.env
source "$KIND_DIR/versions.env"
set +a

CACHE=${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}
BIN=$CACHE/bin          # kind, kubectl, helm
RUN=$CACHE/run          # pids, sockets, logs of what runs now
# A cluster of one's own has images of its own.
IMAGES_ENV=$CACHE/images${KUBECONTEXT:+-${KUBECONTEXT//[^A-Za-z0-9.-]/_}}.env
CLUSTER_KUBECONFIG=$CACHE/kubeconfig
ENGINE_SOCKET=$RUN/docker.sock
mkdir -p "$BIN" "$RUN"
export PATH=$BIN:$PATH

if [[ -t 1 ]]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi
say() { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '    %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The header comment of a script is its help.
help_if_asked() {
  case ${1:-} in -h | --help) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 0 ;; esac
}

# digest FILE|WORD…: one short key for a set of inputs. Files count by content, so a fresh clone finds the same cache.
digest() {
  local input
  for input in "$@"; do
    if [[ -d $input ]]; then (cd "$input" && find . -type f | LC_ALL=C sort | xargs -r sha256sum)
    elif [[ -f $input ]]; then sha256sum <"$input"
    else printf '%s\n' "$input"; fi
  done | sha256sum | cut -c1-16
}

# logged FILE COMMAND…: runs quietly; what it printed is shown only when it failed.
logged() {
  local log=$1; shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || { local code=$?; tail -n 40 "$log" >&2; die "$1 failed with $code; the whole log is $log"; }
}

# own_image: SYNCCLUSTER_IMAGE, which a cluster of one's own (KUBECONTEXT) must be able to pull: nothing can be loaded into its nodes.
own_image() {
  [[ -z ${SYNCCLUSTER_IMAGE:-} ]] || return 0
  die "the cluster of '$KUBECONTEXT' needs an image it can pull, in SYNCCLUSTER_IMAGE. To make one and push it to a registry of yours:
    KUBECONTEXT= make binaries
    docker build -t REGISTRY/synccluster:TAG -f kind/images/synccluster/Containerfile target/image
    docker push REGISTRY/synccluster:TAG
    KUBECONTEXT=$KUBECONTEXT SYNCCLUSTER_IMAGE=REGISTRY/synccluster:TAG make demo
  It also pulls $POSTGRES_IMAGE_PUBLISHED and $KAFKA_IMAGE_PUBLISHED, unless POSTGRES_IMAGE and KAFKA_IMAGE name others."
}

is_root() { [[ $(id -u) == 0 ]]; }
on_debian() { [[ -e /etc/debian_version ]] && command -v apt-get >/dev/null; }
# running PID_FILE NAME: the cache outlives the machine's boots, and by then the number may be somebody else's.
running() { [[ -s $1 && $(cat "/proc/$(<"$1")/comm" 2>/dev/null) == "$2" ]]; }

# What up.sh decided last: whose engine (theirs or own) and whose images (published or made).
MODE_FILE=$RUN/mode
ENGINE='' IMAGES=''
# shellcheck source=/dev/null
if [[ -e $MODE_FILE ]]; then source "$MODE_FILE"; fi

# use_own_engine: every docker and kind command after this speaks to the engine of kind/offline/engine.sh, with its own client.
use_own_engine() {
  export DOCKER_HOST=unix://$ENGINE_SOCKET DOCKER_CONFIG=$CACHE/engine/client DOCKER_BUILDKIT=1
  unset DOCKER_CONTEXT DOCKER_TLS_VERIFY
  PATH=$CACHE/engine/bin:$PATH
}
if [[ $ENGINE == own ]]; then use_own_engine; fi
