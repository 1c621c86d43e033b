//! The harness' Kafka keeps what it acknowledged, and is reached through a proxy only while the link is open.

use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use synccluster_harness::{Kafka, Link, eventually, eventually_eq};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long what must happen may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long is waited for what must not happen.
const A_WHILE: Duration = Duration::from_secs(3);

fn values(records: &[synccluster_harness::Record]) -> Vec<Option<&str>> {
    records
        .iter()
        .map(|record| {
            record
                .value
                .as_deref()
                .and_then(|value| std::str::from_utf8(value).ok())
        })
        .collect()
}

#[tokio::test]
async fn a_record_makes_the_round_trip_and_survives_kill_and_stop() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    assert!(kafka.records("t").await.is_err(), "a topic nobody made");
    kafka.create_topic("t", &[("cleanup.policy", "compact")]).await?;
    kafka.send("t", "k", Some("one")).await?;
    kafka.send("t", "k", None).await?;
    kafka.stop().await?;
    kafka.restart().await?;
    assert_eq!(kafka.send("t", "k", Some("two")).await?, 2);
    kafka.kill().await?;
    assert!(
        TcpStream::connect(kafka.bootstrap()).await.is_err(),
        "a killed broker accepts"
    );
    kafka.restart().await?;
    assert_eq!(values(&kafka.records("t").await?), [Some("one"), None, Some("two")]);
    Ok(())
}

/// Two tests, so two threads and two runtimes: the one that started it ends first, or second.
mod shared {
    use super::*;

    async fn use_it(topic: &str) -> Result<()> {
        let kafka = Kafka::shared().await?;
        kafka.create_topic(topic, &[]).await?;
        kafka.send(topic, "k", Some(topic)).await?;
        assert_eq!(values(&kafka.records(topic).await?), [Some(topic)]);
        Ok(())
    }

    #[tokio::test]
    async fn by_one() -> Result<()> {
        use_it("shared-one").await
    }

    #[tokio::test]
    async fn by_another_and_later() -> Result<()> {
        use_it("shared-two").await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        use_it("shared-three").await
    }
}

#[tokio::test]
async fn a_client_behind_a_blocked_proxy_waits_and_another_does_not() -> Result<()> {
    let kafka = Kafka::start_with_proxies(&["client-1", "client-2"]).await?;
    kafka.create_topic("t", &[]).await?;
    let (cut, open) = (kafka.proxy("client-1")?, kafka.proxy("client-2")?);
    let producer = |bootstrap: String| -> Result<FutureProducer> {
        Ok(ClientConfig::new().set("bootstrap.servers", bootstrap).create()?)
    };
    let (behind, beside) = (producer(cut.bootstrap())?, producer(open.bootstrap())?);
    let send = async |producer: &FutureProducer, value: &str, limit: Duration| {
        let record: FutureRecord<'_, str, str> = FutureRecord::to("t").payload(value);
        timeout(limit, producer.send(record, Duration::ZERO))
            .await?
            .map_err(|(error, _)| error)?;
        anyhow::Ok(())
    };
    send(&behind, "before", PATIENCE).await?;

    cut.set(Link::Blocked).await?;
    assert!(cut.established() > 0, "the cut closed connections");
    assert!(
        send(&behind, "while cut", A_WHILE).await.is_err(),
        "a record got through the cut"
    );
    send(&beside, "beside", PATIENCE).await?;
    assert_eq!(values(&kafka.records("t").await?), [Some("before"), Some("beside")]);

    cut.set(Link::Open).await?;
    // What was held back is delivered, as on a network that comes back.
    eventually(PATIENCE, async || {
        let records = kafka.records("t").await?;
        ensure!(
            values(&records) == [Some("before"), Some("beside"), Some("while cut")],
            "{:?}",
            values(&records)
        );
        Ok(())
    })
    .await?;
    drop((behind, beside));
    eventually_eq(PATIENCE, 0, async || Ok(cut.established() + open.established())).await
}

#[tokio::test]
async fn a_missing_proxy_is_named() -> Result<()> {
    let error = Kafka::shared().await?.proxy("client-9").unwrap_err();
    assert!(error.to_string().contains("\"client-9\""), "{error}");
    Ok(())
}
