//! One site's Postgres.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::sleep;
use tokio_postgres::{Client, Config, NoTls};

use crate::parts;
use crate::place::{self, Folder, PATIENCE, Unprivileged};
use crate::process::{End, Process, Restartable, wrapped};
use crate::role::{self, Role};

const BOOTSTRAP: &str = include_str!("../../../workloads/schema/sql/bootstrap.sql");
const SUPERUSER: &str = "postgres";
const DATABASE: &str = "app";
/// As in a site's pod, but that tests may connect as the superuser.
const HBA: &str = "\
host all         postgres       127.0.0.1/32 trust
host all         all            127.0.0.1/32 scram-sha-256
host replication sync_connector 127.0.0.1/32 scram-sha-256
";

/// A running Postgres with database `app` and the roles of bootstrap.sql, as in a site's pod; ended and removed on drop.
///
/// `fsync` is off: a test may kill Postgres, and loses nothing by it, but must not expect data to survive the machine.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder: fields are dropped in this order, and the process must be gone when its files go.
    process: Restartable,
    folder: Folder,
    binaries: PathBuf,
    user: Option<Unprivileged>,
    passwords: Vec<(Role, String)>,
    port: u16,
}

impl Postgres {
    /// Starts one with data of its own: under a second, once the template exists.
    pub async fn start() -> Result<Self> {
        let user = Unprivileged::for_root()?;
        let binaries = parts::postgres(user).await?;
        let version = binaries.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let template = place::once(&format!("{version}-data"), async |to| initdb(&binaries, user, to).await).await?;
        let folder = Folder::new("postgres")?;
        place::copy(&template, &folder.join("data")).await?;
        let passwords = Role::ALL.map(|role| (role, role::password())).to_vec();
        let port = place::free_port()?;
        for (role, password) in &passwords {
            role::write_secret(&folder.join(role.name()), *role, port, password)?;
        }
        let mut postgres = Self {
            process: Restartable::default(),
            folder,
            binaries,
            user,
            passwords,
            port,
        };
        postgres.restart().await?;
        let script = role::bootstrap(BOOTSTRAP, &postgres.passwords)?;
        postgres
            .superuser()
            .await?
            .batch_execute(&script)
            .await
            .context("running bootstrap.sql")?;
        Ok(postgres)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to database `app` as the superuser, whom a site in a cluster lets in over its local socket only.
    pub async fn superuser(&self) -> Result<Client> {
        connect(&superuser(self.port, DATABASE)).await
    }

    /// A connection to database `app`.
    pub async fn connect(&self, role: Role) -> Result<Client> {
        let password = self
            .passwords
            .iter()
            .find(|(of, _)| *of == role)
            .map(|(_, password)| password)
            .context("a role without a password")?;
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .dbname(DATABASE)
            .user(role.user())
            .password(password);
        connect(&config).await
    }

    /// A folder with the files `username`, `password`, `host`, `port`, `dbname`, `uri`, as a workload finds its mounted Secret.
    pub fn secret_dir(&self, role: Role) -> PathBuf {
        self.folder.join(role.name())
    }

    /// Fast shutdown: sessions are ended, and what they committed is checkpointed.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::INT).await
    }

    /// `kill -9` for the server and all its sessions at once; `restart` recovers it.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Stops it if it runs, and starts it on the same port with the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        let (data, log) = (self.folder.join("data"), self.folder.join("log"));
        let process = serve(&self.binaries, self.user, &data, &log, self.port)?;
        let process = self.process.started(process);
        answering(process, &superuser(self.port, DATABASE)).await
    }
}

/// The cluster every test gets a copy of: initdb, who may connect, and an empty database `app`.
async fn initdb(binaries: &Path, user: Option<Unprivileged>, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    place::own(to, user)?;
    let library = binaries.join("lib");
    let as_user = |program: &str| {
        let mut command = Command::from(wrapped(user));
        command
            .arg("--")
            .arg(binaries.join("bin").join(program))
            .arg("-D")
            .arg(to)
            .env("LD_LIBRARY_PATH", &library);
        command
    };
    let mut initdb = as_user("initdb");
    initdb.args([
        "--username",
        SUPERUSER,
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--auth=trust",
        "--no-sync",
    ]);
    place::run(&mut initdb)
        .await
        .context("making the template of Postgres' data")?;
    fs::write(to.join("pg_hba.conf"), HBA)?;

    let (port, log) = (place::free_port()?, Folder::new("initdb")?);
    let mut process = serve(binaries, user, to, &log.join("log"), port)?;
    let config = superuser(port, SUPERUSER);
    answering(&mut process, &config).await?;
    connect(&config)
        .await?
        .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
        .await?;
    process.signal(Signal::INT)?;
    process.ended(Duration::from_secs(30)).await.map(drop)
}

fn serve(binaries: &Path, user: Option<Unprivileged>, data: &Path, log: &Path, port: u16) -> Result<Process> {
    let settings = [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "wal_level=logical",
        "max_replication_slots=32",
        "max_wal_senders=32",
        "shared_buffers=32MB",
        "track_commit_timestamp=on",
        "fsync=off",
    ];
    Process::spawn(
        "postgres",
        user,
        End::Quit,
        log,
        &binaries.join("bin/postgres"),
        |command| {
            command.arg("-D").arg(data).env("LD_LIBRARY_PATH", binaries.join("lib"));
            command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        },
    )
}

fn superuser(port: u16, database: &str) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).dbname(database).user(SUPERUSER);
    config
}

async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config
        .connect(NoTls)
        .await
        .with_context(|| format!("connecting to Postgres as {}", config.get_user().unwrap_or("nobody")))?;
    // Ends when the client is dropped or the server goes; both show at the client.
    tokio::spawn(connection);
    Ok(client)
}

async fn answering(process: &mut Process, config: &Config) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        process.check()?;
        match connect(config).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => bail!("Postgres did not answer within {PATIENCE:?}: {error:#}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
