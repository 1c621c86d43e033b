//! Sites side by side, and what differs.

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use synccluster_harness::Role;
use synccluster_integration::World;
use synccluster_protocol::Site;

use crate::{ONE, SERVER, TODOS, TWO, all_pages, apart, query};

const ROWS: &str = "/api/v1/tables/public.todos/rows";
const DIFFERENCE: &str = "/api/v1/tables/public.todos/difference";

/// Keys and equality of rows side by side.
fn shown(rows: &[Value]) -> Vec<(String, bool)> {
    rows.iter()
        .map(|row| (row["key_path"].as_str().unwrap_or("?").to_owned(), row["equal"] == true))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_sites_stand_side_by_side_and_what_differs_is_marked() -> Result<()> {
    let mut world = World::start(2, TODOS).await?;
    world
        .run(
            SERVER,
            "insert into todos (id, title) select n, 'todo ' || n from generate_series(1, 12) n",
        )
        .await?;
    for site in Site::all(2) {
        world.wait_for(site, "select count(*) from todos", &["12"]).await?;
    }
    for site in Site::all(2) {
        world.pause(site).await;
    }
    let gateway = synccluster_integration::gateway::Gateway::start(&world).await?;
    let none = gateway.read(DIFFERENCE).await?;
    assert_eq!(
        (&none["equal"], &none["compared"], &none["next"]),
        (&json!(true), &json!(12), &Value::Null)
    );

    world
        .run(
            ONE,
            "update todos set done = true where id = 2; insert into todos (id, title) values (100, 'only here')",
        )
        .await?;
    world.run(TWO, "delete from todos where id = 10").await?;
    let rows = all_pages(&gateway, ROWS, &[("limit", "5")]).await?;
    let expected: Vec<(String, bool)> = (1..=12)
        .chain([100])
        .map(|id| (id.to_string(), ![2, 10, 100].contains(&id)))
        .collect();
    assert_eq!(shown(&rows), expected);
    assert_eq!(
        (
            &rows[1]["cells"]["client-1"]["values"]["done"],
            &rows[1]["cells"]["server"]["values"]["done"]
        ),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&rows[9]["cells"]["client-2"], &rows[9]["key"]),
        (&Value::Null, &json!({"id": "10"}))
    );

    // Only what differs; of two sites; with a filter that one site's row meets.
    let different = |rows: Vec<Value>| shown(&rows).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let all = all_pages(&gateway, ROWS, &[("only", "different"), ("limit", "1")]).await?;
    assert_eq!(different(all), ["2", "10", "100"]);
    let two = all_pages(&gateway, ROWS, &[("only", "different"), ("sites", "server,client-2")]).await?;
    assert_eq!(different(two), ["10"]);
    let done = all_pages(&gateway, ROWS, &[("filter", "done = true")]).await?;
    assert_eq!(
        (done.len(), &done[0]["cells"]["server"]["values"]["done"]),
        (1, &json!(false))
    );
    let newest = all_pages(
        &gateway,
        ROWS,
        &[("only", "different"), ("order", "-id"), ("limit", "2")],
    )
    .await?;
    assert_eq!(different(newest), ["100", "10", "2"]);

    let difference = gateway
        .read(&format!("{DIFFERENCE}{}", query(&[("sites", "client-1,client-2")])))
        .await?;
    assert_eq!(
        (&difference["equal"], &difference["compared"], &difference["sites"]),
        (&json!(false), &json!(13), &json!(["client-1", "client-2"]))
    );
    let rows = all_pages(&gateway, DIFFERENCE, &[("limit", "1")]).await?;
    assert_eq!(different(rows), ["2", "10", "100"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_found_in_a_large_table_by_sums_and_past_equal_versions() -> Result<()> {
    let mut world = World::start(1, TODOS).await?;
    world
        .run(
            SERVER,
            "insert into todos (id, title) select n, 'todo ' || n from generate_series(1, 23000) n",
        )
        .await?;
    for site in Site::all(1) {
        world.wait_for(site, "select count(*) from todos", &["23000"]).await?;
    }
    for site in Site::all(1) {
        world.pause(site).await;
    }
    let gateway = synccluster_integration::gateway::Gateway::start(&world).await?;
    let equal = gateway.read(DIFFERENCE).await?;
    assert_eq!((&equal["equal"], &equal["compared"]), (&json!(true), &json!(23000)));
    // What a sink writes has the version it came with: a value that differs under it is a difference too.
    let sink = world.at(ONE).postgres.connect(Role::Sink).await?;
    sink.batch_execute(
        "set session_replication_role = replica; update todos set title = 'spoilt' where id in (1, 15000, 23000)",
    )
    .await?;
    let found = gateway.read(DIFFERENCE).await?;
    let keys: Vec<&Value> = found["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| &row["key_path"])
        .collect();
    assert_eq!(keys, ["1", "15000", "23000"]);
    assert_eq!(
        found["rows"][0]["cells"]["server"]["version"],
        found["rows"][0]["cells"]["client-1"]["version"]
    );
    Ok(())
}

const THINGS: &str = "create type mood as enum ('sad', 'ok', 'happy');
    create table things (name text collate \"und-x-icu\", no numeric, primary key (name, no), a int, b text, m mood, t timestamptz)";

fn some_rows(random: &mut SmallRng) -> String {
    let mut pick = |of: &[&str]| of[random.random_range(0..of.len())].to_owned();
    let rows: Vec<String> = (0..30)
        .map(|_| {
            let key = format!(
                "({}, {}",
                pick(&["'a'", "'B'", "'ä'", "'a,b'", "''"]),
                pick(&["1", "2", "10", "'NaN'", "-1.5"])
            );
            let values = format!(
                "{}, {}, {}, {})",
                pick(&["null", "1", "2"]),
                pick(&["null", "'x'", "'X'", "'é'", "''"]),
                pick(&["null", "'happy'", "'ok'", "'sad'"]),
                pick(&["null", "'infinity'", "'2024-01-01'", "'0044-03-15 BC'"])
            );
            format!("{key}, {values}")
        })
        .collect();
    format!("insert into things values {} on conflict do nothing", rows.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_any_site_comes_once_and_in_order_for_any_data_order_filter_and_page_size() -> Result<()> {
    let (world, gateway) = apart(2, THINGS).await?;
    let seed = rand::random();
    let mut random = SmallRng::seed_from_u64(seed);
    let server = world.at(SERVER).postgres.superuser().await?;
    server
        .batch_execute(
            "create temp table everywhere as select name collate \"C\" as name, no, a, b, m, t from things where false",
        )
        .await?;
    for site in Site::all(2) {
        world.run(site, &some_rows(&mut random)).await?;
    }
    for site in Site::all(2) {
        for row in world
            .ask(
                site,
                "select format('(%L, %L, %L, %L, %L, %L)', name, no, a, b, m, t) from things",
            )
            .await?
        {
            server
                .batch_execute(&format!("insert into everywhere values {row}"))
                .await?;
        }
    }
    for order in ["", "-no", "b", "-b,a", "m,-t", "-m", "t,-name", "-a,-b,m"] {
        for filter in ["", "a is not null", "b in ('x', 'é') and t > '0100-01-01 BC'"] {
            let terms = order
                .split(',')
                .filter(|term| !term.is_empty())
                .map(|term| match term.strip_prefix('-') {
                    Some(column) => format!("{column} desc nulls first"),
                    None => format!("{term} nulls last"),
                });
            let by = terms.chain(["name".into(), "no".into()]).collect::<Vec<_>>().join(", ");
            let condition = if filter.is_empty() { "true" } else { filter };
            let sql = format!(
                "select name || ' ' || no from (select distinct on (name, no) * from everywhere where {condition} order by name, no, {by}) x order by {by}"
            );
            let expected: Vec<String> = server.query(&sql, &[]).await?.iter().map(|row| row.get(0)).collect();
            let limit = random.random_range(1..=12).to_string();
            let parts = [("order", order), ("filter", filter), ("limit", limit.as_str())];
            let rows = all_pages(&gateway, "/api/v1/tables/public.things/rows", &parts)
                .await
                .with_context(|| format!("seed {seed}"))?;
            let listed: Vec<String> = rows
                .iter()
                .map(|row| {
                    format!(
                        "{} {}",
                        row["key"]["name"].as_str().unwrap_or("?"),
                        row["key"]["no"].as_str().unwrap_or("?")
                    )
                })
                .collect();
            assert_eq!(
                listed, expected,
                "seed {seed}, order {order}, filter {filter}, limit {limit}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_cannot_be_reached_is_named_and_the_others_are_shown() -> Result<()> {
    let (mut world, gateway) = apart(2, TODOS).await?;
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'x')")
        .await?;
    gateway.read(ROWS).await?;
    world.postgres(TWO).kill().await?;
    let page = gateway.read(ROWS).await?;
    assert_eq!(page["sites"], json!(["server", "client-1"]));
    assert!(
        page["unreachable"]["client-2"]
            .as_str()
            .is_some_and(|why| why.contains("client-2")),
        "{page}"
    );
    assert_eq!(
        shown(page["rows"].as_array().context("rows")?),
        [("1".to_owned(), false)]
    );
    gateway
        .get(&format!("{DIFFERENCE}?sites=server,client-2"))
        .await?
        .problem(503, "sites-unreachable")?;
    gateway
        .get(&format!("{DIFFERENCE}?sites=server"))
        .await?
        .problem(400, "too-few-sites")?;
    gateway
        .get(&crate::rows_at(TWO, "public.todos"))
        .await?
        .problem(503, "site-unreachable")?;
    world.postgres(TWO).restart().await?;
    assert_eq!(gateway.read(ROWS).await?["unreachable"], json!({}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_say_nothing_share_the_time_of_a_page_and_the_others_are_shown() -> Result<()> {
    let (world, gateway) = apart(2, TODOS).await?;
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'x')")
        .await?;
    // One does not say which tables it has, and the other one, that is asked for rows when this one was given up, not which rows.
    let tables = world.at(ONE).postgres.superuser().await?;
    tables
        .batch_execute("begin; lock table sync.tables in access exclusive mode")
        .await?;
    let rows = world.app(TWO).await?;
    rows.batch_execute("begin; lock table todos in access exclusive mode")
        .await?;
    let page = gateway.read(ROWS).await?;
    assert_eq!(page["sites"], json!(["server"]));
    assert_eq!(page["rows"][0]["key_path"], "1", "{page}");
    let silent = json!({
        "client-1": "client-1 did not answer within 4 s",
        "client-2": "client-2 did not answer within 2 s",
    });
    assert_eq!(page["unreachable"], silent);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_in_the_middle_of_a_migration_are_compared_as_far_as_they_can_be() -> Result<()> {
    let (world, gateway) = apart(2, "create table todos (id text primary key, title text)").await?;
    for site in [SERVER, ONE, TWO] {
        world
            .run(site, "insert into todos values ('b', '2'), ('a', '10')")
            .await?;
    }
    // One has a column more, the other one of another type.
    world.run(ONE, "alter table todos add due date").await?;
    world
        .run(TWO, "alter table todos alter title type int using title::int")
        .await?;
    let page = gateway.read(&format!("{ROWS}?order=title")).await?;
    assert_eq!(
        shown(page["rows"].as_array().context("rows")?),
        [("a".to_owned(), false), ("b".to_owned(), false)]
    );
    let page = gateway.read(&format!("{ROWS}?order=due&sites=client-1,server")).await;
    assert!(page.is_err(), "{page:?}");
    let none = gateway.get("/api/v1/tables/public.nope/rows").await?;
    none.problem(404, "unknown-table")?;
    gateway
        .get(&format!("{ROWS}?sites=server,client-7"))
        .await?
        .problem(404, "unknown-site")?;
    gateway
        .get(&format!("{ROWS}?filter=title"))
        .await?
        .problem(400, "bad-filter")?;
    gateway
        .get(&format!("{ROWS}?after=x"))
        .await?
        .problem(400, "bad-cursor")?;
    Ok(())
}
