//! A server whose Postgres is somebody else's.

use super::*;
use crate::fixture::set;

fn external() -> Value {
    with(
        "/spec/server",
        json!({ "external": { "secret": "shop-postgres", "port": 6432 } }),
    )
}

#[test]
fn there_is_no_database_of_ours_and_everything_else_is() {
    let (own, theirs) = (plan(&valid()), plan(&validated(external())));
    let keys = |objects: &Objects| objects.apply.iter().map(Object::key).collect::<BTreeSet<_>>();
    let gone: Vec<Key> = keys(&own).difference(&keys(&theirs)).cloned().collect();
    let database = [
        (Kind::NetworkPolicy, "demo-server-postgres"),
        (Kind::Service, "demo-server"),
        (Kind::StatefulSet, "demo-server"),
    ];
    assert_eq!(gone, database.map(|(kind, name)| (kind, name.to_owned())));
    assert_eq!(keys(&theirs).difference(&keys(&own)).count(), 0);
    let made = |objects: &Objects| -> Vec<String> {
        let names = objects.secrets.iter().map(|wanted| wanted.name.clone());
        names.filter(|name| name.starts_with("demo-server-")).collect()
    };
    assert_eq!(
        made(&theirs),
        ["demo-server-connector", "demo-server-sink", "demo-server-gateway"],
        "its owner's Secret is application's and administrator's"
    );
}

#[test]
fn pods_of_other_sites_stay_as_they_are() {
    let (own, theirs) = (templates(&plan(&valid())), templates(&plan(&validated(external()))));
    for (name, template) in own.iter().filter(|(name, _)| name.contains("-client-")) {
        assert_eq!(Some(template), theirs.get(name), "{name}");
    }
}

/// What a volume of a pod is put together from.
fn sources(template: &Value, volume: &str) -> Vec<Value> {
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    let found = volumes.iter().find(|found| found["name"] == volume).unwrap();
    found["projected"]["sources"].as_array().unwrap().clone()
}

/// Those who look at the server from the side.
fn lookers() -> Value {
    let mut resource = external();
    set(&mut resource, "/spec/seeder", json!({}));
    let analytics = json!({
        "clickhouse": { "managed": {} },
        "superset": { "image": "superset:6" },
        "notebooks": { "image": "notebooks:4" },
    });
    set(&mut resource, "/spec/analytics", analytics);
    resource
}

#[test]
fn who_looks_from_the_side_reads_where_it_is_from_its_owners_secret_too() {
    let templates = templates(&plan(&validated(lookers())));
    for (name, volume, folder, user) in [
        ("demo-seeder", "sites", "server/", "shop-postgres"),
        ("demo-superset", "sites", "server/", "demo-server-gateway"),
        ("demo-notebooks", "sites", "server/", "demo-server-gateway"),
        ("demo-analytics", "postgres", "", "demo-server-connector"),
    ] {
        let sources = sources(&templates[name], volume);
        let whose = |key: &str| {
            let path = json!(format!("{folder}{key}"));
            let holds = |source: &&Value| {
                let items = source["secret"]["items"].as_array().unwrap();
                items.iter().any(|item| item["path"] == path)
            };
            sources.iter().find(holds).unwrap()["secret"]["name"].clone()
        };
        for key in ["username", "password"] {
            assert_eq!(whose(key), user, "{name}: {key}");
        }
        for key in ["host", "port", "dbname", "ca.crt", "sslmode"] {
            assert_eq!(whose(&format!("external/{key}")), "shop-postgres", "{name}: {key}");
        }
    }
}

#[test]
fn the_servers_workloads_read_where_it_is_from_its_owners_secret() {
    let templates = templates(&plan(&validated(external())));
    let sources = |of: &str, volume: &str| sources(&templates[of], volume);
    let sink = sources("demo-server-sink", "postgres");
    assert_eq!(sink[0]["secret"]["name"], "demo-server-sink");
    assert_eq!(sink[1]["secret"]["name"], "shop-postgres");
    assert_eq!(
        sink[1]["secret"]["optional"], true,
        "a pod does not wait for somebody else's Secret"
    );
    let paths: Vec<&str> = sink[1]["secret"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "external/host",
            "external/port",
            "external/dbname",
            "external/ca.crt",
            "external/sslmode"
        ]
    );
    let password = |sources: &[Value]| {
        let with = sources
            .iter()
            .find(|source| source["secret"]["items"].to_string().contains("password"));
        with.unwrap()["secret"]["name"].clone()
    };
    assert_eq!(password(&sources("demo-server-connector", "admin")), "shop-postgres");
    assert_eq!(password(&sources("demo-server-connector", "app")), "shop-postgres");
    assert_eq!(
        password(&sources("demo-server-connector", "postgres")),
        "demo-server-connector"
    );
    assert_eq!(sources("demo-server-connector", "roles").len(), 3);
    let of_server = sources("demo-gateway", "sites");
    assert!(
        of_server[1].to_string().contains("server/external/host"),
        "{of_server:?}"
    );
    let written = serde_json::to_string(&templates).unwrap();
    assert!(!written.contains("PASSWORD\""), "no password in the environment");
}

#[test]
fn its_workloads_are_let_out_to_it_and_the_cut_stays_a_cut() {
    let mut resource = lookers();
    set(&mut resource, "/spec/partition", json!({ "server": true }));
    let objects = plan(&validated(resource.clone()));
    let egress = |name: &str| named(&objects, Kind::NetworkPolicy, name).unwrap()["spec"]["egress"].clone();
    let anywhere = json!([{ "ipBlock": { "cidr": "0.0.0.0/0" } }, { "ipBlock": { "cidr": "::/0" } }]);
    let out = json!({ "to": anywhere, "ports": [{ "protocol": "TCP", "port": 6432 }] });
    assert_eq!(egress("demo-server-database"), json!([out]));
    for name in [
        "demo-gateway",
        "demo-seeder",
        "demo-analytics",
        "demo-superset",
        "demo-notebooks",
    ] {
        assert!(egress(name).as_array().unwrap().contains(&out), "{name}");
    }
    for edge in ["demo-server-uplink", "demo-server-downlink"] {
        assert!(named(&objects, Kind::NetworkPolicy, edge).is_none(), "{edge}");
    }
    let clients = named(&objects, Kind::NetworkPolicy, "demo-client-1-database").unwrap();
    assert!(!clients.to_string().contains("ipBlock"), "a client stays with its own");

    let peers = json!([{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "databases" } } }]);
    set(&mut resource, "/spec/server/external/peers", peers.clone());
    let objects = plan(&validated(resource));
    let policy = named(&objects, Kind::NetworkPolicy, "demo-server-database").unwrap();
    assert_eq!(policy["spec"]["egress"][0]["to"], peers);
}
