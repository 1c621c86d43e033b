"""What there is to look at, as it lies in folders: sites, and a ClickHouse if there is one. Read where it is needed, so what changes counts at once."""

import os
from pathlib import Path
from urllib.parse import urlsplit

SITES = Path(os.environ["SYNC_SITES_DIR"])
# Unset where nobody asked for ClickHouse.
CLICKHOUSE = Path(named) if (named := os.environ.get("SYNC_CLICKHOUSE_DIR")) else None


PLACE = ("host", "port", "dbname")


def read(folder: Path, key: str) -> str:
    return (folder / key).read_text().strip()


def place(site: str) -> Path:
    """Where it is said where the site is: a server that is somebody else's has a folder of its own for that."""
    external = SITES / site / "external"
    return external if external.is_dir() else SITES / site


def sites() -> dict[str, dict[str, str]]:
    """How each site is reached, without passwords. One whose Secret does not say where it is cannot be."""
    found = {path.name: place(path.name) for path in sorted(SITES.iterdir())}
    known = {site: at for site, at in found.items() if all((at / key).exists() for key in PLACE)}
    return {site: {"username": read(SITES / site, "username")} | {key: read(at, key) for key in PLACE} for site, at in known.items()}


def tls(site: str) -> dict[str, str]:
    """How TLS is used, in libpq's words: at a site of ours not at all; elsewhere verified, unless its owner says otherwise."""
    at = place(site)
    if at == SITES / site:
        return {}
    mode = read(at, "sslmode") if (at / "sslmode").exists() else "verify-full"
    if mode != "verify-full":
        return {"sslmode": mode}
    authority = at / "ca.crt"
    return {"sslmode": mode, "sslrootcert": str(authority if authority.exists() else "/etc/ssl/certs/ca-certificates.crt")}


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
