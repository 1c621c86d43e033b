//! The SQL of one table. Pure. Every value is a parameter: one array of texts a column, cast to the column's type.

use synccluster_protocol::{codec::ColumnType, event::VERSION_COLUMN};
use synccluster_runtime::catalog::{CatalogTable, Column, quote, quote_table};

/// Where the keys of a statement come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// One array of texts for each column of the key.
    Columns,
    /// One array of jsonb objects.
    Json,
}

impl Keys {
    /// How many parameters they take.
    pub fn parameters(self, table: &CatalogTable) -> usize {
        match self {
            Self::Columns => table.key.len(),
            Self::Json => 1,
        }
    }

    /// `(select ord, "id", …, key from unnest($1, …)) i`: typed key columns, and the key as jsonb.
    fn relation(self, table: &CatalogTable, first: usize) -> String {
        let typed =
            |column: &String, text: String| format!("({text})::{} as {}", sql_type(table, column), quote(column));
        match self {
            Self::Columns => {
                let arrays: Vec<_> = (0..table.key.len())
                    .map(|n| format!("${}::text[]", first + n))
                    .collect();
                let names: Vec<_> = (0..table.key.len()).map(|n| format!("k{n}")).collect();
                let columns: Vec<_> = table
                    .key
                    .iter()
                    .zip(&names)
                    .map(|(column, name)| typed(column, name.clone()))
                    .collect();
                let object: Vec<_> = table
                    .key
                    .iter()
                    .map(|column| format!("{}, {}", literal(column), quote(column)))
                    .collect();
                format!(
                    "(select *, jsonb_build_object({}) as key from (select ord, {} from unnest({}) with ordinality u({}, ord)) k) i",
                    object.join(", "),
                    columns.join(", "),
                    arrays.join(", "),
                    names.join(", ")
                )
            }
            Self::Json => {
                let of_array = |column: &String| {
                    matches!(
                        table.column(column),
                        Some(Column {
                            kind: ColumnType::Array(_),
                            ..
                        })
                    )
                };
                let text = |column: &String| {
                    if of_array(column) {
                        // The text of a JSON array is no array of Postgres'.
                        format!(
                            "(jsonb_populate_record(null::{}, key)).{}",
                            quote_table(&table.name),
                            quote(column)
                        )
                    } else {
                        format!("key ->> {}", literal(column))
                    }
                };
                let columns: Vec<_> = table.key.iter().map(|column| typed(column, text(column))).collect();
                format!(
                    "(select ord, key, {} from (select ord, k::jsonb as key from unnest(${first}::text[]) with ordinality u(k, ord)) j) i",
                    columns.join(", ")
                )
            }
        }
    }
}

/// Locks the rows of the keys, in the order of the key so that two of us cannot wait for each other.
pub fn lock(table: &CatalogTable, keys: Keys) -> String {
    let order: Vec<_> = table.key.iter().map(|column| format!("t.{}", quote(column))).collect();
    format!(
        "select from {} t join {} on {} order by {} for update of t",
        quote_table(&table.name),
        keys.relation(table, 1),
        matches(table),
        order.join(", ")
    )
}

/// For each key, in order: the row's version, the tombstone's version. The relation's name is the parameter behind the keys.
pub fn state(table: &CatalogTable, keys: Keys) -> String {
    format!(
        "select t.{version}, x.version from {keys} left join {table} t on {matches}
         left join sync.tombstones x on x.relation = ${name}::text and x.key = i.key order by i.ord",
        version = quote(VERSION_COLUMN),
        keys = keys.relation(table, 1),
        table = quote_table(&table.name),
        matches = matches(table),
        name = keys.parameters(table) + 1,
    )
}

/// The row of one key as JSON, and the key as jsonb.
pub fn row_json(table: &CatalogTable, keys: Keys) -> String {
    format!(
        "select i.key, to_jsonb(t) from {} left join {} t on {}",
        keys.relation(table, 1),
        quote_table(&table.name),
        matches(table)
    )
}

