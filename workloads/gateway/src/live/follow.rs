//! A site's WAL as it grows: what is committed there, whoever made it, and whether the site is cut off or not.
//!
//! One replica of the gateway follows a site. The slot is temporary, so it goes with its connection, and its name is the lock: a replica
//! that finds it taken looks again every second. What is committed between two followers nobody sees: each begins with a `reset`.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use synccluster_protocol::{ClusterName, Site};
use synccluster_replication::{self as replication, Frame, Lifetime, Origins, ReplicationConnection, pgoutput};
use synccluster_runtime::{
    clock::now_micros,
    postgres::{self, PostgresSecret},
};
use tokio::time;
use tokio_postgres::Client;

use super::{
    bus::News,
    stream::{self, Stream},
};
use crate::{
    app::{App, Shared},
    rows::catalogue,
};

/// As what Postgres shows the connections.
const APPLICATION: &str = "synccluster-gateway live";
/// The publication that `sync.sql` makes.
const PUBLICATION: &str = "sync";
/// SQLSTATE of a slot that is there already.
const DUPLICATE: &str = "42710";
/// Between two looks at a slot that another replica has.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often Postgres is told what was read, so that it keeps no WAL for us, and asked for a sign of life.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// How long a connection may take to be made, and how long it may say nothing afterwards.
const SILENCE: Duration = Duration::from_secs(20);
/// Between two tries while a site is away.
const BACKOFF: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// Why following ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot connect: {0}")]
    Connect(#[from] postgres::Error),
    #[error(transparent)]
    Replication(#[from] replication::Error),
    #[error("Postgres: {}", postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Decode(#[from] pgoutput::DecodeError),
    #[error(transparent)]
    Stream(#[from] stream::Error),
    #[error("nothing was heard for {SILENCE:?}")]
    Silent,
}

/// The name of the slot by which a site is followed, in the letters Postgres allows.
fn slot_name(cluster: &ClusterName) -> String {
    format!("{cluster}_gateway").replace('-', "_")
}

/// Follows a site until `app.stop` is cancelled.
pub async fn run(app: Shared, site: Site) {
    if let Some((_, secret)) = app.sites.secrets().find(|(of, _)| *of == site) {
        app.stop.run_until_cancelled(again_and_again(&app, site, secret)).await;
    }
}

async fn again_and_again(app: &App, site: Site, secret: &PostgresSecret) -> Infallible {
    let following = app.metrics.gauge(
        "synccluster_gateway_following",
        "1 while this replica follows the site's WAL.",
        &[("site", &site.to_string())],
    );
    let mut pause = BACKOFF[0];
    let mut said = false;
    loop {
        let mut since = None;
        let following_now = || {
            following.set(1);
            since = Some(Instant::now());
        };
        let Err(error) = session(app, site, secret, following_now).await;
        following.set(0);
        // A session that ends as soon as it has begun is no success.
        if since.is_some_and(|since| since.elapsed() > BACKOFF[1]) {
            (pause, said) = (BACKOFF[0], false);
        }
        if said {
            tracing::debug!(%site, %error, "still cannot follow");
        } else {
            tracing::warn!(%site, %error, "cannot follow what is committed here; trying again until it can be");
            said = true;
        }
        time::sleep(pause).await;
        pause = BACKOFF[1].min(pause * 2);
    }
}

/// Follows until something fails; `begun` is called when it is this replica that does.
async fn session(app: &App, site: Site, secret: &PostgresSecret, begun: impl FnOnce()) -> Result<Infallible, Error> {
    let sql = postgres::connect_once(secret, APPLICATION).await?;
    app.live.tables.learn(&catalogue::read(&sql).await?);
    let slot = slot_name(&app.cluster);
    let mut replication = take_slot(&sql, secret, &slot).await?;
    replication.start(&slot, PUBLICATION, Origins::Any).await?;
    begun();
    tracing::info!(%site, "following what is committed here");
    let reset = "what was committed here a moment ago may not have been seen";
    app.live.bus.publish(News::reset(Some(site), reset));
    let mut stream = Stream::new(&app.live, site);
    let mut tick = time::interval(CONFIRM_EVERY);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            frame = replication.next() => {
                heard = Instant::now();
                match frame? {
                    Frame::Wal(data) => stream.take(&sql, pgoutput::decode(data)?).await?,
                    Frame::Keepalive { end, reply } => {
                        stream.idle_until(end);
                        if reply {
                            replication.confirm(stream.confirmed(), now_micros(), false).await?;
                        }
                    }
                }
            }
            _ = tick.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(Error::Silent);
                }
                // Only where it has been quiet: an answer to every question would be traffic for nothing.
                let ask = heard.elapsed() > SILENCE / 4;
                replication.confirm(stream.confirmed(), now_micros(), ask).await?;
            }
        }
    }
}

/// Waits until nobody else has the slot, and makes it.
async fn take_slot(sql: &Client, secret: &PostgresSecret, slot: &str) -> Result<ReplicationConnection, Error> {
    loop {
        let taken = "select from pg_replication_slots where slot_name = $1";
        if sql.query_opt(taken, &[&slot]).await?.is_none() {
            let connecting = ReplicationConnection::connect(secret, APPLICATION);
            let mut replication = time::timeout(SILENCE, connecting).await.map_err(|_| Error::Silent)??;
            match replication.create_slot(slot, Lifetime::Temporary).await {
                Ok(_) => return Ok(replication),
                Err(replication::Error::Refused { code, .. }) if code == DUPLICATE => {}
                Err(error) => return Err(error.into()),
            }
        }
        time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_name_postgres_allows() {
        assert_eq!(slot_name(&"my-demo".parse().unwrap()), "my_demo_gateway");
    }
}
