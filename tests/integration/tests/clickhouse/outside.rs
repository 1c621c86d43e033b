//! What a ClickHouse of somebody else's may have: a certificate, a disk that is full, a Secret that lacks a key.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use synccluster_harness::{Authority, ClickHouse};
use synccluster_integration::analytics::Filled;
use synccluster_protocol::{Site, status::AnalyticsPhase};

use crate::{TODOS, server};

const SERVER: Site = Site::Server;

/// Waits until the sink says this, and has not ended for it.
async fn says(filled: &Filled, what: &str) -> Result<()> {
    filled
        .wait_until(what, |status| {
            status.phase == AnalyticsPhase::Failing && status.error.as_ref().is_some_and(|error| error.contains(what))
        })
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_nothing_is_lost_until_there_is_room_again() -> Result<()> {
    let world = server(TODOS).await?;
    let mut filled = Filled::from(ClickHouse::start_on_small_disk(64).await?);
    filled.resume(&world)?;
    world
        .run(
            SERVER,
            "insert into todos (title) select 'early ' || i from generate_series(1, 500) i",
        )
        .await?;
    filled.same(&world).await?;

    filled.clickhouse.fill_disk()?;
    // Too much for what a merge may give back.
    let many = "insert into todos (title) select md5(i::text) || md5('a' || i) || md5('b' || i) from generate_series(1, 20000) i";
    world.run(SERVER, many).await?;
    says(&filled, "has no room on its disk: give its volume more").await?;
    world
        .run(
            SERVER,
            "update todos set votes = 1 where id <= 100; delete from todos where id > 400 and id <= 500",
        )
        .await?;
    let view = "select count() from analytics.todos_current where title like 'early %'";
    let seen = filled.clickhouse.ask(view).await?;
    ensure!(seen.trim() == "500", "what was there cannot be read: {seen}");

    filled.clickhouse.free_disk()?;
    filled.same(&world).await?;
    let status = filled.caught_up().await?;
    ensure!(
        status.error.is_none() && status.parked == 0 && status.skipped == 0,
        "{status:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_and_what_is_wrong_with_it_is_said() -> Result<()> {
    let (ours, other) = (Authority::new().await?, Authority::new().await?);
    let names = "DNS:localhost";
    let certificate = ours.issue("clickhouse", names).await?;
    let world = server(TODOS).await?;
    let mut filled = Filled::from(ClickHouse::start_with_tls(&certificate).await?);
    filled.clickhouse.write_tls_secret("localhost", &ours.certificate())?;
    filled.resume(&world)?;
    world
        .run(SERVER, "insert into todos (title) values ('over TLS')")
        .await?;
    filled
        .wait_for("select title from analytics.todos_current", "over TLS")
        .await?;
    filled.same(&world).await?;
    filled.pause().await;

    filled.clickhouse.write_tls_secret("localhost", &other.certificate())?;
    filled.resume(&world)?;
    says(
        &filled,
        "from an authority that is not trusted: put the certificate of that authority into `ca`",
    )
    .await?;
    filled.clickhouse.write_tls_secret("127.0.0.1", &ours.certificate())?;
    says(&filled, "for another name: give `url`").await?;

    let renewed = |from: &Path, to: &Path| fs::copy(from, to).map(drop);
    let expired = ours.issue_expired("expired", names).await?;
    let valid = fs::read(&certificate.certificate)?;
    let key = fs::read(&certificate.key)?;
    renewed(&expired.certificate, &certificate.certificate)?;
    renewed(&expired.key, &certificate.key)?;
    filled.clickhouse.write_tls_secret("localhost", &ours.certificate())?;
    filled.clickhouse.restart().await?;
    says(&filled, "has expired: give it a new one").await?;
    world.run(SERVER, "insert into todos (title) values ('later')").await?;

    // Neither the sink nor its secret is touched when ClickHouse has a new one.
    fs::write(&certificate.certificate, valid)?;
    fs::write(&certificate.key, key)?;
    filled.clickhouse.restart().await?;
    filled.same(&world).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_lacks_a_key_is_said_until_it_has_it() -> Result<()> {
    let world = server(TODOS).await?;
    let mut filled = Filled::prepare().await?;
    let secret = filled.clickhouse.secret_dir();
    let kept = ["password", "url"].map(|key| (key, fs::read(secret.join(key))));
    for (key, _) in &kept {
        fs::remove_file(secret.join(key))?;
    }
    filled.resume(&world)?;
    world
        .run(SERVER, "insert into todos (title) values ('waits for a key')")
        .await?;
    for (key, value) in kept.into_iter().rev() {
        says(&filled, &format!("`{key}`")).await?;
        fs::write(secret.join(key), value?)?;
    }
    filled.same(&world).await?;
    let status = filled.caught_up().await?;
    ensure!(status.error.is_none(), "{status:?}");
    Ok(())
}
