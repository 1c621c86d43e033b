#!/usr/bin/env bash
# Makes a virtual environment of pinned Python packages, from PyPI, in
# ${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts/NAME. Does nothing when it is there already, of the same packages.
#
#   tests/harness/venv.sh notebooks notebooks/requirements.txt                 JupyterLab and what the notebooks import (500 MB)
#   tests/harness/venv.sh superset kind/images/superset/requirements.txt       Superset (800 MB)
set -euo pipefail
if (($# != 2)); then sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 64; fi
name=$1 requirements=$2
parts=${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts
place=$parts/$name
wanted=$(sha256sum <"$requirements" | cut -d' ' -f1)
if [[ -f $place/made-of && $(<"$place/made-of") == "$wanted" ]]; then exit 0; fi

# What is pinned takes 3.11; of the pandas and the numpy that Superset 6.1 asks for none is built for 3.13.
python=
for candidate in python3.11 python3.12 python3; do
  if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then python=$candidate; break; fi
done
[[ -n $python ]] || { echo "error: Python 3.11 or 3.12 with venv is missing (Debian 12: python3-venv)" >&2; exit 1; }
mkdir -p "$parts"
log=$(mktemp "$parts/.fetch.XXXXXX")
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; echo "error: $1 failed; is PyPI (or a mirror of it) in reach?" >&2; exit 1; }; }

echo "==> fetching the Python packages of $requirements (about a minute)"
# A virtual environment cannot be moved, so the mark is set last and what has none is made anew.
rm -rf "$place"
quietly "$python" -m venv "$place"
quietly "$place/bin/python" -m pip install --disable-pip-version-check --no-deps --requirement "$requirements"
echo "$wanted" >"$place/made-of"
