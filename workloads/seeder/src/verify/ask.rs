//! What a site has of some rows.

use std::collections::HashMap;

use synccluster_runtime::catalog::{quote, quote_table};
use tokio_postgres::{Client, Error, types::ToSql};

use super::judge::Found;
use crate::{
    journal::Key,
    schema::{Table, read},
};

/// A table as it is asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    relation: String,
    quoted: String,
    /// Name, quoted name and type of each column of the key.
    key: Vec<(String, String, String)>,
}

impl Asked {
    /// The table of this name.
    pub async fn read(client: &Client, name: &str) -> Result<Self, read::Error> {
        let tables = read::tables(client, &[name.to_owned()]).await?;
        let table: &Table = tables.first().ok_or(read::Error::Nothing)?;
        let column = |&place: &usize| {
            let column = &table.columns[place];
            (column.name.clone(), quote(&column.name), column.sql_type.clone())
        };
        Ok(Self {
            relation: name.to_owned(),
            quoted: quote_table(&table.name),
            key: table.key.iter().map(column).collect(),
        })
    }

    /// The versions of rows and tombstones, and what is parked.
    pub async fn find(&self, client: &Client, keys: &[Key]) -> Result<Vec<Found>, Error> {
        let mut found = vec![Found::default(); keys.len()];
        let columns = self.columns(keys);
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        let equal: Vec<String> = self
            .key
            .iter()
            .enumerate()
            .map(|(place, (_, name, _))| format!("t.{name} = i.k{place}"))
            .collect();
        let rows = format!(
            "select i.n, t.sync_version from ({}) i join {} t on {}",
            self.input(),
            self.quoted,
            equal.join(" and ")
        );
        for row in client.query(&rows, &parameters).await? {
            if let Some(found) = place(&mut found, row.get(0)) {
                found.row = Some(row.get(1));
            }
        }
        parameters.push(&self.relation);
        let relation = self.key.len() + 1;
        let books = [
            format!("select i.n, t.version from ({}) i join sync.tombstones t on t.relation = ${relation} and t.key = {}", self.input(), self.json()),
            format!(
                "select i.n, null::bigint from ({}) i join (select distinct jsonb_build_object({}) as key from sync.parked p
                  cross join lateral (select coalesce(p.event -> 'after', p.event -> 'before', p.event) as image) e where p.relation = ${relation}) p on p.key = {}",
                self.input(),
                self.key.iter().map(|(name, ..)| format!("'{0}', e.image -> '{0}'", name.replace('\'', "''"))).collect::<Vec<_>>().join(", "),
                self.json()
            ),
        ];
        for query in books {
            for row in client.query(&query, &parameters).await? {
                if let Some(found) = place(&mut found, row.get(0)) {
                    match row.get(1) {
                        Some(version) => found.tombstone = Some(version),
                        None => found.parked = true,
                    }
                }
            }
        }
        Ok(found)
    }

    /// The versions of writes to these rows that lost.
    pub async fn lost(&self, client: &Client, keys: &[Key]) -> Result<HashMap<Key, Vec<i64>>, Error> {
        let columns = self.columns(keys);
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        parameters.push(&self.relation);
        let query = format!(
            "select i.n, c.loser_version from ({}) i join sync.conflicts c on c.relation = ${} and c.key = {}",
            self.input(),
            self.key.len() + 1,
            self.json()
        );
        let mut lost: HashMap<Key, Vec<i64>> = HashMap::new();
        for row in client.query(&query, &parameters).await? {
            let key = usize::try_from(row.get::<_, i64>(0) - 1)
                .ok()
                .and_then(|place| keys.get(place));
            if let Some(key) = key {
                lost.entry(key.clone()).or_default().push(row.get(1));
            }
        }
        Ok(lost)
    }

    fn columns(&self, keys: &[Key]) -> Vec<Vec<String>> {
        let column = |place: usize| {
            keys.iter()
                .map(|key| key.get(place).cloned().unwrap_or_default())
                .collect()
        };
        (0..self.key.len()).map(column).collect()
    }

    /// The keys as a table: their place from 1, and each column in its type.
    fn input(&self) -> String {
        let each = self.key.iter().enumerate();
        let arrays: Vec<String> = each
            .clone()
            .map(|(place, _)| format!("${}::text[]", place + 1))
            .collect();
        let names: Vec<String> = each.clone().map(|(place, _)| format!("x{place}")).collect();
        let typed: Vec<String> = each
            .map(|(place, (.., sql_type))| format!("x{place}::{sql_type} as k{place}"))
            .collect();
        format!(
            "select n, {} from unnest({}) with ordinality u({}, n)",
            typed.join(", "),
            arrays.join(", "),
            names.join(", ")
        )
    }

    /// The key as the books have it.
    fn json(&self) -> String {
        let parts = self.key.iter().enumerate();
        let parts: Vec<String> = parts
            .map(|(place, (name, ..))| format!("'{}', i.k{place}", name.replace('\'', "''")))
            .collect();
        format!("jsonb_build_object({})", parts.join(", "))
    }
}

fn place(found: &mut [Found], number: i64) -> Option<&mut Found> {
    usize::try_from(number - 1).ok().and_then(|place| found.get_mut(place))
}
