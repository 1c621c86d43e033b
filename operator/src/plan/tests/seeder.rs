//! The seeder.

use super::*;

fn seeding() -> ValidatedCluster {
    validated(with("/spec/seeder", json!({})))
}

#[test]
fn there_is_no_seeder_unless_it_is_wanted() {
    let objects = plan(&valid());
    assert!(objects.apply.iter().all(|object| object.name != "demo-seeder"));
    assert!(objects.secrets.iter().all(|wanted| wanted.name != "demo-seeder"));
}

#[test]
fn it_is_the_application_of_every_site_and_only_pods_with_its_label_reach_it() {
    let objects = plan(&seeding());
    let set = named(&objects, Kind::StatefulSet, "demo-seeder").unwrap();
    let sources = set.pointer("/spec/template/spec/volumes/0/projected/sources").unwrap();
    let secrets = sources
        .as_array()
        .unwrap()
        .iter()
        .map(|source| &source["secret"]["name"]);
    assert_eq!(
        secrets.collect::<Vec<_>>(),
        [
            "demo-server-app",
            "demo-client-1-app",
            "demo-client-2-app",
            "demo-client-3-app"
        ]
    );
    assert!(
        set.pointer("/spec/template/spec/serviceAccountName").is_none(),
        "it asks Kubernetes nothing"
    );
    let policy = named(&objects, Kind::NetworkPolicy, "demo-seeder").unwrap();
    let callers = policy
        .pointer("/spec/ingress/0/from/0/podSelector/matchLabels")
        .unwrap();
    assert_eq!(callers, &json!({ "synccluster.dev/access": "demo-seeder" }));
    assert!(objects.secrets.iter().any(|wanted| wanted.name == "demo-seeder"));
    let service = named(&objects, Kind::Service, "demo-seeder").unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 80);
}

#[test]
fn a_cut_does_not_take_a_site_away_from_it() {
    let mut resource = with("/spec/seeder", json!({}));
    crate::fixture::set(
        &mut resource,
        "/spec/partition",
        json!({ "clients": [2], "server": true }),
    );
    let into = |cluster: &ValidatedCluster| {
        named(&plan(cluster), Kind::NetworkPolicy, "demo-client-2-postgres")
            .cloned()
            .unwrap()
    };
    let cut = into(&validated(resource));
    assert_eq!(into(&seeding()), cut);
    let from = cut["spec"]["ingress"][0]["from"].to_string();
    assert!(from.contains(r#""app.kubernetes.io/component":"seeder""#), "{from}");
}
