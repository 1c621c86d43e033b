//! A namespace for one test.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as CoreNamespace, Node, Pod, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use synccluster_operator::api::SyncCluster;
use tokio::time::timeout;

use crate::always::always;
use crate::psql::Sessions;
use crate::{answered, dump, eventually};

/// What a namespace's pods take to go, on a machine that is slow.
const GOES: Duration = Duration::from_mins(10);
/// An API server that has nothing in its way takes a write sooner.
const WRITTEN: Duration = Duration::from_millis(500);
/// Who applies: what `kubectl apply --server-side` is for a person.
const MANAGER: &str = "e2e";

/// A namespace, and the way to the API server.
#[derive(Clone)]
pub struct Namespace {
    /// The way there.
    pub client: Client,
    /// Its name.
    pub name: String,
    /// Databases in it that are asked.
    pub(crate) sessions: Arc<Sessions>,
}

/// Runs a test in a namespace of its own. If it fails, what is there is printed. The namespace goes in either case.
pub async fn with_namespace(purpose: &str, test: impl AsyncFnOnce(&Namespace) -> Result<()>) -> Result<()> {
    let namespace = Namespace::create(purpose).await?;
    always(Box::pin(test(&namespace)), async |failed| {
        if let Some(why) = failed {
            dump::dump(&namespace, why).await;
        }
        namespace.remove().await
    })
    .await
}

/// The context of the kubeconfig that KUBECONTEXT names; without it, the current one.
pub(crate) fn context() -> Option<String> {
    std::env::var("KUBECONTEXT").ok().filter(|context| !context.is_empty())
}

pub(crate) async fn config() -> Result<Config> {
    let options = KubeConfigOptions {
        context: context(),
        ..KubeConfigOptions::default()
    };
    Config::from_kubeconfig(&options)
        .await
        .context("reading the kubeconfig: set KUBECONFIG, or run `make e2e`")
}

/// The address of a node of the cluster that runs.
pub async fn node_address() -> Result<String> {
    let nodes = Api::<Node>::all(Client::try_from(config().await?)?);
    let one = ListParams::default().limit(1);
    let found = answered(|| nodes.list(&one)).await?;
    let status = found.items.into_iter().next().and_then(|node| node.status);
    let mut addresses = status.context("no node")?.addresses.unwrap_or_default().into_iter();
    let inside = addresses.find(|address| address.type_ == "InternalIP");
    Ok(inside.context("a node without an address")?.address)
}

impl Namespace {
    async fn create(purpose: &str) -> Result<Self> {
        let client = Client::try_from(config().await?)?;
        let name = format!("e2e-{purpose}-{:08x}", rand::random::<u32>());
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted", "synccluster.dev/e2e": purpose } },
        });
        let (all, as_applied) = (Api::<CoreNamespace>::all(client.clone()), PatchParams::apply(MANAGER));
        let namespace = Patch::Apply(&namespace);
        answered(|| all.patch(&name, &as_applied, &namespace))
            .await
            .with_context(|| format!("creating namespace {name}"))?;
        Ok(Self {
            client,
            name,
            sessions: Arc::default(),
        })
    }

    async fn remove(&self) -> Result<()> {
        if std::env::var_os("E2E_KEEP").is_some() {
            eprintln!("namespace {} is kept", self.name);
            return Ok(());
        }
        let api = Api::<CoreNamespace>::all(self.client.clone());
        let as_usual = DeleteParams::default();
        match answered(|| api.delete(&self.name, &as_usual)).await {
            // It was taken at the first asking.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            asked => drop(asked?),
        }
        // Nothing comes anew where a namespace goes, and nobody needs what the pods would do at their end.
        let (pods, at_once) = (self.api::<Pod>(), DeleteParams::default().grace_period(0));
        let all = ListParams::default();
        answered(|| pods.delete_collection(&at_once, &all)).await?;
        // What is left takes some seconds and no processor. Whether it goes is seen when all tests are over: tests/e2e/run.sh waits for it.
        eventually(GOES, async || {
            let left = pods.list_metadata(&all).await?.items.len();
            ensure!(left == 0, "namespace {} still has {left} pods", self.name);
            Ok(())
        })
        .await
    }

    /// The way to the API server of somebody who has a token of this service account.
    pub async fn as_account(&self, account: &str) -> Result<Client> {
        let accounts: Api<ServiceAccount> = self.api();
        let (as_asked, usual) = (PostParams::default(), TokenRequest::default());
        let asked = answered(|| accounts.create_token_request(account, &as_asked, &usual)).await?;
        let token = asked.status.context("a token was asked for and none came")?.token;
        let mut config = config().await?;
        config.auth_info = serde_json::from_value(json!({ "token": token }))?;
        Ok(Client::try_from(config)?)
    }

    /// It as the owner of what no namespace has, so that this goes with it.
    pub async fn itself(&self) -> Result<OwnerReference> {
        let api = Api::<CoreNamespace>::all(self.client.clone());
        answered(|| api.get(&self.name))
            .await?
            .owner_ref(&())
            .context("a namespace without a uid")
    }

    /// What lives in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies a SyncCluster as `kubectl apply` does; fields that do not exist are refused.
    pub async fn apply(&self, name: &str, spec: &Value) -> Result<SyncCluster, kube::Error> {
        self.send(name, spec, PatchParams::apply(MANAGER)).await
    }

    /// Applies it without effect: only the API server's judgement counts.
    pub async fn dry_run(&self, name: &str, spec: &Value) -> Result<SyncCluster, kube::Error> {
        self.send(name, spec, PatchParams::apply(MANAGER).dry_run()).await
    }

    async fn send(&self, name: &str, spec: &Value, params: PatchParams) -> Result<SyncCluster, kube::Error> {
        let body = json!({
            "apiVersion": "synccluster.dev/v1alpha1", "kind": "SyncCluster", "metadata": { "name": name }, "spec": spec,
        });
        let (api, params) = (self.api::<SyncCluster>(), params.validation_strict());
        let applied = Patch::Apply(&body);
        answered(|| api.patch(name, &params, &applied)).await
    }

    /// Applies a ConfigMap.
    pub async fn config_map(&self, name: &str, data: &Value) -> Result<()> {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data });
        self.put::<ConfigMap>(name, &body).await
    }

    /// Applies anything, whoever has applied it before.
    pub(crate) async fn put<K>(&self, name: &str, body: &Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let (api, force) = (self.api::<K>(), PatchParams::apply(MANAGER).force());
        let applied = Patch::Apply(body);
        answered(|| api.patch(name, &force, &applied)).await?;
        Ok(())
    }

    /// Whether the API server takes a write at once. Where it does not, what comes by its way is late, and what waits for it.
    pub(crate) async fn is_in_time(&self) -> bool {
        let mark = json!({ "mark": rand::random::<u32>().to_string() });
        matches!(timeout(WRITTEN, self.config_map("in-time", &mark)).await, Ok(Ok(())))
    }
}
