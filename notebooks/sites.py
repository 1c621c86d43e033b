"""Ways to the sites of a SyncCluster and to its topics, by what the environment names.

SYNC_CLUSTER             the SyncCluster's name
SYNC_SITES_DIR           a folder with one folder a site, each with username, password, host, port and dbname, as Secrets are mounted;
                         a server that is somebody else's says in `external` below it where it is, and with sslmode and ca.crt how TLS is used
KAFKA_BOOTSTRAP_SERVERS  Kafka, as host:port
KAFKA_SECRET             if Kafka asks who comes: a folder with ca.crt, username, password, mechanism, tls.crt, tls.key, as far as there is need of them
"""

import json
import os
import time
from pathlib import Path

import pandas as pd
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

PATIENCE = 60


def named(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise RuntimeError(f"{variable} is not set: start JupyterLab by `make notebooks`, or set it yourself (see notebooks/sites.py)")
    return value


CLUSTER = named("SYNC_CLUSTER")


def sites() -> list[str]:
    """The server, then the clients by number."""
    names = [path.name for path in Path(named("SYNC_SITES_DIR")).iterdir() if not path.name.startswith(".")]
    return sorted(names, key=lambda name: 0 if name == "server" else int(name.removeprefix("client-")))


def connect(site: str, **options) -> psycopg.Connection:
    """A connection to a site's database; its password is read where it lies and shown nowhere."""
    folder = Path(named("SYNC_SITES_DIR")) / site
    external = folder / "external"
    place, tls = (external, _tls(external)) if external.is_dir() else (folder, {})
    way = {key: read(place, key) for key in ("host", "port", "dbname")}
    return psycopg.connect(user=read(folder, "username"), password=read(folder, "password"), connect_timeout=10, **way, **tls, **options)


def read(folder: Path, key: str) -> str:
    return (folder / key).read_text().strip()


def _perhaps(folder: Path, key: str) -> str | None:
    """A key that a Secret may have."""
    return read(folder, key) if (folder / key).exists() else None


def _tls(place: Path) -> dict[str, str]:
    """As for everybody else who goes there: verified, unless its owner says otherwise."""
    mode, authority = _perhaps(place, "sslmode") or "verify-full", place / "ca.crt"
    if mode != "verify-full":
        return {"sslmode": mode}
    return {"sslmode": mode, "sslrootcert": str(authority if authority.exists() else "/etc/ssl/certs/ca-certificates.crt")}


def query(site: str, sql, parameters=None) -> pd.DataFrame:
    """What a statement returns at a site."""
    with connect(site, autocommit=True) as connection:
        cursor = connection.execute(sql, parameters)
        columns = [column.name for column in cursor.description]
        return pd.DataFrame(cursor.fetchall(), columns=columns)


def everywhere(sql, parameters=None) -> pd.DataFrame:
    """The same at every site, with the site's name in front."""
    answers = []
    for site in sites():
        answer = query(site, sql, parameters)
        answer.insert(0, "site", site)
        answers.append(answer)
    return pd.concat(answers, ignore_index=True)


def eventually(what: str, look):
    """What `look` returns, as soon as that is something."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"after {PATIENCE} s there is still not: {what}")
        time.sleep(0.2)
    return found


def topics() -> dict[str, int]:
    """The topics of the sites, and how far each has come."""
    consumer = _consumer()
    try:
        known = consumer.list_topics(timeout=10).topics
        ours = [f"{CLUSTER}.{site}" for site in sites() if f"{CLUSTER}.{site}" in known]
        return {topic: consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1] for topic in ours}
    finally:
        consumer.close()


def records(topic: str) -> pd.DataFrame:
    """Every record that is in a topic now, in its order: what the envelope says, and the row before and after."""
    consumer = _consumer()
    try:
        start, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, start)])
        rows, deadline = [], time.monotonic() + PATIENCE
        # Compaction leaves gaps, and the last offsets may be markers of transactions: the position says when all was read.
        while start < end and consumer.position([TopicPartition(topic, 0)])[0].offset < end:
            message = consumer.poll(1.0)
            if message is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic} was not read up to {end} within {PATIENCE} s")
                continue
            if message.error():
                raise KafkaException(message.error())
            rows.append(_row(message))
        return pd.DataFrame(rows, columns=list(_COLUMNS))
    finally:
        consumer.close()


_COLUMNS = ("offset", "sent_at", "table", "key", "op", "origin", "committed_at", "transaction", "before", "after")
_OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "r": "snapshot"}


def _consumer() -> Consumer:
    # A group that nobody commits to: looking changes nothing.
    return Consumer(
        {
            "bootstrap.servers": named("KAFKA_BOOTSTRAP_SERVERS"),
            **_security(),
            "group.id": f"{CLUSTER}-notebooks",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "broker.address.family": "v4",
        }
    )


def _security() -> dict[str, str]:
    """What Kafka's Secret says, read where it lies."""
    if "KAFKA_SECRET" not in os.environ:
        return {}
    secret = Path(named("KAFKA_SECRET"))
    ca, user, certificate = (_perhaps(secret, key) for key in ("ca.crt", "username", "tls.crt"))
    settings = {"security.protocol": ("SASL_" if user else "") + ("SSL" if ca else "PLAINTEXT")}
    if ca:
        settings["ssl.ca.pem"] = ca
    if certificate:
        settings |= {"ssl.certificate.pem": certificate, "ssl.key.pem": read(secret, "tls.key")}
    if user:
        mechanism = _perhaps(secret, "mechanism") or "SCRAM-SHA-512"
        settings |= {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": read(secret, "password")}
    return settings


def _row(message) -> tuple:
    key = json.loads(message.key() or b"{}")
    table = key.pop("__dbz__physicalTableIdentifier", "").removeprefix(message.topic() + ".")
    sent_at = pd.Timestamp(message.timestamp()[1], unit="ms", tz="UTC")
    if message.value() is None:
        return (message.offset(), sent_at, table, key, "tombstone", None, pd.NaT, None, None, None)
    value = json.loads(message.value())
    source = value["source"]
    committed_at = pd.Timestamp(source["ts_us"], unit="us", tz="UTC")
    operation = _OPERATIONS.get(value["op"], value["op"])
    before, after = value.get("before"), value.get("after")
    return (message.offset(), sent_at, table, key, operation, source.get("origin"), committed_at, source.get("txId"), before, after)


def version(number: int) -> str:
    """When and where a version was made, as people read it."""
    made_at = pd.Timestamp(int(number) >> 10, unit="us", tz="UTC")
    node = int(number) & 1023
    return f"{made_at:%H:%M:%S.%f} at {'server' if node == 0 else f'client-{node}'}"
