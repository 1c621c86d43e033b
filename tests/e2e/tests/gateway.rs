//! The gateway is reached by whom the spec says, shows every site, and cuts and heals for those who may; its account can do no more than that.

#[path = "gateway/rights.rs"]
mod rights;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, PATIENCE, START, Visitor, answered, eventually, stays, with_cluster};
use synccluster_operator::names::{self, ACCESS_LABEL, Component};

/// What a blocked dial takes, several times.
const LONG_ENOUGH: Duration = Duration::from_secs(8);
const PARTITION: &str = "/api/v1/partition";

#[tokio::test(flavor = "multi_thread")]
async fn people_reach_it_and_it_reaches_every_site() -> Result<()> {
    with_cluster("gateway", 2, async |cluster| {
        it_is_ready_and_says_where(cluster).await?;
        let (insider, outsider) = only_pods_with_the_label_reach_it(cluster).await?;
        an_editor_cuts_and_heals_and_a_viewer_looks(cluster).await?;
        Box::pin(of_two_who_cut_at_the_same_moment_the_second_is_told(cluster)).await?;
        rights::logs_are_those_of_its_own_pods(cluster, &outsider).await?;
        what_it_tells_of_kubernetes_has_no_secret(cluster).await?;
        rights::its_account_changes_the_partition_and_nothing_else(cluster).await?;
        one_that_goes_comes_back(cluster).await?;
        exposed_it_is_reached_from_anywhere(cluster).await?;
        rights::only_the_proxy_says_who_somebody_is(cluster, &insider, &outsider).await?;
        without_replicas_there_is_none(cluster).await
    })
    .await
}

async fn it_is_ready_and_says_where(cluster: &Cluster) -> Result<()> {
    cluster.says(START, "GatewayReady", "True", "Running").await?;
    let address = format!("http://shop-gateway.{}.svc", cluster.namespace.name);
    eventually(PATIENCE, async || {
        let gateway = cluster.get().await?.status.unwrap_or_default().gateway;
        let gateway = gateway.context("no status.gateway")?;
        ensure!(
            gateway.address == address && gateway.ready_replicas == 1 && gateway.secret == "shop-gateway",
            "{gateway:?}"
        );
        Ok(())
    })
    .await
}

/// Who reaches it, and who does not.
async fn only_pods_with_the_label_reach_it(cluster: &Cluster) -> Result<(Visitor<'_>, Visitor<'_>)> {
    let (host, port) = (names::gateway(&cluster.name), 80);
    let insider = cluster.visitor("insider", &json!({ ACCESS_LABEL: host })).await?;
    let outsider = cluster.visitor("outsider", &json!({ "app": "outsider" })).await?;
    eventually(PATIENCE, async || {
        ensure!(
            insider.reaches(&host, port).await?,
            "a pod with the label does not reach {host}"
        );
        Ok(())
    })
    .await?;
    let is_right = |reaches: bool| {
        ensure!(!reaches, "a pod without the label reaches {host}");
        Ok(())
    };
    stays(LONG_ENOUGH, async || outsider.reaches(&host, port).await, is_right).await?;
    // So that nothing was said of a gateway that had gone meanwhile. A single dial may take too long.
    eventually(PATIENCE, async || {
        ensure!(
            insider.reaches(&host, port).await?,
            "a pod with the label no longer reaches {host}"
        );
        Ok(())
    })
    .await?;
    let pod = eventually(PATIENCE, async || cluster.pod(Component::Gateway, None).await).await?;
    let ip = pod.status.and_then(|status| status.pod_ip).context("no address")?;
    ensure!(!insider.reaches(&ip, 8080).await?, "metrics are for the operator alone");
    Ok((insider, outsider))
}

