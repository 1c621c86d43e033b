#!/bin/sh
# run.sh init        brings Superset's own database up to date, and provisions
# run.sh provision   sees to the administrator, the connections and the dashboard alone
# run.sh serve       serves, at SUPERSET_LISTEN (0.0.0.0:8088), and keeps a dataset for each view of ClickHouse
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export SUPERSET_CONFIG_PATH="$here/superset_config.py" PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
python=${PYTHON:-python3}
case ${1:-} in
  init)
    superset() { "$python" -c 'from superset.cli.main import superset; superset()' "$@"; }
    superset db upgrade
    superset init
    exec "$python" "$here/provision.py" ;;
  provision) exec "$python" "$here/provision.py" ;;
  # One process: its database is a file, and what is asked of sites takes threads, not processors.
  serve)
    exec "$python" -m gunicorn --config "$here/views.py" --workers 1 --worker-class gthread --threads 16 --timeout 120 --worker-tmp-dir "$SUPERSET_HOME" \
      --bind "${SUPERSET_LISTEN:-0.0.0.0:8088}" --access-logfile - "superset.app:create_app()" ;;
  *) sed -n '2,4s/^# //p' "$0"; exit 64 ;;
esac
