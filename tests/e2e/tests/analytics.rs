//! A newcomer's path: `examples/analytics.yaml` is applied, and what is written at a client is in ClickHouse's view and on Superset's dashboard. Then
//! ClickHouse alone, killed or not, while notebooks look at the same.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hyper::StatusCode;
use kube::ResourceExt as _;
use serde::Deserialize as _;
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, PATIENCE, START, eventually, with_namespace};
use synccluster_operator::names::{self, Component};
use synccluster_protocol::Site;

const EXAMPLE: &str = include_str!("../../../examples/analytics.yaml");
const CLIENT: Site = Site::Client(1);
/// What is wrong is said within this, also by a machine that is slow: a kubelet takes up to a minute and a half to bring a file.
const SOON: Duration = Duration::from_secs(45);

/// What clickhouse-client prints in its pod.
async fn ask(cluster: &Cluster, query: &str) -> Result<String> {
    let pod = format!("{}-0", names::clickhouse(&cluster.name));
    let client = r#"clickhouse-client --user sync --password "$CLICKHOUSE_PASSWORD" --query "$0""#;
    let printed = cluster.exec(&pod, "clickhouse", &["sh", "-c", client, query]).await?;
    Ok(printed.trim_end().to_owned())
}

async fn shows(cluster: &Cluster, query: &str, expected: &str) -> Result<()> {
    eventually(PATIENCE, async || {
        let seen = ask(cluster, query).await?;
        ensure!(seen == expected, "{query}: {seen:?} instead of {expected:?}");
        Ok(())
    })
    .await
}

/// What `verify` prints where it ends with 0.
async fn verify(cluster: &Cluster, patience: &str) -> Result<Value> {
    let pod = cluster.pod(Component::Analytics, None).await?.name_any();
    let command = ["synccluster-clickhouse", "verify", "--patience", patience];
    Ok(serde_json::from_str(&cluster.exec(&pod, "analytics", &command).await?)?)
}

