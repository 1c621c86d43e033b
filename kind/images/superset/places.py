"""What there is to look at, as it lies in folders: sites, and a ClickHouse if there is one. Read where it is needed, so what changes counts at once."""

import os
from pathlib import Path
from urllib.parse import urlsplit

SITES = Path(os.environ["SYNC_SITES_DIR"])
# Unset where nobody asked for ClickHouse.
CLICKHOUSE = Path(named) if (named := os.environ.get("SYNC_CLICKHOUSE_DIR")) else None


def read(folder: Path, key: str) -> str:
    return (folder / key).read_text().strip()


def sites() -> dict[str, dict[str, str]]:
    """How each site is reached, without passwords; but for a server that is somebody else's, whose TLS is not known here."""
    names = sorted(path.name for path in SITES.iterdir() if (path / "host").exists())
    return {site: {key: read(SITES / site, key) for key in ("username", "host", "port", "dbname")} for site in names}


def clickhouse() -> dict[str, str] | None:
    """How ClickHouse is reached, without its password. None as well while its Secret is not there."""
    if CLICKHOUSE is None or not (CLICKHOUSE / "url").exists():
        return None
    url = urlsplit(read(CLICKHOUSE, "url"))
    port = url.port or (443 if url.scheme == "https" else 80)
    ca = CLICKHOUSE / "ca"
    way = {"scheme": url.scheme, "host": url.hostname, "port": str(port), "ca": str(ca) if ca.exists() else None}
    return way | {key: read(CLICKHOUSE, key) for key in ("username", "database")}


def password(host: str, port: str, username: str) -> str | None:
    """The password for a connection, by where it goes."""
    for site, way in sites().items():
        if (host, port, username) == (way["host"], way["port"], way["username"]):
            return read(SITES / site, "password")
    way = clickhouse()
    if way and (host, port, username) == (way["host"], way["port"], way["username"]):
        return read(CLICKHOUSE, "password")
    return None
