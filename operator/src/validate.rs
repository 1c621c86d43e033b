//! Step 2: from what was written to what can be planned. What comes out leaves Kubernetes no reason to refuse what is made from it.
//! Most of this the API server has refused already by the rules of the CRD; an object stored under an older CRD has not been through them.

mod analytics;
pub mod connector;
mod counter;
mod gateway;
pub mod kafka;
mod looks;
pub mod resnapshot;
pub mod server;
pub mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};
use synccluster_protocol::{ClusterName, Site, event::TableName, site::NameError};

use crate::api::{
    FORCE_TOPICS_ANNOTATION, KafkaStorage, Link, PostgresStorage, RESNAPSHOT_ANNOTATION, Seeder, SyncCluster,
    SyncClusterSpec, SyncClusterStatus,
};
use crate::dereference::Dereferenced;
use crate::names;
use crate::passwords::Passwords;
pub use analytics::{Analytics, ClickHouse};
pub use counter::{Counter, Outside};
pub use gateway::{Expose, Gateway};
pub use looks::{Console, Notebooks, Superset};
pub use resnapshot::Resnapshot;
pub use topics::Topics;

/// What is wrong with a resource, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name cannot be used.
    #[error("metadata.name: {0}")]
    Name(#[from] NameError),
    /// The API server gives every object these; their absence means it is not one of its objects.
    #[error("metadata.{0} is missing: apply the resource to a cluster")]
    Metadata(&'static str),
    /// A number is out of range.
    #[error("spec.{field} must be {range}, not {value}")]
    Range {
        /// The field.
        field: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        value: i64,
    },
    /// A cut names a client that does not exist.
    #[error("spec.partition.clients names client {ordinal}, which does not exist: use ordinals from 1 to {clients}")]
    NoSuchClient {
        /// The ordinal.
        ordinal: i32,
        /// How many there are.
        clients: u16,
    },
    /// A cut names a counter node that does not exist.
    #[error(
        "spec.partition.counters names node {ordinal}, which does not exist: spec.counter.nodes is {nodes}, and nodes are numbered from 0"
    )]
    NoSuchNode {
        /// The ordinal.
        ordinal: i32,
        /// How many there are.
        nodes: u16,
    },
    /// The ways from outside are not one.
    #[error("spec.gateway.expose must have exactly one of nodePort, ingress and gatewayApi")]
    Expose,
    /// Two fields cannot both be so.
    #[error("spec.{field}: {wrong}")]
    Contradiction {
        /// Where.
        field: &'static str,
        /// What, and what to write.
        wrong: &'static str,
    },
    /// Nobody's ClickHouse, or two.
    #[error("spec.analytics.clickhouse must have exactly one of managed and external")]
    ClickHouse,
    /// A text cannot be understood.
    #[error("spec.{field}: `{value}` is not {expected}")]
    Format {
        /// The field.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it should be, with an example.
        expected: &'static str,
    },
}

/// What the operator was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the operator runs: its pods are let through to the workloads.
    pub operator_namespace: String,
    /// Image of connector, sink, migrations, gateway and counter nodes.
    pub image: String,
    /// Image of Postgres where the resource names none.
    pub postgres_image: String,
    /// Image of Kafka where the resource names none.
    pub kafka_image: String,
    /// Image of Kafka Connect where the resource names none.
    pub connect_image: String,
    /// Image of ClickHouse where the resource names none.
    pub clickhouse_image: String,
}

/// The migrations of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migrations {
    /// The resource names none.
    None,
    /// The ConfigMap does not exist (yet).
    Missing {
        /// Its name.
        config_map: String,
    },
    /// It exists.
    Found {
        /// Its name.
        config_map: String,
        /// Hash of its content: pods that use it are made anew when it changes.
        hash: String,
    },
}

/// Who is cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The sites that are cut off from Kafka.
    pub sites: BTreeSet<Site>,
    /// The counter nodes that are cut off from Kafka and from all other nodes.
    pub counters: BTreeSet<u16>,
    /// Which way sites are.
    pub link: Link,
    /// After which time it ends by itself.
    pub heal_after: Option<Duration>,
}

