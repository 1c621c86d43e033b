//! Running the programs that change the node: `nft` and `ip`.

use std::{io, process::Stdio};

use thiserror::Error;
use tokio::{io::AsyncWriteExt, process::Command};

/// Why a program did not do its work.
#[derive(Debug, Error)]
pub enum CommandError {
    #[error("cannot run `{0}` ({1}): is it in the image?")]
    NotRun(String, io::Error),
    #[error("`{0}` failed: {1}")]
    Failed(String, String),
}

/// Run to its end, with `input` on its standard input; what it printed.
pub async fn run(program: &str, args: &[&str], input: &str) -> Result<String, CommandError> {
    let spoken = || format!("{program} {}", args.join(" "));
    let not_run = |error| CommandError::NotRun(spoken(), error);
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(not_run)?;
    let stdin = child.stdin.take();
    // Together: a program that answers before it has read everything would wait for us while we wait for it.
    let feed = async {
        let Some(mut stdin) = stdin else { return };
        // One that gives up early breaks the pipe; its own words about it are below.
        let _ = stdin.write_all(input.as_bytes()).await;
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(not_run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(CommandError::Failed(
        spoken(),
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}
