//! The gateway behind a real ingress controller. Traefik understands its own annotations and those of ingress-nginx, so that both kinds that
//! the operator writes are tried by one program, one after the other.

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, Forward, PATIENCE, eventually, with_cluster_of};
use tokio::net::TcpStream;

const HOST: &str = "shop.example";
/// What it is reached by in its pod.
const WEB: u16 = 8000;
/// Sessions that are opened with the cookie, and as many without. That as many requests without one would all reach the right replica of
/// two is one chance in a billion.
const SESSIONS: usize = 10;
const ASKED_EACH: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_ingress_a_session_stays_at_one_of_the_replicas() -> Result<()> {
    let spec = json!({ "gateway": { "replicas": 2, "expose": { "ingress": { "host": HOST } } } });
    with_cluster_of("ingress", 1, &spec, async |cluster| {
        let token = cluster.web(Some("viewer-token")).await?;
        let token = token.token().context("no token")?.to_owned();
        let of_namespace = |argument: &str| format!("--{argument}={}", cluster.namespace.name);
        let arguments = [
            "--providers.kubernetesingress".to_owned(),
            "--providers.kubernetesingress.disableclusterscoperesources".to_owned(),
            of_namespace("providers.kubernetesingress.namespaces"),
        ];
        let forward = controller(cluster, "traefik", &arguments).await?;
        sessions_stay(&forward, &token)
            .await
            .context("by the annotations of the Service, Traefik's")?;
        let arguments = [
            "--experimental.kubernetesingressnginx".to_owned(),
            "--providers.kubernetesingressnginx".to_owned(),
            "--providers.kubernetesingressnginx.watchingresswithoutclass".to_owned(),
            of_namespace("providers.kubernetesingressnginx.watchnamespace"),
        ];
        let forward = controller(cluster, "like-nginx", &arguments).await?;
        sessions_stay(&forward, &token)
            .await
            .context("by the annotations of the Ingress, ingress-nginx's")
    })
    .await
}

/// A controller that looks at this namespace alone, and the way to it.
async fn controller(cluster: &Cluster, name: &str, arguments: &[String]) -> Result<Forward> {
    let metadata = json!({ "name": name });
    let read = |groups: &str, resources: &[&str]| json!({ "apiGroups": [groups], "resources": resources, "verbs": ["get", "list", "watch"] });
    let rules = json!([
        read("", &["services", "endpoints", "secrets", "configmaps", "pods"]),
        read("discovery.k8s.io", &["endpointslices"]),
        read("networking.k8s.io", &["ingresses"]),
        { "apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"] },
    ]);
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name });
    let account = json!({ "kind": "ServiceAccount", "name": name, "namespace": cluster.namespace.name });
    let mut all = vec![
        // What it would tell the world of itself has no way out, and is not to be waited for.
        "--global.checknewversion=false".to_owned(),
        "--global.sendanonymoususage=false".to_owned(),
        format!("--entrypoints.web.address=:{WEB}"),
        "--log.level=INFO".to_owned(),
    ];
    all.extend_from_slice(arguments);
    let container = json!({
        "name": "traefik",
        "image": image()?,
        "args": all,
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
    });
    let pod = json!({
        "metadata": metadata,
        "spec": {
            "serviceAccountName": name,
            "terminationGracePeriodSeconds": 0,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [container],
        },
    });
    let (namespace, as_asked) = (&cluster.namespace, PostParams::default());
    let created = namespace.api::<ServiceAccount>();
    created
        .create(&as_asked, &serde_json::from_value(json!({ "metadata": metadata }))?)
        .await?;
    let created = namespace.api::<Role>();
    created
        .create(
            &as_asked,
            &serde_json::from_value(json!({ "metadata": metadata, "rules": rules }))?,
        )
        .await?;
    let binding = json!({ "metadata": metadata, "roleRef": role, "subjects": [account] });
    let created = namespace.api::<RoleBinding>();
    created.create(&as_asked, &serde_json::from_value(binding)?).await?;
    let created = namespace.api::<Pod>();
    created.create(&as_asked, &serde_json::from_value(pod)?).await?;
    let forward = Forward::to_pod(cluster, name, WEB).await?;
    eventually(PATIENCE, async || {
        let answer = ask(&forward, "GET", "/", None, "").await?;
        ensure!(
            answer.status == StatusCode::OK && answer.body.contains("<html"),
            "{name} does not show the page: {answer:?}"
        );
        Ok(())
    })
    .await?;
    Ok(forward)
}

/// What `kind/ingress.sh` has put into the nodes.
fn image() -> Result<String> {
    let versions = include_str!("../../../kind/versions.env");
    let version = versions.lines().find_map(|line| line.strip_prefix("TRAEFIK_VERSION="));
    Ok(format!("traefik:{}", version.context("no version of Traefik")?))
}

async fn sessions_stay(forward: &Forward, token: &str) -> Result<()> {
    // Its routes know both replicas once requests without a cookie have gone astray: else nothing would be shown by those that do not.
    eventually(PATIENCE, async || {
        let mut astray = 0;
        for _ in 0..SESSIONS {
            astray += usize::from(session(forward, token, false).await.is_err());
        }
        ensure!(astray > 0, "requests without a cookie all reach one replica");
        Ok(())
    })
    .await?;
    for number in 0..SESSIONS {
        session(forward, token, true)
            .await
            .with_context(|| format!("session {number}"))?;
    }
    Ok(())
}

/// A Socket.IO client that polls: Engine.IO's handshake, then the namespace, then an echo of it now and then.
async fn session(forward: &Forward, token: &str, with_cookie: bool) -> Result<()> {
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = ask(forward, "GET", path, None, "").await?;
    let cookie = opened.cookie.clone();
    ensure!(cookie.is_some(), "the controller sets no cookie: {opened:?}");
    let cookie = cookie.filter(|_| with_cookie);
    let handshake: Value = serde_json::from_str(opened.body.strip_prefix('0').context("no handshake")?)?;
    let path = format!("{path}&sid={}", handshake["sid"].as_str().context("no session")?);
    let turn = async |sent: &str, awaited: &str| {
        let posted = ask(forward, "POST", &path, cookie.as_deref(), sent).await?;
        ensure!(posted.status == StatusCode::OK, "POST {sent}: {posted:?}");
        let polled = ask(forward, "GET", &path, cookie.as_deref(), "").await?;
        ensure!(polled.body.contains(awaited), "{polled:?} instead of {awaited}");
        Ok(())
    };
    turn(&format!("40/sites,{}", json!({ "token": token })), "40/sites,").await?;
    for number in 0..ASKED_EACH {
        turn(
            &format!("42/sites,{number}[\"unsubscribe\"]"),
            &format!("43/sites,{number}["),
        )
        .await?;
    }
    Ok(())
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    cookie: Option<String>,
    body: String,
}

async fn ask(forward: &Forward, method: &str, path: &str, cookie: Option<&str>, body: &str) -> Result<Answer> {
    let stream = TcpStream::connect(forward.address()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "text/plain;charset=UTF-8")
        .header(header::CONNECTION, "close");
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let request = request.body(Full::<Bytes>::from(body.to_owned()))?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let set = answer.headers().get(header::SET_COOKIE);
        let set = set.map(|set| set.to_str().map(|set| set.split(';').next().unwrap_or(set).to_owned()));
        Ok::<_, anyhow::Error>(Answer {
            status: answer.status(),
            cookie: set.transpose()?,
            body: String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned(),
        })
    };
    tokio::select! {
        biased;
        answer = answered => answer,
        Err(broken) = connection => Err(broken.into()),
    }
}
