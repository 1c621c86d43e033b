//! A cut is a cut, a heal is a heal: who reaches whom, read from the databases.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use synccluster_e2e::reach::{clients, expected, full, server};
use synccluster_e2e::{Cluster, PATIENCE, eventually, stays, with_cluster};
use synccluster_operator::api::{Established, FreshDial, Link, Partition};
use synccluster_operator::names::Component;
use synccluster_protocol::Site;

const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
/// A row takes a quarter of a second at most: what has not come after this does not come.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn cuts_and_heals_are_true() -> Result<()> {
    with_cluster("partition", 3, async |cluster| {
        everybody_reaches_everybody(cluster, "at first").await?;
        established_connections_do_not_survive(cluster).await?;
        for (name, partition) in [
            ("both ways", clients([2], Link::Both)),
            ("uplinks of two", clients([1, 3], Link::Uplink)),
            ("a downlink", clients([2], Link::Downlink)),
            ("the server", server(Link::Both)),
            ("uplink of the server", server(Link::Uplink)),
            ("downlink of the server", server(Link::Downlink)),
        ] {
            exactly_the_cut_is_cut(cluster, name, &partition).await?;
        }
        a_policy_that_voids_the_cut_is_named(cluster).await?;
        a_cut_with_heal_after_ends_by_itself(cluster).await
    })
    .await
}

/// Waits until everybody has the rows with this mark.
async fn everybody_has(cluster: &Cluster, mark: &str) -> Result<()> {
    let full = full(&cluster.sites().await?);
    eventually(PATIENCE, async || {
        let seen = cluster.matrix(mark).await?;
        ensure!(seen == full, "{mark}: {seen:?}");
        Ok(())
    })
    .await
}

async fn everybody_reaches_everybody(cluster: &Cluster, mark: &str) -> Result<()> {
    cluster.mark(mark).await?;
    everybody_has(cluster, mark).await?;
    cluster.converged().await
}

async fn exactly_the_cut_is_cut(cluster: &Cluster, mark: &str, partition: &Partition) -> Result<()> {
    cluster.cut(partition).await?;
    cluster.enforced().await?;
    cluster.mark(mark).await?;
    let expected = expected(partition, &cluster.sites().await?);
    let exactly = async || {
        let seen = cluster.matrix(mark).await?;
        ensure!(seen == expected, "{mark}: {seen:?} instead of {expected:?}");
        Ok(())
    };
    eventually(PATIENCE, exactly).await?;
    stays(LONG_ENOUGH, exactly).await?;
    cluster.enforced().await?;
    cluster.heal().await?;
    everybody_has(cluster, mark).await?;
    cluster.converged().await
}

async fn established_connections_do_not_survive(cluster: &Cluster) -> Result<()> {
    let workloads = [Component::Connector, Component::Sink];
    for workload in workloads {
        ensure!(
            cluster.connections(workload, TWO).await? > 0,
            "{workload} of client-2 has no connection to lose"
        );
    }
    cluster.cut(&clients([2], Link::Both)).await?;
    cluster.enforced().await?;
    for workload in workloads {
        assert_eq!(
            cluster.connections(workload, TWO).await?,
            0,
            "connections of the {workload} of client-2"
        );
        assert!(
            cluster.connections(workload, ONE).await? > 0,
            "the {workload} of client-1 is not cut"
        );
    }
    let status = cluster.get().await?.status.unwrap_or_default();
    let of_two = status.sites.into_iter().find(|site| site.name == "client-2");
    let cut = of_two.context("no status of client-2")?.connectivity;
    assert_eq!(
        (cut.fresh_dial, cut.established),
        (FreshDial::Blocked, Established::Closed),
        "{}",
        cut.evidence
    );
    cluster.heal().await?;
    cluster.converged().await
}

async fn a_policy_that_voids_the_cut_is_named(cluster: &Cluster) -> Result<()> {
    let policies = cluster.namespace.api::<NetworkPolicy>();
    let everything = json!({
        "metadata": { "name": "somebody-elses" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}] },
    });
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    policies
        .create(&PostParams::default(), &serde_json::from_value(everything)?)
        .await?;
    let message = cluster
        .says(PATIENCE, "PartitionEnforced", "False", "OverlappingPolicy")
        .await?;
    assert!(message.contains("NetworkPolicy somebody-elses"), "{message}");
    cluster.mark("void").await?;
    everybody_has(cluster, "void").await?;

    policies.delete("somebody-elses", &DeleteParams::default()).await?;
    cluster.enforced().await?;
    cluster.heal().await?;
    cluster.converged().await
}

async fn a_cut_with_heal_after_ends_by_itself(cluster: &Cluster) -> Result<()> {
    cluster
        .cut(&Partition {
            heal_after: Some("10s".to_owned()),
            ..clients([3], Link::Both)
        })
        .await?;
    cluster.enforced().await?;
    cluster.mark("healed").await?;
    eventually(PATIENCE, async || {
        ensure!(
            cluster.get().await?.spec.partition.is_none(),
            "spec.partition is still there"
        );
        Ok(())
    })
    .await?;
    everybody_has(cluster, "healed").await?;
    cluster.converged().await
}
