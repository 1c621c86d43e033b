#!/usr/bin/env bash
# Fills a folder with what Containerfile copies: JupyterLab and all it needs, and the notebooks.
#
#   kind/images/notebooks/stage.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../env.sh"
help_if_asked "$@"
folder=$1
mkdir -p "$folder/notebooks"
"$KIND_DIR/images/python-packages.sh" "$folder" "$ROOT_DIR/notebooks/requirements.txt"
cp "$KIND_DIR/images/notebooks/run.sh" "$ROOT_DIR/notebooks/sites.py" "$folder/"
cp "$ROOT_DIR"/notebooks/*.ipynb "$folder/notebooks/"
