//! The rows that were there before the slot: read in the slot's own snapshot, so that not one is missed or out of order.

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use synccluster_protocol::{
    codec::{ColumnType, SESSION_SETTINGS},
    event::{SIGNALS, TableName},
};
use synccluster_replication::{pgoutput::Datum, relations::Table};
use synccluster_runtime::catalog::{self, quote, quote_table};
use tokio_postgres::{Client, Error};

use crate::envelope::NO_RECORD_FROM;

/// Gives a session the settings under which values have the same text as in the stream.
pub async fn settle(client: &Client) -> Result<(), Error> {
    let settings: Vec<String> = SESSION_SETTINGS
        .iter()
        .map(|(name, value)| format!("set {name} = '{value}'"))
        .collect();
    client.batch_execute(&settings.join("; ")).await
}

/// Begins a transaction that sees exactly what the slot's stream will not send.
pub async fn begin(client: &Client, snapshot: &str) -> Result<(), Error> {
    settle(client).await?;
    // The name is Postgres' own answer to CREATE_REPLICATION_SLOT; SET TRANSACTION takes no parameters.
    let name = snapshot.replace('\'', "''");
    let script = format!("begin isolation level repeatable read read only; set transaction snapshot '{name}'");
    client.batch_execute(&script).await
}

/// The tables of publications `p`: classes `c` in namespaces `n`. Asked of the catalogue itself: view `pg_publication_tables` opens each table, and would
/// wait for whoever has locked one. As there, a partition whose table is sent, too, is not named: its rows come by that.
pub const PUBLISHED: &str = "pg_publication_rel r
       join pg_publication p on p.oid = r.prpubid
       join pg_class c on c.oid = r.prrelid
       join pg_namespace n on n.oid = c.relnamespace
        and not exists (select from pg_partition_ancestors(c.oid) a
                          join pg_publication_rel o on o.prrelid = a.relid and o.prpubid = p.oid
                         where a.relid <> c.oid)";

/// The names of the publication's tables that are sent.
pub async fn names(client: &Client, publication: &str) -> Result<Vec<TableName>, Error> {
    let statement = format!("select n.nspname, c.relname from {PUBLISHED} where p.pubname = $1 order by 1, 2");
    let rows = client.query(&statement, &[&publication]).await?;
    let names = rows
        .iter()
        .map(|row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)));
    Ok(names.filter(|name| !name.is(SIGNALS)).collect())
}

/// The tables of the publication that are sent.
pub async fn tables(client: &Client, publication: &str) -> Result<Vec<Table>, Error> {
    let names = names(client, publication).await?;
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        if let Some(table) = catalog::table(client, &name).await? {
            let columns = table
                .columns
                .into_iter()
                .map(|column| (column.name, column.kind))
                .collect();
            tables.push(Table {
                name,
                columns,
                key: table.key,
                generated: Vec::new(),
            });
        }
    }
    Ok(tables)
}

/// Keeps a table as it is until the transaction ends. Waits for whoever changes it now.
pub async fn hold(client: &Client, table: &TableName) -> Result<(), Error> {
    let statement = format!("lock table {} in access share mode", quote_table(table));
    client.batch_execute(&statement).await
}

/// Every row of a table, as it comes: COPY gives the same text as the stream's output functions, and Postgres sends one row a message.
pub async fn rows(client: &Client, table: &Table) -> Result<impl Stream<Item = Result<Vec<Datum>, Error>>, Error> {
    Ok(lines(client, table, "").await?.map_ok(|line| parse(&line)))
}

