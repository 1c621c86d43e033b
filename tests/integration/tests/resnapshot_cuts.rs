//! Every row once more under load, with the link to Kafka cut in the middle and a table that cannot be read, by either engine; and a reset.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use synccluster_harness::{Kafka, Link, Proxy, eventually};
use synccluster_integration::{
    PATIENCE, Part, World,
    debezium::{Engine, converged},
};
use synccluster_protocol::{
    Site,
    status::{ConnectorPhase, ConnectorStatus, RequestKind, ResnapshotStatus},
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const SCHEMA: &str = "create table todos (id bigint primary key, title text not null, n int not null default 0);
    create table notes (id bigint primary key, title text not null)";
/// Rows of the second table, so many that reading them can be interrupted.
const NOTES: u64 = 20_000;
/// Where the rows begin that a site's load makes.
const MADE: [(Site, u64); 2] = [(SERVER, 100_000), (ONE, 200_000)];

/// A server behind a link that can be cut, a client, and rows.
struct Scene {
    world: World,
    kafka: Kafka,
    /// How many rows of `todos` there are at first.
    rows: u64,
}

impl Scene {
    async fn set(rows: u64) -> Result<Self> {
        let kafka = Kafka::start_with_proxies(&["server"]).await?;
        let mut world = World::prepare(SCHEMA)?;
        world.add(SERVER, &kafka.proxy("server")?.bootstrap()).await?;
        world.add(ONE, &kafka.bootstrap()).await?;
        let insert = format!(
            "insert into todos select n, repeat('todo ', 20) || n from generate_series(1, {rows}) n; delete from todos where id % 1000 = 0;
             insert into notes select n, 'note' from generate_series(1, {NOTES}) n; analyze todos; analyze notes"
        );
        world.run(SERVER, &insert).await?;
        world
            .wait_for(ONE, "select count(*) from notes", &[&NOTES.to_string()])
            .await?;
        Ok(Self { world, kafka, rows })
    }

    fn link(&self) -> Result<&Proxy> {
        self.kafka.proxy("server")
    }

    /// Cuts the server's link for a while, and heals it; returns the server's time just before that. `cut`: it is known there.
    async fn cut(&self, link: Link, cut: impl Fn() -> Result<ConnectorPhase>) -> Result<String> {
        self.link()?.set(link).await?;
        eventually(PATIENCE, async || {
            let phase = cut()?;
            ensure!(phase == ConnectorPhase::Cut, "{phase:?}");
            Ok(())
        })
        .await?;
        // The load goes on meanwhile.
        sleep(Duration::from_secs(2)).await;
        let now = self.world.ask(SERVER, "select clock_timestamp()").await?.concat();
        self.link()?.set(Link::Open).await?;
        Ok(now)
    }

    /// Both sites have all that was written, and so has the topic. What was on its way when a session ended may lie behind what the next one
    /// sent, so the latest version of a row is looked for, as those do who read the topic.
    async fn nothing_is_lost_or_doubled(&self, written: Written) -> Result<()> {
        let rows = async |site, table: &str| {
            let rows = format!("select id || ' ' || sync_version from {table} order by id");
            self.world.ask(site, &rows).await
        };
        for table in ["todos", "notes"] {
            let ours = rows(SERVER, table).await?;
            let theirs = rows(ONE, table).await?;
            ensure!(ours == theirs, "{table}: {} and {} rows", ours.len(), theirs.len());
        }
        for (site, from) in MADE {
            let made =
                format!("select count(*) || ' ' || sum(n) from todos where id between {from} and {from} + 90000");
            let rounds = written[&site];
            let expected = format!("{rounds} {}", rounds - 1);
            self.world.wait_for(SERVER, &made, &[&expected]).await?;
        }
        for site in [SERVER, ONE] {
            for none in ["conflicts", "parked"] {
                let count = format!("select count(*) from sync.{none}");
                ensure!(self.world.ask(site, &count).await? == ["0"], "{none} at {site}");
            }
        }
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        for value in self.values().await? {
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
            let row = value.get("after").filter(|row| row.is_object());
            if let (Some(table @ ("todos" | "notes")), Some(row)) = (text("/source/table"), row) {
                let version = row["sync_version"]
                    .as_i64()
                    .with_context(|| format!("no version in {row}"))?;
                let known = newest.entry(format!("{table} {}", row["id"])).or_insert(version);
                *known = version.max(*known);
            }
        }
        for table in ["todos", "notes"] {
            for row in rows(SERVER, table).await? {
                let (id, version) = row.split_once(' ').context("no version")?;
                let last = newest.get(&format!("{table} {id}"));
                ensure!(
                    last == Some(&version.parse()?),
                    "{row} of {table}, and in the topic {last:?}"
                );
            }
        }
        Ok(())
    }

    async fn values(&self) -> Result<Vec<Value>> {
        let records = self.kafka.records(&self.world.cluster.topic(SERVER)).await?;
        let value = |record: synccluster_harness::Record| Some(serde_json::from_slice(&record.value?));
        Ok(records.into_iter().filter_map(value).collect::<Result<_, _>>()?)
    }

    /// Rows that were read while streaming went on, by table.
    async fn sent_again(&self, table: &str) -> Result<usize> {
        let again = |value: &&Value| {
            value.pointer("/source/snapshot") == Some(&"incremental".into())
                && value.pointer("/source/table") == Some(&table.into())
        };
        Ok(self.values().await?.iter().filter(again).count())
    }
}

/// Rounds of the load at each site.
type Written = BTreeMap<Site, u64>;

/// Writes at both sites: each transaction makes a row and changes the one made before, and the server's change old rows of every chunk.
struct Load {
    stop: watch::Sender<bool>,
    tasks: Vec<(Site, JoinHandle<Result<u64>>)>,
}

impl Load {
    async fn start(Scene { world, rows, .. }: &Scene) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for (site, from) in MADE {
            let (app, stopped, rows) = (world.app(site).await?, stopped.clone(), *rows);
            let writing = async move {
                let mut round = 0;
                while !*stopped.borrow() {
                    let old = format!(
                        "update todos set title = 'round {round}' where id % 2000 = {} and id <= {rows}; delete from todos where id = {};",
                        round % 2000 + 1,
                        round * 37 % rows + 1
                    );
                    let statement = format!(
                        "begin; {} update todos set n = n + 1 where id = {} and {round} > 0; insert into todos values ({}, 'new'); commit",
                        if site == SERVER { &old } else { "" },
                        from + round - u64::from(round > 0),
                        from + round
                    );
                    app.batch_execute(&statement).await?;
                    round += 1;
                    sleep(Duration::from_millis(100)).await;
                }
                Ok(round)
            };
            tasks.push((site, tokio::spawn(writing)));
        }
        Ok(Self { stop, tasks })
    }

    async fn stop(self) -> Result<Written> {
        self.stop.send_replace(true);
        let mut written = Written::new();
        for (site, task) in self.tasks {
            written.insert(site, task.await??);
        }
        Ok(written)
    }
}

