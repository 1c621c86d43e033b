//! What lost, and what waits.

use anyhow::{Context, Result, ensure};
use hyper::{
    Method,
    header::{HeaderName, IF_MATCH, IF_NONE_MATCH},
};
use serde_json::{Value, json};
use synccluster_harness::{Role, eventually};
use synccluster_integration::{PATIENCE, World, gateway::Gateway, http::Answer};
use synccluster_protocol::Site;

use crate::{ONE, SERVER, TODOS, TWO, apart, rows_at};

const CONFLICTS: &str = "/api/v1/conflicts";
const EVERYTHING: &str = "create table things (id bigint primary key, title text, due date, at timestamptz, price numeric, doc jsonb, body bytea, tags text[], done boolean)";

/// Both clients write while they cannot see each other, the second one later.
async fn met(schema: &str, seed: &str, first: &str, second: &str) -> Result<(World, Gateway)> {
    let mut world = World::start(2, schema).await?;
    let gateway = Gateway::start(&world).await?;
    world.run(SERVER, seed).await?;
    let table = if schema == TODOS { "todos" } else { "things" };
    for site in [ONE, TWO] {
        world
            .wait_for(site, &format!("select title from {table}"), &["old"])
            .await?;
    }
    world.pause(ONE).await;
    world.pause(TWO).await;
    world.run(ONE, first).await?;
    world.run(TWO, second).await?;
    world.resume(ONE)?;
    world
        .wait_for(
            SERVER,
            "select count(*) from sync.progress where \"offset\" > 0",
            &["1"],
        )
        .await?;
    world.resume(TWO)?;
    world
        .wait_for(SERVER, "select count(*) from sync.conflicts", &["1"])
        .await?;
    Ok((world, gateway))
}

/// The only conflict in the server's books.
pub async fn the_conflict(gateway: &Gateway) -> Result<Value> {
    let page = gateway.read(&format!("{CONFLICTS}?site=server")).await?;
    let conflicts = page["conflicts"].as_array().context("conflicts")?;
    ensure!(conflicts.len() == 1, "{page}");
    Ok(conflicts[0].clone())
}

async fn reapply(gateway: &Gateway, conflict: &Value) -> Result<Answer> {
    reapply_only(gateway, conflict, &[]).await
}

/// The same with a precondition.
pub async fn reapply_only(gateway: &Gateway, conflict: &Value, only: &[(HeaderName, &str)]) -> Result<Answer> {
    let (site, id) = (
        conflict["site"].as_str().unwrap_or_default(),
        conflict["id"].as_str().unwrap_or_default(),
    );
    let path = format!("/api/v1/sites/{site}/conflicts/{id}/reapply");
    gateway.send(Method::POST, &path, only, None).await
}

