//! Sends a site's writes, as many as wait in one transaction, and writes down what was sent and what was acknowledged.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use synccluster_protocol::Site;
use synccluster_runtime::{
    catalog::{quote, quote_table},
    postgres::{describe, is_transient},
};
use tokio::{sync::mpsc, time};
use tokio_postgres::{Client, Statement, error::SqlState, types::ToSql};

use super::{
    Error, Journal,
    book::{Change, Write},
};
use crate::{
    journal::{Record, Sent},
    prepare::key_columns,
    run::Run,
    sites::Sites,
    values::Values,
};

/// Writes of one transaction.
const BATCH: usize = 200;
/// Between a failure that waiting helps and the next try.
const AGAIN: Duration = Duration::from_millis(100);
/// How often a transaction that somebody else's lock was in the way of is tried.
const TRIES: u32 = 10;

/// One site.
pub struct Worker {
    pub site: Site,
    pub sites: Sites,
    pub values: Arc<Values>,
    pub journal: Arc<Journal>,
    pub run: Arc<Run>,
    /// How long a transaction stays open before it is committed.
    pub hold: Option<Duration>,
}

/// Why a transaction was not acknowledged.
enum Failure {
    /// Postgres refused it: nothing of it is there.
    Refused { why: String, transient: bool },
    /// The connection broke before COMMIT was sent: nothing of it is there.
    Lost,
    /// The connection broke while COMMIT was on its way: it may be there.
    Unknown,
}

/// Statements that were prepared on a connection.
#[derive(Default)]
struct Prepared(HashMap<String, Statement>);

impl Worker {
    /// Until nothing comes any more.
    pub async fn work(self, mut waiting: mpsc::Receiver<Write>) -> Result<(), Error> {
        let mut client = self.sites.connect(self.site).await?;
        let mut prepared = Prepared::default();
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            if self.run.stopped() {
                // Nothing of it was sent.
                batch.clear();
                continue;
            }
            // In one order at every site: transactions that wait for each other's rows do not wait in a circle. Writes of one row keep theirs.
            batch.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
            let mut parts = vec![(std::mem::take(&mut batch), 0)];
            while let Some((mut part, tries)) = parts.pop() {
                match self.attempt(&client, &mut prepared, &part).await? {
                    Ok(()) => {}
                    Err(Failure::Unknown) => {
                        self.run.edit().unknown += part.len() as u64;
                        client = self.again(&mut prepared).await?;
                    }
                    Err(Failure::Lost) => {
                        client = self.again(&mut prepared).await?;
                        if !self.run.stopped() {
                            parts.push((part, tries));
                        }
                    }
                    Err(Failure::Refused { transient: true, .. }) if tries < TRIES => {
                        time::sleep(AGAIN).await;
                        parts.push((part, tries + 1));
                    }
                    // One that is refused must not take others with it.
                    Err(Failure::Refused { .. }) if part.len() > 1 => {
                        let rest = part.split_off(part.len() / 2);
                        parts.push((rest, 0));
                        parts.push((part, 0));
                    }
                    Err(Failure::Refused { why, .. }) => self.run.edit().refuse(why),
                }
            }
        }
        Ok(())
    }

    /// A new connection. A site that is away is waited for, as an application would.
    async fn again(&self, prepared: &mut Prepared) -> Result<Client, Error> {
        prepared.0.clear();
        loop {
            match self.sites.connect(self.site).await {
                Err(error) if self.run.stopped() => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "trying again"),
                Ok(client) => return Ok(client),
            }
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        prepared: &mut Prepared,
        writes: &[Write],
    ) -> Result<Result<(), Failure>, Error> {
        let number = self.journal.next.fetch_add(1, Ordering::Relaxed);
        let sent = writes.iter().map(|write| Sent {
            table: u16::try_from(write.table).unwrap_or(u16::MAX),
            kind: write.kind(),
            key: write.key.clone(),
        });
        self.journal.append(&Record::Batch {
            number,
            site: self.site,
            writes: sent.collect(),
        })?;
        let result = match self.send(client, prepared, writes).await {
            Ok(versions) => {
                self.journal.append(&Record::Acknowledged {
                    number,
                    versions: versions.clone(),
                })?;
                self.count(writes, &versions);
                Ok(())
            }
            Err(failure) => {
                if !matches!(failure, Failure::Unknown) {
                    self.journal.append(&Record::Undone { number })?;
                }
                Err(failure)
            }
        };
        Ok(result)
    }

    fn count(&self, writes: &[Write], versions: &[i64]) {
        let mut counts: HashMap<usize, u64> = HashMap::new();
        let mut missed = 0;
        for (write, version) in writes.iter().zip(versions) {
            if *version == 0 {
                missed += 1;
            } else {
                *counts.entry(write.table).or_default() += 1;
            }
        }
        let mut progress = self.run.edit();
        progress.missed += missed;
        for (table, count) in counts {
            progress.acknowledge(self.site, &self.values.table(table).name.to_string(), count);
        }
    }

    /// One transaction; the version each write made, 0 where it found no row.
    async fn send(&self, client: &Client, prepared: &mut Prepared, writes: &[Write]) -> Result<Vec<i64>, Failure> {
        let mut statements = Vec::new();
        for write in writes {
            statements.push(
                self.statements(client, prepared, write)
                    .await
                    .map_err(|error| early(&error))?,
            );
        }
        client.batch_execute("begin").await.map_err(|error| early(&error))?;
        // All are on their way before the first is answered.
        let answers = join_all(
            writes
                .iter()
                .zip(&statements)
                .map(|(write, statements)| execute(client, write, statements)),
        )
        .await;
        let mut versions = Vec::new();
        let mut failure = None;
        for answer in answers {
            match answer {
                Ok(version) => versions.push(version),
                // What came after the one that failed says only that.
                Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {}
                Err(error) => {
                    failure.get_or_insert(early(&error));
                }
            }
        }
        if versions.len() < writes.len() {
            if client.batch_execute("rollback").await.is_err() {
                return Err(Failure::Lost);
            }
            return Err(failure.unwrap_or(Failure::Lost));
        }
        if let Some(hold) = self.hold {
            time::sleep(hold).await;
        }
        match client.batch_execute("commit").await {
            Ok(()) => Ok(versions),
            Err(error)
                if error
                    .as_db_error()
                    .is_some_and(|db| *db.code() != SqlState::ADMIN_SHUTDOWN) =>
            {
                Err(early(&error))
            }
            Err(_) => Err(Failure::Unknown),
        }
    }

    /// What a write takes: one statement, and for a delete another that asks what version its tombstone has.
    async fn statements(
        &self,
        client: &Client,
        prepared: &mut Prepared,
        write: &Write,
    ) -> Result<Vec<Statement>, tokio_postgres::Error> {
        let mut statements = Vec::new();
        for sql in self.sql(write) {
            if let Some(statement) = prepared.0.get(&sql) {
                statements.push(statement.clone());
                continue;
            }
            let statement = client.prepare(&sql).await?;
            prepared.0.insert(sql, statement.clone());
            statements.push(statement);
        }
        Ok(statements)
    }

    fn sql(&self, write: &Write) -> Vec<String> {
        let table = self.values.table(write.table);
        let name = quote_table(&table.name);
        let key = key_columns(table);
        let equal = |from: usize| {
            let parts = key.iter().enumerate();
            let parts =
                parts.map(|(place, (column, sql_type))| format!("{column} = ${}::text::{sql_type}", place + from));
            parts.collect::<Vec<_>>().join(" and ")
        };
        match &write.change {
            Change::Insert(_) => {
                let columns: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
                let values = table.columns.iter().enumerate();
                let values: Vec<String> = values
                    .map(|(place, column)| format!("${}::text::{}", place + 1, column.sql_type))
                    .collect();
                vec![format!(
                    "insert into {name} ({}) overriding system value values ({}) returning sync_version",
                    columns.join(", "),
                    values.join(", ")
                )]
            }
            Change::Update(column, _) => {
                let column = &table.columns[*column];
                let set = format!("{} = $1::text::{}", quote(&column.name), column.sql_type);
                vec![format!(
                    "update {name} set {set} where {} returning sync_version",
                    equal(2)
                )]
            }
            Change::Touch => {
                let (column, _) = &key[0];
                vec![format!(
                    "update {name} set {column} = {column} where {} returning sync_version",
                    equal(1)
                )]
            }
            Change::Delete => {
                let names = table.key_names().zip(&key).enumerate();
                let parts = names.map(|(place, (plain, (_, sql_type)))| {
                    format!("'{}', ${}::text::{sql_type}", plain.replace('\'', "''"), place + 1)
                });
                let relation = table.name.to_string().replace('\'', "''");
                let parts = parts.collect::<Vec<_>>().join(", ");
                vec![
                    format!("delete from {name} where {} returning sync_version", equal(1)),
                    format!(
                        "select version from sync.tombstones where relation = '{relation}' and key = jsonb_build_object({parts})"
                    ),
                ]
            }
        }
    }
}

