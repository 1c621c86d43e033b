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
use crate::passwords;
use crate::plan::{Kind, hash};
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
    /// Names of the cluster's Secrets that exist. Only their metadata is fetched: the operator does not read the passwords it made.
    pub secrets: BTreeSet<String>,
    /// UIDs of those of a site's that were made after its database.
    pub made_anew: BTreeMap<Site, BTreeSet<String>>,
    /// NetworkPolicies of the namespace that are not this cluster's.
    pub foreign_policies: Vec<NetworkPolicy>,
    /// What the Secret of a Kafka says that is somebody else's; absent if the resource names none or it does not exist. It is the one whose
    /// content is fetched: the operator makes the topics.
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
    let config_map = async |name: &str| {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        maps.get_opt(name).await.map_err(failed("ConfigMaps"))
    };
    let migrations = async {
        let Some(named) = &cluster.spec.schema.migrations else {
            return Ok(None);
        };
        let map = config_map(&named.config_map.name).await?;
        Ok(map.map(|map| hash(&(map.data, map.binary_data))))
    };
    let templates = async {
        let Some(named) = &cluster.spec.connector.templates else {
            return Ok(None);
        };
        let map = config_map(&named.config_map.name).await?;
        Ok(map.map(|map| map.data.unwrap_or_default()))
    };
    let secrets = async {
        // The newest version: a database that restarts for a Secret made anew would restart again for an older list.
        let ours = ListParams::default().labels(&format!("{CLUSTER_LABEL}={name}"));
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let list = secrets.list_metadata(&ours).await.map_err(failed("Secrets"))?;
        Ok(list.items)
    };
    let databases = async {
        // Any version will do: when one was made does not change.
        let ours = ListParams::default()
            .labels(&format!(
                "{CLUSTER_LABEL}={name},{COMPONENT_LABEL}={}",
                Component::Postgres
            ))
            .match_any();
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
        if !cluster.spec.gateway.wants_route() {
            return Ok(false);
        }
        match client.list_api_group_resources(Kind::HttpRoute.api_version()).await {
            Ok(served) => Ok(served
                .resources
                .iter()
                .any(|served| served.kind == Kind::HttpRoute.as_str())),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(source) => Err(failed("the kinds of the Gateway API")(source)),
        }
    };
    let of_kafka = async {
        let named = cluster.spec.kafka.external.as_ref();
        let Some(name) = named.and_then(|external| external.secret.as_deref()) else {
            return Ok(None);
        };
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let secret = secrets.get_opt(name).await.map_err(failed("the Secret of Kafka"))?;
        Ok(secret.map(|secret| {
            let keys = secret.data.unwrap_or_default().into_iter();
            Security::parse(&keys.map(|(key, value)| (key, value.0)).collect())
        }))
    };
    let (migrations, templates, secrets, databases, foreign_policies, serves_routes, kafka) =
        futures::try_join!(migrations, templates, secrets, databases, policies, routes, of_kafka)?;
    Ok(Dereferenced {
        migrations,
        templates,
        secrets: secrets.iter().map(ResourceExt::name_any).collect(),
        made_anew: passwords::made_anew(
            secrets.iter().map(|secret| &secret.metadata),
            databases.iter().map(|database| &database.metadata),
        ),
        foreign_policies,
        kafka,
        serves_routes,
    })
}
