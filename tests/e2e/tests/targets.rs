//! What `make` does with a cluster that runs: cut, heal, status, logs, ports, seed; each prints the kubectl that it runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use synccluster_e2e::reach::{clients, counters, expected, full};
use synccluster_e2e::{Cluster, PATIENCE, Ports, Printed, START, eventually, with_cluster_of};
use synccluster_operator::api::{Link, Partition};
use synccluster_operator::names::{self, Component};
use synccluster_protocol::Site;
use tokio_postgres::NoTls;

const TWO: Site = Site::Client(2);
/// Until a port that is forwarded answers; if it does not, all are forwarded anew.
const FORWARDED: Duration = Duration::from_mins(1);
/// No two databases began in the same microsecond, and each says so to anybody.
const WHICH: &str = "select extract(epoch from pg_postmaster_start_time())::text";

#[tokio::test(flavor = "multi_thread")]
async fn targets_do_what_they_say() -> Result<()> {
    let with_counters = json!({ "counter": { "nodes": 2 } });
    with_cluster_of("targets", 2, &with_counters, async |cluster| {
        cut_cuts_and_heal_heals(cluster).await?;
        logs_are_those_of_the_site(cluster).await?;
        ports_lead_to_every_site(cluster).await?;
        seed_fills_the_tables(cluster).await
    })
    .await
}

/// The command that a person would type is among what was printed.
fn shows(cluster: &Cluster, printed: &Printed, command: &str) -> Result<()> {
    let whole = format!("+ kubectl -n {} {command}", cluster.namespace.name);
    ensure!(printed.err.contains(&whole), "no {whole:?} in {:?}", printed.err);
    Ok(())
}

async fn cut_cuts_and_heal_heals(cluster: &Cluster) -> Result<()> {
    let said = cluster.make_fails("cut", &[]).await?;
    ensure!(
        said.contains("error: nobody is named: make cut CLIENTS=1,2 or make cut COUNTERS=0"),
        "{said}"
    );
    ensure!(cluster.get().await?.spec.partition.is_none(), "a cut of nobody");
    // One after the other, without a heal: nothing of an earlier cut stays.
    for (variables, partition) in [
        (&["CLIENTS=2"][..], clients([2], Link::Both)),
        (&["CLIENTS=1,2", "LINK=Uplink"][..], clients([1, 2], Link::Uplink)),
        (&["COUNTERS=1"][..], counters([1])),
    ] {
        exactly_these_are_cut(cluster, variables, &partition).await?;
    }
    let printed = eventually(PATIENCE, async || cluster.make("heal", &[]).await).await?;
    shows(
        cluster,
        &printed,
        "patch synccluster shop --type merge -p '{\"spec\":{\"partition\":null}}'",
    )?;
    ensure!(cluster.get().await?.spec.partition.is_none(), "heal leaves a partition");
    cluster.spreads("CLIENTS=2", &full(&cluster.sites().await?)).await?;
    cluster.converged().await
}

async fn exactly_these_are_cut(cluster: &Cluster, variables: &[&str], partition: &Partition) -> Result<()> {
    let printed = eventually(PATIENCE, async || cluster.make("cut", variables).await).await?;
    shows(
        cluster,
        &printed,
        "patch synccluster shop --type merge -p '{\"spec\":{\"partition\":",
    )?;
    let asked = cluster.get().await?.spec.partition;
    ensure!(asked.as_ref() == Some(partition), "{variables:?}: {asked:?}");
    cluster.enforced().await?;
    let mark = variables.join(" ");
    cluster.mark(&mark).await?;
    let sites = cluster.sites().await?;
    cluster.spreads(&mark, &expected(partition, &sites)).await?;
    // It holds when rows have had time to cross it.
    cluster.enforced().await?;
    let once = Duration::ZERO;
    cluster.stays_spread(once, &mark, &expected(partition, &sites)).await?;

    // Where a workload does not answer in time for once, the condition is another for a moment.
    eventually(PATIENCE, async || {
        let printed = cluster.make("status", &[]).await?;
        shows(cluster, &printed, "get synccluster shop -o wide")?;
        ensure!(
            printed.out.contains("\nPartitionEnforced\tTrue\tVerified\t"),
            "{}",
            printed.out
        );
        Ok(())
    })
    .await
}

