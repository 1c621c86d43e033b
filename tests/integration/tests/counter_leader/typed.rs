//! The terminal client on a terminal, which is tmux's.

use std::{
    collections::BTreeMap,
    process::{Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use synccluster_harness::{Tmux, eventually};
use synccluster_integration::counter::{Nodes, PATIENCE};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::{
    NODE,
    clients::{Client, leaders},
    next_leader,
};

/// A person sits down at a terminal.
async fn sits_down(tmux: &Tmux, nodes: &Nodes, name: &str) -> Result<()> {
    let leaders = leaders(nodes).join(",");
    tmux.person(name, &format!("'{NODE}' client --leader {leaders} --name {name}"))
        .await
}

/// The node a screen's first line names.
fn node_of(screen: &str) -> Option<usize> {
    let title = screen.lines().next()?;
    title.split_once("node ")?.1.split_whitespace().next()?.parse().ok()
}

#[tokio::test]
async fn two_people_see_each_others_likes_and_go_on_when_a_node_dies() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &[]).await?;
    next_leader(&nodes, &[0, 1, 2], 1).await?;
    let tmux = Tmux::new();
    for name in ["ann", "bob"] {
        sits_down(&tmux, &nodes, name).await?;
        tmux.shows_text(name, "likes of").await?;
        tmux.shows_text(name, "term").await?;
    }
    let ann = node_of(&tmux.screen("ann").await?).context("ann has no node")?;
    let bob = node_of(&tmux.screen("bob").await?).context("bob has no node")?;
    ensure!(ann != bob, "both at node {ann}");
    tmux.types("ann", "like").await?;
    tmux.shows("bob", &["tea", "1", "1"]).await?;
    tmux.types("bob", "like tea").await?;
    tmux.types("bob", "like green tea").await?;
    for name in ["ann", "bob"] {
        tmux.shows(name, &["tea", "2", "1", "1"]).await?;
    }
    tmux.types("ann", "unlike tea").await?;
    tmux.types("ann", "love tea").await?;
    tmux.shows_text("ann", "`love tea` is nothing that can be typed")
        .await?;
    tmux.types("ann", "totals").await?;
    eventually(PATIENCE, async || {
        let screen = tmux.screen("bob").await?;
        let row = screen.lines().find(|line| line.starts_with("tea")).context("no tea")?;
        ensure!(row.split_whitespace().nth(1) == Some("1"), "{screen}");
        Ok(())
    })
    .await?;
    // What is half typed stays while totals change.
    tmux.run(&["send-keys", "-t", "bob", "-l", "like cof"]).await?;
    tmux.types("ann", "like").await?;
    eventually(PATIENCE, async || {
        let screen = tmux.screen("bob").await?;
        let tea = screen.lines().find(|line| line.starts_with("tea")).context("no tea")?;
        ensure!(tea.split_whitespace().nth(1) == Some("2"), "{screen}");
        ensure!(screen.lines().any(|line| line == "> like cof"), "{screen}");
        Ok(())
    })
    .await?;
    tmux.types("bob", "fee").await?;
    tmux.shows_text("ann", "coffee").await?;
    ensure!(
        tmux.run(&["capture-pane", "-e", "-p", "-t", "ann"])
            .await?
            .contains("\u{1b}["),
        "no colour"
    );
    nodes.kill(ann).await?;
    tmux.types("ann", "like tea").await?;
    tmux.types("bob", "like tea").await?;
    eventually(PATIENCE, async || {
        let screen = tmux.screen("ann").await?;
        let tea = screen.lines().find(|line| line.starts_with("tea")).context("no tea")?;
        ensure!(tea.split_whitespace().nth(1) == Some("4"), "{screen}");
        ensure!(node_of(&screen).is_some_and(|node| node != ann), "{screen}");
        Ok(())
    })
    .await?;
    println!("{}", tmux.screen("ann").await?);
    tmux.types("ann", "quit").await?;
    let screen = tmux.shows_text("ann", "exit code 0").await?;
    ensure!(screen.contains("4 acknowledged"), "{screen}");
    tmux.run(&["send-keys", "-t", "bob", "C-c"]).await?;
    tmux.shows_text("bob", "exit code 0").await?;
    Ok(())
}

async fn piped(nodes: &Nodes, flags: &[&str], input: &str) -> Result<Output> {
    let mut client = Command::new(NODE)
        .args(["client", "--leader", &leaders(nodes).join(","), "--name", "ann"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    client
        .stdin
        .take()
        .context("no input")?
        .write_all(input.as_bytes())
        .await?;
    Ok(timeout(PATIENCE, client.wait_with_output()).await??)
}

#[tokio::test]
async fn without_a_terminal_it_reads_and_writes_lines_and_its_exit_code_tells() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 3, &[]).await?;
    let output = piped(&nodes, &[], "like\nlike tea\nunlike green tea\nnonsense\n\n").await?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}");
    ensure!(
        !text.contains('\u{1b}') && text.contains("connected to node "),
        "{text}"
    );
    ensure!(
        text.contains("liked tea at node ") && text.contains("unliked green tea at node "),
        "{text}"
    );
    ensure!(text.contains("`nonsense` is nothing that can be typed"), "{text}");
    // Who asks next may be sent to another node.
    let counted = [("green tea", -1), ("tea", 2)].map(|(id, total)| (id.to_owned(), total));
    nodes.agree(&BTreeMap::from(counted)).await?;
    let output = piped(&nodes, &["--json"], "totals\n").await?;
    let last = String::from_utf8(output.stdout)?;
    let last: serde_json::Value = serde_json::from_str(last.lines().last().context("no line")?)?;
    ensure!(
        last["totals"][1]["id"] == "tea" && last["totals"][1]["total"] == 2,
        "{last}"
    );
    let mut follower = Client::start(&leaders(&nodes), "bob", &["--follow", "--watch", "coffee"])?;
    eventually(PATIENCE, async || follower.node().context("not connected")).await?;
    piped(&nodes, &[], "like coffee\nlike tea\n").await?;
    eventually(PATIENCE, async || {
        let totals = follower.said("total");
        let last = totals.last().context("no total")?;
        ensure!(last.1["id"] == "coffee" && last.1["total"] == 1, "{totals:?}");
        Ok(())
    })
    .await?;
    ensure!(!follower.said("total").iter().any(|(_, total)| total["id"] == "tea"));
    follower.types("quit").await?;
    ensure!(follower.ends().await? == Some(0));
    for node in 0..3 {
        nodes.kill(node).await?;
    }
    let output = piped(&nodes, &["--wait", "500ms"], "like tea\n").await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(1) && said.contains("of 1 it is not known"),
        "{said}"
    );
    let output = piped(&nodes, &["--leader", "http://x"], "").await?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}
