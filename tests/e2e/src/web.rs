//! The gateway and the seeder: over HTTP as somebody with a token, and over the network of the cluster as some pod.

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use synccluster_operator::names::{self, Component};
use synccluster_protocol::Site;

use crate::forward::WEB;
use crate::http::Question;
use crate::{Cluster, PATIENCE, answered, eventually};

/// What is said where Kubernetes does not answer for a moment.
const PASSING: [StatusCode; 3] = [
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// Somebody at the gateway or at the seeder.
pub struct Web<'a> {
    cluster: &'a Cluster,
    component: Component,
    token: Option<String>,
}

/// A pod that belongs to no SyncCluster.
pub struct Visitor<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Cluster {
    /// Somebody at the gateway who shows a token of its Secret: `token` or `viewer-token`; or who shows none.
    pub async fn web(&self, key: Option<&str>) -> Result<Web<'_>> {
        self.web_of(Component::Gateway, &names::gateway(&self.name), key).await
    }

    /// The same at the seeder.
    pub async fn seeder(&self, key: Option<&str>) -> Result<Web<'_>> {
        self.web_of(Component::Seeder, &names::seeder(&self.name), key).await
    }

    async fn web_of(&self, component: Component, secret: &str, key: Option<&str>) -> Result<Web<'_>> {
        let token = match key {
            None => None,
            // Ready speaks of the sites: who serves people may come later.
            Some(key) => Some(eventually(PATIENCE, async || self.key_of(secret, key).await).await?),
        };
        Ok(Web {
            cluster: self,
            component,
            token,
        })
    }

    /// What a key of a Secret says.
    pub(crate) async fn key_of(&self, secret: &str, key: &str) -> Result<String> {
        let secrets = self.namespace.api::<Secret>();
        let found = answered(|| secrets.get(secret)).await?;
        let data = found.data.unwrap_or_default();
        let value = &data.get(key).with_context(|| format!("no {key} in Secret {secret}"))?.0;
        Ok(String::from_utf8(value.clone())?)
    }

    /// A pod with these labels that can run commands: of the workloads' image, which has bash.
    pub async fn visitor(&self, name: &str, labels: &Value) -> Result<Visitor<'_>> {
        let sink = names::of_site(&self.name, Site::Server, Component::Sink.as_str());
        let deployments = self.namespace.api::<Deployment>();
        let sink = answered(|| deployments.get(&sink)).await?;
        let template = sink.spec.context("a Deployment without a spec")?.template.spec;
        let containers = template.context("a template without a spec")?.containers;
        let image = containers.first().and_then(|container| container.image.clone());
        let container = json!({
            "name": "visitor",
            "image": image,
            "command": ["sleep", "infinity"],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [container],
            },
        });
        self.namespace.put::<Pod>(name, &pod).await?;
        let pods = self.namespace.api::<Pod>();
        eventually(PATIENCE, async || {
            let phase = pods.get(name).await?.status.and_then(|status| status.phase);
            ensure!(phase.as_deref() == Some("Running"), "pod {name} is {phase:?}");
            Ok(())
        })
        .await?;
        Ok(Visitor {
            cluster: self,
            name: name.to_owned(),
        })
    }
}

impl Web<'_> {
    /// Status and body of an answer; a body that is no JSON is text. Where asking twice does no harm, whoever does not answer is asked again.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        self.send_with(method, path, body, None).await
    }

    /// The same with a further header.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<(StatusCode, Value)> {
        // A POST does something each time, and what depends on a header may be another thing the second time.
        if method == Method::POST || header.is_some() {
            return self.once(&method, path, body, header).await;
        }
        eventually(PATIENCE, async || {
            let (status, body) = self.once(&method, path, body, None).await?;
            let is_answer = !PASSING.contains(&status);
            ensure!(is_answer, "{method} {path}: {status}: {body}");
            Ok((status, body))
        })
        .await
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<(StatusCode, Value)> {
        // While one is replaced there are two, or none.
        let pod = eventually(PATIENCE, async || self.cluster.pod(self.component, None).await).await?;
        let question = Question {
            method: method.clone(),
            path,
            token: self.token.as_deref(),
            body,
        };
        self.cluster.ask_with(&pod.name_any(), WEB, question, header).await
    }

    /// The token that is shown, if one is.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What is to be seen there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.send(Method::GET, path, None).await?;
        ensure!(status == StatusCode::OK, "GET {path}: {status}: {body}");
        Ok(body)
    }
}

impl Visitor<'_> {
    /// Its pod.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `host:port` answers to a request of its own, if it is JSON; with a body it is a POST.
    pub async fn asks(&self, address: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (method, body) = match body {
            Some(body) => ("POST", body.to_string()),
            None => ("GET", String::new()),
        };
        let headers = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
        self.exchange(address, &format!("{method} {path}"), &headers, &body)
            .await
    }

    /// The same to a GET with a header of its choice.
    pub async fn asks_with(&self, address: &str, path: &str, (name, value): (&str, &str)) -> Result<Value> {
        self.exchange(address, &format!("GET {path}"), &format!("{name}: {value}"), "")
            .await
    }

    async fn exchange(&self, address: &str, what: &str, headers: &str, body: &str) -> Result<Value> {
        let (host, port) = address
            .rsplit_once(':')
            .with_context(|| format!("{address} has no port"))?;
        let request = format!("{what} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n\r\n{body}");
        let dial = r#"exec 3<>"/dev/tcp/$0/$1" && printf %s "$2" >&3 && cat <&3"#;
        let command = ["timeout", "20", "bash", "-c", dial, host, port, &request];
        let said = self.cluster.exec(&self.name, "visitor", &command).await?;
        let body = said.split_once("\r\n\r\n").map(|(_, body)| body);
        serde_json::from_str(body.unwrap_or_default()).with_context(|| format!("{what} at {address}: {said}"))
    }

    /// Whether a connection of its own to this port gets through.
    pub async fn reaches(&self, host: &str, port: u16) -> Result<bool> {
        let dial = format!(
            "if timeout 3 bash -c ': <>/dev/tcp/{host}/{port}' 2>/dev/null; then echo open; else echo closed; fi"
        );
        // It never fails, so that an error is of the way to the pod.
        let said = eventually(PATIENCE, async || {
            self.cluster.exec(&self.name, "visitor", &["bash", "-c", &dial]).await
        })
        .await?;
        Ok(said.trim() == "open")
    }
}