/// The progress with a request, when it fits.
async fn progress(
    status: impl Fn() -> Result<ConnectorStatus>,
    id: &str,
    fits: impl Fn(&ResnapshotStatus) -> bool,
) -> Result<ResnapshotStatus> {
    eventually(PATIENCE, async || {
        let status = status()?;
        let seen = status.resnapshot.filter(|seen| seen.id == id);
        seen.clone()
            .filter(&fits)
            .with_context(|| format!("{seen:?}, {:?} {:?}", status.phase, status.error))
    })
    .await
}

const REVOKE: &str = "revoke pg_read_all_data from sync_connector; grant select on sync.tombstones to sync_connector";
/// Breaks the connections of Debezium, whose task begins again.
const BREAK: &str = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'Debezium%'";

/// From now on the connector's role reads nothing but what is granted to it; or everything again.
async fn may_read(world: &World, all: bool) -> Result<()> {
    let statement = if all {
        "grant pg_read_all_data to sync_connector"
    } else {
        REVOKE
    };
    administer(world, statement).await
}

async fn administer(world: &World, statements: &str) -> Result<()> {
    let superuser = world.at(SERVER).postgres.superuser().await?;
    Ok(superuser.batch_execute(statements).await?)
}

fn refuses(seen: &ResnapshotStatus, table: &str) -> bool {
    let said = seen.error.as_deref().unwrap_or_default();
    said.contains("permission denied")
        && said.contains(&format!("grant select on \"public\".\"{table}\" to sync_connector"))
}

