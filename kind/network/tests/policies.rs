//! What policies mean, as statements about who reaches whom. `netns.rs` checks that the kernel means the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

mod fixture;

use std::net::Ipv4Addr;

use fixture::{OUTSIDE, PODS, cluster, key, policy};
use synccluster_kind_network::{
    model::{Cluster, Protocol},
    parse::{self, ParseError},
    ruleset::{Packet, Ruleset},
};

const EVERYBODY: [&str; 6] = ["shop/web", "shop/db", "shop/replica", "bank/web", "bank/db", "outside"];

/// All but the pod itself that can open a TCP connection to it.
fn who_reaches(cluster: &Cluster, target: &str, port: u16) -> Vec<&'static str> {
    EVERYBODY
        .into_iter()
        .filter(|from| *from != target && passes(cluster, place(from), place(target), Protocol::Tcp, port))
        .collect()
}

/// All but the pod itself that it can open a TCP connection to.
fn whom_it_reaches(cluster: &Cluster, source: &str, port: u16) -> Vec<&'static str> {
    EVERYBODY
        .into_iter()
        .filter(|to| *to != source && passes(cluster, place(source), place(to), Protocol::Tcp, port))
        .collect()
}

fn place(name: &str) -> Ipv4Addr {
    if name == "outside" { OUTSIDE } else { address(name) }
}

fn address(pod: &str) -> Ipv4Addr {
    PODS.iter().find(|row| row.name == pod).unwrap().address
}

/// Do all nodes let this packet through?
fn passes(cluster: &Cluster, from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
    let packet = Packet {
        from,
        to,
        protocol,
        port,
    };
    ["a", "b"]
        .iter()
        .all(|node| Ruleset::build(cluster, node).allows(packet))
}

/// The pods of `shop` under one policy.
fn shop(spec: &str) -> Cluster {
    cluster(&[("shop/policy", spec)])
}

/// Who reaches shop/db when a policy lets these peers in?
fn let_in(peers: &str) -> Vec<&'static str> {
    let allowed = shop(&format!(
        "podSelector: {{matchLabels: {{tier: data}}}}\ningress:\n- from: {peers}"
    ));
    who_reaches(&allowed, "shop/db", 80)
}

#[test]
fn without_policies_everybody_reaches_everybody() {
    for pod in PODS {
        assert_eq!(who_reaches(&cluster(&[]), pod.name, 80).len(), 5, "{}", pod.name);
    }
}

#[test]
fn default_deny_isolates_the_pods_of_its_namespace_and_no_others() {
    let denied = shop("{podSelector: {}, policyTypes: [Ingress]}");
    assert_eq!(who_reaches(&denied, "shop/db", 80), [""; 0]);
    assert_eq!(who_reaches(&denied, "shop/replica", 80), [""; 0]);
    assert_eq!(who_reaches(&denied, "bank/db", 80).len(), 5);
}

#[test]
fn a_pod_reaches_itself_whatever_is_denied() {
    let denied = shop("{podSelector: {}, policyTypes: [Ingress, Egress]}");
    assert!(passes(
        &denied,
        address("shop/db"),
        address("shop/db"),
        Protocol::Tcp,
        5432
    ));
}

#[test]
fn policies_add_up() {
    let both = cluster(&[
        ("shop/deny", "{podSelector: {}, policyTypes: [Ingress]}"),
        (
            "shop/from-web",
            "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}",
        ),
        (
            "shop/from-bank",
            "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: money}}}]}]}",
        ),
    ]);
    assert_eq!(who_reaches(&both, "shop/db", 80), ["shop/web", "bank/web", "bank/db"]);
    assert_eq!(who_reaches(&both, "shop/web", 80), ["bank/web", "bank/db"]);
}

#[test]
fn a_pod_selector_alone_is_about_the_namespace_of_the_policy() {
    assert_eq!(let_in("[{podSelector: {matchLabels: {app: web}}}]"), ["shop/web"]);
    assert_eq!(let_in("[{podSelector: {}}]"), ["shop/web", "shop/replica"]);
}

#[test]
fn both_selectors_in_one_peer_must_hold() {
    let peer = "[{namespaceSelector: {matchLabels: {team: money}}, podSelector: {matchLabels: {app: web}}}]";
    assert_eq!(let_in(peer), ["bank/web"]);
}

#[test]
fn both_selectors_in_two_peers_are_two_ways_in() {
    let peers = "[{namespaceSelector: {matchLabels: {team: money}}}, {podSelector: {matchLabels: {app: web}}}]";
    assert_eq!(let_in(peers), ["shop/web", "bank/web", "bank/db"]);
}

