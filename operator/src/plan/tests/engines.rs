//! Statements about engine Debezium.

use super::*;
use crate::api::SyncCluster;
use crate::dereference::Dereferenced;
use crate::fixture::{found, settings};
use crate::validate::validate;

/// A cluster of engine Debezium with this template.
fn debezium(template: Option<&str>) -> ValidatedCluster {
    let connector = json!({ "engine": "Debezium", "templates": { "configMap": { "name": "mine" } } });
    let cluster: SyncCluster = serde_json::from_value(with("/spec/connector", connector)).unwrap();
    let found = Dereferenced {
        templates: template.map(|text| BTreeMap::from([("connector.properties".to_owned(), text.to_owned())])),
        template_secrets: [("site.tls".to_owned(), BTreeSet::from(["password".to_owned()]))].into(),
        ..found()
    };
    validate(&cluster, found, &settings()).unwrap()
}

#[test]
fn a_connector_keeps_its_name_its_labels_and_its_edges_whatever_its_engine() {
    let (native, debezium) = (plan(&valid()), plan(&debezium(Some(""))));
    let keys = |objects: &Objects| objects.apply.iter().map(Object::key).collect::<Vec<_>>();
    assert_eq!(keys(&native), keys(&debezium));
    for object in native.apply.iter().filter(|object| object.kind == Kind::NetworkPolicy) {
        assert_eq!(Some(&object.body), named(&debezium, Kind::NetworkPolicy, &object.name));
    }
    let (before, after) = (templates(&native), templates(&debezium));
    for (name, template) in &before {
        assert_eq!(&after[name] != template, name.ends_with("-connector"), "{name}");
        assert_eq!(after[name]["metadata"]["labels"], template["metadata"]["labels"]);
    }
}

#[test]
fn a_worker_has_the_migrations_before_it_our_program_in_it_and_the_secrets_its_template_names() {
    let objects = plan(&debezium(Some("database.sslpassword=${secret:site.tls/password}")));
    let body = named(&objects, Kind::Deployment, "demo-client-2-connector").unwrap();
    let deployment: Deployment = serde_json::from_value(body.clone()).unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let init: Vec<_> = pod
        .init_containers
        .unwrap()
        .into_iter()
        .map(|container| (container.name, container.image.unwrap()))
        .collect();
    let ours = || "synccluster/synccluster:test".to_owned();
    assert_eq!(init, [("schema".to_owned(), ours()), ("engine".to_owned(), ours())]);
    let container = &pod.containers[0];
    assert_eq!(container.image.as_deref(), Some("synccluster/connect:test"));
    assert_eq!(
        container.command.as_ref().unwrap(),
        &["/engine/synccluster-debezium", "run"]
    );
    let context = container.security_context.as_ref().unwrap();
    assert_eq!(context.read_only_root_filesystem, Some(true));
    let mounts: Vec<&str> = container
        .volume_mounts
        .as_ref()
        .unwrap()
        .iter()
        .map(|mount| mount.mount_path.as_str())
        .collect();
    let expected = [
        "/etc/synccluster/postgres",
        "/engine",
        "/tmp",
        "/etc/synccluster/templates",
        "/etc/synccluster/secrets/site.tls",
    ];
    assert_eq!(mounts, expected);
    let secret = pod
        .volumes
        .unwrap()
        .into_iter()
        .find(|volume| volume.name == "secret-0")
        .unwrap()
        .secret
        .unwrap();
    assert_eq!(
        (secret.secret_name.as_deref(), secret.optional),
        (Some("site.tls"), Some(true))
    );
}

#[test]
fn a_changed_template_restarts_the_connectors_and_nothing_else() {
    let (before, after) = (
        templates(&plan(&debezium(Some("")))),
        templates(&plan(&debezium(Some("max.batch.size=9")))),
    );
    for (name, template) in &before {
        assert_eq!(&after[name] != template, name.ends_with("-connector"), "{name}");
    }
}

#[test]
fn a_template_that_is_missing_or_wrong_leaves_the_connectors_as_they_are() {
    for template in [
        None,
        Some("slot.name=mine"),
        Some("a=${b}"),
        Some("a=${secret:site.tls/key}"),
        Some("a=${secret:other/password}"),
    ] {
        let objects = plan(&debezium(template));
        assert!(named(&objects, Kind::Deployment, "demo-client-2-connector").is_none());
        assert_eq!(objects.keep.len(), 4);
        assert!(named(&objects, Kind::Deployment, "demo-client-2-sink").is_some());
    }
}
