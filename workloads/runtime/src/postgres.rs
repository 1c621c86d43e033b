//! Connections to a site's Postgres.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_postgres::{Client, Config, NoTls, error::SqlState};

/// How long a start waits for Postgres: it may be recovering, or being made.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the Secret is missing or wrong.
    #[error(
        "cannot read `{key}` from the secret in {folder}: {reason}; it must hold username, password, host, port and dbname"
    )]
    Secret {
        /// The folder.
        folder: PathBuf,
        /// The key.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// Postgres refused or did not answer.
    #[error("{host}:{port} as {user}: {reason}")]
    Connect {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// The role.
        user: String,
        /// Why.
        reason: String,
    },
}

/// Where and as whom to connect; the password is never shown.
#[derive(Clone)]
pub struct PostgresSecret {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub dbname: String,
}

impl fmt::Debug for PostgresSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.dbname)
    }
}

impl PostgresSecret {
    /// From a folder with one file a key (CloudNativePG's keys).
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let fail = |key, reason| Error::Secret {
            folder: folder.to_owned(),
            key,
            reason,
        };
        let text = |key: &'static str| {
            fs::read_to_string(folder.join(key))
                .map(|t| t.trim_end_matches('\n').to_owned())
                .map_err(|e| fail(key, e.to_string()))
        };
        let port = text("port")?;
        Ok(Self {
            user: text("username")?,
            password: text("password")?,
            host: text("host")?,
            port: port.parse().map_err(|_| fail("port", format!("`{port}` is no port")))?,
            dbname: text("dbname")?,
        })
    }

    /// As tokio-postgres takes it; `application` is what `pg_stat_activity` shows.
    pub fn config(&self, application: &str) -> Config {
        let mut config = Config::new();
        config
            .user(&self.user)
            .password(&self.password)
            .host(&self.host)
            .port(self.port)
            .dbname(&self.dbname);
        config
            .application_name(application)
            .connect_timeout(Duration::from_secs(5));
        // A peer that vanished without a word is noticed within half a minute.
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        config
    }
}

/// One connection; fails at once.
pub async fn connect_once(secret: &PostgresSecret, application: &str) -> Result<Client, Error> {
    let (client, connection) = secret
        .config(application)
        .connect(NoTls)
        .await
        .map_err(|e| refused(secret, &e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = describe(&error), "connection to Postgres ended");
        }
    });
    Ok(client)
}

/// One connection; tries for a minute, since Postgres may be recovering, or being made.
pub async fn connect(secret: &PostgresSecret, application: &str) -> Result<Client, Error> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match connect_once(secret, application).await {
            Err(error) if tokio::time::Instant::now() < deadline => tracing::info!(%error, "waiting for Postgres"),
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The error of a session that could not be set up.
pub fn refused(secret: &PostgresSecret, error: &tokio_postgres::Error) -> Error {
    Error::Connect {
        host: secret.host.clone(),
        port: secret.port,
        user: secret.user.clone(),
        reason: describe(error),
    }
}

/// What Postgres said, with its hint: the `Display` of the error alone is only `db error`.
pub fn describe(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        return std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    };
    let mut text = format!("{} (SQLSTATE {})", db.message(), db.code().code());
    for more in [db.detail(), db.hint()].into_iter().flatten() {
        text = format!("{text}; {more}");
    }
    text
}

/// Whether trying the same again can succeed: somebody else's lock or transaction was in the way.
pub fn is_transient(error: &tokio_postgres::Error) -> bool {
    let transient = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    error.code().is_some_and(|code| transient.contains(code))
}