/// Inserts rows of these columns; a key that somebody else has just inserted is left alone.
pub fn insert(table: &CatalogTable, columns: &[String]) -> String {
    let names: Vec<_> = columns.iter().map(|column| quote(column)).collect();
    let key: Vec<_> = table.key.iter().map(|column| quote(column)).collect();
    format!(
        "insert into {} ({}) overriding system value select {} from {} on conflict ({}) do nothing",
        quote_table(&table.name),
        names.join(", "),
        typed(table, columns),
        unnest(columns),
        key.join(", ")
    )
}

/// Sets rows of these columns, whose keys are among them.
pub fn update(table: &CatalogTable, columns: &[String]) -> String {
    let sets: Vec<_> = columns
        .iter()
        .filter(|column| !table.key.contains(column))
        .map(|column| format!("{0} = i.{0}", quote(column)))
        .collect();
    format!(
        "update {} t set {} from (select {} from {}) i where {} and t.{version} < i.{version}",
        quote_table(&table.name),
        sets.join(", "),
        typed(table, columns),
        unnest(columns),
        matches(table),
        version = quote(VERSION_COLUMN),
    )
}

/// Deletes the rows of the keys.
pub fn delete(table: &CatalogTable, keys: Keys) -> String {
    format!(
        "delete from {} t using {} where {}",
        quote_table(&table.name),
        keys.relation(table, 1),
        matches(table)
    )
}

/// Writes tombstones; parameters behind the keys: the relation's name, versions, parents.
pub fn bury(table: &CatalogTable, keys: Keys) -> String {
    let next = keys.parameters(table) + 1;
    format!(
        "insert into sync.tombstones as x (relation, key, version, parent)
         select ${next}::text, i.key, v.version, v.parent from {}
         join unnest(${}::int8[], ${}::int8[]) with ordinality v(version, parent, ord) using (ord)
         on conflict on constraint tombstones_pkey do update set version = excluded.version, parent = excluded.parent
         where x.version < excluded.version",
        keys.relation(table, 1),
        next + 1,
        next + 2,
    )
}

/// Key and version of the rows that hold the values of `columns`, which are unique together, under another key.
pub fn obstacles(table: &CatalogTable, columns: &[String]) -> String {
    let key_text: Vec<_> = table
        .key
        .iter()
        .map(|column| format!("t.{}::text", quote(column)))
        .collect();
    let values: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(n, column)| format!("t.{} = ${}::text::{}", quote(column), n + 1, sql_type(table, column)))
        .collect();
    let others: Vec<_> = table
        .key
        .iter()
        .enumerate()
        .map(|(n, column)| {
            format!(
                "t.{} = ${}::text::{}",
                quote(column),
                columns.len() + n + 1,
                sql_type(table, column)
            )
        })
        .collect();
    format!(
        "select array[{}], t.{}, to_jsonb(t) from {} t where {} and not ({}) for update",
        key_text.join(", "),
        quote(VERSION_COLUMN),
        quote_table(&table.name),
        values.join(" and "),
        others.join(" and ")
    )
}

fn matches(table: &CatalogTable) -> String {
    let pairs: Vec<_> = table
        .key
        .iter()
        .map(|column| format!("t.{0} = i.{0}", quote(column)))
        .collect();
    pairs.join(" and ")
}

fn unnest(columns: &[String]) -> String {
    let arrays: Vec<_> = (1..=columns.len()).map(|n| format!("${n}::text[]")).collect();
    let names: Vec<_> = (0..columns.len()).map(|n| format!("c{n}")).collect();
    format!("unnest({}) u({})", arrays.join(", "), names.join(", "))
}

fn typed(table: &CatalogTable, columns: &[String]) -> String {
    let typed: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(n, column)| format!("c{n}::{} as {}", sql_type(table, column), quote(column)))
        .collect();
    typed.join(", ")
}

fn sql_type<'a>(table: &'a CatalogTable, column: &str) -> &'a str {
    table.column(column).map_or("text", |column| column.sql_type.as_str())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
