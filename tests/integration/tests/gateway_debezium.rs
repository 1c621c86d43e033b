//! What the gateway shows of a site whose engine is Debezium: the same as of any other, though Debezium writes values otherwise.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use synccluster_gateway::live;
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::{
    Part, World,
    debezium::{Engine, PATIENCE},
    gateway::Gateway,
};
use synccluster_protocol::{Site, status::ConnectorPhase};

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const THINGS: &str = "create table things (id int primary key, title text, flags bit(3), photo bytea, doc jsonb, words tsquery, price money, at time, due date)";
const WRITTEN: &str = r#"update things set title = 'one', flags = '101', photo = '\x00ff', doc = '{"a": 1}', words = 'fat & rat', price = 1234.5,
    at = '00:00:00.123456', due = 'infinity'"#;

/// What [`WRITTEN`] makes of the row, as rows are shown.
fn shown() -> Value {
    json!({"id": 1, "title": "one", "flags": "101", "photo": "\\x00ff", "doc": "{\"a\": 1}", "words": "'fat' & 'rat'", "price": "$1,234.50",
        "at": "00:00:00.123456", "due": "infinity"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_debezium_sent_is_shown_as_rows_are_and_wins_when_it_is_made_again() -> Result<()> {
    let mut world = World::start(1, THINGS).await?;
    world
        .run(SERVER, "insert into things (id, title) values (1, 'old')")
        .await?;
    world.wait_for(ONE, "select title from things", &["old"]).await?;
    world.leave_out(ONE, Part::Connector).await?;
    let engine = Engine::start(&world, ONE, Kafka::shared().await?.bootstrap())?;
    engine.is(ConnectorPhase::Streaming).await?;
    let gateway = Gateway::start(&world).await?;
    tokio::spawn(live::run(Arc::clone(&gateway.app), 1));

    // The server hears of it when it has a later write of its own.
    world.pause(SERVER).await;
    world.run(ONE, WRITTEN).await?;
    world.run(SERVER, "update things set title = 'server'").await?;
    world.resume(SERVER)?;
    world
        .wait_for(SERVER, "select count(*) from sync.conflicts", &["1"])
        .await?;

    eventually(PATIENCE, async || in_its_topic(&world, &gateway).await).await?;
    made_again(&world, &gateway).await?;
    engine.stop().await
}

/// The message stays as Debezium wrote it; beside it stands the row.
async fn in_its_topic(world: &World, gateway: &Gateway) -> Result<()> {
    let topic = world.cluster.topic(ONE);
    let page = gateway.read(&format!("/api/v1/topics/{topic}/messages")).await?;
    let mut messages = page["messages"].as_array().into_iter().flatten();
    let update = messages.find(|message| message["op"] == "u" && message["table"] == "public.things");
    let update = update.with_context(|| format!("no update in {page}"))?;
    ensure!(update["value"]["after"]["flags"] == "BQ==", "{update}");
    let mut row = update["sides"]["after"].clone();
    let columns = row.as_object_mut().context("the table is not known yet")?;
    columns.retain(|name, _| !name.starts_with("sync_"));
    ensure!(row == shown(), "{row}");
    ensure!(update["sides"]["before"]["title"] == "old", "{update}");
    Ok(())
}

async fn made_again(world: &World, gateway: &Gateway) -> Result<()> {
    let page = gateway.read("/api/v1/conflicts?site=server").await?;
    let conflict = &page["conflicts"][0];
    assert_eq!(
        (&conflict["loser"], &conflict["reapply_obstacle"]),
        (&shown(), &Value::Null)
    );
    let id = conflict["id"].as_str().context("id")?;
    let path = format!("/api/v1/sites/server/conflicts/{id}/reapply");
    let again = gateway.post(&path, &Value::Null).await?.ok()?;
    assert_eq!(again["row"]["values"], shown());
    world.wait_for(ONE, "select title from things", &["one"]).await?;
    for site in [SERVER, ONE] {
        let path = format!("/api/v1/sites/{site}/tables/public.things/rows/1");
        assert_eq!(gateway.read(&path).await?["values"], shown(), "{site}");
    }
    Ok(())
}
