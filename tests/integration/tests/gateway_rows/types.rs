//! Every type, and names that need quotes.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use synccluster_gateway::rows::key::component;
use synccluster_harness::{Role, eventually};

use crate::{SERVER, apart, delete, patch, query, rows_at};

const TABLE: &str = "My Schema.Every \"Thing\"";
const SCHEMA: &str = r#"
create schema "My Schema";
create type mood as enum ('sad', 'ok', 'happy');
create domain price as numeric(10, 2) check (value >= 0);
create domain short as varchar(3);
create domain shorter as short check (value <> 'no');
create table "My Schema"."Every ""Thing""" (
  "Shop" text, "No" int, primary key ("Shop", "No"),
  big bigint, small smallint, num numeric, dbl double precision, rl real, flag boolean, vc varchar(3), ch char(4), body bytea,
  j json, jb jsonb, ints int[], texts text[], "Day" date, clock time, ts timestamp, tstz timestamptz, span interval, uid uuid, ip inet,
  mood mood, moods mood[], price price, short shorter, rng int4range, pt point, v text, t text, i text, "order" int,
  "quo""te" text, gen int generated always as ("No" * 2) stored)"#;

/// Written like this, read like this; then how a filter asks for it, if it can be compared.
fn values() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("big", json!("9223372036854775807"), "= 9223372036854775807"),
        ("small", json!(-32768), "= -32768"),
        ("num", json!("NaN"), "= 'NaN'"),
        ("dbl", json!("-Infinity"), "= '-Infinity'"),
        ("rl", json!(0.1), "< 0.11"),
        ("flag", json!(true), "= true"),
        ("vc", json!("äöü"), "like 'ä%'"),
        ("ch", json!("ab  "), "= 'ab'"),
        ("body", json!("\\x00ff"), "= '\\x00ff'"),
        ("j", json!("{\"a\":  [1, 2]}"), "is not null"),
        ("jb", json!("{\"a\": 1.10, \"b\": null}"), "= '{\"b\":null,\"a\":1.10}'"),
        ("ints", json!("{1,NULL,3}"), "= '{1,NULL,3}'"),
        ("texts", json!("{\"a,b\",\"c\\\"d\",NULL,\"NULL\"}"), "is not null"),
        ("Day", json!("0044-03-15 BC"), "< '2000-01-01'"),
        ("clock", json!("23:59:59.5"), "> '23:59'"),
        ("ts", json!("infinity"), "= 'infinity'"),
        (
            "tstz",
            json!("2024-02-29 12:00:00.25+00"),
            "= '2024-02-29T13:00:00.25+01:00'",
        ),
        ("span", json!("P1Y2M3DT4H"), "> '1 year'"),
        (
            "uid",
            json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            "in ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')",
        ),
        ("ip", json!("10.0.0.1"), "= '10.0.0.1'"),
        ("mood", json!("happy"), "> 'sad'"),
        ("moods", json!("{sad,happy}"), "is not null"),
        ("price", json!("9.90"), "= 9.9"),
        ("short", json!("yes"), "!= 'longer than it may be'"),
        ("rng", json!("[1,10)"), "= '[1,9]'"),
        ("pt", json!("(1,2)"), "is not null"),
        ("v", json!("a column called v"), "ilike '%CALLED%'"),
        ("t", json!(""), "= ''"),
        (
            "i",
            json!("it's \"quoted\" \\ and / slashed, 🎉"),
            "= 'it''s \"quoted\" \\ and / slashed, 🎉'",
        ),
        ("order", json!(1), ">= 1"),
        ("quo\"te", json!("x"), "<> 'y'"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_shown_as_it_is_written_and_can_be_asked_for() -> Result<()> {
    let (world, gateway) = apart(0, SCHEMA).await?;
    let rows = rows_at(SERVER, TABLE);
    let shop = "a,b/c ü%2C";
    let mut written: serde_json::Map<String, Value> = values()
        .into_iter()
        .map(|(name, value, _)| (name.to_owned(), value))
        .collect();
    written.insert("Shop".into(), json!(shop));
    written.insert("No".into(), json!(21));
    let made = gateway.post(&rows, &json!({ "values": written })).await?;
    let row = made.ok()?;
    assert_eq!(made.status, 201);

    let mut expected = written.clone();
    expected.insert("gen".into(), json!(42));
    assert_eq!(row["values"].as_object().context("values")?.len(), expected.len());
    for (name, value) in &expected {
        assert_eq!(&row["values"][name], value, "{name}");
    }
    assert_eq!(row["key"], json!({"Shop": shop, "No": 21}));
    assert_eq!(row["key_path"], "a%2Cb%2Fc%20%C3%BC%252C,21");
    assert_eq!(row["written_at_site"], "server");

    let here = made.header("location").context("no Location")?.to_owned();
    let again = gateway.get(&here).await?;
    assert_eq!(again.ok()?, row);
    assert_eq!(
        again.header("etag"),
        Some(format!("\"{}\"", row["version"].as_str().unwrap_or_default()).as_str())
    );

    for (name, _, test) in values() {
        let filter = format!("\"{}\" {test}", name.replace('"', "\"\""));
        let page = gateway.read(&format!("{rows}{}", query(&[("filter", &filter)]))).await;
        let page = page.with_context(|| filter.clone())?;
        assert_eq!(page["rows"].as_array().map(Vec::len), Some(1), "{filter}");
    }

    // Null is null for every type, and JSON may be written as JSON.
    let nulls: serde_json::Map<String, Value> = values()
        .into_iter()
        .map(|(name, ..)| (name.to_owned(), Value::Null))
        .collect();
    let emptied = patch(&gateway, &here, json!(nulls), None).await?.ok()?;
    assert!(
        values().iter().all(|(name, ..)| emptied["values"][name].is_null()),
        "{emptied}"
    );
    let documents = patch(&gateway, &here, json!({"j": {"a": [1]}, "jb": [1, "x"]}), None)
        .await?
        .ok()?;
    assert_eq!(
        (&documents["values"]["j"], &documents["values"]["jb"]),
        (&json!("{\"a\":[1]}"), &json!("[1, \"x\"]"))
    );

    // A number keeps every digit.
    let digits: Value = serde_json::from_str(r#"{"num": "0.12345678901234567890123"}"#)?;
    assert_eq!(
        patch(&gateway, &here, digits, None).await?.ok()?["values"]["num"],
        "0.12345678901234567890123"
    );

    assert_eq!(delete(&gateway, &here, None).await?.status, 204);
    assert_eq!(
        world
            .ask(SERVER, "select count(*) from \"My Schema\".\"Every \"\"Thing\"\"\"")
            .await?,
        ["0"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_of_its_type_is_refused_with_its_column() -> Result<()> {
    let (_world, gateway) = apart(0, SCHEMA).await?;
    let rows = rows_at(SERVER, TABLE);
    let make = async |name: &str, value: Value| {
        gateway
            .post(&rows, &json!({"values": {"Shop": "s", "No": 1, name: value}}))
            .await
    };
    for (name, value) in [
        ("big", json!("9223372036854775808")),
        ("small", json!(1.5)),
        ("vc", json!("four")),
        ("ch", json!("fifth")),
        ("short", json!("four")),
        ("flag", json!("maybe")),
        ("Day", json!("2024-02-30")),
        ("uid", json!("x")),
        ("mood", json!("angry")),
        ("jb", json!("{")),
        ("ints", json!([1, 2])),
        ("ints", json!("{1,x}")),
        ("body", json!("\\x0")),
    ] {
        let problem = make(name, value.clone())
            .await?
            .problem(422, "invalid-value")
            .with_context(|| format!("{name} {value}"))?;
        assert_eq!(problem["column"], name, "{problem}");
    }
    for (name, value, constraint) in [
        ("price", json!(-1), "price_check"),
        ("short", json!("no"), "shorter_check"),
    ] {
        let problem = make(name, value).await?.problem(409, "constraint")?;
        assert_eq!(problem["constraint"], constraint, "{problem}");
    }
    make("gen", json!(1)).await?.problem(422, "not-writable")?;
    make("sync_version", json!(1)).await?.problem(422, "not-writable")?;
    make("nope", json!(1)).await?.problem(422, "unknown-column")?;
    make("i", json!("\0")).await?.problem(422, "invalid-value")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_says_what_a_grid_needs_and_follows_migrations_at_once() -> Result<()> {
    let (world, gateway) = apart(0, SCHEMA).await?;
    let tables = gateway.read("/api/v1/tables").await?;
    let column = |name: &str| {
        tables[0]["columns"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|column| column["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        (&tables[0]["name"], &tables[0]["key"]),
        (&json!(TABLE), &json!(["Shop", "No"]))
    );
    assert_eq!(column("mood")["enum_values"], json!(["sad", "ok", "happy"]));
    assert_eq!(column("vc")["type"], "character varying(3)");
    assert_eq!(
        (&column("No")["in_key"], &column("No")["nullable"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(column("gen")["generated"], "(\"No\" * 2)");
    assert_eq!(
        (column("sync_version"), column("sync_parent")),
        (Value::Null, Value::Null)
    );

    // Not in the catalogue that was just read: a new column, then one that is gone, then a table.
    let rows = rows_at(SERVER, TABLE);
    let table = "\"My Schema\".\"Every \"\"Thing\"\"\"";
    world
        .run(
            SERVER,
            &format!("insert into {table} (\"Shop\", \"No\") values ('s', 1)"),
        )
        .await?;
    gateway.read(&rows).await?;
    world
        .run(SERVER, &format!("alter table {table} add later int default 7"))
        .await?;
    let page = gateway
        .read(&format!(
            "{rows}{}",
            query(&[("filter", "later = 7"), ("order", "later")])
        ))
        .await?;
    assert_eq!(page["rows"][0]["values"]["later"], 7);
    world
        .run(SERVER, &format!("alter table {table} drop later, drop big"))
        .await?;
    assert!(gateway.read(&rows).await?["rows"][0]["values"].get("big").is_none());
    let written = patch(&gateway, &format!("{rows}/s,1"), json!({"v": "w"}), None).await?;
    assert_eq!(written.ok()?["values"]["v"], "w");
    world.run(SERVER, "create table news (id int primary key)").await?;
    let admin = world.at(SERVER).postgres.connect(Role::Admin).await?;
    admin.batch_execute("select sync.enroll('news')").await?;
    gateway.read(&rows_at(SERVER, "public.news")).await?;
    // What nothing names shows when what is known is a few seconds old.
    world
        .run(
            SERVER,
            "alter table news add title text; insert into news (id, title) values (1, 'x')",
        )
        .await?;
    eventually(synccluster_integration::PATIENCE, async || {
        let page = gateway.read(&rows_at(SERVER, "public.news")).await?;
        anyhow::ensure!(page["rows"][0]["values"]["title"] == "x", "{page}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_be_any_text_even_none() -> Result<()> {
    let (_world, gateway) = apart(
        0,
        "create table names (name text primary key, n int not null default 0)",
    )
    .await?;
    let rows = rows_at(SERVER, "public.names");
    for name in [
        "",
        ",",
        "/",
        "a/b",
        "%",
        "%2F",
        "ä",
        "..",
        ".",
        " ",
        "'; drop table names; --",
        "\"",
        "null",
        "+",
        "?",
        "#",
    ] {
        let made = gateway.post(&rows, &json!({"values": {"name": name}})).await?;
        assert_eq!(made.ok().with_context(|| name.to_owned())?["key"]["name"], name);
        let here = made.header("location").context("no Location")?.to_owned();
        assert_eq!(here, format!("{rows}/{}", component(&component(name))));
        assert_eq!(
            patch(&gateway, &here, json!({"n": 1}), None).await?.ok()?["values"],
            json!({"name": name, "n": 1})
        );
        assert_eq!(delete(&gateway, &here, None).await?.status, 204, "{name}");
        gateway.get(&here).await?.problem(404, "unknown-row")?;
    }
    Ok(())
}
