//! A site that begins again with an empty database: where its topic stood before, and what was written there.
//!
//! All of it is part of the transaction that applies the first records of the other database. So what that database did not know is exactly
//! what was here before anything of it was.

use synccluster_protocol::{Site, Version, event::Installation};
use tokio_postgres::Error;

use crate::{stand::Stand, target::Target};

/// Remembers where the database that a topic had until now was `left`, and says where `next` stands: a topic that is read again has databases
/// that were here before.
pub async fn follow(
    target: &mut Target,
    topic: &str,
    source: Site,
    left: Stand,
    next: Installation,
) -> Result<Stand, Error> {
    let remember = "insert into sync.predecessors as p (topic, installation, lsn, predecessor) values ($1, $2, $3, $4)
                    on conflict (topic, installation) do update set lsn = excluded.lsn, predecessor = excluded.predecessor";
    let before = left.predecessor.map(|version| version.0);
    target
        .execute(remember, &[&topic, &left.installation.0, &left.lsn, &before])
        .await?;
    let known = "select lsn, predecessor from sync.predecessors where topic = $1 and installation = $2";
    let known = target.query(known, &[&topic, &next.0]).await?;
    let known: Option<(i64, Option<i64>)> = known.first().map(|row| (row.get(0), row.get(1)));
    let (lsn, predecessor) = match known {
        Some(known) => known,
        None => (0, newest(target, source).await?),
    };
    tracing::info!(
        topic,
        installation = next.0,
        "the site has another database than before"
    );
    Ok(Stand {
        installation: next,
        lsn,
        predecessor: predecessor.map(Version),
        ..left
    })
}

/// The newest version the site has written of what is here. Clients judge by versions alone, and need not look.
async fn newest(target: &mut Target, source: Site) -> Result<Option<i64>, Error> {
    if target.site != Site::Server {
        return Ok(None);
    }
    let node = i32::from(source.node());
    let rows = target.query("select sync.newest_of($1)", &[&node]).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}
