//! Step 1: fetch what the resource names and what the plan must know to leave alone. The only step before `apply` that takes a client.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use synccluster_protocol::Site;
use synccluster_runtime::kafka::Security;

use crate::api::SyncCluster;
use crate::names::{CLUSTER_LABEL, COMPONENT_LABEL, Component};
use crate::passwords::{self, Passwords};
use crate::plan::{Kind, hash};
use crate::validate::connector::{self, Keys};
use crate::validate::kafka;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not answer, or refused.
    #[error("cannot read {what} in namespace {namespace}: {source}")]
    Read {
        /// What was to be read.
        what: &'static str,
        /// Where.
        namespace: String,
        /// The answer.
        source: Box<kube::Error>,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dereferenced {
    /// Hash of the migrations; absent if the resource names none or its ConfigMap does not exist.
    pub migrations: Option<String>,
    /// The ConfigMap of connector templates; absent if the resource names none or it does not exist.
    pub templates: Option<BTreeMap<String, String>>,
    /// What there is of the Secrets that the template names. Only which keys they have is kept: Connect reads the values by itself.
    pub template_secrets: Keys,
    /// The ConfigMap with definitions of ClickHouse's tables; absent if the resource names none or it does not exist.
    pub definitions: Option<BTreeMap<String, String>>,
    /// Names of the cluster's Secrets that exist. Only their metadata is fetched: the operator does not read the passwords it made.
    pub secrets: BTreeSet<String>,
    /// What is to be written of them at the databases that are there.
    pub passwords: BTreeMap<Site, Passwords>,
    /// NetworkPolicies of the namespace that are not this cluster's.
    pub foreign_policies: Vec<NetworkPolicy>,
    /// What the Secret of a Kafka says that is somebody else's; absent if the resource names none or it does not exist. It is the one whose
    /// content is kept: the operator makes the topics.
    pub kafka: kafka::Found,
    /// Whether the cluster has HTTPRoutes. Looked up only if the resource asks for one.
    pub serves_routes: bool,
}

/// Fetches it.
pub async fn dereference(client: &Client, cluster: &SyncCluster) -> Result<Dereferenced, Error> {
    let namespace = cluster.namespace().unwrap_or_default();
    let failed = |what| {
        let namespace = namespace.clone();
        move |source| Error::Read {
            what,
            namespace,
            source: Box::new(source),
        }
    };
    let name = cluster.name_any();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let migrations = async {
        let Some(named) = &cluster.spec.schema.migrations else {
            return Ok(None);
        };
        let map = maps.get_opt(&named.config_map.name).await;
        let map = map.map_err(failed("ConfigMaps"))?;
        Ok(map.map(|map| hash(&(map.data, map.binary_data))))
    };
    let templates = async {
        let found = templates(client, cluster, &maps).await;
        found.map_err(failed("connector templates and the Secrets they name"))
    };
    let definitions = async {
        let clickhouse = cluster.spec.analytics.clickhouse.as_ref();
        let named = clickhouse.and_then(|clickhouse| clickhouse.tables.as_ref());
        let found = text(&maps, named.map(|named| named.config_map.name.as_str())).await;
        found.map_err(failed("ConfigMaps"))
    };
    let secrets = async {
        // The newest version: a database that restarts for a Secret made anew would restart again for an older list.
        let ours = ListParams::default().labels(&format!("{CLUSTER_LABEL}={name}"));
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let list = secrets.list_metadata(&ours).await.map_err(failed("Secrets"))?;
        Ok(list.items)
    };
    let databases = async {
        // The newest version here, too: which Secrets a database was started with is written at its StatefulSet.
        let ours = ListParams::default().labels(&format!(
            "{CLUSTER_LABEL}={name},{COMPONENT_LABEL}={}",
            Component::Postgres
        ));
        let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
        let list = sets.list_metadata(&ours).await.map_err(failed("StatefulSets"))?;
        Ok(list.items)
    };
    let policies = async {
        let others = ListParams::default()
            .labels(&format!("{CLUSTER_LABEL}!={name}"))
            .match_any();
        let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &namespace);
        policies
            .list(&others)
            .await
            .map(|list| list.items)
            .map_err(failed("NetworkPolicies"))
    };
    let routes = async {
        let served = serves_routes(client, cluster).await;
        served.map_err(failed("the kinds of the Gateway API"))
    };
    let of_kafka = async {
        let found = of_kafka(client, cluster, &namespace).await;
        found.map_err(failed("the Secret of Kafka"))
    };
    let (
        migrations,
        (templates, template_secrets),
        definitions,
        secrets,
        databases,
        foreign_policies,
        serves_routes,
        kafka,
    ) = futures::try_join!(
        migrations,
        templates,
        definitions,
        secrets,
        databases,
        policies,
        routes,
        of_kafka
    )?;
    Ok(Dereferenced {
        migrations,
        templates,
        template_secrets,
        definitions,
        secrets: secrets.iter().map(ResourceExt::name_any).collect(),
        passwords: passwords::passwords(
            secrets.iter().map(|secret| &secret.metadata),
            databases.iter().map(|database| &database.metadata),
        ),
        foreign_policies,
        kafka,
        serves_routes,
    })
}

/// What a ConfigMap holds; nothing if none is named, or it does not exist.
async fn text(maps: &Api<ConfigMap>, name: Option<&str>) -> kube::Result<Option<BTreeMap<String, String>>> {
    let Some(name) = name else { return Ok(None) };
    let map = maps.get_opt(name).await?;
    Ok(map.map(|map| map.data.unwrap_or_default()))
}

/// The ConfigMap of connector templates, and which keys the Secrets have that it names.
async fn templates(
    client: &Client,
    cluster: &SyncCluster,
    maps: &Api<ConfigMap>,
) -> kube::Result<(Option<BTreeMap<String, String>>, Keys)> {
    let named = cluster.spec.connector.templates.as_ref();
    let found = text(maps, named.map(|named| named.config_map.name.as_str())).await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    let mut keys = Keys::new();
    for name in found.as_ref().map(connector::secrets).unwrap_or_default() {
        if let Some(secret) = secrets.get_opt(&name).await? {
            keys.insert(name, secret.data.unwrap_or_default().into_keys().collect());
        }
    }
    Ok((found, keys))
}

/// Whether the cluster has HTTPRoutes, if the resource asks for one.
async fn serves_routes(client: &Client, cluster: &SyncCluster) -> kube::Result<bool> {
    if !cluster.spec.gateway.wants_route() {
        return Ok(false);
    }
    match client.list_api_group_resources(Kind::HttpRoute.api_version()).await {
        Ok(served) => Ok(served
            .resources
            .iter()
            .any(|served| served.kind == Kind::HttpRoute.as_str())),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(source) => Err(source),
    }
}

/// What the Secret of a Kafka says that is somebody else's.
async fn of_kafka(client: &Client, cluster: &SyncCluster, namespace: &str) -> kube::Result<kafka::Found> {
    let named = cluster.spec.kafka.external.as_ref();
    let Some(name) = named.and_then(|external| external.secret.as_deref()) else {
        return Ok(None);
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets.get_opt(name).await?;
    Ok(secret.map(|secret| {
        let keys = secret.data.unwrap_or_default().into_iter();
        Security::parse(&keys.map(|(key, value)| (key, value.0)).collect())
    }))
}
