//! Both sides write the same key while they cannot see each other.

use anyhow::Result;
use synccluster_integration::World;
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const TODOS: &str = "create table todos (id int primary key, title text not null)";
const ROWS: &str = "select id || ' ' || title from todos order by id";

/// Both clients are cut, each does its part (the second one later, so its version is higher), both come back.
async fn apart(seed: &str, first: &str, second: &str) -> Result<World> {
    let mut world = World::start(2, TODOS).await?;
    world.run(SERVER, seed).await?;
    world.converged().await?;
    world.pause(ONE).await;
    world.pause(TWO).await;
    world.run(ONE, first).await?;
    world.run(TWO, second).await?;
    world.resume(ONE)?;
    world
        .wait_for(
            SERVER,
            "select count(*) >= 1 from sync.progress where \"offset\" > 0",
            &["t"],
        )
        .await?;
    world.resume(TWO)?;
    world.converged().await?;
    Ok(world)
}

async fn recorded(world: &World) -> Result<Vec<String>> {
    world
        .ask(
            SERVER,
            "select kind || ': ' || coalesce(loser ->> 'title', '-') || ' lost' from sync.conflicts order by id",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_insert_the_later_stays_and_the_other_is_recorded() -> Result<()> {
    let world = apart(
        "",
        "insert into todos values (1, 'one')",
        "insert into todos values (1, 'two')",
    )
    .await?;
    assert_eq!(world.ask(ONE, ROWS).await?, ["1 two"]);
    assert_eq!(recorded(&world).await?, ["insert/insert: one lost"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn update_update_the_later_stays_and_the_other_is_recorded() -> Result<()> {
    let seed = "insert into todos values (1, 'old')";
    let world = apart(seed, "update todos set title = 'one'", "update todos set title = 'two'").await?;
    assert_eq!(world.ask(ONE, ROWS).await?, ["1 two"]);
    assert_eq!(recorded(&world).await?, ["update/update: one lost"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_delete_beats_an_update() -> Result<()> {
    let world = apart(
        "insert into todos values (1, 'old')",
        "update todos set title = 'one'",
        "delete from todos",
    )
    .await?;
    assert!(world.ask(ONE, ROWS).await?.is_empty());
    assert_eq!(recorded(&world).await?, ["update/delete: one lost"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_update_beats_a_delete() -> Result<()> {
    let world = apart(
        "insert into todos values (1, 'old')",
        "delete from todos",
        "update todos set title = 'two'",
    )
    .await?;
    assert_eq!(world.ask(ONE, ROWS).await?, ["1 two"]);
    assert_eq!(recorded(&world).await?, ["delete/update: - lost"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_inserted_again_beats_an_earlier_update() -> Result<()> {
    let again = "delete from todos; insert into todos values (1, 'again')";
    let world = apart(
        "insert into todos values (1, 'old')",
        "update todos set title = 'one'",
        again,
    )
    .await?;
    assert_eq!(world.ask(ONE, ROWS).await?, ["1 again"]);
    assert_eq!(
        world
            .ask(SERVER, "select bool_or(loser ->> 'title' = 'one') from sync.conflicts")
            .await?,
        ["t"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_a_delete_and_an_insert() -> Result<()> {
    let seed = "insert into todos values (1, 'old')";
    let world = apart(seed, "update todos set title = 'one'", "update todos set id = 2").await?;
    assert_eq!(world.ask(ONE, ROWS).await?, ["2 old"]);
    assert_eq!(recorded(&world).await?, ["update/delete: one lost"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_deletes_what_was_there_and_not_what_came_meanwhile() -> Result<()> {
    let seed = "insert into todos select n, 'old' from generate_series(1, 3) n";
    let world = apart(seed, "insert into todos values (4, 'one')", "truncate todos").await?;
    assert_eq!(world.ask(TWO, ROWS).await?, ["4 one"]);
    assert!(recorded(&world).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rows_with_one_unique_value_the_later_stays_everywhere() -> Result<()> {
    let mut world = World::start(2, "create table people (id int primary key, email text unique)").await?;
    world.pause(ONE).await;
    world.pause(TWO).await;
    world.run(ONE, "insert into people values (1, 'a@b')").await?;
    world.run(TWO, "insert into people values (2, 'a@b')").await?;
    world.resume(ONE)?;
    world.wait_for(SERVER, "select id from people", &["1"]).await?;
    world.resume(TWO)?;
    world.converged().await?;
    assert_eq!(world.ask(ONE, "select id from people").await?, ["2"]);
    assert_eq!(
        world
            .ask(SERVER, "select kind || (loser ->> 'id') from sync.conflicts")
            .await?,
        ["unique1"]
    );
    assert_eq!(world.ask(SERVER, "select count(*) from sync.parked").await?, ["0"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_loses_to_a_row_that_itself_loses() -> Result<()> {
    let mut world = World::start(
        1,
        "create table people (id int primary key, email text unique, phone text unique)",
    )
    .await?;
    world.converged().await?;
    world.pause(ONE).await;
    world.run(SERVER, "insert into people values (1, 'a@b', '1')").await?;
    world.run(ONE, "insert into people values (3, 'a@b', '2')").await?;
    world.run(SERVER, "insert into people values (2, 'c@d', '2')").await?;
    world.resume(ONE)?;
    world.converged().await?;
    assert_eq!(world.ask(ONE, "select id from people order by id").await?, ["1", "2"]);
    assert_eq!(
        world
            .ask(SERVER, "select kind || (loser ->> 'id') from sync.conflicts")
            .await?,
        ["unique3"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_swap_a_unique_value_get_through() -> Result<()> {
    let world = World::start(
        1,
        "create table seats (id int primary key, seat int unique deferrable initially deferred)",
    )
    .await?;
    world.run(SERVER, "insert into seats values (1, 10), (2, 20)").await?;
    world
        .wait_for(ONE, "select seat from seats order by id", &["10", "20"])
        .await?;
    world
        .run(SERVER, "begin; update seats set seat = 30 - seat; commit")
        .await?;
    world
        .wait_for(ONE, "select seat from seats order by id", &["20", "10"])
        .await?;
    world.run(ONE, "update seats set seat = 30 - seat").await?;
    world
        .wait_for(SERVER, "select seat from seats order by id", &["10", "20"])
        .await?;
    world.converged().await?;
    assert_eq!(world.ask(SERVER, "select count(*) from sync.conflicts").await?, ["0"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rows_that_collide_the_later_stays_whatever_the_constraint() -> Result<()> {
    let schema = r#"
        create table expression (id int primary key, email text); create unique index on expression (lower(email), (id > 0));
        create table partial (id int primary key, "the room" int, gone bool not null); create unique index on partial ("the room") where not gone;
        create table generated (id int primary key, email text, canonical text generated always as (lower(email)) stored unique);
        create table nulls (id int primary key, a int, b text, unique nulls not distinct (a, b));
        create table excluded (id int primary key, ord tsrange, gone bool, exclude using gist (ord with &&) where (gone is not true));
        create table deferred (id int primary key, seat int unique deferrable initially deferred)"#;
    let write = |id: u8, name: &str| {
        format!(
            "insert into expression values ({id}, '{name}@B.c'); insert into generated values ({id}, '{name}@B.c'); insert into nulls values ({id}, null, 'x');
             insert into partial values ({id}, 101, false), ({id} + 10, 101, true); insert into deferred values ({id}, 7);
             insert into excluded values ({id}, '[2024-01-0{id},2024-01-09)', null), ({id} + 10, '[2024-01-0{id},2024-01-09)', true)"
        )
    };
    let mut world = World::start(2, schema).await?;
    world.converged().await?;
    world.pause(ONE).await;
    world.pause(TWO).await;
    world.run(ONE, &write(1, "a")).await?;
    world.run(TWO, &write(2, "A")).await?;
    world.resume(ONE)?;
    world.wait_for(SERVER, "select id from deferred", &["1"]).await?;
    world.resume(TWO)?;
    world.converged().await?;
    for (table, expected) in [
        ("expression", &["2"][..]),
        ("generated", &["2"]),
        ("nulls", &["2"]),
        ("deferred", &["2"]),
        ("partial", &["2", "11", "12"]),
        ("excluded", &["2", "11", "12"]),
    ] {
        let left = world.ask(ONE, &format!("select id from {table} order by id")).await?;
        assert_eq!(left, expected, "{table}");
    }
    let lost = "select relation || ' ' || (loser ->> 'id') from sync.conflicts where kind = 'unique' order by 1";
    let expected = ["deferred", "excluded", "expression", "generated", "nulls", "partial"]
        .map(|table| format!("public.{table} 1"));
    assert_eq!(world.ask(SERVER, lost).await?, expected);
    Ok(())
}

/// Deletes at client-1 and inserts again at client-2 the rows of `table`, each in a session with other settings.
async fn deleted_and_inserted_again(world: &World, table: &str, row: &str) -> Result<()> {
    let elsewhere = "set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'";
    let here = "set timezone = 'America/St_Johns'; set extra_float_digits = 0";
    world
        .run(SERVER, &format!("insert into {table} values ({row})"))
        .await?;
    let count = format!("select count(*) from {table}");
    world.wait_for(ONE, &count, &["1"]).await?;
    world.wait_for(TWO, &count, &["1"]).await?;
    world.run(ONE, &format!("{elsewhere}; delete from {table}")).await?;
    world.wait_for(TWO, &count, &["0"]).await?;
    world
        .run(TWO, &format!("{here}; insert into {table} values ({row})"))
        .await?;
    world.wait_for(ONE, &count, &["1"]).await?;
    world.converged().await?;
    let after_it = format!(
        "select r.sync_parent = x.version and r.sync_version > x.version from {table} r, sync.tombstones x where x.relation = 'public.{table}'"
    );
    for site in [SERVER, ONE, TWO] {
        let seen = world.ask(site, &after_it).await?;
        assert_eq!(seen, ["t"], "{site}: one tombstone, and the row after it");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_the_same_whatever_the_settings_of_the_session_that_deletes_it() -> Result<()> {
    let schema = "create domain moment as timestamptz;
        create table readings (at moment, site text, primary key (at, site) include (value), value int);
        create table odd (i interval, b bytea, f float8, r tstzrange, a timestamptz[], primary key (i, b, f, r, a))";
    let world = World::start(2, schema).await?;
    deleted_and_inserted_again(&world, "readings", "'2024-01-01 00:00:00+00', 'x', 7").await?;
    let odd = r"'1 year 2 days 03:00', '\x00ff41', 0.1::float8 + 0.2, '[2024-01-01 00:00+00,2024-01-02 00:00+00)', '{2024-01-01 00:00+00}'";
    deleted_and_inserted_again(&world, "odd", odd).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_is_recorded_to_the_last_digit() -> Result<()> {
    let mut world = World::start(1, "create table prices (id int primary key, price numeric)").await?;
    world.pause(ONE).await;
    world
        .run(SERVER, "insert into prices values (1, 0.12345678901234567890)")
        .await?;
    world
        .run(ONE, "insert into prices values (1, 9.98765432109876543210)")
        .await?;
    world.resume(ONE)?;
    let recorded = "select (loser ->> 'price') || ' ' || (winner ->> 'price') from sync.conflicts";
    let both = ["0.12345678901234567890 9.98765432109876543210"];
    world.wait_for(SERVER, recorded, &both).await
}
