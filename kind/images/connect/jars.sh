#!/usr/bin/env bash
# Fetches what a Kafka Connect worker with Debezium's Postgres connector is made of, from Maven Central: FOLDER/libs and FOLDER/plugins.
# The image and the integration tests run the same.
#
#   kind/images/connect/jars.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=kind/versions.env
source "$here/../../versions.env"
folder=${1:?name the folder to fill}

mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$folder/libs" \
  "-Dkafka.version=$KAFKA_VERSION" "-Dlog4j.version=$LOG4J_VERSION"
unpacked=$(mktemp -d "$folder/.unpack.XXXXXX")
mvn -q -B dependency:unpack "-Dartifact=io.debezium:debezium-connector-postgres:$DEBEZIUM_VERSION:tar.gz:plugin" "-DoutputDirectory=$unpacked"
mkdir -p "$folder/plugins"
mv "$unpacked/debezium-connector-postgres" "$folder/plugins/"
rm -rf "$unpacked"
