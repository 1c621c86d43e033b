"""What is provisioned: a connection to each site and to ClickHouse, their datasets, charts, and a dashboard of them. Data in, documents out."""

import json
import uuid
from itertools import islice
from typing import NamedTuple

import yaml

VERSION = "1.0.0"
NAMESPACE = uuid.UUID("c5a3c0d2-6d0c-4c1b-9f5e-3a1c2f6f6f10")

# One row a table, site and minute. The tables are those that are enrolled when somebody looks: their names are data here.
CHANGES = """
select t.relation as "table", 'write' as kind, case x.node when 0 then 'server' else 'client-' || x.node end as site, x.at, x.changes
  from sync.tables t
 cross join lateral xmltable('/table/row' passing query_to_xml(format(
         'select sync.version_node(sync_version) as node, date_trunc(''minute'', sync.version_time(sync_version)) as at, count(*) as changes from %I.%I group by 1, 2',
         split_part(t.relation, '.', 1), split_part(t.relation, '.', 2)), false, false, '')
       columns node int, at timestamptz, changes bigint) x
union all
select relation, 'delete', case sync.version_node(version) when 0 then 'server' else 'client-' || sync.version_node(version) end,
       date_trunc('minute', sync.version_time(version)), count(*)
  from sync.tombstones
 group by 1, 2, 3, 4
"""

CONFLICTS = """
select id, at, relation as "table", key::text as key, kind, policy,
       case sync.version_node(winner_version) when 0 then 'server' else 'client-' || sync.version_node(winner_version) end as winner,
       case sync.version_node(loser_version) when 0 then 'server' else 'client-' || sync.version_node(loser_version) end as loser,
       loser::text as lost, reapplied_at is not null as reapplied
  from sync.conflicts
"""

# Every table's view, those that come later as well. Superset rewrites functions for today's ClickHouse, so the database is named.
KEPT = "select replaceRegexpOne(_table, '_current$', '') as source, sync_site, sync_written_at from merge('{database}', '_current$')"

LIKES = "select size, id, window_start, window_end, count as counted, late as came_late, final from sync_windows final"

TIME, TEXT, NUMBER, BOOLEAN = "TIMESTAMP WITH TIME ZONE", "TEXT", "BIGINT", "BOOLEAN"
INSTANT, STRING, INTEGER = "DateTime", "String", "Int64"
SERVER, CLICKHOUSE = "server", "clickhouse"


WRITTEN = "sync_written_at"


def is_time(kind: str) -> bool:
    """Also where ClickHouse says more of it, as in Nullable(DateTime('UTC'))."""
    return kind == TIME or "Date" in kind


class Dataset(NamedTuple):
    database: str
    sql: str
    columns: dict[str, str]
    metrics: dict[str, str]

    @property
    def time(self) -> str:
        return WRITTEN if WRITTEN in self.columns else next(column for column, kind in self.columns.items() if is_time(kind))


class Chart(NamedTuple):
    dataset: str
    kind: str
    metric: str
    by: list[str]
    # Column and value.
    only: tuple[str, str] | None = None
    width: int = 12


DATASETS = {
    "changes": Dataset(SERVER, CHANGES, {"table": TEXT, "kind": TEXT, "site": TEXT, "at": TIME, "changes": NUMBER}, {"changes": "coalesce(sum(changes), 0)"}),
    "conflicts": Dataset(
        SERVER,
        CONFLICTS,
        {"id": NUMBER, "at": TIME, "table": TEXT, "key": TEXT, "kind": TEXT, "policy": TEXT, "winner": TEXT, "loser": TEXT, "lost": TEXT, "reapplied": BOOLEAN},
        {"conflicts": "count(*)"},
    ),
    # Metrics are named otherwise than columns: ClickHouse takes one for the other.
    "kept": Dataset(CLICKHOUSE, KEPT, {"source": STRING, "sync_site": STRING, WRITTEN: INSTANT}, {"rows": "count()"}),
    "likes": Dataset(
        CLICKHOUSE,
        LIKES,
        {"size": STRING, "id": STRING, "window_start": INSTANT, "window_end": INSTANT, "counted": INTEGER, "came_late": INTEGER, "final": INTEGER},
        {"likes": "sum(counted)", "late": "sum(came_late)"},
    ),
}

