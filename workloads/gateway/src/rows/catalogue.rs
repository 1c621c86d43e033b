//! The enrolled tables of a site with all that is known of their columns.

use std::collections::BTreeMap;

use serde::Serialize;
use synccluster_protocol::{
    codec::{
        ColumnType,
        debezium::{Form, Lost},
    },
    event::{PARENT_COLUMN, TableName, VERSION_COLUMN},
};
use synccluster_runtime::catalog::{TYPE_FACTS, debezium_form, quote, quote_table, roots};
use tokio_postgres::{Client, Error, Row};

/// How a column's values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON true or false.
    Boolean,
    /// smallint and integer: a JSON number.
    Integer,
    /// real and double precision: a JSON number; NaN and infinities as text.
    Float,
    /// json and jsonb: their text.
    Json,
    /// Everything else: the text Postgres prints.
    Text,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as SQL writes it, `character varying(20)`.
    #[serde(rename = "type")]
    pub sql_type: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// The expression it has where nothing is given.
    pub default: Option<String>,
    /// The expression it is made by; it cannot be written then.
    pub generated: Option<String>,
    /// `always` or `by default`, for an identity column.
    #[schema(value_type = Option<String>)]
    pub identity: Option<&'static str>,
    /// Whether it is part of the primary key.
    pub in_key: bool,
    /// The values of an enum, in its order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enum_values: Option<Vec<String>>,
    /// Its type without domains and without length: what a text is cast to. A length is left to the assignment, which refuses what an
    /// explicit cast would cut off.
    #[serde(skip)]
    pub cast: String,
    /// How its values are shown.
    #[serde(skip)]
    pub kind: Kind,
    /// How its values travel in change events.
    #[serde(skip)]
    pub wire: ColumnType,
    /// How Debezium writes them there, if it can.
    #[serde(skip)]
    pub debezium: Result<Form, Lost>,
    /// Whether its order is that of a collation, which may be another one at another site, and not of bytes.
    #[serde(skip)]
    pub collated: bool,
}

/// An enrolled table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Table {
    /// `public.todos`.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub name: TableName,
    /// The columns of its primary key, in the key's order.
    pub key: Vec<String>,
    /// Its columns but `sync_version` and `sync_parent`, in its order.
    pub columns: Vec<Column>,
}

/// Enrolled tables by name.
pub type Catalogue = BTreeMap<String, Table>;

fn as_text<S: serde::Serializer>(name: &TableName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

// An expression is made readable under a lock on its table: one that is being altered must not hide all others until it is done.
fn statement() -> String {
    format!(
        "
with locked as materialized (
    select coalesce(array_agg(relation), '{{}}') as tables from pg_locks where mode = 'AccessExclusiveLock' and relation is not null)
select t.relation, t.key, n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), not (a.attnotnull or b.not_null),
       case when d.adrelid = any(l.tables) then 'not known while the table is locked' else pg_get_expr(d.adbin, d.adrelid) end,
       a.attgenerated <> '', a.attidentity::text, format_type(b.root, -1),
       a.attcollation <> 0 and not coalesce(case when o.collprovider = 'd' then s.bytewise else o.collname in ('C', 'POSIX', 'ucs_basic', 'pg_c_utf8') end, false),
       case when r.typtype = 'e' then array(select enumlabel::text from pg_enum where enumtypid = b.root order by enumsortorder) end, {TYPE_FACTS}
  from sync.tables t cross join locked l
  join pg_namespace n on n.nspname = split_part(t.relation, '.', 1)
  join pg_class c on c.relnamespace = n.oid and c.relname = substr(t.relation, strpos(t.relation, '.') + 1)
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_collation o on o.oid = a.attcollation
 cross join (select datlocprovider = 'b' or (datlocprovider = 'c' and datcollate in ('C', 'POSIX', 'C.UTF-8', 'C.utf8')) as bytewise
               from pg_database where datname = current_database()) s
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
 {}
 order by t.relation, a.attnum",
        roots("a.atttypid")
    )
}

/// Reads what is enrolled at a site.
pub async fn read(client: &Client) -> Result<Catalogue, Error> {
    let mut tables = Catalogue::new();
    for row in client.query_typed(&statement(), &[]).await? {
        let key: Vec<String> = row.try_get(1)?;
        let mut column = column(&row)?;
        column.in_key = key.contains(&column.name);
        let name = TableName::new(row.try_get::<_, String>(2)?, row.try_get::<_, String>(3)?);
        let table = tables.entry(row.try_get(0)?).or_insert_with(|| Table {
            name,
            key,
            columns: Vec::new(),
        });
        if column.name != VERSION_COLUMN && column.name != PARENT_COLUMN {
            table.columns.push(column);
        }
    }
    Ok(tables)
}

fn column(row: &Row) -> Result<Column, Error> {
    let (expression, generated): (Option<String>, bool) = (row.try_get(7)?, row.try_get(8)?);
    let (default, generated) = if generated {
        (None, expression)
    } else {
        (expression, None)
    };
    let root: u32 = row.try_get("type_oid")?;
    Ok(Column {
        name: row.try_get(4)?,
        sql_type: row.try_get(5)?,
        nullable: row.try_get(6)?,
        default,
        generated,
        identity: match row.try_get(9)? {
            "a" => Some("always"),
            "d" => Some("by default"),
            _ => None,
        },
        in_key: false,
        enum_values: row.try_get(12)?,
        cast: row.try_get(10)?,
        kind: match root {
            16 => Kind::Boolean,
            21 | 23 => Kind::Integer,
            700 | 701 => Kind::Float,
            114 | 3802 => Kind::Json,
            _ => Kind::Text,
        },
        wire: ColumnType::of(root, row.try_get("element_oid")?),
        debezium: debezium_form(row),
        collated: row.try_get(11)?,
    })
}

impl Table {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The key's columns, in the key's order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|name| self.column(name))
    }

    /// As SQL names it.
    pub fn quoted(&self) -> String {
        quote_table(&self.name)
    }

    /// The text `schema.table` of it.
    pub fn full_name(&self) -> String {
        self.name.to_string()
    }

    /// An array of the key's texts.
    pub fn key_texts(&self, alias: &str) -> String {
        let texts: Vec<_> = self.key_columns().map(|column| column.text(alias)).collect();
        format!("array[{}]::text[]", texts.join(", "))
    }
}

impl Column {
    /// It, of the relation with this alias.
    pub fn of(&self, alias: &str) -> String {
        format!("{alias}.{}", quote(&self.name))
    }

    /// The text Postgres prints for it.
    pub fn text(&self, alias: &str) -> String {
        let it = self.of(alias);
        // A cast of these to text says it in other words: with the mask, without the blanks.
        if matches!(self.cast.as_str(), "inet" | "bpchar") {
            format!("case when {it} is not null then format('%s', {it}) end")
        } else {
            format!("{it}::text")
        }
    }

    /// Its value as `row_to_json` is to see it.
    pub fn shown(&self, alias: &str) -> String {
        match self.kind {
            Kind::Boolean | Kind::Integer | Kind::Float => self.of(alias),
            Kind::Json | Kind::Text => self.text(alias),
        }
    }

    /// A text as a value of it.
    pub fn value(&self, text: &str) -> String {
        format!("({text})::{}", self.cast)
    }
}
