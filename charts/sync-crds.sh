#!/usr/bin/env bash
# The chart synccluster-crds carries a copy of crds/synccluster.yaml, because Helm packs only what lies in the chart's own folder.
#
#   charts/sync-crds.sh           copy it
#   charts/sync-crds.sh --check   fail if they differ, change nothing
set -euo pipefail
charts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
generated=$charts/../crds/synccluster.yaml
copy=$charts/synccluster-crds/files/synccluster.yaml

[[ -s $generated ]] || { echo "error: crds/synccluster.yaml is missing: generate it with cargo run -p synccluster-operator -- crd >crds/synccluster.yaml" >&2; exit 1; }
case ${1:-} in
  --check)
    diff -u "$copy" "$generated" || { echo "error: the chart's copy of the CRD is not crds/synccluster.yaml: run charts/sync-crds.sh" >&2; exit 1; } ;;
  '')
    mkdir -p "$(dirname "$copy")"
    cmp -s "$generated" "$copy" || cp "$generated" "$copy" ;;
  *) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 64 ;;
esac
