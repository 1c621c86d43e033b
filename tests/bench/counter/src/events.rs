//! The likes that are counted.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, anyhow};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};

/// The topic they are in.
pub const TOPIC: &str = "bench.likes";
/// The windows everybody counts, in minutes.
pub const MINUTES: [i64; 3] = [1, 5, 10];
/// The end of their event time: long ago, so that no clock is behind it.
const FROM: i64 = 1_760_000_000_000 / 600_000 * 600_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// How many, of what.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Plan {
    /// Likes.
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,
    /// Ids.
    #[arg(long, default_value_t = 1000)]
    pub keys: u64,
    /// Partitions of every topic.
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// Minutes of event time they are spread over.
    #[arg(long, default_value_t = 20)]
    pub minutes: i64,
}

/// What everybody has to find: by window size in minutes, the sum of n by id and start.
pub type Sums = BTreeMap<i64, BTreeMap<(String, i64), i64>>;

/// A client of this Kafka.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4");
    config
}

/// Makes topics with the plan's partitions.
pub fn make(bootstrap: &str, plan: &Plan, names: &[String]) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create()?;
    let topics: Vec<_> = names
        .iter()
        .map(|name| NewTopic::new(name, plan.partitions, TopicReplication::Fixed(1)))
        .collect();
    let made = tokio::runtime::Handle::current().block_on(admin.create_topics(&topics, &AdminOptions::new()))?;
    made.into_iter().try_for_each(|made| {
        made.map(drop)
            .map_err(|(topic, code)| anyhow!("making {topic}: {code}"))
    })
}

/// Writes the likes, as counter nodes do: by id, in order of time but for up to five seconds.
pub fn load(bootstrap: &str, plan: &Plan) -> Result<Sums> {
    make(bootstrap, plan, &[TOPIC.to_owned()])?;
    let producer: BaseProducer = client(bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", "262144")
        .set("partitioner", "murmur2_random")
        .create()?;
    let mut sums: Sums = MINUTES.iter().map(|minutes| (*minutes, BTreeMap::new())).collect();
    let mut seed = 7u64;
    let mut random = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for position in 0..plan.events {
        let id = format!("counter-{:04}", random(plan.keys));
        let (n, behind) = (1 + i64::try_from(random(3))?, i64::try_from(random(5000))?);
        let at = FROM + 5000 + i64::try_from(position)? * plan.minutes * 60_000 / i64::try_from(plan.events)? - behind;
        let value = format!(
            r#"{{"id":"{id}","by":"client-{}","n":{n},"at":{at},"node":{},"position":{},"incarnation":"0123456789abcdef"}}"#,
            random(500),
            position % 3,
            position / 3 + 1
        );
        for (minutes, sums) in &mut sums {
            let size = minutes * 60_000;
            *sums.entry((id.clone(), at / size * size)).or_default() += n;
        }
        let mut record = BaseRecord::to(TOPIC).key(id.as_bytes()).payload(value.as_bytes());
        while let Err((_, refused)) = producer.send(record) {
            record = refused;
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(PATIENCE)?;
    Ok(sums)
}
