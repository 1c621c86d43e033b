//! A transaction and rows that do not fit into memory: the program itself.

use std::{
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use synccluster_harness::{Kafka, Postgres, Role, eventually};
use synccluster_protocol::Site;
use synccluster_runtime::postgres::PostgresSecret;
use synccluster_schema::migrate::{Task, migrate};

const ASIDE: &str = "select string_agg(event->'key'->>'id', ' ' order by id) from sync.parked";
const PATIENCE: Duration = Duration::from_mins(3);
const SCHEMA: &str = "create table notes (id int primary key, body text not null, more text)";
/// A value of 128,000 bytes that is stored apart from its row, and so is not in an update that leaves it alone.
const MORE: &str = "(select string_agg(md5(n::text), '') from generate_series(1, 4000) n)";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_300_000_rows_fits_into_a_connectors_memory() -> Result<()> {
    let rows = 300_000;
    let (postgres, kafka) = (Postgres::start().await?, Kafka::shared().await?);
    let cluster = format!("t{}", rand::random::<u32>());
    let migrations = postgres.secret_dir(Role::App).join("migrations");
    std::fs::create_dir(&migrations)?;
    std::fs::write(migrations.join("V1__schema.sql"), SCHEMA)?;
    let secret = |role| PostgresSecret::read(&postgres.secret_dir(role));
    let task = Task {
        site: Site::Client(1),
        admin: secret(Role::Admin)?,
        app: secret(Role::App)?,
        migrations: Some(migrations),
        tables: None,
    };
    migrate(&task).await?;
    let app = postgres.connect(Role::App).await?;
    // The largest row is there before the connector is, and so in its snapshot.
    let write = async |body: u32| {
        let insert = format!("insert into notes values (-{body}, repeat('x', {body}), {MORE})");
        ensure!(app.execute(&insert, &[]).await? == 1);
        Ok(())
    };
    write(400_000_000).await?;
    let running = connector(&cluster, &kafka.bootstrap(), &postgres)?;
    let pid = running.0.id();

    let site = postgres.superuser().await?;
    let holds = async |condition: &str| {
        let query = format!("select exists (select from sync.snapshots, pg_replication_slots where {condition})");
        eventually(PATIENCE, async || {
            ensure!(
                site.query_one(&query, &[]).await?.get::<_, bool>(0),
                "not yet {condition}"
            );
            Ok(())
        })
        .await
    };
    holds("active").await?;
    let all = format!("insert into notes select n, n || repeat(' x', 65), null from generate_series(1, {rows}) n");
    ensure!(app.execute(&all, &[]).await? == rows);
    let started = std::time::Instant::now();
    let end: String = site.query_one("select pg_current_wal_lsn()::text", &[]).await?.get(0);
    holds(&format!("confirmed_flush_lsn >= '{end}'")).await?;

    let peak = most(pid)?;
    println!(
        "{rows} rows in one transaction: {:?}, at most {} MB",
        started.elapsed(),
        peak / 1024
    );
    let topic: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", &cluster)
        .create()?;
    let (_, records) = topic.fetch_watermarks(&format!("{cluster}.client-1"), 0, PATIENCE)?;
    ensure!(records.unsigned_abs() == rows, "{records} records");
    ensure!(peak < 48 * 1024, "{peak} kB");

    // Rows that are as large as a record may be, larger, and larger than its memory: none ends it. An update brings the row before, too.
    for body in [9_000_000, 14_000_000, 300_000_000] {
        write(body).await?;
    }
    for id in [-9_000_000, -300_000_000] {
        let update = format!("update notes set id = id + 1 where id = {id}");
        ensure!(app.execute(&update, &[]).await? == 1);
    }
    let end: String = site.query_one("select pg_current_wal_lsn()::text", &[]).await?.get(0);
    holds(&format!("confirmed_flush_lsn >= '{end}'")).await?;
    let aside: String = site.query_one(ASIDE, &[]).await?.get(0);
    // The first fits a broker that takes 1 MiB, because that counts what is left of it after compression.
    ensure!(aside == "-400000000 -14000000 -299999999", "{aside}");
    let peak = most(pid)?;
    println!("rows of up to 400 MB: at most {} MB", peak / 1024);

    // Made smaller it goes, with what its update did not say.
    let (_, end) = topic.fetch_watermarks(&format!("{cluster}.client-1"), 0, PATIENCE)?;
    app.execute("update notes set body = 'small' where id = -299999999", &[])
        .await?;
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(&format!("{cluster}.client-1"), 0, Offset::Offset(end))?;
    topic.assign(&place)?;
    let record = topic.poll(PATIENCE).context("it was not sent")??;
    let record: serde_json::Value = serde_json::from_slice(record.payload().context("no value")?)?;
    let (body, more) = (
        &record["after"]["body"],
        record["after"]["more"].as_str().unwrap_or_default(),
    );
    ensure!(body == "small" && more.len() == 128_000, "{body}, {} bytes", more.len());
    eventually(PATIENCE, async || {
        let left: String = site.query_one(ASIDE, &[]).await?.get(0);
        ensure!(left == "-400000000 -14000000", "{left}");
        Ok(())
    })
    .await?;
    ensure!(peak < 160 * 1024, "{peak} kB");
    Ok(())
}

/// The program, for client-1, as in its pod.
fn connector(cluster: &str, kafka: &str, postgres: &Postgres) -> Result<Running> {
    let child = Command::new(env!("CARGO_BIN_EXE_synccluster-connector"))
        .args(["run", "--site", "client-1", "--listen", "127.0.0.1:0"])
        .args([
            "--cluster",
            cluster,
            "--bootstrap-servers",
            kafka,
            "--topic-replication",
            "1",
        ])
        .arg("--postgres-secret")
        .arg(postgres.secret_dir(Role::Connector))
        .env("RUST_LOG", "warn")
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TRIM_THRESHOLD_", "262144")
        .spawn()?;
    Ok(Running(child))
}

/// The most memory a process has had, in kB.
fn most(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let most = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(most.trim().trim_end_matches(" kB").parse()?)
}
