//! The kernel must mean what the ruleset means: real dials through a router that enforces it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

mod fixture;
mod lab;

use std::{net::Ipv4Addr, path::Path, thread};

use fixture::{OUTSIDE, PODS, cluster, key};
use k8s_openapi::api::{core::v1 as core, networking::v1 as networking};
use kube::runtime::watcher::Event;
use lab::{Lab, dial, ip};
use synccluster_kind_network::{
    agent::Agent,
    model::{Node, Protocol},
    render::{Script, TABLE},
    routes,
    ruleset::{Packet, Ruleset},
    watch::{Seen, World},
};

/// All of the fixture's pods and somebody outside around node `a`, answering on these ports.
fn lab(ports: &[u16]) -> Lab {
    let pods = PODS.map(|row| (row.name, row.address));
    let lab = Lab::new(pods.into_iter().chain([("outside", OUTSIDE)]));
    for host in hosts() {
        for port in ports {
            lab.serve(host, *port);
        }
    }
    lab
}

fn hosts() -> impl Iterator<Item = &'static str> {
    PODS.into_iter().map(|row| row.name).chain(["outside"])
}

/// What node `a` makes of these policies.
fn ruleset(policies: &[(&str, &str)]) -> Ruleset {
    Ruleset::build(&cluster(policies), "a")
}

fn enforce(lab: &Lab, policies: &[(&str, &str)]) {
    lab.enforce(&Script::new(&ruleset(policies)).to_string()).unwrap();
}

const DENY_ALL: &str = "{podSelector: {}, policyTypes: [Ingress, Egress]}";

/// Every pair on every port, TCP and UDP: the ones for which the dial and the ruleset differ.
fn disagreements(lab: &Lab, ruleset: &Ruleset, ports: &[u16]) -> Vec<String> {
    thread::scope(|scope| {
        let mut dials = Vec::new();
        let pairs = hosts().flat_map(|from| hosts().map(move |to| (from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let traffic = ports
                .iter()
                .flat_map(|port| [(Protocol::Tcp, *port), (Protocol::Udp, *port)]);
            for (protocol, port) in traffic {
                let (source, target) = (lab.address(from), lab.address(to));
                let packet = Packet {
                    from: source,
                    to: target,
                    protocol,
                    port,
                };
                dials.push(scope.spawn(move || {
                    let (got_through, allowed) = (lab.dial(from, packet.to, protocol, port), ruleset.allows(packet));
                    (got_through != allowed)
                        .then(|| format!("{from} → {to} {protocol} {port}: dial {got_through}, ruleset {allowed}"))
                }));
            }
        }
        dials.into_iter().filter_map(|dial| dial.join().unwrap()).collect()
    })
}

/// Policies that differ in how they are rendered: what each is about, and the policies.
const CASES: [(&str, &[(&str, &str)]); 6] = [
    ("nothing", &[]),
    ("default deny in one namespace", &[("shop/deny", DENY_ALL)]),
    (
        "policies that add up, named ports, ranges, all of a protocol",
        &[
            ("shop/deny", DENY_ALL),
            (
                "shop/sql",
                "
podSelector: {matchLabels: {app: db}}
ingress:
- from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]
  ports: [{port: sql}, {port: 79, endPort: 81, protocol: UDP}]",
            ),
            (
                "shop/out",
                "
podSelector: {}
policyTypes: [Egress]
egress: [{to: [{namespaceSelector: {}}], ports: [{port: sql}, {protocol: UDP}]}]",
            ),
        ],
    ),
    (
        "blocks to both ends of the address space, less exceptions",
        &[
            (
                "shop/in",
                "
podSelector: {}
ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.1.2/31]}}]}]",
            ),
            (
                "bank/in",
                "
podSelector: {}
ingress:
- from: [{ipBlock: {cidr: 10.244.1.0/24, except: [10.244.1.2/32]}}, {podSelector: {}}]
  ports: [{port: 5432, endPort: 5433}]",
            ),
        ],
    ),
    (
        "everybody on some ports, somebody on all",
        &[
            (
                "shop/in",
                "
podSelector: {}
ingress: [{ports: [{port: 80}, {port: 443, protocol: SCTP}]}, {from: [{podSelector: {}}]}]",
            ),
            ("bank/all", "{podSelector: {}, ingress: [{}]}"),
        ],
    ),
    (
        "rules that resolve to nobody",
        &[(
            "shop/in",
            "
podSelector: {}
ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}, {ports: [{port: nothing}]}]",
        )],
    ),
];

