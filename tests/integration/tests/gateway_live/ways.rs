//! How far a write has come, of a site that is cut off too.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use synccluster_integration::World;

use crate::{TODOS, TWO, all_followed, change, events::Events, gateway};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_that_is_cut_off_writes_is_told_at_once() -> Result<()> {
    let mut world = World::start(2, TODOS).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    world.pause(TWO).await;
    let mut events = Events::open(&gateway, "?sites=client-2&tables=public.todos", None).await?;
    world
        .run(TWO, "insert into todos (id, title) values (1026, 'alone')")
        .await?;
    let told = events.until(change(TWO, "alone")).await?;
    assert_eq!(told.last().map(|event| &event.data["applied"]), Some(&json!(false)));
    let states = |way: &Value| {
        let hops = way["hops"].as_array().into_iter().flatten();
        hops.map(|hop| hop["state"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let path = "/api/v1/tables/public.todos/ways";
    let asked = json!({"keys": ["1026", "77"]});
    let ways = gateway.post(path, &asked).await?.ok()?;
    assert_eq!(
        ways["ways"].as_array().map(Vec::len),
        Some(1),
        "nobody has a row 77: {ways}"
    );
    let way = &ways["ways"][0];
    assert_eq!((&way["key"], &way["settled"]), (&json!("1026"), &json!(false)));
    assert_eq!(states(way), ["done", "pending", "pending", "pending", "pending"]);

    world.resume(TWO)?;
    events.until(|event| event.data["hop"] == "in_kafka").await?;
    world.converged().await?;
    let way = gateway.read("/api/v1/tables/public.todos/rows/1026/way").await?;
    assert_eq!(states(&way), ["done"; 5]);

    // A write that is not the newest any more, and questions that cannot be answered.
    world
        .run(TWO, "update todos set title = 'again' where id = 1026")
        .await?;
    world.converged().await?;
    let version = way["version"].as_str().context("a version")?;
    let old = gateway
        .read(&format!("/api/v1/tables/public.todos/rows/1026/way?version={version}"))
        .await?;
    assert_eq!(
        (&old["version"], states(&old)),
        (&way["version"], vec!["done".to_owned(); 5])
    );
    let many: Vec<String> = (0..501).map(|key| key.to_string()).collect();
    gateway
        .post(path, &json!({"keys": many}))
        .await?
        .problem(400, "too-many-keys")?;
    gateway
        .post(path, &json!({"keys": ["x"]}))
        .await?
        .problem(422, "invalid-value")?;
    gateway
        .post(path, &json!({"keys": ["1,2"]}))
        .await?
        .problem(400, "bad-key")?;
    gateway
        .get("/api/v1/tables/public.none/rows/1/way")
        .await?
        .problem(404, "unknown-table")?;
    gateway
        .get("/api/v1/tables/public.todos/rows/77/way")
        .await?
        .problem(404, "unknown-row")?;
    gateway
        .get("/api/v1/tables/public.todos/rows/1026/way?version=x")
        .await?
        .problem(400, "bad-parameter")?;
    gateway
        .get("/events?sites=client-9")
        .await?
        .problem(404, "unknown-site")?;
    Ok(())
}
