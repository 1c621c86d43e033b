//! A cluster with three clients in which all is well. Tests take it, spoil one thing, and expect one statement.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use synccluster_protocol::status::{
    AnalyticsPhase, AnalyticsStatus, AnalyticsTableStatus, ConnectorPhase, ConnectorStatus, CounterLeaderStatus,
    CounterPeerStatus, CounterStatus, Dial, DigestStatus, LinkStatus, SinkPhase, SinkStatus, SlotStatus, SourceStatus,
};
use synccluster_protocol::{Lsn, Site};

use crate::api::{SyncCluster, TopicState};
use crate::dereference::Dereferenced;
use crate::names::{self, Component};
use crate::observe::{Observed, PodFact};
use crate::topics::TopicFact;
use crate::validate::{ClickHouse, Settings, ValidatedCluster, validate};

/// Seconds since the Unix epoch of every measurement in [`observed`].
pub const NOW: i64 = 1_800_000_000;

pub fn now() -> Timestamp {
    after(0)
}

pub fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

/// What a person writes, and what the API server adds.
pub fn resource() -> Value {
    json!({
        "apiVersion": "synccluster.dev/v1alpha1",
        "kind": "SyncCluster",
        "metadata": { "name": "demo", "namespace": "shop", "uid": "01234567-89ab-cdef-0123-456789abcdef", "generation": 7 },
        "spec": {
            "clients": 3,
            "schema": { "migrations": { "configMap": { "name": "demo-schema" } }, "tables": [{ "name": "public.todos" }] },
        },
    })
}

/// The resource with one field written over.
pub fn with(pointer: &str, value: Value) -> Value {
    let mut resource = resource();
    set(&mut resource, pointer, value);
    resource
}

pub fn set(whole: &mut Value, pointer: &str, value: Value) {
    let mut at = whole;
    for part in pointer.trim_start_matches('/').split('/') {
        at = match part.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            _ => &mut at[part],
        };
    }
    *at = value;
}

pub fn settings() -> Settings {
    Settings {
        operator_namespace: "synccluster-system".to_owned(),
        image: "synccluster/synccluster:test".to_owned(),
        postgres_image: "postgres:17".to_owned(),
        kafka_image: "apache/kafka:4.3.1".to_owned(),
        connect_image: "synccluster/connect:test".to_owned(),
        clickhouse_image: "clickhouse/clickhouse-server:test".to_owned(),
    }
}

pub fn found() -> Dereferenced {
    Dereferenced {
        migrations: Some("0011223344556677".to_owned()),
        ..Dereferenced::default()
    }
}

pub fn validated(resource: Value) -> ValidatedCluster {
    let cluster: SyncCluster = serde_json::from_value(resource).unwrap();
    validate(&cluster, found(), &settings()).unwrap()
}

pub fn valid() -> ValidatedCluster {
    validated(resource())
}

/// What a person writes who wants three counter nodes.
pub fn counting() -> Value {
    with("/spec/counter", json!({ "nodes": 3 }))
}

/// The cluster with three counter nodes and this partition.
pub fn counting_cut(partition: Value) -> ValidatedCluster {
    let mut resource = counting();
    set(&mut resource, "/spec/partition", partition);
    validated(resource)
}

/// The cluster with this partition.
pub fn cut(partition: Value) -> ValidatedCluster {
    validated(with("/spec/partition", partition))
}

pub fn pod(cluster: &ValidatedCluster, site: Option<Site>, component: Component) -> PodFact {
    let labels = names::labels(&cluster.name, site, Some(component));
    let labels: BTreeMap<String, String> = serde_json::from_value(Value::Object(labels)).unwrap();
    PodFact {
        name: format!(
            "{}-{}{component}-0",
            cluster.name,
            site.map_or(String::new(), |site| format!("{site}-"))
        ),
        component,
        site,
        labels,
        ip: Some("10.1.2.3".to_owned()),
        node_ip: Some("192.0.2.7".to_owned()),
        ready: true,
        current: true,
        terminating: false,
        problem: None,
    }
}

fn counter_pod(cluster: &ValidatedCluster, node: u16) -> PodFact {
    let mut pod = pod(cluster, None, Component::Counter);
    pod.name = names::counter_pod(&cluster.name, node);
    pod.labels.insert(names::POD_NAME_LABEL.to_owned(), pod.name.clone());
    pod
}

fn counter(cluster: &ValidatedCluster, node: u16) -> CounterStatus {
    let peer = |ordinal: u16| CounterPeerStatus {
        ordinal,
        link: link(),
        alive: true,
        known: Some(40),
    };
    CounterStatus {
        cluster: cluster.name.clone(),
        node,
        incarnation: "0000000000000001".to_owned(),
        position: 40,
        published: Some(40),
        stable: 40,
        log_bytes: 4096,
        peers: cluster.counters().filter(|other| *other != node).map(peer).collect(),
        digest: "00000000000c0de5".to_owned(),
        ids: 3,
        doubled: 0,
        kafka: Some(link()),
        leader: Some(CounterLeaderStatus { node: 0, term: 2 }),
        alone: false,
        clients: 0,
        likes_per_second: 0,
        error: None,
        measured_at: Some((NOW - 1) * 1000),
    }
}

