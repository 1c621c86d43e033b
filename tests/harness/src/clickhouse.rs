//! A ClickHouse, with the configuration it has in a cluster.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::place::{self, Folder, PATIENCE};
use crate::process::{End, Process, Restartable};
use crate::role::password;

const CONFIG: &str = include_str!("../../../operator/src/plan/files/clickhouse-config.xml");
const USERS: &str = include_str!("../../../operator/src/plan/files/clickhouse-users.xml");
const PASSWORD: &str = "CLICKHOUSE_PASSWORD";
/// What the operator names them.
const USER: &str = "sync";
const DATABASE: &str = "analytics";

/// A running ClickHouse; ended and removed on drop. The server is the machine's own: `kind/tools.sh --tests` installs it.
#[derive(Debug)]
pub struct ClickHouse {
    process: Restartable,
    folder: Folder,
    password: String,
    port: u16,
    native: u16,
}

impl ClickHouse {
    pub async fn start() -> Result<Self> {
        let (folder, port, native) = (Folder::new("clickhouse")?, place::free_port()?, place::free_port()?);
        let mut clickhouse = Self {
            process: Restartable::default(),
            folder,
            password: password(),
            port,
            native,
        };
        fs::create_dir(clickhouse.folder.join("etc"))?;
        let config = CONFIG
            .replace("0.0.0.0", "127.0.0.1")
            .replace("8123", &port.to_string())
            .replace("9000", &native.to_string())
            .replace("/var/lib/clickhouse/", &format!("{}/", clickhouse.data().display()))
            .replace(
                "/etc/synccluster/",
                &format!("{}/", clickhouse.folder.join("etc").display()),
            );
        fs::write(clickhouse.folder.join("etc/config.xml"), config)?;
        fs::write(clickhouse.folder.join("etc/users.xml"), USERS)?;
        clickhouse.write_secret(clickhouse.address())?;
        clickhouse.restart().await?;
        Ok(clickhouse)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where its HTTP interface is.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// `clickhouse-client` with what it takes to come in.
    pub fn client(&self) -> std::process::Command {
        let mut client = std::process::Command::new("clickhouse-client");
        client
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &self.native.to_string(),
                "--user",
                USER,
            ])
            .args(["--password", &self.password]);
        client
    }

    /// A folder with url, username, password and database, as the operator's Secret is mounted.
    pub fn secret_dir(&self) -> PathBuf {
        self.folder.join("secret")
    }

    /// The same, with a proxy's address in place of its own.
    pub fn write_secret(&self, address: SocketAddr) -> Result<()> {
        let secret = self.secret_dir();
        fs::create_dir_all(&secret)?;
        let url = format!("http://{address}");
        for (key, value) in [
            ("url", url.as_str()),
            ("username", USER),
            ("password", &self.password),
            ("database", DATABASE),
        ] {
            fs::write(secret.join(key), value).with_context(|| format!("writing {}/{key}", secret.display()))?;
        }
        Ok(())
    }

    /// The answer to a statement, as tab-separated text; past any proxy.
    pub async fn ask(&self, sql: &str) -> Result<String> {
        let headers = format!("X-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {}\r\n", self.password);
        let request = format!("POST / HTTP/1.0\r\n{headers}Content-Length: {}\r\n\r\n{sql}", sql.len());
        let exchange = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = timeout(PATIENCE, exchange)
            .await
            .context("ClickHouse did not answer")??;
        let (head, body) = answer.split_once("\r\n\r\n").context("ClickHouse broke off")?;
        ensure!(
            head.lines().next().is_some_and(|line| line.contains(" 200 ")),
            "{sql}: {body}"
        );
        Ok(body.to_owned())
    }

    /// As Kubernetes ends a pod.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::TERM).await
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Loses its disk: killed, and everything it had is gone. `restart` starts it empty.
    pub async fn wipe(&mut self) -> Result<()> {
        self.kill().await?;
        fs::remove_dir_all(self.data()).context("removing ClickHouse's data")
    }

    /// Stops it if it runs, and starts it at the same address with the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        fs::create_dir_all(self.data())?;
        let (config, log) = (self.folder.join("etc/config.xml"), self.folder.join("log"));
        let process = Process::spawn(
            "clickhouse",
            None,
            End::Kill,
            &log,
            Path::new("clickhouse-server"),
            |command| {
                // Debian has it where only root looks.
                let path = std::env::var("PATH").unwrap_or_default();
                command
                    .arg(format!("--config-file={}", config.display()))
                    .env(PASSWORD, &self.password)
                    .env("PATH", format!("{path}:/usr/sbin:/sbin"));
            },
        )?;
        let address = self.address();
        let process = self.process.started(process);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            process
                .check()
                .context("is clickhouse-server installed? `kind/tools.sh --tests` installs it")?;
            if answers(address).await {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("ClickHouse did not answer within {PATIENCE:?}")
    }
}

async fn answers(address: SocketAddr) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /ping HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.contains("Ok."))
    };
    matches!(timeout(Duration::from_secs(2), ping).await, Ok(Ok(true)))
}
