#!/usr/bin/env bash
# Runs the programs that need real Postgres and Kafka: two at a time, because at the end of each its longest test runs alone, and most
# tests wait for something more than they work. `counter_leader` measures how soon clients are assigned anew, so it runs alone, before the
# others. What a program prints is shown when it has failed, and kept in target/integration.
#
#   tests/integration/run.sh                     all of them
#   tests/integration/run.sh conflicts returned  these
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/programs.sh
logs=$PWD/target/integration
mkdir -p "$logs"
one() {
  local name=$1 began=$SECONDS
  if run_program "$name" --test-threads 2 >"$logs/$name.log" 2>&1; then
    echo "==> $name: $(sed -n 's/^test result: ok\. \([0-9]* passed\).*/\1/p' "$logs/$name.log" | paste -sd + | sed 's/+/ and /g') in $((SECONDS - began)) s"
  else
    # One write, so that two failures do not mix.
    printf '%s\n==> %s: FAILED after %s s\n' "$(cat "$logs/$name.log")" "$name" "$((SECONDS - began))"
    return 1
  fi
}
export -f one
export logs

if (($#)); then names=("$@"); else
  # The longest first, so that nobody waits for it at the end.
  mapfile -t names < <({
    printf '%s\n' large counter_windows debezium browser gateway_rows clickhouse external_kafka gateway_live races
    for path in tests/integration/tests/* tests/harness/tests/*.rs workloads/{connector,sink}/tests/*.rs; do basename "$path" .rs; done
  } | awk '!seen[$0]++')
fi
build_programs --exclude synccluster-e2e "${names[@]/#/--test=}"
failed=0
others=()
for name in "${names[@]}"; do
  case $name in
    counter_leader) one "$name" || failed=1 ;;
    *) others+=("$name") ;;
  esac
done
if ((${#others[@]})); then
  printf '%s\n' "${others[@]}" | xargs -P 2 -I '{}' bash -c 'one {}' || failed=1
fi
exit $failed