async fn an_editor_cuts_and_heals_and_a_viewer_looks(cluster: &Cluster) -> Result<()> {
    let (editor, viewer) = (
        cluster.web(Some("token")).await?,
        cluster.web(Some("viewer-token")).await?,
    );
    let cut = json!({ "clients": [2], "server": false, "link": "Both", "heal_after": null });

    let (status, problem) = cluster
        .web(None)
        .await?
        .send(Method::GET, "/api/v1/cluster", None)
        .await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");
    let (status, problem) = viewer.send(Method::PUT, PARTITION, Some(&cut)).await?;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert_eq!(problem["type"], "urn:synccluster:problem:read-only", "{problem}");
    assert!(
        cluster.get().await?.spec.partition.is_none(),
        "a viewer has cut somebody"
    );

    let (status, answer) = editor.send(Method::PUT, PARTITION, Some(&cut)).await?;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        cluster.get().await?.spec.partition.context("nobody is cut")?.clients,
        [2]
    );
    cluster.enforced().await?;
    // It stands for the people at that site.
    eventually(PATIENCE, async || {
        let sites = viewer.get("/api/v1/sites").await?;
        every_site_answers(&sites, 3)?;
        every_status(&sites, "phase", &json!(["Connected", "Connected", "Cut"]))
    })
    .await?;

    let (status, answer) = editor.send(Method::DELETE, PARTITION, None).await?;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(cluster.get().await?.spec.partition.is_none(), "{answer}");
    cluster.converged().await?;
    eventually(PATIENCE, async || {
        let sites = viewer.get("/api/v1/sites").await?;
        every_status(&sites, "phase", &json!(["Connected", "Connected", "Connected"]))?;
        every_status(&sites, "same_as_server", &json!([true, true, true]))?;
        let lags: Value = sites
            .as_array()
            .into_iter()
            .flatten()
            .map(|site| site["status"]["downlink"]["lag_records"].clone())
            .collect();
        ensure!(lags == json!(["0", "0", "0"]), "{sites}");
        Ok(())
    })
    .await
}

/// A cut is not healed by one of somebody who had not seen it.
async fn of_two_who_cut_at_the_same_moment_the_second_is_told(cluster: &Cluster) -> Result<()> {
    let editor = cluster.web(Some("token")).await?;
    // It is read as the API server told it last.
    let seen = eventually(PATIENCE, async || {
        let seen = editor.get(PARTITION).await?;
        ensure!(seen["partition"] == Value::Null, "{seen}");
        Ok(seen)
    })
    .await?;
    let tag = |said: &Value| format!("\"{}\"", said["version"].as_str().unwrap_or_default());
    let only_if = async |method: Method, body: Option<Value>, tag: &str| {
        let header = Some(("if-match", tag));
        editor.send_with(method, PARTITION, body.as_ref(), header).await
    };
    let asked = async || cluster.get().await.map(|found| found.spec.partition);

    let both_saw = tag(&seen);
    let (one, two) = tokio::try_join!(
        only_if(Method::PUT, Some(json!({ "clients": [1] })), &both_saw),
        only_if(Method::PUT, Some(json!({ "clients": [2] })), &both_saw),
    )?;
    let (client, first, second) = if one.0 == StatusCode::OK {
        (1, one, two)
    } else {
        (2, two, one)
    };
    assert_eq!(first.0, StatusCode::OK, "{}", first.1);
    let too_late = only_if(Method::DELETE, None, &both_saw).await?;
    for (status, problem) in [second, too_late] {
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{problem}");
        assert_eq!(problem["type"], "urn:synccluster:problem:changed-since", "{problem}");
        assert_eq!(problem["current"]["clients"], json!([client]), "{problem}");
        assert_eq!(problem["version"], first.1["version"], "{problem}");
    }
    assert_eq!(asked().await?.context("nobody is cut")?.clients, [client]);

    // What the operator states meanwhile is no other partition.
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.unwrap_or_default();
        ensure!(status.partition.is_some(), "the operator has not seen the cut");
        Ok(())
    })
    .await?;
    let (status, healed) = only_if(Method::DELETE, None, &tag(&first.1)).await?;
    assert_eq!(status, StatusCode::OK, "{healed}");
    assert_eq!(healed["version"], seen["version"], "{healed}");
    assert!(asked().await?.is_none(), "{healed}");
    Ok(())
}

