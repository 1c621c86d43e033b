# SyncCluster: everything is one of these targets. `make help` lists them, under the headings that begin with `##@`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.NOTPARALLEL:

# shellcheck sources of kind/: versions, cache folder, PATH with kind, kubectl and helm.
# With KUBECONTEXT every kubectl goes to that context of the kubeconfig in use; the tests read it themselves.
ENV := source kind/env.sh; context=(); if [ -z "$${KUBECONTEXT:-}" ]; then export KUBECONFIG=$$CLUSTER_KUBECONFIG; \
  else context=(--context "$$KUBECONTEXT"); kubectl() { command kubectl "$${context[@]}" "$$@"; }; fi
NAMESPACE ?= demo
ROWS ?= 1000
SEED ?= load --rows $(ROWS)
CLUSTER ?= demo
# Not from the environment, where others use that name.
PORT := 5400
SYSTEM := synccluster-system
BINARIES := synccluster-operator synccluster-connector synccluster-sink synccluster-schema synccluster-gateway synccluster-counter synccluster-debezium synccluster-clickhouse synccluster-seeder

.PHONY: help page demo test beside built-for-e2e unit integration chart e2e lint down clean-cache cluster binaries images install tour cut heal ports logs status generate deny bench-spine bench-gateway bench-analytics bench-counter bench-seeder seed dev notebooks hooks

##@ Start here
help: ## list the targets
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' Makefile

demo: cluster binaries images install tour ## a cluster, the operator, examples/todo.yaml, a tour of a partition and a page to open

##@ What `make demo` does, in order
cluster: ## bring up the kind cluster (KUBECONTEXT=name uses one that exists)
	@kind/up.sh

# A cluster of one's own pulls an image that was built before.
binaries: $(if $(KUBECONTEXT),,page) ## build what goes into the image
	@if [ -n "$${KUBECONTEXT:-}" ]; then echo "==> nothing is built: $$KUBECONTEXT pulls $${SYNCCLUSTER_IMAGE:-no image}"; exit; fi
	echo "==> building the binaries (about 6 minutes the first time)"
	cargo build --release --locked $$([ -t 2 ] || echo --quiet) $(addprefix -p ,$(BINARIES))
	mkdir -p target/image
	for binary in $(BINARIES); do cmp -s "$${CARGO_TARGET_DIR:-target}/release/$$binary" "target/image/$$binary" || cp "$${CARGO_TARGET_DIR:-target}/release/$$binary" target/image/; done

# Built again when a source is newer than what was built; node_modules when the lock is.
PAGE := workloads/gateway/page
page: $(PAGE)/dist/index.html ## build the gateway's page, which its binary embeds
$(PAGE)/dist/index.html: $(PAGE)/node_modules/.installed $(PAGE)/build.mjs $(PAGE)/tsconfig.json $(shell find workloads/gateway/page/src -type f)
	@npm --prefix $(PAGE) run --silent build
%/node_modules/.installed: %/package-lock.json %/package.json
	@command -v npm >/dev/null || { echo "error: npm is missing: install Node.js 20 or newer (Debian: apt-get install nodejs npm), then run this again" >&2; exit 1; }
	npm --prefix $* ci --silent --no-progress
	touch $@

images: ## build the images and load what the nodes lack
	@kind/images.sh

install: ## install or upgrade the operator by Helm
	@kind/install.sh $(SYSTEM)

tour: ## apply examples/todo.yaml, show a partition and its heal, and say where the page is
	@examples/tour.sh $(NAMESPACE)

##@ Tests
test: lint unit chart beside e2e ## everything: what .ci/run runs

# What only the e2e tests need is built beside the integration tests, in the processor time that they leave.
beside:
	@mkdir -p target
	chrt --idle 0 nice $(MAKE) --no-print-directory binaries built-for-e2e >target/beside.log 2>&1 &
	trap 'kill $$! 2>/dev/null || true' EXIT
	$(MAKE) --no-print-directory integration
	wait $$! || { cat target/beside.log >&2; exit 1; }
	trap - EXIT

