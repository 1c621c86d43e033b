//! The targets of the Makefile that speak of a cluster, as a person runs them.

use std::iter;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use synccluster_harness::repository;
use synccluster_protocol::Site;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{Cluster, PATIENCE, START};

/// What whoever runs the tests may have told his own `make`.
const SETTINGS: [&str; 10] = [
    "MAKEFLAGS",
    "MFLAGS",
    "MAKEOVERRIDES",
    "MAKELEVEL",
    "CLIENTS",
    "COUNTERS",
    "LINK",
    "SITE",
    "ROWS",
    "SEED",
];
/// The server's port, unless another one is asked for.
const USUAL: u16 = 5400;
/// Client i has the port that is so much and i above the server's.
const CLIENTS: u16 = 31;
/// How many places for the ports are tried.
const TRIES: usize = 100;

/// What a target prints.
#[derive(Debug)]
pub struct Printed {
    /// What was asked for.
    pub out: String,
    /// The kubectl that it runs, and what is wrong.
    pub err: String,
}

impl Cluster {
    /// Runs a target for this cluster, with variables such as `CLIENTS=1`. It has to succeed.
    pub async fn make(&self, target: &str, variables: &[&str]) -> Result<Printed> {
        let (status, printed) = self.run(target, variables).await?;
        ensure!(status.success(), "make {target} {variables:?}: {status}: {printed:?}");
        Ok(printed)
    }

    /// Runs one that has to fail, and returns what it says of that.
    pub async fn make_fails(&self, target: &str, variables: &[&str]) -> Result<String> {
        let (status, printed) = self.run(target, variables).await?;
        ensure!(!status.success(), "make {target} {variables:?} succeeded: {printed:?}");
        Ok(printed.err)
    }

    async fn run(&self, target: &str, variables: &[&str]) -> Result<(ExitStatus, Printed)> {
        let ended = timeout(START, self.target(target, variables)?.output()).await;
        let ended = ended.with_context(|| format!("make {target} {variables:?}: no end within {START:?}"))??;
        let printed = Printed {
            out: String::from_utf8(ended.stdout)?,
            err: String::from_utf8(ended.stderr)?,
        };
        Ok((ended.status, printed))
    }

    fn target(&self, target: &str, variables: &[&str]) -> Result<Command> {
        // Ctrl-C as on a terminal: for what is begun in the background it is ignored, and a shell does not change that.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT", "make", "--no-print-directory", target])
            .arg(format!("NAMESPACE={}", self.namespace.name))
            .arg(format!("CLUSTER={}", self.name))
            .args(variables)
            .current_dir(repository("")?)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for setting in SETTINGS {
            command.env_remove(setting);
        }
        Ok(command)
    }
}

/// `make ports`, which goes on until it is interrupted or dropped. Where somebody has the usual ports, it has others.
pub struct Ports {
    make: Child,
    server: u16,
}

impl Ports {
    /// Those of all sites.
    pub async fn of(cluster: &Cluster) -> Result<Self> {
        let sites = cluster.sites().await?;
        let others = iter::repeat_with(|| 20_000 + rand::random::<u16>() % 10_000);
        let mut places = iter::once(USUAL).chain(others.take(TRIES));
        let free = places.find(|server| sites.iter().all(|site| is_free(port(*server, *site))));
        let server = free.context("no free ports")?;
        let told = (server != USUAL).then(|| format!("PORT={server}"));
        let variables: Vec<&str> = told.as_deref().into_iter().collect();
        // A group of its own, which gets what a terminal would send.
        let make = cluster
            .target("ports", &variables)?
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { make, server })
    }

    /// The port of this machine that leads to a site.
    pub fn of_site(&self, site: Site) -> u16 {
        port(self.server, site)
    }

    /// Ctrl-C. Returns what it printed when all that it began has ended.
    pub async fn interrupted(mut self) -> Result<String> {
        self.signal("INT");
        let mut stderr = self.make.stderr.take().context("no stderr")?;
        let mut printed = String::new();
        // Everything it began writes there: it ends with the last of them.
        let ended = timeout(PATIENCE, stderr.read_to_string(&mut printed)).await;
        ended.context("something goes on after Ctrl-C")??;
        self.make.wait().await?;
        Ok(printed)
    }

    /// To it and to all that it began.
    fn signal(&self, signal: &str) {
        // It is its group's number, and absent once it was waited for.
        let Some(group) = self.make.id() else { return };
        let kill = format!("kill -{signal} -- -{group}");
        // Who is gone needs none.
        drop(std::process::Command::new("bash").args(["-c", &kill]).output());
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

fn port(server: u16, site: Site) -> u16 {
    match site {
        Site::Server => server,
        Site::Client(ordinal) => server + CLIENTS + ordinal,
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
