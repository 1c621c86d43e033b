"""Superset's settings: everything it is told lies in folders, as Secrets are mounted.

SUPERSET_ACCESS_DIR   secret-key and admin-password
SYNC_SITES_DIR        one folder a site, each with username, password, host, port, dbname
SYNC_CLICKHOUSE_DIR   if there is a ClickHouse: url, username, password, database, and ca if it is not publicly trusted
SUPERSET_HOME         its own volume: the database of its charts and people
"""

import os
from pathlib import Path

from places import password

ACCESS = Path(os.environ["SUPERSET_ACCESS_DIR"])
HOME = Path(os.environ["SUPERSET_HOME"])

SECRET_KEY = (ACCESS / "secret-key").read_text().strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME / 'superset.db'}"
APP_NAME = "SyncCluster"


def _password(uri):
    """Read where it lies at every new connection: Superset keeps none, and one that was changed counts at once."""
    return password(uri.host, str(uri.port), uri.username)


SQLALCHEMY_CUSTOM_PASSWORD_STORE = _password
