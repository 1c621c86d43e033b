//! The gateway: who reaches it, what it reaches, what it may do.

use super::*;
use crate::fixture::set;

/// The cluster with this spec.gateway, in a cluster with HTTPRoutes.
fn with_gateway(gateway: Value) -> ValidatedCluster {
    let mut cluster = validated(with("/spec/gateway", gateway));
    if let Some(wanted) = &mut cluster.gateway
        && let crate::validate::Expose::Route { served, .. } = &mut wanted.expose
    {
        *served = true;
    }
    cluster
}

pub fn exposed(expose: Value) -> ValidatedCluster {
    with_gateway(json!({ "expose": expose }))
}

fn gateway(objects: &Objects, kind: Kind) -> Value {
    named(objects, kind, "demo-gateway").cloned().unwrap_or_default()
}

fn of_gateway(objects: &Objects) -> Vec<Kind> {
    let of_gateway = |object: &&Object| object.name == "demo-gateway";
    objects
        .apply
        .iter()
        .filter(of_gateway)
        .map(|object| object.kind)
        .collect()
}

#[test]
fn a_gateway_is_there_unless_it_has_no_pods() {
    let inside = [
        Kind::NetworkPolicy,
        Kind::ServiceAccount,
        Kind::Role,
        Kind::RoleBinding,
        Kind::Service,
        Kind::Deployment,
    ];
    assert_eq!(of_gateway(&plan(&valid())), inside);
    let none = plan(&with_gateway(json!({ "replicas": 0 })));
    let everything = none
        .apply
        .iter()
        .map(|object| object.body.to_string())
        .collect::<String>();
    assert_eq!(of_gateway(&none), []);
    assert!(
        !everything.contains("\"gateway\""),
        "no edge leads to what is not there"
    );
    assert!(none.secrets.iter().all(|wanted| wanted.name != "demo-gateway"));
}

#[test]
fn each_way_from_outside_is_one_object_more() {
    let kinds = |expose: Value| {
        let objects = plan(&exposed(expose));
        (
            gateway(&objects, Kind::Service)["spec"]["type"].clone(),
            of_gateway(&objects).last().copied(),
        )
    };
    assert_eq!(
        kinds(json!({ "nodePort": {} })),
        (json!("NodePort"), Some(Kind::Deployment))
    );
    assert_eq!(
        kinds(json!({ "ingress": { "host": "a" } })),
        (json!("ClusterIP"), Some(Kind::Ingress))
    );
    let route = json!({ "gatewayApi": { "parent": { "name": "public" } } });
    assert_eq!(kinds(route.clone()), (json!("ClusterIP"), Some(Kind::HttpRoute)));
    let unserved = plan(&validated(with("/spec/gateway", json!({ "expose": route }))));
    assert!(
        !of_gateway(&unserved).contains(&Kind::HttpRoute),
        "what the API server does not know cannot be applied"
    );
}

#[test]
fn people_come_in_on_port_80_and_stay_at_one_pod() {
    let service = |expose: Value| gateway(&plan(&exposed(expose)), Kind::Service);
    let fixed = service(json!({ "nodePort": { "port": 30080 } }));
    assert_eq!(
        fixed["spec"]["ports"],
        json!([{ "name": "web", "port": 80, "targetPort": "web", "protocol": "TCP", "nodePort": 30080 }])
    );
    assert_eq!(fixed["spec"]["sessionAffinity"], "ClientIP");
    assert_eq!(
        service(json!({ "nodePort": {} }))["spec"]["ports"][0].get("nodePort"),
        None
    );
    let behind_ingress = service(json!({ "ingress": { "host": "todo.example.com" } }));
    assert_eq!(
        behind_ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/service.sticky.cookie"], "true",
        "Traefik goes past the Service to the pods"
    );
    let behind_route = service(json!({ "gatewayApi": { "parent": { "name": "public" } } }));
    assert_eq!(
        behind_route["metadata"]["annotations"],
        json!({ "traefik.io/service.nativelb": "true" }),
        "and has no cookies there"
    );
    assert_eq!(fixed["metadata"].get("annotations"), None);
}

