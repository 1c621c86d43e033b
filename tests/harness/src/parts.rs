//! The fetched parts: which versions, and where they lie.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::place::{self, Unprivileged};

const VERSIONS: &str = include_str!("../../../kind/versions.env");
const FETCH: &str = include_str!("../fetch.sh");

/// The folder of Postgres, with `bin`, `lib` and `share`, where `user` can reach it; `POSTGRES_BINARIES` names another release than the pinned.
pub async fn postgres(user: Option<Unprivileged>) -> Result<PathBuf> {
    let release = match std::env::var("POSTGRES_BINARIES") {
        Ok(release) if !release.is_empty() => release,
        _ => pinned(FETCH, "PINNED_POSTGRES")?.to_owned(),
    };
    let name = format!("postgres-{release}");
    let part = part(&name)?;
    match user {
        None => Ok(part),
        Some(_) => place::once(&name, async |to| place::copy(&part, to).await).await,
    }
}

/// The folder of Kafka's jars, and the version they are of.
pub fn kafka() -> Result<(PathBuf, &'static str)> {
    let version = pinned(VERSIONS, "KAFKA_VERSION")?;
    Ok((part(&format!("kafka-{version}"))?, version))
}

/// The folder with `libs` and `plugins` of a Kafka Connect worker with Debezium's Postgres connector.
pub fn connect() -> Result<PathBuf> {
    let (kafka, debezium) = (
        pinned(VERSIONS, "KAFKA_VERSION")?,
        pinned(VERSIONS, "DEBEZIUM_VERSION")?,
    );
    part(&format!("connect-{kafka}-{debezium}"))
}

/// The folder of the Socket.IO clients that others wrote: `node_modules`, and Python in `venv/bin/python`. `tests/socketio/fetch.sh` fetches them.
pub fn socketio() -> Result<PathBuf> {
    part("socketio")
}

/// The virtual environment of the notebooks, with Python in `bin/python`. `tests/harness/venv.sh` fetches it.
pub fn notebooks() -> Result<PathBuf> {
    part("notebooks")
}

/// The same with Superset.
pub fn superset() -> Result<PathBuf> {
    part("superset")
}

fn part(name: &str) -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("SYNCCLUSTER_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("synccluster")))
        .or_else(|| Some(set("HOME")?.join(".cache/synccluster")))
        .context("neither SYNCCLUSTER_CACHE nor HOME is set")?;
    let path = cache.join("parts").join(name);
    ensure!(
        path.is_dir(),
        "{} is missing; run `make integration`, or tests/harness/fetch.sh, tests/socketio/fetch.sh and tests/harness/venv.sh",
        path.display()
    );
    Ok(path)
}

/// The value of a `NAME=value` line of a shell file: versions are written down once.
fn pinned(file: &'static str, name: &str) -> Result<&'static str> {
    file.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .with_context(|| format!("no line {name}=…"))
}
