//! Whatever is killed in the middle of a load of writes, nothing is lost and nothing is doubled.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Preconditions};
use synccluster_e2e::reach::{clients, full};
use synccluster_e2e::{Cluster, Load, START, answered, eventually, with_cluster};
use synccluster_operator::api::Link;
use synccluster_operator::names::Component;
use synccluster_protocol::Site;

const SERVER: Site = Site::Server;
const ONE: Site = Site::Client(1);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_doubled() -> Result<()> {
    with_cluster("faults", 2, async |cluster| {
        let load = Load::start(cluster).await?;
        load.goes_on(20).await?;
        for (component, site) in [
            (Component::Connector, Some(ONE)),
            (Component::Sink, Some(ONE)),
            (Component::Connector, Some(SERVER)),
            (Component::Sink, Some(SERVER)),
            (Component::Kafka, None),
            (Component::Postgres, Some(ONE)),
            (Component::Postgres, Some(SERVER)),
        ] {
            cluster.kill(component, site).await?;
            load.goes_on(20).await?;
        }
        a_password_that_is_lost_is_replaced(cluster, &load).await?;
        a_killed_operator_finishes_the_cut_it_began(cluster, &load).await?;
        Box::pin(everything_at_once(cluster)).await?;
        load.goes_on(20).await?;
        let written = load.stop().await?;
        written.is_everywhere(cluster).await?;
        cluster.ready().await?;
        cluster.converged().await
    })
    .await
}

/// Somebody deletes the Secret of a role, and later the next: each time the operator makes another, and the database restarts once to take its
/// password.
async fn a_password_that_is_lost_is_replaced(cluster: &Cluster, load: &Load) -> Result<()> {
    let sets = cluster.namespace.api::<StatefulSet>();
    let name = format!("{}-{ONE}", cluster.name);
    let changes = async || anyhow::Ok(answered(|| sets.get(&name)).await?.metadata.generation);
    for mark in ["password", "another password"] {
        let before = changes().await?;
        lose_a_password(cluster, mark).await?;
        load.goes_on(20).await?;
        let after = changes().await?;
        ensure!(
            after == before.map(|before| before + 1),
            "{mark}: not changed once, but from {before:?} to {after:?}"
        );
    }
    Ok(())
}

async fn lose_a_password(cluster: &Cluster, mark: &str) -> Result<()> {
    let secrets = cluster.namespace.api::<Secret>();
    let name = format!("{}-{ONE}-sink", cluster.name);
    let database = async || anyhow::Ok(cluster.pod(Component::Postgres, Some(ONE)).await?.uid());
    let database_before = eventually(START, async || database().await).await?;
    let secret_before = answered(|| secrets.get(&name)).await?.uid();
    // This one and no other, however often it is asked for.
    let only_it = Preconditions {
        uid: secret_before.clone(),
        ..Preconditions::default()
    };
    let lost = DeleteParams::default().preconditions(only_it);
    match answered(|| secrets.delete(&name, &lost)).await {
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
        deleted => drop(deleted?),
    }
    eventually(START, async || {
        let secret = secrets.get_opt(&name).await?.context("it is not there")?;
        ensure!(secret.uid() != secret_before, "it is still the old one");
        ensure!(database().await? != database_before, "the database has not restarted");
        Ok(())
    })
    .await?;
    // It would go on with the connections it has.
    cluster.kill(Component::Sink, Some(ONE)).await?;
    cluster.ready().await?;
    cluster.mark(mark).await?;
    cluster.spreads(mark, &full(&cluster.sites().await?)).await
}

async fn a_killed_operator_finishes_the_cut_it_began(cluster: &Cluster, load: &Load) -> Result<()> {
    cluster.ready().await?;
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.kill_operator().await?;
    cluster.enforced().await?;
    load.goes_on(20).await?;
    cluster.heal().await
}

async fn everything_at_once(cluster: &Cluster) -> Result<()> {
    tokio::try_join!(
        cluster.kill(Component::Connector, Some(ONE)),
        cluster.kill(Component::Sink, Some(SERVER)),
        cluster.kill(Component::Kafka, None),
        cluster.kill(Component::Postgres, Some(SERVER)),
        cluster.kill_operator(),
    )
    .map(drop)
}
