#!/usr/bin/env bash
# Runs the e2e tests on the cluster that runs: two programs at a time, because they wait for the cluster more than they work. `page` measures
# how fast a browser is and `counter` how soon its clients are assigned anew, and `one_namespace` takes the operator away, so these run alone,
# before the others. What a program prints is shown when it has ended, and kept in target/e2e.
#
#   tests/e2e/run.sh                   all of them
#   tests/e2e/run.sh partition scale   these
#   tests/e2e/run.sh --build           none: builds what takes long the first time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/programs.sh
logs=$PWD/target/e2e
mkdir -p "$logs"

# What a test needs in the cluster that no SyncCluster needs. Built before all tests, once, then cached; put into the nodes beside the other
# program, which goes on meanwhile.
prepare() {
  local test=$1
  shift
  case $test in
    ingress) kind/ingress.sh "$@" ;;
    analytics) kind/superset.sh "$@" && kind/notebooks.sh "$@" ;;
  esac
}

one() {
  local name=$1 began=$SECONDS
  if prepare "$name" && run_program "$name" --test-threads 1 >"$logs/$name.log" 2>&1; then
    echo "==> e2e $name: passed in $((SECONDS - began)) s"
  else
    # One write, so that two failures do not mix.
    printf '%s\n==> e2e %s: FAILED after %s s\n' "$(cat "$logs/$name.log")" "$name" "$((SECONDS - began))"
    return 1
  fi
}
export -f one prepare
export logs

build=
if [[ ${1:-} == --build ]]; then build=only; shift; fi
if (($#)); then names=("$@"); else
  # The longest first, so that nobody waits for it at the end.
  mapfile -t names < <(cd tests/e2e/tests && printf '%s\n' partition.rs analytics.rs page_ten.rs debezium.rs brokers.rs *.rs | awk '!seen[$0]++' | sed 's/\.rs$//')
fi

build_programs --exclude synccluster-integration "${names[@]/#/--test=}"
failed=0
others=()
for name in "${names[@]}"; do prepare "$name" --build; done
[[ -z $build ]] || exit 0
for name in "${names[@]}"; do
  case $name in
    page | counter | one_namespace) one "$name" || failed=1 ;;
    *) others+=("$name") ;;
  esac
done
if ((${#others[@]})); then
  printf '%s\n' "${others[@]}" | xargs -P 2 -I '{}' bash -c 'one {}' || failed=1
fi
# A finalizer that nobody takes away would keep one for ever. With E2E_KEEP they are to stay.
if [[ -z ${E2E_KEEP:-} ]] && ! kubectl ${KUBECONTEXT:+--context "$KUBECONTEXT"} wait --for=delete namespace --selector=synccluster.dev/e2e --timeout=5m >"$logs/namespaces.log" 2>&1; then
  cat "$logs/namespaces.log"
  echo "==> e2e: a namespace of a test does not go"
  failed=1
fi
exit $failed
