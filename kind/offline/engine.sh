#!/usr/bin/env bash
# A Docker engine of our own, for a machine where none runs. It lives in a network namespace that has nothing but loopback:
# the machine's firewall and routes stay as they are, and containers have no way out. Data, socket and log are in the cache folder.
#
#   kind/offline/engine.sh start
#   kind/offline/engine.sh stop
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

namespace=synccluster
pid_file=$RUN/engine.pid
home=$CACHE/engine
log=$RUN/engine.log

start() {
  if running "$pid_file" dockerd; then return; fi
  is_root || die "an engine of our own needs root (or start Docker yourself, and run this again)"
  say "starting a Docker engine in the network namespace '$namespace'"
  mkdir -p "$home/bin" "$home/client"
  # Debian's client and engine are of one version; another client on PATH may lack what building needs.
  ln -sfn /usr/bin/docker "$home/bin/docker"
  [[ -e /run/netns/$namespace ]] || ip netns add "$namespace"
  # nsenter and not `ip netns exec`: that mounts /sys anew, and the cgroups below it are gone.
  local inside=(nsenter "--net=/run/netns/$namespace")
  "${inside[@]}" ip link set lo up

  local runtime=()
  if ! may_raise_limits; then
    runtime=(--add-runtime "lean=$KIND_DIR/offline/runc-lean.sh" --default-runtime lean)
  fi
  rm -f "$pid_file"
  # It works for all who come later: that who starts it has time is not for them. Not everywhere may this be changed.
  local normal=()
  if chrt --other 0 true 2>/dev/null; then normal=(chrt --other 0 nice -n $((-$(nice)))); fi
  setsid "${normal[@]}" "${inside[@]}" dockerd --host "unix://$ENGINE_SOCKET" --pidfile "$pid_file" \
    --data-root "$home/root" --exec-root "$RUN/engine" --storage-driver overlay2 --oom-score-adjust 0 \
    --bip 198.18.200.1/24 --default-address-pool base=198.18.208.0/20,size=24 --dns 198.18.200.1 \
    "${runtime[@]}" </dev/null >"$log" 2>&1 &
  local tries
  for ((tries = 0; tries < 150; tries++)); do
    if docker --host "unix://$ENGINE_SOCKET" version >/dev/null 2>&1; then return; fi
    kill -0 $! 2>/dev/null || break
    sleep 0.2
  done
  tail -n 20 "$log" >&2
  die "the engine did not start; the whole log is $log"
}

# CAP_SYS_RESOURCE is number 24.
may_raise_limits() {
  local bounding
  bounding=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
  (((0x$bounding >> 24) & 1))
}

stop() {
  if running "$pid_file" dockerd; then
    say "stopping the Docker engine"
    local pid tries; pid=$(<"$pid_file")
    kill "$pid"
    for ((tries = 0; tries < 150; tries++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
    kill -0 "$pid" 2>/dev/null && kill -9 "$pid"
  fi
  rm -f "$pid_file"
  # Deepest first.
  awk -v a="$home/" -v b="$RUN/" 'index($2, a) == 1 || index($2, b) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l
  if [[ -e /run/netns/$namespace ]]; then ip netns delete "$namespace"; fi
  rm -rf "$RUN/engine"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) die "start or stop?" ;;
esac
