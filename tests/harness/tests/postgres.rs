//! The harness' Postgres is what a test takes it for: its own, durable across a kill -9, and with a site's roles.

use anyhow::{Result, ensure};
use synccluster_harness::{Postgres, Role};

async fn rows(postgres: &Postgres) -> Result<i64> {
    Ok(postgres
        .superuser()
        .await?
        .query_one("SELECT count(*) FROM t", &[])
        .await?
        .get(0))
}

#[tokio::test]
async fn a_committed_row_survives_kill_stop_and_restart() -> Result<()> {
    let mut postgres = Postgres::start().await?;
    let app = postgres.connect(Role::App).await?;
    app.batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await?;
    postgres.kill().await?;
    assert!(postgres.superuser().await.is_err(), "a killed server answers");
    assert!(app.simple_query("SELECT 1").await.is_err(), "a session outlived kill");
    postgres.restart().await?;
    assert_eq!(rows(&postgres).await?, 1);
    postgres
        .superuser()
        .await?
        .batch_execute("INSERT INTO t VALUES (2)")
        .await?;
    postgres.stop().await?;
    postgres.restart().await?;
    postgres.restart().await?;
    assert_eq!(rows(&postgres).await?, 2);
    Ok(())
}

#[tokio::test]
async fn two_are_apart_and_each_role_is_what_its_secret_says() -> Result<()> {
    let (one, two) = tokio::try_join!(Postgres::start(), Postgres::start())?;
    one.superuser().await?.batch_execute("CREATE TABLE t (id int)").await?;
    assert!(rows(&two).await.is_err(), "the table of one server is in the other");
    for role in [Role::App, Role::Admin, Role::Connector, Role::Sink] {
        let row = one
            .connect(role)
            .await?
            .query_one(
                "SELECT current_user::text, current_setting('is_superuser'), current_database()::text",
                &[],
            )
            .await?;
        let dir = one.secret_dir(role);
        let read = |key: &str| std::fs::read_to_string(dir.join(key));
        assert_eq!(
            (row.get::<_, String>(0), row.get::<_, &str>(1)),
            (read("username")?, "off")
        );
        assert_eq!(
            (row.get::<_, String>(2), read("port")?),
            (read("dbname")?, one.port().to_string())
        );
        ensure!(
            tokio_postgres::connect(&read("uri")?, tokio_postgres::NoTls)
                .await
                .is_ok(),
            "{role:?}: its uri does not connect"
        );
        let wrong = read("uri")?.replace(&read("password")?, "wrong");
        assert!(
            tokio_postgres::connect(&wrong, tokio_postgres::NoTls).await.is_err(),
            "{role:?} gets in with a wrong password"
        );
    }
    Ok(())
}

#[tokio::test]
async fn it_decodes_logically() -> Result<()> {
    let postgres = Postgres::start().await?;
    let client = postgres.superuser().await?;
    client
        .batch_execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        .await?;
    assert_eq!(
        client
            .query("SELECT 1 FROM pg_replication_slots WHERE plugin = 'pgoutput'", &[])
            .await?
            .len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_when_it_is_dropped() -> Result<()> {
    let postgres = Postgres::start().await?;
    let (port, dir) = (postgres.port(), postgres.secret_dir(Role::App));
    drop(postgres);
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
        "it still listens"
    );
    assert!(!dir.exists(), "its files are still there");
    Ok(())
}
