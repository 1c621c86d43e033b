#!/usr/bin/env bash
# Takes the outputs out of the notebooks, so that a change of one is a change of what somebody wrote.
#
#   notebooks/clean.sh                   of all notebooks
#   notebooks/clean.sh --check [FILE…]   fail if one has outputs, change nothing
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clean='.cells |= map(if .cell_type == "code" then .outputs = [] | .execution_count = null else . end)'

failed=0
case ${1:-} in
  --check)
    shift
    (($#)) || set -- "$here"/*.ipynb
    for notebook in "$@"; do
      jq -e "($clean) == ." "$notebook" >/dev/null || { echo "error: $notebook has outputs; run notebooks/clean.sh" >&2; failed=1; }
    done ;;
  '')
    for notebook in "$here"/*.ipynb; do
      jq --indent 1 "$clean" "$notebook" >"$notebook.clean"
      mv "$notebook.clean" "$notebook"
    done ;;
  *) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 64 ;;
esac
exit "$failed"
