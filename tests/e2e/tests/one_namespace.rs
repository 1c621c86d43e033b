//! The operator for one namespace: a Role is all that it needs there, and nothing elsewhere is open to it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use synccluster_e2e::reach::{clients, full};
use synccluster_e2e::{
    Cluster, Namespace, START, Usual, answered, eventually, with_namespace, without_the_usual_operator,
};
use synccluster_operator::api::{Link, SyncCluster};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_after_one_namespace_with_rights_there_alone() -> Result<()> {
    without_the_usual_operator(async |usual| {
        with_namespace("one", async |namespace| {
            let before = policies(namespace).await?;
            let installed = usual.alone_in(namespace, async || {
                let both = policies(namespace).await?;
                ensure!(
                    both.len() == before.len() + 1 && both.is_superset(&before),
                    "{both:?}: a policy of its own beside {before:?}"
                );
                its_rights_end_at_the_namespace(namespace, usual).await?;
                let cluster = a_cluster_works_there(namespace).await?;
                it_goes_as_anywhere(&cluster).await
            });
            Box::pin(installed).await?;
            ensure!(
                policies(namespace).await? == before,
                "it leaves nothing in the whole cluster"
            );
            Ok(())
        })
        .await
    })
    .await
}

/// The policies that hold the accounts of gateways: what an operator has outside its namespace.
async fn policies(namespace: &Namespace) -> Result<BTreeSet<String>> {
    let ours = ListParams::default().labels("app.kubernetes.io/part-of=synccluster");
    let all: Api<ValidatingAdmissionPolicy> = Api::all(namespace.client.clone());
    let found = answered(|| all.list_metadata(&ours)).await?.items;
    Ok(found.iter().map(ResourceExt::name_any).collect())
}

async fn its_rights_end_at_the_namespace(namespace: &Namespace, usual: &Usual) -> Result<()> {
    // Installed under the same name, it has an account of the same name.
    let account = namespace.as_account(usual.name()).await?;
    let (all, nothing) = (ListParams::default(), Patch::Merge(json!({})));
    let as_asked = PatchParams::default().dry_run();
    let secrets_of = |namespace: &str| Api::<Secret>::namespaced(account.clone(), namespace);
    let clusters_of = |namespace: &str| Api::<SyncCluster>::namespaced(account.clone(), namespace);

    // What is refused elsewhere is granted here.
    let (secrets, clusters) = (secrets_of(&namespace.name), clusters_of(&namespace.name));
    answered(|| secrets.list_metadata(&all)).await?;
    let absent = answered(|| clusters.patch("absent", &as_asked, &nothing)).await;
    ensure!(code(&absent) == Some(404), "patching a SyncCluster here: {absent:?}");

    for elsewhere in [usual.namespace(), "kube-system", "default"] {
        let (secrets, clusters) = (secrets_of(elsewhere), clusters_of(elsewhere));
        let place = |what: &str| format!("{what} in {elsewhere}");
        refused(&place("listing Secrets"), &answered(|| secrets.list(&all)).await)?;
        refused(&place("reading a Secret"), &answered(|| secrets.get("absent")).await)?;
        refused(&place("listing SyncClusters"), &answered(|| clusters.list(&all)).await)?;
        let patched = answered(|| clusters.patch("absent", &as_asked, &nothing)).await;
        refused(&place("patching a SyncCluster"), &patched)?;
    }
    let everywhere: Api<SyncCluster> = Api::all(account.clone());
    refused("listing all SyncClusters", &answered(|| everywhere.list(&all)).await)?;
    let nodes = Api::<Node>::all(account.clone());
    refused("listing nodes", &answered(|| nodes.list(&all)).await)
}

fn code<T>(answer: &Result<T, kube::Error>) -> Option<u16> {
    match answer {
        Err(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

fn refused<T>(what: &str, answer: &Result<T, kube::Error>) -> Result<()> {
    match answer {
        Err(_) if code(answer) == Some(403) => Ok(()),
        Err(other) => bail!("{what}: {other}"),
        Ok(_) => bail!("{what} is granted"),
    }
}

/// With a gateway and a counter node, which the operator grants rights of their own.
async fn a_cluster_works_there(namespace: &Namespace) -> Result<Cluster> {
    let cluster = Cluster::started_in(namespace, 1, &json!({ "counter": { "nodes": 1 } })).await?;
    cluster.says(START, "GatewayReady", "True", "Running").await?;
    let everybody = full(&cluster.sites().await?);
    cluster.mark("alone").await?;
    cluster.spreads("alone", &everybody).await?;
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    cluster.mark("cut").await?;
    cluster.heal().await?;
    cluster.spreads("cut", &everybody).await?;
    cluster.converged().await?;
    Ok(cluster)
}

async fn it_goes_as_anywhere(cluster: &Cluster) -> Result<()> {
    cluster.delete(&DeleteParams::default()).await?;
    let gone = eventually(START, async || {
        let left = cluster
            .owned()
            .await?
            .of(&["StatefulSet", "Deployment", "Pod", "Service"]);
        ensure!(left.names().is_empty(), "left are {:?}", left.names());
        Ok(())
    });
    gone.await.context("after the SyncCluster was deleted")
}
