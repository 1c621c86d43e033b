#!/usr/bin/env bash
# Fills a folder with what Containerfile copies: a Java run time, Kafka Connect's jars and Debezium's plugin.
#
#   kind/images/connect/stage.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../env.sh"
help_if_asked "$@"
folder=$1

logged "$RUN/connect-jars.log" "$KIND_DIR/images/connect/jars.sh" "$folder"
# As Kafka's; jdk.charsets and jdk.localedata are not asked for, jdk.naming.dns finds brokers by name.
logged "$RUN/connect-java.log" jlink --add-modules java.se,jdk.unsupported,jdk.security.auth,jdk.security.jgss,jdk.management,jdk.crypto.ec,jdk.naming.dns \
  --strip-debug --no-header-files --no-man-pages --compress=1 --output "$folder/java"
