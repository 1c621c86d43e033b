#!/usr/bin/env bash
# Builds the image of Superset from kind/images/superset and puts it into the cluster's nodes, for
# `spec.analytics.superset.image: synccluster/superset:6.1`. The first time that takes minutes (650 MB of packages), then seconds.
#
#   kind/superset.sh           build it and load it
#   kind/superset.sh --build   build it only
#
# With KUBECONTEXT set nothing can be loaded: push the image somewhere and name it in SUPERSET_IMAGE.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
help_if_asked "$@"
if [[ -n ${KUBECONTEXT:-} ]]; then : "${SUPERSET_IMAGE:?a cluster of your own needs an image it can pull: set SUPERSET_IMAGE}"; exit; fi
source "$KIND_DIR/python-image.sh"
python_image superset synccluster/superset:6.1 "$@"
