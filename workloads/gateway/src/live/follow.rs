//! A site's WAL as it grows: what is committed there, whoever made it, and whether the site is cut off or not.
//!
//! One replica of the gateway follows a site. The slot is temporary, so it goes with its connection, and its name is the lock: a replica
//! that finds it taken looks again every second. What is committed between two followers nobody sees: each begins with a `reset`.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use synccluster_protocol::{
    ClusterName, Lsn, Site, Version,
    event::{TOMBSTONES, TableName},
};
use synccluster_replication::{self as replication, Frame, Lifetime, Origins, ReplicationConnection, pgoutput};
use synccluster_runtime::{
    clock::now_micros,
    postgres::{self, PostgresSecret},
};
use tokio::time;
use tokio_postgres::Client;

use super::{
    bus::News,
    change::{self, Open, Shape},
    tables::tombstone_key,
};
use crate::{app::Shared, rows::catalogue};

/// As what Postgres shows the connections.
const APPLICATION: &str = "synccluster-gateway live";
/// The publication that `sync.sql` makes.
const PUBLICATION: &str = "sync";
/// SQLSTATE of a slot that is there already.
const DUPLICATE: &str = "42710";
/// Between two looks at a slot that another replica has.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often Postgres is told what was read, so that it keeps no WAL for us, and asked for a sign of life.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// How long a connection may take to be made, and how long it may say nothing afterwards.
const SILENCE: Duration = Duration::from_secs(20);
/// Between two tries while a site is away.
const BACKOFF: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// Why following ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot connect: {0}")]
    Connect(#[from] postgres::Error),
    #[error(transparent)]
    Replication(#[from] replication::Error),
    #[error("Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Decode(#[from] pgoutput::DecodeError),
    #[error("the stream has a change outside of a transaction")]
    NoTransaction,
    #[error("nothing was heard for {SILENCE:?}")]
    Silent,
}

/// The name of the slot by which a site is followed, in the letters Postgres allows.
fn slot_name(cluster: &ClusterName) -> String {
    format!("{cluster}_gateway").replace('-', "_")
}

/// Follows a site until `app.stop` is cancelled.
pub async fn run(app: Shared, site: Site) {
    let Some(secret) = app
        .sites
        .secrets()
        .find(|(of, _)| *of == site)
        .map(|(_, secret)| secret.clone())
    else {
        return;
    };
    let stop = app.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        _ = again_and_again(app, site, secret) => {}
    }
}

async fn again_and_again(app: Shared, site: Site, secret: PostgresSecret) -> Infallible {
    let following = app.metrics.gauge(
        "synccluster_gateway_following",
        "1 while this replica follows the site's WAL.",
        &[("site", &site.to_string())],
    );
    let mut pause = BACKOFF[0];
    let mut away = false;
    loop {
        let mut follower = Follower {
            app: Arc::clone(&app),
            site,
            secret: secret.clone(),
            relations: HashMap::new(),
            open: None,
            confirmed: Lsn(0),
            complained: HashSet::new(),
        };
        let ended = follower
            .session(|| {
                following.set(1);
                (pause, away) = (BACKOFF[0], false);
            })
            .await;
        following.set(0);
        let Err(error) = ended;
        if away {
            tracing::debug!(%site, %error, "still cannot follow");
        } else {
            tracing::warn!(%site, %error, "cannot follow what is committed here; trying again until it can be");
            away = true;
        }
        time::sleep(pause).await;
        pause = BACKOFF[1].min(pause * 2);
    }
}

/// What a relation of the stream is.
enum Relation {
    Rows(Shape),
    Tombstones(Vec<String>),
    /// Not enrolled any more.
    Other,
}

struct Follower {
    app: Shared,
    site: Site,
    secret: PostgresSecret,
    relations: HashMap<u32, Relation>,
    open: Option<Open>,
    confirmed: Lsn,
    /// Tables of which it was said already that a row of theirs cannot be told.
    complained: HashSet<String>,
}