async fn execute(client: &Client, write: &Write, statements: &[Statement]) -> Result<i64, tokio_postgres::Error> {
    let mut values: Vec<&(dyn ToSql + Sync)> = Vec::new();
    match &write.change {
        Change::Insert(made) => values.extend(made.iter().map(|value| value as &(dyn ToSql + Sync))),
        Change::Update(_, value) => values.push(value),
        Change::Touch | Change::Delete => {}
    }
    if !matches!(write.change, Change::Insert(_)) {
        values.extend(write.key.iter().map(|value| value as &(dyn ToSql + Sync)));
    }
    // Handed over together, so that they go out together.
    let answers = join_all(statements.iter().map(|statement| client.query(statement, &values))).await;
    let mut version = 0;
    for (place, rows) in answers.into_iter().enumerate() {
        let found = rows?.first().map(|row| row.get::<_, i64>(0));
        match found {
            Some(found) => version = found,
            // A row that was not there was not deleted, whatever tombstone an earlier delete has left.
            None if place == 0 => return Ok(0),
            None => {}
        }
    }
    Ok(version)
}

/// Before COMMIT nothing can be there.
fn early(error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::ADMIN_SHUTDOWN || *db.code() == SqlState::CRASH_SHUTDOWN => Failure::Lost,
        Some(db) => Failure::Refused {
            why: if is_transient(error) {
                describe(error)
            } else {
                // Without the values, so that those alike are counted together.
                format!("{} (SQLSTATE {})", db.message(), db.code().code())
            },
            transient: is_transient(error),
        },
        None => Failure::Lost,
    }
}
