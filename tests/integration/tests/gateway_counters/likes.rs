//! Likes and totals over REST.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use synccluster_harness::eventually;
use synccluster_integration::counter::{Nodes, PATIENCE};

use crate::place::{EDITOR, NODE, Place, VIEWER, ask, settled};

#[tokio::test(flavor = "multi_thread")]
async fn likes_are_passed_on_and_totals_are_those_of_the_nodes() -> Result<()> {
    let (place, nodes) = (Place::new()?, Nodes::start(NODE, 3, &[]).await?);
    let gateway = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    settled(&gateway, &nodes).await?;
    let like = json!({"id": "tea", "by": "ann", "n": 3, "request": "ann/1"});
    let post = async |path: &str, body: &Value| ask(&gateway, EDITOR, Method::POST, path, Some(body)).await;
    let answer = post("/api/v1/likes", &like).await?.ok()?;
    assert_eq!((&answer["id"], &answer["total"]), (&json!("tea"), &json!(3)));
    let home = &answer["node"];
    let again = post("/api/v1/likes", &like).await?.ok()?;
    assert_eq!(
        (&again["total"], &again["duplicate"], &again["node"]),
        (&json!(3), &json!(true), home)
    );
    let answers = post(
        "/api/v1/unlikes",
        &json!([{"id": "tea", "by": "ann"}, {"id": "a b&c", "by": "ann"}]),
    )
    .await?
    .ok()?;
    assert_eq!(answers.as_array().context("no array")?.len(), 2);
    // Without a request they go to any node.
    let any = &answers[0]["node"];
    nodes.like(2, &json!({"id": "tea", "by": "bob", "n": 10})).await?;
    let mut tea = BTreeMap::<String, i64>::new();
    for (node, n) in [(home, 3), (any, -1), (&json!(2), 10)] {
        *tea.entry(node.to_string()).or_default() += n;
    }
    eventually(PATIENCE, async || {
        let totals = ask(
            &gateway,
            VIEWER,
            Method::GET,
            "/api/v1/totals?ids=tea,a%20b%26c,none",
            None,
        )
        .await?
        .ok()?;
        let expected = json!({"totals": [
            {"id": "tea", "total": 12, "nodes": tea},
            {"id": "a b&c", "total": -1, "nodes": {any.to_string(): -1}},
            {"id": "none", "total": 0, "nodes": {}},
        ]});
        ensure!(totals == expected, "{totals}");
        Ok(())
    })
    .await?;
    let page = ask(
        &gateway,
        VIEWER,
        Method::GET,
        "/api/v1/totals?limit=1&after=a%20b%26c",
        None,
    )
    .await?
    .ok()?;
    assert_eq!(page["totals"][0]["id"], "tea");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_listed_and_each_can_be_asked_for_what_it_knows() -> Result<()> {
    let (place, mut nodes) = (Place::new()?, Nodes::start(NODE, 3, &[]).await?);
    let gateway = place.gateway("127.0.0.1:1", Some(&nodes)).await?;
    let get = async |path: &str| ask(&gateway, VIEWER, Method::GET, path, None).await;
    let alive = async |expected: [bool; 3]| {
        eventually(PATIENCE, async || {
            let document = get("/api/v1/counters").await?.ok()?;
            let listed = document["nodes"].as_array().context("no nodes")?;
            let alive: Vec<_> = listed.iter().map(|node| node["alive"] == true).collect();
            ensure!(alive == expected && document["leader"].is_u64(), "{document}");
            Ok(document)
        })
        .await
    };
    let document = alive([true; 3]).await?;
    assert_eq!(
        (&document["unreachable"], &document["measured"]),
        (&Value::Null, &json!([]))
    );
    nodes.cut(2, synccluster_harness::Link::Blocked).await?;
    alive([true, true, false]).await?;
    nodes.like(2, &json!({"id": "tea", "by": "bob", "n": 10})).await?;
    nodes.like(0, &json!({"id": "tea", "by": "ann"})).await?;
    for (node, total) in [(0, 1), (1, 1), (2, 10)] {
        eventually(PATIENCE, async || {
            let totals = get(&format!("/api/v1/counters/{node}/totals?ids=tea")).await?.ok()?;
            ensure!(totals["totals"][0]["total"] == total, "node {node}: {totals}");
            Ok(())
        })
        .await?;
    }
    get("/api/v1/counters/7/totals").await?.problem(404, "unknown-node")?;
    get("/api/v1/counters/x/totals").await?.problem(400, "bad-path")?;
    nodes.kill(2).await?;
    get("/api/v1/counters/2/totals")
        .await?
        .problem(503, "counter-unreachable")?;
    for node in [0, 1] {
        nodes.kill(node).await?;
    }
    let document = get("/api/v1/counters").await?.ok()?;
    assert!(
        document["unreachable"].is_string() && document["nodes"] == json!([]),
        "{document}"
    );
    get("/api/v1/totals").await?.problem(503, "counter-unreachable")?;
    Ok(())
}
