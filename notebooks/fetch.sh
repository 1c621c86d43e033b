#!/usr/bin/env bash
# Fetches JupyterLab and what the notebooks import, from PyPI, into
# ${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts/notebooks. Does nothing for what is there already.
#
#   notebooks/fetch.sh           fetch what is missing
#   notebooks/fetch.sh --check   fail if something is missing, fetch nothing
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
parts=${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts
place=$parts/notebooks
# What is there was made of this.
wanted=$(sha256sum <"$here/requirements.txt" | cut -d' ' -f1)
whole() { [[ -f $place/made-of && $(<"$place/made-of") == "$wanted" ]]; }

case ${1:-} in
  --check)
    whole || { echo "error: $place is missing or of other versions; run notebooks/fetch.sh" >&2; exit 1; }
    exit 0 ;;
  '') ;;
  *) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 64 ;;
esac
if whole; then exit 0; fi

command -v python3 >/dev/null || { echo "error: python3 is missing (Debian: python3-venv); 3.11 or newer" >&2; exit 1; }
mkdir -p "$parts"
log=$(mktemp "$parts/.fetch.XXXXXX")
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; echo "error: $1 failed; is PyPI (or a mirror of it) in reach?" >&2; exit 1; }; }

echo "==> fetching JupyterLab and what the notebooks import (500 MB, half a minute)"
# A virtual environment cannot be moved, so the mark is set last and what has none is made anew.
rm -rf "$place"
quietly python3 -m venv "$place"
quietly "$place/bin/python" -m pip install --disable-pip-version-check --no-deps --requirement "$here/requirements.txt"
echo "$wanted" >"$place/made-of"
