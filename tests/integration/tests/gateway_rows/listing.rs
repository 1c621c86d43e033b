//! Pages, orders, filters.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use synccluster_harness::Witness;

use crate::{SERVER, TODOS, all_pages, apart, query, rows_at};

const THINGS: &str = r#"create table things (shop text, no int, a int, b text collate "und-x-icu", c numeric, d timestamptz not null,
    e double precision not null, primary key (shop, no))"#;
const ORDERS: [&str; 12] = [
    "",
    "no",
    "-no",
    "a",
    "-a",
    "b,-a",
    "-b,c",
    "-c,-d,a",
    "d,-e",
    "-e,-d,-shop,-no",
    "c,shop",
    "-shop,no",
];
const FILTERS: [&str; 6] = [
    "",
    "a is not null",
    "b like 'x%'",
    "no in (1, 2, 3) and e >= 0",
    "c = 'NaN'",
    "d > '2024-01-02' and shop != 'b,c'",
];

/// The order as SQL.
fn order_by(order: &str) -> String {
    let terms = order
        .split(',')
        .filter(|term| !term.is_empty())
        .map(|term| match term.strip_prefix('-') {
            Some(column) => format!("{column} desc nulls first"),
            None => format!("{term} asc nulls last"),
        });
    terms
        .chain(["shop asc".into(), "no asc".into()])
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the columns shop, a to e may have; every kind of equal, unequal and missing.
const VALUES: [&[&str]; 6] = [
    &["'a'", "'b,c'", "'Ä/'", "''"],
    &["null", "1", "2", "-3"],
    &["null", "''", "'x'", "'xy'", "'X'", "'ä'"],
    &["null", "'NaN'", "1", "1.0", "-0.5"],
    &[
        "'infinity'",
        "'2024-01-01'",
        "'2024-01-01 00:00:00.000001'",
        "'2024-01-03'",
    ],
    &["'NaN'", "0", "'-0'", "1e300", "'-Infinity'"],
];

fn some_rows(random: &mut SmallRng, count: usize) -> String {
    let mut row = |n| {
        let [shop, others @ ..] = VALUES.map(|of| of[random.random_range(0..of.len())]);
        format!("({shop}, {n}, {})", others.join(", "))
    };
    let rows: Vec<String> = (0..count).map(&mut row).collect();
    format!("insert into things values {}", rows.join(", "))
}

/// Values of each column: as a filter writes them, and as SQL of their type does.
const COMPARED: [(&str, &str, &[&str]); 7] = [
    ("shop", "text", &["'a'", "'b,c'", "'Ä/'", "''", "'it''s'"]),
    ("no", "int", &["0", "3", "17", "'39'"]),
    ("a", "int", &["1", "-3", "'2'", "99"]),
    ("b", "text", &["'x'", "'X'", "''", "'ä'", "' and '"]),
    ("c", "numeric", &["'NaN'", "1", "1.00", "-0.5", "1e3"]),
    (
        "d",
        "timestamptz",
        &["'infinity'", "'2024-01-02'", "'2024-01-01 00:00:00.000001'"],
    ),
    ("e", "double precision", &["'NaN'", "0", "-1", "'-Infinity'", "1e300"]),
];
const SIGNS: [&str; 7] = ["=", "!=", "<>", "<", "<=", ">", ">="];
const PATTERNS: [&str; 7] = ["'%'", "'x%'", "'_'", "''", "'%,%'", "'2024%'", "'ä'"];

fn one_of<T: Copy>(random: &mut SmallRng, of: &[T]) -> T {
    of[random.random_range(0..of.len())]
}

/// A condition, and what it means in SQL.
fn condition(random: &mut SmallRng) -> (String, String) {
    let (column, kind, values) = one_of(random, &COMPARED);
    let value = one_of(random, values);
    match random.random_range(0..8) {
        0 => (format!("{column} is null"), format!("{column} is null")),
        1 => (format!("\"{column}\" IS NOT NULL"), format!("{column} is not null")),
        2 => {
            let other = one_of(random, values);
            (
                format!("{column} in ({value},{other})"),
                format!("({column} = {value}::{kind} or {column} = {other}::{kind})"),
            )
        }
        3 => {
            let (like, pattern) = (one_of(random, &["like", "ilike"]), one_of(random, &PATTERNS));
            (
                format!("{column} {like} {pattern}"),
                format!("{column}::text {like} {pattern}"),
            )
        }
        _ => {
            let sign = one_of(random, &SIGNS);
            // A bare minus before a cast would be the cast's.
            (
                format!("{column} {sign} {value}"),
                format!("{column} {sign} ({value})::{kind}"),
            )
        }
    }
}

/// A filter of some conditions, and the same in SQL.
fn some_filter(random: &mut SmallRng) -> (String, String) {
    let conditions: Vec<_> = (0..random.random_range(0..4)).map(|_| condition(random)).collect();
    let (filters, meant): (Vec<_>, Vec<_>) = conditions.into_iter().unzip();
    let meant = if meant.is_empty() {
        "true".to_owned()
    } else {
        meant.join(" and ")
    };
    (filters.join(" and "), meant)
}

/// Some columns, each up or down.
fn some_order(random: &mut SmallRng) -> String {
    let mut columns: Vec<_> = COMPARED.map(|(column, ..)| column).to_vec();
    let mut terms = Vec::new();
    for _ in 0..random.random_range(0..4) {
        let column = columns.swap_remove(random.random_range(0..columns.len()));
        terms.push(format!("{}{column}", one_of(random, &["", "-"])));
    }
    terms.join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_comes_once_and_in_order_for_any_data_order_filter_and_page_size() -> Result<()> {
    let (world, gateway) = apart(0, THINGS).await?;
    let rows = rows_at(SERVER, "public.things");
    let seed = rand::random();
    let mut random = SmallRng::seed_from_u64(seed);
    for count in [0, 1, 40] {
        world.run(SERVER, "truncate things").await?;
        if count > 0 {
            world.run(SERVER, &some_rows(&mut random, count)).await?;
        }
        let fixed = ORDERS
            .into_iter()
            .flat_map(|order| FILTERS.map(|filter| (order, filter)));
        let fixed = fixed.map(|(order, filter)| {
            let meant = if filter.is_empty() { "true" } else { filter };
            (order.to_owned(), (filter.to_owned(), meant.to_owned()))
        });
        let mut asked: Vec<_> = fixed.collect();
        asked.extend((0..count * 3).map(|_| (some_order(&mut random), some_filter(&mut random))));
        for (order, (filter, meant)) in asked {
            let limit = random.random_range(1..=count + 2).to_string();
            let by = order_by(&order);
            let select = format!("select shop || ' ' || no from things where {meant} order by {by}");
            let expected = world.ask(SERVER, &select).await?;
            let parts = [("order", order.as_str()), ("filter", &filter), ("limit", &limit)];
            let which = format!("seed {seed}, order {order}, filter {filter}, limit {limit}");
            let listed = all_pages(&gateway, &rows, &parts).await.context(which.clone())?;
            let listed: Vec<String> = listed
                .iter()
                .map(|row| format!("{} {}", row["key"]["shop"].as_str().unwrap_or("?"), row["key"]["no"]))
                .collect();
            assert_eq!(listed, expected, "{which}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_where_the_last_one_ended_whatever_is_written_between() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    world
        .run(
            SERVER,
            "insert into todos (id, title) select n, 'todo ' || n from generate_series(1, 7) n",
        )
        .await?;
    let rows = rows_at(SERVER, "public.todos");
    let page = gateway.read(&format!("{rows}?limit=5&order=-id")).await?;
    assert_eq!(
        page["rows"][0]["values"],
        json!({"id": "7", "title": "todo 7", "done": false})
    );
    assert_eq!(
        (&page["rows"][0]["key"], &page["rows"][0]["key_path"]),
        (&json!({"id": "7"}), &json!("7"))
    );
    assert_eq!(page["rows"][0]["parent"], Value::Null);
    // The row the page ended with is gone, and one came before it.
    world
        .run(
            SERVER,
            "delete from todos where id = 3; insert into todos (id, title) values (9, 'new')",
        )
        .await?;
    let next = page["next"].as_str().context("no next page")?;
    let last = gateway.read(&format!("{rows}?limit=5&order=-id&after={next}")).await?;
    let ids: Vec<&Value> = last["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| &row["key"]["id"])
        .collect();
    assert_eq!((ids, &last["next"]), (vec![&json!("2"), &json!("1")], &Value::Null));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_problem_that_says_what_to_write() -> Result<()> {
    let (_world, gateway) = apart(0, "create table docs (id int primary key, body json, title text)").await?;
    let rows = rows_at(SERVER, "public.docs");
    let ask = async |parts: &[(&str, &str)]| gateway.get(&format!("{rows}{}", query(parts))).await;
    for (filter, at) in [
        ("title = x", 9),
        ("title == 'x'", 8),
        ("id = 1; drop table docs", 7),
        ("title = 'it's'", 13),
    ] {
        assert_eq!(
            ask(&[("filter", filter)]).await?.problem(400, "bad-filter")?["position"],
            at,
            "{filter}"
        );
    }
    for (filter, column) in [
        ("nope = 1", "nope"),
        ("id = 'x'", "id"),
        ("id in (1, 99999999999)", "id"),
        ("TITLE = 'x'", "TITLE"),
    ] {
        assert_eq!(
            ask(&[("filter", filter)]).await?.problem(400, "bad-filter")?["column"],
            column,
            "{filter}"
        );
    }
    ask(&[("filter", "body = '{}'")])
        .await?
        .problem(400, "not-comparable")?;
    ask(&[("order", "body")]).await?.problem(400, "not-comparable")?;
    for order in ["nope", "id id", "-", "id,id", "id desc", "id;--"] {
        ask(&[("order", order)]).await?.problem(400, "bad-order")?;
    }
    for limit in ["0", "501"] {
        ask(&[("limit", limit)]).await?.problem(400, "bad-limit")?;
    }
    ask(&[("limit", "many")]).await?.problem(400, "bad-parameter")?;
    // A filter that is misspelt is no question about all rows.
    for path in [
        rows.as_str(),
        "/api/v1/tables/public.docs/rows",
        "/api/v1/tables/public.docs/difference",
        "/api/v1/conflicts",
        "/api/v1/parked",
        "/api/v1/tables",
    ] {
        let said = gateway.get(&format!("{path}?fliter=id%20=%201")).await?;
        let said = said.problem(400, "bad-parameter").context(path.to_owned())?;
        let detail = said["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("unknown field `fliter`"), "{path}: {detail}");
    }
    // No cursor, one of another order, one with a value that is no number: base64url of ["id",["x"]].
    for (order, after) in [
        ("", "x"),
        ("title", "WyJpZCIsWyIxIl1d"),
        ("", "WyJpZCIsWyJ4Il1d"),
        ("", "WyJpZCIsW11d"),
    ] {
        ask(&[("order", order), ("after", after)])
            .await?
            .problem(400, "bad-cursor")?;
    }
    let unknown = gateway
        .get("/api/v1/sites/client-9/tables/public.docs/rows")
        .await?
        .problem(404, "unknown-site")?;
    assert!(
        unknown["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("the sites are server")),
        "{unknown}"
    );
    for table in ["public.nope", "docs", "sync.conflicts", "pg_catalog.pg_class"] {
        gateway
            .get(&rows_at(SERVER, table))
            .await?
            .problem(404, "unknown-table")?;
    }
    gateway.get(&format!("{rows}/1")).await?.problem(404, "unknown-row")?;
    for key in ["x", "1,2", "1.5", "%2525"] {
        gateway.get(&format!("{rows}/{key}")).await?.problem(400, "bad-key")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_ended_and_the_others_are_served() -> Result<()> {
    let (world, gateway) = apart(0, &format!("{TODOS}; create table others (id int primary key)")).await?;
    let blocker = world.app(SERVER).await?;
    blocker
        .batch_execute("begin; lock table todos in access exclusive mode")
        .await?;
    let (todos, others) = (rows_at(SERVER, "public.todos"), rows_at(SERVER, "public.others"));
    let (slow, quick) = tokio::join!(gateway.get(&todos), gateway.get(&others));
    quick?.ok()?;
    let problem = slow?.problem(503, "too-slow")?;
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("index")),
        "{problem}"
    );
    blocker.batch_execute("rollback").await?;
    gateway.read(&todos).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_have_hundreds_of_columns() -> Result<()> {
    let columns: Vec<String> = (0..500).map(|n| format!("c{n} int default {n}")).collect();
    let (_world, gateway) = apart(
        0,
        &format!("create table wide (id int primary key, {})", columns.join(", ")),
    )
    .await?;
    let rows = rows_at(SERVER, "public.wide");
    gateway.post(&rows, &json!({"values": {"id": 1}})).await?.ok()?;
    let page = gateway.read(&format!("{rows}?order=c1,-c499")).await?;
    let values = page["rows"][0]["values"].as_object().context("values")?;
    assert_eq!((values.len(), &values["c499"]), (501, &json!(499)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_nobody_waits_for_any_more_holds_nobody_up() -> Result<()> {
    let (world, gateway) = apart(0, &format!("{TODOS}; create table others (id int primary key)")).await?;
    let (todos, others) = (rows_at(SERVER, "public.todos"), rows_at(SERVER, "public.others"));
    gateway.read(&todos).await?;
    let blocker = world.app(SERVER).await?;
    blocker
        .batch_execute("begin; lock table todos in access exclusive mode")
        .await?;
    // More than the gateway has connections to a site; each is a reader who leaves.
    for _ in 0..8 {
        let asked = tokio::time::timeout(Duration::from_millis(300), gateway.get(&todos)).await;
        assert!(asked.is_err(), "the table is locked");
    }
    let (began, witness) = (Instant::now(), Witness::of_processor());
    gateway.read(&others).await?;
    let (took, late) = (began.elapsed(), witness.late());
    assert!(
        took < Duration::from_secs(3) + late,
        "{took:?}, of which nobody got anything done for {late:?}"
    );
    let waiting = "select count(*) from pg_stat_activity where usename = 'sync_gateway' and state = 'active'";
    world.wait_for(SERVER, waiting, &["0"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_many_rows_or_large_ones_but_not_many_large_ones() -> Result<()> {
    let (world, gateway) = apart(0, "create table files (id int primary key, body text not null)").await?;
    let rows = rows_at(SERVER, "public.files");
    world
        .run(
            SERVER,
            "insert into files select n, repeat('x', 3000000) from generate_series(1, 10) n",
        )
        .await?;
    gateway.get(&rows).await?.problem(422, "page-too-large")?;
    gateway
        .get("/api/v1/tables/public.files/rows")
        .await?
        .problem(422, "page-too-large")?;
    assert_eq!(all_pages(&gateway, &rows, &[("limit", "4")]).await?.len(), 10);
    world
        .run(SERVER, "insert into files values (11, repeat('x', 20000000))")
        .await?;
    let one = gateway.read(&format!("{rows}/11")).await?;
    assert_eq!(one["values"]["body"].as_str().map(str::len), Some(20_000_000));
    Ok(())
}