impl Follower {
    async fn session(&mut self, begun: impl FnOnce()) -> Result<Infallible, Error> {
        let sql = postgres::connect_once(&self.secret, APPLICATION).await?;
        let slot = slot_name(&self.app.cluster);
        let mut replication = self.take_slot(&sql, &slot).await?;
        self.app.live.tables.learn(&catalogue::read(&sql).await?);
        replication.start(&slot, PUBLICATION, Origins::Any).await?;
        begun();
        tracing::info!(site = %self.site, "following what is committed here");
        let reset = News::reset(
            Some(self.site),
            "what was committed here a moment ago may not have been seen",
        );
        self.app.live.bus.publish(reset);
        let mut tick = time::interval(CONFIRM_EVERY);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                frame = replication.next() => {
                    heard = Instant::now();
                    match frame? {
                        Frame::Wal(data) => self.take(&sql, pgoutput::decode(data)?).await?,
                        Frame::Keepalive { end, reply } => {
                            if self.open.is_none() {
                                self.confirmed = self.confirmed.max(end);
                            }
                            if reply {
                                replication.confirm(self.confirmed, now_micros(), false).await?;
                            }
                        }
                    }
                }
                _ = tick.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(Error::Silent);
                    }
                    // Only where it has been quiet: an answer to every question would be traffic for nothing.
                    let ask = heard.elapsed() > SILENCE / 4;
                    replication.confirm(self.confirmed, now_micros(), ask).await?;
                }
            }
        }
    }

    /// Waits until nobody else has the slot, and makes it.
    async fn take_slot(&self, sql: &Client, slot: &str) -> Result<ReplicationConnection, Error> {
        loop {
            let taken = sql
                .query_opt("select from pg_replication_slots where slot_name = $1", &[&slot])
                .await?;
            if taken.is_none() {
                let connecting = ReplicationConnection::connect(&self.secret, APPLICATION);
                let mut replication = time::timeout(SILENCE, connecting).await.map_err(|_| Error::Silent)??;
                match replication.create_slot(slot, Lifetime::Temporary).await {
                    Ok(_) => return Ok(replication),
                    Err(replication::Error::Refused { code, .. }) if code == DUPLICATE => {}
                    Err(error) => return Err(error.into()),
                }
            }
            time::sleep(LOOK_EVERY).await;
        }
    }

    async fn take(&mut self, sql: &Client, message: pgoutput::Message) -> Result<(), Error> {
        use pgoutput::Message::{Begin, Commit, Delete, Ignored, Insert, Origin, Relation, Update};
        match message {
            Begin { commit, at, .. } => self.open = Some(Open::new(commit, at)),
            Origin(_) => self
                .open
                .as_mut()
                .ok_or(Error::NoTransaction)?
                .made_elsewhere(now_micros()),
            Commit { end } => {
                self.open = None;
                self.confirmed = self.confirmed.max(end);
            }
            Relation {
                oid,
                schema,
                table,
                columns,
            } => {
                let columns = columns.into_iter().map(|column| column.name).collect();
                let name = TableName::new(schema, table);
                self.complained.remove(&name.to_string());
                let relation = self.describe(sql, &name, columns).await?;
                self.relations.insert(oid, relation);
            }
            Insert { oid, new } => self.row(sql, oid, None, &new).await?,
            Update { oid, old, new } => self.row(sql, oid, old.as_deref(), &new).await?,
            // A delete is told by its tombstone.
            Delete { .. } | Ignored => {}
        }
        Ok(())
    }

    async fn describe(&self, sql: &Client, name: &TableName, columns: Vec<String>) -> Result<Relation, Error> {
        if (name.schema.as_str(), name.table.as_str()) == TOMBSTONES {
            return Ok(Relation::Tombstones(columns));
        }
        // The stream describes a table anew when it has changed, so what is known of it may be of before.
        let tables = &self.app.live.tables;
        tables.learn(&catalogue::read(sql).await?);
        let known = tables.get(&name.to_string());
        Ok(known.map_or(Relation::Other, |(name, table)| {
            Relation::Rows(Shape::new(name, table, columns))
        }))
    }

    async fn row(
        &mut self,
        sql: &Client,
        oid: u32,
        old: Option<&[pgoutput::Datum]>,
        new: &[pgoutput::Datum],
    ) -> Result<(), Error> {
        let open = self.open.ok_or(Error::NoTransaction)?;
        let change = match self.relations.get(&oid) {
            Some(Relation::Rows(shape)) => shape.change(self.site, open, old, new),
            Some(Relation::Tombstones(columns)) => {
                let Some(tombstone) = Tombstone::read(columns, new) else {
                    return Ok(());
                };
                match self.deletion(sql, open, &tombstone).await? {
                    Some(change) => Ok(change),
                    None => return Ok(()),
                }
            }
            Some(Relation::Other) | None => return Ok(()),
        };
        match change {
            Ok(change) => self.app.live.committed(&change, open.at),
            Err(error) => {
                let (change::Error::Width { table, .. } | change::Error::Lacks(table, _)) = &error;
                self.complain(table, &error.to_string());
            }
        }
        Ok(())
    }

    fn complain(&mut self, table: &str, error: &str) {
        if self.complained.insert(table.to_owned()) {
            tracing::warn!(site = %self.site, table, error, "what happens to rows of this table cannot be told");
        }
    }

    /// The delete that a row of `sync.tombstones` stands for.
    async fn deletion(
        &mut self,
        sql: &Client,
        open: Open,
        tombstone: &Tombstone<'_>,
    ) -> Result<Option<change::Change>, Error> {
        let tables = &self.app.live.tables;
        if tables.get(tombstone.relation).is_none() && !self.complained.contains(tombstone.relation) {
            tables.learn(&catalogue::read(sql).await?);
        }
        let Some((name, table)) = tables.get(tombstone.relation) else {
            self.complain(tombstone.relation, "it is not enrolled");
            return Ok(None);
        };
        match tombstone_key(sql, &table, tombstone.key).await {
            Ok(Some(key)) => {
                let shape = Shape::new(name, table, []);
                Ok(Some(shape.deletion(
                    self.site,
                    open,
                    &key,
                    tombstone.version,
                    tombstone.parent,
                )))
            }
            Ok(None) => Ok(None),
            // Postgres cannot make a key of this table of it: the table has got another one since.
            Err(error) if error.as_db_error().is_some() => {
                self.complain(&name, &postgres::describe(&error));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A row of `sync.tombstones`.
struct Tombstone<'a> {
    relation: &'a str,
    key: &'a str,
    version: Version,
    parent: Option<Version>,
}

impl<'a> Tombstone<'a> {
    fn read(columns: &[String], row: &'a [pgoutput::Datum]) -> Option<Self> {
        let text = |name: &str| match row.get(columns.iter().position(|column| column == name)?)? {
            pgoutput::Datum::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let version = |name| text(name).and_then(|version| version.parse().ok()).map(Version);
        Some(Self {
            relation: text("relation")?,
            key: text("key")?,
            version: version("version")?,
            parent: version("parent"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_name_postgres_allows() {
        assert_eq!(slot_name(&"my-demo".parse().unwrap()), "my_demo_gateway");
    }
}
