//! The gateway behind a real ingress controller. Traefik understands its own annotations and those of ingress-nginx, and HTTPRoutes of the
//! Gateway API, so that all kinds that the operator writes are tried by one program, one after the other.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use synccluster_e2e::{Cluster, Forward, PATIENCE, START, answered, eventually, with_cluster_of};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const HOST: &str = "shop.example";
/// What it is reached by in its pod.
const WEB: u16 = 8000;
/// Sessions that are opened with the cookie, and as many without. That as many requests without one would all reach the right replica of
/// two is one chance in a billion.
const SESSIONS: usize = 10;
const ASKED_EACH: usize = 3;
/// How often a session is tried before it counts as one that does not stay: a connection ends now and then, and a replica whose probe is late is
/// away for a moment. Ten that stay by chance, each within these, are as improbable.
const TRIES: usize = 3;
/// Between two of them: until such a replica is back.
const PAUSE: Duration = Duration::from_secs(5);
/// An answer takes longer only if nobody is there.
const ANSWER: Duration = Duration::from_secs(30);

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
            .context("by the annotations of the Ingress, ingress-nginx's")?;
        by_a_route(cluster, &token).await.context("by the Gateway API")
    })
    .await
}

/// A Gateway of Traefik's, with the HTTPRoute that the operator makes for it.
async fn by_a_route(cluster: &Cluster, token: &str) -> Result<()> {
    let expose = json!({ "ingress": null, "gatewayApi": { "host": HOST, "parent": { "name": "people" } } });
    cluster.patch(&json!({ "gateway": { "expose": expose } })).await?;
    cluster
        .says(PATIENCE, "GatewayReady", "False", "RouteNotAccepted")
        .await?;
    let namespace = &cluster.namespace;
    let owner = namespace.itself().await?;
    let cluster_wide = |rest: Value| {
        let mut whole = json!({ "metadata": { "name": namespace.name, "ownerReferences": [owner] } });
        merge(&mut whole, rest);
        whole
    };
    // What only a whole cluster has: it goes with the namespace, which owns it.
    let rules = json!([
        read("", &["namespaces"]),
        read("gateway.networking.k8s.io", &["gatewayclasses"]),
        { "apiGroups": ["gateway.networking.k8s.io"], "resources": ["gatewayclasses/status"], "verbs": ["update"] },
    ]);
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace.name });
    let account = json!({ "kind": "ServiceAccount", "name": "routes", "namespace": namespace.name });
    let created: Api<ClusterRole> = Api::all(namespace.client.clone());
    let as_asked = PostParams::default();
    let role_of_it = serde_json::from_value(cluster_wide(json!({ "rules": rules })))?;
    answered(|| created.create(&as_asked, &role_of_it)).await?;
    let created: Api<ClusterRoleBinding> = Api::all(namespace.client.clone());
    let binding = cluster_wide(json!({ "roleRef": role, "subjects": [account] }));
    let binding = serde_json::from_value(binding)?;
    answered(|| created.create(&as_asked, &binding)).await?;
    let class = cluster_wide(json!({ "spec": { "controllerName": "traefik.io/gateway-controller" } }));
    create(cluster, "GatewayClass", class).await?;
    let listener = json!({ "name": "web", "protocol": "HTTP", "port": WEB });
    let spec = json!({ "gatewayClassName": namespace.name, "listeners": [listener] });
    create(
        cluster,
        "Gateway",
        json!({ "metadata": { "name": "people", "namespace": namespace.name }, "spec": spec }),
    )
    .await?;

    let arguments = [
        "--providers.kubernetesgateway".to_owned(),
        format!("--providers.kubernetesgateway.namespaces={}", namespace.name),
    ];
    let forward = controller(cluster, "routes", &arguments).await?;
    cluster.says(PATIENCE, "GatewayReady", "True", "Running").await?;
    eventually(PATIENCE, async || {
        let status = cluster.get().await?.status.and_then(|status| status.gateway);
        ensure!(
            status.as_ref().is_some_and(|status| status.address == HOST),
            "{status:?}"
        );
        Ok(())
    })
    .await?;
    // There is no cookie: whoever comes over this Traefik is at one replica.
    each_stays(&forward, token, &Keeps::Address).await
}

