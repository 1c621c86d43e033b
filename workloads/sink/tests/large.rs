//! Transactions that do not fit into memory: the program itself, with records as a connector sends them.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use synccluster_harness::{Kafka, Postgres, Role, eventually};
use synccluster_protocol::{Site, Version, event::TRANSACTION_END_HEADER};
use synccluster_runtime::{clock::now_micros, postgres::PostgresSecret};
use synccluster_schema::migrate::{Task, migrate};

const PATIENCE: Duration = Duration::from_mins(3);
const SCHEMA: &str = "create table notes (id int primary key, body text not null);
                      create table seats (id int primary key, seat int not null unique)";
/// More than a sink holds.
const ROWS_OF_A_LARGE_ONE: i32 = 10_000;

/// A server's sink and what it needs.
struct Server {
    postgres: Postgres,
    kafka: &'static Kafka,
    cluster: String,
    producer: ThreadedProducer<DefaultProducerContext>,
    sink: Option<Child>,
    began: i64,
}

/// A client's transaction, as its connector sends it.
struct Sent<'a> {
    server: &'a Server,
    topic: String,
    client: u16,
    lsn: i64,
    order: i64,
}

impl Server {
    /// Prepared; its sink does not run yet.
    async fn prepare(clients: u16) -> Result<Self> {
        let (postgres, kafka) = (Postgres::start().await?, Kafka::shared().await?);
        let cluster = format!("t{}", rand::random::<u32>());
        let migrations = postgres.secret_dir(Role::App).join("migrations");
        std::fs::create_dir(&migrations)?;
        std::fs::write(migrations.join("V1__schema.sql"), SCHEMA)?;
        let secret = |role| PostgresSecret::read(&postgres.secret_dir(role));
        let task = Task {
            site: Site::Server,
            admin: secret(Role::Admin)?,
            app: secret(Role::App)?,
            migrations: Some(migrations),
            tables: None,
        };
        migrate(&task).await?;
        for client in 1..=clients {
            let topic = format!("{cluster}.client-{client}");
            kafka.create_topic(&topic, &[("cleanup.policy", "compact")]).await?;
        }
        let mut producer = ClientConfig::new();
        producer.set("bootstrap.servers", kafka.bootstrap());
        producer.set("compression.type", "lz4");
        Ok(Self {
            postgres,
            kafka,
            cluster,
            producer: producer.create()?,
            sink: None,
            began: now_micros() - 3_600_000_000,
        })
    }

    fn start(&mut self) -> Result<u32> {
        let program = Path::new(env!("CARGO_BIN_EXE_synccluster-sink"));
        let child = Command::new(program)
            .args(["run", "--site", "server", "--listen", "127.0.0.1:0"])
            .args([
                "--cluster",
                &self.cluster,
                "--bootstrap-servers",
                &self.kafka.bootstrap(),
            ])
            .arg("--postgres-secret")
            .arg(self.postgres.secret_dir(Role::Sink))
            .env("RUST_LOG", "warn")
            .spawn()?;
        let pid = child.id();
        self.sink = Some(child);
        Ok(pid)
    }