/// A write at the server arrives at the client.
async fn goes_on(world: &World, id: u64) -> Result<()> {
    world
        .run(SERVER, &format!("insert into notes values ({id}, 'meanwhile')"))
        .await?;
    world
        .wait_for(ONE, &format!("select title from notes where id = {id}"), &["meanwhile"])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_engine_goes_on_after_a_cut_and_when_a_table_can_be_read_again() -> Result<()> {
    let scene = Scene::set(12_000).await?;
    let world = &scene.world;
    let load = Load::start(&scene).await?;
    let status = || world.at(SERVER).connector_status();
    world.at(SERVER).resnapshot("cut", None)?;
    let part = progress(status, "cut", |seen| seen.rows >= 1000).await?;
    scene.cut(Link::Blocked, || Ok(status()?.phase)).await?;
    ensure!(!part.done, "it was over before the cut: {part:?}");
    let after = progress(status, "cut", |seen| seen.done).await?;
    ensure!(after.began_at == part.began_at && after.rows >= 12_000, "{after:?}");

    may_read(world, false).await?;
    world.at(SERVER).resnapshot("refused", Some("public.notes"))?;
    progress(status, "refused", |seen| refuses(seen, "notes")).await?;
    goes_on(world, NOTES + 1).await?;
    may_read(world, true).await?;
    let after = progress(status, "refused", |seen| seen.done).await?;
    ensure!(after.error.is_none() && after.rows > NOTES, "{after:?}");

    let written = load.stop().await?;
    world.converged().await?;
    scene.nothing_is_lost_or_doubled(written).await
}

#[tokio::test(flavor = "multi_thread")]
async fn debezium_goes_on_after_a_cut_and_when_a_table_can_be_read_again_and_is_reset() -> Result<()> {
    let mut scene = Scene::set(5_000).await?;
    scene.world.leave_out(SERVER, Part::Connector).await?;
    let world = &scene.world;
    let bootstrap = scene.link()?.bootstrap();
    // Chunks and batches so small that whatever goes on can be interrupted.
    let template = "incremental.snapshot.chunk.size=100\nmax.batch.size=200\nmax.queue.size=400";
    let postgres = &world.at(SERVER).postgres;
    let engine = Engine::beside(&world.cluster, SERVER, postgres, bootstrap.as_str(), template)?;
    engine.is(ConnectorPhase::Streaming).await?;
    let load = Load::start(&scene).await?;
    let status = || Ok(engine.status());

    engine.resnapshot("cut", Some("public.todos"));
    let part = progress(status, "cut", |seen| seen.rows >= 500).await?;
    scene.cut(Link::BlocksNew, || Ok(engine.status().phase)).await?;
    ensure!(!part.done, "it was over before the cut: {part:?}");
    let after = progress(status, "cut", |seen| seen.done).await?;
    ensure!(after.began_at == part.began_at && after.rows > part.rows, "{after:?}");

    // Refused before the first row, and in the middle, where Debezium itself leaves the table out.
    may_read(world, false).await?;
    engine.resnapshot("refused", Some("public.notes"));
    progress(status, "refused", |seen| refuses(seen, "notes")).await?;
    ensure!(scene.sent_again("notes").await? == 0);
    may_read(world, true).await?;
    let sending = progress(status, "refused", |seen| seen.done || seen.rows > 0).await?;
    may_read(world, false).await?;
    ensure!(!sending.done, "it was over before it could be refused: {sending:?}");
    progress(status, "refused", |seen| refuses(seen, "notes")).await?;
    goes_on(world, NOTES + 1).await?;
    // And where its task begins again at a table that it may not read any more: it cannot (a null pointer), and a new worker leaves the table out.
    may_read(world, true).await?;
    engine.resnapshot("broken", Some("public.notes"));
    let sending = progress(status, "broken", |seen| seen.done || seen.rows > 0).await?;
    administer(world, &format!("{REVOKE}; {BREAK}")).await?;
    ensure!(!sending.done, "it was over before it could be broken: {sending:?}");
    progress(status, "broken", |seen| refuses(seen, "notes")).await?;
    goes_on(world, NOTES + 2).await?;

    engine.resnapshot("another", Some("public.todos"));
    progress(status, "another", |seen| refuses(seen, "todos")).await?;
    may_read(world, true).await?;
    engine.resnapshot("all of them", Some("public.notes"));
    let after = progress(status, "all of them", |seen| seen.done).await?;
    ensure!(after.error.is_none() && after.rows > NOTES, "{after:?}");

    let begun = world.ask(SERVER, "select clock_timestamp()").await?.concat();
    let (reset, cut) = tokio::join!(engine.ask(RequestKind::Reset), async {
        engine.is(ConnectorPhase::Snapshotting).await?;
        let healed = scene.cut(Link::BlocksNew, || Ok(engine.status().phase)).await?;
        let sent = format!("select count(*) from sync.snapshots where completed_at between '{begun}' and '{healed}'");
        ensure!(
            world.ask(SERVER, &sent).await? == ["0"],
            "the snapshot was over before the cut"
        );
        Ok(())
    });
    cut.and(reset)?;

    let written = load.stop().await?;
    converged(world, &[&engine]).await?;
    scene.nothing_is_lost_or_doubled(written).await?;
    engine.stop().await
}
