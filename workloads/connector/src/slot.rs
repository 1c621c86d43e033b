//! The replication slot, and whether its snapshot was sent whole.
//!
//! Crash windows: the mark in `sync.snapshots` is written after the last row of the snapshot was acknowledged by Kafka, and removed before
//! a slot is dropped. So a mark without its slot never hides a snapshot that is missing, and a slot without its mark is begun again;
//! what was sent twice is the same version twice and changes nothing.

use synccluster_protocol::{ClusterName, Lsn, Site, status::SlotStatus};
use tokio_postgres::{Client, Error};

/// The publication that `sync.sql` makes.
pub const PUBLICATION: &str = "sync";

/// The slot's name.
pub fn name(cluster: &ClusterName, site: Site) -> String {
    cluster.slot(site)
}

/// What has to be done before streaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The slot is there and its snapshot was sent.
    Stream,
    /// A slot and a snapshot.
    Snapshot,
}

/// Decides from what is there, and removes what cannot be used: a slot whose snapshot was not finished, or that has lost its WAL.
pub async fn prepare(client: &Client, slot: &str) -> Result<Need, Error> {
    let status = status(client, slot).await?;
    let completed = client
        .query_opt("select from sync.snapshots where slot = $1", &[&slot])
        .await?
        .is_some();
    let lost = status.as_ref().is_some_and(|status| status.wal_status == "lost");
    if status.is_some() && completed && !lost {
        return Ok(Need::Stream);
    }
    client
        .execute("delete from sync.snapshots where slot = $1", &[&slot])
        .await?;
    if status.is_some() {
        tracing::warn!(
            slot,
            lost,
            completed,
            "the slot cannot be continued: making it anew, with a snapshot"
        );
        client.execute("select pg_drop_replication_slot($1)", &[&slot]).await?;
    }
    Ok(Need::Snapshot)
}

/// Notes that the slot's snapshot is in Kafka, all of it.
pub async fn complete(client: &Client, slot: &str) -> Result<(), Error> {
    let statement =
        "insert into sync.snapshots (slot, completed_at) values ($1, clock_timestamp()) on conflict (slot) do nothing";
    client.execute(statement, &[&slot]).await.map(drop)
}

/// The slot as Postgres shows it.
pub async fn status(client: &Client, slot: &str) -> Result<Option<SlotStatus>, Error> {
    let statement = "select active, coalesce(wal_status, 'lost'), greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::int8,
                            confirmed_flush_lsn::text
                       from pg_replication_slots where slot_name = $1";
    Ok(client.query_opt(statement, &[&slot]).await?.map(|row| SlotStatus {
        name: slot.to_owned(),
        active: row.get(0),
        wal_status: row.get(1),
        retained_bytes: row.get::<_, Option<i64>>(2).unwrap_or_default().unsigned_abs(),
        confirmed_flush_lsn: row.get::<_, Option<String>>(3).and_then(|lsn| lsn.parse().ok()),
    }))
}

/// Bytes of WAL that the site has written and Kafka has not been seen to have.
pub async fn lag_bytes(client: &Client, confirmed: Lsn) -> Result<u64, Error> {
    let statement = "select greatest(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), $1::text::pg_lsn), 0)::int8";
    Ok(client
        .query_one(statement, &[&confirmed.to_string()])
        .await?
        .get::<_, i64>(0)
        .unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_name_postgres_allows() {
        assert_eq!(name(&"my-demo".parse().unwrap(), Site::Client(2)), "my_demo_client_2");
    }
}
