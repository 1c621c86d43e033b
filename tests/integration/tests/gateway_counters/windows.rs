//! Likes through REST, seen in the windows by clients that know nothing but the events' names.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use synccluster_gateway::{
    app::App,
    counters::{Counters, aggregation::Aggregation, window::Window},
    sites::Sites,
};
use synccluster_harness::{Kafka, eventually};
use synccluster_integration::{
    counter::{Nodes, PATIENCE},
    gateway::Gateway,
};
use synccluster_runtime::clock::now_millis;
use tokio::time::{Instant, sleep};

use crate::place::{Client, EDITOR, NODE, Place, VIEWER, ask, serve, start};

const ALL: [i64; 3] = [1, 5, 10];

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Result<Value> {
    ask(gateway, EDITOR, Method::POST, path, Some(body)).await?.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn likes_are_seen_exactly_by_clients_of_every_replica_and_of_one_that_starts_later() -> Result<()> {
    let (place, kafka) = (Place::new()?, Kafka::start().await?);
    let bootstrap = kafka.bootstrap();
    // The nodes make the topics: they are not there when the first replica and its clients are.
    let mut app = place.app(&bootstrap)?;
    app.counters = Some(Counters::new(&app.cluster, "127.0.0.1:1".parse()?, None));
    let early = serve(app).await?;
    let mut clients = vec![
        Client::run(&early, "original", "polling")?,
        Client::run(&early, "original", "websocket")?,
    ];
    let nodes = Nodes::start(NODE, 3, &["--bootstrap-servers", &bootstrap, "--commit-every", "50ms"]).await?;
    // Once there are topics, and they have been read, nothing is known to be counted.
    for client in &clients {
        for minutes in ALL {
            client.listens(minutes, "coffee").await?;
        }
        client.counts(&ALL, "tea", 0).await?;
    }
    let gateway = place.gateway(&bootstrap, Some(&nodes)).await?;
    clients.push(Client::run(&gateway, "original", "polling,websocket")?);
    clients[2].listens(10, "hot").await?;
    let (mut tea, mut coffee) = (0, 0);
    for round in 0..20 {
        let likes: Vec<_> = (0..25)
            .map(|n| json!({"id": if n % 5 == 0 { "coffee" } else { "tea" }, "by": "ann", "n": 2, "request": format!("ann/{}", round * 25 + n)}))
            .collect();
        post(&gateway, "/api/v1/likes", &json!(likes)).await?;
        // Once more, as a client does that heard no answer: counted once.
        post(&gateway, "/api/v1/likes", &json!(likes)).await?;
        post(&gateway, "/api/v1/unlikes", &json!({"id": "tea", "by": "bob"})).await?;
        post(&gateway, "/api/v1/likes", &json!({"id": "unheard", "by": "bob"})).await?;
        nodes.like(1 + round % 2, &json!({"id": "coffee", "by": "eve"})).await?;
        tea += 2 * 20 - 1;
        coffee += 2 * 5 + 1;
    }
    for client in &clients {
        client.counts(&ALL, "tea", tea).await?;
        client.counts(&ALL, "coffee", coffee).await?;
        assert!(client.states(1, "unheard").is_empty());
    }
    let late = place.gateway(&bootstrap, Some(&nodes)).await?;
    same_over_rest(&late, "tea", tea).await?;
    let client = Client::run(&late, "quick", "websocket")?;
    client.listens(10, "tea").await?;
    client.listens(10, "7").await?;
    let first = &client.states(10, "tea")[0][0];
    let known = ask(&late, VIEWER, Method::GET, "/api/v1/aggregations/10m?ids=tea", None)
        .await?
        .ok()?;
    let windows = known["ids"][0]["windows"].as_array().context("no windows")?;
    let same = windows
        .iter()
        .find(|window| window["window_start"] == first["window_start"]);
    let count = same.map_or(json!(0), |window| window["count"].clone());
    assert_eq!(
        first["count"], count,
        "{first} is told at first, and there are {windows:?}"
    );
    assert!(client.states(1, "tea").is_empty(), "not asked for");
    Ok(())
}

/// All windows that a gateway knows count so much together.
async fn same_over_rest(gateway: &Gateway, id: &str, expected: i64) -> Result<()> {
    for window in ["1m", "5m", "10m"] {
        eventually(PATIENCE, async || {
            let path = format!("/api/v1/aggregations/{window}?ids={id}");
            let known = ask(gateway, VIEWER, Method::GET, &path, None).await?.ok()?;
            let windows = known["ids"][0]["windows"].as_array().context("no windows")?;
            let number = |window: &Value, name: &str| window[name].as_i64().unwrap_or_default();
            let counted = |of: &Value| number(of, "count") + number(of, "late");
            ensure!(
                windows.iter().map(counted).sum::<i64>() == expected,
                "{window}: {known}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_id_is_told_ten_times_a_second_at_most_and_ends_exact() -> Result<()> {
    let place = Place::new()?;
    let mut app = place.app("127.0.0.1:1")?;
    app.counters = Some(Counters::new(&app.cluster, "127.0.0.1:1".parse()?, None));
    // Nobody reads topics here.
    let gateway = Gateway::serve(app).await?;
    let counters = gateway.app.counters.as_ref().context("counters are off")?;
    for window in Window::ALL {
        counters.begin(window, [].into());
    }
    let clients = [
        Client::run(&gateway, "original", "websocket")?,
        Client::run(&gateway, "original", "polling")?,
    ];
    for client in &clients {
        client.listens(10, "hot").await?;
    }
    let start = Window::One.start(now_millis());
    let (began, last) = (Instant::now(), 2000);
    for count in 1..=last {
        let hot = Aggregation {
            count,
            ..Aggregation::nothing(Window::One, "hot".into(), start)
        };
        counters.note(Window::One, hot);
        sleep(Duration::from_millis(1)).await;
    }
    for client in &clients {
        client.counts(&[1], "hot", last).await?;
        let states: Vec<_> = client.states(1, "hot").concat();
        let (told, tenths) = (states.len() as u128, began.elapsed().as_millis() / 100);
        ensure!(told <= tenths + 2, "told {told} times in {tenths} tenths of a second");
        ensure!(told >= 10, "told {told} times: it does not move");
        let counts: Vec<_> = states.iter().filter_map(|state| state["count"].as_i64()).collect();
        ensure!(counts.is_sorted(), "an older state came after a newer one: {counts:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_token_works_where_nobody_needs_one() -> Result<()> {
    let kafka = Kafka::start().await?;
    let bootstrap = kafka.bootstrap();
    let nodes = Nodes::start(NODE, 1, &["--bootstrap-servers", &bootstrap]).await?;
    let app = App::new("demo".parse()?, Sites::new([].into()), bootstrap);
    let gateway = start(app, Some(&nodes)).await?;
    let client = Client::run(&gateway, "anonymous", "polling,websocket")?;
    client.listens(1, "tea").await?;
    let answer = gateway
        .post("/api/v1/likes", &json!({"id": "tea", "by": "ann", "n": 7}))
        .await?;
    answer.ok()?;
    client.counts(&[1], "tea", 7).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_token_reads_where_anyone_may_and_likes_nothing() -> Result<()> {
    let kafka = Kafka::start().await?;
    let bootstrap = kafka.bootstrap();
    let nodes = Nodes::start(NODE, 1, &["--bootstrap-servers", &bootstrap]).await?;
    let place = Place::new()?;
    let mut app = place.app(&bootstrap)?;
    app.access = app.access.with_counts_for_anyone();
    let gateway = start(app, Some(&nodes)).await?;
    let mut clients = Vec::new();
    for transports in ["polling", "websocket", "polling,websocket"] {
        let client = Client::run(&gateway, "anonymous", transports)?;
        client.listens(1, "tea").await?;
        clients.push(client);
    }
    let like = json!({"id": "tea", "by": "ann", "n": 7});
    for path in ["/api/v1/likes", "/api/v1/unlikes"] {
        gateway.post(path, &like).await?.problem(401, "no-token")?;
    }
    post(&gateway, "/api/v1/likes", &like).await?;
    for client in &clients {
        client.counts(&[1], "tea", 7).await?;
    }
    eventually(PATIENCE, async || {
        let windows = gateway.read("/api/v1/aggregations/1m?ids=tea").await?;
        let counted = windows["ids"][0]["windows"].as_array().context("no windows")?;
        let counted: i64 = counted.iter().filter_map(|window| window["count"].as_i64()).sum();
        ensure!(counted == 7, "{windows}");
        Ok(())
    })
    .await?;
    for path in ["/api/v1/totals?ids=tea", "/api/v1/counters/0/totals?ids=tea"] {
        let totals = gateway.read(path).await?;
        ensure!(totals["totals"][0]["total"] == 7, "{path}: {totals}");
    }
    for path in ["/api/v1/counters", "/api/v1/sites", "/api/v1/me", "/events"] {
        gateway.get(path).await?.problem(401, "no-token").context(path)?;
    }
    let wrong = ask(&gateway, "wrong-token-0123456789", Method::GET, "/api/v1/totals", None).await?;
    wrong.problem(401, "wrong-token")?;
    Client::run(&gateway, "wrong_token", "polling,websocket")?.done().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_likes_count_and_the_windows_follow_when_it_is_back() -> Result<()> {
    let (place, mut kafka) = (Place::new()?, Kafka::start().await?);
    let bootstrap = kafka.bootstrap();
    let nodes = Nodes::start(NODE, 1, &["--bootstrap-servers", &bootstrap]).await?;
    let gateway = place.gateway(&bootstrap, Some(&nodes)).await?;
    let is_complete = async || {
        let path = "/api/v1/aggregations/10m?ids=coffee";
        Ok::<_, anyhow::Error>(ask(&gateway, VIEWER, Method::GET, path, None).await?.ok()?["complete"] == true)
    };
    let client = Client::run(&gateway, "original", "websocket")?;
    // Of a window that is over before it listens it is told nothing.
    client.listens(10, "hot").await?;
    let begun = Window::Ten.start(now_millis());
    let tea = json!({"id": "tea", "by": "ann", "n": 3});
    post(&gateway, "/api/v1/likes", &tea).await?;
    client.counts(&ALL, "tea", 3).await?;
    kafka.kill().await?;
    assert_eq!(post(&gateway, "/api/v1/likes", &tea).await?["total"], 6);
    eventually(PATIENCE, async || {
        ensure!(!is_complete().await?, "nobody has noticed that Kafka is away");
        Ok(())
    })
    .await?;
    assert_eq!(client.counted(1, "tea"), 3);
    // Who comes now is told what was known, and not that nothing is counted of what may be.
    let another = Client::run(&gateway, "original", "polling")?;
    eventually(PATIENCE, async || {
        let is_over = Window::Ten.start(now_millis()) > begun;
        ensure!(is_over || !another.states(10, "tea").is_empty(), "it is told nothing");
        Ok(())
    })
    .await?;
    assert!(another.states(10, "coffee").is_empty());
    kafka.restart().await?;
    another.listens(10, "coffee").await?;
    eventually(PATIENCE, async || {
        ensure!(is_complete().await?, "it is not read");
        Ok(())
    })
    .await?;
    client.counts(&ALL, "tea", 6).await?;
    // It knows no window that was over before it came; of the others it knows what the first one does.
    eventually(PATIENCE, async || {
        let last = |of: &Client| {
            of.states(10, "tea")
                .into_iter()
                .filter_map(|mut states| states.pop())
                .collect()
        };
        let (one, other): (Vec<Value>, Vec<Value>) = (last(&client), last(&another));
        ensure!(other.iter().all(|window| one.contains(window)), "{one:?}, {other:?}");
        Ok(())
    })
    .await
}