# With the engine and the images that do not change from day to day.
built-for-e2e:
	@kind/up.sh --images
	tests/e2e/run.sh --build

# Every test is built as part of the whole workspace: which packages are chosen decides which features their dependencies have, and so whether
# these are built once or once more for each choice. What runs is chosen by name.
programs = $(addprefix --test ,$(notdir $(basename $(wildcard $(addsuffix /tests/*.rs,$1)) $(patsubst %/main.rs,%,$(wildcard $(addsuffix /tests/*/main.rs,$1))))))

lint: page ## formatting and clippy
	@kind/tools.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

deny: ## licences and sources of all crates, as deny.toml wants them (cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "error: cargo-deny is missing: cargo install --locked cargo-deny --version 0.20.2 (some minutes)" >&2; exit 1; }
	# Not advisories: they are a git repository at GitHub. Where that is in reach: cargo deny check advisories
	cargo deny --locked check licenses bans sources

unit: page ## unit and property tests
	@kind/tools.sh --tests
	tests/harness/fetch.sh
	npm --prefix $(PAGE) run --silent test
	cargo test --locked --workspace --lib --bins
	cargo test --locked --workspace --doc --quiet
	# The tests of kind's stand-in network make network namespaces, which only root may.
	[ "$$(id -u)" = 0 ] || echo "==> not root: the tests of kind/network are left out"
	cargo test --locked --workspace --exclude synccluster-e2e --exclude synccluster-integration $(call programs,workloads/merge) $$([ "$$(id -u)" != 0 ] || echo $(call programs,kind/network))

integration: page tests/page/node_modules/.installed ## sites against Postgres and Kafka as plain processes; make integration INTEGRATION="conflicts races" for some
	@kind/tools.sh --tests
	tests/harness/fetch.sh
	@tests/socketio/fetch.sh
	@tests/harness/venv.sh notebooks notebooks/requirements.txt
	@tests/harness/venv.sh superset kind/images/superset/requirements.txt
	tests/integration/run.sh $(INTEGRATION)

chart: ## lint and render the charts
	@kind/tools.sh
	$(ENV)
	charts/sync-crds.sh --check
	charts/test.sh

e2e: cluster binaries images install tests/page/node_modules/.installed ## tests on the cluster; make e2e E2E="partition scale" for some
	@kind/tools.sh --tests
	@tests/socketio/fetch.sh
	$(ENV)
	helm test synccluster $${KUBECONTEXT:+--kube-context "$$KUBECONTEXT"} --namespace $(SYSTEM)
	tests/e2e/run.sh $(E2E)

##@ Tidy up
down: ## delete the cluster and everything that runs; the cache stays
	@kind/down.sh

clean-cache: ## delete the cache too
	@kind/down.sh --cache

##@ The cluster that runs: NAMESPACE=demo CLUSTER=demo unless you say otherwise
cut: ## make cut CLIENTS=1,2 or COUNTERS=0, or both; LINK=Uplink or Downlink for one way
	@$(ENV)
	[ -n "$(CLIENTS)$(COUNTERS)" ] || { echo "error: nobody is named: make cut CLIENTS=1,2 or make cut COUNTERS=0" >&2; exit 1; }
	# All of it, so that nothing of an earlier cut stays.
	cut='"clients":$(if $(CLIENTS),[$(CLIENTS)],null),"counters":$(if $(COUNTERS),[$(COUNTERS)],null),"link":$(if $(LINK),"$(LINK)",null),"server":null,"healAfter":null'
	set -x; kubectl -n $(NAMESPACE) patch synccluster $(CLUSTER) --type merge -p "{\"spec\":{\"partition\":{$$cut}}}"

