//! The analytics sink against real Postgres, Kafka and ClickHouse.

mod changed;
mod definitions;
mod faults;
mod life;
mod outside;
mod types;

use anyhow::Result;
use synccluster_harness::Kafka;
use synccluster_integration::World;
use synccluster_protocol::Site;

/// A world of a server alone, and of one table.
async fn server(schema: &str) -> Result<World> {
    World::start(0, schema).await
}

const TODOS: &str =
    "create table todos (id bigint generated always as identity primary key, title text, votes int not null default 0)";

/// What a record of the server's topic would look like that nobody sends: an old one that comes late, or a broken one.
async fn forge(world: &World, table: &str, after: &str) -> Result<()> {
    let topic = world.cluster.topic(Site::Server);
    let value = format!(
        r#"{{"before":null,"after":{after},"source":{{"name":"{topic}","schema":"public","table":"{table}","ts_ms":1}},"op":"u","ts_ms":1}}"#
    );
    Kafka::shared()
        .await?
        .send(&topic, &format!("forged {table} {after}"), Some(&value))
        .await
        .map(drop)
}
