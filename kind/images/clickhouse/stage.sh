#!/usr/bin/env bash
# Puts the root file system that Containerfile adds into a folder.
#
#   kind/images/clickhouse/stage.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../env.sh"
help_if_asked "$@"
cp --reflink=auto "$("$KIND_DIR/offline/rootfs.sh" clickhouse)" "$1/rootfs.tar"