    fn transaction(&self, client: u16, lsn: i64) -> Sent<'_> {
        let topic = format!("{}.client-{client}", self.cluster);
        Sent {
            server: self,
            topic,
            client,
            lsn,
            order: 0,
        }
    }

    fn kill(&mut self) {
        if let Some(mut sink) = self.sink.take() {
            let _ = sink.kill();
            let _ = sink.wait();
        }
    }

    async fn ask(&self, query: &str) -> Result<String> {
        let row = self.postgres.superuser().await?.query_one(query, &[]).await?;
        Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
    }

    async fn becomes(&self, query: &str, expected: &str) -> Result<()> {
        eventually(PATIENCE, async || {
            let seen = self.ask(query).await?;
            ensure!(seen == expected, "{query}: {seen} instead of {expected}");
            Ok(())
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Sent<'_> {
    fn version(&self) -> Version {
        Version::new(self.server.began + self.lsn * 10_000_000 + self.order, self.client)
    }

    /// The next change of the transaction: a row after it, with the version it replaced.
    fn row(&mut self, table: &str, mut after: Value, parent: Option<Version>, last: bool) -> Result<Version> {
        self.order += 1;
        let (version, transaction) = (self.version(), format!("7:{}", self.lsn));
        after["sync_version"] = version.0.into();
        after["sync_parent"] = parent.map(|parent| parent.0).into();
        let key =
            json!({"id": after["id"], "__dbz__physicalTableIdentifier": format!("{}.public.{table}", self.topic)});
        let value = json!({
            "before": null, "after": after, "op": "c", "ts_ms": 0,
            "source": {"version": "0.1.0", "connector": "postgresql", "name": self.topic, "ts_ms": 0, "ts_us": 0, "ts_ns": 0, "snapshot": "false",
                "db": "app", "sequence": "[\"1\",\"1\"]", "schema": "public", "table": table, "txId": 7, "lsn": self.lsn, "origin": null},
            "transaction": {"id": transaction, "total_order": self.order, "data_collection_order": self.order},
        });
        self.send(&key.to_string(), &value.to_string(), last)?;
        Ok(version)
    }

    fn send(&self, key: &str, value: &str, last: bool) -> Result<()> {
        loop {
            let mut record = BaseRecord::to(&self.topic).partition(0).key(key).payload(value);
            if last {
                let header = Header {
                    key: TRANSACTION_END_HEADER,
                    value: Some("0"),
                };
                record = record.headers(OwnedHeaders::new().insert(header));
            }
            match self.server.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, _)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Rows of `notes`, of about 150 bytes each.
    fn notes(&mut self, ids: std::ops::RangeInclusive<i32>, last: Option<i32>) -> Result<()> {
        for id in ids {
            let body = format!("{id} {}", "x".repeat(130));
            self.row("notes", json!({"id": id, "body": body}), None, last == Some(id))?;
        }
        Ok(self.server.producer.flush(Duration::from_mins(1))?)
    }
}

fn megabytes(pid: u32, what: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what))
        .context("no such line")?;
    let kilobytes = line.split_whitespace().nth(1).context("no number")?;
    Ok(kilobytes.parse::<u64>()? / 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_300_000_rows_is_seen_as_a_whole_and_fits_into_a_sinks_memory() -> Result<()> {
    let rows = 300_000;
    let mut server = Server::prepare(1).await?;
    server.transaction(1, 10).notes(1..=rows, Some(rows))?;
    let started = std::time::Instant::now();
    let pid = server.start()?;
    let first_seen = eventually(PATIENCE, async || {
        let count = server.ask("select count(*)::text from notes").await?;
        ensure!(count != "0", "nothing yet");
        Ok(count)
    })
    .await?;
    let (took, most) = (started.elapsed(), megabytes(pid, "VmHWM")?);
    println!("{rows} rows in one transaction: {took:?}, at most {most} MB");
    ensure!(first_seen == rows.to_string(), "{first_seen} rows were seen first");
    ensure!(most < 128, "{most} MB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_large_transaction_holds_nobody_up_and_is_applied_once_when_it_was_sent_again() -> Result<()> {
    let mut server = Server::prepare(2).await?;
    let rows = ROWS_OF_A_LARGE_ONE;
    server.transaction(1, 10).notes(1..=rows, None)?;
    server.start()?;
    server.transaction(2, 5).notes(-1..=-1, Some(-1))?;
    server.becomes("select count(*)::text from notes", "1").await?;
    let locks = "select count(*)::text from pg_stat_activity where application_name = 'synccluster-sink' and state like '%in transaction%'";
    // One that waits for the rest keeps its transaction open; any other ends its own in a moment.
    server
        .becomes(locks, "0")
        .await
        .context("a transaction waits for the rest")?;
    server.transaction(1, 10).notes(1..=rows, Some(rows))?;
    let mut next = server.transaction(1, 11);
    next.row("notes", json!({"id": -2, "body": "behind it"}), None, true)?;
    server
        .becomes("select count(*)::text from notes", &(rows + 2).to_string())
        .await?;
    ensure!(server.ask("select count(*)::text from sync.conflicts").await? == "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_killed_in_the_middle_leaves_nothing_and_the_next_begins_again() -> Result<()> {
    let mut server = Server::prepare(1).await?;
    let rows = 5 * ROWS_OF_A_LARGE_ONE;
    server.transaction(1, 10).notes(1..=rows, Some(rows))?;
    server.start()?;
    let writing = "select count(*)::text from pg_stat_activity where application_name = 'synccluster-sink' and backend_xid is not null";
    server.becomes(writing, "1").await?;
    server.kill();
    server
        .becomes(
            "select count(*)::text from pg_stat_activity where application_name = 'synccluster-sink'",
            "0",
        )
        .await?;
    ensure!(
        server.ask("select count(*)::text from notes").await? == "0",
        "a part is seen"
    );
    server.start()?;
    server
        .becomes("select count(*)::text from notes", &rows.to_string())
        .await?;
    ensure!(server.ask("select count(*)::text from sync.conflicts").await? == "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_again_in_a_later_piece_is_the_later() -> Result<()> {
    let mut server = Server::prepare(1).await?;
    let mut sent = server.transaction(1, 10);
    let mut first = Vec::new();
    for id in 1..=3 {
        first.push(sent.row("notes", json!({"id": id, "body": "first"}), None, false)?);
        sent.row("seats", json!({"id": id, "seat": id * 10}), None, false)?;
    }
    sent.notes(10..=ROWS_OF_A_LARGE_ONE, None)?;
    for (id, parent) in (1..=3).zip(first) {
        sent.row("notes", json!({"id": id, "body": "second"}), Some(parent), id == 3)?;
    }
    server.start()?;
    let seen = "select string_agg(id || ' ' || body, ', ' order by id) from notes where id < 10";
    server.becomes(seen, "1 second, 2 second, 3 second").await?;
    ensure!(server.ask("select count(*)::text from sync.conflicts").await? == "0");
    Ok(())
}

/// Seat 10 for row 1, seat 20 for row 2, and then the other way round, with everything else of a large transaction between.
fn swap(server: &Server, apart: bool) -> Result<()> {
    let mut sent = server.transaction(1, 10);
    let one = sent.row("seats", json!({"id": 1, "seat": 10}), None, false)?;
    let two = sent.row("seats", json!({"id": 2, "seat": 20}), None, true)?;
    let mut sent = server.transaction(1, 11);
    let mut one = Some(one);
    if apart {
        one = Some(sent.row("seats", json!({"id": 1, "seat": -1}), one, false)?);
    }
    sent.notes(1..=ROWS_OF_A_LARGE_ONE / 2, None)?;
    sent.row("seats", json!({"id": 2, "seat": 10}), Some(two), false)?;
    sent.notes(ROWS_OF_A_LARGE_ONE / 2 + 1..=ROWS_OF_A_LARGE_ONE, None)?;
    sent.row("seats", json!({"id": 1, "seat": 20}), one, true)?;
    Ok(())
}

const SEATS: &str = "select string_agg(id || ' ' || seat, ', ' order by id) from seats";

#[tokio::test(flavor = "multi_thread")]
async fn unique_values_are_swapped_across_pieces() -> Result<()> {
    let mut server = Server::prepare(1).await?;
    swap(&server, true)?;
    server.start()?;
    server.becomes(SEATS, "1 20, 2 10").await?;
    ensure!(server.ask("select count(*)::text from sync.conflicts").await? == "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_whose_middle_was_compacted_away_gets_through() -> Result<()> {
    let mut server = Server::prepare(1).await?;
    swap(&server, false)?;
    server.start()?;
    server.becomes(SEATS, "1 20, 2 10").await?;
    Ok(())
}