/// Creates an object of the Gateway API.
async fn create(cluster: &Cluster, kind: &str, mut object: Value) -> Result<()> {
    let of_kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
    merge(
        &mut object,
        json!({ "apiVersion": of_kind.api_version(), "kind": kind }),
    );
    let object: DynamicObject = serde_json::from_value(object)?;
    let (client, kind) = (cluster.namespace.client.clone(), ApiResource::from_gvk(&of_kind));
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    let as_asked = PostParams::default();
    let created = answered(|| api.create(&as_asked, &object)).await;
    created
        .map(drop)
        .context("are the Gateway API's definitions installed? See kind/ingress.sh")
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// By what a session is to stay at one replica.
enum Keeps {
    /// The cookie that the controller sets.
    Cookie,
    /// Nothing, though there is a cookie.
    Nothing,
    /// The address that the requests come from.
    Address,
}

/// A rule that lets somebody read these.
fn read(group: &str, resources: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"] })
}

/// A controller that looks at this namespace alone, and the way to it.
async fn controller(cluster: &Cluster, name: &str, arguments: &[String]) -> Result<Forward> {
    let metadata = json!({ "name": name });
    let rules = json!([
        read("", &["services", "endpoints", "secrets", "configmaps", "pods"]),
        read("discovery.k8s.io", &["endpointslices"]),
        read("networking.k8s.io", &["ingresses"]),
        { "apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"] },
        read("gateway.networking.k8s.io", &["gateways", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies"]),
        { "apiGroups": ["gateway.networking.k8s.io"], "resources": ["gateways/status", "httproutes/status"], "verbs": ["update"] },
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
    let service_account = serde_json::from_value(json!({ "metadata": metadata }))?;
    answered(|| created.create(&as_asked, &service_account)).await?;
    let created = namespace.api::<Role>();
    let rights = serde_json::from_value(json!({ "metadata": metadata, "rules": rules }))?;
    answered(|| created.create(&as_asked, &rights)).await?;
    let binding = json!({ "metadata": metadata, "roleRef": role, "subjects": [account] });
    let created = namespace.api::<RoleBinding>();
    let binding = serde_json::from_value(binding)?;
    answered(|| created.create(&as_asked, &binding)).await?;
    let (created, pod) = (namespace.api::<Pod>(), serde_json::from_value(pod)?);
    answered(|| created.create(&as_asked, &pod)).await?;
    let forward = Forward::to_pod(cluster, name, WEB).await?;
    eventually(START, async || {
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
            astray += usize::from(session(forward, token, &Keeps::Nothing).await.is_err());
        }
        ensure!(astray > 0, "requests without a cookie all reach one replica");
        Ok(())
    })
    .await?;
    each_stays(forward, token, &Keeps::Cookie).await
}

async fn each_stays(forward: &Forward, token: &str, keeps: &Keeps) -> Result<()> {
    for number in 0..SESSIONS {
        let mut tried = session(forward, token, keeps).await;
        for _ in 1..TRIES {
            if tried.is_ok() {
                break;
            }
            sleep(PAUSE).await;
            tried = session(forward, token, keeps).await;
        }
        tried.with_context(|| format!("session {number}"))?;
    }
    Ok(())
}

/// A Socket.IO client that polls: Engine.IO's handshake, then the namespace, then an echo of it now and then.
async fn session(forward: &Forward, token: &str, keeps: &Keeps) -> Result<()> {
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = ask(forward, "GET", path, None, "").await?;
    let is_set = opened.cookie.is_some();
    ensure!(
        is_set != matches!(keeps, Keeps::Address),
        "a cookie is set: {is_set}: {opened:?}"
    );
    let cookie = opened.cookie.clone().filter(|_| matches!(keeps, Keeps::Cookie));
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
    let answer = timeout(ANSWER, exchange(forward, method, path, cookie, body)).await;
    answer.with_context(|| format!("{method} {path}: no answer within {ANSWER:?}"))?
}

async fn exchange(forward: &Forward, method: &str, path: &str, cookie: Option<&str>, body: &str) -> Result<Answer> {
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