impl Cut {
    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty() && self.counters.is_empty()
    }

    /// Whether changes of this site must not leave.
    pub fn uplink(&self, site: Site) -> bool {
        self.link != Link::Downlink && self.sites.contains(&site)
    }

    /// Whether others' changes must not arrive at this site.
    pub fn downlink(&self, site: Site) -> bool {
        self.link != Link::Uplink && self.sites.contains(&site)
    }
}

/// The Postgres databases.
#[derive(Clone, Debug, PartialEq)]
pub struct Postgres {
    /// Its image.
    pub image: String,
    /// Its volume.
    pub storage: PostgresStorage,
    /// `max_slot_wal_keep_size` in MB, as Postgres counts.
    pub max_slot_wal_keep_mb: u64,
    /// Further settings.
    pub parameters: BTreeMap<String, String>,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
}

/// The Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    /// The one that exists already; what follows but for the topics is of our own.
    pub external: Option<kafka::External>,
    /// 1 or 3.
    pub brokers: u8,
    /// Its image.
    pub image: String,
    /// Its volume.
    pub storage: KafkaStorage,
    /// What the topics are to be.
    pub topics: Topics,
}

/// A resource from which objects can be made.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Its name.
    pub name: ClusterName,
    /// Its namespace.
    pub namespace: String,
    /// Its UID: the first 16 bytes of identity Kafka gets.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What its objects name as their owner.
    pub owner: OwnerReference,
    /// How many clients.
    pub clients: u16,
    /// Who is cut.
    pub cut: Cut,
    /// What creates the tables.
    pub migrations: Migrations,
    /// Which tables; empty: every table with a primary key.
    pub tables: Vec<TableName>,
    /// How far a clock may be ahead.
    pub max_clock_skew: Duration,
    /// How often sites are compared.
    pub digest_interval: Duration,
    /// The databases.
    pub postgres: Postgres,
    /// The server's, if it is somebody else's.
    pub server: Option<server::External>,
    /// The Kafka.
    pub kafka: Kafka,
    /// What sends changes.
    pub engine: connector::Engine,
    /// What is asked of connectors.
    pub connector_requests: Vec<connector::Request>,
    /// The counter nodes.
    pub counter: Counter,
    /// How many of them there were when the cluster was last looked at; see [`ValidatedCluster::after`].
    pub counters_before: u16,
    /// The gateway, if there is one.
    pub gateway: Option<Gateway>,
    /// ClickHouse and what fills it, if wanted.
    pub analytics: Option<Analytics>,
    /// Rows to be sent once more.
    pub resnapshot: Option<Resnapshot>,
    /// The seeder, if there is one.
    pub seeder: Option<Seeder>,
    /// A console for Kafka, if wanted.
    pub console: Option<Console>,
    /// Dashboards, if wanted.
    pub superset: Option<Superset>,
    /// JupyterLab, if wanted.
    pub notebooks: Option<Notebooks>,
    /// Image of connector, sink, migrations, gateway and counter nodes.
    pub image: String,
    /// Where the operator runs.
    pub operator_namespace: String,
    /// Secrets that exist.
    pub secrets: BTreeSet<String>,
    /// What is to be written of them at the databases that are there.
    pub passwords: BTreeMap<Site, Passwords>,
    /// NetworkPolicies of others.
    pub foreign_policies: Vec<NetworkPolicy>,
}

impl ValidatedCluster {
    /// The server and the clients, in node order.
    pub fn sites(&self) -> impl Iterator<Item = Site> + use<> {
        Site::all(self.clients)
    }

    /// The Postgres of a site, if it is somebody else's.
    pub fn external_postgres(&self, site: Site) -> Option<&server::External> {
        self.server.as_ref().filter(|_| site == Site::Server)
    }

    /// The ordinals of the counter nodes.
    pub fn counters(&self) -> std::ops::Range<u16> {
        0..self.counter.nodes
    }

