//! A topic that is read again changes nothing of what was decided: positions in it are of long ago, and offsets say so.

use anyhow::{Result, anyhow, ensure};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::{PATIENCE, World, topic::client};
use synccluster_protocol::{Site, event::TableName};

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
/// Each site has a row of its own before it has a slot: the beginning of its topic is a snapshot.
const SCHEMA: &str = "create table todos (id int primary key, title text not null);
    create table labels (id int primary key, label text not null);
    insert into todos select 1000 + sync.node(), 'there from the start'";
const ROWS: &str = "select id || ' ' || title from todos where id < 1000 order by id";
const LOST: &str = "select (key ->> 'id') || ' ' || kind || ': ' || coalesce(loser ->> 'title', '-') || ' lost' from sync.conflicts order by 1";

/// A client whose topic begins with a snapshot, has two writes of each of two rows, and an event that the server parks. The server has
/// deleted one row and changed the other, having seen both writes.
async fn written_twice() -> Result<World> {
    let world = World::start(1, SCHEMA).await?;
    let from_the_start = "select count(*) from todos where id = 1001";
    world.wait_for(SERVER, from_the_start, &["1"]).await?;
    for write in [
        "insert into todos values (1, 'first'), (2, 'first')",
        "update todos set title = 'second' where id < 1000",
    ] {
        world.run(ONE, write).await?;
    }
    world.wait_for(SERVER, ROWS, &["1 second", "2 second"]).await?;
    for write in [
        "delete from todos where id = 1",
        "update todos set title = 'of the server' where id = 2",
        "alter table labels add constraint not_yet check (label <> 'late')",
    ] {
        world.run(SERVER, write).await?;
    }
    world.wait_for(ONE, ROWS, &["2 of the server"]).await?;
    world.converged().await?;
    world.run(ONE, "insert into labels values (1, 'late')").await?;
    let parked = "select relation from sync.parked";
    world.wait_for(SERVER, parked, &["public.labels"]).await?;
    Ok(world)
}

