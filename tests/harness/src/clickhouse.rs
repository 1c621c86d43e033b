//! A ClickHouse, with the configuration it has in a cluster.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::authority::Certificate;
use crate::place::{Folder, PATIENCE};
use crate::ports;
use crate::process::{End, Process, Restartable};
use crate::role::password;

const CONFIG: &str = include_str!("../../../operator/src/plan/files/clickhouse-config.xml");
const USERS: &str = include_str!("../../../operator/src/plan/files/clickhouse-users.xml");
const SERVER: &str = "clickhouse-server";
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
    https: u16,
    /// The size of its disk, if that is one of its own.
    megabytes: Option<u32>,
}

impl ClickHouse {
    pub async fn start() -> Result<Self> {
        let mut clickhouse = Self::prepare("", None)?;
        clickhouse.restart().await?;
        Ok(clickhouse)
    }

    /// One whose disk is so small that it can be filled; what it holds is lost when it ends.
    pub async fn start_on_small_disk(megabytes: u32) -> Result<Self> {
        let mut clickhouse = Self::prepare("", Some(megabytes))?;
        clickhouse.restart().await?;
        Ok(clickhouse)
    }

    /// One that speaks HTTPS as well, with this certificate; the files are read at every start.
    pub async fn start_with_tls(certificate: &Certificate) -> Result<Self> {
        let tls = format!(
            "<openSSL><server><certificateFile>{}</certificateFile><privateKeyFile>{}</privateKeyFile><verificationMode>none</verificationMode>\
             <disableProtocols>sslv2,sslv3</disableProtocols></server></openSSL>",
            certificate.certificate.display(),
            certificate.key.display()
        );
        let mut clickhouse = Self::prepare(&tls, None)?;
        clickhouse.restart().await?;
        Ok(clickhouse)
    }

    fn prepare(tls: &str, megabytes: Option<u32>) -> Result<Self> {
        let clickhouse = Self {
            process: Restartable::default(),
            folder: Folder::new("clickhouse")?,
            password: password(),
            port: ports::free_port()?,
            native: ports::free_port()?,
            https: ports::free_port()?,
            megabytes,
        };
        fs::create_dir(clickhouse.folder.join("etc"))?;
        let more = match tls {
            "" => String::new(),
            tls => format!("<https_port>{}</https_port>{tls}", clickhouse.https),
        };
        let config = CONFIG
            .replace("0.0.0.0", "127.0.0.1")
            .replace("8123", &clickhouse.port.to_string())
            .replace("9000", &clickhouse.native.to_string())
            .replace("/var/lib/clickhouse/", &format!("{}/", clickhouse.data().display()))
            .replace(
                "/etc/synccluster/",
                &format!("{}/", clickhouse.folder.join("etc").display()),
            )
            .replace("</yandex>", &format!("{more}</yandex>"));
        fs::write(clickhouse.folder.join("etc/config.xml"), config)?;
        fs::write(clickhouse.folder.join("etc/users.xml"), USERS)?;
        clickhouse.write_secret(clickhouse.address())?;
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
        self.write_url(&format!("http://{address}"))
    }

    /// The same for HTTPS at a name of this machine, with the authority to trust.
    pub fn write_tls_secret(&self, host: &str, ca: &Path) -> Result<()> {
        self.write_url(&format!("https://{host}:{}", self.https))?;
        fs::copy(ca, self.secret_dir().join("ca")).with_context(|| format!("copying {}", ca.display()))?;
        Ok(())
    }

    fn write_url(&self, url: &str) -> Result<()> {
        let secret = self.secret_dir();
        fs::create_dir_all(&secret)?;
        for (key, value) in [
            ("url", url),
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

    /// Takes all the room that is left on its small disk.
    pub fn fill_disk(&self) -> Result<()> {
        let mut ballast = fs::File::create(self.ballast()?).context("creating a file on ClickHouse's disk")?;
        for block in [1 << 20, 1 << 12] {
            let block = vec![1; block];
            let full = loop {
                if let Err(error) = ballast.write_all(&block) {
                    break error;
                }
            };
            ensure!(
                full.kind() == io::ErrorKind::StorageFull,
                "filling ClickHouse's disk: {full}"
            );
        }
        Ok(())
    }

    /// Gives it back.
    pub fn free_disk(&self) -> Result<()> {
        fs::remove_file(self.ballast()?).context("removing the file that fills ClickHouse's disk")
    }

    /// Its disk is mounted where only it sees it: the way there is through its process.
    fn ballast(&self) -> Result<PathBuf> {
        let data = self.data();
        let seen = data.strip_prefix("/")?;
        Ok(Path::new("/proc")
            .join(self.process.id()?.to_string())
            .join("root")
            .join(seen)
            .join("ballast"))
    }

    /// Stops it if it runs, and starts it at the same address with the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        fs::create_dir_all(self.data())?;
        let (config, log) = (self.folder.join("etc/config.xml"), self.folder.join("log"));
        let program = Path::new(if self.megabytes.is_some() { "unshare" } else { SERVER });
        let process = Process::spawn("clickhouse", None, End::Kill, &log, program, |command| {
            // Debian has it where only root looks.
            let path = std::env::var("PATH").unwrap_or_default();
            if let Some(megabytes) = self.megabytes {
                let mount = format!("mount -t tmpfs -o size={megabytes}m none \"$0\" && exec \"$@\"");
                command
                    .args(["--mount", "sh", "-c", &mount])
                    .arg(self.data())
                    .arg(SERVER);
            }
            command
                .arg(format!("--config-file={}", config.display()))
                .env(PASSWORD, &self.password)
                .env("PATH", format!("{path}:/usr/sbin:/sbin"));
        })?;
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