async fn logs_are_those_of_the_site(cluster: &Cluster) -> Result<()> {
    let said = cluster.make_fails("logs", &[]).await?;
    ensure!(
        said.contains("error: no site is named: make logs SITE=server or make logs SITE=client-2"),
        "{said}"
    );
    let said = cluster.make_fails("logs", &["SITE=client-3"]).await?;
    ensure!(
        said.contains("error: shop has no site client-3: make logs SITE=… with one of client-1 client-2 server"),
        "{said}"
    );
    let said = cluster.make_fails("logs", &["SITE=server", "CLUSTER=absent"]).await?;
    ensure!(said.contains("has no sites of a SyncCluster absent"), "{said}");
    let label = "logs -l synccluster.dev/cluster=shop,synccluster.dev/site=client-2";
    let begins = format!("[pod/{}-", names::site(&cluster.name, TWO));
    // A container whose kubelet does not answer for once has no lines.
    eventually(PATIENCE, async || {
        let printed = cluster.make("logs", &["SITE=client-2"]).await?;
        shows(cluster, &printed, label)?;
        for line in printed.out.lines() {
            assert!(line.starts_with(&begins), "a line of somebody else: {line}");
        }
        for component in [Component::Postgres, Component::Connector, Component::Sink] {
            let container = format!("/{component}] ");
            ensure!(printed.out.contains(&container), "no line of the {component}");
        }
        Ok(())
    })
    .await
}

async fn ports_lead_to_every_site(cluster: &Cluster) -> Result<()> {
    let sites = cluster.sites().await?;
    // A port-forward ends where its connection does, and the port with it.
    let ports = eventually(START, async || {
        let ports = Ports::of(cluster).await?;
        for &site in &sites {
            let port = ports.of_site(site);
            let there = eventually(FORWARDED, async || asked_at(cluster, site, port).await).await?;
            let which = cluster.sql(site, WHICH).await?;
            assert_eq!(which, [there], "port {port} is not {site}");
        }
        Ok(ports)
    })
    .await?;

    let taken = format!("PORT={}", ports.of_site(Site::Server));
    let said = cluster.make_fails("ports", &[&taken]).await?;
    ensure!(
        said.contains("is taken: make ports PORT=") && !said.contains("port-forward"),
        "{said}"
    );

    let printed = ports.interrupted().await?;
    for site in sites {
        let service = names::site(&cluster.name, site);
        let forward = format!("port-forward service/{service} ");
        ensure!(printed.contains(&forward), "no {forward:?} in {printed:?}");
    }
    let missing = cluster.make_fails("ports", &["CLUSTER=absent"]).await?;
    ensure!(missing.contains("has no sites of a SyncCluster absent"), "{missing}");
    Ok(())
}

/// What the database at a port of this machine answers to this site's application.
async fn asked_at(cluster: &Cluster, site: Site, port: u16) -> Result<String> {
    let mut config = cluster.as_app(site).await?;
    let (client, connection) = config.host("localhost").port(port).connect(NoTls).await?;
    // Ends with the client.
    tokio::spawn(connection);
    Ok(client.query_one(WHICH, &[]).await?.try_get(0)?)
}

async fn seed_fills_the_tables(cluster: &Cluster) -> Result<()> {
    let printed = cluster.make("seed", &["ROWS=25"]).await?;
    shows(
        cluster,
        &printed,
        "exec shop-seeder-0 -- synccluster-seeder load --rows 25",
    )?;
    for site in cluster.sites().await? {
        cluster.shows(site, "select count(*) from items", &["25"]).await?;
    }
    // The seeder that serves in the pod knows of the run beside it.
    let told = eventually(PATIENCE, async || cluster.make("seed", &["SEED=status load-1"]).await).await?;
    ensure!(told.out.contains("load-1"), "{told:?}");
    // Of the three tables one was waited for.
    let checked = eventually(PATIENCE, async || {
        cluster.make("seed", &["SEED=verify load-1 --wait 30s"]).await
    })
    .await?;
    shows(
        cluster,
        &checked,
        "exec shop-seeder-0 -- synccluster-seeder verify load-1 --wait 30s",
    )
}
