//! A write is told at every hop, and a key has one text wherever it is met.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use synccluster_integration::{World, gateway::Gateway};
use synccluster_protocol::Site;

use crate::{
    ONE, PATIENCE, SERVER, TODOS, TWO, all_followed, change,
    events::{Event, Events},
    eventually, gateway,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_told_hop_by_hop_in_order() -> Result<()> {
    let world = World::start(2, TODOS).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let mut events = Events::open(&gateway, "", None).await?;
    world
        .run(ONE, "insert into todos (id, title) values (1025, 'milk')")
        .await?;
    let hop = |name: &'static str, site: Site| {
        move |event: &Event| event.kind == "hop" && event.data["hop"] == name && event.data["site"] == json!(site)
    };
    let mut told = Vec::new();
    // Each site is followed by a connection of its own, and topics by another: which of them tells first is nobody's promise.
    for site in [ONE, SERVER, TWO] {
        told = events.with(told, change(site, "milk")).await?;
    }
    for name in ["captured", "in_kafka"] {
        told = events.with(told, hop(name, ONE)).await?;
    }

    let place = |wanted: &dyn Fn(&Event) -> bool| told.iter().position(wanted).with_context(|| format!("{told:#?}"));
    let order = [
        place(&change(ONE, "milk"))?,
        place(&hop("captured", ONE))?,
        place(&hop("in_kafka", ONE))?,
        place(&change(SERVER, "milk"))?,
        place(&change(TWO, "milk"))?,
    ];
    assert!(order[1] < order[2], "{told:#?}");
    let made = &told[order[0]].data;
    assert_eq!(
        (&made["op"], &made["applied"], &made["key_path"]),
        (&json!("c"), &json!(false), &json!("1025"))
    );
    assert_eq!(
        made["row"]["values"],
        json!({"id": "1025", "title": "milk", "done": false})
    );
    assert_eq!(made["row"]["written_at_site"], "client-1");
    for applied in &order[3..] {
        assert_eq!(told[*applied].data["applied"], true);
        assert_eq!(told[*applied].data["version"], made["version"]);
    }
    let times: Vec<&str> = order
        .iter()
        .filter_map(|place| told[*place].data["at"].as_str())
        .collect();
    // Captured and in Kafka are known to the millisecond only.
    let coarse: Vec<&str> = times.iter().map(|at| &at[..23]).collect();
    assert!(coarse.is_sorted(), "{times:?}");

    let way = gateway.read("/api/v1/tables/public.todos/rows/1025/way").await?;
    assert_eq!(
        (&way["settled"], &way["version"], &way["key"]),
        (&json!(true), &made["version"], &json!("1025"))
    );
    let hops: Vec<_> = way["hops"]
        .as_array()
        .context("hops")?
        .iter()
        .map(|hop| (&hop["hop"], &hop["site"], hop["at"].as_str()))
        .collect();
    let names = ["local", "captured", "in_kafka", "applied", "applied"];
    let sites = ["client-1", "client-1", "client-1", "server", "client-2"];
    for (place, hop) in hops.iter().enumerate() {
        assert_eq!((hop.0, hop.1), (&json!(names[place]), &json!(sites[place])));
        assert_eq!(hop.2, Some(times[place]), "{way}");
    }

    // An update, a delete and a delete of a key that has no plain text: the row, its tombstone.
    world.run(TWO, "update todos set done = true where id = 1025").await?;
    let updated = events.until(change(TWO, "milk")).await?.pop().context("an update")?;
    assert_eq!(
        (&updated.data["op"], &updated.data["parent"]),
        (&json!("u"), &made["version"])
    );
    world.wait_for(ONE, "select done from todos", &["t"]).await?;
    world.run(ONE, "delete from todos").await?;
    let deleted = |site: Site| {
        move |event: &Event| event.kind == "change" && event.data["site"] == json!(site) && event.data["op"] == "d"
    };
    let told = events.until(deleted(TWO)).await?;
    let told = events.with(told, deleted(ONE)).await?;
    let first = told
        .iter()
        .find(|event| deleted(ONE)(event))
        .context("the delete at its site")?;
    assert_eq!(
        (&first.data["key_path"], &first.data["row"], &first.data["parent"]),
        (&json!("1025"), &Value::Null, &updated.data["version"])
    );
    let way = gateway.read("/api/v1/tables/public.todos/rows/1025/way").await?;
    assert_eq!(
        (&way["settled"], &way["version"]),
        (&json!(true), &first.data["version"])
    );
    Ok(())
}

