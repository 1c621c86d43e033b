#!/usr/bin/env bash
# Fills a folder with what Containerfile copies: Superset and all it needs, and what provisions it.
#
#   kind/images/superset/stage.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../env.sh"
help_if_asked "$@"
folder=$1 here=$KIND_DIR/images/superset
mkdir -p "$folder"
"$KIND_DIR/images/python-packages.sh" "$folder" "$here/requirements.txt" odfpy wtforms-json clickhouse-sqlalchemy
cp "$here"/{run.sh,*.py} "$folder/"
