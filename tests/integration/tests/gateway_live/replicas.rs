//! Several gateways.

use std::time::Duration;

use anyhow::{Result, ensure};
use synccluster_gateway::live;
use synccluster_harness::eventually;
use synccluster_integration::{PATIENCE, World, gateway::Gateway};

use crate::{
    ONE, TODOS, TWO, all_followed, change,
    events::{Event, Events},
    followed, gateway,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_gateways_follows_a_site_and_both_tell_everything() -> Result<()> {
    let world = World::start(2, TODOS).await?;
    world.converged().await?;
    let first = gateway(&world).await?;
    all_followed(&world, &[&first]).await?;
    let second = gateway(&world).await?;
    // The second has looked at every slot, found it taken, and listens to what the first tells.
    let relays = |gateway: &Gateway| {
        gateway
            .app
            .live
            .bus
            .subscribe(Some(live::bus::Id::UNKNOWN))
            .seen()
            .number
            > 0
    };
    eventually(PATIENCE, async || {
        ensure!(relays(&second), "the second hears nothing yet");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    all_followed(&world, &[&first, &second]).await?;
    assert_eq!(followed(&second, &world), []);

    let mut streams = [
        (Events::open(&first, "", None).await?, Vec::<Event>::new()),
        (Events::open(&second, "", None).await?, Vec::new()),
    ];
    world.run(ONE, "insert into todos (title) values ('for both')").await?;
    eventually(PATIENCE, async || {
        let mut told = Vec::new();
        for (stream, seen) in &mut streams {
            seen.extend(stream.rest().await?);
            let mut changes: Vec<String> = seen
                .iter()
                .filter(|event| event.kind == "change")
                .map(|event| event.data.to_string())
                .collect();
            // What one site told comes in its order; the second may hear of the sites in another.
            changes.sort();
            let hops = seen.iter().filter(|event| event.kind == "hop").count();
            told.push((changes, hops));
        }
        let (changes, hops) = &told[0];
        ensure!(changes.len() == 3 && *hops >= 2 && told[0] == told[1], "{told:#?}");
        Ok(())
    })
    .await?;

    drop(first);
    all_followed(&world, &[&second]).await?;
    let [_, (mut events, _)] = streams;
    let resets = events.until(|event| event.kind == "reset").await?;
    assert!(
        resets.last().is_some_and(|event| event.data["site"].is_string()),
        "{resets:?}"
    );
    world
        .run(TWO, "insert into todos (title) values ('for the second')")
        .await?;
    events.until(change(ONE, "for the second")).await?;
    Ok(())
}
