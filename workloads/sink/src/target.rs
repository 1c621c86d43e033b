//! The connection that applies: its settings, its origin, its prepared statements, what its tables look like.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use synccluster_protocol::{
    Site, Version,
    codec::SESSION_SETTINGS,
    event::{Installation, TableName},
};
use synccluster_runtime::{
    catalog::{self, CatalogTable},
    postgres::{self, LOCK_TIMEOUT, PostgresSecret},
};
use tokio_postgres::{Client, Error, Row, Statement, types::ToSql};

use crate::{
    constraints::{self, Constraints},
    stand::Stand,
};

/// A session that writes what was decided elsewhere: no trigger fires, and the site's uplink does not send it back.
pub struct Target {
    client: Client,
    /// Whose tables these are.
    pub site: Site,
    statements: HashMap<String, Statement>,
    tables: HashMap<TableName, Arc<CatalogTable>>,
    constraints: HashMap<TableName, Arc<Constraints>>,
    withdrawn: HashSet<TableName>,
    origin: Option<Site>,
}

/// A parameter.
pub type Parameter<'a> = &'a (dyn ToSql + Sync);

impl Target {
    /// Connects; with the settings under which values have one text.
    pub async fn connect(secret: &PostgresSecret, site: Site) -> Result<Self, postgres::Error> {
        let client = postgres::connect_once(secret, "synccluster-sink").await?;
        // Who waits for the shorter time finds the deadlock and is rolled back: the sink, which tries again, and not the application.
        let mut settings = format!(
            "set session_replication_role = replica; set lock_timeout = '{LOCK_TIMEOUT}'; set deadlock_timeout = '50ms';"
        );
        for (name, value) in SESSION_SETTINGS {
            settings.extend(["set ", name, " = '", value, "';"]);
        }
        client
            .batch_execute(&settings)
            .await
            .map_err(|e| postgres::refused(secret, &e))?;
        Ok(Self {
            client,
            site,
            statements: HashMap::new(),
            tables: HashMap::new(),
            constraints: HashMap::new(),
            withdrawn: HashSet::new(),
            origin: None,
        })
    }

