//! What is refused, and with which words.

use anyhow::Result;
use hyper::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use synccluster_gateway::counters::Counters;
use synccluster_integration::counter::Nodes;

use crate::place::{Client, EDITOR, NODE, Place, VIEWER, ask, serve};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_like_is_refused_by_the_node_in_its_words() -> Result<()> {
    let (place, nodes) = (Place::new()?, Nodes::start(NODE, 1, &[]).await?);
    let gateway = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    for (body, status, kind) in [
        (json!({"id": "", "by": "a"}), 422, "bad-like"),
        (json!({"id": "x".repeat(257), "by": "a"}), 422, "bad-like"),
        (json!({"id": "a", "by": "a", "n": 0}), 422, "bad-like"),
        (json!({"id": "a", "by": "a", "n": 1001}), 422, "bad-like"),
        (json!(vec![json!({"id": "a", "by": "a"}); 501]), 413, "too-large"),
        (json!({"id": "x".repeat(1 << 20), "by": "a"}), 413, "too-large"),
    ] {
        let answer = ask(&gateway, EDITOR, Method::POST, "/api/v1/likes", Some(&body)).await?;
        answer.problem(status, kind)?;
    }
    let bearer = format!("Bearer {EDITOR}");
    let headers = [
        (hyper::header::AUTHORIZATION, bearer.as_str()),
        (CONTENT_TYPE, "text/plain"),
    ];
    let answer = gateway.send(Method::POST, "/api/v1/likes", &headers, None).await?;
    answer.problem(415, "not-json")?;
    let get = async |path: &str| ask(&gateway, VIEWER, Method::GET, path, None).await;
    get("/api/v1/totals?limit=0").await?.problem(400, "bad-parameter")?;
    get("/api/v1/aggregations/2m?ids=a")
        .await?
        .problem(404, "unknown-window")?;
    get("/api/v1/aggregations/1m").await?.problem(400, "bad-parameter")?;
    get("/api/v1/aggregations/1m?ids=a&windows=61")
        .await?
        .problem(400, "bad-parameter")?;
    get("/api/v1/aggregations/1m?ids=a%0a").await?.problem(422, "bad-id")?;
    get("/api/v1/aggregations").await?.problem(400, "bad-parameter")?;
    assert!(nodes.totals(0).await?.is_empty(), "nothing was counted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_cannot_like() -> Result<()> {
    let (place, nodes) = (Place::new()?, Nodes::start(NODE, 1, &[]).await?);
    let gateway = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    let like = json!({"id": "tea", "by": "ann"});
    for path in ["/api/v1/likes", "/api/v1/unlikes"] {
        let answer = ask(&gateway, VIEWER, Method::POST, path, Some(&like)).await?;
        answer.problem(403, "read-only")?;
        gateway.post(path, &like).await?.problem(401, "no-token")?;
    }
    assert!(nodes.totals(0).await?.is_empty(), "nothing was counted");
    for transports in ["polling", "websocket"] {
        Client::run(&gateway, "access", transports)?.done().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_counter_nodes_everything_says_what_to_do() -> Result<()> {
    let place = Place::new()?;
    let gateway = place.gateway("127.0.0.1:1", None).await?;
    for path in [
        "/api/v1/totals",
        "/api/v1/counters",
        "/api/v1/counters/0/totals",
        "/api/v1/aggregations/1m?ids=a",
        "/api/v1/aggregations?ids=a",
    ] {
        let problem = ask(&gateway, VIEWER, Method::GET, path, None)
            .await?
            .problem(404, "counters-off")?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("spec.counter.nodes"), "{path}: {detail}");
    }
    let like: Value = json!({"id": "tea", "by": "ann"});
    let answer = ask(&gateway, EDITOR, Method::POST, "/api/v1/likes", Some(&like)).await?;
    answer.problem(404, "counters-off")?;
    Client::run(&gateway, "off", "polling,websocket")?.done().await
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_are_not_counted_are_unknown_and_count_nothing() -> Result<()> {
    let place = Place::new()?;
    let mut app = place.app("127.0.0.1:1")?;
    let counters = Counters::new(&app.cluster, "127.0.0.1:1".parse()?, None);
    app.counters = Some(counters.with_windows(Some("60s,90s".parse().map_err(anyhow::Error::msg)?)));
    let gateway = serve(app).await?;
    let get = async |path: &str| ask(&gateway, VIEWER, Method::GET, path, None).await;
    for window in ["5m", "10m", "90s"] {
        let problem = get(&format!("/api/v1/aggregations/{window}?ids=a"))
            .await?
            .problem(404, "unknown-window")?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.ends_with("spec.counter.windows has 1m"), "{detail}");
    }
    let one = get("/api/v1/aggregations/1m?ids=a").await?.ok()?;
    assert_eq!(
        (&one["complete"], &one["ids"][0]["windows"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(get("/api/v1/counters").await?.ok()?["windows"], json!(["1m"]));
    Client::run(&gateway, "narrow", "polling,websocket")?.done().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_what_is_not_there_is_told_so() -> Result<()> {
    let (place, nodes) = (Place::new()?, Nodes::start(NODE, 1, &[]).await?);
    let gateway = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    for transports in ["polling", "websocket", "polling,websocket"] {
        Client::run(&gateway, "wrong", transports)?.done().await?;
    }
    Ok(())
}
