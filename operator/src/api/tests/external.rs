//! The rules of `spec.server`.

use serde_json::json;

use super::{accepted, change_refused, messages, refused};
use crate::fixture::{resource, set, with};

#[test]
fn a_server_of_somebody_elses_is_named_by_its_secret() {
    accepted("/spec/server", json!({}));
    accepted("/spec/server", json!({ "external": { "secret": "shop-postgres" } }));
    let peers = json!([
        { "ipBlock": { "cidr": "192.0.2.0/24" } },
        { "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "postgres" } } },
    ]);
    accepted(
        "/spec/server",
        json!({ "external": { "secret": "shop-postgres", "port": 6432, "peers": peers } }),
    );
    refused(
        "/spec/server",
        json!({ "external": { "secret": "Shop_Postgres" } }),
        "server.external.secret must be the name of a Secret",
    );
    refused(
        "/spec/server",
        json!({ "external": { "secret": "shop-postgres", "port": 0 } }),
        "server.external.port must be between 1 and 65535",
    );
}

#[test]
fn either_engine_reads_it() {
    let mut both = with("/spec/server", json!({ "external": { "secret": "shop-postgres" } }));
    set(&mut both, "/spec/connector", json!({ "engine": "Debezium" }));
    assert_eq!(messages(&both, None), Vec::<String>::new());
}

#[test]
fn whose_the_server_is_stays() {
    let external = |secret: &str| json!({ "external": { "secret": secret } });
    let expected = "server.external cannot be added to, or taken from, a SyncCluster that exists";
    change_refused("/spec/server", json!({}), external("shop-postgres"), expected);
    change_refused("/spec/server", external("shop-postgres"), json!({}), expected);
    let (old, new) = (with("/spec/server", external("a")), with("/spec/server", external("b")));
    assert_eq!(
        messages(&new, Some(&old)),
        Vec::<String>::new(),
        "another Secret may say the same"
    );
    // One that was made before there was the field.
    assert_eq!(messages(&resource(), Some(&resource())), Vec::<String>::new());
    let added = messages(&with("/spec/server", external("a")), Some(&resource()));
    assert!(added.len() == 1 && added[0].contains(expected), "{added:?}");
}