    /// Runs outside of any statement cache: transaction control.
    pub async fn execute_batch(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// Commits, as of now: without a time of its own a transaction under an origin gets the one that this session's first had
    /// (PostgreSQL's `RecordTransactionCommit`), in `pg_xact_commit_timestamp` and in what a connector reads.
    pub async fn commit(&self) -> Result<(), Error> {
        self.execute_batch("select pg_replication_origin_xact_setup('0/0', clock_timestamp()); commit")
            .await
    }

    /// Marks what follows as coming from `source`; between transactions only.
    pub async fn set_origin(&mut self, source: Site) -> Result<(), Error> {
        if self.origin == Some(source) {
            return Ok(());
        }
        let name = synccluster_protocol::event::origin_name(source);
        if self.origin.take().is_some() {
            self.client
                .execute("select pg_replication_origin_session_reset()", &[])
                .await?;
        }
        let missing = "select pg_replication_origin_create($1) where pg_replication_origin_oid($1) is null";
        self.client.execute(missing, &[&name]).await?;
        self.client
            .execute("select pg_replication_origin_session_setup($1)", &[&name])
            .await?;
        self.origin = Some(source);
        Ok(())
    }

    /// A query, prepared once.
    pub async fn query(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        self.client.query(&statement, parameters).await
    }

    /// A statement, prepared once; returns how many rows it touched.
    pub async fn execute(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        self.client.execute(&statement, parameters).await
    }

    async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The table, if it is here and enrolled; asked once.
    pub async fn table(&mut self, name: &TableName) -> Result<Option<Arc<CatalogTable>>, Error> {
        if let Some(table) = self.tables.get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        let table = catalog::table(&self.client, name).await?;
        let enrolled = |table: &CatalogTable| {
            !table.key.is_empty() && table.column(synccluster_protocol::event::VERSION_COLUMN).is_some()
        };
        let table = table.filter(enrolled).map(Arc::new);
        if let Some(table) = &table {
            self.tables.insert(name.clone(), Arc::clone(table));
        }
        Ok(table)
    }

    /// What can stand in the way of the table's rows; asked once.
    pub async fn constraints(&mut self, name: &TableName) -> Result<Arc<Constraints>, Error> {
        if let Some(constraints) = self.constraints.get(name) {
            return Ok(Arc::clone(constraints));
        }
        let constraints = Arc::new(constraints::load(&self.client, name).await?);
        self.constraints.insert(name.clone(), Arc::clone(&constraints));
        Ok(constraints)
    }

    /// Forgets what tables look like: a migration may have changed them.
    pub fn forget_tables(&mut self) {
        self.tables.clear();
        self.constraints.clear();
        self.statements.clear();
    }

    /// Looks which tables are withdrawn. Whether topics have to be read again, because a table is back whose events were passed by: their
    /// progress is set back then, and what was applied since is judged again, which changes nothing: `reached` keeps how far that went. Writes
    /// nothing where there is none.
    pub async fn look_at_withdrawn(&mut self) -> Result<bool, Error> {
        let rows = self.query("select relation from sync.withdrawn", &[]).await?;
        let withdrawn: HashSet<TableName> = rows.iter().filter_map(|row| TableName::parse(row.get(0))).collect();
        if withdrawn != self.withdrawn {
            self.forget_tables();
            self.withdrawn = withdrawn;
        }
        let back = "with back as (
                      delete from sync.skipped s where not exists (select from sync.withdrawn w where w.relation = s.relation)
                      returning s.topic, s.\"offset\")
                    update sync.progress p
                       set \"offset\" = least(p.\"offset\", b.\"offset\"), reached = greatest(p.reached, p.\"offset\")
                      from (select topic, min(\"offset\") as \"offset\" from back group by topic) b
                     where p.topic = b.topic and p.partition = 0
                    returning p.topic, p.\"offset\"";
        let again = self.query(back, &[]).await?;
        for row in &again {
            let (topic, offset): (&str, i64) = (row.get(0), row.get(1));
            tracing::info!(
                topic,
                offset,
                "reading again: a table is back whose events were passed by"
            );
        }
        Ok(!again.is_empty())
    }

    /// Whether the table takes part here no more.
    pub fn is_withdrawn(&self, table: &TableName) -> bool {
        self.withdrawn.contains(table)
    }

    /// Whether every write of the site itself is safe from being overwritten here: sent by a snapshot, or in the WAL behind its slot. Until
    /// then (and when the slot was lost, until its connector has sent everything again) a client applies nothing. The server judges what it
    /// overwrites itself and records it.
    pub async fn own_writes_are_kept(&mut self) -> Result<bool, Error> {
        if self.site == Site::Server {
            return Ok(true);
        }
        let statement =
            "select exists (select from sync.snapshots s join pg_replication_slots r on r.slot_name = s.slot
                                         where r.wal_status is distinct from 'lost')";
        Ok(self.query(statement, &[]).await?.first().is_some_and(|row| row.get(0)))
    }

    /// Where the site has stored that it stands in each topic. A sink of before `reached` stores the offset alone, so that can be ahead of it.
    pub async fn progress(&mut self) -> Result<HashMap<String, Stand>, Error> {
        let statement = "select topic, \"offset\", greatest(reached, \"offset\"), installation, lsn, predecessor
                           from sync.progress where partition = 0";
        let rows = self.query(statement, &[]).await?;
        let stand = |row: &Row| Stand {
            offset: row.get(1),
            reached: row.get(2),
            installation: Installation(row.get(3)),
            lsn: row.get(4),
            predecessor: row.get::<_, Option<i64>>(5).map(Version),
        };
        Ok(rows.iter().map(|row| (row.get(0), stand(row))).collect())
    }

    /// Stores where the site stands in a topic, with the transaction that is open.
    pub async fn stand(&mut self, topic: &str, stand: Stand) -> Result<(), Error> {
        let statement = "insert into sync.progress (topic, partition, \"offset\", reached, installation, lsn, predecessor)
                         values ($1, 0, $2, $3, $4, $5, $6)
                         on conflict (topic, partition) do update set \"offset\" = excluded.\"offset\", reached = excluded.reached,
                           installation = excluded.installation, lsn = excluded.lsn, predecessor = excluded.predecessor";
        let Stand {
            offset, reached, lsn, ..
        } = stand;
        let predecessor = stand.predecessor.map(|version| version.0);
        let parameters: [Parameter<'_>; 6] = [&topic, &offset, &reached, &stand.installation.0, &lsn, &predecessor];
        self.execute(statement, &parameters).await.map(drop)
    }
}
