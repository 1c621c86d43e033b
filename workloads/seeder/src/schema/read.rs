//! Reads the tables from a site's catalogue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synccluster_protocol::event::{PARENT_COLUMN, TableName, VERSION_COLUMN};
use synccluster_runtime::postgres::describe;
use tokio_postgres::{Client, Row, types::Oid};

use super::{
    Column, CycleError, ForeignKey, Table, checks, load_order,
    types::{TypeRow, resolve},
};

/// Why the tables are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres said no.
    #[error("the catalogue cannot be read: {0}")]
    Postgres(String),
    /// A table that takes no part.
    #[error("table {table} is not enrolled here; enrolled are {}: list it under spec.schema.tables, or name one of these", list(.enrolled))]
    NotEnrolled {
        /// What was asked for.
        table: String,
        /// What there is.
        enrolled: Vec<String>,
    },
    /// Nothing to fill.
    #[error("no table is enrolled here: create one with a primary key in a migration (spec.schema.migrations)")]
    Nothing,
    /// No order of the tables is one.
    #[error(transparent)]
    Cycle(#[from] CycleError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(describe(&error))
    }
}

const COLUMNS: &str =
    "select a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, a.attnotnull,
        (select format('%I.%I', n.nspname, s.relname)
           from pg_depend d
           join pg_class s on s.oid = d.objid and s.relkind = 'S'
           join pg_namespace n on n.oid = s.relnamespace
          where d.refobjid = a.attrelid and d.refobjsubid = a.attnum and d.deptype in ('a', 'i')
          limit 1)
   from pg_attribute a
  where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  order by a.attnum";

// The columns of an index; of one over expressions, those the expressions speak of.
const UNIQUE: &str = "select i.indisprimary,
        case when i.indexprs is null then (select array_agg(k::int2) from unnest(i.indkey::int2[]) with ordinality u(k, place) where place <= i.indnkeyatts)
             else (select array_agg(distinct d.refobjsubid::int2) from pg_depend d
                    where d.objid = i.indexrelid and d.refobjid = i.indrelid and d.refobjsubid > 0) end
   from pg_index i
  where i.indrelid = $1 and i.indisunique
  order by i.indisprimary desc, i.indexrelid";

const FOREIGN: &str = "select c.conkey, n.nspname, r.relname,
        array(select a.attname::text from unnest(c.confkey) with ordinality k(num, place)
                join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.num order by k.place)
   from pg_constraint c
   join pg_class r on r.oid = c.confrelid
   join pg_namespace n on n.oid = r.relnamespace
  where c.conrelid = $1 and c.contype = 'f'
  order by c.conname";

const REFERENCED: &str = "select exists (select from pg_constraint where confrelid = $1 and contype = 'f')";

const CHECKS: &str = "select pg_get_expr(conbin, conrelid) from pg_constraint where conrelid = $1 and contype = 'c'";

const TYPES: &str = "select t.oid, t.typname::text, n.nspname = 'pg_catalog', t.typtype::text,
        case when t.typtype = 'd' then t.typbasetype
             when t.typsubscript = 'array_subscript_handler'::regproc then t.typelem
             when t.typtype = 'r' then (select rngsubtype from pg_range where rngtypid = t.oid)
             when t.typtype = 'm' then (select rngtypid from pg_range where rngmultitypid = t.oid) end,
        t.typsubscript = 'array_subscript_handler'::regproc, t.typtypmod, t.typnotnull,
        array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder),
        array(select pg_get_constraintdef(oid) from pg_constraint where contypid = t.oid and contype = 'c')
   from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where t.oid = any($1)";

