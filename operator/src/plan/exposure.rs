//! How people reach the gateway: the Service everybody goes through, and what leads to it from outside the cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Kind, Object, object};
use crate::api::{GatewayApi, Ingress};
use crate::names::{self, Component};
use crate::validate::{Expose, Gateway, ValidatedCluster};

/// Port of the Service.
const PORT: u16 = 80;
/// The cookie by which an ingress controller knows which pod somebody is at.
const COOKIE: &str = "synccluster-gateway";

/// ingress-nginx: a session of several requests (Socket.IO over polling) stays at one pod; a stream may be silent for an hour, and is not
/// held back to be sent in one piece. Others ignore these.
const NGINX: [(&str, &str); 7] = [
    ("nginx.ingress.kubernetes.io/affinity", "cookie"),
    ("nginx.ingress.kubernetes.io/affinity-mode", "persistent"),
    ("nginx.ingress.kubernetes.io/session-cookie-name", COOKIE),
    ("nginx.ingress.kubernetes.io/session-cookie-samesite", "Strict"),
    ("nginx.ingress.kubernetes.io/proxy-buffering", "off"),
    ("nginx.ingress.kubernetes.io/proxy-read-timeout", "3600"),
    ("nginx.ingress.kubernetes.io/proxy-send-timeout", "3600"),
];

/// Traefik reads the same from the Service. It has no limit on how long a stream is silent.
const TRAEFIK: [(&str, &str); 4] = [
    ("traefik.ingress.kubernetes.io/service.sticky.cookie", "true"),
    ("traefik.ingress.kubernetes.io/service.sticky.cookie.name", COOKIE),
    ("traefik.ingress.kubernetes.io/service.sticky.cookie.httponly", "true"),
    ("traefik.ingress.kubernetes.io/service.sticky.cookie.samesite", "strict"),
];

/// Behind an HTTPRoute Traefik has no cookies: it is to leave the choice of the pod to the Service, which keeps a client at one.
const TRAEFIK_ROUTE: [(&str, &str); 1] = [("traefik.io/service.nativelb", "true")];

/// The Service, and an Ingress or HTTPRoute where one is asked for.
pub fn exposure(cluster: &ValidatedCluster, wanted: &Gateway) -> Vec<Object> {
    let mut objects = vec![service(cluster, &wanted.expose)];
    match &wanted.expose {
        Expose::Ingress(asked) => objects.push(ingress(cluster, asked)),
        Expose::Route { route, served: true } => objects.push(http_route(cluster, route)),
        Expose::Inside | Expose::NodePort(_) | Expose::Route { served: false, .. } => {}
    }
    objects
}

fn whole(cluster: &ValidatedCluster, kind: Kind, annotations: BTreeMap<&str, &str>, spec: Value) -> Object {
    let name = names::gateway(&cluster.name);
    let rest = json!({ "spec": spec });
    let mut whole = object(cluster, kind, name, None, Some(Component::Gateway), rest);
    if !annotations.is_empty() {
        whole.body["metadata"]["annotations"] = json!(annotations);
    }
    whole
}

fn service(cluster: &ValidatedCluster, expose: &Expose) -> Object {
    let mut port = json!({ "name": "web", "port": PORT, "targetPort": "web", "protocol": "TCP" });
    let kind = match expose {
        Expose::NodePort(asked) => {
            if let Some(asked) = asked {
                port["nodePort"] = (*asked).into();
            }
            "NodePort"
        }
        _ => "ClusterIP",
    };
    let spec = json!({
        "type": kind,
        // Requests of one session reach one pod.
        "sessionAffinity": "ClientIP",
        "selector": names::selector(&cluster.name, None, Component::Gateway),
        "ports": [port],
    });
    let annotations = match expose {
        Expose::Ingress(_) => BTreeMap::from(TRAEFIK),
        Expose::Route { .. } => BTreeMap::from(TRAEFIK_ROUTE),
        _ => BTreeMap::new(),
    };
    whole(cluster, Kind::Service, annotations, spec)
}

fn ingress(cluster: &ValidatedCluster, asked: &Ingress) -> Object {
    let backend = json!({ "service": { "name": names::gateway(&cluster.name), "port": { "name": "web" } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    let mut spec = json!({ "rules": [{ "host": asked.host, "http": { "paths": [path] } }] });
    if let Some(class) = &asked.class_name {
        spec["ingressClassName"] = class.as_str().into();
    }
    if let Some(secret) = &asked.tls_secret {
        spec["tls"] = json!([{ "hosts": [asked.host], "secretName": secret }]);
    }
    let mut annotations = BTreeMap::from(NGINX);
    annotations.extend(
        asked
            .annotations
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    whole(cluster, Kind::Ingress, annotations, spec)
}

/// Every field written out that the API server would otherwise fill in. How long a stream may be silent and how a session stays at one pod
/// are the implementation's to say: the fields for it are not in every version of the API.
fn http_route(cluster: &ValidatedCluster, asked: &GatewayApi) -> Object {
    let parent = &asked.parent;
    let mut reference = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": parent.name });
    if let Some(namespace) = &parent.namespace {
        reference["namespace"] = namespace.as_str().into();
    }
    if let Some(listener) = &parent.section_name {
        reference["sectionName"] = listener.as_str().into();
    }
    let backend =
        json!({ "group": "", "kind": "Service", "name": names::gateway(&cluster.name), "port": PORT, "weight": 1 });
    let matches = json!([{ "path": { "type": "PathPrefix", "value": "/" } }]);
    let mut spec = json!({ "parentRefs": [reference], "rules": [{ "matches": matches, "backendRefs": [backend] }] });
    if let Some(host) = &asked.host {
        spec["hostnames"] = json!([host]);
    }
    whole(cluster, Kind::HttpRoute, BTreeMap::new(), spec)
}
