//! A losing write that is made again overwrites only what was looked at.

use anyhow::{Result, ensure};
use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::{
    SERVER, TODOS, apart,
    books::{booked, reapply_only, tag, the_conflict},
    patch, rows_at,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_since_is_not_overwritten_by_a_loser_that_is_made_again() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    let path = format!("{}/1", rows_at(SERVER, "public.todos"));
    let titles = async || world.ask(SERVER, "select title from todos").await;
    let key = json!({"id": 1});
    let lost = json!({"id": 1, "title": "lost", "done": true});
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'won')")
        .await?;
    let looked_at = tag(&gateway.read(&path).await?)?;
    let conflict = booked(&world, &gateway, "public.todos", &key, &lost).await?;
    world.run(SERVER, "update todos set title = 'since'").await?;

    let refused = async |only: (HeaderName, &str)| {
        let problem = reapply_only(&gateway, &conflict, &[only])
            .await?
            .problem(412, "changed-since")?;
        let entry = the_conflict(&gateway).await?;
        ensure!(
            entry["reapplied_at"].is_null() && entry["reapply_obstacle"].is_null(),
            "{entry}"
        );
        anyhow::Ok(problem["current"].clone())
    };
    assert_eq!(
        refused((IF_MATCH, looked_at.as_str())).await?,
        gateway.read(&path).await?
    );
    assert_eq!(refused((IF_NONE_MATCH, "*")).await?["values"]["title"], "since");
    assert_eq!(titles().await?, ["since"]);

    // Gone meanwhile, and made again.
    let since = tag(&gateway.read(&path).await?)?;
    world.run(SERVER, "delete from todos").await?;
    for row in [since.as_str(), "*"] {
        assert_eq!(refused((IF_MATCH, row)).await?, Value::Null);
    }
    assert_eq!(titles().await?, Vec::<String>::new());
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'anew')")
        .await?;
    assert_eq!(refused((IF_NONE_MATCH, "*")).await?["values"]["title"], "anew");
    let current = refused((IF_MATCH, since.as_str())).await?;

    for (only, kind) in [
        (vec![(IF_MATCH, "anew")], "bad-if-match"),
        (vec![(IF_NONE_MATCH, "\"1\"")], "bad-if-none-match"),
        (vec![(IF_MATCH, "*"), (IF_NONE_MATCH, "*")], "bad-if-none-match"),
    ] {
        reapply_only(&gateway, &conflict, &only).await?.problem(400, kind)?;
    }
    assert_eq!(titles().await?, ["anew"]);
    let again = reapply_only(&gateway, &conflict, &[(IF_MATCH, tag(&current)?.as_str())])
        .await?
        .ok()?;
    assert_eq!(
        (&again["row"]["values"], &again["row"]["parent"]),
        (&json!({"id": "1", "title": "lost", "done": true}), &current["version"])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_delete_takes_away_only_what_was_looked_at() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    let path = format!("{}/1", rows_at(SERVER, "public.todos"));
    let key = json!({"id": 1});
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'won')")
        .await?;
    let looked_at = tag(&gateway.read(&path).await?)?;
    let conflict = booked(&world, &gateway, "public.todos", &key, &Value::Null).await?;
    world.run(SERVER, "update todos set title = 'since'").await?;
    let current = gateway.read(&path).await?;
    for only in [(IF_MATCH, looked_at.as_str()), (IF_NONE_MATCH, "*")] {
        let problem = reapply_only(&gateway, &conflict, &[only])
            .await?
            .problem(412, "changed-since")?;
        assert_eq!(problem["current"], current);
    }
    assert_eq!(gateway.read(&path).await?, current);
    let again = reapply_only(&gateway, &conflict, &[(IF_MATCH, tag(&current)?.as_str())]).await?;
    assert_eq!(again.ok()?["row"], Value::Null);
    gateway.get(&path).await?.problem(404, "unknown-row")?;

    // Somebody else has deleted it: that is another thing than what was looked at, and nothing is left to be done.
    let conflict = booked(&world, &gateway, "public.todos", &key, &Value::Null).await?;
    let problem = reapply_only(&gateway, &conflict, &[(IF_MATCH, looked_at.as_str())])
        .await?
        .problem(412, "changed-since")?;
    assert_eq!(problem["current"], Value::Null);
    let again = reapply_only(&gateway, &conflict, &[(IF_NONE_MATCH, "*")]).await?;
    assert_eq!(again.ok()?["row"], Value::Null);
    assert!(the_conflict(&gateway).await?["reapplied_at"].is_string());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_edit_and_a_loser_that_have_seen_the_same_row_one_gets_through() -> Result<()> {
    let (world, gateway) = apart(0, TODOS).await?;
    let path = format!("{}/1", rows_at(SERVER, "public.todos"));
    let key = json!({"id": 1});
    world
        .run(SERVER, "insert into todos (id, title) values (1, 'won')")
        .await?;
    for round in 0..10 {
        let lost = json!({"id": 1, "title": format!("lost {round}"), "done": true});
        let conflict = booked(&world, &gateway, "public.todos", &key, &lost).await?;
        let looked_at = tag(&gateway.read(&path).await?)?;
        let edits = (0..3).map(|n| {
            patch(
                &gateway,
                &path,
                json!({"title": format!("{round} by {n}")}),
                Some(&looked_at),
            )
        });
        let looked = [(IF_MATCH, looked_at.as_str())];
        let (edited, again) = tokio::join!(
            futures::future::join_all(edits),
            reapply_only(&gateway, &conflict, &looked)
        );
        let mut written = 0;
        for answer in edited.into_iter().chain([again]) {
            let answer = answer?;
            if answer.status.is_success() {
                written += 1;
            } else {
                answer.problem(412, "changed-since")?;
            }
        }
        assert_eq!(written, 1, "in round {round}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_which_nothing_can_be_changed_is_made_again_in_a_new_version() -> Result<()> {
    let schema = "create table numbers (id int generated always as identity primary key);
        create table marks (id int generated always as identity primary key, twice int generated always as (id * 2) stored,
                            seen int generated always as identity);
        create table pairs (a text, b int, primary key (a, b));
        create table amounts (amount numeric primary key)";
    let (world, gateway) = apart(0, schema).await?;
    for (table, key, row) in [
        ("public.numbers", json!({"id": 1}), json!({"id": 1})),
        (
            "public.marks",
            json!({"id": 1}),
            json!({"id": 1, "twice": 2, "seen": 1}),
        ),
        ("public.pairs", json!({"a": "x", "b": 1}), json!({"a": "x", "b": 1})),
    ] {
        let again = async |only: &[(HeaderName, &str)]| {
            let conflict = booked(&world, &gateway, table, &key, &row).await?;
            reapply_only(&gateway, &conflict, only).await
        };
        let made = again(&[]).await?.ok()?;
        assert_eq!(made["row"]["values"], row, "{table}");
        // Over what is there, and over what was looked at.
        let over = again(&[]).await?.ok()?;
        assert_eq!(over["row"]["parent"], made["row"]["version"], "{table}");
        let looked_at = tag(&over["row"])?;
        let last = again(&[(IF_MATCH, looked_at.as_str())]).await?.ok()?;
        assert_eq!(last["row"]["parent"], over["row"]["version"], "{table}");
        assert_eq!(last["row"]["values"], row, "{table}");
        again(&[(IF_MATCH, looked_at.as_str())])
            .await?
            .problem(412, "changed-since")?;
    }
    // Equal keys, written otherwise.
    let key = json!({"amount": 1});
    for amount in ["1", "1.0"] {
        let row = serde_json::from_str(&format!(r#"{{"amount": {amount}}}"#))?;
        let conflict = booked(&world, &gateway, "public.amounts", &key, &row).await?;
        reapply_only(&gateway, &conflict, &[]).await?.ok()?;
        assert_eq!(world.ask(SERVER, "select amount from amounts").await?, [amount]);
    }
    Ok(())
}