#[test]
fn the_kernel_agrees_with_the_ruleset_on_every_pair() {
    let ports = [80, 5432, 5433];
    let lab = lab(&ports);
    for (what, policies) in CASES {
        enforce(&lab, policies);
        assert_eq!(disagreements(&lab, &ruleset(policies), &ports), [""; 0], "{what}");
    }
}

#[test]
fn an_established_connection_survives_a_new_policy_and_fresh_dials_do_not() {
    let lab = lab(&[5432]);
    let db = lab.address("shop/db");
    enforce(&lab, &[]);
    let mut before = lab.connect("shop/web", db, 5432);
    assert!(before.lives());

    enforce(&lab, &[("shop/deny", DENY_ALL)]);
    assert!(!lab.dial("shop/web", db, Protocol::Tcp, 5432), "fresh dials are denied");
    assert!(before.lives(), "what was established lives on");

    enforce(&lab, &[]);
    assert!(lab.dial("shop/web", db, Protocol::Tcp, 5432), "the policy is gone");
    assert!(before.lives());
}

#[test]
fn a_service_address_does_not_get_around_a_policy() {
    let lab = lab(&[5432]);
    let service = Ipv4Addr::new(10, 96, 0, 10);
    let proxy = format!("ip daddr {service} tcp dport 5432 dnat to {}", lab.address("shop/db"));
    let hook = "type nat hook prerouting priority dstnat";
    lab.enforce(&format!("table ip proxy {{\nchain to {{\n{hook}\n{proxy}\n}}\n}}\n"))
        .unwrap();
    let from_web = "
podSelector: {matchLabels: {app: db}}
ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: sql}]}]";
    enforce(&lab, &[("shop/from-web", from_web)]);
    assert!(lab.dial("shop/web", service, Protocol::Tcp, 5432));
    assert!(!lab.dial("bank/web", service, Protocol::Tcp, 5432));
}

#[test]
fn the_node_reaches_its_own_pods_whatever_is_denied() {
    let lab = lab(&[80]);
    enforce(&lab, &[("shop/deny", DENY_ALL)]);
    let db = lab.address("shop/db");
    assert!(
        lab.router.within(|| dial(db, Protocol::Tcp, 80)),
        "else the kubelet's probes fail"
    );
    assert!(!lab.dial("outside", db, Protocol::Tcp, 80));
}

#[test]
fn a_script_with_a_fault_changes_nothing() {
    let lab = lab(&[80]);
    enforce(&lab, &[("shop/deny", DENY_ALL)]);
    let broken = Script::new(&ruleset(&[])).to_string() + "add rule ip nowhere nothing accept\n";
    let error = lab.enforce(&broken).unwrap_err().to_string();
    assert!(
        error.starts_with("`nft -f -` failed:") && error.contains("No such file or directory"),
        "{error}"
    );
    assert!(
        !lab.dial("outside", lab.address("shop/db"), Protocol::Tcp, 80),
        "what was denied is still denied"
    );
}

