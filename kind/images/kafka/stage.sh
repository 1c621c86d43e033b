#!/usr/bin/env bash
# Fills a folder with what Containerfile copies: a Java run time of the modules Kafka uses, and Kafka's jars from Maven Central.
#
#   kind/images/kafka/stage.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../env.sh"
help_if_asked "$@"
folder=$1 here=$KIND_DIR/images/kafka

logged "$RUN/kafka-jars.log" mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies \
  "-DoutputDirectory=$folder/libs" -DincludeScope=runtime "-Dkafka.version=$KAFKA_VERSION" "-Dlog4j.version=$LOG4J_VERSION"
# jdk.unsupported: sun.misc.Unsafe; jdk.zipfs and jdk.localedata are not asked for. java.se covers JMX, SASL and GSS.
logged "$RUN/kafka-java.log" jlink --add-modules java.se,jdk.unsupported,jdk.security.auth,jdk.security.jgss,jdk.management,jdk.crypto.ec \
  --strip-debug --no-header-files --no-man-pages --compress=1 --output "$folder/java"
cp -r "$here/bin" "$here/config" "$here/archive.sh" "$folder/"
