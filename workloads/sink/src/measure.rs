//! Measures the site, beside the applying: its digest, its conflicts, what is parked.

use std::{sync::Arc, time::Duration};

use synccluster_protocol::{Lsn, status::DigestStatus};
use synccluster_runtime::{
    clock::now_millis,
    postgres::{self, PostgresSecret},
    workload::State,
};
use tokio::time::{self, Instant};
use tokio_postgres::Client;

use crate::{
    digest::{Moment, is_due},
    run::Downlink,
};

/// Between two looks; a look at rest writes no WAL and reads no table.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs until the process ends; a connection that breaks is made again. Goes on while the link to Kafka is cut.
pub async fn run(secret: PostgresSecret, state: Arc<State<Downlink>>, interval: Duration) {
    loop {
        let looked = match postgres::connect_once(&secret, "synccluster-sink measure").await {
            Ok(client) => look(&client, &state, interval)
                .await
                .map_err(|error| postgres::describe(&error)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = looked {
            tell(&state, error);
        }
        time::sleep(LOOK_EVERY).await;
    }
}

/// Says once why there is no new digest.
fn tell(state: &State<Downlink>, error: String) {
    let mut status = state.edit();
    if status.unmeasured.as_ref() != Some(&error) {
        tracing::warn!(error, "the site cannot be measured; trying again");
    }
    status.unmeasured = Some(error);
}

async fn look(client: &Client, state: &State<Downlink>, interval: Duration) -> Result<(), tokio_postgres::Error> {
    let mut before = None;
    let mut of_last = None;
    let mut computed_at = Instant::now();
    let mut took = Duration::ZERO;
    let mut tick = time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let lsn = position(client).await?;
        let moment = Moment {
            lsn,
            before,
            of_last,
            since_last: computed_at.elapsed(),
            took,
        };
        before = Some(lsn);
        if is_due(moment, interval) {
            let started = Instant::now();
            let row = client.query_one("select digest, rows from sync.digest()", &[]).await?;
            (computed_at, took, of_last) = (Instant::now(), started.elapsed(), Some(lsn));
            let rows = row.get::<_, i64>(1).unsigned_abs();
            state.edit().digest = Some(DigestStatus {
                digest: row.get(0),
                rows,
                lsn,
                measured_at: now_millis(),
            });
            count(client, state).await?;
        } else if of_last == Some(lsn) {
            let mut status = state.edit();
            if let Some(digest) = &mut status.digest {
                digest.measured_at = now_millis();
            }
            status.measured_at = Some(now_millis());
        } else {
            count(client, state).await?;
        }
        state.edit().unmeasured = None;
    }
}

async fn position(client: &Client) -> Result<Lsn, tokio_postgres::Error> {
    let text: String = client
        .query_one("select pg_current_wal_insert_lsn()::text", &[])
        .await?
        .get(0);
    Ok(text.parse().unwrap_or_default())
}

async fn count(client: &Client, state: &State<Downlink>) -> Result<(), tokio_postgres::Error> {
    let statement = "select (select count(*) from sync.conflicts), (select count(*) from sync.parked),
                            (select reason from sync.parked order by id desc limit 1)";
    let row = client.query_one(statement, &[]).await?;
    let mut status = state.edit();
    status.conflicts = row.get::<_, i64>(0).unsigned_abs();
    status.parked = row.get::<_, i64>(1).unsigned_abs();
    status.parked_reason = row.get(2);
    status.measured_at = Some(now_millis());
    Ok(())
}