/// The enrolled tables of these names, or all of them, in the order in which they are filled.
pub async fn tables(client: &Client, wanted: &[String]) -> Result<Vec<Table>, Error> {
    let rows = client.query("select relation, to_regclass(format('%I.%I', split_part(relation, '.', 1), substr(relation, strpos(relation, '.') + 1)))::oid from sync.tables order by relation", &[]).await?;
    let enrolled: BTreeMap<String, Option<Oid>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut tables = Vec::new();
    for name in wanted {
        if !enrolled.contains_key(name) {
            return Err(Error::NotEnrolled {
                table: name.clone(),
                enrolled: enrolled.into_keys().collect(),
            });
        }
    }
    for (relation, oid) in &enrolled {
        let chosen = wanted.is_empty() || wanted.contains(relation);
        if let (true, Some(oid), Some(name)) = (chosen, oid, TableName::parse(relation)) {
            tables.push(table(client, name, *oid).await?);
        }
    }
    if tables.is_empty() {
        return Err(Error::Nothing);
    }
    Ok(load_order(tables)?)
}

async fn table(client: &Client, name: TableName, oid: Oid) -> Result<Table, Error> {
    let rows = client.query(COLUMNS, &[&oid]).await?;
    let types = types(client, rows.iter().map(|row| row.get(3)).collect()).await?;
    let own = |row: &&Row| ![VERSION_COLUMN, PARENT_COLUMN].contains(&row.get(1));
    let rows: Vec<&Row> = rows.iter().filter(own).collect();
    let mut columns: Vec<Column> = rows.iter().map(|row| column(row, &types)).collect();
    for row in client.query(CHECKS, &[&oid]).await? {
        for (name, limits) in checks::understand(row.get(0)) {
            if let Some(column) = columns.iter_mut().find(|column| column.name == name) {
                column.limits.and(limits);
            }
        }
    }
    let place = |number: &i16| rows.iter().position(|row| row.get::<_, i16>(0) == *number);
    let places = |numbers: Vec<i16>| numbers.iter().map(place).collect::<Option<Vec<usize>>>();
    let mut key = Vec::new();
    let mut unique = Vec::new();
    for row in client.query(UNIQUE, &[&oid]).await? {
        // One over a generated column or an expression without columns says nothing that could be kept here.
        let Some(found) = row.get::<_, Option<Vec<i16>>>(1).and_then(places) else {
            continue;
        };
        if row.get(0) {
            key.clone_from(&found);
        }
        unique.push(found);
    }
    let foreign = client.query(FOREIGN, &[&oid]).await?;
    let foreign = foreign.iter().filter_map(|row| {
        Some(ForeignKey {
            columns: places(row.get(0))?,
            table: TableName::new(row.get::<_, String>(1), row.get::<_, String>(2)),
            target: row.get(3),
        })
    });
    let foreign = foreign.collect();
    let referenced = client.query_one(REFERENCED, &[&oid]).await?.get(0);
    Ok(Table {
        name,
        columns,
        key,
        unique,
        foreign,
        referenced,
    })
}

fn column(row: &Row, types: &HashMap<Oid, TypeRow>) -> Column {
    let resolved = resolve(types, row.get(3), row.get(4));
    Column {
        name: row.get(1),
        sql_type: row.get(2),
        kind: resolved.kind,
        not_null: row.get::<_, bool>(5) || resolved.not_null,
        sequence: row.get(6),
        limits: resolved.limits,
    }
}

/// These types and all they are made of.
async fn types(client: &Client, mut wanted: BTreeSet<Oid>) -> Result<HashMap<Oid, TypeRow>, Error> {
    let mut types = HashMap::new();
    let mut asked = BTreeSet::new();
    while !wanted.is_empty() {
        asked.extend(wanted.iter().copied());
        let oids: Vec<Oid> = wanted.into_iter().collect();
        for row in client.query(TYPES, &[&oids]).await? {
            let found = TypeRow {
                name: row.get(1),
                built_in: row.get(2),
                class: row.get::<_, String>(3).chars().next().unwrap_or('b'),
                inner: row.get(4),
                array: row.get(5),
                modifier: row.get(6),
                not_null: row.get(7),
                labels: row.get(8),
                checks: row.get(9),
            };
            types.insert(row.get(0), found);
        }
        let inner = types.values().filter_map(|found: &TypeRow| found.inner);
        wanted = inner.filter(|oid| !asked.contains(oid)).collect();
    }
    Ok(types)
}
