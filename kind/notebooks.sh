#!/usr/bin/env bash
# Builds the image of JupyterLab with notebooks/ and puts it into the cluster's nodes, for
# `spec.analytics.notebooks.image: synccluster/notebooks:4.6`. The first time that takes minutes (400 MB of packages), then seconds.
#
#   kind/notebooks.sh           build it and load it
#   kind/notebooks.sh --build   build it only
#
# With KUBECONTEXT set nothing can be loaded: push the image somewhere and name it in NOTEBOOKS_IMAGE.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
if [[ -n ${KUBECONTEXT:-} ]]; then : "${NOTEBOOKS_IMAGE:?a cluster of your own needs an image it can pull: set NOTEBOOKS_IMAGE}"; exit; fi
source "$KIND_DIR/python-image.sh"
python_image notebooks synccluster/notebooks:4.6 "$ROOT_DIR/notebooks" "$@"