async fn every_hop_has_its_time(gateway: &Gateway, way: &str) -> Result<()> {
    eventually(PATIENCE, async || {
        let way = gateway.read(way).await?;
        let hops = way["hops"].as_array().context("hops")?;
        let timed = |hop: &Value| hop["state"] == "done" && hop["at"].is_string();
        ensure!(hops.iter().all(timed), "{way:#}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_after_a_write_knows_its_times() -> Result<()> {
    let world = World::start(1, TODOS).await?;
    world.converged().await?;
    world
        .run(ONE, "insert into todos (id, title) values (1, 'milk')")
        .await?;
    world.wait_for(SERVER, "select title from todos", &["milk"]).await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let mut events = Events::open(&gateway, "", None).await?;
    every_hop_has_its_time(&gateway, "/api/v1/tables/public.todos/rows/1/way").await?;
    // What was before is no news.
    world
        .run(ONE, "insert into todos (id, title) values (2, 'tea')")
        .await?;
    let told = events.until(change(SERVER, "tea")).await?;
    assert!(!told.iter().any(|event| event.data["key_path"] == "1"), "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_row_of_a_table_made_a_moment_ago_has_its_times() -> Result<()> {
    let world = World::start(1, TODOS).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    for (table, title) in [("early", "a"), ("later", "b")] {
        // The gateway has just looked: what it read of every site lacks the table.
        gateway.read("/api/v1/tables").await?;
        let make = format!("create table {table} (id bigint primary key, title text)");
        let enrol = format!("select sync.enroll('{table}')");
        for site in [SERVER, ONE] {
            world.run(site, &make).await?;
            world.at(site).postgres.superuser().await?.batch_execute(&enrol).await?;
        }
        world
            .run(ONE, &format!("insert into {table} values (1, '{title}')"))
            .await?;
        every_hop_has_its_time(&gateway, &format!("/api/v1/tables/public.{table}/rows/1/way")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_have_one_text_wherever_they_are_met() -> Result<()> {
    let schema = "create type mood as enum ('sad', 'so so');
        create table odd (at timestamptz, day date, yes boolean, mood mood, share numeric, name text, note text,
          primary key (name, at, day, yes, mood, share))";
    let world = World::start(1, schema).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let mut events = Events::open(&gateway, "", None).await?;
    world
        .run(
            ONE,
            "insert into odd values ('2024-02-29 12:00:00.25+01', '0044-03-15 BC', true, 'so so', 1.50, 'a,b/ü', 'x')",
        )
        .await?;
    let path = "a%2Cb%2F%C3%BC,2024-02-29%2011%3A00%3A00.25%2B00,0044-03-15%20BC,true,so%20so,1.50";
    let of_row = |op: &'static str, site: Site| {
        move |event: &Event| {
            event.data["key_path"] == path && event.data["op"] == op && event.data["site"] == json!(site)
        }
    };
    let mut told = events.until(of_row("c", SERVER)).await?;
    told = events.with(told, of_row("c", ONE)).await?;
    let is_hop =
        |event: &&Event| event.kind == "hop" && event.data["key_path"] == path && event.data["site"] == "client-1";
    while told.iter().filter(is_hop).count() < 2 {
        told.push(events.next().await?);
    }
    assert_eq!(told.iter().filter(is_hop).count(), 2);
    let encoded = path.replace('%', "%25").replace(',', "%2C");
    let times = |way: &Value| {
        way["hops"]
            .as_array()
            .map(|hops| hops.iter().filter(|hop| hop["at"].is_string()).count())
    };
    // Topics are read by another connection than sites are.
    let way = async || {
        eventually(PATIENCE, async || {
            let way = gateway
                .read(&format!("/api/v1/tables/public.odd/rows/{encoded}/way"))
                .await?;
            ensure!(way["settled"] == true && times(&way) == Some(4), "{way}");
            Ok(way)
        })
        .await
    };
    let inserted = way().await?;

    world.run(SERVER, "delete from odd").await?;
    let told = events.until(of_row("d", ONE)).await?;
    events.with(told, of_row("d", SERVER)).await?;
    let deleted = way().await?;
    assert_ne!(deleted["version"], inserted["version"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_whole_though_the_stream_leaves_columns_out() -> Result<()> {
    let schema = "create type mood as enum ('sad', 'so so');
        create table made (id bigint primary key, title varchar(9), mood mood, price numeric(6, 2), tags text[], doc jsonb, code char(4),
          size int generated always as (length(title)) stored, glad bool generated always as (mood <> 'sad') stored,
          gross numeric(8, 2) generated always as (price * 1.19) stored, first text generated always as (tags[1] || (doc ->> 'a')) stored,
          padded char(4) generated always as (code) stored)";
    let world = World::start(1, schema).await?;
    world.converged().await?;
    let gateway = gateway(&world).await?;
    all_followed(&world, &[&gateway]).await?;
    let mut events = Events::open(&gateway, "", None).await?;
    world
        .run(
            ONE,
            r#"insert into made values (1, 'milk', 'so so', 10, '{"a,b",c}', '{"a": "!"}', 'x'), (2, null, null, null, null, null, null)"#,
        )
        .await?;
    // Of (2, null, …) nothing can be computed; of the other row it is computed of the row as it was written.
    let inserted = [("c", "1", json!("11.90")), ("c", "2", Value::Null)];
    told_whole(&mut events, &gateway, &inserted).await?;
    world.run(ONE, "update made set price = 1.5 where id = 1").await?;
    told_whole(&mut events, &gateway, &[("u", "1", json!("1.79"))]).await
}

/// Waits until each of these is told of both sites, with this `gross`, and with all columns that a reader finds.
async fn told_whole(events: &mut Events, gateway: &Gateway, writes: &[(&str, &str, Value)]) -> Result<()> {
    let mut left: Vec<_> = [ONE, SERVER]
        .iter()
        .flat_map(|site| writes.iter().map(move |write| (*site, write)))
        .collect();
    while !left.is_empty() {
        let told = events.next().await?;
        let of = |(site, (op, key, _)): &(Site, &(&str, &str, Value))| {
            told.data["site"] == json!(site) && told.data["op"] == *op && told.data["key_path"] == *key
        };
        let Some(place) = left.iter().position(of).filter(|_| told.kind == "change") else {
            continue;
        };
        let (site, (_, key, gross)) = left.remove(place);
        let values = &told.data["row"]["values"];
        ensure!(values["gross"] == *gross, "{told:?}");
        let row = gateway
            .read(&format!("/api/v1/sites/{site}/tables/public.made/rows/{key}"))
            .await?;
        ensure!(*values == row["values"], "{told:?} instead of {row}");
    }
    Ok(())
}
