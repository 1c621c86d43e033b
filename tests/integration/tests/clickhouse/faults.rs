//! ClickHouse killed, restarted, slow, emptied; Kafka's records wait.

use std::time::Duration;

use anyhow::{Result, ensure};
use synccluster_harness::{Link, Proxy, eventually};
use synccluster_integration::{PATIENCE, analytics::Filled};
use synccluster_protocol::{Site, status::AnalyticsPhase};
use tokio::time::sleep;

use crate::{TODOS, server};

const SERVER: Site = Site::Server;

const WRITE: &str = "insert into todos (title) select 'row ' || i from generate_series(1, 500) i;
     update todos set votes = votes + 1 where id % 3 = 0; delete from todos where id % 7 = 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_that_is_killed_again_and_again_ends_with_the_same_rows() -> Result<()> {
    let world = server(TODOS).await?;
    let mut filled = Filled::start(&world).await?;
    for round in 0..3 {
        for _ in 0..4 {
            world.run(SERVER, WRITE).await?;
        }
        sleep(Duration::from_millis(150 * (round + 1))).await;
        filled.clickhouse.kill().await?;
        world.run(SERVER, WRITE).await?;
        filled
            .wait_until("told", |status| {
                status.phase == AnalyticsPhase::Failing && status.error.is_some()
            })
            .await?;
        filled.clickhouse.restart().await?;
    }
    filled.same(&world).await?;
    // It lost its disk: everything comes back from the topic, without anybody asking for it.
    filled.clickhouse.wipe().await?;
    filled.clickhouse.restart().await?;
    filled.same(&world).await?;
    // Somebody dropped one table while all was quiet.
    filled.clickhouse.ask("drop table analytics.todos").await?;
    eventually(PATIENCE, async || {
        let report = filled.verify(&world, Duration::ZERO).await?;
        ensure!(report.equal, "{report:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_that_does_not_answer_holds_up_the_sink_and_nobody_else() -> Result<()> {
    let world = server(TODOS).await?;
    let mut filled = Filled::prepare().await?;
    let proxy = Proxy::start(filled.clickhouse.address()).await?;
    filled.clickhouse.write_secret(proxy.address())?;
    filled.resume(&world)?;
    world.run(SERVER, WRITE).await?;
    filled.same(&world).await?;
    proxy.set(Link::Blocked).await?;
    world.run(SERVER, WRITE).await?;
    let behind = filled
        .wait_until("behind", |status| {
            status.source.as_ref().is_some_and(|source| source.lag_records > 500)
        })
        .await?;
    ensure!(behind.rows_written > 0, "{behind:?}");
    sleep(Duration::from_secs(2)).await;
    proxy.set(Link::Open).await?;
    filled.same(&world).await?;
    filled.caught_up().await?;

    // A password that was changed is read at the next session.
    let secret = filled.clickhouse.secret_dir().join("password");
    let right = std::fs::read_to_string(&secret)?;
    filled.pause().await;
    std::fs::write(&secret, "wrong")?;
    filled.resume(&world)?;
    let said = filled
        .wait_until("told", |status| {
            status.error.as_ref().is_some_and(|error| error.contains("refused"))
        })
        .await?;
    ensure!(!format!("{said:?}").contains(right.trim()), "a secret is shown");
    std::fs::write(&secret, right)?;
    filled.same(&world).await?;
    filled.caught_up().await.map(drop)
}
