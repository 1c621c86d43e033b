//! GatewayReady, and where the gateway is. Apart from Ready: sites keep each other the same whether people can look or not.

use super::Verdict;
use crate::api::GatewayStatus;
use crate::apply::Refused;
use crate::names::{self, Component};
use crate::observe::{Observed, PodFact, Route};
use crate::validate::{Expose, Gateway, ValidatedCluster};

/// The pods of the gateway that are not going away.
fn pods(observed: &Observed) -> impl Iterator<Item = &PodFact> {
    let all = observed.pods.iter();
    all.filter(|pod| pod.component == Component::Gateway && !pod.terminating)
}

/// Whether an object that was refused is the gateway's.
pub fn concerns(cluster: &ValidatedCluster, refused: &Refused) -> bool {
    refused.name == names::gateway(&cluster.name)
}

/// Whether people can open it.
pub fn ready(cluster: &ValidatedCluster, observed: &Observed) -> Verdict {
    let Some(wanted) = &cluster.gateway else {
        return Verdict::no("NoGateway", "spec.gateway.replicas is 0");
    };
    let name = names::gateway(&cluster.name);
    if let Some(refused) = observed
        .outcome
        .refused
        .iter()
        .find(|refused| concerns(cluster, refused))
    {
        let message = format!("{} {} was refused: {}", refused.kind, refused.name, refused.message);
        return Verdict::no("ObjectRefused", message);
    }
    if let Expose::Route { served: false, .. } = wanted.expose {
        let message = format!(
            "the cluster has no HTTPRoute of gateway.networking.k8s.io/v1: install the Gateway API and an implementation of it, or use \
             spec.gateway.expose.ingress or nodePort; the gateway is at {} only",
            inside(cluster)
        );
        return Verdict::no("GatewayApiNotServed", message);
    }
    let current = pods(observed).filter(|pod| pod.ready && pod.current).count();
    if current < usize::from(wanted.replicas) {
        if let Some(problem) = pods(observed).find_map(|pod| pod.problem.as_ref()) {
            return Verdict::no(problem.reason, problem.message.clone());
        }
        let message = format!("waiting for {name}: {current} of {} pods ready", wanted.replicas);
        return Verdict::no("Starting", message);
    }
    if let Expose::Route { route, .. } = &wanted.expose
        && let Some(obstacle) = obstacle(&name, &route.parent.name, &observed.exposure.route)
    {
        return obstacle;
    }
    let address = address(cluster, wanted, observed);
    Verdict::yes(
        "Running",
        format!("{current} of {} pods ready, at {address}", wanted.replicas),
    )
}

/// Why the Gateway does not lead to it.
fn obstacle(name: &str, parent: &str, route: &Route) -> Option<Verdict> {
    match route {
        Route::Accepted => None,
        Route::Refused(why) => {
            let message = format!("Gateway {parent} does not take HTTPRoute {name}: {why}");
            Some(Verdict::no("RouteNotAccepted", message))
        }
        Route::None | Route::Unanswered => {
            let message = format!(
                "nobody has answered HTTPRoute {name}: see that Gateway {parent} exists, and that the implementation of its class runs"
            );
            Some(Verdict::no("RouteNotAccepted", message))
        }
        Route::Unseen(why) => {
            let message = format!("HTTPRoute {name} cannot be read: {why}");
            Some(Verdict::unknown("CannotSee", message))
        }
    }
}

/// Where it is; absent if there is none.
pub fn status(cluster: &ValidatedCluster, observed: &Observed) -> Option<GatewayStatus> {
    let wanted = cluster.gateway.as_ref()?;
    let ready = pods(observed).filter(|pod| pod.ready).count();
    Some(GatewayStatus {
        address: address(cluster, wanted, observed),
        ready_replicas: i32::try_from(ready).unwrap_or(i32::MAX),
        secret: names::gateway(&cluster.name),
    })
}

fn address(cluster: &ValidatedCluster, wanted: &Gateway, observed: &Observed) -> String {
    let outside = match &wanted.expose {
        Expose::Inside | Expose::Route { served: false, .. } => None,
        Expose::NodePort(_) => at_a_node(observed),
        Expose::Ingress(ingress) => {
            let scheme = if ingress.tls_secret.is_some() { "https" } else { "http" };
            Some(format!("{scheme}://{}", ingress.host))
        }
        Expose::Route { route, .. } => route.host.clone(),
    };
    outside.unwrap_or_else(|| inside(cluster))
}

/// The port is open at every node; of those that have a pod the first, so that it stays the same from look to look.
fn at_a_node(observed: &Observed) -> Option<String> {
    let port = observed.exposure.node_port?;
    let node = pods(observed).filter_map(|pod| pod.node_ip.as_deref()).min()?;
    Some(if node.contains(':') {
        format!("http://[{node}]:{port}")
    } else {
        format!("http://{node}:{port}")
    })
}

fn inside(cluster: &ValidatedCluster) -> String {
    format!("http://{}.{}.svc", names::gateway(&cluster.name), cluster.namespace)
}