/// The rows that `tail` leaves of a table (`where …`, `order by …`), one line each.
pub async fn lines(
    client: &Client,
    table: &Table,
    tail: &str,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + use<>, Error> {
    client.copy_out(&statement(table, tail)).await
}

/// What is not left out of a large row; keys and versions are shorter.
const SMALL_VALUE: usize = 64 * 1024;

/// Selects the columns, but for large values of rows of which no record can be made, and at last which these are: `3:15000000,4:2000000000`, by
/// place and bytes. Only their length is read, and so a connector needs no memory for them.
fn statement(table: &Table, tail: &str) -> String {
    const LARGE: &str = "\"sync: large\"";
    let (mut columns, mut left_out, mut sizes, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (place, (name, kind)) in table.columns.iter().enumerate() {
        let column = quote(name);
        let length = match kind {
            // As text it may be longer than Postgres makes a text.
            ColumnType::Bytes => format!("(2 + 2 * octet_length({column})::int8)"),
            ColumnType::Text | ColumnType::Array(_) => format!("octet_length({column}::text)::int8"),
            _ => {
                columns.push(column);
                continue;
            }
        };
        sizes.push(format!("coalesce(pg_column_size({column}), 0)"));
        lengths.push(format!("coalesce({length}, 0)"));
        if table.key.contains(name) {
            columns.push(column);
            continue;
        }
        let large = format!("{LARGE} and {length} > {SMALL_VALUE}");
        // Named, because a column's own name may be that of the expression, and then `order by` would find two.
        columns.push(format!(
            "case when not ({large}) then {column} end as \"sync: {place}\""
        ));
        left_out.push(format!("case when {large} then '{place}:' || {length} end"));
    }
    let from = quote_table(&table.name);
    if left_out.is_empty() {
        return format!("copy (select {}, '' from {from}{tail}) to stdout", columns.join(", "));
    }
    // The size as it is stored is known without reading it, and no compression of Postgres makes less than a 255th of it. `offset 0`: once for a row.
    format!(
        "copy (select {}, concat_ws(',', {}) as \"sync: left out\" from {from} cross join lateral (select {} > {} and {} >= {NO_RECORD_FROM} as {LARGE} offset 0) \"sync: row\"{tail}) to stdout",
        columns.join(", "),
        left_out.join(", "),
        sizes.join(" + "),
        NO_RECORD_FROM / 255,
        lengths.join(" + "),
    )
}

/// One line of COPY's text format (documentation of COPY, section "Text Format"), with what was left out as its last field.
pub fn parse(line: &Bytes) -> Vec<Datum> {
    let text = String::from_utf8_lossy(line);
    let (values, left_out) = text.trim_end_matches('\n').rsplit_once('\t').unwrap_or_default();
    let mut row: Vec<Datum> = values
        .split('\t')
        .map(|field| {
            if field == "\\N" {
                Datum::Null
            } else {
                Datum::Text(unescape(field).into())
            }
        })
        .collect();
    for (place, bytes) in left_out.split(',').filter_map(|one| one.split_once(':')) {
        if let (Ok(place), Ok(bytes)) = (place.parse::<usize>(), bytes.parse())
            && let Some(value) = row.get_mut(place)
        {
            *value = Datum::LeftOut(bytes);
        }
    }
    row
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(c) = rest.next() {
        text.push(match (c, c == '\\') {
            (c, false) => c,
            (_, true) => match rest.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some(other) => other,
                None => '\\',
            },
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copys_escapes_are_undone() {
        let line = Bytes::from_static(b"1\t\\N\ta\\tb\\nc\\\\d\t\t\n");
        let expected = [
            Datum::Text("1".into()),
            Datum::Null,
            Datum::Text("a\tb\nc\\d".into()),
            Datum::Text("".into()),
        ];
        assert_eq!(parse(&line), expected);
    }

    #[test]
    fn what_was_left_out_is_told_by_its_place_and_length() {
        let line = Bytes::from_static(b"1\t\\N\t\\N\t1:15000000\n");
        let expected = [Datum::Text("1".into()), Datum::LeftOut(15_000_000), Datum::Null];
        assert_eq!(parse(&line), expected);
    }

    #[test]
    fn only_what_may_be_large_is_looked_at() {
        let column = |name: &str, kind| (name.to_owned(), kind);
        let table = Table {
            name: TableName::new("public", "notes"),
            columns: vec![
                column("id", ColumnType::Text),
                column("at", ColumnType::TimestampTz),
                column("body", ColumnType::Text),
            ],
            key: vec!["id".to_owned()],
            generated: Vec::new(),
        };
        let statement = statement(&table, " limit 1");
        let begin = r#"copy (select "id", "at", case when not ("sync: large" and octet_length("body"::text)::int8 > 65536) then "body" end as "#;
        assert!(statement.starts_with(begin), "{statement}");
        assert!(
            statement.contains("then '2:' || octet_length(\"body\"::text)::int8 end"),
            "{statement}"
        );
        assert!(
            statement.contains(r#" from "public"."notes" cross join lateral "#),
            "{statement}"
        );
        assert!(statement.ends_with(" limit 1) to stdout"), "{statement}");
    }
}
