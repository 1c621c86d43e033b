//! Topics are made and kept as `spec.kafka.topics` says. The operator does it and nobody else, whatever engine sends into them; what is to be
//! done is decided in [`decide`], without Kafka and without a clock. Those of the [`counters`] are made by the nodes, and kept here as well.

mod admin;
pub mod counters;
pub mod decide;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;
use synccluster_protocol::Site;
use synccluster_protocol::status::Dial;
use synccluster_runtime::kafka::{Kafka, Refused};

pub use admin::{Admin, Error};
use decide::{Purpose, Reader, Seen, Step, Wanted, Who, decide};

use crate::api::TopicState;
use crate::names;
use crate::observe::Observed;
use crate::validate::{ValidatedCluster, kafka::External};

/// As what Kafka knows the operator.
pub const CLIENT_ID: &str = "synccluster-operator";
/// How often topics that are as wanted are looked at: somebody else may have changed them.
const DRIFT_SECONDS: i64 = 15;

/// A topic, just looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFact {
    /// Its name.
    pub name: String,
    /// Whether it is as wanted.
    pub state: TopicState,
    /// Those of the settings we decide that it has itself.
    pub settings: BTreeMap<String, String>,
    /// On how many brokers it is.
    pub replication: Option<i32>,
    /// What was changed just now.
    pub change: Option<String>,
    /// Why it is not as wanted.
    pub message: Option<String>,
}

/// What was seen of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Those of sites, and those of the counter nodes that are there.
    pub facts: Vec<TopicFact>,
    /// Names of all that are there: those the gateway and the counter nodes make, and those of clients that were scaled away, too.
    pub made: Vec<String>,
}

/// Why they could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// Nobody listens, or nothing gets through.
    #[error("the operator does not reach Kafka")]
    Unreached,
    /// What the Secret says cannot be used; that is told apart.
    #[error("the Secret of Kafka cannot be used")]
    NoAccess,
    /// The brokers do not take what the Secret says.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Kafka did not answer.
    #[error(transparent)]
    Failed(#[from] Error),
}

struct Remembered {
    uid: String,
    generation: i64,
    force: bool,
    external: Option<External>,
    at: Timestamp,
    kept: Kept,
}

/// The cluster's Kafka, as the operator reaches it.
fn kafka(cluster: &ValidatedCluster) -> Option<Kafka> {
    match &cluster.kafka.external {
        Some(external) => external.kafka(),
        None => Some(crate::plan::bootstrap_servers_from_afar(cluster).into()),
    }
}

/// Remembers what was looked at, so that a quiet cluster's Kafka is left alone.
#[derive(Default)]
pub struct Keeper(Mutex<HashMap<(String, String), Remembered>>);

impl Keeper {
    /// Makes and changes what has to be, unless it was seen to be as wanted a moment ago.
    pub async fn keep(&self, cluster: &ValidatedCluster, observed: &Observed, now: Timestamp) -> Result<Kept, Unkept> {
        if observed.kafka != Dial::Open {
            return Err(Unkept::Unreached);
        }
        let kafka = kafka(cluster).ok_or(Unkept::NoAccess)?;
        let key = (cluster.namespace.clone(), cluster.name.to_string());
        if let Some(kept) = self.fresh(&key, cluster, now) {
            return Ok(kept);
        }
        kafka.check().await?;
        let config = kafka.client_config(CLIENT_ID).map_err(|source| Error::Kafka {
            what: "take the configuration",
            source,
        })?;
        let kept = keep_topics(config, cluster, observed, now).await?;
        // What was done just now is told once.
        let told = kept
            .facts
            .iter()
            .cloned()
            .map(|fact| TopicFact { change: None, ..fact });
        let remembered = Remembered {
            uid: cluster.uid.clone(),
            generation: cluster.generation,
            force: cluster.kafka.topics.force,
            external: cluster.kafka.external.clone(),
            at: now,
            kept: Kept {
                facts: told.collect(),
                made: kept.made.clone(),
            },
        };
        self.memory().insert(key, remembered);
        Ok(kept)
    }

