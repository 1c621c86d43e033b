//! The counter nodes: what there is of them, who reaches them, and what a cut takes away.

use super::*;
use crate::api::SyncClusterStatus;
use crate::fixture::{counting, counting_cut, set};

fn with_counter(pointer: &str, value: Value) -> Objects {
    let mut resource = counting();
    set(&mut resource, &format!("/spec/counter/{pointer}"), value);
    plan(&validated(resource))
}

fn env(objects: &Objects) -> BTreeMap<String, Value> {
    let container = &templates(objects)["demo-counter"]["spec"]["containers"][0];
    let variable = |env: &Value| (env["name"].as_str().unwrap().to_owned(), env.clone());
    container["env"].as_array().unwrap().iter().map(variable).collect()
}

#[test]
fn there_are_no_counter_nodes_unless_somebody_asks() {
    let everything: String = plan(&valid()).apply.iter().map(|o| o.body.to_string()).collect();
    assert!(
        !everything.contains("demo-counter") && !everything.contains("\"counter\""),
        "no object and no edge for what is not there"
    );
}

#[test]
fn nodes_are_identical_pods_with_a_name_a_volume_and_one_lease() {
    let objects = plan(&validated(counting()));
    let of_them = |object: &&Object| object.name.starts_with("demo-counter");
    let kinds: Vec<(Kind, &str)> = objects
        .apply
        .iter()
        .filter(of_them)
        .map(|object| (object.kind, object.name.as_str()))
        .filter(|(kind, _)| *kind != Kind::NetworkPolicy)
        .collect();
    assert_eq!(
        kinds,
        [
            (Kind::ServiceAccount, "demo-counter"),
            (Kind::Role, "demo-counter"),
            (Kind::RoleBinding, "demo-counter"),
            (Kind::Lease, "demo-counter"),
            (Kind::Service, "demo-counter"),
            (Kind::Service, "demo-counter-nodes"),
            (Kind::StatefulSet, "demo-counter"),
        ]
    );
    let set = &named(&objects, Kind::StatefulSet, "demo-counter").unwrap()["spec"];
    assert_eq!(
        (&set["replicas"], &set["podManagementPolicy"], &set["serviceName"]),
        (&json!(3), &json!("Parallel"), &json!("demo-counter-nodes"))
    );
    assert_eq!(
        named(&objects, Kind::Service, "demo-counter-nodes").unwrap()["spec"]["publishNotReadyAddresses"],
        true
    );
    let ports = |service: &str| -> Vec<u64> {
        let ports = &named(&objects, Kind::Service, service).unwrap()["spec"]["ports"];
        ports
            .as_array()
            .unwrap()
            .iter()
            .map(|port| port["port"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(
        (ports("demo-counter"), ports("demo-counter-nodes")),
        (vec![5001, 5002], vec![5001, 5002, 5003])
    );
}

#[test]
fn nodes_may_read_and_write_one_lease_and_nothing_else() {
    let objects = plan(&validated(counting()));
    let role = named(&objects, Kind::Role, "demo-counter").unwrap();
    assert_eq!(
        role["rules"],
        json!([{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["demo-counter"], "verbs": ["get", "update"] }])
    );
    let lease = named(&objects, Kind::Lease, "demo-counter").unwrap();
    assert_eq!(lease.get("spec"), None, "who holds it is not the operator's to say");
}

#[test]
fn a_node_is_told_who_it_is_and_who_the_others_are() {
    let env = env(&with_counter("storage", json!({ "size": "2Gi" })));
    assert_eq!(
        env["COUNTER_NODES"]["value"],
        "0=demo-counter-0.demo-counter-nodes.shop.svc:5003,1=demo-counter-1.demo-counter-nodes.shop.svc:5003,\
         2=demo-counter-2.demo-counter-nodes.shop.svc:5003"
    );
    assert_eq!(
        env["COUNTER_NODE"]["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.name"
    );
    assert_eq!(
        env["POD_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.namespace"
    );
    for (name, value) in [
        ("COUNTER_LEASE", "demo-counter"),
        ("COUNTER_MAX_IDS", "50000"),
        ("COUNTER_MAX_CLIENTS", "50000"),
        ("COUNTER_REMEMBER_CLIENTS", "86400s"),
        ("COUNTER_LOG_BYTES", "1073741824"),
        ("COUNTER_SEGMENT_BYTES", "16777216"),
        ("COUNTER_WINDOWS", "1m,5m,10m"),
        ("COUNTER_GRACE", "30s"),
        ("COUNTER_LIKES_TOPIC", "demo.likes"),
        ("COUNTER_AGGREGATIONS_TOPIC", "demo.aggregations-"),
        ("COUNTER_TOPIC_PARTITIONS", "4"),
        ("COUNTER_TOPIC_REPLICATION", "1"),
        ("SYNC_LISTEN", "0.0.0.0:8080"),
        ("KAFKA_BOOTSTRAP_SERVERS", "demo-kafka:9092"),
    ] {
        assert_eq!(env[name]["value"], value, "{name}");
    }
    assert!(
        env.values().all(|env| env.pointer("/valueFrom/secretKeyRef").is_none()),
        "it has no password"
    );
}

#[test]
fn how_long_topics_keep_what_is_in_them_changes_no_object_so_that_nothing_restarts() {
    let longer = json!({ "likesRetention": "720h", "aggregationsRetention": "1440h" });
    assert_eq!(with_counter("topics", longer), plan(&validated(counting())));
}

#[test]
fn what_nodes_may_keep_fits_into_their_memory() {
    let memory = |objects: &Objects| {
        let container = &templates(objects)["demo-counter"]["spec"]["containers"][0];
        container["resources"]["limits"]["memory"].as_str().unwrap().to_owned()
    };
    let by_default = plan(&validated(counting()));
    assert_eq!(memory(&by_default), "558Mi");
    let limits = json!({ "ids": 200_000, "clients": 100, "forgetClientsAfter": "2h" });
    let more = with_counter("limits", limits);
    assert_eq!(memory(&more), "998Mi");
    let told = env(&more);
    let told = |name: &str| told[name]["value"].as_str().unwrap().to_owned();
    assert_eq!(
        ["COUNTER_MAX_IDS", "COUNTER_MAX_CLIENTS", "COUNTER_REMEMBER_CLIENTS"].map(told),
        ["200000", "100", "7200s"]
    );
    assert_eq!(
        memory(&with_counter("limits", json!({ "ids": 1, "clients": 1 }))),
        "256Mi",
        "the least"
    );
    let own = with_counter("resources", json!({ "limits": { "memory": "96Mi" } }));
    assert_eq!(memory(&own), "96Mi", "who says something else decides");
}

#[test]
fn volumes_of_nodes_are_kept_unless_the_spec_says_otherwise() {
    let policy = |objects: &Objects| {
        named(objects, Kind::StatefulSet, "demo-counter").unwrap()["spec"]["persistentVolumeClaimRetentionPolicy"]
            .clone()
    };
    assert_eq!(
        policy(&plan(&validated(counting()))),
        json!({ "whenDeleted": "Retain", "whenScaled": "Retain" })
    );
    assert_eq!(
        policy(&with_counter("storage", json!({ "whenScaled": "Delete" }))),
        json!({ "whenDeleted": "Retain", "whenScaled": "Delete" })
    );
}

#[test]
fn the_pods_of_nodes_are_restricted() {
    let template = &templates(&plan(&validated(counting())))["demo-counter"];
    let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], true, "for the Lease");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert!(container["resources"]["requests"]["memory"].is_string());
}

/// The pods that a policy's rule names, of the rule at this place.
fn names_in(objects: &Objects, policy: &str, peers: &str) -> Value {
    let policy = named(objects, Kind::NetworkPolicy, policy).unwrap_or_else(|| panic!("no policy {policy}"));
    policy.pointer(peers).cloned().unwrap_or_default()
}

#[test]
fn a_cut_node_has_no_edge_and_is_in_nobody_elses() {
    let others = "/podSelector/matchExpressions/0/values";
    let (into, out) = (
        format!("/spec/ingress/0/from/0{others}"),
        format!("/spec/egress/0/to/0{others}"),
    );
    let whole = plan(&validated(counting()));
    for (node, peers) in [
        (0, ["demo-counter-1", "demo-counter-2"]),
        (1, ["demo-counter-0", "demo-counter-2"]),
        (2, ["demo-counter-0", "demo-counter-1"]),
    ] {
        for way in [&into, &out] {
            assert_eq!(
                names_in(&whole, &format!("demo-counter-{node}-mesh"), way),
                json!(peers),
                "{node}"
            );
        }
        assert!(named(&whole, Kind::NetworkPolicy, &format!("demo-counter-{node}-kafka")).is_some());
    }
    let ports = names_in(&whole, "demo-counter-1-mesh", "/spec/egress/0/ports");
    assert_eq!(
        (&ports[0]["port"], ports.as_array().unwrap().len()),
        (&json!(5003), 3),
        "8080 is the operator's"
    );
    let cut = plan(&counting_cut(json!({ "counters": [0] })));
    for edge in ["mesh", "kafka"] {
        assert!(named(&cut, Kind::NetworkPolicy, &format!("demo-counter-0-{edge}")).is_none());
    }
    for (node, peer) in [(1, "demo-counter-2"), (2, "demo-counter-1")] {
        for way in [&into, &out] {
            assert_eq!(
                names_in(&cut, &format!("demo-counter-{node}-mesh"), way),
                json!([peer]),
                "{node}"
            );
        }
    }
    let let_in = "/spec/ingress/0/from/3/podSelector";
    let selector = names_in(&cut, "demo-kafka", let_in);
    assert_eq!(selector["matchLabels"]["app.kubernetes.io/component"], "counter");
    assert_eq!(
        selector["matchExpressions"],
        json!([{ "key": "statefulset.kubernetes.io/pod-name", "operator": "NotIn", "values": ["demo-counter-0"] }])
    );
    // Without a peer that is left there is nobody to name.
    let two = plan(&counting_cut(json!({ "counters": [0, 2] })));
    assert!(named(&two, Kind::NetworkPolicy, "demo-counter-1-mesh").is_none());
    assert!(named(&two, Kind::NetworkPolicy, "demo-counter-1-kafka").is_some());
}

#[test]
fn a_node_on_its_way_out_keeps_its_edges() {
    let name = |node| crate::api::CounterNodeStatus {
        name: names::counter_node(node),
        ..Default::default()
    };
    let before = SyncClusterStatus {
        counters: (0..3).map(name).collect(),
        ..Default::default()
    };
    let scaled = |nodes: u16| {
        let mut resource = counting();
        set(&mut resource, "/spec/counter/nodes", json!(nodes));
        plan(&validated(resource).after(&before))
    };
    let policies = |objects: &Objects| -> BTreeMap<String, Value> {
        let policies = objects.apply.iter().filter(|object| object.kind == Kind::NetworkPolicy);
        let of_them = policies.filter(|object| object.name.starts_with("demo-counter"));
        of_them
            .map(|object| (object.name.clone(), object.body["spec"].clone()))
            .collect()
    };
    let (three, two, none) = (scaled(3), scaled(2), scaled(0));
    assert_eq!(policies(&three).len(), 7);
    assert_eq!(policies(&two), policies(&three));
    assert_eq!(policies(&none), policies(&three));
    let set = named(&two, Kind::StatefulSet, "demo-counter").unwrap();
    assert_eq!(set["spec"]["replicas"], 2);
    assert_eq!(set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 60);
    let kafka = |objects: &Objects| names_in(objects, "demo-kafka", "/spec/ingress/0/from");
    assert_eq!(kafka(&none), kafka(&three), "Kafka lets them in");
}

#[test]
fn a_cut_node_keeps_its_clients_the_operator_and_the_lease() {
    let (whole, cut) = (
        plan(&validated(counting())),
        plan(&counting_cut(json!({ "counters": [0] }))),
    );
    let policy = |objects: &Objects| named(objects, Kind::NetworkPolicy, "demo-counter").unwrap()["spec"].clone();
    assert_eq!(policy(&whole), policy(&cut));
    let ports = |rule: &str| policy(&cut).pointer(&format!("{rule}/ports")).cloned().unwrap();
    let tcp = |ports: &[u16]| -> Value {
        ports
            .iter()
            .map(|port| json!({ "protocol": "TCP", "port": port }))
            .collect()
    };
    assert_eq!(ports("/ingress/0"), tcp(&[5001, 5002]));
    assert_eq!(ports("/ingress/1"), tcp(&[8080]));
    assert_eq!(ports("/egress/0"), tcp(&[6443, 443]));
    assert_eq!(templates(&whole), templates(&cut), "a cut restarts nothing");
}

fn exposed(nodes: u16) -> Objects {
    let mut resource = counting();
    set(&mut resource, "/spec/counter/nodes", json!(nodes));
    let node_port = json!({ "host": "2001:db8::7", "port": 31000 });
    set(&mut resource, "/spec/counter/expose", json!({ "nodePort": node_port }));
    plan(&validated(resource))
}

#[test]
fn the_leader_and_each_node_have_a_port_outside_and_nothing_else_changes_inside() {
    let (inside, outside) = (plan(&validated(counting())), exposed(3));
    let names = |objects: &Objects| -> BTreeSet<String> {
        let services = objects.apply.iter().filter(|object| object.kind == Kind::Service);
        services.map(|object| object.name.clone()).collect()
    };
    let (few, many) = (names(&inside), names(&outside));
    let more: Vec<&String> = many.difference(&few).collect();
    assert_eq!(
        more,
        [
            "demo-counter-0",
            "demo-counter-1",
            "demo-counter-2",
            "demo-counter-leader"
        ]
    );
    let spec = |name: &str| named(&outside, Kind::Service, name).unwrap()["spec"].clone();
    let leader = spec("demo-counter-leader");
    assert_eq!(leader["type"], "NodePort");
    assert_eq!(
        leader["ports"],
        json!([{ "name": "leader", "port": 5001, "targetPort": "outside", "nodePort": 31000, "protocol": "TCP" }])
    );
    let node = spec("demo-counter-2");
    assert_eq!(
        node["ports"],
        json!([{ "name": "clients", "port": 5002, "targetPort": "clients", "nodePort": 31003, "protocol": "TCP" }])
    );
    assert_eq!(node["selector"]["statefulset.kubernetes.io/pod-name"], "demo-counter-2");
    for same in ["demo-counter", "demo-counter-nodes"] {
        assert_eq!(
            spec(same),
            named(&inside, Kind::Service, same).unwrap()["spec"],
            "{same}"
        );
    }
    let told = env(&outside);
    assert_eq!(
        told["COUNTER_OUTSIDE"]["value"], "[2001:db8::7]:31001",
        "node 0; the others follow"
    );
    assert_eq!(told["COUNTER_NODES"], env(&inside)["COUNTER_NODES"]);
    assert!(!env(&inside).contains_key("COUNTER_OUTSIDE"));
    let without = names(&exposed(0));
    assert!(
        without.iter().all(|name| !name.starts_with("demo-counter")),
        "{without:?}"
    );
}

#[test]
fn whoever_comes_by_a_node_port_reaches_the_ports_of_clients_and_no_other() {
    let rules = |objects: &Objects| {
        let policy = named(objects, Kind::NetworkPolicy, "demo-counter").unwrap();
        policy["spec"]["ingress"].as_array().unwrap().clone()
    };
    let (inside, outside) = (rules(&plan(&validated(counting()))), rules(&exposed(3)));
    assert!(inside.iter().all(|rule| rule.get("from").is_some()));
    let tcp = |port: u16| json!({ "protocol": "TCP", "port": port });
    let more: Vec<&Value> = outside.iter().filter(|rule| !inside.contains(rule)).collect();
    assert_eq!(more, [&json!({ "ports": [tcp(5004), tcp(5002)] })]);
}

#[test]
fn the_gateway_is_told_where_they_are_and_may_go_there() {
    let objects = plan(&validated(counting()));
    let gateway = &templates(&objects)["demo-gateway"]["spec"]["containers"][0]["env"];
    let told = |name: &str| {
        let told = gateway.as_array().unwrap().iter().find(|env| env["name"] == name);
        told.unwrap()["value"].clone()
    };
    assert_eq!(told("COUNTER_ADDRESS"), "demo-counter:5002");
    assert_eq!(told("COUNTER_WINDOWS"), "1m,5m,10m");
    let access = |objects: &Objects| {
        let container = &templates(objects)["demo-gateway"]["spec"]["containers"][0];
        let mut env = container["env"].as_array().unwrap().iter();
        env.find(|env| env["name"] == "SYNC_COUNTERS_ACCESS")
            .map(|env| env["value"].clone())
    };
    assert_eq!(access(&objects), None);
    let mut anyone = counting();
    set(
        &mut anyone,
        "/spec/gateway",
        json!({ "access": { "counters": "Anyone" } }),
    );
    assert_eq!(access(&plan(&validated(anyone))), Some(json!("Anyone")));
    let way = names_in(&objects, "demo-gateway", "/spec/egress/3");
    assert_eq!(
        way["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"],
        "counter"
    );
    assert_eq!(way["ports"][1]["port"], 5002);
}
