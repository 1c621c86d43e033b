//! The Kafka Connect worker, a child process. Standalone: it is the only one of its site, and what a group of workers would share is here not kept at all.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use synccluster_runtime::kafka::{Kafka, Security, security};
use tokio::process::{Child, Command};

use crate::notifications::log4j;

/// How a worker is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The Java to run it with, and what comes before its arguments.
    pub java: Vec<String>,
    /// The folder with Kafka Connect's jars.
    pub libs: PathBuf,
    /// The folder with a folder of jars for each plugin.
    pub plugins: PathBuf,
    /// The most memory for Java's heap, `256m`.
    pub heap: String,
    /// Where its REST interface is, on loopback.
    pub rest_port: u16,
    /// A folder of its own; emptied before every start.
    pub folder: PathBuf,
    /// Where what it writes goes; absent: where ours goes.
    pub log: Option<PathBuf>,
}

/// Why it could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its files.
    #[error("cannot write {path}: {source}; the connector needs a folder it may write to")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// How Kafka is spoken to.
    #[error(transparent)]
    Security(#[from] security::Error),
    /// A folder of the image.
    #[error("{0} has no jars: the image must have Kafka Connect and Debezium's Postgres connector")]
    NoJars(PathBuf),
    /// The program.
    #[error("cannot start {program}: {source}; the image must have Java 17 or newer")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// A running worker; killed when dropped, and every connection of it closed by that.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    /// Starts one that knows nothing of those before.
    pub fn start(launch: &Launch, kafka: &Kafka) -> Result<Self, Error> {
        let security = kafka.security()?;
        for folder in [&launch.libs, &launch.plugins] {
            if !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(Error::NoJars(folder.clone()));
            }
        }
        let in_folder = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Folder { path, source }
        };
        if launch.folder.exists() {
            fs::remove_dir_all(&launch.folder).map_err(in_folder(&launch.folder))?;
        }
        fs::create_dir_all(&launch.folder).map_err(in_folder(&launch.folder))?;
        let file = launch.folder.join("worker.properties");
        let text = properties(launch, kafka.bootstrap_servers(), security.as_ref());
        write_secretly(&file, &text).map_err(in_folder(&file))?;
        let logging = launch.folder.join("log4j2.properties");
        fs::write(&logging, log4j(&launch.folder)).map_err(in_folder(&logging))?;
        let (program, before) = launch.java.split_first().map_or(("java", &[][..]), |(p, b)| (p, b));
        let mut command = Command::new(program);
        command
            .args(before)
            .args([
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-XX:+ExitOnOutOfMemoryError",
            ])
            .arg(format!("-Xmx{}", launch.heap))
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg(format!("-Djava.io.tmpdir={}", launch.folder.display()))
            .arg("-cp")
            .arg(launch.libs.join("*"))
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(path) = &launch.log {
            let log = File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(in_folder(path))?;
            let again = log.try_clone().map_err(in_folder(path))?;
            command.stdout(log).stderr(again);
        }
        let program = program.to_owned();
        command
            .spawn()
            .map(Self)
            .map_err(|source| Error::Start { program, source })
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        match self.0.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Ends it, and waits until it has let go of everything.
    pub async fn end(mut self) {
        let _ = self.0.kill().await;
    }
}

/// For no eyes but ours: it may hold a password.
fn write_secretly(file: &Path, text: &str) -> io::Result<()> {
    let mut open = File::options().write(true).create_new(true).mode(0o600).open(file)?;
    open.write_all(text.as_bytes())
}

/// Its settings. Only loopback reaches it, since it does whatever it is asked.
fn properties(launch: &Launch, bootstrap_servers: &str, security: Option<&Security>) -> String {
    let mut properties = format!(
        "bootstrap.servers={bootstrap_servers}
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
plugin.discovery=service_load
offset.storage.file.filename={offsets}
offset.flush.interval.ms=1000
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.providers=directory
config.providers.directory.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
connector.client.config.override.policy=All
topic.creation.enable=false
reconnect.backoff.max.ms=1000
",
        port = launch.rest_port,
        plugins = launch.plugins.display(),
        offsets = launch.folder.join("offsets").display(),
    );
    let security = security.map(Security::java).unwrap_or_default();
    // The worker's own client, and those it makes for the connector.
    for client in ["", "producer.", "admin."] {
        for (name, value) in &security {
            let _ = writeln!(properties, "{client}{name}={}", escaped(value));
        }
    }
    properties
}

/// A value as `java.util.Properties` reads it, in one line.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            // A blank at the beginning would be taken for one before the value.
            ' ' if text.is_empty() => text.push_str("\\ "),
            c if c.is_ascii() => text.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_value_stays_in_its_line_and_comes_back() {
        assert_eq!(escaped("a\nb"), "a\\nb");
        assert_eq!(escaped(" \"x\\\""), "\\ \"x\\\\\"");
        assert_eq!(escaped("ü€😀"), "\\u00fc\\u20ac\\ud83d\\ude00");
    }
}