    fn fresh(&self, key: &(String, String), cluster: &ValidatedCluster, now: Timestamp) -> Option<Kept> {
        let memory = self.memory();
        let before = memory.get(key)?;
        let same = before.uid == cluster.uid
            && before.generation == cluster.generation
            && before.force == cluster.kafka.topics.force
            && before.external == cluster.kafka.external
            && now.as_second() - before.at.as_second() < DRIFT_SECONDS
            && before.kept.facts.iter().all(|fact| fact.state == TopicState::AsWanted);
        same.then(|| before.kept.clone())
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every topic of the cluster, and does what is to be done.
pub async fn keep_topics(
    config: ClientConfig,
    cluster: &ValidatedCluster,
    observed: &Observed,
    now: Timestamp,
) -> Result<Kept, Error> {
    let admin = Admin::new(config)?;
    let of_sites = cluster.sites().map(|site| Wanted::of(cluster, site));
    let wanted: Vec<Wanted> = of_sites.chain(counters::wanted(cluster)).collect();
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    let (seen, there) = admin.describe(&names).await?;
    let mut facts = Vec::with_capacity(wanted.len());
    for wanted in &wanted {
        let seen = seen.get(&wanted.name);
        let readers = match (wanted.purpose, seen) {
            (Purpose::Site(site), _) => readers(cluster, observed, site),
            // The nodes will make it.
            (Purpose::Likes | Purpose::Windows, None) => continue,
            (Purpose::Likes | Purpose::Windows, Some(_)) => Vec::new(),
        };
        facts.push(keep_topic(&admin, wanted, seen, &readers, now).await?);
    }
    let as_wanted = facts.iter().filter(|fact| fact.state == TopicState::AsWanted);
    let mut made: BTreeSet<String> = as_wanted.map(|fact| fact.name.clone()).collect();
    made.extend(there.into_iter().filter(|name| is_ours(cluster, name)));
    Ok(Kept {
        facts,
        made: made.into_iter().collect(),
    })
}

/// Whether a topic is one that this cluster makes, now or with more clients: no other topic of somebody else's Kafka is ever touched.
fn is_ours(cluster: &ValidatedCluster, topic: &str) -> bool {
    let counter = &cluster.counter;
    let mut windows = counters::windows(counter);
    cluster.name.site_of_topic(topic).is_some()
        || topic == names::gateway_topic(&cluster.name)
        || (counter.nodes > 0 && (topic == counter.likes_topic || windows.any(|window| window == topic)))
}

async fn keep_topic(
    admin: &Admin,
    wanted: &Wanted,
    seen: Option<&Seen>,
    readers: &[Reader],
    now: Timestamp,
) -> Result<TopicFact, Error> {
    let mut step = decide(wanted, seen, readers, None, now.as_millisecond());
    if let Step::Measure(offset) = step {
        let backlog = admin.backlog(&wanted.name, offset).await?;
        step = decide(wanted, seen, readers, Some(backlog), now.as_millisecond());
    }
    let fact = |state, message| TopicFact {
        name: wanted.name.clone(),
        state,
        settings: seen.map(|seen| seen.managed(wanted.purpose)).unwrap_or_default(),
        replication: seen.map(|seen| seen.replication),
        change: None,
        message,
    };
    let done = |change| TopicFact {
        settings: wanted.settings.clone(),
        replication: seen.map(|seen| seen.replication).or(Some(wanted.replication)),
        change: Some(change),
        ..fact(TopicState::AsWanted, None)
    };
    Ok(match step {
        Step::Nothing | Step::Measure(_) => fact(TopicState::AsWanted, None),
        Step::Create => match admin.create(wanted).await? {
            Ok(()) => done("made".to_owned()),
            // While brokers start there are not enough of them.
            Err(RDKafkaErrorCode::InvalidReplicationFactor) => fact(
                TopicState::Unknown,
                Some(format!("{} waits for {} brokers", wanted.name, wanted.replication)),
            ),
            Err(reason) => fact(TopicState::Failed, Some(format!("Kafka did not make it: {reason}"))),
        },
        Step::Alter { own, change } => match admin.alter(&wanted.name, &own).await? {
            Ok(()) => done(change),
            Err(reason) => fact(
                TopicState::Failed,
                Some(format!("Kafka did not take {change}: {reason}")),
            ),
        },
        Step::Refuse(why) => fact(TopicState::Refused, Some(why)),
        Step::Impossible(why) => fact(TopicState::Failed, Some(why)),
    })
}

/// Who reads a topic, and how far they are.
fn readers(cluster: &ValidatedCluster, observed: &Observed, topic_of: Site) -> Vec<Reader> {
    let topic = cluster.name.topic(topic_of);
    let reads = |site: &Site| (*site == Site::Server) != (topic_of == Site::Server);
    let offset = |site: Site| {
        let sink = observed.sinks.get(&site)?;
        let source = sink.sources.iter().find(|source| source.topic == topic);
        // A sink that has not begun with a topic begins at its beginning.
        Some(source.map_or(0, |source| source.offset))
    };
    let cut_since = |site: Site| {
        let link = &observed.sinks.get(&site)?.link;
        link.fresh_dial_since.filter(|_| link.fresh_dial == Dial::Blocked)
    };
    let sites = cluster.sites().filter(reads).map(|site| Reader {
        who: Who::Site(site),
        offset: offset(site),
        cut_since: cut_since(site),
    });
    let fills = cluster.analytics.is_some() && topic_of == Site::Server;
    let analytics = fills.then(|| Reader {
        who: Who::Analytics,
        // Before it has reached ClickHouse it does not know where it goes on.
        offset: observed
            .analytics
            .as_ref()
            .and_then(|said| said.source.as_ref())
            .map(|source| source.offset),
        cut_since: None,
    });
    sites.chain(analytics).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{observed, validated, with};

    #[test]
    fn clickhouse_reads_the_servers_topic_and_no_other() {
        let cluster = validated(with("/spec/analytics", json!({ "clickhouse": { "managed": {} } })));
        let mut seen = observed(&cluster);
        let offsets = |seen: &Observed, topic_of| -> Vec<Option<i64>> {
            let readers = readers(&cluster, seen, topic_of).into_iter();
            let analytics = readers.filter(|reader| reader.who == Who::Analytics);
            analytics.map(|reader| reader.offset).collect()
        };
        assert!(matches!(offsets(&seen, Site::Server)[..], [Some(_)]));
        assert_eq!(offsets(&seen, Site::Client(1)), []);
        seen.analytics = None;
        assert_eq!(offsets(&seen, Site::Server), [None]);
    }
}
