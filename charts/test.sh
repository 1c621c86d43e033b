#!/usr/bin/env bash
# Tests the charts without a cluster: lint, what several sets of values render, and how wrong values are refused.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}
PATH=$PATH:$cache/bin
command -v helm >/dev/null || { echo "error: helm is missing: kind/tools.sh builds it" >&2; exit 1; }
# shellcheck source=kind/versions.env
source ../kind/versions.env
# What the tests look at, not what the user has configured.
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export HELM_CACHE_HOME=$work/cache HELM_CONFIG_HOME=$work/config HELM_DATA_HOME=$work/data

failed=0 passed=0
ok() { passed=$((passed + 1)); printf 'ok    %s\n' "$1"; }
bad() { failed=$((failed + 1)); printf 'FAIL  %s\n' "$1"; printf '      %s\n' "${2//$'\n'/$'\n'      }"; }
check() { local what=$1 said; shift; if said=$("$@" 2>&1); then ok "$what"; else bad "$what" "$said"; fi; }

# render NAME ARGUMENTS…: the operator's chart with these values, for the checks below.
render() { rendered=$work/$1.yaml; shift; helm template synccluster synccluster --namespace operators "$@" >"$rendered" 2>"$work/error" || bad "renders with: $*" "$(cat "$work/error")"; }
# Lines, whole but for leading spaces.
has() { if grep -qxE -- " *($2)" "$rendered"; then ok "$1"; else bad "$1" "$(printf 'no line: %s' "$2")"; fi; }
lacks() { local found; if found=$(grep -xE -- " *($2)" "$rendered"); then bad "$1" "$found"; else ok "$1"; fi; }
refuses() {
  local what=$1 message=$2 said; shift 2
  if said=$(helm template synccluster synccluster "$@" 2>&1); then bad "$what" "was accepted: $*"
  elif [[ $said == *"$message"* ]]; then ok "$what"
  else bad "$what" "$said"; fi
}

check "the chart's copy of the CRD is the generated one" ./sync-crds.sh --check
check "lint synccluster" helm lint --strict --quiet synccluster
check "lint synccluster, one namespace" helm lint --strict --quiet synccluster --set watchNamespace=shops
check "lint synccluster-crds" helm lint --strict --quiet synccluster-crds

render cluster-wide
has "cluster-wide: a ClusterRole" "kind: ClusterRole"
has "cluster-wide: bound to the release's account" "namespace: operators"
lacks "cluster-wide: no Role" "kind: Role(Binding)?"
lacks "cluster-wide: the operator is told no namespace" ".*--namespace=.*"
has "the pod has the label the network policies ask for" "app.kubernetes.io/name: synccluster-operator"
has "the operator makes the Leases of counter nodes" "resources: \[leases\]"
has "passwords are never replaced nor deleted" "verbs: \[get, list, create, patch\]"
has "Postgres as kind/ has it" "- \"--postgres-image=$POSTGRES_IMAGE_PUBLISHED\""
has "Kafka as kind/ has it" "- \"--kafka-image=$KAFKA_IMAGE_PUBLISHED\""
has "ClickHouse as kind/ has it" "- \"--clickhouse-image=$CLICKHOUSE_IMAGE_PUBLISHED\""
has "Kafka Connect as kind/ makes it" "- \"--connect-image=synccluster/connect:$KAFKA_VERSION-$DEBEZIUM_VERSION\""
lacks "nothing may do everything" ".*(verbs|resources|apiGroups): .*[*].*"
has "gateways are held to the partition" "kind: ValidatingAdmissionPolicy"
has "the policy is in force" "kind: ValidatingAdmissionPolicyBinding"
has "the policy's name is this release's" "policyName: synccluster-operator-gateway.operators"
lacks "the policy holds in all namespaces" "namespaceSelector:"
check "every container has a read-only root and no privilege" awk '
  /^ *image:/ {containers++} /readOnlyRootFilesystem: true/ {readonly++} /drop: \[ALL\]/ {dropped++} /allowPrivilegeEscalation: false/ {kept++}
  END {printf "%d containers, %d read-only, %d without capabilities, %d without escalation\n", containers, readonly, dropped, kept
       exit !(containers == 2 && readonly == 2 && dropped == 2 && kept == 2)}' "$rendered"

render one-namespace --set watchNamespace=shops
has "one namespace: a Role" "kind: Role"
has "one namespace: there" "namespace: shops"
has "one namespace: the operator is told" "- --namespace=shops"
lacks "one namespace: no rights in the whole cluster" "kind: ClusterRole(Binding)?"
has "one namespace: gateways are held to the partition there" "matchLabels: \{kubernetes.io/metadata.name: shops\}"

render without-policy --set watchNamespace=shops --set gatewayAdmissionPolicy=false
lacks "without the admission policy: nothing for the whole cluster" "kind: (Cluster.*|ValidatingAdmission.*)"

render images --set images.synccluster=registry.example.com:5000/team/sync:v1 --set images.postgres="postgres@sha256:$(printf '%064d' 0)" --set imagePullPolicy=Always
has "images: the operator's" "image: \"registry.example.com:5000/team/sync:v1\""
has "images: the workloads' too" "- \"--image=registry.example.com:5000/team/sync:v1\""
has "images: by digest" "- \"--postgres-image=postgres@sha256:0{64}\""
has "images: pull policy" "imagePullPolicy: Always"

