//! Definitions of tables: followed, and when they do not match said with what to do.

use anyhow::{Result, ensure};
use synccluster_integration::{World, analytics::Filled};
use synccluster_protocol::Site;

use crate::{TODOS, server};

const SERVER: Site = Site::Server;

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_followed_and_what_does_not_match_is_said_and_filled_when_it_does() -> Result<()> {
    let schema = format!(
        "{TODOS}; create table secrets (id int primary key, v text); create table grid (id int primary key, cells int[])"
    );
    let world = server(&schema).await?;
    world.run(SERVER, "insert into todos (title) values ('a'); insert into secrets values (1, 's'); insert into grid values (1, '{{1,2},{3,4}}')").await?;
    let file = std::env::temp_dir().join(format!("definitions-{}.yaml", world.cluster));
    let mut filled = Filled::prepare().await?;
    filled.definitions = Some(file.clone());
    filled.resume(&world)?;
    let told = |part: &'static str| {
        move |status: &synccluster_protocol::status::AnalyticsStatus| {
            status
                .definitions_problem
                .as_ref()
                .is_some_and(|problem| problem.contains(part))
        }
    };
    filled
        .wait_until("told that there are none", told("are not there"))
        .await?;
    std::fs::write(&file, "tables: [{source: public.todos, nmae: x}]")?;
    filled.wait_until("told what is wrong", told("unknown field")).await?;

    let grid = "- {source: public.grid, columns: [{name: cells, type: Nullable(String)}]}";
    std::fs::write(
        &file,
        format!(
            "tables:\n- {{source: public.secrets, skip: true}}\n- {{source: public.nobody}}\n{grid}\n\
        - {{source: public.todos, name: tasks, columns: [{{name: votes, type: Int16}}]}}"
        ),
    )?;
    filled
        .wait_until("told of a table that is not there", told("public.nobody"))
        .await?;
    filled
        .wait_for("select cells from analytics.grid_current", "[[1,2],[3,4]]")
        .await?;
    let problem = |status: &synccluster_protocol::status::AnalyticsStatus| {
        let table = status.tables.iter().find(|table| table.source == "public.todos");
        table.and_then(|table| table.problem.clone()).unwrap_or_default()
    };
    let status = filled
        .wait_until("told of the type", |status| {
            problem(status).contains("write Int32 or a wider one")
        })
        .await?;
    ensure!(
        status.tables.iter().all(|table| table.source != "public.secrets"),
        "{status:?}"
    );
    let tables = "select groupArray(name) from (select name from system.tables where database = 'analytics' and engine != 'View' order by name)";
    filled
        .wait_for(tables, "['grid','sync_parked','sync_progress','sync_windows']")
        .await?;

    // Put right: what was left out meanwhile is read again from the topic, without a restart.
    std::fs::write(
        &file,
        format!(
            "tables:\n- {{source: public.secrets, skip: true}}\n{grid}\n\
        - {{source: public.todos, name: tasks, columns: [{{name: votes, type: Int64}}]}}"
        ),
    )?;
    filled
        .wait_for(
            "select title, toTypeName(votes) from analytics.tasks_current",
            "a\tInt64",
        )
        .await?;
    filled
        .wait_until("all is well", |status| {
            status.definitions_problem.is_none() && problem(status).is_empty()
        })
        .await?;
    filled.same(&world).await?;

    a_table_that_somebody_made_otherwise_stays_and_the_others_go_on(&world, &filled).await?;
    std::fs::remove_file(&file)?;
    Ok(())
}

async fn a_table_that_somebody_made_otherwise_stays_and_the_others_go_on(world: &World, filled: &Filled) -> Result<()> {
    filled
        .clickhouse
        .ask("create table analytics.other (id Int32, cells String) engine = MergeTree order by id")
        .await?;
    // In one statement: the sink makes a table that is gone within seconds.
    filled
        .clickhouse
        .ask("rename table analytics.grid to analytics.before, analytics.other to analytics.grid")
        .await?;
    world
        .run(
            SERVER,
            "insert into grid values (2, '{5}'); insert into todos (title) values ('b')",
        )
        .await?;
    filled
        .wait_for("select count() from analytics.tasks_current", "2")
        .await?;
    filled
        .wait_until("told of the engine, and of what is left out", |status| {
            let mut problems = status.tables.iter().filter_map(|table| table.problem.as_ref());
            problems.any(|problem| problem.contains("drop table grid")) && status.skipped >= 1
        })
        .await?;
    filled.clickhouse.ask("drop table analytics.grid").await?;
    filled
        .wait_for("select count() from analytics.grid_current", "2")
        .await?;
    filled.same(world).await.map(drop)
}
