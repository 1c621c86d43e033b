"""What is provisioned: a connection to each site, two datasets of the server, charts, and a dashboard of them. Data in, documents out."""

import json
import uuid

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

TIME, TEXT, NUMBER, BOOLEAN = "TIMESTAMP WITH TIME ZONE", "TEXT", "BIGINT", "BOOLEAN"
DATASETS = {
    "changes": (CHANGES, {"table": TEXT, "kind": TEXT, "site": TEXT, "at": TIME, "changes": NUMBER}, {"changes": "sum(changes)"}),
    "conflicts": (
        CONFLICTS,
        {"id": NUMBER, "at": TIME, "table": TEXT, "key": TEXT, "kind": TEXT, "policy": TEXT, "winner": TEXT, "loser": TEXT, "lost": TEXT, "reapplied": BOOLEAN},
        {"conflicts": "count(*)"},
    ),
}

# name: (dataset, kind of chart, its metric, by what, over time, only, width of 12)
CHARTS = {
    "Rows": ("changes", "big_number_total", "changes", [], False, "write", 3),
    "Deletes kept as tombstones": ("changes", "big_number_total", "changes", [], False, "delete", 3),
    "Conflicts": ("conflicts", "big_number_total", "conflicts", [], False, None, 3),
    "Rows by the site that wrote them last": ("changes", "pie", "changes", ["site"], False, "write", 3),
    "Changes over time, by site": ("changes", "echarts_timeseries_bar", "changes", ["site"], True, None, 12),
    "Rows by table and site": ("changes", "table", "changes", ["table", "site"], False, "write", 6),
    "Conflicts by who lost": ("conflicts", "table", "conflicts", ["table", "kind", "policy", "winner", "loser"], False, None, 6),
    "Conflicts over time": ("conflicts", "echarts_timeseries_bar", "conflicts", ["kind"], True, None, 12),
}
ROWS = [4, 1, 2, 1]


def identity(*name: str) -> str:
    """The same name is the same asset, however often it is provisioned."""
    return str(uuid.uuid5(NAMESPACE, "/".join(name)))


def contents(sites: dict[str, dict[str, str]]) -> dict[str, str]:
    """All documents by file name, as Superset exports them. `sites`: username, host, port, dbname of each."""
    files = {"metadata.yaml": {"version": VERSION, "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"}}
    for site, way in sites.items():
        files[f"databases/{site}.yaml"] = database(site, way)
    for name in DATASETS:
        files[f"datasets/server/{name}.yaml"] = dataset(name)
    for name in CHARTS:
        files[f"charts/{file_name(name)}.yaml"] = chart(name)
    files["dashboards/sites.yaml"] = dashboard()
    return {name: yaml.safe_dump(document, sort_keys=False) for name, document in files.items()}


def database(site: str, way: dict[str, str]) -> dict:
    # The role may write; a session of Superset does not. It gets no password here: superset_config.py finds it.
    options = "-c default_transaction_read_only=on -c statement_timeout=60000"
    return {
        "database_name": site,
        "sqlalchemy_uri": f"postgresql+psycopg2://{way['username']}@{way['host']}:{way['port']}/{way['dbname']}",
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "extra": {"engine_params": {"connect_args": {"options": options, "connect_timeout": 10}}},
        "uuid": identity("database", site),
        "version": VERSION,
    }


def dataset(name: str) -> dict:
    sql, columns, metrics = DATASETS[name]
    of = lambda column, kind: {"column_name": column, "type": kind, "is_dttm": kind == TIME, "groupby": True, "filterable": True, "is_active": True}
    return {
        "table_name": name,
        "main_dttm_col": "at",
        "schema": "public",
        "sql": sql.strip(),
        "columns": [of(column, kind) for column, kind in columns.items()],
        "metrics": [{"metric_name": metric, "expression": expression, "verbose_name": metric} for metric, expression in metrics.items()],
        "uuid": identity("dataset", name),
        "database_uuid": identity("database", "server"),
        "version": VERSION,
    }


def chart(name: str) -> dict:
    source, kind, metric, by, over_time, only, _ = CHARTS[name]
    grain = "PT1M"
    params = {"viz_type": kind, "datasource": "0__table", "row_limit": 10000, "adhoc_filters": []}
    if only:
        params["adhoc_filters"] = [{"clause": "WHERE", "expressionType": "SIMPLE", "subject": "kind", "operator": "==", "comparator": only}]
    match kind:
        case "big_number_total":
            params |= {"metric": metric}
        case "pie":
            params |= {"metric": metric, "groupby": by, "donut": True, "label_type": "key_value"}
        case "table":
            params |= {"metrics": [metric], "groupby": by, "query_mode": "aggregate"}
        case "echarts_timeseries_bar":
            params |= {"metrics": [metric], "groupby": by, "x_axis": "at", "time_grain_sqla": grain, "stack": "Stack", "show_legend": True}
    axis = {"columnType": "BASE_AXIS", "expressionType": "SQL", "label": "at", "sqlExpression": "at", "timeGrain": grain}
    query = {
        "columns": ([axis] if over_time else []) + by,
        "metrics": [metric],
        "filters": [{"col": "kind", "op": "==", "val": only}] if only else [],
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
        "dataset_uuid": identity("dataset", source),
        "version": VERSION,
    }


def dashboard() -> dict:
    names = iter(CHARTS)
    position = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": "Sites"}},
    }
    for number, many in enumerate(ROWS):
        row = f"ROW-{number}"
        position["GRID_ID"]["children"].append(row)
        cells = [next(names) for _ in range(many)]
        parents = ["ROOT_ID", "GRID_ID"]
        position[row] = {"id": row, "type": "ROW", "children": [], "parents": parents, "meta": {"background": "BACKGROUND_TRANSPARENT"}}
        for name in cells:
            cell = f"CHART-{file_name(name)}"
            position[row]["children"].append(cell)
            meta = {"uuid": identity("chart", name), "chartId": 0, "width": CHARTS[name][6], "height": 40 if number else 30, "sliceName": name}
            position[cell] = {"id": cell, "type": "CHART", "children": [], "parents": [*parents, row], "meta": meta}
    return {
        "dashboard_title": "Sites",
        "description": "Rows, changes and conflicts of a SyncCluster, as its server sees them.",
        "slug": "sites",
        "published": True,
        "uuid": identity("dashboard", "sites"),
        "position": position,
        "metadata": {"refresh_frequency": 30, "cross_filters_enabled": True},
        "version": VERSION,
    }


def file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
