//! Whatever is killed in the middle of a load of writes, nothing is lost and nothing is doubled.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use synccluster_e2e::reach::clients;
use synccluster_e2e::{Cluster, Load, PATIENCE, Written, eventually, with_cluster};
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
        a_killed_operator_finishes_the_cut_it_began(cluster, &load).await?;
        Box::pin(everything_at_once(cluster)).await?;
        load.goes_on(20).await?;
        let written = load.stop().await?;
        everybody_has_exactly(cluster, &written).await?;
        cluster.ready().await?;
        cluster.converged().await
    })
    .await
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

/// Every site has every acknowledged write once, and nothing else but writes of which nobody knows.
async fn everybody_has_exactly(cluster: &Cluster, written: &Written) -> Result<()> {
    eventually(PATIENCE, async || {
        let everywhere = cluster
            .everywhere("select mark from notes where mark like 'load %'")
            .await?;
        for (site, marks) in everywhere {
            let distinct: BTreeSet<&String> = marks.iter().collect();
            assert_eq!(distinct.len(), marks.len(), "rows are doubled at {site}");
            let invented: Vec<_> = distinct
                .iter()
                .filter(|m| !written.acknowledged.contains(**m) && !written.doubtful.contains(**m))
                .collect();
            assert!(invented.is_empty(), "nobody wrote what {site} has: {invented:?}");
            let missing: Vec<_> = written
                .acknowledged
                .iter()
                .filter(|mark| !distinct.contains(mark))
                .take(10)
                .collect();
            ensure!(
                missing.is_empty(),
                "{site} has {} rows of {} and lacks {missing:?}",
                marks.len(),
                written.acknowledged.len()
            );
        }
        Ok(())
    })
    .await?;
    ensure!(
        written.acknowledged.len() > 500,
        "only {} writes: no load at all",
        written.acknowledged.len()
    );
    assert_eq!(
        cluster.sql(SERVER, "select count(*) from sync.conflicts").await?,
        ["0"],
        "nobody wrote another's row"
    );
    Ok(())
}