    /// The ordinals of those that are on their way out. Until their pods are gone they bring Kafka and the others what they have.
    pub fn leaving_counters(&self) -> std::ops::Range<u16> {
        self.counter.nodes..self.counters_before.max(self.counter.nodes)
    }

    /// The ordinals of both.
    pub fn all_counters(&self) -> std::ops::Range<u16> {
        0..self.counters_before.max(self.counter.nodes)
    }

    /// With the counter nodes that this status still has.
    #[must_use]
    pub fn after(self, previous: &SyncClusterStatus) -> Self {
        let ordinals = previous
            .counters
            .iter()
            .filter_map(|node| names::counter_ordinal(&node.name));
        Self {
            counters_before: ordinals.max().map_or(0, |last| last.saturating_add(1)),
            ..self
        }
    }
}

/// Validates it.
pub fn validate(cluster: &SyncCluster, found: Dereferenced, settings: &Settings) -> Result<ValidatedCluster, Error> {
    let spec = &cluster.spec;
    let clients = range("clients", spec.clients, 0..=1000, "between 0 and 1000")?;
    let name: ClusterName = cluster.name_any().parse()?;
    let counter = counter::counter(&spec.counter, &name)?;
    let brokers = range("kafka.brokers", spec.kafka.brokers, 1..=3, "1 or 3")?;
    let brokers_of_topics = spec.kafka.external.is_none().then_some(brokers);
    let generation = cluster.meta().generation.unwrap_or_default();
    let force = cluster.annotations().get(FORCE_TOPICS_ANNOTATION) == Some(&generation.to_string());
    let named = spec.schema.tables.iter().map(|table| self::table(&table.name));
    let tables = named.collect::<Result<Vec<_>, _>>()?;
    let analytics = analytics::analytics(
        &spec.analytics,
        found.definitions.as_ref(),
        &tables,
        &settings.clickhouse_image,
    )?;
    Ok(ValidatedCluster {
        name,
        namespace: cluster.namespace().ok_or(Error::Metadata("namespace"))?,
        uid: cluster.uid().ok_or(Error::Metadata("uid"))?,
        generation,
        owner: cluster.controller_owner_ref(&()).ok_or(Error::Metadata("uid"))?,
        clients,
        cut: cut(spec, clients, counter.nodes)?,
        migrations: match (&spec.schema.migrations, found.migrations) {
            (None, _) => Migrations::None,
            (Some(named), None) => Migrations::Missing {
                config_map: named.config_map.name.clone(),
            },
            (Some(named), Some(hash)) => Migrations::Found {
                config_map: named.config_map.name.clone(),
                hash,
            },
        },
        tables,
        max_clock_skew: duration("sync.maxClockSkew", &spec.sync.max_clock_skew)?,
        digest_interval: duration("sync.digestInterval", &spec.sync.digest_interval)?,
        postgres: Postgres {
            image: spec
                .postgres
                .image
                .clone()
                .unwrap_or_else(|| settings.postgres_image.clone()),
            storage: spec.postgres.storage.clone(),
            max_slot_wal_keep_mb: mebibytes("postgres.maxSlotWalKeepSize", &spec.postgres.max_slot_wal_keep_size)?,
            parameters: parameters(&spec.postgres.parameters)?,
            resources: spec.postgres.resources.clone(),
        },
        server: server::external(&spec.server)?,
        kafka: Kafka {
            external: kafka::external(spec.kafka.external.as_ref(), found.kafka)?,
            brokers,
            image: spec.kafka.image.clone().unwrap_or_else(|| settings.kafka_image.clone()),
            storage: spec.kafka.storage.clone(),
            topics: topics::topics(&spec.kafka.topics, brokers_of_topics, force)?,
        },
        engine: connector::engine(
            &spec.connector,
            found.templates.as_ref(),
            &found.template_secrets,
            &settings.connect_image,
        ),
        connector_requests: connector::requests(cluster.annotations(), clients),
        counter,
        counters_before: 0,
        gateway: gateway::gateway(&spec.gateway, found.serves_routes)?,
        analytics,
        resnapshot: cluster
            .annotations()
            .get(RESNAPSHOT_ANNOTATION)
            .map(|written| resnapshot::resnapshot(written, clients)),
        seeder: spec.seeder.clone(),
        console: spec.console.as_ref().map(looks::console).transpose()?,
        superset: spec.analytics.superset.clone(),
        notebooks: spec.analytics.notebooks.clone(),
        image: settings.image.clone(),
        operator_namespace: settings.operator_namespace.clone(),
        secrets: found.secrets,
        passwords: found.passwords,
        foreign_policies: found.foreign_policies,
    })
}