#[test]
fn an_ingress_leads_one_host_to_the_service() {
    let asked = json!({ "host": "todo.example.com", "className": "nginx", "tlsSecret": "todo-tls",
        "annotations": { "nginx.ingress.kubernetes.io/proxy-read-timeout": "60", "mine": "too" } });
    let ingress = gateway(&plan(&exposed(json!({ "ingress": asked }))), Kind::Ingress);
    assert_eq!(
        ingress["spec"],
        json!({
            "rules": [{ "host": "todo.example.com", "http": { "paths": [{
                "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "demo-gateway", "port": { "name": "web" } } },
            }] } }],
            "ingressClassName": "nginx",
            "tls": [{ "hosts": ["todo.example.com"], "secretName": "todo-tls" }],
        })
    );
    let annotations = &ingress["metadata"]["annotations"];
    assert_eq!(annotations["nginx.ingress.kubernetes.io/affinity"], "cookie");
    assert_eq!(
        annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"], "60",
        "yours win"
    );
    assert_eq!(annotations["mine"], "too");
    let plain = gateway(&plan(&exposed(json!({ "ingress": { "host": "a" } }))), Kind::Ingress);
    assert_eq!(
        (plain["spec"].get("tls"), plain["spec"].get("ingressClassName")),
        (None, None)
    );
}

#[test]
fn a_route_hangs_on_the_gateway_that_is_named() {
    let asked = json!({ "host": "todo.example.com", "parent": { "name": "public", "namespace": "gateways", "sectionName": "https" } });
    let route = gateway(&plan(&exposed(json!({ "gatewayApi": asked }))), Kind::HttpRoute);
    assert_eq!(route["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(
        route["spec"],
        json!({
            "parentRefs": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways", "sectionName": "https" }],
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
                "backendRefs": [{ "group": "", "kind": "Service", "name": "demo-gateway", "port": 80, "weight": 1 }],
            }],
            "hostnames": ["todo.example.com"],
        })
    );
}

#[test]
fn who_reaches_the_page_is_what_expose_says_unless_a_header_is_believed() {
    let web = |gateway: Value| {
        let policy = named(&plan(&with_gateway(gateway)), Kind::NetworkPolicy, "demo-gateway")
            .unwrap()
            .clone();
        assert_eq!(
            policy["spec"]["ingress"][0]["ports"],
            json!([{ "protocol": "TCP", "port": 8000 }])
        );
        policy["spec"]["ingress"][0].get("from").cloned()
    };
    let labelled = Some(json!([{ "podSelector": { "matchLabels": { "synccluster.dev/access": "demo-gateway" } } }]));
    let ingress = json!({ "ingress": { "host": "a" } });
    assert_eq!(web(json!({})), labelled);
    assert_eq!(web(json!({ "expose": { "nodePort": {} } })), None, "from anywhere");
    assert_eq!(web(json!({ "expose": ingress })), None);
    assert_eq!(web(json!({ "access": { "identity": {} } })), labelled);
    assert_eq!(
        web(json!({ "expose": ingress, "access": { "identity": {} } })),
        labelled,
        "a header from anywhere is nobody's word"
    );
}

/// It stands for the people at each site.
#[test]
fn the_gateway_reaches_every_site_and_kafka_cut_or_not() {
    let whole = plan(&valid());
    let cut = plan(&cut(json!({ "clients": [1, 2, 3], "server": true })));
    for objects in [&whole, &cut] {
        let policy = gateway(objects, Kind::NetworkPolicy);
        let component = |name: &str| json!([{ "podSelector": { "matchLabels": { "synccluster.dev/cluster": "demo", "app.kubernetes.io/component": name } } }]);
        let port = |port: u16| json!([{ "protocol": "TCP", "port": port }]);
        assert_eq!(
            policy["spec"]["egress"][0],
            json!({ "to": component("postgres"), "ports": port(5432) })
        );
        assert_eq!(
            policy["spec"]["egress"][1],
            json!({ "to": component("kafka"), "ports": port(9092) })
        );
        assert_eq!(
            policy["spec"]["egress"].as_array().unwrap().len(),
            3,
            "and the API server"
        );
        let gateway = &component("gateway")[0];
        for site in ["server", "client-1", "client-2", "client-3"] {
            let postgres = named(objects, Kind::NetworkPolicy, &format!("demo-{site}-postgres")).unwrap();
            assert!(
                postgres["spec"]["ingress"][0]["from"]
                    .as_array()
                    .unwrap()
                    .contains(gateway),
                "{site}"
            );
        }
        let kafka = named(objects, Kind::NetworkPolicy, "demo-kafka").unwrap();
        assert!(
            kafka["spec"]["ingress"][0]["from"]
                .as_array()
                .unwrap()
                .contains(gateway)
        );
    }
}

#[test]
fn the_gateway_may_look_at_pods_and_patch_one_resource() {
    let objects = plan(&valid());
    let rules = gateway(&objects, Kind::Role)["rules"].clone();
    assert_eq!(
        rules,
        json!([
            { "apiGroups": ["synccluster.dev"], "resources": ["syncclusters"], "resourceNames": ["demo"], "verbs": ["get", "list", "watch", "patch"] },
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] },
            { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
        ])
    );
    let subject = &gateway(&objects, Kind::RoleBinding)["subjects"][0];
    assert_eq!(
        (&subject["name"], &subject["namespace"]),
        (&json!("demo-gateway"), &json!("shop"))
    );
    let pod = gateway(&objects, Kind::Deployment)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["serviceAccountName"], "demo-gateway");
}

