//! Three brokers: one of them may go at any time.

use anyhow::Result;
use serde_json::json;
use synccluster_e2e::reach::clients;
use synccluster_e2e::{Cluster, Load, with_cluster_of};
use synccluster_operator::api::Link;
use synccluster_protocol::Site;

const ONE: Site = Site::Client(1);

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_one_broker_of_three_is_away() -> Result<()> {
    let three = json!({ "kafka": { "brokers": 3 } });
    with_cluster_of("brokers", 1, &three, async |cluster| {
        let load = Load::start(cluster).await?;
        for broker in 0..3 {
            load.goes_on(20).await?;
            let killed = cluster.kill_named(&format!("{}-kafka-{broker}", cluster.name)).await?;
            a_row_still_gets_through(cluster, broker).await?;
            cluster.is_back(&killed).await?;
            cluster.ready().await?;
        }
        a_cut_cuts_from_every_broker(cluster).await?;
        load.stop().await?;
        cluster.converged().await
    })
    .await
}

async fn a_row_still_gets_through(cluster: &Cluster, broker: u32) -> Result<()> {
    let insert = format!("insert into notes (mark, site) values ('without {broker}', 'client-1')");
    cluster.sql(ONE, &insert).await?;
    let seen = format!("select count(*) from notes where mark = 'without {broker}'");
    cluster.shows(Site::Server, &seen, &["1"]).await
}

async fn a_cut_cuts_from_every_broker(cluster: &Cluster) -> Result<()> {
    cluster.cut(&clients([1], Link::Both)).await?;
    cluster.enforced().await?;
    cluster.heal().await
}
