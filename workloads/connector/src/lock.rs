//! Locks of somebody else's: how long a session waits for one, and what is said then.
//!
//! While the connector waits for an answer of Postgres it reads nothing of the stream. Without an end to that, one transaction that was left open (a
//! table is locked by it, or an entry of `sync.parked`) would hold up all that the site sends, and nobody would say why.

use synccluster_runtime::postgres::{self, PostgresSecret};
use tokio_postgres::{
    Client,
    error::{DbError, SqlState},
};

/// How long what is read beside the stream is waited for. It is tried again, and the stream stands still meanwhile.
pub const BESIDE: &str = "1s";
/// What somebody has to do who is waited for.
pub const REMEDY: &str =
    "commit or roll back the transaction that holds the lock (pg_locks and pg_stat_activity say whose it is)";

/// One connection that waits so long for a lock: `10s`. What takes longer is refused by Postgres: [`is_held`].
pub async fn connect(secret: &PostgresSecret, application: &str, wait: &str) -> Result<Client, postgres::Error> {
    let login = secret.login()?;
    let config = login.config_with(application, &[("lock_timeout", wait)]);
    postgres::open(&login, &config).await.map(|(client, _)| client)
}

/// Whether somebody else's lock was in the way.
pub fn is_held(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// What Postgres said; where a lock was in the way, also of what, and what to do.
pub fn describe(error: &tokio_postgres::Error) -> String {
    let said = postgres::describe(error);
    if is_held(error) {
        held(&said, error.as_db_error().and_then(DbError::where_))
    } else {
        said
    }
}

/// `place`: what Postgres was at, such as `while deleting tuple (0,1) in relation "parked"`.
fn held(said: &str, place: Option<&str>) -> String {
    let place = place.map(|place| format!(", {place}")).unwrap_or_default();
    format!("{said}{place}; the connector waits for that lock: {REMEDY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_said_and_for_what_and_what_to_do() {
        let said = "canceling statement due to lock timeout (SQLSTATE 55P03)";
        let place = "while deleting tuple (0,1) in relation \"parked\"";
        let expected = format!("{said}, {place}; the connector waits for that lock: {REMEDY}");
        assert_eq!(held(said, Some(place)), expected);
        assert_eq!(held(said, None), expected.replace(&format!(", {place}"), ""));
    }
}
