//! Partitions for which nothing comes any more: their windows are over by the wall clock.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use synccluster_counter::windows::Settings;
use synccluster_harness::{Kafka, eventually};
use synccluster_runtime::clock::now_millis;
use tokio::task::spawn_blocking;

use crate::{
    likes::{Counted, Like, PATIENCE, client, counted, recount, send, values},
    worker::{Process, Task, world_with},
};

const IDS: i64 = 20;

fn like(id: i64, at: i64) -> Like {
    Like {
        id: format!("id-{id}"),
        n: 1,
        at,
        position: 1,
    }
}

async fn blocking<T: Send + 'static>(
    settings: &Settings,
    work: impl FnOnce(&Settings) -> Result<T> + Send + 'static,
) -> Result<T> {
    let settings = settings.clone();
    spawn_blocking(move || work(&settings)).await?
}

/// What has to be counted where every window is over.
fn all_over(settings: &Settings) -> Result<Counted> {
    let windows = recount(settings)?.into_iter();
    Ok(windows
        .map(|(key, (count, late, _))| (key, (count, late, true)))
        .collect())
}

/// How often each window was said to be final, by topic and key, other than for what is late alone.
fn finals(settings: &Settings) -> Result<BTreeMap<(String, String, i64), usize>> {
    let mut finals = BTreeMap::new();
    for topic in &settings.topics.aggregations {
        let is_final = |value: &Value| value["final"] == true && value["late_only"] != true;
        for value in values(settings, topic)?.into_iter().flatten().filter(is_final) {
            let id = value["id"].as_str().context("id")?.to_owned();
            let start = value["window_start"].as_i64().context("window_start")?;
            *finals.entry((topic.clone(), id, start)).or_default() += 1;
        }
    }
    Ok(finals)
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_a_quiet_evening_are_final_once_whoever_is_killed() -> Result<()> {
    // Over one after the other, for some 30 s, after 20 s that are there to send them.
    let flags = "--windows 1s,5s --grace 50s --max-clock-skew 1s --idle-after 500ms";
    let flags: Vec<_> = flags.split(' ').collect();
    let settings = world_with(&flags, Kafka::shared().await?).await?;
    let mut workers = [
        Process::start_with(&flags, &settings)?,
        Process::start_with(&flags, &settings)?,
    ];
    let from = now_millis() - 30_000;
    let likes: Vec<_> = (0..30 * IDS)
        .map(|n| like(n % IDS, from + n * 30_000 / (30 * IDS)))
        .collect();
    blocking(&settings, move |to| send(to, &likes)).await?;
    let wanted = blocking(&settings, all_over).await?;
    ensure!(wanted.values().all(|window| window.1 == 0), "late: {wanted:?}");
    for killed in [0, 1, 0] {
        let before = blocking(&settings, finals).await?.len();
        let is_more = async || {
            let now = blocking(&settings, finals).await?.len();
            ensure!(now > before, "{now} of {} windows are final", wanted.len());
            Ok(())
        };
        eventually(PATIENCE, is_more).await?;
        workers[killed] = Process::start_with(&flags, &settings)?;
    }
    eventually(PATIENCE, async || {
        let found = blocking(&settings, counted).await?;
        ensure!(found == wanted, "{found:?} instead of {wanted:?}");
        Ok(())
    })
    .await?;
    let finals = blocking(&settings, finals).await?;
    ensure!(finals.len() == wanted.len(), "{} of {}", finals.len(), wanted.len());
    ensure!(finals.values().all(|times| *times == 1), "{finals:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_not_quiet_while_a_transaction_may_have_likes_for_it() -> Result<()> {
    let flags = "--windows 1s --grace 1s --max-clock-skew 1s --idle-after 200ms";
    let flags: Vec<_> = flags.split(' ').collect();
    let settings = world_with(&flags, Kafka::shared().await?).await?;
    let at = now_millis() - 120_000;
    let open = blocking(&settings, move |to| {
        send(to, &(0..IDS).map(|id| like(id, at)).collect::<Vec<_>>())?;
        let producer: BaseProducer = client(to)
            .set("transactional.id", format!("{}-open", to.cluster))
            .set("transaction.timeout.ms", "600000")
            .set("partitioner", "murmur2_random")
            .create()?;
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
        let (topic, like) = (&to.topics.likes, like(0, at));
        let value = like.value();
        let record = BaseRecord::to(topic).key(&like.id).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(PATIENCE)?;
        Ok(producer)
    })
    .await?;
    let here = blocking(&settings, |of| {
        let partitions = values(of, &of.topics.likes)?.into_iter();
        let mut has_first = partitions.filter(|likes| likes.iter().any(|like| like["id"] == "id-0"));
        has_first.next().context("no like of the first id")
    })
    .await?;
    let here = move |id: &str| here.iter().any(|like| like["id"] == id);
    let worker = Task::start(&settings);
    // Twice, so that it was looked everywhere in between.
    for round in 0..2 {
        eventually(PATIENCE, async || {
            let mut windows = blocking(&settings, counted).await?;
            windows.retain(|(_, id, _), _| !here(id));
            ensure!(windows.values().all(|window| window.2), "{windows:?}");
            ensure!(
                windows.len() == usize::try_from(round + 1)? * others(&here),
                "{}",
                windows.len()
            );
            Ok(())
        })
        .await?;
        if round == 0 {
            let more: Vec<_> = (0..IDS)
                .map(|id| like(id, now_millis()))
                .filter(|like| !here(&like.id))
                .collect();
            blocking(&settings, move |to| send(to, &more)).await?;
        }
    }
    let windows = blocking(&settings, counted).await?;
    let is_open =
        |((_, id, _), window): (&(String, String, i64), &(i64, i64, bool))| !here(id) || *window == (1, 0, false);
    ensure!(windows.iter().all(is_open), "{windows:?}");
    spawn_blocking(move || open.commit_transaction(PATIENCE)).await??;
    let first = |windows: Counted| {
        windows
            .into_iter()
            .find(|(key, _)| key.1 == "id-0")
            .map(|(_, window)| window)
    };
    let says = async |expected: (i64, i64, bool)| {
        eventually(PATIENCE, async || {
            let found = first(blocking(&settings, counted).await?);
            ensure!(found == Some(expected), "{found:?} instead of {expected:?}");
            Ok(())
        })
        .await
    };
    says((2, 0, true)).await?;
    // What comes now comes late, as if another had come before.
    blocking(&settings, move |to| send(to, &[like(0, at)])).await?;
    says((2, 1, true)).await?;
    let finals = blocking(&settings, finals).await?;
    ensure!(finals.values().all(|times| *times == 1), "{finals:?}");
    worker.stop().await
}

/// How many ids are in other partitions.
fn others(here: &impl Fn(&str) -> bool) -> usize {
    (0..IDS).filter(|id| !here(&format!("id-{id}"))).count()
}
