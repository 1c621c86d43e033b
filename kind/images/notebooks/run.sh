#!/bin/sh
# run.sh serve              serves JupyterLab, at port 8888; who has the token of JUPYTER_TOKEN_FILE comes in
# run.sh execute NOTEBOOK   runs a notebook of this image from its first cell to its last, and prints it with all it shows
# run.sh python …           runs Python with what the notebooks import
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# The packages lie in a folder of their own, where Jupyter does not look by itself.
export JUPYTER_PATH="$here/lib/share/jupyter" JUPYTERLAB_DIR="$here/lib/share/jupyter/lab" JUPYTER_CONFIG_PATH="$here/lib/etc/jupyter"
# Only HOME and /tmp can be written to, and the user has no name.
export JUPYTER_PLATFORM_DIRS=1 JUPYTER_RUNTIME_DIR=/tmp/jupyter IPYTHONDIR=/tmp/ipython MPLCONFIGDIR=/tmp/matplotlib USER=jupyter SHELL=/bin/bash
case ${1:-} in
  serve)
    # What somebody changed stays; a notebook that is deleted is there again at the next start.
    for notebook in "$here"/notebooks/*.ipynb; do
      [ -e "$HOME/$(basename "$notebook")" ] || cp "$notebook" "$HOME/"
    done
    exec python3 -m jupyterlab --no-browser --ServerApp.ip=0.0.0.0 --ServerApp.port=8888 --ServerApp.port_retries=0 \
      --ServerApp.root_dir="$HOME" --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate ;;
  execute) exec python3 -m nbconvert --to notebook --execute --stdout --log-level WARN "$here/notebooks/${2:?which notebook}" ;;
  python) shift; exec python3 "$@" ;;
  *) sed -n '2,4s/^# //p' "$0"; exit 64 ;;
esac
