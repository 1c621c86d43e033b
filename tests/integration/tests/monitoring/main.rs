//! What the chart's dashboards and alerts ask Prometheus for is what the workloads serve, by name and by label, and is documented.

mod asked;
mod served;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use asked::{Asked, asked, rules};
use hyper::Method;
use serde_json::json;
use served::Served;
use synccluster_clickhouse::run::Analytics;
use synccluster_debezium::run::Debezium;
use synccluster_gateway::{counters, counters::Counters, health, live};
use synccluster_harness::{Kafka, eventually, repository};
use synccluster_integration::{
    PATIENCE, World,
    counter::{Nodes, like},
    gateway::{self, Gateway},
};
use synccluster_protocol::Site;
use synccluster_runtime::{health::Health, workload::Workload};
use synccluster_seeder::{
    api::{Access, App},
    health::Seeder,
    journal::Folder,
    runs::Runs,
    sites::Sites,
};

const NODE: &str = env!("CARGO_BIN_EXE_counter_node");
/// What Prometheus and the chart's monitors add to every series of a pod.
const OF_TARGETS: [&str; 5] = ["namespace", "pod", "container", "instance", "job"];

fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository(path)?).with_context(|| format!("reading {path}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_dashboards_and_alerts_is_served_and_documented() -> Result<()> {
    let asked = asked()?;
    let world = World::start(1, "create table todos (id bigint primary key)").await?;
    let kafka = Kafka::shared().await?.bootstrap();
    let nodes = Nodes::start(NODE, 1, &["--bootstrap-servers", &kafka]).await?;
    nodes.like(0, &like("tea", "ann/1")).await?;
    let gateway = start(&world, &nodes, kafka).await?;
    let seeder = seeder(&world)?;
    let operator = read("operator/src/metrics.rs")?;
    eventually(PATIENCE, async || {
        let mut served = Served::default();
        for at in &world.sites {
            served.text(&at.connector_metrics()?)?;
            served.text(&at.sink_metrics()?)?;
        }
        served.text(&nodes.metrics(0).await?)?;
        // Its pods have no label of the cluster in what they serve; the PodMonitor sets it.
        served.with(&["cluster"], &health::Gateway::new(Arc::clone(&gateway.app)).metrics())?;
        served.text(&metrics_of::<Analytics>(&world))?;
        served.text(&metrics_of::<Debezium>(&world))?;
        served.with(&["cluster"], &seeder.metrics())?;
        // The operator is not run here; it has no labels, and its names are literals.
        served.literals(&operator);
        let missing = missing(&asked, &served);
        ensure!(missing.is_empty(), "asked for and not served:\n{}", missing.join("\n"));
        let documented = read("docs/metrics.md")?;
        let unknown: Vec<&str> = served
            .names()
            .filter(|name| !documented.contains(&format!("`{name}`")))
            .collect();
        ensure!(unknown.is_empty(), "docs/metrics.md lacks {unknown:?}");
        Ok(())
    })
    .await
}

/// What a workload serves that has not begun, with the labels of all.
fn metrics_of<W: Workload>(world: &World) -> String {
    let labels = format!("cluster=\"{}\",site=\"server\"", world.cluster);
    let metrics = W::metrics(&W::status(world.cluster.clone(), Site::Server));
    metrics.into_iter().map(|metric| metric.text(&labels)).collect()
}

/// A seeder that nobody has asked for anything.
fn seeder(world: &World) -> Result<Seeder> {
    let folder = std::env::temp_dir().join(format!("synccluster-monitoring-{}", world.cluster));
    fs::create_dir_all(&folder)?;
    for name in ["token", "viewer-token"] {
        fs::write(folder.join(name), format!("nobody-comes-by-this-{name}"))?;
    }
    let app = App {
        runs: Runs::new(Sites::new(BTreeMap::new()), Folder::open(&folder.join("journal"))?),
        access: Access::by_tokens(folder.clone())?,
    };
    let seeder = Seeder::new(Arc::new(app));
    fs::remove_dir_all(folder)?;
    Ok(seeder)
}

/// In front of the node, asked for something that is there and something that is not.
async fn start(world: &World, nodes: &Nodes, kafka: String) -> Result<Gateway> {
    let mut app = synccluster_gateway::app::App::new(world.cluster.clone(), gateway::sites(world)?, kafka);
    let first = &nodes.nodes[0];
    let (clients, leader) = (first.clients.to_string().parse()?, first.leader.to_string().parse()?);
    app.counters = Some(Counters::new(&app.cluster, clients, Some(leader)));
    let gateway = Gateway::serve(app).await?;
    tokio::spawn(live::run(Arc::clone(&gateway.app), 1));
    tokio::spawn(counters::run(Arc::clone(&gateway.app)));
    gateway.get("/docs").await?;
    gateway
        .send(Method::POST, "/api/v1/likes", &[], Some(&json!("no like")))
        .await?;
    Ok(gateway)
}

fn missing(asked: &[Asked], served: &Served) -> Vec<String> {
    let mut missing = BTreeSet::new();
    for asked in asked {
        let Some(labels) = served.labels(&asked.metric) else {
            missing.insert(format!("{}: {}", asked.place, asked.metric));
            continue;
        };
        for label in &asked.labels {
            if !labels.contains(label) && !OF_TARGETS.contains(&label.as_str()) {
                missing.insert(format!("{}: {} has no label {label}", asked.place, asked.metric));
            }
        }
    }
    missing.into_iter().collect()
}

#[test]
fn every_alert_leads_to_a_section_that_exists() -> Result<()> {
    for rule in rules()? {
        let (file, anchor) = rule.runbook.split_once('#').context("no anchor")?;
        let headings = read(file)?
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| anchor_of(line.trim_start_matches('#')))
            .collect::<Vec<_>>();
        ensure!(
            headings.iter().any(|heading| heading == anchor),
            "{}: {} has {headings:?}",
            rule.alert,
            rule.runbook
        );
    }
    Ok(())
}

/// As forges make them of headings.
fn anchor_of(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| kept(*c))
        .collect::<String>()
        .replace(' ', "-")
}
