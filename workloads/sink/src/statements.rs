//! The SQL of one table. Pure. Every value is a parameter: one array of texts a column, cast to the column's type.

use synccluster_protocol::{
    codec::ColumnType,
    event::{PARENT_COLUMN, VERSION_COLUMN},
};
use synccluster_runtime::catalog::{CatalogTable, Column, quote, quote_table};

use crate::constraints::Constraint;

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

/// For each key, in order: the row's version, the tombstone's version, and what the later of the two replaced. The relation's name is the
/// parameter behind the keys.
pub fn state(table: &CatalogTable, keys: Keys) -> String {
    format!(
        "select t.{version}, x.version, case when x.version > t.{version} or t.{version} is null then x.parent else t.{parent} end
         from {keys} left join {table} t on {matches}
         left join sync.tombstones x on x.relation = ${name}::text and x.key = i.key order by i.ord",
        version = quote(VERSION_COLUMN),
        parent = quote(PARENT_COLUMN),
        keys = keys.relation(table, 1),
        table = quote_table(&table.name),
        matches = matches(table),
        name = keys.parameters(table) + 1,
    )
}

/// The key as jsonb, and the row of it, both as text: a JSON number read here would keep a double's digits only.
pub fn row_json(table: &CatalogTable, keys: Keys) -> String {
    format!(
        "select i.key::text, to_jsonb(t)::text from {} left join {} t on {}",
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
        .filter(|column| !table.key.contains(column) || may_differ(table, column))
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

/// Whether equal values may have different texts (citext, numeric 1.0 and 1.00, -0): the newer row's is to be everywhere.
fn may_differ(table: &CatalogTable, column: &str) -> bool {
    let kind = table.column(column).map(|column| &column.kind);
    matches!(kind, Some(ColumnType::Text | ColumnType::Float | ColumnType::Array(_)))
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

/// For rows of these columns: their place, and the rows that stand in their way on a constraint, as key, version and JSON. On a deferrable
/// one they got past it, and the question is about those of them that are in the table. What the rows do not say is NULL.
pub fn obstacles(
    table: &CatalogTable,
    columns: &[String],
    constraint: &Constraint,
    generated: &[(String, String)],
) -> String {
    let unsaid = table.columns.iter().filter(|column| !columns.contains(&column.name));
    let mut said = vec!["\"sync place\"".to_owned(), typed(table, columns)];
    said.extend(unsaid.map(|column| format!("null::{} as {}", column.sql_type, quote(&column.name))));
    let mut whole = vec!["*".to_owned()];
    whole.extend(
        generated
            .iter()
            .map(|(column, of)| format!("({of}) as {}", quote(column))),
    );
    let predicate = constraint.predicate.as_deref().unwrap_or("true");
    let (name, version) = (quote_table(&table.name), quote(VERSION_COLUMN));
    let mut row = vec![
        "\"sync place\"".to_owned(),
        format!("{version} as \"sync version\""),
        format!("({predicate}) as \"sync if\""),
    ];
    row.extend(numbered(&constraint.parts).map(|(n, part)| format!("({part}) as \"sync part {n}\"")));
    row.extend(numbered(&table.key).map(|(n, column)| format!("{} as \"sync key {n}\"", quote(column))));
    let collide: Vec<_> = numbered(&constraint.parts)
        .zip(&constraint.operators)
        .map(|((n, part), operator)| {
            let operator = if constraint.nulls_collide {
                "is not distinct from"
            } else {
                operator
            };
            format!("({part}) {operator} n.\"sync part {n}\"")
        })
        .collect();
    let same_key = |alias: &str| {
        let pairs: Vec<_> = numbered(&table.key)
            .map(|(n, column)| format!("{alias}.{} = n.\"sync key {n}\"", quote(column)))
            .collect();
        pairs.join(" and ")
    };
    let key_text: Vec<_> = table
        .key
        .iter()
        .map(|column| format!("t.{}::text", quote(column)))
        .collect();
    let is_written = format!(
        "exists (select from {name} w where {} and w.{version} = n.\"sync version\")",
        same_key("w")
    );
    format!(
        "select n.\"sync place\", array[{key_text}], t.{version}, to_jsonb(t)::text
           from (select {row} from (select {whole} from (select {said} from {values}) v) v) n
           join {name} t on {collide} and ({predicate})
          where n.\"sync if\" and not ({same_key}) and {is_asked} for update of t",
        key_text = key_text.join(", "),
        row = row.join(", "),
        whole = whole.join(", "),
        said = said.join(", "),
        values = unnest(columns),
        collide = collide.join(" and "),
        same_key = same_key("t"),
        is_asked = if constraint.deferrable { &is_written } else { "true" },
    )
}

fn numbered<T>(of: &[T]) -> impl Iterator<Item = (usize, &T)> {
    (1..).zip(of)
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
    format!(
        "unnest({}) with ordinality u({}, \"sync place\")",
        arrays.join(", "),
        names.join(", ")
    )
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
