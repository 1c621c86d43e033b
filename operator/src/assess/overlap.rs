//! NetworkPolicies of others that open what a cut closes. Policies only ever add up, so one that allows an edge voids its absence.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::edge::Edge;
use crate::observe::{Observed, PodFact};
use crate::validate::{ValidatedCluster, kafka::External};

/// Policies of others at both ends of an edge.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ways {
    out: Vec<String>,
    into: Vec<String>,
    /// The other end is no pod of this cluster: nothing of ours closes it.
    one_end: bool,
}

impl Ways {
    /// Whether both ends are open: then the cut is void.
    pub fn both(&self) -> bool {
        !self.out.is_empty() && (self.one_end || !self.into.is_empty())
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
    let live = observed.pods.iter().filter(|pod| !pod.terminating);
    let from = live.clone().find(|pod| edge.is_from(cluster, pod));
    if let (Some(from), Some(external)) = (from, cluster.kafka.external.as_ref().filter(|_| edge.is_to_kafka())) {
        return to_outside(cluster, from, external);
    }
    let Some(from) = from else {
        return Ways::default();
    };
    // A way to one broker is a way to Kafka.
    live.filter(|pod| edge.is_to(cluster, pod))
        .map(|to| between(cluster, edge, from, to))
        .max_by_key(|ways| (ways.both(), ways.any()))
        .unwrap_or_default()
}

/// Who lets this pod out to that one, and who lets it in there.
fn between(cluster: &ValidatedCluster, edge: Edge, from: &PodFact, to: &PodFact) -> Ways {
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

/// Who lets a workload out to a Kafka that is somebody else's.
fn to_outside(cluster: &ValidatedCluster, from: &PodFact, external: &External) -> Ways {
    let ports: Vec<(u16, &str)> = external.ports.iter().map(|port| (*port, "")).collect();
    let lets_out = |spec: &NetworkPolicySpec| {
        let mut rules = spec.egress.iter().flatten();
        concerns(spec, "Egress")
            && rules.any(|rule| port(rule.ports.as_deref(), &ports) && may_be(rule.to.as_deref(), external))
    };
    let opens = |policy: &&NetworkPolicy| {
        let spec = policy.spec.as_ref();
        spec.is_some_and(|spec| selected(spec, from) && lets_out(spec))
    };
    let out = cluster.foreign_policies.iter().filter(opens);
    Ways {
        out: out.map(ResourceExt::name_any).collect(),
        into: Vec::new(),
        one_end: true,
    }
}

/// Whether the brokers may be among them: their addresses are known only where they are written as such, their labels never.
fn may_be(peers: Option<&[NetworkPolicyPeer]>, external: &External) -> bool {
    let Some(peers @ [_, ..]) = peers else { return true };
    let hosts = external
        .bootstrap_servers
        .split(',')
        .filter_map(|server| server.rsplit_once(':'));
    let hosts: Vec<&str> = hosts.map(|(host, _)| host.trim_matches(['[', ']'])).collect();
    let in_it = |block: &IPBlock| {
        hosts
            .iter()
            .any(|host| host.parse::<IpAddr>().is_err() || in_block(block, host))
    };
    peers.iter().any(|peer| peer.ip_block.as_ref().is_none_or(in_it))
}

/// Without policyTypes a policy concerns egress only if it has an egress section: which it needs in order to allow anything.
fn concerns(spec: &NetworkPolicySpec, way: &str) -> bool {
    let types = spec.policy_types.as_ref();
    types.is_none_or(|types| types.iter().any(|t| t == way))
}

fn selected(spec: &NetworkPolicySpec, pod: &PodFact) -> bool {
    spec.pod_selector
        .as_ref()
        .is_none_or(|selector| matches(selector, &pod.labels))
}

fn lets_out(spec: &NetworkPolicySpec, to: &PodFact, namespace: &str, edge: Edge) -> bool {
    let mut rules = spec.egress.iter().flatten();
    concerns(spec, "Egress")
        && rules.any(|rule| port(rule.ports.as_deref(), &[edge.port()]) && peer(rule.to.as_deref(), to, namespace))
}

fn lets_in(spec: &NetworkPolicySpec, from: &PodFact, namespace: &str, edge: Edge) -> bool {
    let mut rules = spec.ingress.iter().flatten();
    concerns(spec, "Ingress")
        && rules.any(|rule| port(rule.ports.as_deref(), &[edge.port()]) && peer(rule.from.as_deref(), from, namespace))
}

/// Whether one of these ports, by number or name, is among them; none listed is every port.
fn port(ports: Option<&[NetworkPolicyPort]>, dialled: &[(u16, &str)]) -> bool {
    let Some(ports @ [_, ..]) = ports else { return true };
    let has = |wanted: &dyn Fn(i32, &str) -> bool| {
        dialled
            .iter()
            .any(|(number, called)| wanted(i32::from(*number), called))
    };
    ports
        .iter()
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .any(|port| match (&port.port, port.end_port) {
            (None, _) => true,
            (Some(IntOrString::Int(first)), last) => {
                has(&|number, _| (*first..=last.unwrap_or(*first)).contains(&number))
            }
            (Some(IntOrString::String(name)), _) => has(&|_, called| name == called),
        })
}

/// Whether the pod is among them; none listed is everybody.
fn peer(peers: Option<&[NetworkPolicyPeer]>, pod: &PodFact, namespace: &str) -> bool {
    let Some(peers @ [_, ..]) = peers else { return true };
    peers.iter().any(|peer| match &peer.ip_block {
        Some(block) => pod.ip.as_deref().is_some_and(|ip| in_block(block, ip)),
        None => {
            peer.pod_selector
                .as_ref()
                .is_none_or(|selector| matches(selector, &pod.labels))
                && peer
                    .namespace_selector
                    .as_ref()
                    .is_none_or(|selector| may_be_home(selector, namespace))
        }
    })
}

/// Label of every namespace, set by Kubernetes: its name.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether a namespace selector may match this namespace: of its labels only the name is known, so what is asked of others is taken to hold.
fn may_be_home(selector: &LabelSelector, namespace: &str) -> bool {
    let mut labels = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    labels.all(|(key, value)| key != NAMESPACE_NAME_LABEL || value == namespace)
        && expressions.all(|expression| expression.key != NAMESPACE_NAME_LABEL || holds(expression, Some(namespace)))
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut equal = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    equal.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|expression| holds(expression, labels.get(&expression.key).map(String::as_str)))
}

/// Whether an expression holds for what its label has.
fn holds(expression: &LabelSelectorRequirement, value: Option<&str>) -> bool {
    let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|listed| listed == value));
    match expression.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
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
