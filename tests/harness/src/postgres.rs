//! One site's Postgres.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::sleep;
use tokio_postgres::{Client, Config, NoTls};

use crate::authority::Certificate;
use crate::parts;
use crate::place::{self, Folder, PATIENCE, Unprivileged};
use crate::ports;
use crate::process::{End, Process, Restartable, wrapped};
use crate::role::{self, Role};

const BOOTSTRAP: &str = include_str!("../../../workloads/schema/sql/bootstrap.sql");
const SUPERUSER: &str = "postgres";
const DATABASE: &str = "app";
/// Who owns an external one's database.
const OWNER: &str = "shop_owner";
/// As in a site's pod, but that tests may connect as the superuser.
const HBA: &str = "\
host all         postgres       127.0.0.1/32 trust
host all         all            127.0.0.1/32 scram-sha-256
host replication sync_connector 127.0.0.1/32 scram-sha-256
";

/// Of an external one.
const EXTERNAL_HBA: &str = "\
host    all postgres 127.0.0.1/32 trust
hostssl all all      127.0.0.1/32 scram-sha-256
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
    settings: Vec<String>,
    owner: Option<&'static str>,
}

impl Postgres {
    /// Starts one with data of its own: under a second, once the template exists.
    pub async fn start() -> Result<Self> {
        let user = Unprivileged::for_root()?;
        let binaries = parts::postgres(user).await?;
        let version = binaries.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let template = place::once(&format!("{version}-data"), async |to| initdb(&binaries, user, to).await).await?;
        let folder = Folder::of_data("postgres")?;
        place::copy(&template, &folder.join("data")).await?;
        let passwords = Role::ALL.map(|role| (role, role::password())).to_vec();
        let port = ports::free_port()?;
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
            settings: Vec::new(),
            owner: None,
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

    /// Starts one that is somebody else's: TLS alone, with this certificate, but for the superuser; none of our roles, but one that owns
    /// the database and can log in, and nothing more until [`Postgres::grant`].
    pub async fn external(certificate: &Certificate, authority: &Path) -> Result<Self> {
        let user = Unprivileged::for_root()?;
        let binaries = parts::postgres(user).await?;
        let version = binaries.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let template = place::once(&format!("{version}-data"), async |to| initdb(&binaries, user, to).await).await?;
        let folder = Folder::of_data("postgres")?;
        let data = folder.join("data");
        place::copy(&template, &data).await?;
        fs::write(data.join("pg_hba.conf"), EXTERNAL_HBA)?;
        install(certificate, &data, user)?;
        let passwords = Role::ALL.map(|role| (role, role::password())).to_vec();
        let port = ports::free_port()?;
        let mut postgres = Self {
            process: Restartable::default(),
            folder,
            binaries,
            user,
            passwords,
            port,
            settings: ["ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key"]
                .map(str::to_owned)
                .to_vec(),
            owner: Some(OWNER),
        };
        for role in Role::ALL {
            let folder = postgres.secret_dir(role);
            role::write_external(
                &folder,
                postgres.user_of(role),
                postgres.password(role)?,
                port,
                authority,
            )?;
        }
        postgres.restart().await?;
        let password = postgres.password(Role::Admin)?;
        let script =
            format!("create role {OWNER} login password '{password}'; alter database {DATABASE} owner to {OWNER}");
        postgres.superuser().await?.batch_execute(&script).await?;
        Ok(postgres)
    }

    /// Gives an external one another certificate, which holds for connections that are made from now on.
    pub async fn change_certificate(&self, certificate: &Certificate) -> Result<()> {
        install(certificate, &self.folder.join("data"), self.user)?;
        let reload = "select pg_reload_conf()";
        Ok(self.superuser().await?.batch_execute(reload).await?)
    }

    /// Runs what a superuser has to, from a script for psql with the variable `role`.
    pub async fn grant(&self, script: &str) -> Result<()> {
        let lines = script.lines().filter(|line| !line.starts_with('\\'));
        let script: String = lines.flat_map(|line| [line, "\n"]).collect();
        let script = script.replace(":\"role\"", OWNER).replace(":\"DBNAME\"", DATABASE);
        Ok(self.superuser().await?.batch_execute(&script).await?)
    }

    /// The role's password; of an external one's owner, as administrator and application alike.
    pub fn password(&self, role: Role) -> Result<&str> {
        let role = if self.owner.is_some() && role == Role::App {
            Role::Admin
        } else {
            role
        };
        let found = self.passwords.iter().find(|(of, _)| *of == role);
        found
            .map(|(_, password)| password.as_str())
            .context("a role without a password")
    }

    /// The role in Postgres.
    pub fn user_of(&self, role: Role) -> &'static str {
        match (self.owner, role) {
            (Some(owner), Role::App | Role::Admin) => owner,
            _ => role.user(),
        }
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
        if self.owner.is_some() {
            // It lets nobody in without TLS, which is not what a test of tables is about.
            let client = self.superuser().await?;
            client
                .batch_execute(&format!("set session authorization {}", self.user_of(role)))
                .await?;
            return Ok(client);
        }
        let password = self.password(role)?;
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
        let process = serve(&self.binaries, self.user, &data, &log, self.port, &self.settings)?;
        let process = self.process.started(process);
        answering(process, &superuser(self.port, DATABASE)).await
    }
}

/// Puts a certificate and its key where Postgres looks for them, in its data.
fn install(certificate: &Certificate, data: &Path, user: Option<Unprivileged>) -> Result<()> {
    for (from, name, mode) in [
        (&certificate.certificate, "server.crt", 0o644),
        (&certificate.key, "server.key", 0o600),
    ] {
        let to = data.join(name);
        fs::copy(from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
        place::own(&to, user)?;
    }
    Ok(())
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

    let (port, log) = (ports::free_port()?, Folder::new("initdb")?);
    let mut process = serve(binaries, user, to, &log.join("log"), port, &[])?;
    let config = superuser(port, SUPERUSER);
    answering(&mut process, &config).await?;
    connect(&config)
        .await?
        .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
        .await?;
    process.signal(Signal::INT)?;
    process.ended(PATIENCE).await.map(drop)
}

fn serve(
    binaries: &Path,
    user: Option<Unprivileged>,
    data: &Path,
    log: &Path,
    port: u16,
    more: &[String],
) -> Result<Process> {
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
            command.args(more.iter().flat_map(|setting| ["-c", setting]));
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
