//! The SQL that makes and changes tables, in words that every ClickHouse since 18.16 understands. Pure.

use std::fmt::Write;

use serde_json::{Value, value::RawValue};
use synccluster_protocol::event::VERSION_COLUMN;

use crate::{
    encode,
    table::{Column, PARKED, PROGRESS, Table, view},
    types::{ChType, PgType},
};

/// An identifier.
pub fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A string.
pub fn text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A table of a database.
pub fn qualified(database: &str, table: &str) -> String {
    format!("{}.{}", quote(database), quote(table))
}

/// The database, and what the sink keeps of itself.
pub fn books(database: &str) -> [String; 3] {
    let of = |table| qualified(database, table);
    [
        format!("CREATE DATABASE IF NOT EXISTS {}", quote(database)),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (topic String, generation Int64, next_offset Int64, tables Array(String), left_out Array(String), \
             written_at UInt64) ENGINE = ReplacingMergeTree(written_at) ORDER BY topic",
            of(PROGRESS)
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (parked_at UInt64, topic String, offset Int64, source String, reason String) \
             ENGINE = ReplacingMergeTree(parked_at) ORDER BY (topic, offset)",
            of(PARKED)
        ),
    ]
}

/// The table.
pub fn create_table(database: &str, table: &Table) -> String {
    let mut columns = String::new();
    for column in &table.columns {
        let _ = write!(columns, "{} {}, ", quote(&column.name), column.ch);
    }
    let order: Vec<String> = table.order.iter().map(|column| quote(column)).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({columns}{VERSION_COLUMN} UInt64, {} UInt8) ENGINE = ReplacingMergeTree({VERSION_COLUMN}) ORDER BY ({})",
        qualified(database, &table.name),
        table.deleted,
        order.join(", ")
    )
}

/// What the view has, as name and expression: the columns, a time of day's reader's form beside what is kept in microseconds or days, and
/// who wrote the row when, which its version says.
pub fn viewed(table: &Table) -> Vec<(String, String)> {
    let mut shown: Vec<(String, String)> = table
        .columns
        .iter()
        .map(|column| (column.name.clone(), quote(&column.name)))
        .collect();
    shown.push((VERSION_COLUMN.to_owned(), VERSION_COLUMN.to_owned()));
    let own = shown.len();
    for column in &table.columns {
        if let Some((name, expression)) = readable(column) {
            shown.push((name, expression));
        }
    }
    // The ten lowest bits are the node, the others microseconds.
    let node = format!("bitAnd({VERSION_COLUMN}, 1023)");
    shown.push((
        "sync_site".to_owned(),
        format!("if({node} = 0, 'server', concat('client-', toString({node})))"),
    ));
    shown.push((
        "sync_written_at".to_owned(),
        format!("toDateTime(intDiv({VERSION_COLUMN}, 1024000000), 'UTC')"),
    ));
    let (kept, added) = shown.split_at(own);
    let free = added
        .iter()
        .filter(|(name, _)| kept.iter().all(|(taken, _)| taken != name));
    kept.iter().chain(free).cloned().collect()
}

/// A `DateTime` or `Date`, null where theirs do not reach.
fn readable(column: &Column) -> Option<(String, String)> {
    let plain = match &column.ch {
        ChType::Nullable(inner) => inner,
        other => other,
    };
    let name = quote(&column.name);
    match (&column.pg, plain) {
        (PgType::Timestamp | PgType::TimestampTz, ChType::Int(8)) => Some((
            format!("{}__time", column.name),
            format!("if({name} >= 0 AND {name} < 4294967296000000, toDateTime(intDiv({name}, 1000000), 'UTC'), NULL)"),
        )),
        (PgType::Date, ChType::Int(4)) => Some((
            format!("{}__date", column.name),
            format!("if({name} >= 0 AND {name} < 49710, toDate({name}), NULL)"),
        )),
        _ => None,
    }
}

/// The view of the current rows.
pub fn create_view(database: &str, table: &Table) -> String {
    let shown: Vec<String> = viewed(table)
        .into_iter()
        .map(|(name, expression)| {
            let name = quote(&name);
            if name == expression {
                name
            } else {
                format!("{expression} AS {name}")
            }
        })
        .collect();
    format!(
        "CREATE VIEW IF NOT EXISTS {} AS SELECT {} FROM {} FINAL WHERE {} = 0",
        qualified(database, &view(&table.name)),
        shown.join(", "),
        qualified(database, &table.name),
        table.deleted
    )
}

/// A column that came later. Its default is what Postgres says of rows from before it, which never travel.
pub fn add_column(database: &str, table: &Table, column: &Column) -> String {
    let default =
        literal(&column.missing, &column.pg, &column.ch).map_or(String::new(), |literal| format!(" DEFAULT {literal}"));
    format!(
        "ALTER TABLE {} ADD COLUMN {} {}{default}",
        qualified(database, &table.name),
        quote(&column.name),
        column.ch
    )
}

/// A column whose type changed.
pub fn modify_column(database: &str, table: &Table, column: &Column) -> String {
    format!(
        "ALTER TABLE {} MODIFY COLUMN {} {}",
        qualified(database, &table.name),
        quote(&column.name),
        column.ch
    )
}

