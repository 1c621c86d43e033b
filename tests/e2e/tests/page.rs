//! The page in a real browser, on examples/todo.yaml: `tests/page` looks at it, against a gateway that runs.

use anyhow::Result;
use synccluster_e2e::with_the_example;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_follows_the_tour_on_the_page() -> Result<()> {
    with_the_example("page", async |cluster| {
        cluster.converged().await?;
        cluster.browse("tour.test.mjs").await
    })
    .await
}
