//! A cut is a cut, a heal is a heal: who reaches whom, read from the databases.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use synccluster_e2e::reach::{clients, edges, expected, full, server};
use synccluster_e2e::{Cluster, PATIENCE, answered, eventually, with_cluster};
use synccluster_operator::api::{Desired, Established, FreshDial, Link, Partition};
use synccluster_operator::names::Component;
use synccluster_protocol::Site;

const ONE: Site = Site::Client(1);
const TWO: Site = Site::Client(2);
/// A row takes a quarter of a second at most: what has not come after this does not come.
const LONG_ENOUGH: Duration = Duration::from_secs(3);
/// How long a cut lasts that ends by itself.
const LASTS: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn cuts_and_heals_are_true() -> Result<()> {
    with_cluster("partition", 3, async |cluster| {
        everybody_reaches_everybody(cluster, "at first").await?;
        established_connections_do_not_survive(cluster).await?;
        sites_lie_on_several_nodes(cluster).await?;
        let mut between_nodes = false;
        for (name, partition) in [
            ("both ways", clients([2], Link::Both)),
            ("uplinks of two", clients([1, 3], Link::Uplink)),
            ("a downlink", clients([2], Link::Downlink)),
            ("the server", server(Link::Both)),
            ("uplink of the server", server(Link::Uplink)),
            ("downlink of the server", server(Link::Downlink)),
        ] {
            between_nodes |= cuts_between_nodes(cluster, &partition).await?;
            exactly_the_cut_is_cut(cluster, name, &partition).await?;
        }
        ensure!(between_nodes, "no cut went between two nodes of Kubernetes");
        a_policy_that_voids_the_cut_is_named(cluster).await?;
        a_cut_with_heal_after_ends_by_itself(cluster).await
    })
    .await
}

/// Waits until everybody has the rows with this mark.
async fn everybody_has(cluster: &Cluster, mark: &str) -> Result<()> {
    cluster.spreads(mark, &full(&cluster.sites().await?)).await
}

async fn sites_lie_on_several_nodes(cluster: &Cluster) -> Result<()> {
    let mut nodes = BTreeSet::new();
    for site in cluster.sites().await? {
        nodes.insert(cluster.node_of(Component::Postgres, Some(site)).await?);
    }
    ensure!(nodes.len() > 1, "all sites lie on {nodes:?}: this takes two nodes");
    Ok(())
}

/// Whether Kafka and a workload that is cut off from it lie on two nodes of Kubernetes, so that the network between them has to cut.
async fn cuts_between_nodes(cluster: &Cluster, partition: &Partition) -> Result<bool> {
    let kafka = cluster.node_of(Component::Kafka, None).await?;
    for (site, workload) in edges(partition, &cluster.sites().await?) {
        if cluster.node_of(workload, Some(site)).await? != kafka {
            return Ok(true);
        }
    }
    Ok(false)
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
    cluster.spreads(mark, &expected).await?;
    cluster.stays_spread(LONG_ENOUGH, mark, &expected).await?;
    cluster.enforced().await?;
    cluster.heal().await?;
    everybody_has(cluster, mark).await?;
    cluster.converged().await
}

async fn established_connections_do_not_survive(cluster: &Cluster) -> Result<()> {
    let workloads = [Component::Connector, Component::Sink];
    for workload in workloads {
        let to_lose = cluster.is_connected(workload, TWO, 0);
        to_lose.await.context("before the cut")?;
    }
    cluster.cut(&clients([2], Link::Both)).await?;
    cluster.enforced().await?;
    for workload in workloads {
        assert_eq!(
            cluster.connections(workload, TWO).await?,
            0,
            "connections of the {workload} of client-2"
        );
        let not_cut = cluster.is_connected(workload, ONE, 0);
        not_cut.await.context("client-1 is not cut")?;
    }
    // A workload that does not answer in time for once has said nothing.
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        let of_two = status.sites.into_iter().find(|site| site.name == "client-2");
        let cut = of_two.context("no status of client-2")?.connectivity;
        ensure!(
            (cut.fresh_dial, cut.established) == (FreshDial::Blocked, Established::Closed),
            "{}",
            cut.evidence
        );
        Ok(())
    })
    .await?;
    cluster.heal().await?;
    cluster.converged().await
}

async fn a_policy_that_voids_the_cut_is_named(cluster: &Cluster) -> Result<()> {
    let policies = cluster.namespace.api::<NetworkPolicy>();
    let everything = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "somebody-elses" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}] },
    });
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    let (as_applied, everything) = (PatchParams::apply("somebody"), Patch::Apply(everything));
    answered(|| policies.patch("somebody-elses", &as_applied, &everything)).await?;
    let message = cluster
        .says(PATIENCE, "PartitionEnforced", "False", "OverlappingPolicy")
        .await?;
    assert!(message.contains("NetworkPolicy somebody-elses"), "{message}");
    cluster.mark("void").await?;
    everybody_has(cluster, "void").await?;

    let as_usual = DeleteParams::default();
    eventually(PATIENCE, async || {
        drop(policies.delete("somebody-elses", &as_usual).await);
        ensure!(policies.get_opt("somebody-elses").await?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    cluster.enforced().await?;
    cluster.heal().await?;
    cluster.converged().await
}

/// Where the machine is slow it ends before anybody has measured it: that cuts are true is shown by the others.
async fn a_cut_with_heal_after_ends_by_itself(cluster: &Cluster) -> Result<()> {
    let asked = Instant::now();
    cluster
        .cut(&Partition {
            heal_after: Some(format!("{}s", LASTS.as_secs())),
            ..clients([3], Link::Both)
        })
        .await?;
    // Planned at least, or over already.
    eventually(PATIENCE, async || {
        let now = cluster.get().await?;
        let sites = now.status.unwrap_or_default().sites;
        let is_cut = sites
            .iter()
            .any(|site| site.name == "client-3" && site.connectivity.desired == Desired::Cut);
        ensure!(is_cut || now.spec.partition.is_none(), "client-3 is not cut");
        Ok(())
    })
    .await?;
    cluster.mark("healed").await?;
    eventually(PATIENCE, async || {
        ensure!(
            cluster.get().await?.spec.partition.is_none(),
            "spec.partition is still there"
        );
        Ok(())
    })
    .await?;
    // The operator counts from the whole second in which it saw the cut.
    let lasted = asked.elapsed();
    ensure!(
        lasted + Duration::from_secs(1) >= LASTS,
        "the cut ended after {lasted:?}"
    );
    everybody_has(cluster, "healed").await?;
    cluster.converged().await
}
