//! Connections that are given back to their pool only when nothing is under way on them any more. Whoever asked may go away in the middle of
//! a question, or rows may be more than are taken: the next one would wait for the rest of it.

use std::time::Duration;

use deadpool_postgres::Object;
use scopeguard::{ScopeGuard, guard};
use synccluster_protocol::Site;
use synccluster_runtime::postgres::{PostgresSecret, tls};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::Row;

use super::{failure::Failure, sql::Sql};
use crate::{problem::Problem, sites::Sites};

/// How long ending a question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection with a question under way.
pub type Busy = ScopeGuard<Object, Abandon>;

/// What becomes of a connection that nobody waits for.
type Abandon = Box<dyn FnOnce(Object) + Send + Sync>;

/// A connection for a question.
pub async fn busy(sites: &Sites, site: Site) -> Result<Busy, Problem> {
    let object = sites.connect(site).await?;
    let secret = sites.secret(site).cloned();
    Ok(guard(object, Box::new(|object| abandon(object, secret))))
}

/// Gives it back with the answer, unless rows are still on their way.
pub fn free<T>(busy: Busy, answer: &Result<T, Failure>) {
    if !matches!(answer, Err(Failure::TooLarge)) {
        drop(ScopeGuard::into_inner(busy));
    }
}

/// One statement.
pub async fn ask(sites: &Sites, site: Site, sql: &Sql) -> Result<Vec<Row>, Problem> {
    let busy = busy(sites, site).await?;
    let answer = sql.rows(&***busy).await;
    free(busy, &answer);
    answer.map_err(|failure| failure.problem(site))
}

/// Has Postgres end what it does for this connection, and closes it: the pool makes another one when it needs one.
fn abandon(object: Object, secret: Option<PostgresSecret>) {
    let client = Object::take(object);
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            let tls = secret.and_then(|secret| tls::connector(&secret.login().ok()?.tls).ok());
            let cancelling = async { client.cancel_token().cancel_query(tls?).await.ok() };
            if !matches!(timeout(PATIENCE, cancelling).await, Ok(Some(()))) {
                tracing::debug!("a question nobody waits for could not be ended");
            }
        });
    }
}
