//! Likes in a topic, and what has to be counted of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;
use synccluster_counter::windows::Settings;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// One like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    pub id: String,
    pub n: i64,
    pub at: i64,
    pub position: i64,
}

impl Like {
    pub fn value(&self) -> String {
        let Self { id, n, at, position } = self;
        format!(r#"{{"id":"{id}","by":"somebody","n":{n},"at":{at},"node":0,"position":{position}}}"#)
    }
}

/// What a window counted: in time, late, and whether it is final.
pub type Counted = BTreeMap<(String, String, i64), (i64, i64, bool)>;

/// `count` likes of `ids` ids, 20 ms apart beginning at `from`; every tenth up to a minute and every fiftieth up to two hours behind.
pub fn some(count: i64, ids: i64, from: i64) -> Vec<Like> {
    let mut seed = 1i64;
    let mut random = move |below: i64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33).rem_euclid(below)
    };
    let one = |position| {
        let behind = match position % 50 {
            0 => random(7_200_000),
            n if n % 10 == 0 => random(60_000),
            _ => random(500),
        };
        let n = if random(10) == 0 { -1 } else { 1 + random(3) };
        Like {
            id: format!("id-{}", random(ids)),
            n,
            at: from + position * 20 - behind,
            position,
        }
    };
    (1..=count).map(one).collect()
}

pub fn client(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", settings.kafka.bootstrap_servers())
        .set("broker.address.family", "v4");
    config
}

/// Writes them to the topic by their ids.
pub fn send(settings: &Settings, likes: &[Like]) -> Result<()> {
    let producer: BaseProducer = client(settings)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .create()?;
    for like in likes {
        let value = like.value();
        let mut record = BaseRecord::to(&settings.topics.likes)
            .key(like.id.as_bytes())
            .payload(value.as_bytes());
        while let Err((_, refused)) = producer.send(record) {
            record = refused;
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

/// Values of all partitions, each in its order, as a consumer reads them that leaves out what was not committed.
pub fn values(settings: &Settings, topic: &str) -> Result<Vec<Vec<Value>>> {
    let consumer: BaseConsumer = client(settings)
        .set("group.id", "reads-all")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let partitions = consumer.fetch_metadata(Some(topic), PATIENCE)?.topics()[0]
        .partitions()
        .len();
    let mut from = TopicPartitionList::new();
    for partition in 0..partitions {
        from.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    let mut read = vec![Vec::new(); partitions];
    let mut at_end = 0;
    while at_end < partitions {
        match consumer.poll(PATIENCE).context("Kafka is silent")? {
            Ok(message) => {
                let value = message.payload().context("no value")?;
                let value = serde_json::from_slice(value).unwrap_or(Value::Null);
                read[usize::try_from(message.partition())?].push(value);
            }
            Err(KafkaError::PartitionEOF(_)) => at_end += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read)
}

/// What the topics of aggregations say last of each window.
pub fn counted(settings: &Settings) -> Result<Counted> {
    let mut counted = Counted::new();
    for (topic, size) in settings.topics.aggregations.iter().zip(settings.rules.sizes.iter()) {
        for value in values(settings, topic)?.into_iter().flatten() {
            let number = |name: &str| value[name].as_i64().with_context(|| format!("{name} in {value}"));
            let start = number("window_start")?;
            ensure!(number("window_end")? == start + size.millis(), "{value}");
            let id = value["id"].as_str().context("no id")?.to_owned();
            let counts = (
                number("count")?,
                number("late")?,
                value["final"].as_bool().context("no final")?,
            );
            let before = counted.insert((size.to_string(), id, start), counts);
            ensure!(
                !before.is_some_and(|before| before.2 && !counts.2),
                "{value} is open again"
            );
        }
    }
    Ok(counted)
}

/// The likes of the topic counted again, each once, in the order of its partition.
pub fn recount(settings: &Settings) -> Result<Counted> {
    let mut counted = Counted::new();
    for partition in values(settings, &settings.topics.likes)? {
        let mut closed = i64::MIN;
        let mut here = Counted::new();
        for like in partition.iter().filter(|value| value["at"].is_i64()) {
            let (at, n) = (like["at"].as_i64().context("at")?, like["n"].as_i64().context("n")?);
            closed = closed.max(at - settings.rules.grace);
            for size in settings.rules.sizes.iter() {
                let start = at.div_euclid(size.millis()) * size.millis();
                let id = like["id"].as_str().context("id")?.to_owned();
                let window = here.entry((size.to_string(), id, start)).or_default();
                *if start + size.millis() <= closed {
                    &mut window.1
                } else {
                    &mut window.0
                } += n;
            }
        }
        for size in settings.rules.sizes.iter() {
            let of = size.to_string();
            here.iter_mut()
                .filter(|(key, _)| key.0 == of)
                .for_each(|(key, window)| window.2 = key.2 + size.millis() <= closed);
        }
        counted.extend(here);
    }
    Ok(counted)
}

/// Waits until the windows equal the recount.
pub fn wait_until_exact(settings: &Settings) -> Result<()> {
    let wanted = recount(settings)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let found = counted(settings)?;
        if found == wanted {
            return Ok(());
        }
        if Instant::now() > end {
            let differ = wanted.iter().filter(|(key, window)| found.get(*key) != Some(window));
            let some: Vec<_> = differ
                .take(5)
                .map(|(key, window)| (key, window, found.get(key)))
                .collect();
            bail!(
                "{} windows instead of {}; wanted and found: {some:?}",
                found.len(),
                wanted.len()
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
