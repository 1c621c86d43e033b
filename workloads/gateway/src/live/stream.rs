//! What a site's WAL says, message by message.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};
use synccluster_protocol::{
    Lsn, Site, Version,
    event::{TOMBSTONES, TableName},
};
use synccluster_replication::pgoutput;
use synccluster_runtime::postgres;
use tokio_postgres::Client;

use super::{
    Live,
    change::{self, Open, Shape},
    tables::tombstone_key,
};
use crate::rows::catalogue;

/// Why the stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres did not say what a table looks like.
    #[error("Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The stream contradicts itself.
    #[error("the stream has a change outside of a transaction")]
    NoTransaction,
}

/// What a relation of the stream is.
enum Relation {
    Rows(Shape),
    Tombstones(Vec<String>),
    /// Not enrolled any more.
    Other,
}

/// A stream that is being read.
pub struct Stream<'a> {
    live: &'a Live,
    site: Site,
    relations: HashMap<u32, Relation>,
    open: Option<Open>,
    confirmed: Lsn,
    /// Tables of which it was said already that their rows cannot be told.
    complained: HashSet<String>,
}

impl<'a> Stream<'a> {
    /// Of a site; what it says is told to `live`.
    pub fn new(live: &'a Live, site: Site) -> Self {
        Self {
            live,
            site,
            relations: HashMap::new(),
            open: None,
            confirmed: Lsn(0),
            complained: HashSet::new(),
        }
    }

    /// Everything before this has been told, or is nothing to tell.
    pub fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// Nothing before `end` is still to come, unless a transaction is in the middle of coming.
    pub fn idle_until(&mut self, end: Lsn) {
        if self.open.is_none() {
            self.confirmed = self.confirmed.max(end);
        }
    }

    /// Takes in a message.
    pub async fn take(&mut self, sql: &Client, message: pgoutput::Message) -> Result<(), Error> {
        use pgoutput::Message::{Begin, Commit, Delete, Ignored, Insert, Origin, Relation, Update};
        match message {
            Begin { commit, at, .. } => self.open = Some(Open::new(commit, at)),
            Origin(_) => self.open.as_mut().ok_or(Error::NoTransaction)?.made_elsewhere(),
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
        let tables = &self.live.tables;
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
            Some(Relation::Rows(shape)) => {
                let (computed, failed) = computed(sql, shape, old, new).await?;
                let change = shape.change(self.site, open, old, new, computed);
                if let Some(why) = failed {
                    let table = Arc::clone(&shape.name);
                    self.complain(&table, &why);
                }
                change
            }
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
            Ok(change) => self.live.committed(&change, open.at),
            Err(error) => {
                let (change::Error::Width { table, .. } | change::Error::Lacks(table, _)) = &error;
                self.complain(table, &error.to_string());
            }
        }
        Ok(())
    }

    fn complain(&mut self, table: &str, error: &str) {
        if self.complained.insert(table.to_owned()) {
            tracing::warn!(site = %self.site, table, error, "what happens to rows of this table cannot be told, or not all of it");
        }
    }

    /// The delete that a row of `sync.tombstones` stands for.
    async fn deletion(
        &mut self,
        sql: &Client,
        open: Open,
        tombstone: &Tombstone<'_>,
    ) -> Result<Option<change::Change>, Error> {
        let tables = &self.live.tables;
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

/// What Postgres computes of a row that the stream leaves out; nothing, and why, where it cannot.
async fn computed(
    sql: &Client,
    shape: &Shape,
    old: Option<&[pgoutput::Datum]>,
    new: &[pgoutput::Datum],
) -> Result<(Map<String, Value>, Option<String>), Error> {
    let (Some(computed), Some(texts)) = (&shape.computed, shape.told(old, new)) else {
        return Ok((Map::new(), None));
    };
    match computed.ask(sql, &texts).await {
        Ok(values) => Ok((values, None)),
        // The table has changed since, or its function may not be called by the gateway.
        Err(error) if error.as_db_error().is_some() => Ok((Map::new(), Some(postgres::describe(&error)))),
        Err(error) => Err(error.into()),
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
            pgoutput::Datum::Text(text) => Some(&**text),
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
