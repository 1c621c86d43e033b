#!/usr/bin/env bash
# runc on a machine that has not got CAP_SYS_RESOURCE itself. A privileged container asks for every capability there is, and runc
# refuses to start what it cannot grant; so this one is taken off the list before runc sees it. Called by the Docker engine.
set -euo pipefail

bundle='' process='' previous=''
for word in "$@"; do
  case $previous in
    -b | --bundle) bundle=$word ;;
    -p | --process) process=$word ;;
  esac
  case $word in
    --bundle=*) bundle=${word#*=} ;;
    --process=*) process=${word#*=} ;;
  esac
  previous=$word
done

# `create` and `run` read capabilities from the bundle's configuration, `exec` from a process description.
file=${process:-${bundle:+$bundle/config.json}}
if [[ -f $file ]]; then
  lean=$(jq -c 'walk(if type == "object" and (.capabilities | type) == "object"
    then .capabilities |= map_values(if type == "array" then . - ["CAP_SYS_RESOURCE"] else . end) else . end)' "$file")
  printf '%s' "$lean" >"$file"
fi
exec /usr/sbin/runc "$@"