/// Adds rows in RowBinary.
pub fn insert(database: &str, table: &Table) -> String {
    let columns: Vec<String> = table.inserted().into_iter().map(quote).collect();
    format!(
        "INSERT INTO {} ({}) FORMAT RowBinary",
        qualified(database, &table.name),
        columns.join(", ")
    )
}

/// A value as it travels, as SQL; `None` for null, and for what the column cannot hold.
fn literal(raw: &str, pg: &PgType, ch: &ChType) -> Option<String> {
    match ch {
        ChType::Nullable(inner) | ChType::LowCardinality(inner) => literal(raw, pg, inner),
        ChType::Array(inner) => {
            let (PgType::Array(element), Ok(items)) = (pg, serde_json::from_str::<Vec<&RawValue>>(raw)) else {
                return None;
            };
            let items = items.iter().map(|item| match item.get() {
                "null" => Some("NULL".to_owned()),
                item => literal(item, element, inner),
            });
            let items: Vec<String> = items.collect::<Option<_>>()?;
            Some(format!("CAST([{}] AS {ch})", items.join(", ")))
        }
        ChType::Int(_) | ChType::UInt(_) => encode::whole(raw, pg).map(|number| number.to_string()),
        _ if raw == "null" => None,
        _ => {
            let value: Value = serde_json::from_str(raw).ok()?;
            let plain = match (pg, &value) {
                (PgType::Bytes, _) => return None,
                (_, Value::String(text)) => text.clone(),
                (_, other) => other.to_string(),
            };
            Some(format!("CAST({} AS {ch})", text(&plain)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use synccluster_protocol::event::TableName;

    fn column(name: &str, pg: PgType, key: bool) -> Column {
        Column {
            name: name.to_owned(),
            ch: pg.mapped(true, key),
            pg,
            missing: "null".to_owned(),
            key,
            chosen: false,
            debezium: None,
        }
    }

    fn table() -> Table {
        Table {
            source: TableName::new("public", "todos"),
            name: "todos".to_owned(),
            columns: vec![
                column("id", PgType::Int(8), true),
                column("due", PgType::Date, false),
                column("at", PgType::TimestampTz, false),
            ],
            order: vec!["id".to_owned()],
            deleted: "deleted".to_owned(),
            left_out: HashSet::new(),
            differs: false,
        }
    }

    #[test]
    fn a_table_replaces_rows_by_their_version() {
        assert_eq!(
            create_table("shop", &table()),
            "CREATE TABLE IF NOT EXISTS `shop`.`todos` (`id` Int64, `due` Nullable(Int32), `at` Nullable(Int64), sync_version UInt64, deleted UInt8) \
             ENGINE = ReplacingMergeTree(sync_version) ORDER BY (`id`)"
        );
    }

    #[test]
    fn a_view_has_the_current_rows_and_readable_times() {
        let view = create_view("shop", &table());
        assert!(
            view.starts_with("CREATE VIEW IF NOT EXISTS `shop`.`todos_current` AS SELECT `id`, `due`, `at`, "),
            "{view}"
        );
        assert!(view.ends_with(" FROM `shop`.`todos` FINAL WHERE deleted = 0"), "{view}");
        let names: Vec<String> = viewed(&table()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "id",
                "due",
                "at",
                "sync_version",
                "due__date",
                "at__time",
                "sync_site",
                "sync_written_at"
            ]
        );
    }

    #[test]
    fn a_column_of_the_same_name_is_not_shown_twice() {
        let mut table = table();
        table.columns.push(column("at__time", PgType::Text, false));
        let names: Vec<String> = viewed(&table).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.iter().filter(|name| *name == "at__time").count(), 1);
    }

    #[test]
    fn a_later_column_has_what_postgres_says_of_older_rows() {
        let with = |pg: PgType, missing: &str| {
            let column = Column {
                missing: missing.to_owned(),
                ..column("x", pg, false)
            };
            add_column("shop", &table(), &column)
                .split_once(" ADD COLUMN `x` ")
                .unwrap()
                .1
                .to_owned()
        };
        assert_eq!(with(PgType::Text, "null"), "Nullable(String)");
        assert_eq!(with(PgType::Int(4), "5"), "Nullable(Int32) DEFAULT 5");
        assert_eq!(with(PgType::Bool, "true"), "Nullable(UInt8) DEFAULT 1");
        assert_eq!(
            with(PgType::Text, "\"it's\""),
            "Nullable(String) DEFAULT CAST('it\\'s' AS String)"
        );
        assert_eq!(
            with(PgType::TimestampTz, "\"1970-01-01T00:00:01.000000Z\""),
            "Nullable(Int64) DEFAULT 1000000"
        );
        assert_eq!(
            with(PgType::Array(Box::new(PgType::Int(4))), "[1,null]"),
            "Array(Nullable(Int32)) DEFAULT CAST([1, NULL] AS Array(Nullable(Int32)))"
        );
    }

    #[test]
    fn names_and_strings_are_quoted() {
        assert_eq!(qualified("a`b", "c\\d"), "`a\\`b`.`c\\\\d`");
        assert_eq!(text("it's \\"), "'it\\'s \\\\'");
    }
}
