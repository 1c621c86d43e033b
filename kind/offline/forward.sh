#!/usr/bin/env bash
# Brings ports of the engine's network namespace to 127.0.0.1 of the machine, so that kubectl, tests and browsers need no prefix.
# A Unix socket is the same in every network namespace: one socat listens here, its twin dials inside.
#
#   kind/offline/forward.sh start PORT…
#   kind/offline/forward.sh stop
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"

namespace=synccluster

# daemon PID_FILE COMMAND…
daemon() {
  local pid_file=$1; shift
  setsid "$@" </dev/null >>"$RUN/forward.log" 2>&1 &
  echo $! >"$pid_file"
}

start() {
  local port socket
  for port in "$@"; do
    socket=$RUN/forward-$port.sock
    if ! running "$RUN/forward-$port.inside.pid" socat; then
      rm -f "$socket"
      daemon "$RUN/forward-$port.inside.pid" nsenter "--net=/run/netns/$namespace" \
        socat "UNIX-LISTEN:$socket,fork,mode=600" "TCP:127.0.0.1:$port"
    fi
    running "$RUN/forward-$port.pid" socat && continue
    daemon "$RUN/forward-$port.pid" socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork,backlog=128" "UNIX-CONNECT:$socket"
    sleep 0.2
    kill -0 $! 2>/dev/null || die "port $port of 127.0.0.1 is taken by somebody else: $(tail -n 1 "$RUN/forward.log")"
  done
}

stop() {
  local pid_file
  for pid_file in "$RUN"/forward-*.pid; do
    # The whole process group: each connection has a process of its own.
    if running "$pid_file" socat; then kill -- "-$(<"$pid_file")" 2>/dev/null || true; fi
    rm -f "$pid_file"
  done
  rm -f "$RUN"/forward-*.sock
}

command=${1:-}
case $command in
  start) shift; start "$@" ;;
  stop) stop ;;
  *) die "start PORT… or stop?" ;;
esac