render pod --set podAnnotations.image=sha256:1 --set nodeSelector.disk=fast --set 'tolerations[0].key=edge' --set 'imagePullSecrets[0].name=registry' --set resources.limits.memory=64Mi --set logLevel=info\\,kube=debug
has "pod: annotations" "image: sha256:1"
has "pod: node selector" "disk: fast"
has "pod: tolerations" "- key: edge"
has "pod: pull secrets" "- name: registry"
has "pod: resources, merged with the defaults" "memory: 64Mi"
has "pod: log level" "- \{name: RUST_LOG, value: \"info,kube=debug\"\}"

lacks "without monitoring: nothing of Prometheus or Grafana" "(kind: (PrometheusRule|ServiceMonitor|PodMonitor)|grafana_dashboard: .*)"

render monitoring --set monitoring.dashboards.enabled=true,monitoring.prometheusRules.enabled=true,monitoring.monitors.enabled=true \
  --set monitoring.runbooks=https://git.example.com/docs/,monitoring.prometheusRules.slotRetainedMiB=3000,monitoring.monitors.labels.release=prometheus
has "monitoring: dashboards for the sidecar" "grafana_dashboard: \"1\""
has "monitoring: alerts" "kind: PrometheusRule"
has "monitoring: an alert's text is Prometheus' to fill in" "summary: \"the slot of [{][{] [$]labels.site }} of [{][{] [$]labels.cluster }} keeps [{][{] [$]value [|] humanize1024 }}B of WAL\""
has "monitoring: runbooks lie where they are said to lie" "runbook_url: https://git.example.com/docs/docs/operations.md#slots-and-disk"
lacks "monitoring: no runbook without an address" "runbook_url: docs/.*"
has "monitoring: the slot's limit" "expr: max by .*synccluster_uplink_slot_retained_bytes. > 3000 [*] 1024 [*] 1024"
has "monitoring: the operator is scraped" "kind: ServiceMonitor"
has "monitoring: and the workloads, of all namespaces" "any: true"
has "monitoring: found by the labels of Prometheus" "release: prometheus"
# shellcheck disable=SC2016 # jq's variables, not the shell's
check "monitoring: every dashboard is rendered as it is in files/" jq -en --rawfile chart "$rendered" \
  '[$chart | scan("(?m)^  synccluster-[a-z]+\\.json: (.*)$")[0] | fromjson | fromjson] == [inputs]' synccluster/files/dashboards/*.json

render monitoring-one-namespace --set watchNamespace=shops,monitoring.monitors.enabled=true
has "monitoring, one namespace: workloads are scraped there" "matchNames: \[shops\]"
lacks "monitoring, one namespace: and nowhere else" "any: true"

refuses "a misspelt value" "additional properties 'imagePulPolicy' not allowed" --set imagePulPolicy=Always
refuses "an image that is a number" "at '/images/kafka': got number, want string" --set images.kafka=4
refuses "an image with a space" "at '/images/postgres': 'postgres 17' does not match pattern" --set images.postgres='postgres 17'
refuses "no image" "at '/images/synccluster': '' does not match pattern" --set images.synccluster=
refuses "a switch that is a word" "at '/gatewayAdmissionPolicy': got string, want boolean" --set-string gatewayAdmissionPolicy=no
refuses "several namespaces" "at '/watchNamespace': 'a,b' does not match pattern" --set watchNamespace=a\\,b
refuses "a pull policy that is none" "at '/imagePullPolicy': value must be one of 'IfNotPresent', 'Always', 'Never'" --set imagePullPolicy=Sometimes
refuses "a log level that is none" "at '/logLevel': 'loud' does not match pattern" --set logLevel=loud
refuses "a threshold that is a quantity" "at '/monitoring/prometheusRules/slotRetainedMiB': got string, want integer" --set monitoring.prometheusRules.slotRetainedMiB=3Gi
refuses "dashboards without a label to find them by" "at '/monitoring/dashboards/labels': minProperties: got 0, want 1" --set monitoring.dashboards.labels.grafana_dashboard=null
refuses "a misspelt part of monitoring" "additional properties 'rules' not allowed" --set monitoring.rules.enabled=true
refuses "an interval without a unit" "at '/monitoring/monitors/interval': got number, want string" --set monitoring.monitors.interval=15
refuses "runbooks that are no URL" "at '/monitoring/runbooks': 'docs' does not match pattern" --set monitoring.runbooks=docs
refuses "a misspelt resource" "at '/resources': additional properties 'limit' not allowed" --set resources.limit.memory=64Mi

# shellcheck disable=SC2016 # awk's variables, not the shell's
explained='/^ *- apiGroups:/ {rules++; if (before !~ /^ *#/) {print "no comment before line " NR; wrong = 1}} {before = $0} END {exit wrong || !rules}'
for rules in synccluster/templates/rbac.yaml synccluster-crds/templates/roles.yaml; do
  check "each rule of $rules says why" awk "$explained" "$rules"
done

rendered=$work/crds.yaml
check "the CRD's chart renders" helm template crds synccluster-crds
helm template crds synccluster-crds >"$rendered" 2>&1 || true
has "the CRD stays when the chart goes" "helm.sh/resource-policy: keep"
has "the CRD is there" "name: syncclusters.synccluster.dev"
check "the CRD is rendered unchanged but for that" diff <(grep -vE '^(#.*)?$' ../crds/synccluster.yaml) \
  <(awk '/^# Source: /{crd = /crd.yaml$/; next} /^---$/{crd = 0} crd' "$rendered" | grep -vxE '|#.*|  annotations:|    helm.sh/resource-policy: keep')

printf '%d passed, %d failed\n' "$passed" "$failed"
exit $((failed > 0))
