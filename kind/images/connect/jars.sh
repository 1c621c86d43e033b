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
# Copied and not unpacked by Maven, which remembers in the folder it is called from what it has unpacked before, wherever to.
plugin=debezium-connector-postgres
mvn -q -B dependency:copy "-Dartifact=io.debezium:$plugin:$DEBEZIUM_VERSION:tar.gz:plugin" "-DoutputDirectory=$folder"
mkdir -p "$folder/plugins"
tar -xzf "$folder/$plugin-$DEBEZIUM_VERSION-plugin.tar.gz" -C "$folder/plugins" "$plugin"
rm "$folder/$plugin-$DEBEZIUM_VERSION-plugin.tar.gz"
