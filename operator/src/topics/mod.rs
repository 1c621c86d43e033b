//! Topics are made and kept as `spec.kafka.topics` says. The operator does it and nobody else, whatever engine sends into them; what is to be
//! done is decided in [`decide`], without Kafka and without a clock.

mod admin;
pub mod decide;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;
use synccluster_protocol::Site;
use synccluster_protocol::status::Dial;
use synccluster_runtime::kafka::Kafka;

pub use admin::{Admin, Error};
use decide::{Reader, Seen, Step, Wanted, decide};

use crate::api::TopicState;
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

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

struct Kept {
    uid: String,
    generation: i64,
    force: bool,
    at: Timestamp,
    facts: Vec<TopicFact>,
}

/// Remembers what was looked at, so that a quiet cluster's Kafka is left alone.
#[derive(Default)]
pub struct Keeper(Mutex<HashMap<(String, String), Kept>>);

impl Keeper {
    /// Makes and changes what has to be, unless it was seen to be as wanted a moment ago.
    pub async fn keep(
        &self,
        cluster: &ValidatedCluster,
        observed: &Observed,
        now: Timestamp,
    ) -> Result<Vec<TopicFact>, String> {
        if observed.kafka != Dial::Open {
            return Err("the operator does not reach Kafka".to_owned());
        }
        let key = (cluster.namespace.clone(), cluster.name.to_string());
        if let Some(facts) = self.fresh(&key, cluster, now) {
            return Ok(facts);
        }
        let kafka = Kafka::from(crate::plan::bootstrap_servers_from_afar(cluster));
        let config = kafka
            .client_config("synccluster-operator")
            .map_err(|error| error.to_string())?;
        let facts = keep_topics(config, cluster, observed, now)
            .await
            .map_err(|error| error.to_string())?;
        // What was done just now is told once.
        let told = facts.iter().cloned().map(|fact| TopicFact { change: None, ..fact });
        let kept = Kept {
            uid: cluster.uid.clone(),
            generation: cluster.generation,
            force: cluster.kafka.topics.force,
            at: now,
            facts: told.collect(),
        };
        self.memory().insert(key, kept);
        Ok(facts)
    }

    fn fresh(&self, key: &(String, String), cluster: &ValidatedCluster, now: Timestamp) -> Option<Vec<TopicFact>> {
        let memory = self.memory();
        let kept = memory.get(key)?;
        let same = kept.uid == cluster.uid
            && kept.generation == cluster.generation
            && kept.force == cluster.kafka.topics.force
            && now.as_second() - kept.at.as_second() < DRIFT_SECONDS
            && kept.facts.iter().all(|fact| fact.state == TopicState::AsWanted);
        same.then(|| kept.facts.clone())
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.memory().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every topic of the cluster, and does what is to be done.
pub async fn keep_topics(
    config: ClientConfig,
    cluster: &ValidatedCluster,
    observed: &Observed,
    now: Timestamp,
) -> Result<Vec<TopicFact>, Error> {
    let admin = Admin::new(config)?;
    let wanted: Vec<Wanted> = cluster.sites().map(|site| Wanted::of(cluster, site)).collect();
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    let seen = admin.describe(&names).await?;
    let mut facts = Vec::with_capacity(wanted.len());
    for wanted in &wanted {
        let readers = readers(cluster, observed, wanted.site);
        facts.push(keep_topic(&admin, wanted, seen.get(&wanted.name), &readers, now).await?);
    }
    Ok(facts)
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
        settings: seen.map(Seen::managed).unwrap_or_default(),
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

/// The sites that read a topic, and how far they are.
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
    let sites = cluster.sites().filter(reads);
    sites
        .map(|site| Reader {
            site,
            offset: offset(site),
            cut_since: cut_since(site),
        })
        .collect()
}