/// Not in a document, and not in the log of any container.
async fn what_it_tells_of_kubernetes_has_no_secret(cluster: &Cluster) -> Result<()> {
    let viewer = cluster.web(Some("viewer-token")).await?;
    let mut paths: Vec<String> = ["cluster", "partition", "sites", "components"]
        .map(|name| format!("/api/v1/{name}"))
        .into();
    let components = viewer.get("/api/v1/components").await?;
    for component in components.as_array().into_iter().flatten() {
        let pod = component["name"].as_str().context("a component without a name")?;
        for container in component["containers"].as_array().into_iter().flatten() {
            let container = container["name"].as_str().context("a container without a name")?;
            paths.push(format!(
                "/api/v1/components/{pod}/logs?container={container}&lines=2000"
            ));
        }
    }
    // Of logs that a kubelet does not give for once nothing could be said.
    let answers = eventually(PATIENCE, async || {
        let mut answers = Vec::new();
        for path in &paths {
            let (_, answer) = viewer.send(Method::GET, path, None).await?;
            answers.push((path.clone(), answer.to_string()));
        }
        ensure!(
            answers.iter().filter(|(_, answer)| answer.len() > 100).count() > 10,
            "{answers:?}"
        );
        Ok(answers)
    })
    .await?;
    let (secrets, all) = (cluster.namespace.api::<Secret>(), ListParams::default());
    let secrets = answered(|| secrets.list(&all)).await?;
    let mut hidden = 0;
    for secret in secrets {
        let name = secret.name_any();
        for (key, value) in secret.data.unwrap_or_default() {
            if !["password", "uri", "token", "viewer-token"].contains(&key.as_str()) {
                continue;
            }
            let value = String::from_utf8(value.0)?;
            hidden += 1;
            for (path, answer) in &answers {
                ensure!(!answer.contains(&value), "{key} of Secret {name} is in {path}");
            }
        }
    }
    // At three sites five roles, and two tokens.
    ensure!(hidden >= 17, "{hidden} secrets");
    Ok(())
}

/// What the operator measured at each site, as the gateway shows it.
fn every_status(sites: &Value, field: &str, expected: &Value) -> Result<()> {
    let said: Value = sites
        .as_array()
        .into_iter()
        .flatten()
        .map(|site| site["status"][field].clone())
        .collect();
    ensure!(said == *expected, "{field}: {said} and not {expected}: {sites}");
    Ok(())
}

fn every_site_answers(sites: &Value, count: usize) -> Result<()> {
    let sites = sites.as_array().context("no list of sites")?;
    let reachable = sites.iter().filter(|site| site["reachable"] == true).count();
    ensure!((sites.len(), reachable) == (count, count), "{sites:?}");
    Ok(())
}

async fn one_that_goes_comes_back(cluster: &Cluster) -> Result<()> {
    cluster.kill(Component::Gateway, None).await?;
    cluster.says(PATIENCE, "GatewayReady", "True", "Running").await?;
    let viewer = cluster.web(Some("viewer-token")).await?;
    eventually(PATIENCE, async || {
        every_site_answers(&viewer.get("/api/v1/sites").await?, 3)
    })
    .await?;
    // Without it the sites went on.
    cluster.ready().await?;
    cluster.converged().await
}

async fn exposed_it_is_reached_from_anywhere(cluster: &Cluster) -> Result<()> {
    let outsider = cluster.visitor("stranger", &json!({ "app": "stranger" })).await?;
    cluster
        .patch(&json!({ "gateway": { "expose": { "nodePort": {} } } }))
        .await?;
    eventually(PATIENCE, async || {
        let gateway = cluster.get().await?.status.unwrap_or_default().gateway;
        let address = gateway.context("no status.gateway")?.address;
        let at = address.strip_prefix("http://").and_then(|at| at.rsplit_once(':'));
        let (node, port) = at.with_context(|| format!("{address} is at no port of a node"))?;
        ensure!(outsider.reaches(node, port.parse()?).await?, "{address} is not reached");
        Ok(())
    })
    .await?;
    cluster.patch(&json!({ "gateway": { "expose": null } })).await?;
    eventually(PATIENCE, async || {
        let host = names::gateway(&cluster.name);
        ensure!(!outsider.reaches(&host, 80).await?, "{host} is still reached");
        Ok(())
    })
    .await
}

async fn without_replicas_there_is_none(cluster: &Cluster) -> Result<()> {
    cluster.patch(&json!({ "gateway": { "replicas": 0 } })).await?;
    cluster.says(PATIENCE, "GatewayReady", "False", "NoGateway").await?;
    eventually(PATIENCE, async || {
        let left = cluster
            .owned()
            .await?
            .of(&["Pod", "Deployment", "Service", "NetworkPolicy"]);
        let left: Vec<&str> = left
            .names()
            .into_iter()
            .filter(|name| name.contains("shop-gateway"))
            .collect();
        ensure!(left.is_empty(), "left are {left:?}");
        Ok(())
    })
    .await?;
    cluster.ready().await
}
