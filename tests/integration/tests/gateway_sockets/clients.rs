//! What the clients of others do.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use synccluster_gateway::serve::serve;
use synccluster_integration::gateway::Gateway;
use tokio::{net::TcpListener, time::sleep};

use crate::client::{Client, Place, Who, change, small_change};

const POLLING: &str = "polling";
const WEBSOCKET: &str = "websocket";
const UPGRADE: &str = "polling,websocket";
const ALL: [(Who, &str); 6] = [
    (Who::Node, POLLING),
    (Who::Node, WEBSOCKET),
    (Who::Node, UPGRADE),
    (Who::Python, POLLING),
    (Who::Python, WEBSOCKET),
    (Who::Python, UPGRADE),
];

async fn every(scenario: &str) -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    for (who, transports) in ALL {
        let client = Client::scenario(who, &gateway, scenario, transports)?;
        client.done().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_arrives_once_and_in_order_over_every_transport_and_through_an_upgrade() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    for (who, transports) in ALL {
        let mut client = Client::scenario(who, &gateway, "changes", transports)?;
        let began = client.says("subscribed").await?;
        if matches!(who, Who::Node) {
            // The other client upgrades before it says that it is connected.
            ensure!(
                transports.starts_with(&began),
                "{began} is not the first of {transports}"
            );
        }
        let mut number = 0;
        let tell = |from: usize, count: usize| {
            (from..from + count).for_each(|number| gateway.app.live.bus.publish(change(number, false)));
        };
        if transports == UPGRADE {
            // Something is told in every stage of the upgrade.
            let upgraded = async {
                client.says("upgraded").await?;
                anyhow::Ok(())
            };
            tokio::pin!(upgraded);
            loop {
                gateway.app.live.bus.publish(small_change(number));
                number += 1;
                tokio::select! {
                    upgraded = upgraded.as_mut() => { upgraded?; break }
                    () = sleep(Duration::from_micros(300)) => {}
                }
            }
        }
        for burst in [1, 2, 50, 300] {
            tell(number, burst);
            number += burst;
            sleep(Duration::from_millis(20)).await;
        }
        gateway.app.live.bus.publish(change(number, true));
        let got: usize = client.says("got").await?.parse()?;
        assert_eq!(got, number + 1, "{who:?} over {transports}");
        client.done().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_there_and_come_back_in_an_answer() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    for (who, transports) in ALL {
        let mut client = Client::scenario(who, &gateway, "binary", transports)?;
        let transport = client.says("transport").await?;
        ensure!(
            transports.ends_with(&transport),
            "{who:?} is on {transport}, not on the last of {transports}"
        );
        client.done().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_what_is_not_there_is_answered_with_a_problem() -> Result<()> {
    every("wrong").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_may_not_connect_and_is_told_why() -> Result<()> {
    every("access").await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_ends_what_the_old_one_opened() -> Result<()> {
    for transports in [POLLING, WEBSOCKET, UPGRADE] {
        let place = Place::new()?;
        let gateway = Gateway::serve(place.app()?).await?;
        let mut client = Client::scenario(Who::Node, &gateway, "revoked", transports)?;
        client.says("subscribed").await?;
        place.token("another-token-0123456789")?;
        gateway.app.access.refresh();
        client.done().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_by_themselves_after_a_restart() -> Result<()> {
    for (who, transports) in ALL {
        let place = Place::new()?;
        let gateway = Gateway::serve(place.app()?).await?;
        let mut client = Client::scenario(who, &gateway, "reconnect", transports)?;
        client.says("subscribed").await?;
        let address = gateway.address;
        drop(gateway);
        client.says("disconnected").await?;
        let app = Arc::new(place.app()?);
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let serving = tokio::spawn(serve(Arc::clone(&app), listener));
        client.says("subscribed").await?;
        (0..3).for_each(|number| app.live.bus.publish(change(number, false)));
        client.says("got").await?;
        client.done().await?;
        app.stop.cancel();
        serving.await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_client_should_not_send_harms_no_other() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    let url = format!("http://{}", gateway.address);
    let client = Client::run(Who::Node, "bad.cjs", &[&url, crate::client::TOKEN])?;
    client.done().await
}
