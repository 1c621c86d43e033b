//! The tour on the page, in a real browser, on examples/todo.yaml: `tests/page` does it, against a gateway that runs.

use anyhow::Result;
use synccluster_e2e::{Cluster, with_namespace};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_follows_the_tour_on_the_page() -> Result<()> {
    with_namespace("page", async |namespace| {
        let cluster = Cluster {
            namespace: namespace.clone(),
            name: "demo".parse()?,
        };
        cluster.run_the_example().await?;
        cluster.converged().await?;
        cluster.browse("tour.test.mjs").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_clients_fit_on_the_page() -> Result<()> {
    with_namespace("ten", async |namespace| {
        let cluster = Cluster {
            namespace: namespace.clone(),
            name: "demo".parse()?,
        };
        cluster.run_the_example().await?;
        cluster.scale(10).await?;
        cluster.ready().await?;
        cluster.converged().await?;
        cluster.browse("ten.test.mjs").await
    })
    .await
}
