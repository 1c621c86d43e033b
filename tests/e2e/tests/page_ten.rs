//! The page in a real browser, with ten clients.

use anyhow::Result;
use synccluster_e2e::with_the_example;

#[tokio::test(flavor = "multi_thread")]
async fn ten_clients_fit_on_the_page() -> Result<()> {
    with_the_example("ten", async |cluster| {
        cluster.scale(10).await?;
        cluster.ready().await?;
        cluster.converged().await?;
        cluster.browse("ten.test.mjs").await
    })
    .await
}
