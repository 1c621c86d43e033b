"""A dataset for each view of ClickHouse, as they come. gunicorn reads this as its settings, and runs it within its worker."""

import logging
import threading
import time

EVERY = 15
QUERY = "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND match(table, '_current$') FORMAT JSONCompact"


def post_worker_init(worker):
    threading.Thread(target=follow, args=(worker.wsgi,), daemon=True).start()


def follow(app):
    known = {}
    while True:
        try:
            with app.app_context():
                known |= look(known)
        # Whatever it is: Superset goes on serving, and the next look may find it mended.
        except Exception as error:  # pylint: disable=broad-except
            logging.warning("the views of ClickHouse: %r", error)
        time.sleep(EVERY)


def look(known: dict[str, str]) -> dict[str, str]:
    """Imports what is new; the documents of everything."""
    import requests
    from assets import views
    from flask import g
    from places import clickhouse, password
    from superset import security_manager
    from superset.commands.importers.v1.assets import ImportAssetsCommand

    way = clickhouse()
    if way is None:
        return {}
    url = f"{way['scheme']}://{way['host']}:{way['port']}/"
    whom = (way["username"], password(way["host"], way["port"], way["username"]))
    answer = requests.post(url, data=QUERY, params={"database": way["database"], "readonly": 2}, auth=whom, verify=way["ca"] or True, timeout=30)
    if not answer.ok:
        raise RuntimeError(answer.text.strip())
    columns = {}
    for view, column, kind in answer.json()["data"]:
        columns.setdefault(view, {})[column] = kind
    documents = views(way, columns)
    if any(known.get(name) != document for name, document in documents.items()):
        g.user = security_manager.find_user("admin")
        ImportAssetsCommand(documents).run()
    return documents
