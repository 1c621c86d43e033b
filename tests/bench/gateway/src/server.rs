//! A server under test, as a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use synccluster_harness::{repository, socketio};

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// Ours.
    #[serde(rename = "gateway")]
    Gateway,
    /// npm's `socket.io` on Node.
    #[serde(rename = "socket.io")]
    Node,
    /// PyPI's `python-socketio` on uvicorn.
    #[serde(rename = "python-socketio")]
    Python,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Node => "socket.io",
            Self::Python => "python-socketio",
        }
    }

    fn command(self) -> Result<Command> {
        let peers = repository("tests/bench/gateway/peers")?;
        let parts = socketio()?;
        Ok(match self {
            Self::Gateway => {
                let mut command = Command::new(std::env::current_exe()?);
                // As in the pod: the operator sets both for every workload.
                command
                    .arg("serve")
                    .env("MALLOC_ARENA_MAX", "1")
                    .env("MALLOC_TRIM_THRESHOLD_", "131072");
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command
                    .arg(peers.join("server.js"))
                    .env("NODE_PATH", parts.join("node_modules"));
                command.env("NODE_ENV", "production");
                command
            }
            Self::Python => {
                let mut command = Command::new(parts.join("venv/bin/python"));
                command.arg(peers.join("server.py"));
                command
            }
        })
    }
}

/// A running one; it ends when this is dropped.
pub struct Server {
    child: Child,
    /// Where clients connect.
    pub web: u16,
    /// Where events are handed in.
    pub control: u16,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system, in seconds.
    pub cpu: f64,
    /// The most memory it ever held.
    pub peak_mb: f64,
    /// What it holds now.
    pub resident_mb: f64,
}

impl Server {
    /// Starts it and waits until it listens.
    pub fn start(kind: Kind) -> Result<Self> {
        let mut command = kind.command()?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", kind.name()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let ports: Option<(u16, u16)> = line
            .trim()
            .split_once(' ')
            .and_then(|(web, control)| Some((web.parse().ok()?, control.parse().ok()?)));
        let Some((web, control)) = ports else {
            let _ = child.kill();
            bail!("{} does not say where it listens, but {line:?}", kind.name());
        };
        Ok(Self { child, web, control })
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
pub fn usage(pid: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15, counted from the name in parentheses, which is the second.
    let after = stat.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
    let ticks = field(14)
        .zip(field(15))
        .map(|(user, system)| user + system)
        .context("/proc/PID/stat")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mb = |name: &str| -> Result<f64> {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = found.and_then(|text| text.split_whitespace().next());
        Ok(kib.with_context(|| name.to_owned())?.parse::<f64>()? / 1024.0)
    };
    #[expect(clippy::cast_precision_loss, reason = "100, mostly")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(Usage {
        cpu: ticks / per_second,
        peak_mb: mb("VmHWM:")?,
        resident_mb: mb("VmRSS:")?,
    })
}
