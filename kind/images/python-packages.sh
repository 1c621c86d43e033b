#!/usr/bin/env bash
# Puts Python packages into a folder, from PyPI: wheels for Python 3.11 on Debian 12, whatever Python this machine has.
#
#   kind/images/python-packages.sh FOLDER REQUIREMENTS [NAME…]    the NAMEs are published as source only
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
help_if_asked "$@"
folder=$1 requirements=$2
shift 2
pip=(python3 -m pip --disable-pip-version-check --quiet --retries 8 --timeout 60)
log=$RUN/packages-$(basename "$folder").log
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

if (($#)); then
  # They are of Python alone, so a wheel made here is good there.
  names=$(IFS=,; echo "$*")
  logged "$log" "${pip[@]}" wheel --no-deps --wheel-dir "$wheels" --no-binary "$names" --requirement <(grep -iE "^(${names//,/|})==" "$requirements")
fi
machine=$(uname -m)
logged "$log" "${pip[@]}" install --no-deps --no-compile --find-links "$wheels" --target "$folder/site-packages" \
  --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
  --platform "manylinux_2_28_$machine" --platform "manylinux2014_$machine" --platform any --only-binary=:all: --requirement "$requirements"
