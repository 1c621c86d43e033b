//! The roles of a site's database and their Secrets.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use rand::distr::Alphanumeric;

/// Who connects. Each has a Secret of its own in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The application; owns its tables.
    App,
    /// Migrates and enrols.
    Admin,
    /// Reads the WAL.
    Connector,
    /// Applies.
    Sink,
    /// Shows and edits.
    Gateway,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [Self::App, Self::Admin, Self::Connector, Self::Sink, Self::Gateway];

    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Admin => "sync_admin",
            Self::Connector => "sync_connector",
            Self::Sink => "sync_sink",
            Self::Gateway => "sync_gateway",
        }
    }

    /// Also the prefix of its variable in bootstrap.sql.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Admin => "admin",
            Self::Connector => "connector",
            Self::Sink => "sink",
            Self::Gateway => "gateway",
        }
    }
}

/// 32 letters and digits, as the operator makes them.
pub fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}

/// The files a workload finds where the role's Secret is mounted.
pub fn write_secret(dir: &Path, role: Role, port: u16, password: &str) -> Result<()> {
    let user = role.user();
    fs::create_dir_all(dir)?;
    for (key, value) in [
        ("username", user),
        ("password", password),
        ("host", "127.0.0.1"),
        ("port", &port.to_string()),
        ("dbname", "app"),
        ("uri", &format!("postgresql://{user}:{password}@127.0.0.1:{port}/app")),
    ] {
        fs::write(dir.join(key), value).with_context(|| format!("writing {}/{key}", dir.display()))?;
    }
    Ok(())
}

/// The files a workload finds of a Postgres that is somebody else's: as whom, and in `external` where that is and by which authority.
pub fn write_external(dir: &Path, user: &str, password: &str, port: u16, authority: &Path) -> Result<()> {
    let external = dir.join("external");
    fs::create_dir_all(&external)?;
    fs::copy(authority, external.join("ca.crt"))?;
    let port = port.to_string();
    for (path, value) in [
        (dir.join("username"), user),
        (dir.join("password"), password),
        (external.join("host"), "127.0.0.1"),
        (external.join("port"), &port),
        (external.join("dbname"), "app"),
    ] {
        fs::write(&path, value).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The site's bootstrap.sql for a client that is not psql: its `\set … `cat …`` lines left out, `:'app_password'` and the like filled in.
pub fn bootstrap(script: &str, passwords: &[(Role, String)]) -> Result<String> {
    let mut sql: String = script
        .lines()
        .filter(|line| !line.trim_start().starts_with('\\'))
        .flat_map(|line| [line, "\n"])
        .collect();
    for (role, password) in passwords {
        sql = sql.replace(&format!(":'{}_password'", role.name()), &format!("'{password}'"));
    }
    let left = sql.find(":'").map(|at| sql[at..].lines().next().unwrap_or_default());
    ensure!(
        left.is_none(),
        "bootstrap.sql uses a variable the harness does not know: {left:?}"
    );
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psql_variables_are_filled_in() {
        let passwords = [(Role::App, "a1".to_owned()), (Role::Sink, "s1".to_owned())];
        let script = "\\set app_password `cat x`\nALTER ROLE app PASSWORD :'app_password';\nALTER ROLE sync_sink PASSWORD :'sink_password';\n";
        assert_eq!(
            bootstrap(script, &passwords).unwrap(),
            "ALTER ROLE app PASSWORD 'a1';\nALTER ROLE sync_sink PASSWORD 's1';\n"
        );
    }

    #[test]
    fn a_variable_nobody_knows_is_an_error() {
        let error = bootstrap("SELECT :'other';", &[]).unwrap_err();
        assert!(error.to_string().contains(":'other'"), "{error}");
    }
}