/// The operator cannot grant what it does not hold.
#[test]
fn the_chart_gives_the_operator_what_it_gives_the_gateway() {
    let chart = include_str!("../../../../charts/synccluster/templates/rbac.yaml");
    let rules = chart.split("---").next().unwrap().split_once("rules:\n").unwrap().1;
    let held: Vec<Value> = serde_yaml::from_str(rules).unwrap();
    let has = |rule: &Value, field: &str, value: &Value| rule[field].as_array().unwrap().contains(value);
    for granted in gateway(&plan(&valid()), Kind::Role)["rules"].as_array().unwrap() {
        for verb in granted["verbs"].as_array().unwrap() {
            let (group, resource) = (&granted["apiGroups"][0], &granted["resources"][0]);
            assert!(
                held.iter().any(|rule| has(rule, "apiGroups", group)
                    && has(rule, "resources", resource)
                    && has(rule, "verbs", verb)),
                "{verb} {resource}"
            );
        }
    }
}

#[test]
fn the_pods_are_told_what_the_gateway_reads() {
    let told = |gateway: Value| {
        let objects = plan(&with_gateway(gateway));
        let container =
            &named(&objects, Kind::Deployment, "demo-gateway").unwrap()["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["synccluster-gateway", "run"]));
        let ports: Vec<(&Value, &Value)> = container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| (&port["name"], &port["containerPort"]))
            .collect();
        assert_eq!(ports, [(&json!("http"), &json!(8080)), (&json!("web"), &json!(8000))]);
        let env = container["env"].as_array().unwrap();
        env.iter()
            .map(|env| {
                (
                    env["name"].as_str().unwrap().to_owned(),
                    env["value"].as_str().unwrap().to_owned(),
                )
            })
            .collect::<BTreeMap<_, _>>()
    };
    let plain = BTreeMap::from(
        [
            ("SYNC_CLUSTER", "demo"),
            ("SYNC_NAMESPACE", "shop"),
            ("SYNC_SITES_DIR", "/etc/synccluster/sites"),
            ("SYNC_ACCESS_DIR", "/etc/synccluster/access"),
            ("KAFKA_BOOTSTRAP_SERVERS", "demo-kafka:9092"),
            ("SYNC_TOPIC_REPLICATION", "1"),
            ("SYNC_LISTEN", "0.0.0.0:8080"),
            ("SYNC_WEB_LISTEN", "0.0.0.0:8000"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(told(json!({})), plain);
    let behind_proxy = told(json!({ "access": { "identity": { "editors": ["ann", "bob@example.com"] } } }));
    assert_eq!(behind_proxy["SYNC_IDENTITY_HEADER"], "X-Forwarded-User");
    assert_eq!(behind_proxy["SYNC_EDITORS"], "ann,bob@example.com");
    assert!(!told(json!({ "access": { "identity": {} } })).contains_key("SYNC_EDITORS"));
}

#[test]
fn each_site_is_a_folder_with_the_gateways_own_role() {
    let objects = plan(&valid());
    let volumes = gateway(&objects, Kind::Deployment)["spec"]["template"]["spec"]["volumes"].clone();
    let sources = volumes[0]["projected"]["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 4);
    assert_eq!(sources[2]["secret"]["name"], "demo-client-2-gateway");
    let paths: Vec<&str> = sources[2]["secret"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "client-2/username",
            "client-2/password",
            "client-2/host",
            "client-2/port",
            "client-2/dbname"
        ]
    );
    assert_eq!(volumes[1]["secret"]["secretName"], "demo-gateway");
}

#[test]
fn the_tokens_are_two_and_go_with_the_cluster() {
    let cluster = valid();
    let wanted = plan(&cluster)
        .secrets
        .into_iter()
        .find(|wanted| wanted.name == "demo-gateway")
        .unwrap();
    let mut drawn = 0;
    let secret = secrets::secret(&cluster, &wanted, &mut || {
        drawn += 1;
        format!("word{drawn}")
    });
    assert_eq!(
        secret["stringData"],
        json!({ "token": "word1", "viewer-token": "word2" })
    );
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], cluster.uid);
}

#[test]
fn resources_and_replicas_are_what_is_written() {
    let mut resource = with("/spec/gateway", json!({ "replicas": 3 }));
    set(
        &mut resource,
        "/spec/gateway/resources",
        json!({ "limits": { "memory": "1Gi" } }),
    );
    let deployment = gateway(&plan(&validated(resource)), Kind::Deployment);
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["resources"],
        json!({ "limits": { "memory": "1Gi" } })
    );
}
