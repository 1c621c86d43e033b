//! Terminals, which are tmux's: a program on one thinks that a person sits there.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::eventually;

/// How long something may take to appear.
const SHOWS: Duration = Duration::from_mins(1);

/// A tmux server of its own, with a terminal for each person. They end when it is dropped.
pub struct Tmux(String);

impl Tmux {
    /// Without terminals yet.
    #[expect(clippy::new_without_default, reason = "no two of them are alike")]
    pub fn new() -> Self {
        Self(format!("synccluster-{:016x}", rand::random::<u64>()))
    }

    /// What a command of tmux prints.
    pub async fn run(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.0, "-f", "/dev/null"])
            .args(words)
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .output()
            .await
            .context("tmux, which kind/tools.sh --tests installs")?;
        ensure!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A person sits down at a terminal and runs this line of a shell; the terminal stays when that has ended, with `exit code N` on it.
    pub async fn person(&self, name: &str, line: &str) -> Result<()> {
        let line = format!("{line}; echo \"exit code $?\"; sleep 60");
        self.run(&["new-session", "-d", "-s", name, "-x", "100", "-y", "24", &line])
            .await
            .map(drop)
    }

    /// Types a line.
    pub async fn types(&self, name: &str, line: &str) -> Result<()> {
        self.run(&["send-keys", "-t", name, "-l", line]).await?;
        self.run(&["send-keys", "-t", name, "Enter"]).await.map(drop)
    }

    /// What is on a person's screen.
    pub async fn screen(&self, name: &str) -> Result<String> {
        self.run(&["capture-pane", "-p", "-t", name]).await
    }

    /// Waits for a row of these words on a person's screen.
    pub async fn shows(&self, name: &str, words: &[&str]) -> Result<()> {
        eventually(SHOWS, async || {
            let screen = self.screen(name).await?;
            let mut rows = screen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            ensure!(rows.any(|row| row == words), "{name} does not see {words:?}:\n{screen}");
            Ok(())
        })
        .await
    }

    /// Waits for this text on a person's screen; the screen as it is then.
    pub async fn shows_text(&self, name: &str, text: &str) -> Result<String> {
        eventually(SHOWS, async || {
            let screen = self.screen(name).await?;
            ensure!(screen.contains(text), "{name} does not see `{text}`:\n{screen}");
            Ok(screen)
        })
        .await
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = std::process::Command::new("tmux")
            .args(["-L", &self.0, "kill-server"])
            .stderr(Stdio::null())
            .status();
    }
}