#[test]
fn an_empty_namespace_selector_means_all_pods_and_nobody_else() {
    assert_eq!(
        let_in("[{namespaceSelector: {}}]"),
        ["shop/web", "shop/replica", "bank/web", "bank/db"]
    );
}

#[test]
fn expressions_select_as_labels_do() {
    let in_and_not_in = "
  - namespaceSelector: {}
    podSelector:
      matchExpressions:
        - {key: app, operator: In, values: [db, cache]}
        - {key: tier, operator: NotIn, values: [copy]}";
    assert_eq!(let_in(in_and_not_in), ["bank/db"]);
    let exists_and_not = "
  - namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}
    podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}";
    assert_eq!(let_in(exists_and_not), ["shop/web", "bank/web"]);
}

#[test]
fn no_peers_is_everybody_and_no_rules_is_nobody() {
    for everybody in [
        "{podSelector: {}, ingress: [{}]}",
        "{podSelector: {}, ingress: [{from: [], ports: []}]}",
    ] {
        assert_eq!(who_reaches(&shop(everybody), "shop/db", 80).len(), 5, "{everybody}");
    }
    assert_eq!(
        who_reaches(&shop("{podSelector: {}, ingress: []}"), "shop/db", 80),
        [""; 0]
    );
}

#[test]
fn a_block_is_about_addresses_less_its_exceptions() {
    assert_eq!(let_in("[{ipBlock: {cidr: 192.0.2.0/24}}]"), ["outside"]);
    assert_eq!(
        let_in("[{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.1.0/24, 192.0.2.7/32]}}]"),
        ["shop/web", "bank/db"]
    );
    let excepted_and_named =
        "[{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16]}}, {podSelector: {matchLabels: {app: web}}}]";
    assert_eq!(let_in(excepted_and_named), ["shop/web", "outside"]);
    assert_eq!(let_in("[{ipBlock: {cidr: 'fd00::/8'}}]"), [""; 0]);
}

#[test]
fn ports_are_single_ranges_or_all_of_a_protocol() {
    let ports = "[{port: 80}, {port: 8000, endPort: 8010}, {protocol: UDP}]";
    let limited = shop(&format!("{{podSelector: {{}}, ingress: [{{ports: {ports}}}]}}"));
    let open = |protocol, port| passes(&limited, OUTSIDE, address("shop/db"), protocol, port);
    let tcp: Vec<u16> = [79, 80, 81, 7999, 8000, 8005, 8010, 8011]
        .into_iter()
        .filter(|port| open(Protocol::Tcp, *port))
        .collect();
    assert_eq!(tcp, [80, 8000, 8005, 8010]);
    assert!(open(Protocol::Udp, 1) && open(Protocol::Udp, 65535) && !open(Protocol::Sctp, 80));
}

#[test]
fn peers_and_ports_of_one_rule_belong_together() {
    let limited = shop(
        "podSelector: {matchLabels: {tier: data}}
ingress:
  - {from: [{podSelector: {}}], ports: [{port: 80}]}
  - {from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 443}]}",
    );
    assert_eq!(who_reaches(&limited, "shop/db", 80), ["shop/web", "shop/replica"]);
    assert_eq!(who_reaches(&limited, "shop/db", 443), ["outside"]);
}

#[test]
fn a_named_port_is_each_targets_own_on_the_way_in() {
    let named = shop("{podSelector: {}, ingress: [{ports: [{port: sql}]}]}");
    assert_eq!(who_reaches(&named, "shop/db", 5432).len(), 5);
    assert_eq!(who_reaches(&named, "shop/db", 5433), [""; 0]);
    assert_eq!(who_reaches(&named, "shop/replica", 5433).len(), 5);
    assert_eq!(who_reaches(&named, "shop/replica", 5432), [""; 0]);
    assert_eq!(
        who_reaches(&named, "shop/web", 5432),
        [""; 0],
        "it has no port of this name"
    );
}

#[test]
fn a_named_port_is_each_targets_own_on_the_way_out() {
    let web = "podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]";
    let to = |peers: &str| shop(&format!("{{{web}, egress: [{{to: {peers}, ports: [{{port: sql}}]}}]}}"));
    let anywhere = to("[]");
    assert_eq!(whom_it_reaches(&anywhere, "shop/web", 5432), ["shop/db", "bank/db"]);
    assert_eq!(whom_it_reaches(&anywhere, "shop/web", 5433), ["shop/replica"]);
    assert_eq!(
        whom_it_reaches(&to("[{podSelector: {}}]"), "shop/web", 5432),
        ["shop/db"]
    );
    assert_eq!(
        whom_it_reaches(&to("[{ipBlock: {cidr: 10.244.0.4/32}}]"), "shop/web", 5432),
        ["bank/db"]
    );
}