/// Takes the labels off the server's list and back: where the parked event was nobody knows then, so the topic is read from its beginning.
async fn read_from_the_beginning(world: &World) -> Result<()> {
    let todos = vec![TableName::new("public", "todos")];
    world.migrate(SERVER, Some(todos)).await?;
    world
        .wait_for(SERVER, "select \"offset\" from sync.skipped", &["0"])
        .await?;
    world.run(SERVER, "alter table labels drop constraint not_yet").await?;
    world.migrate(SERVER, None).await?;
    // What it is read again for, and the last that is in the topic.
    world.wait_for(SERVER, "select label from labels", &["late"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_client_writes_wins_and_loses_as_if_no_topic_had_been_read_again() -> Result<()> {
    let mut world = written_twice().await?;
    world.pause(ONE).await;
    let cut = "insert into todos values (1, 'again'); update todos set title = 'of the client' where id = 2";
    world.run(ONE, cut).await?;
    let buried = "select version from sync.tombstones where key ->> 'id' = '1'";
    let before = world.ask(SERVER, buried).await?;
    read_from_the_beginning(&world).await?;
    ensure!(world.ask(SERVER, buried).await? == before, "buried again");
    world.wait_for(SERVER, LOST, &[]).await?;
    world
        .run(SERVER, "update todos set title = 'of the server, later' where id = 2")
        .await?;

    world.resume(ONE)?;
    for site in [SERVER, ONE] {
        world
            .wait_for(site, ROWS, &["1 again", "2 of the server, later"])
            .await?;
    }
    world.converged().await?;
    // What was never sent before is judged as ever.
    world
        .wait_for(SERVER, LOST, &["2 update/update: of the client lost"])
        .await
}

async fn delete_topic(topic: &str) -> Result<()> {
    let kafka = Kafka::shared().await?;
    let admin: AdminClient<DefaultClientContext> = client(kafka).create()?;
    for deleted in admin.delete_topics(&[topic], &AdminOptions::new()).await? {
        deleted.map_err(|(topic, code)| anyhow!("deleting {topic}: {code}"))?;
    }
    eventually(PATIENCE, async || {
        ensure!(kafka.records(topic).await.is_err(), "{topic} is still there");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_topic_that_was_made_anew_nothing_was_read_before() -> Result<()> {
    let mut world = World::start(1, SCHEMA).await?;
    for id in 1..=10 {
        let one_more = format!("insert into todos values ({id}, 'old')");
        world.run(ONE, &one_more).await?;
    }
    let arrived = "select count(*) from todos where id < 1000";
    world.wait_for(SERVER, arrived, &["10"]).await?;
    world.converged().await?;
    for site in [SERVER, ONE] {
        world.pause(site).await;
    }
    delete_topic(&world.cluster.topic(ONE)).await?;
    for (site, title) in [(ONE, "of the client"), (SERVER, "of the server")] {
        let write = format!("update todos set title = '{title}' where id = 1");
        world.run(site, &write).await?;
    }
    for site in [ONE, SERVER] {
        world.resume(site)?;
    }
    world
        .wait_for(SERVER, LOST, &["1 update/update: of the client lost"])
        .await?;
    let began_anew = "select reached = \"offset\" and reached < 10 from sync.progress";
    world.wait_for(SERVER, began_anew, &["t"]).await?;
    world
        .wait_for(ONE, "select title from todos where id = 1", &["of the server"])
        .await?;
    world.converged().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_and_has_outgrown_the_one_before_is_read_from_its_beginning() -> Result<()> {
    let mut world = World::start(1, SCHEMA).await?;
    world.run(ONE, "insert into todos values (1, 'old')").await?;
    world.wait_for(SERVER, ROWS, &["1 old"]).await?;
    world.converged().await?;
    for site in [SERVER, ONE] {
        world.pause(site).await;
    }
    let topic = world.cluster.topic(ONE);
    delete_topic(&topic).await?;
    world.resume(ONE)?;
    // A transaction each, and more of them than there were records.
    for id in 2..=20 {
        let one_more = format!("insert into todos values ({id}, 'new')");
        world.run(ONE, &one_more).await?;
    }
    let read = world.ask(SERVER, "select \"offset\" from sync.progress").await?;
    let read: usize = read.concat().parse()?;
    let kafka = Kafka::shared().await?;
    eventually(PATIENCE, async || {
        let records = kafka.records(&topic).await?.len();
        ensure!(
            records >= 19 && records > read,
            "{records} records, and {read} were read"
        );
        Ok(())
    })
    .await?;

    world.resume(SERVER)?;
    world
        .wait_for(SERVER, "select count(*) from todos where id < 1000", &["20"])
        .await?;
    world.converged().await?;
    world.wait_for(SERVER, LOST, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_before_a_schema_of_an_earlier_version_says_what_to_do_and_goes_on() -> Result<()> {
    let mut world = World::start(1, SCHEMA).await?;
    world.run(SERVER, "insert into todos values (1, 'first')").await?;
    world.wait_for(ONE, ROWS, &["1 first"]).await?;
    world.converged().await?;
    world.pause(ONE).await;
    let superuser = world.at(ONE).postgres.superuser().await?;
    superuser
        .batch_execute("alter table sync.progress drop column reached")
        .await?;
    world.resume(ONE)?;
    eventually(PATIENCE, async || {
        let said = world.at(ONE).sink_status()?.error.unwrap_or_default();
        let all = ["lacks", "\"reached\"", "init container `schema`", "connector"];
        ensure!(all.iter().all(|part| said.contains(part)), "it says: {said}");
        Ok(())
    })
    .await?;

    world.migrate(ONE, None).await?;
    world.run(SERVER, "insert into todos values (2, 'second')").await?;
    world.wait_for(ONE, ROWS, &["1 first", "2 second"]).await?;
    world
        .wait_for(ONE, "select reached = \"offset\" from sync.progress", &["t"])
        .await
}
