//! What a table looks like now, from Postgres' catalogue.

use std::collections::HashMap;

use synccluster_protocol::{
    codec::{
        ColumnType,
        debezium::{self, Form, Lost, TypeFacts},
    },
    event::TableName,
};
use tokio_postgres::{Client, Error, Row, types::Oid};

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How its values travel.
    pub kind: ColumnType,
    /// Its type as SQL writes it, `character varying(20)`.
    pub sql_type: String,
    /// How Debezium writes its values, if it can.
    pub debezium: Result<Form, Lost>,
}

/// A table: its columns (generated ones left out, since nobody may write them) and its primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogTable {
    /// Schema and name.
    pub name: TableName,
    /// In the table's order.
    pub columns: Vec<Column>,
    /// Columns of the primary key, in its order; empty if there is none.
    pub key: Vec<String>,
}

impl CatalogTable {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

const COLUMNS: &str = "select c.oid, a.attname, format_type(a.atttypid, a.atttypmod), b.oid as type_oid,
        case when b.typsubscript = 'array_subscript_handler'::regproc then e.base end as element_oid,
        b.typname as type_name, b.typtype as type_kind, case when t.typtype = 'd' then t.typtypmod else a.atttypmod end as modifier,
        e.kind as element_kind, case when t.typtype = 'd' then t.typndims::int2 else a.attndims::int2 end as dimensions
   from pg_class c
   join pg_namespace n on n.oid = c.relnamespace
   join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
   join pg_type t on t.oid = a.atttypid
   join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
   left join lateral (select case when i.typtype = 'd' then i.typbasetype else i.oid end, i.typtype from pg_type i where i.oid = b.typelem) e(base, kind) on true
  where n.nspname = $1 and c.relname = $2
  order by a.attnum";

const KEY: &str = "select a.attname
   from pg_index i
   cross join unnest(i.indkey::int2[]) with ordinality k(attnum, place)
   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = $1 and i.indisprimary and k.place <= i.indnkeyatts order by k.place";

const GENERATED: &str =
    "select attname from pg_attribute where attrelid = $1 and attgenerated <> '' and not attisdropped";

const TYPES: &str = "select t.oid, b.oid, case when b.typsubscript = 'array_subscript_handler'::regproc then e.base end
   from pg_type t
   join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
   left join lateral (select case when i.typtype = 'd' then i.typbasetype else i.oid end from pg_type i where i.oid = b.typelem) e(base) on true
  where t.oid = any($1)";

/// The table of this name, if there is one.
pub async fn table(client: &Client, name: &TableName) -> Result<Option<CatalogTable>, Error> {
    let rows = client.query(COLUMNS, &[&name.schema, &name.table]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let key = primary_key(client, first.get(0)).await?;
    let column = |row: &Row| Column {
        name: row.get(1),
        sql_type: row.get(2),
        kind: ColumnType::of(row.get(3), row.get(4)),
        debezium: debezium_form(row),
    };
    Ok(Some(CatalogTable {
        name: name.clone(),
        columns: rows.iter().map(column).collect(),
        key,
    }))
}

/// How Debezium writes a column's values, if it can. Of a row that has of the column's type (of a domain its base type) `type_oid`, `type_name`
/// and `type_kind`; `modifier` and `dimensions`; and `element_oid` and `element_kind`, NULL where it is no array.
pub fn debezium_form(row: &Row) -> Result<Form, Lost> {
    let kind = |name| {
        row.get::<_, Option<i8>>(name)
            .map_or(' ', |kind| char::from(kind.cast_unsigned()))
    };
    let element: Option<Oid> = row.get("element_oid");
    debezium::form(&TypeFacts {
        oid: row.get("type_oid"),
        name: row.get("type_name"),
        kind: kind("type_kind"),
        modifier: row.get("modifier"),
        element: element.map(|oid| (oid, kind("element_kind"))),
        dimensions: row.get("dimensions"),
    })
}

/// The primary key's columns of the relation with this OID, in the key's order.
pub async fn primary_key(client: &Client, relation: Oid) -> Result<Vec<String>, Error> {
    Ok(client
        .query(KEY, &[&relation])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

/// The generated columns of the relation with this OID.
pub async fn generated(client: &Client, relation: Oid) -> Result<Vec<String>, Error> {
    let rows = client.query(GENERATED, &[&relation]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How values of these types travel.
pub async fn types(client: &Client, oids: &[Oid]) -> Result<HashMap<Oid, ColumnType>, Error> {
    let rows = client.query(TYPES, &[&oids]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), ColumnType::of(row.get(1), row.get(2))))
        .collect())
}

/// An identifier as SQL needs it.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// A table's name as SQL needs it.
pub fn quote_table(name: &TableName) -> String {
    format!("{}.{}", quote(&name.schema), quote(&name.table))
}
