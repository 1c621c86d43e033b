//! A row that was put aside, read and sent again: like a chunk of [`crate::resnapshot`] of one row, at its place between two transactions.
//!
//! Whatever fails here is noted at the entry: the stream goes on. Where somebody had locked the table, it is soon tried again.

use std::time::Instant;

use synccluster_protocol::{Lsn, codec, event::TableName};
use synccluster_runtime::{
    catalog::{quote, quote_table},
    clock::now_millis,
    postgres::PostgresSecret,
};
use tokio_postgres::Client;

use super::{Aside, Entry};
use crate::{
    envelope::{self, Origin, Record},
    lock,
    producer::LARGEST,
    resnapshot::{self, AGAIN_AFTER, Portion, chunk::chunk, literal, window::Window},
    session::Error,
};

/// What is tried again.
#[derive(Default)]
pub struct Retry {
    window: Option<Window>,
    /// Since when a lock has been in the way.
    locked: Option<Instant>,
}

enum Found {
    /// The row, and the position behind what is seen of it.
    Row(Window),
    /// Its table has it no more.
    Gone,
    /// Nothing that could be sent, and why.
    Not(String),
    /// The same, because of a lock that somebody holds.
    Locked(String),
}

impl Retry {
    /// Whether the stream's position is waited for.
    pub fn waits(&self) -> bool {
        self.window.is_some()
    }

    /// A change of this key goes into the topic.
    pub fn touch(&mut self, key: &str) {
        if let Some(window) = &mut self.window {
            window.touch(key);
        }
    }

    /// Reads the next row that is due, if none is on its way.
    pub async fn begin(
        &mut self,
        aside: &mut Aside,
        client: &Client,
        postgres: &PostgresSecret,
        origin: &Origin,
    ) -> Result<(), Error> {
        let is_locked = self.locked.is_some_and(|since| since.elapsed() < AGAIN_AFTER);
        if self.waits() || is_locked {
            return Ok(());
        }
        let Some(entry) = aside.due(client).await? else {
            return Ok(());
        };
        let found = match find(postgres, origin, &entry).await {
            Ok(found) => found,
            Err(Error::Postgres(error)) if lock::is_held(&error) => Found::Locked(lock::describe(&error)),
            Err(error) => Found::Not(error.to_string()),
        };
        self.locked = matches!(found, Found::Locked(_)).then(Instant::now);
        match found {
            Found::Row(window) => self.window = Some(window),
            Found::Gone => aside.forget(client, entry.id).await?,
            Found::Not(why) | Found::Locked(why) => {
                let reason = format!(
                    "a row of {} was not sent, and cannot be sent now: {why}",
                    entry.place.relation
                );
                let again = self.locked.is_some();
                aside.stays(client, entry.id, &reason, again).await?;
            }
        }
        Ok(())
    }

    /// What is to be sent now that the stream is at this position and no transaction is open in it, with the watermark.
    pub fn due(&mut self, position: Lsn) -> Option<(Vec<Record>, Lsn)> {
        let window = self.window.take_if(|window| window.watermark <= position)?;
        let watermark = window.watermark;
        Some((window.into_records(), watermark))
    }
}

async fn find(postgres: &PostgresSecret, origin: &Origin, entry: &Entry) -> Result<Found, Error> {
    let reading = resnapshot::connect(postgres).await?;
    let relation = &entry.place.relation;
    let mut portion = match resnapshot::portions(&reading, Some(relation)).await? {
        Ok(portions) => match portions
            .into_iter()
            .find(|portion| portion.table.name.to_string() == *relation)
        {
            Some(portion) => portion,
            None => return Ok(Found::Gone),
        },
        Err(why) => return Ok(Found::Not(why)),
    };
    let condition = match condition(&portion, entry) {
        Ok(condition) => condition,
        Err(why) => return Ok(Found::Not(why)),
    };
    // Asked first: a row that is too large for certain is not read at all.
    let Some(bytes) = length(&reading, &portion.table.name, &condition).await? else {
        return Ok(Found::Gone);
    };
    if bytes >= envelope::NO_RECORD_FROM {
        let why = format!(
            "its {bytes} bytes are more than the {LARGEST} of the largest record; make the row smaller, or divide it"
        );
        return Ok(Found::Not(why));
    }
    portion.condition = Some(condition);
    let (rows, _) = chunk(&reading, &portion, &[], 1).await?;
    let watermark = resnapshot::watermark(&reading).await?;
    let records: Vec<Record> = rows
        .iter()
        .map(|row| {
            let at = Lsn(watermark.0.saturating_sub(1));
            envelope::snapshot_record(origin, &portion.table, row, at, now_millis(), "incremental")
        })
        .collect::<Result<_, _>>()?;
    Ok(Found::Row(Window::new(watermark, records)))
}

/// The row's key, in SQL.
fn condition(portion: &Portion, entry: &Entry) -> Result<String, String> {
    let table = &portion.table;
    let columns = table.key.iter().zip(&portion.types).map(|(column, sql_type)| {
        let kind = table
            .columns
            .iter()
            .find(|(name, _)| name == column)
            .map(|(_, kind)| kind);
        let value = kind.and_then(|kind| codec::decode(kind, &entry.place.key[column]).ok().flatten());
        match value {
            Some(value) => Ok(format!("{} = {}::{sql_type}", quote(column), literal(&value))),
            None => Err(format!(
                "its key has no {column} that can be read; delete the row of sync.parked once the row is not needed"
            )),
        }
    });
    columns
        .collect::<Result<Vec<_>, _>>()
        .map(|columns| columns.join(" and "))
}

async fn length(client: &Client, table: &TableName, condition: &str) -> Result<Option<usize>, tokio_postgres::Error> {
    let statement = format!(
        "select octet_length(r::text) from {} r where {condition}",
        quote_table(table)
    );
    let row = client.query_opt(&statement, &[]).await?;
    Ok(row.map(|row| row.get::<_, i32>(0).unsigned_abs() as usize))
}