fn range<T: TryFrom<i32>>(
    field: &'static str,
    value: i32,
    allowed: std::ops::RangeInclusive<i32>,
    range: &'static str,
) -> Result<T, Error> {
    let wrong = || Error::Range {
        field,
        range,
        value: value.into(),
    };
    if !allowed.contains(&value) {
        return Err(wrong());
    }
    T::try_from(value).map_err(|_| wrong())
}

fn cut(spec: &SyncClusterSpec, clients: u16, nodes: u16) -> Result<Cut, Error> {
    let Some(partition) = &spec.partition else {
        return Ok(Cut::default());
    };
    let client = |&ordinal: &i32| match u16::try_from(ordinal) {
        Ok(existing) if (1..=clients).contains(&existing) => Ok(Site::Client(existing)),
        _ => Err(Error::NoSuchClient { ordinal, clients }),
    };
    let mut sites: BTreeSet<Site> = partition.clients.iter().map(client).collect::<Result<_, _>>()?;
    if partition.server {
        sites.insert(Site::Server);
    }
    let counter = |&ordinal: &i32| match u16::try_from(ordinal) {
        Ok(existing) if existing < nodes => Ok(existing),
        _ => Err(Error::NoSuchNode { ordinal, nodes }),
    };
    let counters = partition.counters.iter().map(counter).collect::<Result<_, _>>()?;
    let heal_after = partition
        .heal_after
        .as_deref()
        .map(|after| duration("partition.healAfter", after))
        .transpose()?;
    Ok(Cut {
        sites,
        counters,
        link: partition.link,
        heal_after,
    })
}

fn table(name: &str) -> Result<TableName, Error> {
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c == ',' || c == '.' || c.is_whitespace());
    TableName::parse(name)
        .filter(|table| plain(&table.schema) && plain(&table.table))
        .ok_or(Error::Format {
            field: "schema.tables[].name",
            value: name.to_owned(),
            expected: "schema and table joined by a dot, such as public.todos",
        })
}

fn parameters(written: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    match written.keys().find(|key| key.is_empty() || !key.chars().all(name)) {
        None => Ok(written.clone()),
        Some(key) => Err(Error::Format {
            field: "postgres.parameters",
            value: key.clone(),
            expected: "the name of a setting in lower-case letters, digits, _ and . such as shared_buffers",
        }),
    }
}

fn duration(field: &'static str, text: &str) -> Result<Duration, Error> {
    let wrong = || Error::Format {
        field,
        value: text.to_owned(),
        expected: "a whole number of seconds, minutes or hours such as 10s, 5m or 2h",
    };
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number
        .parse()
        .ok()
        .filter(|n| (1..1_000_000).contains(n))
        .ok_or_else(wrong)?;
    Ok(Duration::from_secs(number * seconds))
}

fn mebibytes(field: &'static str, text: &str) -> Result<u64, Error> {
    let wrong = || Error::Format {
        field,
        value: text.to_owned(),
        expected: "a whole number of Mi, Gi or Ti such as 512Mi",
    };
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(2)).ok_or_else(wrong)?;
    let scale: u64 = match unit {
        "Mi" => 1,
        "Gi" => 1 << 10,
        "Ti" => 1 << 20,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|&n| n > 0)
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