/// Every document of the example, in this namespace. Where a cluster cannot be given images, it says where else they are.
async fn apply_example(cluster: &Cluster) -> Result<()> {
    for document in serde_yaml::Deserializer::from_str(EXAMPLE) {
        let mut document = Value::deserialize(document)?;
        if let (Ok(image), Some(written)) = (
            env::var("SUPERSET_IMAGE"),
            document.pointer_mut("/spec/analytics/superset/image"),
        ) {
            *written = image.into();
        }
        let name = document["metadata"]["name"]
            .as_str()
            .context("a document without a name")?;
        match document["kind"].as_str() {
            Some("ConfigMap") => cluster.namespace.config_map(name, &document["data"]).await?,
            _ => _ = cluster.namespace.apply(name, &document["spec"]).await?,
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_a_client_is_in_the_view_whatever_is_killed() -> Result<()> {
    with_namespace("analytics", async |namespace| {
        let cluster = &Cluster {
            namespace: namespace.clone(),
            name: "shop".parse()?,
        };
        apply_example(cluster).await?;
        cluster.ready().await?;
        cluster.says(START, "AnalyticsReady", "True", "Writing").await?;
        let insert = "insert into orders (customer, amount) values ('ann', 12.50), ('bob', 3)";
        cluster.sql(CLIENT, insert).await?;
        let query = "select customer, sync_site from analytics.orders_current order by customer";
        shows(cluster, query, "ann\tclient-1\nbob\tclient-1").await?;
        dashboard_shows_it(cluster).await?;
        let notebooks = env::var("NOTEBOOKS_IMAGE").unwrap_or_else(|_| "synccluster/notebooks:4.6".to_owned());
        // One after the other: a test's namespace is not to take all the memory of a machine.
        cluster.patch(&json!({ "analytics": { "superset": null, "notebooks": { "image": notebooks } } })).await?;
        let report = same(cluster).await?;
        ensure!(report["tables"][0]["clickhouse"]["rows"] == 2, "{report}");

        let many = "insert into orders (customer, amount) select 'c' || i % 50, i from generate_series(1, 400) i; \
                    delete from orders where amount::int % 7 = 0; update orders set paid = true where amount::int % 5 = 0";
        for round in 0..4 {
            cluster.sql(CLIENT, many).await?;
            if round == 1 {
                let pod = format!("{}-0", names::clickhouse(&cluster.name));
                cluster.kill_named(&pod).await?;
            }
            if round == 2 {
                cluster.kill(Component::Analytics, None).await?;
            }
        }
        cluster.converged().await?;
        same(cluster).await?;
        wrong_definitions_are_said_at_once_and_stop_nothing(cluster).await?;
        notebooks_show_it(cluster).await?;
        // A sink that does not answer in time for once has said nothing.
        eventually(PATIENCE, async || {
            let status = cluster.get().await?.status.and_then(|status| status.analytics).context("no status.analytics")?;
            let first = status.tables.first().map(|table| table.table.as_str());
            ensure!(status.secret == "shop-clickhouse" && first == Some("orders"), "{status:?}");
            ensure!(status.version.is_some() && status.parked == 0, "{status:?}");
            Ok(())
        })
        .await?;

        // Somebody writes into ClickHouse: it is found, and a rebuild mends it.
        let tamper = "insert into analytics.orders (id, customer, sync_version, deleted) select id, 'mallory', sync_version + 1, 0 from analytics.orders limit 1";
        ask(cluster, tamper).await?;
        eventually(PATIENCE, async || match verify(cluster, "0s").await {
            Ok(report) => panic!("what was tampered with is not found: {report}"),
            // Anything else is of the way there.
            Err(error) if format!("{error:#}").contains("exit code 1:") => Ok(()),
            Err(error) => Err(error),
        })
        .await?;
        cluster.patch(&json!({ "analytics": { "clickhouse": { "generation": 1 } } })).await?;
        eventually(PATIENCE, async || {
            let status = cluster.get().await?.status.and_then(|status| status.analytics).context("no status.analytics")?;
            ensure!(status.generation == 1 && status.rebuild_percent.is_none(), "{status:?}");
            Ok(())
        })
        .await?;
        same(cluster).await?;
        cluster.says(PATIENCE, "AnalyticsReady", "True", "Writing").await?;

        // Taken out of the resource it goes, and the sites stay.
        cluster.patch(&json!({ "analytics": null })).await?;
        cluster.says(PATIENCE, "AnalyticsReady", "False", "NoAnalytics").await?;
        let sink = format!("Pod/{}-", names::analytics(&cluster.name));
        eventually(PATIENCE, async || {
            let left = cluster.owned().await?;
            ensure!(!left.names().iter().any(|name| name.starts_with(&sink)), "the sink is still there");
            Ok(())
        })
        .await?;
        cluster.ready().await
    })
    .await
}

/// Superset is there, its charts have the rows, and it has a dataset for the view.
async fn dashboard_shows_it(cluster: &Cluster) -> Result<()> {
    let superset = eventually(START, async || cluster.superset().await).await?;
    eventually(PATIENCE, async || {
        let ready = cluster.says(PATIENCE, "Ready", "True", "Running").await?;
        ensure!(!ready.contains("not ready"), "{ready}");
        Ok(())
    })
    .await?;
    eventually(START, async || {
        let charts = superset.charts().await?;
        for (chart, rows) in [
            ("Rows", json!([{ "changes": 2 }])),
            (
                "Rows by table and site",
                json!([{ "table": "public.orders", "site": "client-1", "changes": 2 }]),
            ),
            (
                "Rows in ClickHouse",
                json!([{ "source": "orders", "sync_site": "client-1", "rows": 2 }]),
            ),
            ("Likes by window", json!([])),
        ] {
            ensure!(charts.get(chart) == Some(&rows), "{chart}: {charts:?}");
        }
        ensure!(charts.len() == 11, "{charts:?}");
        Ok(())
    })
    .await?;
    eventually(PATIENCE, async || {
        let datasets = superset.get("/api/v1/dataset/").await?.to_string();
        ensure!(datasets.contains("orders_current"), "{datasets}");
        Ok(())
    })
    .await
}

/// The sink has what was right until the kubelet brings it the file; the operator need not wait for that.
async fn wrong_definitions_are_said_at_once_and_stop_nothing(cluster: &Cluster) -> Result<()> {
    let definitions = async |yaml: &str| {
        let tables = json!({ "tables.yaml": yaml });
        cluster.namespace.config_map("tables", &tables).await
    };
    definitions("tables: [{source: public.orders, orderBy: [id]}]").await?;
    let named = json!({ "analytics": { "clickhouse": { "tables": { "configMap": { "name": "tables" } } } } });
    let before = cluster.pod(Component::Analytics, None).await?;
    cluster.patch(&named).await?;
    // One that begins with what is wrong has nothing to go on with.
    cluster.gives_way(&before, Component::Analytics, None).await?;
    cluster.says(START, "AnalyticsReady", "True", "Writing").await?;
    definitions("tables: [{source: public.orders, oderBy: [id]}]").await?;
    let wrong = cluster
        .says(SOON, "AnalyticsReady", "False", "DefinitionsInvalid")
        .await?;
    ensure!(
        wrong.contains("ConfigMap tables, tables.yaml") && wrong.contains("unknown field `oderBy`"),
        "{wrong}"
    );
    cluster
        .sql(CLIENT, "insert into orders (customer, amount) values ('dora', 4)")
        .await?;
    let there = "select count() from analytics.orders_current where customer = 'dora'";
    shows(cluster, there, "1").await?;
    definitions("tables: [{source: public.orders, orderBy: [id]}]").await?;
    // What the sink says is of the file, and that may be as old as the kubelet likes.
    cluster.says(START, "AnalyticsReady", "True", "Writing").await?;
    same(cluster).await.map(drop)
}

/// JupyterLab lets in who has the token; its notebooks run in its pod, reach every site and Kafka, and nothing else, and change nothing.
async fn notebooks_show_it(cluster: &Cluster) -> Result<()> {
    let (folder, stranger) = eventually(START, async || cluster.notebooks().await).await?;
    ensure!(folder.to_string().contains("compare-sites.ipynb"), "{folder}");
    ensure!(
        stranger == StatusCode::FORBIDDEN,
        "somebody without the token: {stranger}"
    );
    for (notebook, shown) in [
        ("compare-sites.ipynb", "every site holds the same rows"),
        ("explore-a-topic.ipynb", "public.orders"),
    ] {
        // What was just written is at every site a little later.
        eventually(START, async || {
            let executed = cluster.in_notebooks(&["execute", notebook]).await?;
            ensure!(
                executed.contains(shown),
                "{notebook} does not show `{shown}`:\n{executed}"
            );
            Ok(())
        })
        .await?;
    }
    let write = "from sites import connect; connect('client-1').execute(\"update orders set paid = true\")";
    fails(cluster, write, "read-only transaction").await?;
    let elsewhere = "import socket; socket.create_connection(('shop-clickhouse', 8123), 3)";
    fails(cluster, elsewhere, "timed out").await
}

/// Waits until a script fails by this; it must never succeed.
async fn fails(cluster: &Cluster, script: &str, by: &str) -> Result<()> {
    let succeeded = eventually(PATIENCE, async || {
        match cluster.in_notebooks(&["python", "-c", script]).await {
            Ok(said) => Ok(Some(said)),
            Err(error) if format!("{error:#}").contains(by) => Ok(None),
            Err(error) => Err(error),
        }
    });
    match succeeded.await? {
        Some(said) => bail!("{script} succeeded: {said}"),
        None => Ok(()),
    }
}

/// Waits until `verify` finds no difference; what it says then.
async fn same(cluster: &Cluster) -> Result<Value> {
    eventually(PATIENCE, async || {
        let report = verify(cluster, "10s").await?;
        ensure!(report["equal"] == true, "{report}");
        Ok(report)
    })
    .await
}
