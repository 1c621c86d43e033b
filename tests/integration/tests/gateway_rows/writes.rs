//! Insert, update, delete: what an application at the site would do.

use anyhow::{Context, Result};
use futures::future::join_all;
use hyper::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use synccluster_integration::{World, gateway::Gateway};

use crate::{ONE, SERVER, TODOS, TWO, apart, delete, patch, rows_at};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_one_site_arrives_at_the_others() -> Result<()> {
    let world = World::start(2, TODOS).await?;
    let gateway = Gateway::start(&world).await?;
    let made = gateway
        .post(&rows_at(ONE, "public.todos"), &json!({"values": {"title": "buy milk"}}))
        .await?;
    let row = made.ok()?;
    assert_eq!(
        (made.status.as_u16(), &row["written_at_site"]),
        (201, &json!("client-1"))
    );
    assert_eq!(row["values"]["done"], false);
    world.wait_for(TWO, "select title from todos", &["buy milk"]).await?;

    let path = row["key_path"].as_str().context("no key")?;
    let at_two = format!("{}/{path}", rows_at(TWO, "public.todos"));
    assert_eq!(gateway.read(&at_two).await?, row);
    let done = patch(&gateway, &at_two, json!({"done": true}), None).await?.ok()?;
    assert_eq!(
        (&done["parent"], &done["written_at_site"]),
        (&row["version"], &json!("client-2"))
    );
    world.wait_for(ONE, "select done from todos", &["t"]).await?;
    assert_eq!(
        gateway
            .read(&format!("{}/{path}", rows_at(ONE, "public.todos")))
            .await?,
        done
    );

    assert_eq!(
        delete(&gateway, &format!("{}/{path}", rows_at(SERVER, "public.todos")), None)
            .await?
            .status,
        204
    );
    world.wait_for(TWO, "select id from todos", &[]).await?;
    gateway.get(&at_two).await?.problem(404, "unknown-row")?;
    assert_eq!(world.ask(TWO, "select count(*) from sync.tombstones").await?, ["1"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changed_since_it_was_read_is_not_overwritten() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    let rows = rows_at(SERVER, "public.todos");
    let made = gateway
        .post(&rows, &json!({"values": {"id": 1, "title": "first"}}))
        .await?;
    let (path, tag) = (format!("{rows}/1"), made.header("etag").context("no ETag")?.to_owned());
    world.run(SERVER, "update todos set title = 'second'").await?;

    let problem = patch(&gateway, &path, json!({"title": "third"}), Some(&tag))
        .await?
        .problem(412, "changed-since")?;
    assert_eq!(problem["current"], gateway.read(&path).await?);
    assert_eq!(problem["current"]["values"]["title"], "second");
    delete(&gateway, &path, Some(&tag))
        .await?
        .problem(412, "changed-since")?;
    assert_eq!(world.ask(SERVER, "select title from todos").await?, ["second"]);

    let tag = gateway.get(&path).await?.header("etag").context("no ETag")?.to_owned();
    let both = format!("\"1\", {tag}");
    let third = patch(&gateway, &path, json!({"title": "third"}), Some(&both)).await?;
    assert_eq!(third.ok()?["values"]["title"], "third");
    patch(&gateway, &path, json!({"title": "x"}), Some("third"))
        .await?
        .problem(400, "bad-if-match")?;
    assert_eq!(delete(&gateway, &path, Some("*")).await?.status, 204);

    // What is gone is another thing than what never was.
    let problem = patch(&gateway, &path, json!({"title": "x"}), Some(&tag))
        .await?
        .problem(412, "changed-since")?;
    assert_eq!(problem["current"], Value::Null);
    patch(&gateway, &path, json!({"title": "x"}), None)
        .await?
        .problem(404, "unknown-row")?;
    delete(&gateway, &path, None).await?.problem(404, "unknown-row")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_write_the_version_they_read_one_gets_through() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    let rows = rows_at(SERVER, "public.todos");
    gateway
        .post(&rows, &json!({"values": {"id": 1, "title": "0"}}))
        .await?
        .ok()?;
    let path = format!("{rows}/1");
    for round in 1..=10 {
        let tag = gateway.get(&path).await?.header("etag").context("no ETag")?.to_owned();
        let writers = (0..6).map(|n| patch(&gateway, &path, json!({"title": format!("{round} by {n}")}), Some(&tag)));
        let mut written = Vec::new();
        for answer in join_all(writers).await {
            let answer = answer?;
            match answer.status.as_u16() {
                200 => written.push(answer.ok()?["values"]["title"].clone()),
                _ => drop(answer.problem(412, "changed-since")?),
            }
        }
        assert_eq!(written.len(), 1, "{written:?}");
        assert_eq!(
            world.ask(SERVER, "select title from todos").await?,
            [written[0].as_str().unwrap_or_default()]
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_is_named_with_what_is_against_it() -> Result<()> {
    let schema = format!(
        "{TODOS}; create table notes (id int primary key, todo bigint not null references todos, tag text unique, made int generated always as identity)"
    );
    let (world, gateway) = apart(0, &schema).await?;
    let (todos, notes) = (rows_at(SERVER, "public.todos"), rows_at(SERVER, "public.notes"));
    world
        .run(
            SERVER,
            "insert into todos (id, title) values (1, 'x'); insert into notes (id, todo, tag) values (1, 1, 'a')",
        )
        .await?;
    for (rows, values, field, name) in [
        (&todos, json!({"id": 1, "title": "again"}), "constraint", "todos_pkey"),
        (&todos, json!({"title": ""}), "constraint", "todos_title_check"),
        (&todos, json!({"title": null}), "column", "title"),
        (&notes, json!({"id": 2, "todo": 9}), "constraint", "notes_todo_fkey"),
        (
            &notes,
            json!({"id": 2, "todo": 1, "tag": "a"}),
            "constraint",
            "notes_tag_key",
        ),
    ] {
        let problem = gateway
            .post(rows, &json!({ "values": values }))
            .await?
            .problem(409, "constraint")?;
        assert_eq!(problem[field], name, "{problem}");
    }
    let problem = delete(&gateway, &format!("{todos}/1"), None)
        .await?
        .problem(409, "constraint")?;
    assert_eq!(problem["constraint"], "notes_todo_fkey");
    let made = gateway
        .post(&notes, &json!({"values": {"id": 2, "todo": 1, "made": 5}}))
        .await?
        .problem(422, "not-writable")?;
    assert_eq!(made["column"], "made");
    patch(&gateway, &format!("{todos}/1"), json!({}), None)
        .await?
        .problem(422, "nothing-to-write")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_may_get_another_key_and_says_where_it_is_then() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'x')")
        .await?;
    let rows = rows_at(SERVER, "public.todos");
    let moved = patch(&gateway, &format!("{rows}/1"), json!({"id": "5"}), None).await?;
    assert_eq!(moved.ok()?["key_path"], "5");
    assert_eq!(moved.header("content-location"), Some(format!("{rows}/5").as_str()));
    assert_eq!(
        world.ask(SERVER, "select key ->> 'id' from sync.tombstones").await?,
        ["1"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_the_table_have_their_say() -> Result<()> {
    let schema = "create table guarded (id int primary key, title text);
        create function guard() returns trigger language plpgsql as $$ begin
          if new.title = 'no' then raise exception 'titles may not be no' using hint = 'say yes'; end if;
          if new.title = 'nothing' then return null; end if;
          return new;
        end $$;
        create trigger guard before insert or update on guarded for each row execute function guard();
        create function keep() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger keep before delete on guarded for each row execute function keep()";
    let (_world, gateway) = apart(0, schema).await?;
    let rows = rows_at(SERVER, "public.guarded");
    let make = async |title: &str| gateway.post(&rows, &json!({"values": {"id": 1, "title": title}})).await;
    let problem = make("no").await?.problem(422, "refused-by-database")?;
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("titles may not be no") && detail.contains("say yes")),
        "{problem}"
    );
    make("nothing").await?.problem(422, "refused-by-database")?;
    make("yes").await?.ok()?;
    // The row is the one that was read: what stands against the write is the trigger, and not somebody else's.
    let path = format!("{rows}/1");
    let tag = gateway.get(&path).await?.header("etag").context("no ETag")?.to_owned();
    for only in [None, Some("*"), Some(tag.as_str())] {
        for answer in [
            patch(&gateway, &path, json!({"title": "nothing"}), only).await?,
            delete(&gateway, &path, only).await?,
        ] {
            let problem = answer.problem(422, "refused-by-database")?;
            assert!(
                problem["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains("trigger of public.guarded") && detail.contains("NULL")),
                "{only:?}: {problem}"
            );
        }
    }
    patch(&gateway, &path, json!({"title": "nothing"}), Some("\"1\""))
        .await?
        .problem(412, "changed-since")?;
    delete(&gateway, &path, Some("\"1\""))
        .await?
        .problem(412, "changed-since")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_what_is_expected_is_a_problem() -> Result<()> {
    let (_world, gateway) = apart(0, TODOS).await?;
    let rows = rows_at(SERVER, "public.todos");
    for body in [
        json!({"title": "x"}),
        json!({"values": 1}),
        json!([]),
        json!({"values": {}, "more": 1}),
    ] {
        gateway.post(&rows, &body).await?.problem(422, "bad-body")?;
    }
    let plain = [(CONTENT_TYPE, "text/plain")];
    gateway
        .send(Method::POST, &rows, &plain, None)
        .await?
        .problem(415, "not-json")?;
    let large = json!({"values": {"title": "x".repeat(2_000_000)}});
    gateway.post(&rows, &large).await?.problem(413, "too-large")?;
    // All defaults: there is no title.
    assert_eq!(
        gateway
            .post(&rows, &json!({"values": {}}))
            .await?
            .problem(409, "constraint")?["column"],
        "title"
    );
    Ok(())
}
