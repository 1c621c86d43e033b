#!/usr/bin/env bash
# Fetches the Socket.IO clients that the gateway is tested with, from npm and PyPI, into
# ${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts/socketio. Does nothing for what is there already.
#
#   tests/socketio/fetch.sh           fetch what is missing
#   tests/socketio/fetch.sh --check   fail if something is missing, fetch nothing
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
parts=${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts
place=$parts/socketio
# What is there was made of this.
wanted=$(cat "$here/package-lock.json" "$here/requirements.txt" | sha256sum | cut -d' ' -f1)
whole() { [[ -f $place/made-of && $(<"$place/made-of") == "$wanted" ]]; }

case ${1:-} in
  --check)
    whole || { echo "error: $place is missing or of other versions; run tests/socketio/fetch.sh" >&2; exit 1; }
    exit 0 ;;
  '') ;;
  *) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 64 ;;
esac
if whole; then exit 0; fi

for command in node npm python3; do
  command -v "$command" >/dev/null || { echo "error: $command is missing (Debian: nodejs npm python3-venv); Node 18 or newer, Python 3.10 or newer" >&2; exit 1; }
done
mkdir -p "$parts"
log=$(mktemp "$parts/.fetch.XXXXXX")
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; echo "error: $1 failed; are npm's registry and PyPI (or mirrors of them) in reach?" >&2; exit 1; }; }

echo "==> fetching socket.io-client and python-socketio"
# A virtual environment cannot be moved, so the mark is set last and what has none is made anew.
rm -rf "$place"
mkdir -p "$place"
cp "$here/package.json" "$here/package-lock.json" "$place"
quietly npm ci --prefix "$place" --no-audit --no-fund --omit=dev
quietly python3 -m venv "$place/venv"
quietly "$place/venv/bin/python" -m pip install --disable-pip-version-check --no-deps --requirement "$here/requirements.txt"
echo "$wanted" >"$place/made-of"
