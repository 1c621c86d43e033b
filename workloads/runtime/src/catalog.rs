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

/// SQL that follows domains, and domains over domains, to what they are made of: a part of a `from` in which `oid` is the OID of a type. It has the
/// root in `r` (of `pg_type`); in `b` what the domains ask for: `not_null`, and `modifier` and `dimensions`, which are NULL where there is no domain; and of an
/// array its elements' type in `i` (of `pg_type`) and the OID of their root in `e.root`.
pub fn roots(oid: &str) -> String {
    let chain = |oid: &str| {
        format!(
            "(with recursive chain as (
       select oid, typtype, typbasetype, typnotnull, typtypmod, typndims from pg_type where oid = {oid}
        union all
       select p.oid, p.typtype, p.typbasetype, p.typnotnull, p.typtypmod, p.typndims from chain join pg_type p on p.oid = chain.typbasetype where chain.typtype = 'd')
     select max(oid) filter (where typtype <> 'd') as root, bool_or(typnotnull) as not_null, max(typtypmod) filter (where typtype = 'd') as modifier,
            max(typndims) filter (where typtype = 'd') as dimensions from chain)"
        )
    };
    format!(
        "cross join lateral {} b
   join pg_type r on r.oid = b.root
   left join pg_type i on i.oid = r.typelem and r.typsubscript = 'array_subscript_handler'::regproc
  cross join lateral {} e",
        chain(oid),
        chain("i.oid")
    )
}

/// SQL: what [`debezium_form`] asks of a column `a` (of `pg_attribute`), a part of a `select` whose `from` has its [`roots`]. `type_oid` and
/// `element_oid` are what [`ColumnType::of`] asks for.
pub const TYPE_FACTS: &str = "r.oid as type_oid, r.typname as type_name, r.typtype as type_kind,
        coalesce(b.modifier, a.atttypmod) as modifier,
        coalesce(b.dimensions, a.attndims)::int2 as dimensions, e.root as element_oid, i.typtype as element_kind";

fn columns() -> String {
    format!(
        "select c.oid, a.attname, format_type(a.atttypid, a.atttypmod), {TYPE_FACTS}
   from pg_class c
   join pg_namespace n on n.oid = c.relnamespace
   join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  {}
  where n.nspname = $1 and c.relname = $2
  order by a.attnum",
        roots("a.atttypid")
    )
}

const KEY: &str = "select a.attname
   from pg_index i
   cross join unnest(i.indkey::int2[]) with ordinality k(attnum, place)
   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = $1 and i.indisprimary and k.place <= i.indnkeyatts order by k.place";

const GENERATED: &str =
    "select attname from pg_attribute where attrelid = $1 and attgenerated <> '' and not attisdropped";

/// The table of this name, if there is one.
pub async fn table(client: &Client, name: &TableName) -> Result<Option<CatalogTable>, Error> {
    let rows = client.query(&columns(), &[&name.schema, &name.table]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let key = primary_key(client, first.get(0)).await?;
    let column = |row: &Row| Column {
        name: row.get(1),
        sql_type: row.get(2),
        kind: ColumnType::of(row.get("type_oid"), row.get("element_oid")),
        debezium: debezium_form(row),
    };
    Ok(Some(CatalogTable {
        name: name.clone(),
        columns: rows.iter().map(column).collect(),
        key,
    }))
}

/// How Debezium writes a column's values, if it can. Of a row that has the [`TYPE_FACTS`] of the column.
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
    let statement = format!(
        "select t.oid, r.oid, e.root from pg_type t {} where t.oid = any($1)",
        roots("t.oid")
    );
    let rows = client.query(&statement, &[&oids]).await?;
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
