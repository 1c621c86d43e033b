//! What nobody gets by way of the gateway: more rights than it shows, logs of others, a name of his own choice.

use anyhow::{Context as _, Result, bail, ensure};
use hyper::{Method, StatusCode};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams, LogParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, PATIENCE, Visitor, answered, eventually};
use synccluster_operator::api::SyncCluster;
use synccluster_operator::names::{self, CLUSTER_LABEL, COMPONENT_LABEL, Component};

pub async fn its_account_changes_the_partition_and_nothing_else(cluster: &Cluster) -> Result<()> {
    let (name, namespace) = (cluster.name.as_str(), &cluster.namespace.name);
    let client = cluster.namespace.as_account(&names::gateway(&cluster.name)).await?;
    let clusters: Api<SyncCluster> = Api::namespaced(client.clone(), namespace);
    let patch = async |body: Value| {
        let without_effect = PatchParams::default().dry_run();
        let body = Patch::Merge(body);
        answered(|| clusters.patch(name, &without_effect, &body))
            .await
            .map(drop)
    };
    patch(json!({ "spec": { "partition": { "clients": [1] } } }))
        .await
        .context("cutting a client")?;
    for (body, message) in [
        (
            json!({ "spec": { "clients": 3 } }),
            "changes spec.partition and no other field of its spec",
        ),
        (
            json!({ "spec": { "partition": { "clients": [1] }, "paused": true } }),
            "changes spec.partition and no other field of its spec",
        ),
        (
            json!({ "metadata": { "finalizers": ["example.com/mine"] } }),
            "not its labels, annotations, finalizers or owners",
        ),
    ] {
        match patch(body.clone()).await {
            Err(kube::Error::Api(status)) => {
                assert!(
                    status.code == 403 && status.message.contains(message),
                    "{body}: {}",
                    status.message
                );
            }
            other => bail!("{body}: {other:?}"),
        }
    }
    what_it_sees_is_no_more_than_it_shows(cluster, client).await
}

async fn what_it_sees_is_no_more_than_it_shows(cluster: &Cluster, client: Client) -> Result<()> {
    let namespace = &cluster.namespace.name;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let site = "client-1".parse()?;
    let few = LogParams {
        tail_lines: Some(1),
        ..LogParams::default()
    };
    // Kubelets do not answer now and then, as others.
    eventually(PATIENCE, async || {
        let connector = cluster.pod(Component::Connector, Some(site)).await?;
        pods.logs(&connector.name_any(), &few).await.context("reading a log")
    })
    .await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let clusters: Api<SyncCluster> = Api::namespaced(client, namespace);
    let (its_own, all) = (
        ListParams::default().fields("metadata.name=shop"),
        ListParams::default(),
    );
    let listed = answered(|| clusters.list(&its_own)).await?;
    assert_eq!(listed.items.len(), 1);
    for refused in [
        answered(|| secrets.get("shop-server-app")).await.map(drop),
        answered(|| clusters.list(&all)).await.map(drop),
        answered(|| clusters.get("another")).await.map(drop),
    ] {
        assert!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
            "{refused:?}"
        );
    }
    Ok(())
}

/// Its account could read those of the namespace.
pub async fn logs_are_those_of_its_own_pods(cluster: &Cluster, outsider: &Visitor<'_>) -> Result<()> {
    let labels = json!({ CLUSTER_LABEL: "another", COMPONENT_LABEL: "sink" });
    let of_another = cluster.visitor("another-server-sink", &labels).await?;
    let viewer = cluster.web(Some("viewer-token")).await?;
    let listed = viewer.get("/api/v1/components").await?;
    for pod in [of_another.name(), outsider.name()] {
        let path = format!("/api/v1/components/{pod}/logs");
        let (status, problem) = viewer.send(Method::GET, &path, None).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{pod}: {problem}");
        assert_eq!(
            problem["type"], "urn:synccluster:problem:unknown-component",
            "{pod}: {problem}"
        );
        let mut components = listed.as_array().into_iter().flatten();
        ensure!(components.all(|component| component["name"] != pod), "{listed}");
    }
    Ok(())
}

/// Whatever `expose` says: whoever else reaches it could write the header too.
pub async fn only_the_proxy_says_who_somebody_is(
    cluster: &Cluster,
    proxy: &Visitor<'_>,
    forger: &Visitor<'_>,
) -> Result<()> {
    let host = names::gateway(&cluster.name);
    let at = format!("{host}:80");
    let who_is = async |visitor: &Visitor<'_>| {
        let header = ("X-Forwarded-User", "ada");
        visitor.asks_with(&at, "/api/v1/me", header).await
    };
    let expose = json!({ "ingress": { "host": "shop.example" } });
    cluster.patch(&json!({ "gateway": { "expose": expose } })).await?;
    eventually(PATIENCE, async || {
        let nobody = who_is(forger).await?;
        let kind = "urn:synccluster:problem:no-token";
        ensure!(nobody["type"] == kind, "a header that was not asked for says {nobody}");
        Ok(())
    })
    .await?;

    let identity = json!({ "editors": ["ada"] });
    cluster
        .patch(&json!({ "gateway": { "access": { "identity": identity } } }))
        .await?;
    eventually(PATIENCE, async || {
        let ada = who_is(proxy).await?;
        ensure!(
            ada == json!({ "name": "ada", "role": "Editor" }),
            "the proxy says {ada}"
        );
        Ok(())
    })
    .await?;
    // The policy was written before; it comes to every node in its own time.
    eventually(PATIENCE, async || {
        ensure!(!forger.reaches(&host, 80).await?, "who is no proxy is heard by {host}");
        Ok(())
    })
    .await
}
