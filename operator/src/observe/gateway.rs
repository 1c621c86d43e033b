//! What leads to the gateway from outside the cluster, where Kubernetes or somebody else decides it: a node port, or a Gateway's answer.

use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, DynamicObject};
use serde_json::Value;

use crate::apply::http_routes;
use crate::names;
use crate::validate::{Expose, ValidatedCluster};

/// What was seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// The port every node has.
    pub node_port: Option<i32>,
    /// What the Gateway says to the HTTPRoute.
    pub route: Route,
}

/// What a Gateway says to an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// There is none to ask about.
    #[default]
    None,
    /// It could not be read.
    Unseen(String),
    /// Nobody has looked at it: there is no such Gateway, or no implementation of the Gateway API looks after it.
    Unanswered,
    /// It does not take it.
    Refused(String),
    /// It takes it.
    Accepted,
}

/// Asks the API server.
pub async fn observe(client: &Client, cluster: &ValidatedCluster) -> Exposure {
    let name = names::gateway(&cluster.name);
    match cluster.gateway.as_ref().map(|gateway| &gateway.expose) {
        Some(Expose::NodePort(_)) => {
            let services: Api<Service> = Api::namespaced(client.clone(), &cluster.namespace);
            // Without an answer the port is not known, and the next look asks again.
            let service = services.get_opt(&name).await.ok().flatten();
            Exposure {
                node_port: service.and_then(|service| service.spec?.ports?.first()?.node_port),
                ..Exposure::default()
            }
        }
        Some(Expose::Route { served: true, .. }) => {
            let routes: Api<DynamicObject> = Api::namespaced_with(client.clone(), &cluster.namespace, &http_routes());
            let route = match routes.get_opt(&name).await {
                Ok(Some(found)) => answer(&found.data),
                Ok(None) => Route::Unanswered,
                Err(error) => Route::Unseen(error.to_string()),
            };
            Exposure {
                route,
                ..Exposure::default()
            }
        }
        _ => Exposure::default(),
    }
}

/// What an HTTPRoute's status says. It has one parent, which several controllers could speak for; one that takes it is enough.
fn answer(route: &Value) -> Route {
    let parents = route.pointer("/status/parents").and_then(Value::as_array);
    let conditions = |parent: &Value| parent["conditions"].as_array().cloned().unwrap_or_default();
    let said: Vec<Value> = parents.into_iter().flatten().flat_map(conditions).collect();
    let accepted = |status: &str| {
        let of = |condition: &&Value| condition["type"] == "Accepted" && condition["status"] == status;
        said.iter().find(of)
    };
    match (accepted("True"), accepted("False")) {
        (Some(_), _) => Route::Accepted,
        (None, Some(refused)) => {
            let text = |field: &str| refused[field].as_str().unwrap_or_default();
            Route::Refused(format!("{}: {}", text("reason"), text("message")))
        }
        (None, None) => Route::Unanswered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_is_what_its_gateway_says() {
        let said = |conditions: Value| answer(&json!({ "status": { "parents": [{ "conditions": conditions }] } }));
        let accepted = |status: &str| json!({ "type": "Accepted", "status": status, "reason": "NotAllowedByListeners", "message": "no listener takes it" });
        let resolved = json!({ "type": "ResolvedRefs", "status": "True" });
        assert_eq!(said(json!([resolved, accepted("True")])), Route::Accepted);
        assert_eq!(
            said(json!([accepted("False")])),
            Route::Refused("NotAllowedByListeners: no listener takes it".to_owned())
        );
        assert_eq!(said(json!([resolved])), Route::Unanswered);
        assert_eq!(answer(&json!({})), Route::Unanswered);
    }
}