#[test]
fn a_named_port_of_another_protocol_is_another_port() {
    let udp = shop("{podSelector: {}, ingress: [{ports: [{port: sql, protocol: UDP}]}]}");
    assert_eq!(who_reaches(&udp, "shop/db", 5432), [""; 0]);
}

#[test]
fn egress_and_ingress_must_both_allow() {
    let out = "podSelector: {matchLabels: {app: web}}
policyTypes: [Egress]
egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]}]";
    let into = "podSelector: {matchLabels: {tier: data}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: money}}}]}]";
    let both = cluster(&[("shop/out", out), ("bank/out", out), ("shop/into", into)]);
    assert_eq!(who_reaches(&both, "shop/db", 80), ["bank/web", "bank/db"]);
    assert_eq!(whom_it_reaches(&both, "shop/web", 80), ["shop/replica", "bank/db"]);
    assert_eq!(
        whom_it_reaches(&both, "bank/web", 80),
        ["shop/db", "shop/replica", "bank/db"]
    );
}

#[test]
fn policy_types_default_to_ingress_and_to_egress_when_it_has_rules() {
    let only_out = shop("{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}");
    assert_eq!(
        who_reaches(&only_out, "shop/db", 80),
        [""; 0],
        "ingress is always meant"
    );
    assert_eq!(
        whom_it_reaches(&only_out, "shop/db", 80),
        [""; 0],
        "the others of shop are isolated as well"
    );
    let only_in = shop("{podSelector: {matchLabels: {app: web}}, ingress: []}");
    assert_eq!(
        whom_it_reaches(&only_in, "shop/web", 80).len(),
        5,
        "egress is not meant"
    );
    let stated = shop("{podSelector: {}, policyTypes: [Egress]}");
    assert_eq!(
        (
            who_reaches(&stated, "shop/db", 80),
            whom_it_reaches(&stated, "shop/db", 80)
        ),
        (vec!["bank/web", "bank/db", "outside"], vec![])
    );
}

#[test]
fn a_node_enforces_for_its_own_pods_only() {
    let denied = shop("{podSelector: {}}");
    let isolated = |node| -> Vec<Ipv4Addr> { Ruleset::build(&denied, node).ingress.isolated.into_keys().collect() };
    assert_eq!(isolated("a"), [address("shop/web"), address("shop/db")]);
    assert_eq!(isolated("b"), [address("shop/replica")]);
    assert_eq!(isolated("c"), [Ipv4Addr::UNSPECIFIED; 0]);
}

#[test]
fn pods_that_ended_have_no_address_or_are_on_the_hosts_network_are_outside() {
    let spoil = |spoil: &dyn Fn(&mut k8s_openapi::api::core::v1::Pod)| {
        let mut pod = fixture::pod("a", "10.244.0.9", &[("app", "db")], None);
        spoil(&mut pod);
        parse::pod(&pod)
    };
    assert!(spoil(&|_| ()).is_some());
    assert_eq!(
        spoil(&|pod| pod.status.as_mut().unwrap().phase = Some("Succeeded".into())),
        None
    );
    assert_eq!(
        spoil(&|pod| pod.status.as_mut().unwrap().phase = Some("Failed".into())),
        None
    );
    assert_eq!(spoil(&|pod| pod.status.as_mut().unwrap().pod_ip = None), None);
    assert_eq!(spoil(&|pod| pod.spec.as_mut().unwrap().host_network = Some(true)), None);
}

#[test]
fn what_cannot_be_understood_is_refused_not_guessed() {
    assert_eq!(
        policy("{podSelector: {matchExpressions: [{key: a, operator: Like}]}}"),
        Err(ParseError::Operator("Like".into()))
    );
    assert_eq!(
        policy("{ingress: [{ports: [{port: 70000}]}]}"),
        Err(ParseError::PortNumber(70000))
    );
    assert_eq!(
        policy("{ingress: [{ports: [{port: sql, endPort: 9}]}]}"),
        Err(ParseError::NamedRange("sql".into()))
    );
    assert_eq!(
        policy("{ingress: [{ports: [{protocol: ICMP}]}]}"),
        Err(ParseError::Protocol("ICMP".into()))
    );
    assert!(matches!(
        policy("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]}"),
        Err(ParseError::Block(_))
    ));
}

#[test]
fn a_namespace_that_gets_a_label_gets_its_pods_in() {
    let in_trusted = "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {trusted: yes}}}]}]";
    let mut changing = shop(in_trusted);
    assert_eq!(who_reaches(&changing, "shop/db", 80), [""; 0]);
    let bank = changing.namespaces.get_mut(&key("bank")).unwrap();
    bank.labels.insert("trusted".into(), "yes".into());
    assert_eq!(who_reaches(&changing, "shop/db", 80), ["bank/web", "bank/db"]);
}
