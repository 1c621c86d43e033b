//! From the API's objects to the types of `model`. The API server has validated them already; what it would not have
//! let through is an error here, so that a policy is never enforced as something else than it says.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::{
    api::{core::v1 as core, networking::v1 as networking},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};
use thiserror::Error;

use crate::{
    intervals::NotACidr,
    model::{NamedPort, Namespace, Node, Peer, Pod, Policy, Port, PortNumber, Protocol, Rule},
    select::{Requirement, Selector},
};

/// What a policy says that cannot be understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    #[error("operator {0:?} of a label selector is none of In, NotIn, Exists, DoesNotExist")]
    Operator(String),
    #[error("protocol {0:?} is none of TCP, UDP, SCTP")]
    Protocol(String),
    #[error("port {0} is not between 0 and 65535")]
    PortNumber(i32),
    #[error("port {0:?} is a name, and endPort needs a number to begin at")]
    NamedRange(String),
    #[error(transparent)]
    Block(#[from] NotACidr),
}

/// `None` for pods that policies say nothing about: without an address, on the host's network, ended.
pub fn pod(pod: &core::Pod) -> Option<Pod> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if ended || spec.host_network == Some(true) {
        return None;
    }
    let address = status
        .pod_ip
        .iter()
        .chain(status.pod_ips.iter().flatten().map(|ip| &ip.ip))
        .find_map(|ip| ip.parse::<Ipv4Addr>().ok())?;
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(named_port);
    Some(Pod {
        node: spec.node_name.clone()?,
        address,
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        ports: ports.collect(),
    })
}

fn named_port(port: &core::ContainerPort) -> Option<NamedPort> {
    Some(NamedPort {
        name: port.name.clone()?,
        protocol: protocol(port.protocol.as_deref()).ok()?,
        port: u16::try_from(port.container_port).ok()?,
    })
}

pub fn namespace(namespace: &core::Namespace) -> Namespace {
    Namespace {
        labels: namespace.metadata.labels.clone().unwrap_or_default(),
    }
}

pub fn node(node: &core::Node) -> Node {
    let addresses = node
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref())
        .unwrap_or_default();
    let ranges = node
        .spec
        .iter()
        .flat_map(|spec| spec.pod_cidr.iter().chain(spec.pod_cidrs.iter().flatten()));
    Node {
        internal_ip: addresses
            .iter()
            .filter(|address| address.type_ == "InternalIP")
            .find_map(|address| address.address.parse().ok()),
        pod_cidr: ranges.into_iter().find_map(|cidr| cidr.parse().ok()),
    }
}

pub fn policy(policy: &networking::NetworkPolicy) -> Result<Policy, ParseError> {
    let Some(spec) = &policy.spec else {
        return Ok(Policy::default());
    };
    let ingress = spec
        .ingress
        .iter()
        .flatten()
        .map(|rule| parse_rule(rule.from.as_deref(), rule.ports.as_deref()));
    let egress = spec
        .egress
        .iter()
        .flatten()
        .map(|rule| parse_rule(rule.to.as_deref(), rule.ports.as_deref()));
    let (ingress, egress) = (
        ingress.collect::<Result<Vec<_>, _>>()?,
        egress.collect::<Result<Vec<_>, _>>()?,
    );
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let says = |direction: &str| types.iter().any(|stated| stated == direction);
    // Without policyTypes: always ingress, and egress when it has egress rules.
    Ok(Policy {
        pods: selector(spec.pod_selector.as_ref())?,
        ingress: (types.is_empty() || says("Ingress")).then_some(ingress),
        egress: (says("Egress") || types.is_empty() && !egress.is_empty()).then_some(egress),
    })
}

fn parse_rule(
    peers: Option<&[networking::NetworkPolicyPeer]>,
    ports: Option<&[networking::NetworkPolicyPort]>,
) -> Result<Rule, ParseError> {
    // An empty list is as good as none: everybody, everything.
    let (peers, ports) = (
        peers.filter(|peers| !peers.is_empty()),
        ports.filter(|ports| !ports.is_empty()),
    );
    Ok(Rule {
        peers: peers.map(|peers| peers.iter().map(peer).collect()).transpose()?,
        ports: ports.map(|ports| ports.iter().map(port).collect()).transpose()?,
    })
}

fn peer(peer: &networking::NetworkPolicyPeer) -> Result<Peer, ParseError> {
    let Some(block) = &peer.ip_block else {
        let namespaces = peer
            .namespace_selector
            .as_ref()
            .map(|namespaces| selector(Some(namespaces)))
            .transpose()?;
        return Ok(Peer::Pods {
            namespaces,
            pods: selector(peer.pod_selector.as_ref())?,
        });
    };
    if block
        .cidr
        .split('/')
        .next()
        .and_then(|address| address.parse().ok())
        .is_some_and(|address: IpAddr| address.is_ipv6())
    {
        return Ok(Peer::Ipv6);
    }
    let except = block
        .except
        .iter()
        .flatten()
        .map(|except| except.parse())
        .collect::<Result<_, _>>()?;
    Ok(Peer::Block {
        cidr: block.cidr.parse()?,
        except,
    })
}

fn port(port: &networking::NetworkPolicyPort) -> Result<Port, ParseError> {
    let number = |number: i32| u16::try_from(number).map_err(|_| ParseError::PortNumber(number));
    let number = match (&port.port, port.end_port) {
        (None, _) => PortNumber::Range(0, u16::MAX),
        (Some(IntOrString::Int(first)), last) => PortNumber::Range(number(*first)?, number(last.unwrap_or(*first))?),
        (Some(IntOrString::String(name)), None) => PortNumber::Named(name.clone()),
        (Some(IntOrString::String(name)), Some(_)) => return Err(ParseError::NamedRange(name.clone())),
    };
    Ok(Port {
        protocol: protocol(port.protocol.as_deref())?,
        number,
    })
}

fn protocol(name: Option<&str>) -> Result<Protocol, ParseError> {
    match name {
        None | Some("TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(ParseError::Protocol(other.to_owned())),
    }
}

fn selector(selector: Option<&LabelSelector>) -> Result<Selector, ParseError> {
    let Some(selector) = selector else {
        return Ok(Selector::default());
    };
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Ok(Requirement::In(key.clone(), [value.clone()].into())));
    let expressions = selector.match_expressions.iter().flatten().map(requirement);
    labels.chain(expressions).collect::<Result<_, _>>().map(Selector)
}

fn requirement(expression: &LabelSelectorRequirement) -> Result<Requirement, ParseError> {
    let key = expression.key.clone();
    let values = expression.values.iter().flatten().cloned().collect();
    match expression.operator.as_str() {
        "In" => Ok(Requirement::In(key, values)),
        "NotIn" => Ok(Requirement::NotIn(key, values)),
        "Exists" => Ok(Requirement::Exists(key)),
        "DoesNotExist" => Ok(Requirement::DoesNotExist(key)),
        other => Err(ParseError::Operator(other.to_owned())),
    }
}