BAR = "echarts_timeseries_bar"
WRITES = ("kind", "write")
CHARTS = {
    "Rows": Chart("changes", "big_number_total", "changes", [], WRITES, 3),
    "Deletes kept as tombstones": Chart("changes", "big_number_total", "changes", [], ("kind", "delete"), 3),
    "Conflicts": Chart("conflicts", "big_number_total", "conflicts", [], None, 3),
    "Rows by the site that wrote them last": Chart("changes", "pie", "changes", ["site"], WRITES, 3),
    "Changes over time, by site": Chart("changes", BAR, "changes", ["site"]),
    "Rows by table and site": Chart("changes", "table", "changes", ["table", "site"], WRITES, 6),
    "Conflicts by who lost": Chart("conflicts", "table", "conflicts", ["table", "kind", "policy", "winner", "loser"], None, 6),
    "Conflicts over time": Chart("conflicts", BAR, "conflicts", ["kind"]),
    "Likes per minute": Chart("likes", BAR, "likes", ["id"], ("size", "1m")),
    "Likes by window": Chart("likes", "table", "likes", ["size", "window_start", "id"], None, 6),
    "Rows in ClickHouse": Chart("kept", "table", "rows", ["source", "sync_site"], None, 6),
}
# Charts of a row of the dashboard.
ROWS = [4, 1, 2, 1, 1, 2]


def identity(*name: str) -> str:
    """The same name is the same asset, however often it is provisioned."""
    return str(uuid.uuid5(NAMESPACE, "/".join(name)))


def contents(sites: dict[str, dict[str, str]], tls: dict[str, dict[str, str]], clickhouse: dict[str, str] | None) -> dict[str, str]:
    """All documents by file name, as Superset exports them. `sites`: username, host, port, dbname of each; `tls`: what libpq is told of it."""
    files = {f"databases/{site}.yaml": database(site, way, tls[site]) for site, way in sites.items()}
    if clickhouse:
        files["databases/clickhouse.yaml"] = warehouse(clickhouse)
    there = {name: dataset for name, dataset in DATASETS.items() if clickhouse or dataset.database != CLICKHOUSE}
    charts = [name for name, chart in CHARTS.items() if chart.dataset in there]
    for name, dataset in there.items():
        if dataset.database == CLICKHOUSE:
            dataset = dataset._replace(sql=dataset.sql.replace("{database}", clickhouse["database"]))
        files[f"datasets/{dataset.database}/{name}.yaml"] = dataset_of(name, dataset)
    for name in charts:
        files[f"charts/{file_name(name)}.yaml"] = chart_of(name, CHARTS[name])
    files["dashboards/sites.yaml"] = dashboard(charts)
    return documents(files)


def views(clickhouse: dict[str, str], columns: dict[str, dict[str, str]]) -> dict[str, str]:
    """A dataset for each view: types by column by view."""
    files = {"databases/clickhouse.yaml": warehouse(clickhouse)}
    for view, kinds in columns.items():
        dataset = Dataset(CLICKHOUSE, "", kinds, {"rows": "count()"})
        files[f"datasets/clickhouse/view-{file_name(view)}.yaml"] = dataset_of(view, dataset) | {"schema": clickhouse["database"]}
    return documents(files)


def documents(files: dict[str, dict]) -> dict[str, str]:
    files = {"metadata.yaml": {"version": VERSION, "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"}} | files
    return {name: yaml.safe_dump(document, sort_keys=False) for name, document in files.items()}


def database(site: str, way: dict[str, str], tls: dict[str, str]) -> dict:
    # The role may write; a session of Superset does not.
    options = "-c default_transaction_read_only=on -c statement_timeout=60000"
    uri = f"postgresql+psycopg2://{way['username']}@{way['host']}:{way['port']}/{way['dbname']}"
    return connection(site, uri, {"options": options, "connect_timeout": 10} | tls)


def warehouse(way: dict[str, str]) -> dict:
    # 2: reads only, and other settings may be given.
    arguments = {"ch_settings": {"readonly": 2, "max_execution_time": 60}, "timeout": 60}
    if way["ca"]:
        arguments["verify"] = way["ca"]
    uri = f"clickhouse+http://{way['username']}@{way['host']}:{way['port']}/{way['database']}?protocol={way['scheme']}"
    return connection(CLICKHOUSE, uri, arguments)


