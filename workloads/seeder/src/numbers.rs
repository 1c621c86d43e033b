//! Numbers from the sequences of a site: keys that no other site gives.

use std::collections::HashMap;

use synccluster_runtime::postgres::describe;
use tokio_postgres::Client;

use crate::{journal::KeyRange, values::Sequences};

/// Takes so many numbers from a sequence, for rows from `row` on. Somebody else may take some in between: then there is more than one range.
pub async fn take(client: &Client, sequence: &str, row: u64, count: u64) -> Result<Vec<KeyRange>, String> {
    const RANGES: &str = "with taken as (select nextval($1::text::regclass) as n from generate_series(1, $2::bigint)),
        stepped as (select n, n - lag(n) over (order by n) as step from taken),
        usual as (select coalesce(mode() within group (order by step), 1) as step from stepped),
        islands as (select n, sum(case when s.step is distinct from u.step then 1 else 0 end) over (order by n) as island, u.step as step from stepped s, usual u)
        select min(n), max(step), count(*) from islands group by island order by 1";
    if count == 0 {
        return Ok(Vec::new());
    }
    let wanted = i64::try_from(count).map_err(|_| format!("{count} numbers are too many"))?;
    let rows = client
        .query(RANGES, &[&sequence, &wanted])
        .await
        .map_err(|error| format!("sequence {sequence} gives no numbers: {}", describe(&error)))?;
    let mut next = row;
    let ranges = rows.iter().map(|row| {
        let count = u64::try_from(row.get::<_, i64>(2)).unwrap_or_default();
        let range = KeyRange {
            row: next,
            first: row.get(0),
            step: row.get(1),
            count,
        };
        next += count;
        range
    });
    Ok(ranges.collect())
}

/// What was taken, by table and column.
#[derive(Clone, Debug, Default)]
pub struct Numbers(HashMap<(usize, usize), Vec<KeyRange>>);

impl Numbers {
    /// For all rows of a table.
    pub fn set(&mut self, table: usize, column: usize, ranges: Vec<KeyRange>) {
        self.0.insert((table, column), ranges);
    }

    /// Whether they are there.
    pub fn has(&self, table: usize, column: usize) -> bool {
        self.0.contains_key(&(table, column))
    }
}

impl Sequences for Numbers {
    fn number(&self, table: usize, column: usize, row: u64) -> Option<i64> {
        let ranges = self.0.get(&(table, column))?;
        let place = ranges.partition_point(|range| range.row <= row).checked_sub(1)?;
        ranges[place].number(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_number_of_its_range() {
        let mut numbers = Numbers::default();
        let range = |row, first, count| KeyRange {
            row,
            first,
            step: 1024,
            count,
        };
        numbers.set(0, 2, vec![range(5, 1, 2), range(7, 9217, 10)]);
        let of = |row| numbers.number(0, 2, row);
        assert_eq!(
            [4, 5, 6, 7, 8, 17].map(of),
            [None, Some(1), Some(1025), Some(9217), Some(10241), None]
        );
        assert_eq!(numbers.number(1, 2, 5), None);
    }
}
