//! Routes to the pods of the other nodes, each by the address of its node.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Deserialize;
use thiserror::Error;

use crate::{
    command::{CommandError, run},
    intervals::Cidr,
    model::{Key, Node},
};

/// The number under which the kernel keeps our routes apart from those of others; nobody has it in iproute2's `rt_protos`.
const PROTOCOL: &str = "213";

/// `to` is reached by `via`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub to: Cidr,
    pub via: Ipv4Addr,
}

/// What has to be done to a node's routes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub replace: Vec<Route>,
    pub remove: Vec<Cidr>,
}

#[derive(Debug, Error)]
pub enum RouteError {
    #[error("cannot route pods: {0}")]
    Command(#[from] CommandError),
    #[error("cannot read what `ip -j route` prints: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// One entry of `ip -j route`.
#[derive(Deserialize)]
struct Listed {
    dst: String,
    gateway: Option<Ipv4Addr>,
}

/// From the routes that are there to the ones that should be.
pub fn plan(own: &str, nodes: &BTreeMap<Key, Node>, present: &[Route]) -> Changes {
    let others = nodes.iter().filter(|(key, _)| key.name != own).map(|(_, node)| node);
    let wanted: Vec<Route> = others
        .filter_map(|node| {
            Some(Route {
                to: node.pod_cidr?,
                via: node.internal_ip?,
            })
        })
        .collect();
    let stale = present
        .iter()
        .map(|route| route.to)
        .filter(|to| wanted.iter().all(|route| route.to != *to));
    let remove = stale.collect();
    Changes {
        replace: wanted.into_iter().filter(|route| !present.contains(route)).collect(),
        remove,
    }
}

/// Make the node's routes what `nodes` asks for; what was changed. One that fails does not keep the others from being made.
pub async fn sync(own: &str, nodes: &BTreeMap<Key, Node>) -> Result<Changes, RouteError> {
    let changes = plan(own, nodes, &present().await?);
    let mut outcome = Ok(());
    for to in &changes.remove {
        outcome = outcome.and(
            run("ip", &["-4", "route", "del", &to.to_string(), "proto", PROTOCOL], "")
                .await
                .map(drop),
        );
    }
    for Route { to, via } in &changes.replace {
        outcome = outcome.and(
            run(
                "ip",
                &[
                    "-4",
                    "route",
                    "replace",
                    &to.to_string(),
                    "via",
                    &via.to_string(),
                    "proto",
                    PROTOCOL,
                ],
                "",
            )
            .await
            .map(drop),
        );
    }
    outcome?;
    Ok(changes)
}

async fn present() -> Result<Vec<Route>, RouteError> {
    let printed = run("ip", &["-4", "-j", "route", "show", "proto", PROTOCOL], "").await?;
    if printed.trim().is_empty() {
        return Ok(Vec::new());
    }
    let listed: Vec<Listed> = serde_json::from_str(&printed)?;
    Ok(listed
        .into_iter()
        .filter_map(|route| {
            Some(Route {
                to: route.dst.parse().ok()?,
                via: route.gateway?,
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ip: &str, cidr: Option<&str>) -> (Key, Node) {
        let key = Key {
            namespace: String::new(),
            name: name.into(),
        };
        (
            key,
            Node {
                internal_ip: ip.parse().ok(),
                pod_cidr: cidr.map(|cidr| cidr.parse().unwrap()),
            },
        )
    }

    fn route(to: &str, via: &str) -> Route {
        Route {
            to: to.parse().unwrap(),
            via: via.parse().unwrap(),
        }
    }

    #[test]
    fn the_pods_of_every_other_node_get_a_route() {
        let nodes = [
            node("a", "172.18.0.2", Some("10.244.0.0/24")),
            node("b", "172.18.0.3", Some("10.244.1.0/24")),
            node("c", "172.18.0.4", None),
        ]
        .into();
        assert_eq!(
            plan("a", &nodes, &[]),
            Changes {
                replace: vec![route("10.244.1.0/24", "172.18.0.3")],
                remove: vec![]
            }
        );
    }

    #[test]
    fn what_is_right_stays_what_moved_is_replaced_what_is_gone_is_removed() {
        let nodes = [
            node("a", "172.18.0.2", Some("10.244.0.0/24")),
            node("b", "172.18.0.9", Some("10.244.1.0/24")),
            node("c", "172.18.0.4", Some("10.244.2.0/24")),
        ]
        .into();
        let present = [
            route("10.244.1.0/24", "172.18.0.3"),
            route("10.244.2.0/24", "172.18.0.4"),
            route("10.244.7.0/24", "172.18.0.8"),
        ];
        let changes = plan("a", &nodes, &present);
        assert_eq!(
            changes,
            Changes {
                replace: vec![route("10.244.1.0/24", "172.18.0.9")],
                remove: vec!["10.244.7.0/24".parse().unwrap()]
            }
        );
    }
}