heal: ## end the partition
	@$(ENV)
	set -x; kubectl -n $(NAMESPACE) patch synccluster $(CLUSTER) --type merge -p '{"spec":{"partition":null}}'

seed: ## fill the tables of the cluster: make seed ROWS=1000; or make seed SEED="deltas --rate 50 --duration 1m"
	@$(ENV)
	set -x; kubectl -n $(NAMESPACE) patch synccluster $(CLUSTER) --type merge -p '{"spec":{"seeder":{}}}'
	kubectl -n $(NAMESPACE) wait --for=create --timeout=60s statefulset/$(CLUSTER)-seeder
	kubectl -n $(NAMESPACE) rollout status --timeout=120s statefulset/$(CLUSTER)-seeder
	kubectl -n $(NAMESPACE) exec $(CLUSTER)-seeder-0 -- synccluster-seeder $(SEED)

status: ## what the operator says
	@$(ENV)
	set -x; kubectl -n $(NAMESPACE) get synccluster $(CLUSTER) -o wide; kubectl -n $(NAMESPACE) get synccluster $(CLUSTER) -o jsonpath='{range .status.conditions[*]}{.type}{"\t"}{.status}{"\t"}{.reason}{"\t"}{.message}{"\n"}{end}'

ports: ## server on localhost:5400, client i on 5431+i, until Ctrl-C; PORT=6400 for 6400 and 6431+i
	@$(ENV)
	trap 'kill $$(jobs -p) 2>/dev/null || true' EXIT
	port_of() { if [ "$$1" = server ]; then echo $$(($(PORT))); else echo $$(($(PORT) + 31 + $${1#client-})); fi; }
	sites=$$(kubectl -n $(NAMESPACE) get statefulset -l synccluster.dev/cluster=$(CLUSTER),app.kubernetes.io/component=postgres -o jsonpath='{range .items[*]}{.metadata.labels.synccluster\.dev/site}{"\n"}{end}')
	[ -n "$$sites" ] || { echo "error: namespace $(NAMESPACE) has no sites of a SyncCluster $(CLUSTER): make ports NAMESPACE=… CLUSTER=…" >&2; exit 1; }
	for site in $$sites; do
	  port=$$(port_of "$$site")
	  if (: <>"/dev/tcp/localhost/$$port") 2>/dev/null; then
	    echo "error: port $$port of this machine, for $$site, is taken: make ports PORT=$$(($(PORT) + 1000)) takes others" >&2
	    exit 1
	  fi
	done
	for site in $$sites; do
	  forward=(kubectl "$${context[@]}" -n $(NAMESPACE) port-forward "service/$(CLUSTER)-$$site" "$$(port_of "$$site"):5432")
	  echo "+ $${forward[*]}" >&2
	  # In place of its shell, so that what is killed at the end is kubectl itself.
	  exec "$${forward[@]}" &
	done
	wait

logs: ## make logs SITE=client-2
	@$(ENV)
	[ -n "$(SITE)" ] || { echo "error: no site is named: make logs SITE=server or make logs SITE=client-2" >&2; exit 1; }
	sites=$$(kubectl -n $(NAMESPACE) get pods -l synccluster.dev/cluster=$(CLUSTER),synccluster.dev/site -o jsonpath='{range .items[*]}{.metadata.labels.synccluster\.dev/site}{"\n"}{end}' | sort -Vu)
	[ -n "$$sites" ] || { echo "error: namespace $(NAMESPACE) has no sites of a SyncCluster $(CLUSTER): make logs SITE=$(SITE) NAMESPACE=… CLUSTER=…" >&2; exit 1; }
	grep -qxF -e "$(SITE)" <<<"$$sites" || { echo "error: $(CLUSTER) has no site $(SITE): make logs SITE=… with one of" $$sites >&2; exit 1; }
	set -x; kubectl -n $(NAMESPACE) logs -l synccluster.dev/cluster=$(CLUSTER),synccluster.dev/site=$(SITE) --all-containers --prefix --tail=50

##@ Measure; CHECK=1 (not for bench-spine): an error where what is wanted is not reached
bench-spine: ## measure Ready, latency, heal and memory on the cluster that runs
	@tests/bench/spine.sh

bench-gateway: page ## measure the gateway side by side with other Socket.IO servers
	@tests/harness/fetch.sh
	@tests/socketio/fetch.sh
	cargo build --release --locked --quiet -p synccluster-bench-gateway
	"$${CARGO_TARGET_DIR:-target}/release/synccluster-bench-gateway" $(if $(CHECK),--check)

bench-analytics: ## measure the sink of ClickHouse side by side with clickhouse-client
	@kind/tools.sh --tests
	tests/harness/fetch.sh
	cargo build --release --locked --quiet -p synccluster-clickhouse -p synccluster-bench-clickhouse
	"$${CARGO_TARGET_DIR:-target}/release/synccluster-bench-clickhouse" $(if $(CHECK),--check)

bench-counter: ## measure the counter's windows side by side with Kafka Streams, and its likes
	@tests/harness/fetch.sh
	cargo build --release --locked --quiet -p synccluster-counter -p synccluster-bench-counter -p synccluster-bench-counter-likes
	# What the likes miss does not keep the windows from being measured.
	missed=0
	"$${CARGO_TARGET_DIR:-target}/release/synccluster-bench-counter-likes" $(if $(CHECK),--check) || missed=$$?
	"$${CARGO_TARGET_DIR:-target}/release/synccluster-bench-counter" $(if $(CHECK),--check) || missed=$$?
	exit $$missed

bench-seeder: ## measure the seeder's load side by side with COPY, and its deltas
	@tests/harness/fetch.sh
	cargo build --release --locked --quiet -p synccluster-seeder -p synccluster-bench-seeder
	"$${CARGO_TARGET_DIR:-target}/release/synccluster-bench-seeder" $(if $(CHECK),--check)

##@ Work on it
dev: page ## make dev WORKLOAD=sink SITE=client-1: sites and Kafka as plain processes, and how to run that workload against them
	@tests/harness/fetch.sh
	cargo run --quiet --locked -p synccluster-integration --bin dev -- --workload "$(or $(WORKLOAD),none)" \
	  $(if $(SITE),--site "$(SITE)") $(if $(CLIENTS),--clients "$(CLIENTS)") $(if $(SCHEMA),--schema "$(SCHEMA)")

notebooks: page ## JupyterLab with notebooks/ on sites and Kafka as plain processes; ends with Ctrl-C
	@tests/harness/fetch.sh
	@tests/harness/venv.sh notebooks notebooks/requirements.txt
	source kind/env.sh
	cargo run --quiet --locked -p synccluster-integration --bin dev -- --workload none -- "$$CACHE/parts/notebooks/bin/jupyter" lab --notebook-dir notebooks $$([ "$$(id -u)" != 0 ] || echo --allow-root)

hooks: ## check every commit (.pre-commit-config.yaml), and clippy before every push
	@command -v pre-commit >/dev/null || { echo "error: pre-commit is missing: pipx install pre-commit (Debian: apt-get install pre-commit)" >&2; exit 1; }
	pre-commit install --hook-type pre-commit --hook-type pre-push

generate: page ## write the generated files: the CRD and the chart's copy, the descriptions of the APIs of gateway and seeder
	@document=$$(cargo run --quiet --locked -p synccluster-operator -- crd)
	echo "$$document" > crds/synccluster.yaml
	charts/sync-crds.sh
	document=$$(cargo run --quiet --locked -p synccluster-gateway -- openapi)
	echo "$$document" > workloads/gateway/openapi.json
	document=$$(cargo run --quiet --locked -p synccluster-seeder -- openapi)
	echo "$$document" > workloads/seeder/openapi.json
