//! A chunk: the rows behind a key, in its order.

use bytes::Bytes;
use futures::TryStreamExt;
use synccluster_replication::pgoutput::Datum;
use synccluster_runtime::catalog::quote;
use tokio_postgres::Client;

use super::{Portion, literal};
use crate::{session::Error, snapshot};

/// Rows of a chunk.
const ROWS: usize = 1000;
/// Rows of the first chunk of a table.
pub const FIRST_ROWS: usize = 16;
/// Bytes of a chunk, as text: rows may be large, and a connector is small.
const BYTES: usize = 1 << 20;

/// How many rows are asked for after `got` of `asked` came. What Postgres sends beyond a chunk is thrown away, and the stream waits for it.
pub fn next_rows(asked: usize, got: usize, table_done: bool) -> usize {
    if table_done {
        return FIRST_ROWS;
    }
    (got * 2).min(asked * 2).clamp(1, ROWS)
}

/// The rows behind a key, as many at most, and whether they are the last.
pub async fn chunk(
    client: &Client,
    portion: &Portion,
    after: &[String],
    most: usize,
) -> Result<(Vec<Vec<Datum>>, bool), Error> {
    let key: Vec<String> = portion.table.key.iter().map(|column| quote(column)).collect();
    let key = key.join(", ");
    let mut conditions: Vec<String> = portion.condition.iter().cloned().collect();
    if !after.is_empty() {
        let values = after.iter().zip(&portion.types);
        let values: Vec<String> = values
            .map(|(value, sql_type)| format!("{}::{sql_type}", literal(value)))
            .collect();
        conditions.push(format!("({key}) > ({})", values.join(", ")));
    }
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!(" where {}", conditions.join(" and "))
    };
    let tail = format!("{condition} order by {key} limit {most}");
    let mut lines = std::pin::pin!(snapshot::lines(client, &portion.table, &tail).await?);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(line) = lines.try_next().await? {
        bytes += Bytes::len(&line);
        rows.push(snapshot::parse(&line));
        if bytes >= BYTES {
            return Ok((rows, false));
        }
    }
    let last = rows.len() < most;
    Ok((rows, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_are_asked_for_as_fit_a_chunk() {
        assert_eq!(next_rows(FIRST_ROWS, FIRST_ROWS, false), 2 * FIRST_ROWS);
        assert_eq!(next_rows(ROWS, ROWS, false), ROWS);
        assert_eq!(next_rows(ROWS, 3, false), 6, "a megabyte was full after three");
        assert_eq!(next_rows(ROWS, 5, true), FIRST_ROWS, "the next table's may be larger");
        assert_eq!(next_rows(1, 0, false), 1);
    }
}
