//! Nobody takes all the streams there are.

use anyhow::{Context, Result, ensure};
use hyper::{
    Method,
    header::{AUTHORIZATION, HeaderName},
};
use synccluster_gateway::access::{Access, Identity};
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, gateway::Gateway, sse::Events};

use crate::{EDITOR, Secret, VIEWER, guarded};

/// Streams one caller may have.
const SHARE: usize = 64;

async fn streams(gateway: &Gateway, header: (HeaderName, &str), count: usize) -> Result<Vec<Events>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(Events::open(gateway, "/events", std::slice::from_ref(&header)).await?);
    }
    Ok(streams)
}

async fn refused(gateway: &Gateway, header: (HeaderName, &str)) -> Result<String> {
    let answer = gateway.send(Method::GET, "/events", &[header], None).await?;
    let problem = answer.problem(429, "share-taken")?;
    ensure!(answer.header("retry-after").is_some(), "{answer:?}");
    Ok(problem["detail"].as_str().context("detail")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_behind_a_proxy_has_a_share_of_the_streams_and_leaves_the_rest() -> Result<()> {
    let name = HeaderName::from_static("x-forwarded-user");
    let identity = Identity::new(name.clone(), ["ada".to_owned()]);
    let gateway = guarded(Access::guarded("demo".parse()?, None, Some(identity))?).await?;
    let mut bobs = streams(&gateway, (name.clone(), "bob"), SHARE).await?;
    let told = refused(&gateway, (name.clone(), "bob")).await?;
    assert!(
        told.starts_with("bob has 64 streams of events open") && told.contains("close one"),
        "{told}"
    );
    // Others come by the same proxy, so by the same address.
    let _ada = streams(&gateway, (name.clone(), "ada"), 1).await?;
    bobs.pop();
    eventually(PATIENCE, async || {
        streams(&gateway, (name.clone(), "bob"), 1).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_viewers_token_leaves_editors_their_streams() -> Result<()> {
    let secret = Secret::new()?;
    let gateway = guarded(secret.access()?).await?;
    let (viewer, editor) = (format!("Bearer {VIEWER}"), format!("Bearer {EDITOR}"));
    let _viewers = streams(&gateway, (AUTHORIZATION, &viewer), SHARE).await?;
    let told = refused(&gateway, (AUTHORIZATION, &viewer)).await?;
    assert!(told.starts_with("viewer at 127.0.0.1 has 64 streams"), "{told}");
    let _editors = streams(&gateway, (AUTHORIZATION, &editor), 1).await?;
    assert_eq!(gateway.app.events.taken(), SHARE + 1);
    Ok(())
}
