//! The operator's own code on the topics that the nodes make: how long these keep what is in them changes live, and nothing goes that nobody has let go.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use synccluster_counter::windows::Settings;
use synccluster_harness::{Kafka, eventually};
use synccluster_operator::{
    api::TopicState,
    observe::Observed,
    topics::{Admin, TopicFact, keep_topics},
};

use crate::{likes::PATIENCE, operator::counting, worker::world};

/// What the topics are made with.
const WEEK: &str = "604800000";

/// One look of the operator.
async fn keep(settings: &Settings, topics: &Value, force: bool) -> Result<Vec<TopicFact>> {
    let mut cluster = counting(&settings.cluster.to_string(), &json!({ "nodes": 1, "topics": topics }))?;
    cluster.kafka.topics.force = force;
    let config = settings.kafka.client_config("operator")?;
    Ok(keep_topics(config, &cluster, &Observed::default(), Timestamp::now())
        .await?
        .facts)
}

fn of(facts: &[TopicFact], topic: &str) -> Result<TopicFact> {
    let fact = facts.iter().find(|fact| fact.name == topic).cloned();
    fact.with_context(|| format!("{topic} not in {facts:?}"))
}

/// What a topic has of its own.
async fn own(settings: &Settings, topic: &str) -> Result<BTreeMap<String, String>> {
    let admin = Admin::new(settings.kafka.client_config("test")?)?;
    let (mut seen, _) = admin.describe(&[topic]).await?;
    Ok(seen.remove(topic).with_context(|| format!("no topic {topic}"))?.own)
}

/// Waits until a topic has just this of its own: the controller has changed it, and the broker hears of that later.
async fn has(settings: &Settings, topic: &str, expected: &BTreeMap<String, String>) -> Result<()> {
    eventually(PATIENCE, async || {
        let seen = own(settings, topic).await?;
        ensure!(seen == *expected, "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_likes_and_windows_are_kept_changes_live_and_less_long_by_somebodys_word_alone() -> Result<()> {
    let settings = world(Kafka::shared().await?).await?;
    let (likes, minutes) = (&settings.topics.likes, &settings.topics.aggregations[0]);
    let made = own(&settings, likes).await?;
    ensure!(made.get("retention.ms").is_some_and(|kept| kept == WEEK), "{made:?}");

    // Whether likes of an hour ago are counted the operator does not know.
    let hour = json!({ "likesRetention": "1h" });
    let refused = of(&keep(&settings, &hour, false).await?, likes)?;
    ensure!(refused.state == TopicState::Refused, "{refused:?}");
    let why = refused.message.unwrap_or_default();
    ensure!(
        why.contains("likes that are in no window yet") && why.contains("force-topics: \"4\""),
        "{why}"
    );
    ensure!(
        own(&settings, likes).await? == made,
        "a refused change changed something"
    );

    // To keep more is never refused, and what the nodes have set besides stays.
    let facts = keep(
        &settings,
        &json!({ "likesRetention": "200h", "aggregationsRetention": "800h" }),
        false,
    )
    .await?;
    let (of_likes, of_minutes) = (of(&facts, likes)?, of(&facts, minutes)?);
    ensure!(
        of_likes.change.as_deref() == Some("retention.ms from 604800000 to 720000000"),
        "{of_likes:?}"
    );
    ensure!(
        of_minutes.change.as_deref() == Some("retention.ms from 2592000000 to 2880000000"),
        "{of_minutes:?}"
    );
    let mut expected = made;
    expected.insert("retention.ms".to_owned(), "720000000".to_owned());
    has(&settings, likes, &expected).await?;

    // Somebody has looked.
    let fact = of(&keep(&settings, &hour, true).await?, likes)?;
    ensure!(fact.state == TopicState::AsWanted, "{fact:?}");
    expected.insert("retention.ms".to_owned(), "3600000".to_owned());
    has(&settings, likes, &expected).await
}
