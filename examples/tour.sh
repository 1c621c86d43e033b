#!/usr/bin/env bash
# A tour of a partition with examples/todo.yaml: every command it runs is shown, and every claim is checked. It ends with the address of a
# page that shows all sites; with that page open, another run can be watched there.
#
#   examples/tour.sh NAMESPACE
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../kind/env.sh"
help_if_asked "$@"
namespace=${1:-demo}
if [[ -z ${KUBECONTEXT:-} ]]; then export KUBECONFIG=$CLUSTER_KUBECONFIG; fi

cd "$ROOT_DIR"
k() { kubectl ${KUBECONTEXT:+--context "$KUBECONTEXT"} -n "$namespace" "$@"; }
# Shows the command as a person would type it.
show_k() { printf '    $ kubectl %s-n %s %s\n' "${KUBECONTEXT:+--context $KUBECONTEXT }" "$namespace" "${*@Q}" | sed "s/'\([a-z.\/-]*\)'/\1/g"; k "$@" | sed 's/^/    /'; }
sql() { k exec "demo-$1-0" -- psql -qAt -d app -c "$2"; }
show_sql() { printf '    %-9s $ psql app -c "%s"\n' "$1" "$2"; sql "$1" "$2" | sed 's/^/              /'; }
# condition TYPE: its status, reason and message.
condition() { k get synccluster demo -o jsonpath="{.status.conditions[?(@.type=='$1')]['status','reason','message']}"; }

# until_true SECONDS WHAT COMMAND…: waits for a condition, not for a time.
until_true() {
  local limit=$1 what=$2 started=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - started < limit)) || { k get synccluster demo -o yaml; k get pods -o wide; die "not within $limit s: $what"; }
    sleep 0.5
  done
  note "$what ($((SECONDS - started)) s)"
}
has_row() { [[ $(sql "$1" "select count(*) from todos where title = '$2'") == 1 ]]; }
is() { [[ $(k get synccluster demo -o jsonpath="{.status.conditions[?(@.type=='$1')].status}") == "$2" ]]; }
# The status speaks of the resource as it is now.
settled() { [[ $(k get synccluster demo -o jsonpath='{.metadata.generation}') == $(k get synccluster demo -o jsonpath='{.status.observedGeneration}') ]] && is "$1" "$2"; }

say "a SyncCluster with three clients"
k get namespace "$namespace" >/dev/null 2>&1 || k create namespace "$namespace" >/dev/null
show_k apply -f examples/todo.yaml
until_true 300 "Ready: every Postgres, connector and sink, and Kafka" settled Ready True

mark=$RANDOM$RANDOM
say "a row written at client-1 appears at the server and at client-3"
show_sql client-1 "insert into todos (title) values ('buy milk $mark')"
until_true 30 "it is at the server" has_row server "buy milk $mark"
until_true 30 "it is at client-3" has_row client-3 "buy milk $mark"

say "client-2 is cut"
until_true 30 "client-2 has it too, before the cut" has_row client-2 "buy milk $mark"
show_k patch synccluster demo --type merge -p '{"spec":{"partition":{"clients":[2]}}}'
until_true 60 "the cut is verified" settled PartitionEnforced True
note "PartitionEnforced: $(condition PartitionEnforced)"
k get synccluster demo -o jsonpath='{range .status.sites[?(@.name=="client-2")]}{.connectivity}{"\n"}{end}' | sed 's/^/    client-2: /'

say "both sides write the same row, and cannot see each other"
show_sql client-2 "update todos set title = 'oat milk $mark' where title = 'buy milk $mark'"
show_sql client-1 "update todos set title = 'soy milk $mark' where title = 'buy milk $mark'"
until_true 30 "the server has client-1's" has_row server "soy milk $mark"
has_row client-2 "oat milk $mark" || die "client-2 does not have its own write"
if has_row client-2 "soy milk $mark" || has_row server "oat milk $mark"; then die "a write crossed the cut"; fi
note "nothing crossed the cut"

say "the cut is healed"
show_k patch synccluster demo --type merge -p '{"spec":{"partition":null}}'
until_true 60 "all sites are equal" settled Converged True
note "Converged: $(condition Converged)"
for site in server client-1 client-2 client-3; do
  has_row "$site" "soy milk $mark" || die "$site does not have the later write"
  printf '    %-9s %s\n' "$site" "$(sql "$site" "select 'digest ' || digest || ', ' || rows || ' rows' from sync.digest()")"
done
say "the write that lost is recorded at the server"
show_sql server "select at::timestamp(0), kind, winner ->> 'title', loser ->> 'title' from sync.conflicts where loser ->> 'title' = 'oat milk $mark'"
[[ $(sql server "select count(*) from sync.conflicts where loser ->> 'title' = 'oat milk $mark'") == 1 ]] || die "the loser is not recorded"

say "the gateway shows every site, live"
until_true 120 "GatewayReady" settled GatewayReady True
port=8080
if [[ -z ${KUBECONTEXT:-} ]]; then
  answers() { [[ $(curl -s -o /dev/null -w '%{http_code}' --max-time 2 "http://localhost:$port/") != 000 ]]; }
  until_true 30 "http://localhost:$port leads to it" answers
else
  note "in another terminal: kubectl --context $KUBECONTEXT -n $namespace port-forward service/demo-gateway $port:80"
fi
note "with the page open, run \`make tour\` again: every step can be followed there, and you can cut and heal by a click"
say "done. Try: make status, make cut CLIENTS=1,3, make heal, make ports, make logs SITE=client-2, make down"
# On the terminal and nowhere else: the token is read at this moment, and lets whoever has it change things.
say "Open http://localhost:$port/#token=$(k get secret demo-gateway -o jsonpath='{.data.token}' | base64 -d)"
