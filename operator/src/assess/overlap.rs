//! NetworkPolicies of others that open what a cut closes. Policies only ever add up, so one that allows an edge voids its absence.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::edge::Edge;
use crate::observe::{Observed, PodFact};
use crate::validate::ValidatedCluster;

/// Policies of others at both ends of an edge.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ways {
    out: Vec<String>,
    into: Vec<String>,
}

impl Ways {
    /// Whether both ends are open: then the cut is void.
    pub fn both(&self) -> bool {
        !self.out.is_empty() && !self.into.is_empty()
    }

    /// Whether one end is.
    pub fn any(&self) -> bool {
        !self.out.is_empty() || !self.into.is_empty()
    }

    /// Whose they are.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.out.iter().chain(&self.into).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Who lets a workload out, and who lets it in at the other end.
pub fn find(cluster: &ValidatedCluster, observed: &Observed, edge: Edge) -> Ways {
    let mut live = observed.pods.iter().filter(|pod| !pod.terminating);
    let from = live.clone().find(|pod| edge.is_from(cluster, pod));
    let (Some(from), Some(to)) = (from, live.find(|pod| edge.is_to(cluster, pod))) else {
        return Ways::default();
    };
    let namespace = &cluster.namespace;
    let mut ways = Ways::default();
    for policy in &cluster.foreign_policies {
        let Some(spec) = &policy.spec else { continue };
        if selected(spec, from) && lets_out(spec, to, namespace, edge) {
            ways.out.push(policy.name_any());
        }
        if selected(spec, to) && lets_in(spec, from, namespace, edge) {
            ways.into.push(policy.name_any());
        }
    }
    ways
}

fn selected(spec: &NetworkPolicySpec, pod: &PodFact) -> bool {
    spec.pod_selector
        .as_ref()
        .is_none_or(|selector| matches(selector, &pod.labels))
}

fn lets_out(spec: &NetworkPolicySpec, to: &PodFact, namespace: &str, edge: Edge) -> bool {
    // Without policyTypes a policy concerns egress only if it has an egress section: which it needs in order to allow anything.
    let rules = spec.egress.iter().flatten();
    let concerned = spec
        .policy_types
        .as_ref()
        .is_none_or(|types| types.iter().any(|t| t == "Egress"));
    concerned
        && rules
            .into_iter()
            .any(|rule| port(rule.ports.as_deref(), edge) && peer(rule.to.as_deref(), to, namespace))
}

fn lets_in(spec: &NetworkPolicySpec, from: &PodFact, namespace: &str, edge: Edge) -> bool {
    let rules = spec.ingress.iter().flatten();
    let concerned = spec
        .policy_types
        .as_ref()
        .is_none_or(|types| types.iter().any(|t| t == "Ingress"));
    concerned
        && rules
            .into_iter()
            .any(|rule| port(rule.ports.as_deref(), edge) && peer(rule.from.as_deref(), from, namespace))
}

/// Whether the edge's port is among them; none listed is every port.
fn port(ports: Option<&[NetworkPolicyPort]>, edge: Edge) -> bool {
    let Some(ports @ [_, ..]) = ports else { return true };
    let (number, called) = edge.port();
    let number = i32::from(number);
    ports
        .iter()
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .any(|port| match (&port.port, port.end_port) {
            (None, _) => true,
            (Some(IntOrString::Int(first)), last) => (*first..=last.unwrap_or(*first)).contains(&number),
            (Some(IntOrString::String(name)), _) => name == called,
        })
}

/// Whether the pod is among them; none listed is everybody.
fn peer(peers: Option<&[NetworkPolicyPeer]>, pod: &PodFact, namespace: &str) -> bool {
    let Some(peers @ [_, ..]) = peers else { return true };
    // Of the namespace only the name is known. A selector on another label may match.
    let home = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    let known = |selector: &LabelSelector| {
        selector
            .match_labels
            .iter()
            .flatten()
            .all(|(key, _)| home.contains_key(key))
    };
    peers.iter().any(|peer| match &peer.ip_block {
        Some(block) => pod.ip.as_deref().is_some_and(|ip| in_block(block, ip)),
        None => {
            peer.pod_selector
                .as_ref()
                .is_none_or(|selector| matches(selector, &pod.labels))
                && peer
                    .namespace_selector
                    .as_ref()
                    .is_none_or(|selector| !known(selector) || matches(selector, &home))
        }
    })
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|v| v == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

fn in_block(block: &IPBlock, ip: &str) -> bool {
    let Ok(ip) = ip.parse::<IpAddr>() else { return false };
    in_cidr(&block.cidr, ip) && !block.except.iter().flatten().any(|except| in_cidr(except, ip))
}

fn in_cidr(cidr: &str, ip: IpAddr) -> bool {
    let Some((net, length)) = cidr.split_once('/') else {
        return false;
    };
    let (Ok(net), Ok(length)) = (net.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let prefix = |bits: u128, width: u32| bits.checked_shr(width.saturating_sub(length)).unwrap_or(0);
    match (net, ip) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            prefix(u128::from(net.to_bits()), 32) == prefix(u128::from(ip.to_bits()), 32)
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => prefix(net.to_bits(), 128) == prefix(ip.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
