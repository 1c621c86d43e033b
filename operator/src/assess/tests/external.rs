//! A server whose Postgres is somebody else's.

use serde_json::json;

use super::*;
use crate::api::ExternalPostgres;
use crate::external::ServerFact;
use crate::fixture::{validated, with};

fn external() -> ValidatedCluster {
    validated(with(
        "/spec/server",
        json!({ "external": { "secret": "shop-postgres" } }),
    ))
}

fn holding(line: &str) -> ServerFact {
    ServerFact {
        problem: None,
        holds: Some(ExternalPostgres {
            address: "db.example.com:5432/shop".to_owned(),
            made: vec![line.to_owned()],
        }),
    }
}

#[test]
fn nobody_waits_for_a_database_that_is_not_ours() {
    let cluster = external();
    let mut seen = observed(&cluster);
    seen.pods
        .retain(|pod| (pod.site, pod.component) != (Some(Site::Server), Component::Postgres));
    seen.server = Some(holding("slot demo_server"));
    let status = assess(&cluster, &seen, &SyncClusterStatus::default(), now());
    assert!(is(&status, "Ready", "True"), "{:?}", condition(&status, "Ready"));
    let there = status.external.clone().unwrap().postgres.unwrap();
    assert_eq!(there.made, ["slot demo_server"]);

    // It cannot be reached: it still holds what it held, and that is the one thing that is said.
    seen.server = Some(ServerFact {
        problem: Some(Problem {
            reason: "ExternalPostgresUnreachable",
            message: "the server's Postgres cannot be used".to_owned(),
        }),
        holds: None,
    });
    let after = assess(&cluster, &seen, &status, now());
    assert!(is(&after, "Stalled", "True") && is(&after, "Ready", "False"));
    assert_eq!(
        condition(&after, "Stalled").unwrap().reason,
        "ExternalPostgresUnreachable"
    );
    assert_eq!(after.external, status.external);
}

#[test]
fn without_one_nothing_is_said_of_it() {
    let cluster = valid();
    let status = assess(&cluster, &observed(&cluster), &SyncClusterStatus::default(), now());
    assert_eq!(status.external, None);
}