/// What an `If-Match` says of a row.
pub fn tag(row: &Value) -> Result<String> {
    Ok(format!("\"{}\"", row["version"].as_str().context("no version")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_row_is_shown_as_rows_are_and_wins_when_it_is_made_again() -> Result<()> {
    let (world, gateway) = met(
        EVERYTHING,
        "insert into things values (1, 'old', '2024-01-01', '2024-01-01', 1, '{}', '\\x00', '{}', false)",
        "update things set title = 'one', due = '0044-03-15 BC', at = '2024-02-29 12:00:00.25+00', price = 12.25, doc = '{\"a\": 1.5}', body = '\\x00ff', tags = '{a,\"b,c\",NULL}', done = true",
        "update things set title = 'two'",
    )
    .await?;
    let conflict = the_conflict(&gateway).await?;
    let lost = json!({"id": "1", "title": "one", "due": "0044-03-15 BC", "at": "2024-02-29 12:00:00.25+00", "price": "12.25",
        "doc": "{\"a\": 1.5}", "body": "\\x00ff", "tags": "{a,\"b,c\",NULL}", "done": true});
    assert_eq!(conflict["loser"], lost);
    // The winner came over the wire, the loser was here: both are shown in the same forms.
    assert_eq!(
        (
            &conflict["winner"]["title"],
            &conflict["winner"]["due"],
            &conflict["winner"]["at"]
        ),
        (&json!("two"), &json!("2024-01-01"), &json!("2024-01-01 00:00:00+00"))
    );
    assert_eq!(
        (&conflict["kind"], &conflict["key"], &conflict["key_path"]),
        (&json!("update/update"), &json!({"id": "1"}), &json!("1"))
    );

    assert_eq!(conflict["reapply_obstacle"], Value::Null);
    // The winner is what is there: who has seen it overwrites nothing else.
    let won = format!("\"{}\"", conflict["winner_version"].as_str().context("no version")?);
    let again = reapply_only(&gateway, &conflict, &[(IF_MATCH, won.as_str())])
        .await?
        .ok()?;
    assert_eq!((&again["row"]["values"], &again["left_out"]), (&lost, &json!([])));
    assert_eq!(again["row"]["parent"], conflict["winner_version"]);
    for site in Site::all(2) {
        world.wait_for(site, "select title from things", &["one"]).await?;
        assert_eq!(
            gateway.read(&format!("{}/1", rows_at(site, "public.things"))).await?["values"],
            lost
        );
    }
    let conflict = the_conflict(&gateway).await?;
    assert!(conflict["reapplied_at"].is_string());
    let refused = reapply(&gateway, &conflict).await?;
    refused.problem(409, "already-reapplied")?;
    // What would be answered is said before anybody asks.
    assert_eq!(conflict["reapply_obstacle"], refused.json()?["detail"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_row_that_came_over_the_wire_is_made_again_too() -> Result<()> {
    let (world, gateway) = met(
        EVERYTHING,
        "insert into things values (1, 'old')",
        "update things set title = 'one'",
        "update things set title = 'two'",
    )
    .await?;
    // As the server's sink writes an event down that lost.
    let loser = json!({"id": 1, "title": "wired", "due": 19782, "at": "2024-02-29T12:00:00.250000Z", "price": "NaN", "doc": "{\"a\": [1]}", "body": "AP8=", "tags": ["a", null], "done": false, "sync_version": 2048, "sync_parent": 1024});
    let admin = world.at(SERVER).postgres.connect(Role::Admin).await?;
    admin.execute("update sync.conflicts set loser = $1", &[&loser]).await?;
    let conflict = the_conflict(&gateway).await?;
    let expected = json!({"id": "1", "title": "wired", "due": "2024-02-29", "at": "2024-02-29 12:00:00.25+00", "price": "NaN", "doc": "{\"a\": [1]}", "body": "\\x00ff", "tags": "{a,NULL}", "done": false});
    assert_eq!(conflict["loser"], expected);
    assert_eq!(reapply(&gateway, &conflict).await?.ok()?["row"]["values"], expected);
    world.wait_for(TWO, "select title from things", &["wired"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_delete_deletes_when_it_is_made_again_and_a_losing_row_comes_back() -> Result<()> {
    let (world, gateway) = met(
        TODOS,
        "insert into todos (id, title) values (1, 'old')",
        "delete from todos",
        "update todos set title = 'kept'",
    )
    .await?;
    let conflict = the_conflict(&gateway).await?;
    assert_eq!(
        (&conflict["loser"], &conflict["winner"]["title"]),
        (&Value::Null, &json!("kept"))
    );
    assert_eq!(reapply(&gateway, &conflict).await?.ok()?["row"], Value::Null);
    world.wait_for(TWO, "select title from todos", &[]).await?;

    let (world, gateway) = met(
        TODOS,
        "insert into todos (id, title) values (1, 'old')",
        "update todos set title = 'lost'",
        "delete from todos",
    )
    .await?;
    let conflict = the_conflict(&gateway).await?;
    assert_eq!(
        (&conflict["winner"], &conflict["loser"]["title"]),
        (&Value::Null, &json!("lost"))
    );
    // It was deleted, and is not there.
    let again = reapply_only(&gateway, &conflict, &[(IF_NONE_MATCH, "*")]).await?.ok()?;
    assert_eq!(again["row"]["values"]["title"], "lost");
    world.wait_for(TWO, "select title from todos", &["lost"]).await?;
    Ok(())
}

/// A conflict as it stands in the books of a site; `null` has lost where that was a delete.
async fn write_down(world: &World, site: Site, relation: &str, key: &Value, loser: &str) -> Result<()> {
    let admin = world.at(site).postgres.connect(Role::Admin).await?;
    let statement =
        "insert into sync.conflicts (relation, key, kind, policy, winner, winner_version, loser, loser_version, topic)
                     values ($1, $2, 'update/update', 'LastWriterWins', null, 2, nullif($3::text::jsonb, 'null'), 1, 't.client-1')";
    admin.execute(statement, &[&relation, key, &loser]).await?;
    Ok(())
}

/// The server's books with this conflict alone, as they show it.
pub async fn booked(world: &World, gateway: &Gateway, relation: &str, key: &Value, loser: &Value) -> Result<Value> {
    let admin = world.at(SERVER).postgres.connect(Role::Admin).await?;
    admin.batch_execute("delete from sync.conflicts").await?;
    write_down(world, SERVER, relation, key, &loser.to_string()).await?;
    the_conflict(gateway).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_row_fits_the_table_as_it_is_now_or_says_why_not() -> Result<()> {
    let schema = "create table things (id int generated always as identity primary key, title varchar(5), n int generated always as (length(title)) stored,
                    code text unique, seen int generated always as identity, exact numeric, extra text not null default 'new');
                  create table bare (id int primary key)";
    let (world, gateway) = apart(0, schema).await?;
    let key = json!({"id": 7});
    let loser = r#"{"id": 7, "title": "again", "n": 99, "gone": 1, "wide": 9007199254740993, "code": "a", "seen": 3, "exact": 0.12345678901234567890, "sync_version": 1}"#;
    write_down(&world, SERVER, "public.things", &key, loser).await?;
    let conflict = the_conflict(&gateway).await?;
    // A column that is no more is shown as it stands.
    assert_eq!(
        (&conflict["loser"]["gone"], &conflict["loser"]["wide"]),
        (&json!(1), &json!("9007199254740993"))
    );
    let again = reapply(&gateway, &conflict).await?.ok()?;
    assert_eq!(again["left_out"], json!(["gone", "wide"]));
    assert_eq!(
        again["row"]["values"],
        json!({"id": 7, "title": "again", "n": 5, "code": "a", "seen": 3, "exact": "0.12345678901234567890", "extra": "new"})
    );

    // Again over the row that is there now, then with a value that is too long, against a constraint, and without a table.
    let loser = json!({"id": 7, "title": "over", "seen": 3});
    let conflict = booked(&world, &gateway, "public.things", &key, &loser).await?;
    let over = reapply_only(&gateway, &conflict, &[(IF_MATCH, tag(&again["row"])?.as_str())])
        .await?
        .ok()?;
    let next = async |relation: &str, key: Value, loser: Value| {
        let conflict = booked(&world, &gateway, relation, &key, &loser).await?;
        reapply(&gateway, &conflict).await
    };
    assert_eq!(
        (&over["row"]["values"]["title"], &over["row"]["values"]["code"]),
        (&json!("over"), &json!("a"))
    );
    next("public.things", json!({"id": 7}), json!({"id": 7, "title": "too long"}))
        .await?
        .problem(422, "invalid-value")?;
    let obstacle = async || {
        let conflict = the_conflict(&gateway).await?;
        ensure!(conflict["reapplied_at"].is_null(), "{conflict}");
        Ok(conflict["reapply_obstacle"].as_str().unwrap_or_default().to_owned())
    };
    let said = obstacle().await?;
    assert!(
        said.contains("too long for type character varying(5)") && said.contains("by hand"),
        "{said}"
    );
    next("public.things", json!({"id": 8}), json!({"id": 8, "code": "a"}))
        .await?
        .problem(409, "constraint")?;
    // Whether a constraint stands against it is known when it is tried.
    assert_eq!(obstacle().await?, "");
    let wide = json!({"id": 9_007_199_254_740_993_i64, "path": [i64::MIN, 1]});
    next("public.gone", wide.clone(), wide)
        .await?
        .problem(404, "unknown-table")?;
    // A table that is not enrolled any more: nobody can say of what type its columns were.
    let shown = the_conflict(&gateway).await?;
    let expected = json!({"id": "9007199254740993", "path": [i64::MIN.to_string(), 1]});
    assert_eq!((&shown["key"], &shown["loser"]), (&expected, &expected));
    assert_eq!(obstacle().await?, "public.gone is no enrolled table of server any more");
    let before = next("public.bare", json!({"id": 1}), json!({"id": 1})).await?.ok()?;
    let after = next("public.bare", json!({"id": 1}), json!({"id": 1})).await?.ok()?;
    assert_eq!(before["row"]["version"], after["row"]["parent"]);
    for id in ["0", "x", "99999999999999999999"] {
        gateway
            .post(&format!("/api/v1/sites/server/conflicts/{id}/reapply"), &Value::Null)
            .await?
            .problem(404, "unknown-conflict")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_who_re_apply_one_gets_through() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    write_down(
        &world,
        SERVER,
        "public.todos",
        &json!({"id": 7}),
        &json!({"id": 7, "title": "x", "done": true}).to_string(),
    )
    .await?;
    let conflict = the_conflict(&gateway).await?;
    let answers = futures::future::join_all((0..5).map(|_| reapply(&gateway, &conflict))).await;
    let statuses: Vec<u16> = answers
        .into_iter()
        .map(|answer| answer.map_or(0, |answer| answer.status.as_u16()))
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 409).count(),
        4,
        "{statuses:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_all_sites_are_one_newest_first() -> Result<()> {
    let (mut world, gateway) = apart(2, TODOS).await?;
    for n in 0..12 {
        let site = [SERVER, ONE, TWO][n % 3];
        let relation = if n < 6 { "public.todos" } else { "public.gone" };
        write_down(
            &world,
            site,
            relation,
            &json!({"id": n}),
            &json!({"id": n, "title": "x"}).to_string(),
        )
        .await?;
    }
    let ids = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["key"]["id"].to_string().replace('"', ""))
            .collect::<Vec<_>>()
    };
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.read(&format!("{CONFLICTS}?limit=5{after}")).await?;
        all.extend(page["conflicts"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(ids(&all), (0..12).rev().map(|n| n.to_string()).collect::<Vec<_>>());
    let of_table = gateway
        .read(&format!("{CONFLICTS}?table=public.todos&kind=update/update"))
        .await?;
    assert_eq!(
        ids(of_table["conflicts"].as_array().context("conflicts")?),
        ["5", "4", "3", "2", "1", "0"]
    );
    assert_eq!(
        gateway.read(&format!("{CONFLICTS}?kind=nope")).await?["conflicts"],
        json!([])
    );
    gateway
        .get(&format!("{CONFLICTS}?after=x"))
        .await?
        .problem(400, "bad-cursor")?;

    world.postgres(ONE).kill().await?;
    let page = gateway.read(CONFLICTS).await?;
    assert_eq!(page["conflicts"].as_array().map(Vec::len), Some(8));
    assert!(page["unreachable"]["client-1"].is_string());
    gateway
        .get(&format!("{CONFLICTS}?site=client-1"))
        .await?
        .problem(503, "site-unreachable")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_shown_and_another_try_can_be_asked_for() -> Result<()> {
    let world = World::start(1, TODOS).await?;
    let gateway = Gateway::start(&world).await?;
    world
        .run(
            ONE,
            "alter table todos add note text; insert into todos (id, title, note) values (1, 'x', 'new')",
        )
        .await?;
    let parked = eventually(PATIENCE, async || {
        let page = gateway.read("/api/v1/parked").await?;
        ensure!(page["parked"][0].is_object(), "{page}");
        Ok(page["parked"][0].clone())
    })
    .await?;
    assert_eq!(
        (&parked["site"], &parked["table"], &parked["asked_at"]),
        (&json!("server"), &json!("public.todos"), &Value::Null)
    );
    assert_eq!(parked["event"]["after"]["note"], "new");
    let version = world.ask(ONE, "select sync_version from todos").await?.pop();
    assert_eq!(
        parked["event"]["after"]["sync_version"].as_str().map(str::to_owned),
        version
    );
    assert!(
        parked["reason"].as_str().is_some_and(|reason| reason.contains("note")),
        "{parked}"
    );

    // The sink tries the 500 that have waited longest by itself. It shall never come to this one.
    let id = parked["id"].as_str().context("an id")?;
    let admin = world.at(SERVER).postgres.connect(Role::Admin).await?;
    let others = "insert into sync.parked (topic, relation, event, reason, tried_at)
                  select topic, relation, '\"no event\"', 'of the test', '2000-01-01' from sync.parked, generate_series(1, 500)";
    admin.batch_execute(others).await?;
    let last = format!("update sync.parked set tried_at = '2100-01-01' where id = {id}");
    admin.batch_execute(&last).await?;
    world.run(SERVER, "alter table todos add note text").await?;
    let others_tried = "select count(*) from sync.parked where reason <> 'of the test'";
    world.wait_for(SERVER, others_tried, &["501"]).await?;
    assert_eq!(
        world.ask(SERVER, "select title from todos").await?,
        Vec::<String>::new()
    );

    let path = format!("/api/v1/sites/server/parked/{id}/retry");
    let asked = gateway.post(&path, &Value::Null).await?;
    assert_eq!(
        (asked.status.as_u16(), asked.ok()?["asked_at"].is_string()),
        (202, true)
    );
    world
        .wait_for(SERVER, "select title || ' ' || note from todos", &["x new"])
        .await?;
    world
        .wait_for(SERVER, "select count(*) from sync.parked", &["500"])
        .await?;
    gateway
        .post(&path, &Value::Null)
        .await?
        .problem(404, "unknown-parked")?;
    assert_eq!(gateway.read("/api/v1/parked?site=client-1").await?["parked"], json!([]));
    gateway
        .post("/api/v1/sites/server/parked/0/retry", &Value::Null)
        .await?
        .problem(404, "unknown-parked")?;
    Ok(())
}