fn link() -> LinkStatus {
    LinkStatus {
        peer: "demo-kafka:9092".to_owned(),
        fresh_dial: Dial::Open,
        fresh_dial_since: Some((NOW - 600) * 1000),
        probed_at: Some((NOW - 1) * 1000),
        established: 2,
        closed_since: None,
        last_moved_at: Some((NOW - 5) * 1000),
    }
}

/// A way on which nothing has gone for 20 seconds.
pub fn blocked() -> LinkStatus {
    LinkStatus {
        fresh_dial: Dial::Blocked,
        fresh_dial_since: Some((NOW - 20) * 1000),
        established: 0,
        closed_since: Some((NOW - 18) * 1000),
        last_moved_at: Some((NOW - 21) * 1000),
        ..link()
    }
}

fn connector(cluster: &ValidatedCluster, site: Site) -> ConnectorStatus {
    ConnectorStatus {
        cluster: cluster.name.clone(),
        site,
        phase: ConnectorPhase::Streaming,
        link: link(),
        slot: Some(SlotStatus {
            name: "sync".to_owned(),
            active: true,
            wal_status: "reserved".to_owned(),
            retained_bytes: 4096,
            confirmed_flush_lsn: Some(Lsn(1)),
        }),
        lag_bytes: Some(56),
        lag_seconds: 0,
        records_acknowledged: 10,
        snapshot_rows: 0,
        set_aside: 0,
        resnapshot: None,
        error: None,
        connect: None,
        measured_at: Some((NOW - 1) * 1000),
    }
}

fn sink(cluster: &ValidatedCluster, site: Site) -> SinkStatus {
    let from = cluster
        .sites()
        .filter(|from| (site == Site::Server) != (*from == Site::Server));
    let source = |from: Site| SourceStatus {
        topic: cluster.name.topic(from),
        offset: 10,
        end_offset: Some(10),
        end_measured_at: Some((NOW - 1) * 1000),
        lag_records: 0,
        clock_ahead_millis: None,
    };
    SinkStatus {
        cluster: cluster.name.clone(),
        site,
        phase: SinkPhase::Applying,
        link: link(),
        sources: from.map(source).collect(),
        lag_seconds: 0,
        digest: Some(DigestStatus {
            digest: "00000000deadbeef".to_owned(),
            rows: 12,
            lsn: Lsn(1),
            measured_at: (NOW - 1) * 1000,
        }),
        conflicts: 0,
        parked: 0,
        parked_reason: None,
        unmeasured: None,
        transactions_applied: 10,
        error: None,
        measured_at: Some((NOW - 1) * 1000),
    }
}

fn topic(cluster: &ValidatedCluster, site: Site) -> TopicFact {
    TopicFact {
        name: cluster.name.topic(site),
        state: TopicState::AsWanted,
        settings: cluster.kafka.topics.of(site).settings(),
        replication: Some(1),
        ..TopicFact::default()
    }
}

fn analytics(cluster: &ValidatedCluster) -> AnalyticsStatus {
    AnalyticsStatus {
        cluster: cluster.name.clone(),
        phase: AnalyticsPhase::Writing,
        link: link(),
        source: Some(SourceStatus {
            topic: cluster.name.topic(Site::Server),
            offset: 10,
            end_offset: Some(10),
            end_measured_at: Some((NOW - 1) * 1000),
            lag_records: 0,
            clock_ahead_millis: None,
        }),
        lag_seconds: 0,
        rebuilding_to: None,
        generation: 0,
        tables: vec![AnalyticsTableStatus {
            source: "public.todos".to_owned(),
            table: "todos".to_owned(),
            problem: None,
        }],
        definitions_problem: None,
        rows_written: 10,
        deletes_written: 0,
        parked: 0,
        parked_reason: None,
        skipped: 0,
        windows_written: 0,
        windows_problem: None,
        clickhouse_version: Some("25.8".to_owned()),
        error: None,
        measured_at: Some((NOW - 1) * 1000),
    }
}

/// What is seen of a cluster in which all is well.
pub fn observed(cluster: &ValidatedCluster) -> Observed {
    let parts = [Component::Postgres, Component::Connector, Component::Sink];
    let mut pods: Vec<PodFact> = (0..cluster.kafka.brokers)
        .map(|_| pod(cluster, None, Component::Kafka))
        .collect();
    pods.extend(
        cluster
            .sites()
            .flat_map(|site| parts.map(|part| pod(cluster, Some(site), part))),
    );
    let gateways = cluster.gateway.as_ref().map_or(0, |gateway| gateway.replicas);
    pods.extend((0..gateways).map(|_| pod(cluster, None, Component::Gateway)));
    pods.extend(cluster.counters().map(|node| counter_pod(cluster, node)));
    if let Some(wanted) = &cluster.analytics {
        pods.push(pod(cluster, None, Component::Analytics));
        pods.extend(
            matches!(wanted.clickhouse, ClickHouse::Managed { .. }).then(|| pod(cluster, None, Component::ClickHouse)),
        );
    }
    Observed {
        pods,
        analytics: cluster.analytics.as_ref().map(|_| analytics(cluster)),
        counters: cluster.counters().map(|node| (node, counter(cluster, node))).collect(),
        connectors: cluster.sites().map(|site| (site, connector(cluster, site))).collect(),
        sinks: cluster.sites().map(|site| (site, sink(cluster, site))).collect(),
        kafka: Dial::Open,
        topics: cluster.sites().map(|site| topic(cluster, site)).collect(),
        ..Observed::default()
    }
}
