#!/usr/bin/env bash
# Measures a SyncCluster with three clients on the cluster that runs: apply to Ready, a row from client-1 to client-3, a heal with 10,000 rows
# waiting on each of two clients, and what the processes hold. Prints min/median/max and writes target/bench/spine.json.
#
#   tests/bench/spine.sh [RUNS]      (RUNS of the heal, default 3)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../kind/env.sh"
help_if_asked "$@"
runs=${1:-3}
cd "$ROOT_DIR"
if [[ -z ${KUBECONTEXT:-} ]]; then export KUBECONFIG=$CLUSTER_KUBECONFIG; fi
namespace=bench-spine
k() { kubectl ${KUBECONTEXT:+--context "$KUBECONTEXT"} -n "$namespace" "$@"; }
sql() { k exec -i "demo-$1-0" -c postgres -- psql -qAtX -d app "${@:2}"; }
now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); }
# min/median/max of the numbers on standard input.
spread() { sort -n | awk '{v[NR]=$1} END {printf "%s/%s/%s", v[1], v[int((NR+1)/2)], v[NR]}'; }
# The condition is true of the resource as it is now.
settled() {
  local generation observed status
  read -r generation observed status < <(k get synccluster demo \
    -o jsonpath="{.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=='$1')].status}{'\n'}")
  [[ $generation == "$observed" && $status == True ]]
}
await() { local end=$((SECONDS + 180)); until settled "$1"; do ((SECONDS < end)) || die "not $1 within 180 s"; sleep 0.2; done; }
trap 'kubectl delete namespace "$namespace" --wait=false >/dev/null' EXIT

k create namespace "$namespace" >/dev/null
started=$(now)
k apply -f examples/todo.yaml >/dev/null
await Ready
ready=$(since "$started")
say "apply to Ready, three clients: $ready ms"
await Converged

say "a row from client-1 to client-3, 50 writes/s for 20 s"
sql client-3 >target/bench-arrived.txt <<'SQL' &
create temp table arrived (title text primary key, at timestamptz);
do $$ begin
  for n in 1..12000 loop
    insert into arrived select t.title, clock_timestamp() from todos t where t.title like 'latency %' on conflict do nothing;
    exit when (select count(*) from arrived) >= 1000;
    perform pg_sleep(0.002);
  end loop;
end $$;
select title, extract(epoch from at) * 1000 from arrived;
SQL
reader=$!
sql client-1 <<'SQL'
create or replace procedure write_latency() language plpgsql as $$
declare
  begun timestamptz := clock_timestamp();
begin
  for n in 1..1000 loop
    perform pg_sleep(greatest(0, extract(epoch from begun + n * interval '20 ms' - clock_timestamp())));
    insert into todos (title) values ('latency ' || extract(epoch from clock_timestamp()) * 1000);
    commit;
  end loop;
end $$;
call write_latency();
SQL
wait "$reader"
latency=$(awk -F'[ |]' '/^latency/ {printf "%.1f\n", $3 - $2}' target/bench-arrived.txt | sort -n \
  | awk '{v[NR]=$1} END {printf "\"rows\": %d, \"p50\": %s, \"p99\": %s, \"max\": %s", NR, v[int(NR*.5)], v[int(NR*.99)], v[NR]}')
rm -f target/bench-arrived.txt
say "milliseconds from the insert at client-1 to its being seen at client-3: $latency"

heals=()
for ((run = 1; run <= runs; run++)); do
  k patch synccluster demo --type merge -p '{"spec":{"partition":{"clients":[1,2]}}}' >/dev/null
  await PartitionEnforced
  for client in 1 2; do
    sql "client-$client" >/dev/null <<SQL
select format('insert into todos (title) values (%L)', 'run $run client $client row ' || n) from generate_series(1, 10000) n \gexec
SQL
  done
  started=$(now)
  k patch synccluster demo --type merge -p '{"spec":{"partition":null}}' >/dev/null
  await Converged
  heals+=("$(since "$started")")
  say "heal $run to Converged, 10,000 rows on each of two clients: ${heals[-1]} ms"
done
heal=$(printf '%s\n' "${heals[@]}" | spread)
# VmRSS, from inside each pod's own /proc.
# shellcheck disable=SC2016 # awk's variables, not the shell's
resident() { for pod in $(k get pods -l "app.kubernetes.io/component=$1" -o name); do k exec "$pod" -- awk '/VmRSS/ {print $2}' /proc/1/status; done | spread; }
connectors=$(resident connector) sinks=$(resident sink)
mkdir -p target/bench
printf '{"ready_ms": %s, "latency_ms": {%s}, "heal_ms_min_median_max": "%s", "connector_kb": "%s", "sink_kb": "%s"}\n' \
  "$ready" "$latency" "$heal" "$connectors" "$sinks" | tee target/bench/spine.json
