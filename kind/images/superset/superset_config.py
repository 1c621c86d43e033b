"""Superset's settings: everything it is told lies in folders, as Secrets are mounted.

SUPERSET_ACCESS_DIR   secret-key and admin-password
SYNC_SITES_DIR        one folder a site, each with username, password, host, port, dbname
SUPERSET_HOME         its own volume: the database of its charts and people
"""

import os
from pathlib import Path

ACCESS = Path(os.environ["SUPERSET_ACCESS_DIR"])
SITES = Path(os.environ["SYNC_SITES_DIR"])
HOME = Path(os.environ["SUPERSET_HOME"])

SECRET_KEY = (ACCESS / "secret-key").read_text().strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME / 'superset.db'}"
APP_NAME = "SyncCluster"


def _password(uri):
    """The password of a site, read where it lies at every new connection: Superset keeps none, and one that was changed counts at once."""
    for site in SITES.iterdir():
        read = lambda key: (site / key).read_text().strip()
        if (uri.host, str(uri.port), uri.username) == (read("host"), read("port"), read("username")):
            return read("password")
    return None


SQLALCHEMY_CUSTOM_PASSWORD_STORE = _password
