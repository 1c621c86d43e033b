//! What a bad request is answered, and what a bad connection costs the others.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hyper::{Method, header::AUTHORIZATION};
use serde_json::json;
use synccluster_gateway::{access::Access, app::App, limit::Shares, serve::allow_many_connections, sites::Sites};
use synccluster_harness::{Witness, eventually};
use synccluster_integration::{
    PATIENCE, World,
    gateway::{Gateway, sites},
};
use synccluster_protocol::Site;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::{EDITOR, Secret, guarded, with};

/// What a connection answers to these bytes, until it is closed.
async fn raw(gateway: &Gateway, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(gateway.address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .context("the connection stays open")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A request with a body that is sent as it stands.
fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\nAuthorization: Bearer {EDITOR}\r\n{headers}\r\n"
    );
    (head + body).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_problem() -> Result<()> {
    let gateway = guarded(Access::open("demo".parse()?)).await?;
    gateway.get("/api/v1/nothing").await?.problem(404, "unknown-route")?;
    gateway.get("/robots.txt").await?.problem(404, "unknown-route")?;
    let method = gateway.send(Method::PATCH, "/api/v1/me", &[], None).await?;
    method.problem(405, "method-not-allowed")?;
    assert_eq!(method.header("allow"), Some("GET,HEAD"));
    for path in [
        "/api/v1/cluster",
        "/api/v1/partition",
        "/api/v1/components",
        "/api/v1/components/a/logs",
    ] {
        gateway
            .get(path)
            .await?
            .problem(501, "not-in-kubernetes")
            .context(path)?;
    }
    for lines in ["0", "2001", "-1", "x"] {
        let path = format!("/api/v1/components/a/logs?lines={lines}");
        gateway.get(&path).await?.problem(400, "bad-parameter").context(path)?;
    }
    gateway
        .get("/api/v1/components/a/logs?line=5")
        .await?
        .problem(400, "bad-parameter")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_a_problem() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let json = "Content-Type: application/json\r\n";
    for (headers, body, status, kind) in [
        (json, "{\"clients\":[1]", "400", "bad-json"),
        (json, "", "400", "bad-json"),
        (json, "\u{0}", "400", "bad-json"),
        (json, "{\"clients\":[\"one\"]}", "422", "bad-body"),
        (json, "{\"clients\":[70000]}", "422", "bad-body"),
        (json, "{\"clients\":[1],\"heal-after\":\"5m\"}", "422", "bad-body"),
        (json, "{\"clients\":[1],\"link\":\"Sideways\"}", "422", "bad-body"),
        ("Content-Type: text/plain\r\n", "{\"clients\":[1]}", "415", "not-json"),
        ("", "{\"clients\":[1]}", "415", "not-json"),
    ] {
        let answer = raw(&gateway, &request("PUT /api/v1/partition", headers, body)).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{body:?}: {answer}");
        assert!(
            answer.contains(&format!("urn:synccluster:problem:{kind}\"")),
            "{body:?}: {answer}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_a_problem_whoever_sends_it() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let large = json!({ "token": "x".repeat(10 * 1024 * 1024) });
    gateway
        .post("/api/v1/session", &large)
        .await?
        .problem(413, "too-large")?;
    let bearer = format!("Bearer {EDITOR}");
    let put = gateway
        .send(
            Method::PUT,
            "/api/v1/partition",
            &[(AUTHORIZATION, &bearer)],
            Some(&large),
        )
        .await?;
    put.problem(413, "too-large")?;

    // Without a length in front it is noticed on the way.
    let piece = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
    let head = format!(
        "PUT /api/v1/partition HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer {EDITOR}\r\n\r\n"
    );
    let too_large = async |head: &str, pieces: usize| {
        // All of it is sent before the answer is read, which therefore must not be taken away by a reset.
        let answer = raw(
            &gateway,
            (head.to_owned() + &piece.repeat(pieces) + "0\r\n\r\n").as_bytes(),
        )
        .await?;
        ensure!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        ensure!(answer.contains("urn:synccluster:problem:too-large"), "{answer}");
        ensure!(answer.to_lowercase().contains("connection: close"), "{answer}");
        Ok(())
    };
    too_large(&head, 17).await?;
    too_large(&head, 400).await?;
    too_large(&head.replace("Connection: close", "Connection: keep-alive"), 400).await?;
    // Nor is any other answer to who sends more than is read.
    let stranger = head.replace(EDITOR, "somebody");
    let answer = raw(&gateway, (stranger + &piece.repeat(400) + "0\r\n\r\n").as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    // Who asks first is told before he sends.
    let mut stream = TcpStream::connect(gateway.address).await?;
    let head =
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"HTTP/1.1 413");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_http_breaks_nothing() -> Result<()> {
    let gateway = guarded(Access::open("demo".parse()?)).await?;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    for bytes in [
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &long,
        &many,
    ] {
        // Whatever is answered, the connection ends. It may end before all was sent.
        let _ = raw(&gateway, bytes.as_bytes()).await;
    }
    gateway.read("/api/v1/me").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_the_limit_is_told_so_and_the_others_go_on() -> Result<()> {
    let mut app = App::new("demo".parse()?, Sites::new([].into()), "localhost:1".to_owned());
    app.connections = Shares::new("connections", 2, 3);
    let gateway = Gateway::serve(app).await?;
    let taken = async |wanted: usize| {
        eventually(PATIENCE, async || {
            let taken = gateway.app.connections.taken();
            ensure!(taken == wanted, "{taken} connections");
            Ok(())
        })
        .await
    };
    let first = TcpStream::connect(gateway.address).await?;
    let mut second = TcpStream::connect(gateway.address).await?;
    taken(2).await?;
    let ask = b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let refused = raw(&gateway, ask).await?;
    let head = refused.to_ascii_lowercase();
    ensure!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    ensure!(head.contains("content-type: application/problem+json"), "{refused}");
    ensure!(refused.contains("urn:synccluster:problem:limit-reached"), "{refused}");
    second.write_all(ask).await?;
    let mut answer = [0; 12];
    timeout(PATIENCE, second.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop((first, second));
    taken(0).await?;
    gateway.read("/api/v1/me").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_closed_and_keep_nobody_waiting() -> Result<()> {
    const SILENT: usize = 10_000;
    allow_many_connections();
    let world = World::start(1, "create table t (id int primary key, name text)").await?;
    world
        .run(
            Site::Server,
            "insert into t select i, 'row ' || i from generate_series(1, 200) i",
        )
        .await?;
    let secret = Secret::new()?;
    let mut app = App::new(world.cluster.clone(), sites(&world)?, "localhost:1".to_owned());
    app.access = secret.access()?;
    let gateway = Gateway::serve(app).await?;
    let come = || {
        Command::new(env!("CARGO_BIN_EXE_silent"))
            .args([gateway.address.to_string(), SILENT.to_string()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    let (mut silent, mut since) = (come()?, Instant::now());
    eventually(PATIENCE, async || {
        let taken = gateway.app.connections.taken();
        if taken < SILENT && since.elapsed() > Duration::from_secs(12) {
            // The first of them are closed already.
            (silent, since) = (come()?, Instant::now());
        }
        ensure!(taken >= SILENT, "{taken} connections");
        Ok(())
    })
    .await?;
    let (mut slowest, witness) = (Duration::ZERO, Witness::of_processor());
    for _ in 0..50 {
        let (began, late) = (Instant::now(), witness.late());
        let rows = with(
            &gateway,
            Method::GET,
            "/api/v1/sites/server/tables/public.t/rows?limit=100",
            EDITOR,
        )
        .await?;
        assert_eq!(rows.ok()?["rows"].as_array().map(Vec::len), Some(100));
        // But for the time in which nobody got anything done.
        slowest = slowest.max(began.elapsed().saturating_sub(witness.late().saturating_sub(late)));
    }
    assert!(
        slowest < Duration::from_secs(2),
        "a request took {slowest:?} beside {SILENT} silent connections"
    );
    eventually(PATIENCE, async || {
        let taken = gateway.app.connections.taken();
        ensure!(taken < 10, "{taken} connections are still open");
        Ok(())
    })
    .await?;
    drop(silent.stdin.take());
    ensure!(silent.wait().await?.success(), "a silent client could not connect");
    Ok(())
}