def connection(name: str, uri: str, arguments: dict) -> dict:
    """It gets no password here: superset_config.py finds it."""
    return {
        "database_name": name,
        "sqlalchemy_uri": uri,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "extra": {"engine_params": {"connect_args": arguments}},
        "uuid": identity("database", name),
        "version": VERSION,
    }


def dataset_of(name: str, dataset: Dataset) -> dict:
    of = lambda column, kind: {
        "column_name": column,
        "type": kind,
        "is_dttm": is_time(kind),
        "groupby": True,
        "filterable": True,
        "is_active": True,
    }
    return {
        "table_name": name,
        "main_dttm_col": dataset.time,
        "schema": "public" if dataset.database == SERVER else None,
        "sql": dataset.sql.strip() or None,
        "columns": [of(column, kind) for column, kind in dataset.columns.items()],
        "metrics": [{"metric_name": metric, "expression": expression, "verbose_name": metric} for metric, expression in dataset.metrics.items()],
        "uuid": identity("dataset", name),
        "database_uuid": identity("database", dataset.database),
        "version": VERSION,
    }


def chart_of(name: str, chart: Chart) -> dict:
    kind, metric, by, over_time = chart.kind, chart.metric, chart.by, chart.kind == BAR
    time = DATASETS[chart.dataset].time
    # What ClickHouse has is in windows already. A grain would be a function of 19 and later.
    grain = None if DATASETS[chart.dataset].database == CLICKHOUSE else "PT1M"
    params = {"viz_type": kind, "datasource": "0__table", "row_limit": 10000, "adhoc_filters": []}
    filters = []
    if chart.only:
        column, value = chart.only
        params["adhoc_filters"] = [{"clause": "WHERE", "expressionType": "SIMPLE", "subject": column, "operator": "==", "comparator": value}]
        filters = [{"col": column, "op": "==", "val": value}]
    match kind:
        case "big_number_total":
            params |= {"metric": metric}
        case "pie":
            params |= {"metric": metric, "groupby": by, "donut": True, "label_type": "key_value"}
        case "table":
            params |= {"metrics": [metric], "groupby": by, "query_mode": "aggregate"}
        case _:
            params |= {"metrics": [metric], "groupby": by, "x_axis": time, "time_grain_sqla": grain, "stack": "Stack", "show_legend": True}
    axis = {"columnType": "BASE_AXIS", "expressionType": "SQL", "label": time, "sqlExpression": time, "timeGrain": grain}
    query = {
        "columns": ([axis] if over_time else []) + by,
        "metrics": [metric],
        "filters": filters,
        "orderby": [[metric, False]] if by and not over_time else [],
        "extras": {"having": "", "where": ""},
        "row_limit": 10000,
    }
    asked = {"datasource": {"id": 0, "type": "table"}, "force": False, "queries": [query], "form_data": params, "result_format": "json", "result_type": "full"}
    return {
        "slice_name": name,
        "viz_type": kind,
        "params": params,
        "query_context": json.dumps(asked),
        "cache_timeout": 0,
        "uuid": identity("chart", name),
        "dataset_uuid": identity("dataset", chart.dataset),
        "version": VERSION,
    }


def dashboard(charts: list[str]) -> dict:
    names = iter(charts)
    position = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": "Sites"}},
    }
    for number, many in enumerate(ROWS):
        row = f"ROW-{number}"
        cells = list(islice(names, many))
        if not cells:
            break
        position["GRID_ID"]["children"].append(row)
        parents = ["ROOT_ID", "GRID_ID"]
        position[row] = {"id": row, "type": "ROW", "children": [], "parents": parents, "meta": {"background": "BACKGROUND_TRANSPARENT"}}
        for name in cells:
            cell = f"CHART-{file_name(name)}"
            position[row]["children"].append(cell)
            meta = {"uuid": identity("chart", name), "chartId": 0, "width": CHARTS[name].width, "height": 40 if number else 30, "sliceName": name}
            position[cell] = {"id": cell, "type": "CHART", "children": [], "parents": [*parents, row], "meta": meta}
    return {
        "dashboard_title": "Sites",
        "description": "Rows, changes, conflicts and likes of a SyncCluster, as its server and its ClickHouse see them.",
        "slug": "sites",
        "published": True,
        "uuid": identity("dashboard", "sites"),
        "position": position,
        "metadata": {"refresh_frequency": 30, "cross_filters_enabled": True},
        "version": VERSION,
    }


def file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
