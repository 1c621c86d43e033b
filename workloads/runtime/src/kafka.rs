//! How workloads talk to Kafka: rdkafka, held to a small memory.

use rdkafka::ClientConfig;

/// What every client has. The limits keep a workload within its 48 MB; reconnects are quick, because a healed link should be used at once.
pub fn client_config(bootstrap_servers: &str, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", client_id)
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.refresh.interval.ms", "60000")
        .set("log.connection.close", "false");
    config
}

/// A producer that loses and reorders nothing.
pub fn producer_config(bootstrap_servers: &str, client_id: &str) -> ClientConfig {
    let mut config = client_config(bootstrap_servers, client_id);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "2")
        .set("batch.size", "262144")
        .set("queue.buffering.max.kbytes", "8192")
        .set("queue.buffering.max.messages", "20000");
    config
}

/// A consumer that keeps its own progress.
pub fn consumer_config(bootstrap_servers: &str, client_id: &str) -> ClientConfig {
    let mut config = client_config(bootstrap_servers, client_id);
    config
        .set("group.id", client_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "false")
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "4096")
        // The queue is small and soon empty again; librdkafka would look after a second only.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.message.max.bytes", "1048576");
    config
}
