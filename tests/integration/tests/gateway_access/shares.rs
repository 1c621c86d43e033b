//! Nobody takes all the streams there are, nor all the connections.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use hyper::{
    Method,
    header::{AUTHORIZATION, COOKIE, HeaderName},
};
use serde_json::json;
use synccluster_gateway::{
    access::{Access, Identity},
    app::App,
    limit::Shares,
    sites::Sites,
};
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, gateway::Gateway, sse::Events};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{EDITOR, Secret, VIEWER, guarded};

/// Streams one caller may have.
const SHARE: usize = 64;

async fn streams(gateway: &Gateway, header: (HeaderName, &str), count: usize) -> Result<Vec<Events>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(Events::open(gateway, "/events", std::slice::from_ref(&header)).await?);
    }
    Ok(streams)
}

async fn refused(gateway: &Gateway, header: (HeaderName, &str)) -> Result<String> {
    let answer = gateway.send(Method::GET, "/events", &[header], None).await?;
    let problem = answer.problem(429, "share-taken")?;
    ensure!(answer.header("retry-after").is_some(), "{answer:?}");
    Ok(problem["detail"].as_str().context("detail")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_behind_a_proxy_has_a_share_of_the_streams_and_leaves_the_rest() -> Result<()> {
    let name = HeaderName::from_static("x-forwarded-user");
    let identity = Identity::new(name.clone(), ["ada".to_owned()]);
    let gateway = guarded(Access::guarded("demo".parse()?, None, Some(identity))?).await?;
    let mut bobs = streams(&gateway, (name.clone(), "bob"), SHARE).await?;
    let told = refused(&gateway, (name.clone(), "bob")).await?;
    assert!(
        told.starts_with("bob has 64 streams of events open") && told.contains("close one"),
        "{told}"
    );
    // Others come by the same proxy, so by the same address.
    let _ada = streams(&gateway, (name.clone(), "ada"), 1).await?;
    bobs.pop();
    eventually(PATIENCE, async || {
        streams(&gateway, (name.clone(), "bob"), 1).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_viewers_token_leaves_editors_their_streams() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let (viewer, editor) = (format!("Bearer {VIEWER}"), format!("Bearer {EDITOR}"));
    let _viewers = streams(&gateway, (AUTHORIZATION, &viewer), SHARE).await?;
    let told = refused(&gateway, (AUTHORIZATION, &viewer)).await?;
    assert!(told.starts_with("viewer at 127.0.0.1 has 64 streams"), "{told}");
    let _editors = streams(&gateway, (AUTHORIZATION, &editor), 1).await?;
    assert_eq!(gateway.app.events.taken(), SHARE + 1);
    Ok(())
}

/// The cookie of a session that is begun with this token.
async fn sign_in(gateway: &Gateway, token: &str) -> Result<String> {
    let begun = gateway.post("/api/v1/session", &json!({ "token": token })).await?;
    let cookie = begun.header("set-cookie").context("no cookie")?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_of_a_token_has_its_share_and_all_of_them_leave_some_to_others() -> Result<()> {
    let secret = Secret::new()?;
    let mut app = App::new("demo".parse()?, Sites::new([].into()), "localhost:1".to_owned());
    app.access = secret.access()?;
    app.events = Shares::new("streams of events", 8, 4);
    let gateway = Gateway::serve(app).await?;
    let (first, second) = (sign_in(&gateway, VIEWER).await?, sign_in(&gateway, VIEWER).await?);
    let _first = streams(&gateway, (COOKIE, &first), 4).await?;
    let told = refused(&gateway, (COOKIE, &first)).await?;
    assert!(
        told.starts_with("a session of viewer at 127.0.0.1 has 4 streams"),
        "{told}"
    );
    // Seven eighths are for all of them.
    let _second = streams(&gateway, (COOKIE, &second), 3).await?;
    let bearer = format!("Bearer {VIEWER}");
    let third = sign_in(&gateway, VIEWER).await?;
    for header in [(COOKIE, &second), (COOKIE, &third), (AUTHORIZATION, &bearer)] {
        let told = refused(&gateway, (header.0, header.1)).await?;
        assert!(
            told.starts_with("all who come as viewer at 127.0.0.1 have 7 streams of events open together"),
            "{told}"
        );
    }
    let editor = sign_in(&gateway, EDITOR).await?;
    let _editors = streams(&gateway, (COOKIE, &editor), 1).await?;
    Ok(())
}

/// A connection that comes from this address of the machine.
async fn connection(gateway: &Gateway, from: [u8; 4]) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    Ok(socket.connect(gateway.address).await?)
}

/// What somebody at this address is answered.
async fn answer(gateway: &Gateway, from: [u8; 4]) -> Result<String> {
    let mut stream = connection(gateway, from).await?;
    let ask = b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask).await?;
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .context("the connection stays open")??;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_connections_open_at_one_address_leaves_other_addresses_theirs() -> Result<()> {
    const GREEDY: [u8; 4] = [127, 0, 0, 1];
    const OTHER: [u8; 4] = [127, 0, 0, 2];
    let mut app = App::new("demo".parse()?, Sites::new([].into()), "localhost:1".to_owned());
    app.connections = Shares::new("connections", 4, 3);
    let gateway = Gateway::serve(app).await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connection(&gateway, GREEDY).await?);
    }
    let refused = answer(&gateway, GREEDY).await?;
    let headers = refused.to_ascii_lowercase();
    ensure!(
        headers.starts_with("http/1.1 429 ") && headers.contains("retry-after: "),
        "{refused}"
    );
    ensure!(refused.contains("urn:synccluster:problem:share-taken"), "{refused}");
    ensure!(refused.contains("127.0.0.1 has 3 connections open"), "{refused}");
    let other = answer(&gateway, OTHER).await?;
    ensure!(other.starts_with("HTTP/1.1 200 "), "{other}");
    held.pop();
    eventually(PATIENCE, async || {
        let again = answer(&gateway, GREEDY).await?;
        ensure!(again.starts_with("HTTP/1.1 200 "), "{again}");
        Ok(())
    })
    .await
}
