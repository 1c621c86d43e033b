//! What happens at the sites and in Kafka, as it happens.
//!
//! `follow` reads every site's WAL (`stream`), unless another replica does: what that one reads comes through `relay`. `topics` reads every site's
//! topic. What is learnt goes to the `bus`, for all who want to hear of it, and into the memory of `hops`, from which `way` tells how far a
//! write has come. `ask` finds what the sites have now. `change`, `record`, `hops`, `way`
//! and the bus' ring are pure.

pub mod ask;
pub mod bus;
mod change;
mod computed;
mod follow;
pub mod hops;
mod record;
mod relay;
mod stream;
mod tables;
mod topics;
pub mod way;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use rdkafka::{ClientConfig, error::KafkaError};
use serde_json::{Map, Value, json};
use synccluster_protocol::Site;
use tokio::task::JoinSet;

use crate::{
    app::{App, Shared},
    kubernetes::{Kubernetes, Seen as Known},
    rows::{catalogue::Table, row::rfc3339},
};
use bus::{Bus, Kind, LIMITS, News};
use change::Change;
use hops::{Hops, Seen, Times, Write};
use tables::Tables;

/// What the memory of hops may take.
const HOPS_BYTES: usize = 6 << 20;

/// What this process learns, and remembers of it.
pub struct Live {
    /// For whoever wants to hear of it: `/events`, Socket.IO.
    pub bus: Bus,
    hops: Mutex<Hops>,
    tables: Tables,
    /// Tells this replica from the others, and from its former selves.
    replica: u64,
    /// Since when every topic has been read, in microseconds since the Unix epoch; 0 before that.
    listening: AtomicI64,
}

impl Live {
    /// Nothing learnt yet. `replica` is a number no other replica has, now or before: draw it.
    pub fn new(replica: u64) -> Self {
        Self {
            bus: Bus::new(replica, LIMITS),
            hops: Mutex::new(Hops::new(HOPS_BYTES)),
            tables: Tables::default(),
            replica,
            listening: AtomicI64::new(0),
        }
    }

    /// The enrolled table of this name, if a site has told of it.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.get(name).map(|(_, table)| table)
    }

    /// What was seen of a write.
    pub fn seen(&self, write: &Write) -> Option<Times> {
        self.hops().find(write).cloned()
    }

    /// Since when the topics have been read; absent until they are.
    pub fn listening(&self) -> Option<i64> {
        Some(self.listening.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    fn hops(&self) -> MutexGuard<'_, Hops> {
        self.hops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A site's WAL has this change, committed at `at`.
    fn committed(&self, change: &Change, at: i64) {
        let write = change.write();
        self.hops().note(&write, Seen::At(change.site), at);
        self.bus.publish(News {
            kind: Kind::Change,
            table: Some(write.table),
            site: Some(change.site),
            data: json!(change).to_string().into(),
            relayed: true,
        });
    }

    /// Another replica says so.
    fn committed_elsewhere(&self, write: &Write, site: Site, at: i64, data: Arc<str>) {
        self.hops().note(write, Seen::At(site), at);
        self.bus.publish(News {
            kind: Kind::Change,
            table: Some(Arc::clone(&write.table)),
            site: Some(site),
            data,
            relayed: false,
        });
    }

    /// The topic of `site` has this write.
    fn in_topic(&self, write: &Write, site: Site, seen: Seen, at: i64) {
        // The server's topic has every write again; a write's way leads through the topic of its own site.
        if write.version.node() == site.node() {
            self.hops().note(write, seen, at);
        }
    }

    /// Tells that it has; `key` is its key as JSON shows it.
    fn tell_hop(&self, write: &Write, key: &Map<String, Value>, site: Site, seen: Seen, at: i64) {
        let hop = if seen == Seen::Captured { "captured" } else { "in_kafka" };
        let data = json!({
            "table": &*write.table, "key": key, "key_path": &*write.key, "version": write.version.to_string(), "hop": hop, "site": site,
            "at": rfc3339(at)
        });
        self.bus.publish(News {
            kind: Kind::Hop,
            table: Some(Arc::clone(&write.table)),
            site: Some(site),
            data: data.to_string().into(),
            relayed: false,
        });
    }
}

/// A consumer with little memory: many topics at once do not add up.
fn consumer_config(app: &App, client_id: &str) -> Result<ClientConfig, KafkaError> {
    let mut config = app.brokers.consumer_config(client_id)?;
    config
        .set("queued.max.messages.kbytes", "1024")
        .set("fetch.message.max.bytes", "524288")
        .set("fetch.max.bytes", "2097152");
    Ok(config)
}

/// Learns until `app.stop` is cancelled. The topic through which replicas tell each other is made with so many copies.
pub async fn run(app: Shared, replication: i32) {
    let mut tasks = JoinSet::new();
    for site in app.sites.names() {
        tasks.spawn(follow::run(Arc::clone(&app), site));
    }
    tasks.spawn(topics::run(Arc::clone(&app)));
    tasks.spawn(relay::run(Arc::clone(&app), replication));
    tasks.spawn(cluster(app));
    while tasks.join_next().await.is_some() {}
}

/// Tells of every change of the cluster's document.
async fn cluster(app: Shared) {
    let Some(mut seen) = app.kubernetes.as_ref().map(Kubernetes::seen) else {
        return;
    };
    while let Some(Ok(())) = app.stop.run_until_cancelled(seen.changed()).await {
        if let Known::Cluster(cluster) = &*seen.borrow_and_update() {
            app.live.bus.publish(News {
                kind: Kind::Cluster,
                table: None,
                site: None,
                data: json!(cluster).to_string().into(),
                relayed: false,
            });
        }
    }
}
