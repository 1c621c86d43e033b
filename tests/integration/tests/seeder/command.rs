//! The command line in processes of its own: what goes on in one is seen from another, and told what to do.

use std::{
    io::Read as _,
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, World};

use super::{
    Place,
    api::{EDITOR, Server, VIEWER},
    faults::{Killed, TODOS, rows},
};

fn seeder(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seeder"));
    command.args(line.split_ascii_whitespace());
    for variable in ["SEEDER_TOKEN", "SEEDER_TOKEN_FILE", "SYNC_ACCESS_DIR"] {
        command.env_remove(variable);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Writes from this process, over the same journals as the server.
fn here(world: &World, place: &Place, line: &str) -> Result<Command> {
    let mut command = seeder(line);
    command
        .arg("--sites")
        .arg(place.sites(world)?)
        .arg("--journal")
        .arg(place.journals());
    Ok(command)
}

/// Asks the server.
fn ask_as(server: &Server, token: &str, line: &str) -> Result<Output> {
    let mut command = seeder(line);
    command.args(["--url", &format!("http://{}", server.address)]);
    Ok(command.env("SEEDER_TOKEN", token).output()?)
}

fn ask(server: &Server, line: &str) -> Result<Value> {
    let output = ask_as(server, EDITOR, &format!("{line} --json"))?;
    ensure!(output.status.success(), "{line}: {}", error(&output));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{line}: {output:?}"))
}

/// What it says where it does nothing; a line.
fn refused(output: &Output) -> Result<String> {
    let said = error(output);
    ensure!(
        output.status.code() == Some(1) && said.starts_with("error: ") && said.lines().count() == 1,
        "{output:?}"
    );
    Ok(said)
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn acknowledged(server: &Server, run: &str) -> Result<u64> {
    let progress = ask(server, &format!("status {run}"))?;
    progress["acknowledged"].as_u64().with_context(|| progress.to_string())
}

/// Waits until a run that was paused has sent what it had begun, and writes no more.
async fn stands_still(server: &Server, run: &str) -> Result<u64> {
    let count = eventually(PATIENCE, async || {
        let before = acknowledged(server, run)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = acknowledged(server, run)?;
        ensure!(before == after, "{run} writes: {before}, then {after}");
        Ok(after)
    })
    .await?;
    let progress = ask(server, &format!("status {run}"))?;
    ensure!(progress["phase"] == "paused", "{progress}");
    Ok(count)
}

async fn writes_on(server: &Server, run: &str, from: u64) -> Result<()> {
    eventually(PATIENCE, async || {
        let now = acknowledged(server, run)?;
        ensure!(now > from, "{run} has written {now} rows and had written {from}");
        Ok(())
    })
    .await
}

/// A run that writes is paused, goes on and is stopped, each from a process that does nothing else.
async fn is_told(server: &Server, run: &str) -> Result<()> {
    let paused = ask(server, &format!("pause {run}"))?;
    ensure!(paused["phase"] == "paused", "{paused}");
    let count = stands_still(server, run).await?;
    let resumed = ask(server, &format!("resume {run}"))?;
    ensure!(resumed["phase"] == "running", "{resumed}");
    writes_on(server, run, count).await?;
    let stopped = ask(server, &format!("stop {run}"))?;
    ensure!(stopped["phase"] == "stopped", "{stopped}");
    Ok(())
}

/// What a process said, once it has ended.
async fn ended(child: &mut Killed) -> Result<(ExitStatus, String, String)> {
    let status = eventually(PATIENCE, async || child.0.try_wait()?.context("it has not ended")).await?;
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child
        .0
        .stdout
        .take()
        .context("no stdout")?
        .read_to_string(&mut stdout)?;
    child
        .0
        .stderr
        .take()
        .context("no stderr")?
        .read_to_string(&mut stderr)?;
    Ok((status, stdout, stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begun_by_rest_is_told_what_to_do_by_the_command_line() -> Result<()> {
    let (world, place) = (World::start(1, TODOS).await?, Place::new()?);
    let server = Server::start(&world, &place).await?;
    let begun = server
        .post("/api/v1/runs", json!({ "deltas": { "rate": 200 } }))
        .await?
        .ok()?;
    assert_eq!(begun["id"], "deltas-1", "{begun}");
    let all = ask(&server, "runs")?;
    assert_eq!(
        (&all[0]["id"], &all[0]["phase"]),
        (&json!("deltas-1"), &json!("running"))
    );
    let folder: Value = serde_json::from_slice(&here(&world, &place, "runs --json")?.output()?.stdout)
        .context("runs without a server")?;
    assert_eq!(folder[0]["phase"], "running", "{folder}");

    let second = refused(&here(&world, &place, "load --rows 5")?.output()?)?;
    assert!(
        second.contains("run deltas-1 is going on") && second.contains("`stop deltas-1`"),
        "{second}"
    );
    is_told(&server, "deltas-1").await?;
    let again = refused(&ask_as(&server, EDITOR, "stop deltas-1")?)?;
    assert!(again.contains("run deltas-1 is not going on: it is stopped"), "{again}");

    let load = here(&world, &place, "load --rows 5 --json")?.output()?;
    assert!(load.status.success(), "its turn has come: {load:?}");
    assert_eq!(ask(&server, "status load-2")?["phase"], "done");
    assert!(ask_as(&server, EDITOR, "remove load-2")?.status.success());
    let gone = refused(&ask_as(&server, EDITOR, "status load-2")?)?;
    assert!(gone.contains("there is no run load-2"), "{gone}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begun_on_the_command_line_is_told_what_to_do_from_elsewhere() -> Result<()> {
    let (world, place) = (World::start(1, TODOS).await?, Place::new()?);
    let server = Server::start(&world, &place).await?;
    let mut child = Killed(here(&world, &place, "deltas --rate 200 --json")?.spawn()?);
    let running = eventually(PATIENCE, async || {
        let all = server.get("/api/v1/runs").await?.ok()?;
        ensure!(all[0]["acknowledged"].as_u64() > Some(0), "{all}");
        Ok(all[0].clone())
    })
    .await?;
    assert_eq!(
        (&running["id"], &running["phase"]),
        (&json!("deltas-1"), &json!("running"))
    );
    let busy = server.post("/api/v1/runs", json!({ "load": {} })).await?;
    assert!(
        busy.problem(409, "busy")?["detail"]
            .as_str()
            .is_some_and(|said| said.contains("deltas-1")),
        "{}",
        busy.text()
    );
    is_told(&server, "deltas-1").await?;
    let (status, stdout, stderr) = ended(&mut child).await?;
    let last: Value = serde_json::from_str(&stdout).with_context(|| stderr.clone())?;
    assert!(
        status.success() && last["phase"] == "stopped",
        "{status}: {last} {stderr}"
    );
    assert_eq!(
        last["acknowledged"].as_u64(),
        Some(acknowledged(&server, "deltas-1")?),
        "both know the same of it"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_interrupted_says_how_to_go_on_and_does_so_elsewhere() -> Result<()> {
    let (world, place) = (World::start(1, TODOS).await?, Place::new()?);
    let server = Server::start(&world, &place).await?;
    let mut child = Killed(here(&world, &place, "load --rows 1000000")?.spawn()?);
    eventually(PATIENCE, async || {
        ensure!(rows(&world).await? > 0, "nothing is loaded yet");
        Ok(())
    })
    .await?;
    kill_process(Pid::from_child(&child.0), Signal::INT)?;
    let (status, stdout, stderr) = ended(&mut child).await?;
    assert!(
        status.success() && stdout.starts_with("load-1: stopped"),
        "{stdout} {stderr}"
    );
    assert!(
        stderr.contains("to go on with it: synccluster-seeder resume --sites"),
        "{stderr}"
    );
    assert_eq!(
        ask(&server, "status load-1")?["phase"],
        "stopped",
        "seen from elsewhere"
    );
    let before = acknowledged(&server, "load-1")?;
    let resumed = ask(&server, "resume load-1")?;
    assert_eq!(resumed["phase"], "running", "{resumed}");
    writes_on(&server, "load-1", before).await?;
    assert_eq!(ask(&server, "stop load-1")?["phase"], "stopped");
    assert!(rows(&world).await? > before, "it went on behind what was there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_in_a_line() -> Result<()> {
    let (mut world, place) = (World::prepare(TODOS)?, Place::new()?);
    world.add(super::SERVER, "127.0.0.1:1").await?;
    let server = Server::start(&world, &place).await?;
    for (token, line, said) in [
        ("wrong-0123456789abcdef", "runs", "SEEDER_TOKEN_FILE"),
        ("short", "runs", "SEEDER_TOKEN holds no token"),
        (VIEWER, "pause load-1", "this token may look and not change anything"),
        (EDITOR, "pause load-1", "there is no run load-1"),
    ] {
        let refused = refused(&ask_as(&server, token, line)?)?;
        assert!(refused.contains(said), "{line}: {refused}");
    }
    let mut by_file = seeder("runs --token-file");
    by_file
        .arg(place.0.join("access/viewer-token"))
        .args(["--url", &format!("http://{}", server.address)]);
    assert!(by_file.output()?.status.success(), "by a token in a file");
    let mut by_folder = seeder("runs");
    by_folder
        .env("SYNC_ACCESS_DIR", place.0.join("access"))
        .env("SEEDER_URL", format!("http://{}", server.address));
    assert!(by_folder.output()?.status.success(), "as it is beside the server");
    let nobody = refused(&seeder("runs --url http://127.0.0.1:1").output()?)?;
    assert!(nobody.contains("http://127.0.0.1:1 does not answer"), "{nobody}");
    Ok(())
}
