//! What happens to the parts when it is the test process that goes wrong. Each test runs itself again as that process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use synccluster_harness::{Kafka, Postgres, eventually};
use tokio::net::TcpStream;

const ROLE: &str = "HARNESS_TEST_PROCESS";
/// Postgres and Kafka may each be made for the first time, on a machine that does other things as well.
const STARTED: Duration = Duration::from_mins(5);
/// What is killed ends when the kernel comes to it.
const GONE: Duration = Duration::from_mins(1);

fn again(test: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

#[tokio::test]
async fn nothing_outlives_a_killed_test_process() -> Result<()> {
    let me = std::process::id();
    let note = |pid: u32| std::env::temp_dir().join(format!("synccluster-harness-ports-{pid}"));
    if std::env::var_os(ROLE).is_some() {
        let (postgres, kafka) = (Postgres::start().await?, Kafka::shared().await?);
        let unfinished = note(me).with_extension("new");
        std::fs::write(
            &unfinished,
            format!("127.0.0.1:{} {}", postgres.port(), kafka.bootstrap()),
        )?;
        std::fs::rename(unfinished, note(me))?;
        std::future::pending::<()>().await;
    }
    let mut process = again("nothing_outlives_a_killed_test_process")?.spawn()?;
    let note = note(process.id());
    let ports = eventually(STARTED, async || Ok(std::fs::read_to_string(&note)?)).await;
    if let Ok(ports) = &ports {
        for address in ports.split(' ') {
            TcpStream::connect(address).await?;
        }
    }
    process.kill()?;
    process.wait()?;
    let _ = std::fs::remove_file(&note);
    for address in ports?.split(' ') {
        eventually(GONE, async || {
            ensure!(TcpStream::connect(address).await.is_err(), "{address} still listens");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_part_that_was_not_fetched_says_how_to_get_it() -> Result<()> {
    if std::env::var_os(ROLE).is_some() {
        Postgres::start().await?;
    }
    let empty = Path::new("/nonexistent");
    let output = again("a_part_that_was_not_fetched_says_how_to_get_it")?
        .env("SYNCCLUSTER_CACHE", empty)
        .output()?;
    let said = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
    ensure!(
        !output.status.success() && said.contains("is missing; run `make integration`"),
        "{said}"
    );
    Ok(())
}
