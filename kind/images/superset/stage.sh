#!/usr/bin/env bash
# Fills a folder with what Containerfile copies: Superset and all it needs as wheels for Python 3.11, from PyPI, whatever Python this machine has.
#
#   kind/images/superset/stage.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../env.sh"
help_if_asked "$@"
folder=$1 here=$KIND_DIR/images/superset wheels=$1/wheels

mkdir -p "$wheels"
# A few are published as source only. They are of Python alone, so a wheel made here is good there.
logged "$RUN/superset-wheels.log" python3 -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir "$wheels" \
  --no-binary odfpy,wtforms-json,clickhouse-sqlalchemy --requirement <(grep -iE '^(odfpy|wtforms-json|clickhouse-sqlalchemy)==' "$here/requirements.txt")
logged "$RUN/superset-packages.log" python3 -m pip install --disable-pip-version-check --quiet --no-deps --no-compile --find-links "$wheels" \
  --target "$folder/site-packages" --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
  --platform "manylinux_2_28_$(uname -m)" --platform "manylinux2014_$(uname -m)" --platform any --only-binary=:all: --requirement "$here/requirements.txt"
rm -rf "$wheels"
cp "$here"/{run.sh,*.py} "$folder/"
