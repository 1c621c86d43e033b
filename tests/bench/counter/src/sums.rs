//! What was counted, read back as a consumer sees it that leaves out what was not committed.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use serde::Deserialize;

use crate::events::{MINUTES, Plan, Sums, client};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Value {
    id: String,
    window_start: i64,
    count: i64,
}

/// Fails where the last count of a window is not the one wanted.
pub fn check(bootstrap: &str, plan: &Plan, aggregations: &str, wanted: &Sums) -> Result<()> {
    for minutes in MINUTES {
        let topic = format!("{aggregations}{minutes}m");
        let found = read(bootstrap, plan, &topic)?;
        let differ = wanted[&minutes]
            .iter()
            .filter(|(window, sum)| found.get(*window) != Some(*sum))
            .count();
        ensure!(
            differ == 0 && found.len() == wanted[&minutes].len(),
            "{topic}: {differ} of {} windows are wrong",
            found.len()
        );
    }
    Ok(())
}

fn read(bootstrap: &str, plan: &Plan, topic: &str) -> Result<BTreeMap<(String, i64), i64>> {
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "bench-check")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut from = TopicPartitionList::new();
    for partition in 0..plan.partitions {
        from.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    let (mut found, mut at_end) = (BTreeMap::new(), 0);
    while at_end < plan.partitions {
        match consumer.poll(PATIENCE).context("Kafka is silent")? {
            Ok(message) => {
                let value: Value = serde_json::from_slice(message.payload().context("no value")?)?;
                found.insert((value.id, value.window_start), value.count);
            }
            Err(KafkaError::PartitionEOF(_)) => at_end += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
