//! Too many, and too slow.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::{Method, header::AUTHORIZATION};
use synccluster_gateway::sockets::seats::{Most, Seats};
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, gateway::Gateway, http::Answer};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep},
};

use crate::{
    client::{Client, Place, TOKEN, Who, change},
    raw::{HERE, Raw},
};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
/// Another address of this machine.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// Waits until all have ended.
async fn no_session(gateway: &Gateway) -> Result<()> {
    eventually(PATIENCE, async || {
        let taken = gateway.app.sockets.taken();
        ensure!(taken == 0, "there are {taken} sessions");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_a_session_is_refused_with_a_problem_until_another_ends() -> Result<()> {
    let place = Place::new()?;
    let mut app = place.app()?;
    app.sockets = Seats::new(&Most {
        all: 2,
        caller: 2,
        unknown: 2,
        address: 2,
    });
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
    eventually(PATIENCE, async || {
        let opened = gateway.get(OPEN).await?;
        ensure!(opened.status == 200, "{}", opened.text());
        Ok(())
    })
    .await?;
    drop(answer);
    // A session that connects to no namespace is over after a while.
    no_session(&gateway).await?;
    let answer = gateway
        .send(Method::GET, &format!("{OPEN}&sid={sid}"), &[], None)
        .await?;
    assert_eq!(answer.status, 400);
    Ok(())
}

/// A session that is opened with the token, from [`HERE`].
async fn open_with_token(gateway: &Gateway) -> Result<Answer> {
    let bearer = format!("Bearer {TOKEN}");
    gateway.send(Method::GET, OPEN, &[(AUTHORIZATION, &bearer)], None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_without_a_token_leave_theirs_to_those_that_have_one() -> Result<()> {
    let place = Place::new()?;
    let mut app = place.app()?;
    app.sockets = Seats::new(&Most {
        all: 10,
        caller: 10,
        unknown: 3,
        address: 2,
    });
    let gateway = Gateway::serve(app).await?;
    let mut first = Raw::opened(&gateway, HERE).await?;
    let _second = Raw::opened(&gateway, HERE).await?;
    let problem = gateway.get(OPEN).await?.problem(429, "share-taken")?;
    let told = problem["detail"].as_str().context("detail")?;
    assert!(
        told.starts_with("127.0.0.1 has 2 Socket.IO sessions that have shown no token yet")
            && told.contains("`Authorization: Bearer <token>`"),
        "{told}"
    );
    let _third = Raw::opened(&gateway, ELSEWHERE).await?;
    let mut beyond = Raw::asked(&gateway, ELSEWHERE).await?;
    beyond.hears("urn:synccluster:problem:limit-reached").await?;
    assert_eq!(open_with_token(&gateway).await?.status, 200);
    first.shows_token("40/sites,{").await?;
    let _fourth = Raw::opened(&gateway, HERE).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_viewers_token_has_a_share_of_the_sessions_and_leaves_the_rest() -> Result<()> {
    let place = Place::new()?;
    let mut app = place.app()?;
    app.sockets = Seats::new(&Most {
        all: 10,
        caller: 2,
        unknown: 5,
        address: 5,
    });
    let gateway = Gateway::serve(app).await?;
    let first = Raw::connected(&gateway, HERE).await?;
    let _second = Raw::connected(&gateway, HERE).await?;
    let told = "viewer at 127.0.0.1 has 2 Socket.IO sessions open";
    let problem = open_with_token(&gateway).await?.problem(429, "share-taken")?;
    let detail = problem["detail"].as_str().context("detail")?;
    assert!(detail.starts_with(told) && detail.contains("close one"), "{detail}");
    // Who shows it later is told so there.
    let mut third = Raw::opened(&gateway, HERE).await?;
    third.shows_token(&format!("44/sites,{{\"message\":\"{told}")).await?;
    let _other = Raw::connected(&gateway, ELSEWHERE).await?;
    drop(first);
    eventually(PATIENCE, async || {
        let opened = open_with_token(&gateway).await?;
        ensure!(opened.status == 200, "{}", opened.text());
        Ok(())
    })
    .await
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
        ensure!(began.elapsed() < PATIENCE, "still there after {number} changes");
        (number..number + 20).for_each(|number| gateway.app.live.bus.publish(change(number, false)));
        number += 20;
        // A megabyte a second: the quick one may be kept from it for a while before it is slow, too.
        sleep(Duration::from_millis(50)).await;
    }
    gateway.app.live.bus.publish(change(number, true));
    let got: usize = quick.says("got").await?.parse()?;
    assert_eq!(got, number + 1);
    quick.done().await?;
    no_session(&gateway).await?;
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
    let dropped = gateway
        .app
        .metrics
        .counter("synccluster_gateway_slow_sockets_total", "", &[]);
    eventually(PATIENCE, async || {
        ensure!(dropped.get() == 1, "{} were too slow", dropped.get());
        Ok(())
    })
    .await?;
    client.go_on().await?;
    client.says("awake").await?;
    assert_eq!(client.says("disconnected").await?, "io-server-disconnect");
    client.done().await?;
    assert_eq!(dropped.get(), 1);
    Ok(())
}
