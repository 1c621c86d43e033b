//! Too many, and too slow.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use synccluster_gateway::limit::Limit;
use synccluster_harness::eventually;
use synccluster_integration::gateway::Gateway;
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep},
};

use crate::{
    client::{Client, Place, Who, change},
    raw::Raw,
};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

/// There are so many, within so many seconds.
async fn sessions(gateway: &Gateway, wanted: usize, within: u64) -> Result<()> {
    eventually(Duration::from_secs(within), async || {
        let taken = gateway.app.sockets.taken();
        ensure!(taken == wanted, "there are {taken} sessions");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_a_session_is_refused_with_a_problem_until_another_ends() -> Result<()> {
    let place = Place::new()?;
    let mut app = place.app()?;
    app.sockets = Limit::new("Socket.IO sessions", 2);
    let gateway = Gateway::serve(app).await?;
    let first = Raw::subscribed(&gateway).await?;
    let polling = gateway.get(OPEN).await?.text();
    let sid = polling.split('"').nth(3).context("no session")?;
    let upgrade = "/socket.io/?EIO=4&transport=websocket";
    for path in [OPEN, upgrade] {
        gateway.get(path).await?.problem(503, "limit-reached")?;
    }
    // What belongs to a session that is there already goes on.
    let answer = gateway.get(&format!("{OPEN}&sid={sid}")).await;
    drop(first);
    sessions(&gateway, 1, 10).await?;
    assert_eq!(gateway.get(OPEN).await?.status, 200);
    drop(answer);
    // A session that connects to no namespace is over after a while.
    sessions(&gateway, 0, 20).await?;
    let answer = gateway
        .send(Method::GET, &format!("{OPEN}&sid={sid}"), &[], None)
        .await?;
    assert_eq!(answer.status, 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_takes_nothing_is_closed_and_the_others_miss_nothing() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    let mut slow = Raw::subscribed(&gateway).await?;
    let mut quick = Client::scenario(Who::Node, &gateway, "changes", "websocket")?;
    quick.says("subscribed").await?;
    let dropped = gateway
        .app
        .metrics
        .counter("synccluster_gateway_slow_sockets_total", "", &[]);
    let began = Instant::now();
    let mut number = 0;
    while dropped.get() == 0 {
        ensure!(
            began.elapsed() < Duration::from_secs(30),
            "still there after {number} changes"
        );
        (number..number + 20).for_each(|number| gateway.app.live.bus.publish(change(number, false)));
        number += 20;
        sleep(Duration::from_millis(5)).await;
    }
    gateway.app.live.bus.publish(change(number, true));
    let got: usize = quick.says("got").await?.parse()?;
    assert_eq!(got, number + 1);
    quick.done().await?;
    sessions(&gateway, 0, 5).await?;
    let mut rest = Vec::new();
    // What was on its way, and then the end.
    let ended = slow.0.read_to_end(&mut rest).await;
    ensure!(
        ended.is_err() || rest.len() < 8 << 20,
        "{} bytes were kept for it",
        rest.len()
    );
    assert_eq!(dropped.get(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_polls_too_seldom_is_told_and_disconnected() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    let mut client = Client::scenario(Who::Node, &gateway, "slow", "polling")?;
    client.says("subscribed").await?;
    // Twice what may wait for a poll.
    for number in 0..1000 {
        gateway.app.live.bus.publish(change(number, false));
        if number % 50 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    client.says("awake").await?;
    assert_eq!(client.says("disconnected").await?, "io-server-disconnect");
    client.done().await?;
    let dropped = gateway
        .app
        .metrics
        .counter("synccluster_gateway_slow_sockets_total", "", &[]);
    assert_eq!(dropped.get(), 1);
    Ok(())
}