#[test]
fn routes_follow_the_nodes_and_leave_those_of_others_alone() {
    let lab = Lab::new([
        ("neighbour", Ipv4Addr::new(172, 18, 0, 3)),
        ("moved", Ipv4Addr::new(172, 18, 0, 4)),
    ]);
    let routes = |nodes: &[(&str, &str, &str)]| {
        let node = |ip: &str, cidr: &str| Node {
            internal_ip: Some(ip.parse().unwrap()),
            pod_cidr: Some(cidr.parse().unwrap()),
        };
        let nodes = nodes
            .iter()
            .map(|(name, ip, cidr)| (key(name), node(ip, cidr)))
            .collect();
        lab.router.run(routes::sync("a", &nodes)).unwrap();
        let printed = lab.router.within(|| ip("-4 route show"));
        let mut shown: Vec<String> = printed
            .lines()
            .filter(|line| line.contains(" via "))
            .map(|line| line.split(" dev").next().unwrap().to_owned())
            .collect();
        shown.sort();
        shown
    };
    lab.router
        .within(|| ip("route add 10.9.0.0/16 via 172.18.0.3 dev pod0 onlink"));
    let foreign = "10.9.0.0/16 via 172.18.0.3";
    let two = [
        ("a", "172.18.0.2", "10.244.0.0/24"),
        ("b", "172.18.0.3", "10.244.1.0/24"),
        ("c", "172.18.0.4", "10.244.2.0/24"),
    ];
    assert_eq!(
        routes(&two),
        ["10.244.1.0/24 via 172.18.0.3", "10.244.2.0/24 via 172.18.0.4", foreign]
    );
    assert_eq!(
        routes(&[("b", "172.18.0.4", "10.244.1.0/24")]),
        ["10.244.1.0/24 via 172.18.0.4", foreign]
    );
    assert_eq!(routes(&[]), [foreign]);
}

#[test]
fn what_somebody_took_from_the_node_is_put_back() {
    let lab = lab(&[80]);
    let cni = std::env::temp_dir().join(format!("synccluster-agent-{}", std::process::id()));
    std::fs::create_dir_all(&cni).unwrap();
    let mut agent = Agent::new("a".into(), cni.clone());
    let mut world = World::default();
    assert!(lab.router.run(agent.keep(&world)), "nothing is known, nothing is done");
    assert!(!written(&cni), "a node takes no pods before policies are in force");

    tell(&mut world);
    let db = lab.address("shop/db");
    assert!(lab.router.run(agent.keep(&world)));
    assert!(written(&cni));
    assert!(!lab.dial("shop/web", db, Protocol::Tcp, 80));

    lab.enforce(&format!("delete table ip {TABLE}")).unwrap();
    assert!(lab.dial("shop/web", db, Protocol::Tcp, 80), "taken away");
    lab.router.run(agent.verify());
    assert!(lab.router.run(agent.keep(&world)));
    assert!(!lab.dial("shop/web", db, Protocol::Tcp, 80), "put back");
    std::fs::remove_dir_all(&cni).unwrap();
}

fn written(cni: &Path) -> bool {
    cni.join("10-kindnet.conflist").exists()
}

/// Node `a` with shop/db on it, and a policy that isolates it.
fn tell(world: &mut World) {
    let mut pod = fixture::pod("a", "10.244.0.3", &[], None);
    (pod.metadata.namespace, pod.metadata.name) = (Some("shop".into()), Some("db".into()));
    let node: core::Node = serde_yaml::from_str("{metadata: {name: a}, spec: {podCIDR: 10.244.0.0/24}}").unwrap();
    let policy: networking::NetworkPolicy =
        serde_yaml::from_str("{metadata: {namespace: shop, name: deny}, spec: {podSelector: {}}}").unwrap();
    world.take(Seen::Namespace(Event::InitDone));
    world.take(Seen::Pod(Event::InitApply(pod)));
    world.take(Seen::Pod(Event::InitDone));
    world.take(Seen::Node(Event::InitApply(node)));
    world.take(Seen::Node(Event::InitDone));
    world.take(Seen::Policy(Event::InitApply(policy)));
    world.take(Seen::Policy(Event::InitDone));
}
