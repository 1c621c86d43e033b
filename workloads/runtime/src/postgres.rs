//! Connections to a site's Postgres.

pub mod secret;
pub mod tls;

use std::{path::PathBuf, time::Duration};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, error::SqlState};

pub use secret::{Login, PostgresSecret};

/// How long a start waits for Postgres: it may be recovering, or being made.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a session that moves rows waits for a lock of somebody else's before it says so and tries again.
pub const LOCK_TIMEOUT: &str = "10s";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the Secret is missing or wrong.
    #[error("the secret in {folder}: {error}; it must hold username, password, host, port and dbname")]
    Secret {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        error: secret::KeyError,
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

/// One connection; fails at once.
pub async fn connect_once(secret: &PostgresSecret, application: &str) -> Result<Client, Error> {
    log_in(&secret.login()?, application).await
}

/// The same, from what a Secret said.
pub async fn log_in(login: &Login, application: &str) -> Result<Client, Error> {
    open(login, &login.config(application)).await.map(|(client, _)| client)
}

/// The same with settings of the caller's own, and the task that carries it.
pub async fn open(login: &Login, config: &Config) -> Result<(Client, JoinHandle<()>), Error> {
    let connector = tls::connector(&login.tls).map_err(|reason| connect_error(login, reason))?;
    let connecting = config.connect(connector).await;
    let (client, connection) = connecting.map_err(|error| connect_error(login, describe(&error)))?;
    let carried = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = describe(&error), "connection to Postgres ended");
        }
    });
    Ok((client, carried))
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
    match secret.login() {
        Ok(login) => connect_error(&login, describe(error)),
        Err(error) => error,
    }
}

fn connect_error(login: &Login, reason: String) -> Error {
    Error::Connect {
        host: login.host.clone(),
        port: login.port,
        user: login.user.clone(),
        reason,
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
