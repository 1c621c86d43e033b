//! A topic of a test's own.

use anyhow::Result;
use rdkafka::ClientConfig;
use synccluster_harness::Kafka;

use crate::{World, gateway::Gateway};

/// A topic, and a gateway that has no site.
pub async fn beside_a_topic() -> Result<(&'static Kafka, Gateway, String)> {
    let world = World::prepare("")?;
    let topic = format!("{}.notes", world.cluster);
    let kafka = Kafka::shared().await?;
    kafka.create_topic(&topic, &[]).await?;
    Ok((kafka, Gateway::start(&world).await?, topic))
}

/// What a client of librdkafka needs at least.
pub fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap());
    config
}
