//! The page in a real browser, on sites without Kubernetes: `tests/page` looks at it. The tour, which cuts and heals, is in tests/e2e.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use synccluster_gateway::{access::Access, app::App, live};
use synccluster_harness::{Kafka, repository};
use synccluster_integration::{
    World,
    gateway::{Gateway, sites},
};
use synccluster_protocol::Site;
use tokio::{process::Command, time::timeout};

const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
const EDITOR: &str = "editor-token-0123456789";
const VIEWER: &str = "viewer-token-0123456789";
/// A browser starts in seconds, and axe looks at everything twice.
const PATIENCE: Duration = Duration::from_mins(10);
const SCHEMA: &str = "create type mood as enum ('low', 'high');
    create table readings (room text, nr int, small smallint, big bigint, price numeric(20,4), ratio double precision, ok boolean,
        sure boolean not null default false, taken timestamptz, day date, doc jsonb, mood mood not null default 'low', tags text[],
        note text not null default '', remark text, total numeric generated always as (price * nr) stored, primary key (room, nr));
    create table logs (id bigint generated always as identity primary key, line text not null)";
const ROWS: &str = r#"insert into readings values ('hall', 1, 7, 9007199254740993, 12.5, 0.1, null, false, '2026-01-02 03:04:05.678+00',
        '2026-01-02', '{"a": [1, null]}', 'low', '{a,"b c",NULL}');
    insert into logs (line) values ('the only line')"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_grid_of_every_type_is_read_and_changed_in_a_browser() -> Result<()> {
    let world = World::start(2, SCHEMA).await?;
    // What the others may write does not always fit here.
    world
        .ask(
            TWO,
            "alter table readings add constraint small_here check (small < 100)",
        )
        .await?;
    world.run(ONE, ROWS).await?;
    world.converged().await?;
    browse(&world, "grid.test.mjs").await
}

/// Runs a test of `tests/page` against a gateway of these sites.
async fn browse(world: &World, test: &str) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("synccluster-page-{}", world.cluster));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("token"), EDITOR)?;
    fs::write(folder.join("viewer-token"), VIEWER)?;
    let mut app = App::new(world.cluster.clone(), sites(world)?, Kafka::shared().await?.bootstrap());
    app.access = Access::guarded(world.cluster.clone(), Some(folder.clone()), None)?;
    let gateway = Gateway::serve(app).await?;
    tokio::spawn(live::run(Arc::clone(&gateway.app), 1));

    let screenshots = repository("target/screenshots")?;
    let mut node = Command::new("node")
        .args(["--test", "--test-reporter=spec", test])
        .current_dir(repository("tests/page")?)
        .env("GATEWAY_URL", format!("http://{}", gateway.address))
        .env("GATEWAY_TOKEN", EDITOR)
        .env("GATEWAY_VIEWER_TOKEN", VIEWER)
        .env("SCREENSHOTS", &screenshots)
        .kill_on_drop(true)
        .spawn()
        .context("running node")?;
    let status = timeout(PATIENCE, node.wait())
        .await
        .context("the browser's test does not end")??;
    fs::remove_dir_all(folder)?;
    ensure!(
        status.success(),
        "{test} failed; its pictures are in {}",
        screenshots.display()
    );
    Ok(())
}
