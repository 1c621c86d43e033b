//! Databases and Kafka go away and come back.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use synccluster_gateway::{app::App, live};
use synccluster_harness::{Kafka, Link};
use synccluster_integration::{
    World,
    gateway::{self, Gateway},
};
use tokio::time::Instant;

use crate::{
    ONE, SERVER, TODOS, all_followed, change,
    events::{Event, Events},
    gateway as listening,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_is_followed_again() -> Result<()> {
    let mut world = World::start(1, TODOS).await?;
    world.converged().await?;
    let gateway = listening(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let mut events = Events::open(&gateway, "", None).await?;
    for crash in [false, true] {
        if crash {
            world.postgres(ONE).kill().await?;
        }
        let stopped = Instant::now();
        world.postgres(ONE).restart().await?;
        // A follower that does not confirm would have held the shutdown up for a minute or more.
        assert!(stopped.elapsed() < Duration::from_secs(50), "{:?}", stopped.elapsed());
        let reset = |event: &Event| event.kind == "reset" && event.data["site"] == "client-1";
        events.until(reset).await?;
        let title = format!("back, {crash}");
        world
            .run(ONE, &format!("insert into todos (title) values ('{title}')"))
            .await?;
        events.until(change(ONE, &title)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_a_replica_tells_what_it_follows_and_the_others_hear_of_it_afterwards() -> Result<()> {
    let kafka = Kafka::start_with_proxies(&["gateway"]).await?;
    let proxy = kafka.proxy("gateway")?;
    let mut world = World::prepare(TODOS)?;
    for site in [SERVER, ONE] {
        world.add(site, &kafka.bootstrap()).await?;
    }
    world.converged().await?;
    let start = async |bootstrap: String| -> Result<Gateway> {
        let app = App::new(world.cluster.clone(), gateway::sites(&world)?, bootstrap);
        let gateway = Gateway::serve(app).await?;
        tokio::spawn(live::run(Arc::clone(&gateway.app), 1));
        Ok(gateway)
    };
    let cut = start(proxy.bootstrap()).await?;
    all_followed(&world, &[&cut]).await?;
    let other = start(kafka.bootstrap()).await?;
    all_followed(&world, &[&cut, &other]).await?;
    let (mut here, mut there) = (
        Events::open(&cut, "", None).await?,
        Events::open(&other, "", None).await?,
    );
    let insert = |id: u32, title: &str| format!("insert into todos (id, title) values ({id}, '{title}')");
    world.run(ONE, &insert(1001, "light")).await?;
    both_tell(&mut there, "light").await?;

    proxy.set(Link::Blocked).await?;
    world.run(ONE, &insert(1002, "dark")).await?;
    both_tell(&mut here, "dark").await?;
    let in_kafka = |event: &Event| event.data["hop"] == "in_kafka" && event.data["key_path"] == "1002";
    let mut meanwhile = there.until(in_kafka).await?;
    meanwhile.extend(there.rest().await?);
    assert!(!meanwhile.iter().any(|event| event.kind == "change"), "{meanwhile:#?}");

    proxy.set(Link::Open).await?;
    both_tell(&mut there, "dark").await
}

/// Two sites are followed by two connections: which of them tells first is nobody's promise.
async fn both_tell(events: &mut Events, title: &str) -> Result<()> {
    let told = events.until(change(SERVER, title)).await?;
    if !told.iter().any(change(ONE, title)) {
        events.until(change(ONE, title)).await?;
    }
    Ok(())
}
