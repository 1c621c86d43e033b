//! Statements about rows that are sent once more.

use serde_json::json;
use synccluster_protocol::status::{ResnapshotRequest, ResnapshotStatus};

use super::*;
use crate::api::{RESNAPSHOT_ANNOTATION, ResnapshotState};
use crate::fixture::{after, observed, set, validated, with};
use crate::resnapshot::{Step, step};

fn asked(annotation: &str) -> ValidatedCluster {
    validated(with(
        "/metadata/annotations",
        json!({ RESNAPSHOT_ANNOTATION: annotation }),
    ))
}

fn taken(id: &str, done: bool) -> ResnapshotStatus {
    ResnapshotStatus {
        id: id.to_owned(),
        only: None,
        table: Some("public.todos".to_owned()),
        rows: 1000,
        expected: Some(5000),
        began_at: NOW * 1000,
        done,
        done_at: done.then_some(NOW * 1000),
        problem: None,
        error: None,
    }
}

#[test]
fn a_request_is_told_under_one_name_until_it_is_done_and_then_its_annotation_goes() {
    let cluster = asked("client-2/public.todos");
    let mut seen = observed(&cluster);
    let first = assess(&cluster, &seen, &SyncClusterStatus::default(), now());
    let said = first.resnapshot.clone().unwrap();
    assert_eq!(said.state, ResnapshotState::Waiting);
    let request = ResnapshotRequest {
        id: said.id.clone(),
        table: Some("public.todos".to_owned()),
    };
    assert_eq!(step(&cluster, &seen, &first), Step::Tell(Site::Client(2), request));

    connector(&mut seen, Site::Client(2)).resnapshot = Some(taken("another", true));
    let second = assess(&cluster, &seen, &first, after(5));
    let again = second.resnapshot.clone().unwrap();
    assert_eq!(
        (&again.id, &again.since, again.state),
        (&said.id, &said.since, ResnapshotState::Waiting)
    );

    connector(&mut seen, Site::Client(2)).resnapshot = Some(taken(&said.id, false));
    let sending = assess(&cluster, &seen, &second, after(6));
    let now_said = sending.resnapshot.clone().unwrap();
    assert_eq!(
        now_said.message,
        "client-2 has sent 1000 rows of about 5000, now public.todos"
    );
    assert_eq!(step(&cluster, &seen, &sending), Step::Nothing);
    let site = sending.sites.iter().find(|site| site.name == "client-2").unwrap();
    assert_eq!(site.snapshot.as_ref().unwrap().rows, 1000);

    // What does not go on says why and keeps its name: the connector tries again.
    connector(&mut seen, Site::Client(2)).resnapshot = Some(ResnapshotStatus {
        error: Some("cannot read public.todos: grant select".to_owned()),
        ..taken(&said.id, false)
    });
    let sending = assess(&cluster, &seen, &sending, after(6));
    let failing = sending.resnapshot.clone().unwrap();
    assert_eq!(
        (&failing.id, failing.state, &*failing.message),
        (
            &said.id,
            ResnapshotState::Failing,
            "cannot read public.todos: grant select"
        )
    );
    assert_eq!(step(&cluster, &seen, &sending), Step::Nothing);

    connector(&mut seen, Site::Client(2)).resnapshot = Some(taken(&said.id, true));
    let done = assess(&cluster, &seen, &sending, after(7));
    assert_eq!(step(&cluster, &seen, &done), Step::Finish);
    // Without the annotation nothing is said; with the same one again it is another request.
    let quiet = assess(&valid(), &seen, &done, after(8));
    assert_eq!(quiet.resnapshot, None);
    let anew = assess(&cluster, &seen, &quiet, after(9)).resnapshot.unwrap();
    assert!(anew.id != said.id && anew.state == ResnapshotState::Waiting, "{anew:?}");
}

#[test]
fn the_connector_of_either_engine_is_told() {
    let mut resource = with("/metadata/annotations", json!({ RESNAPSHOT_ANNOTATION: "server" }));
    set(&mut resource, "/spec/connector", json!({ "engine": "Debezium" }));
    let cluster = validated(resource);
    let seen = observed(&cluster);
    let status = assess(&cluster, &seen, &SyncClusterStatus::default(), now());
    let id = status.resnapshot.clone().unwrap().id;
    let request = ResnapshotRequest { id, table: None };
    assert_eq!(step(&cluster, &seen, &status), Step::Tell(Site::Server, request));
}

#[test]
fn what_cannot_be_done_is_said_and_nobody_is_told() {
    let cluster = asked("client-9");
    let seen = observed(&cluster);
    let status = assess(&cluster, &seen, &SyncClusterStatus::default(), now());
    let said = status.resnapshot.clone().unwrap();
    assert_eq!(said.state, ResnapshotState::Refused);
    assert!(said.message.contains("spec.clients is 3"), "{}", said.message);
    assert_eq!(step(&cluster, &seen, &status), Step::Nothing);
    expect(&status, "Ready", "True/Running", "run");

    let cluster = asked("client-1");
    let mut seen = observed(&cluster);
    seen.connectors.remove(&Site::Client(1));
    let status = assess(&cluster, &seen, &SyncClusterStatus::default(), now());
    assert_eq!(status.resnapshot.as_ref().unwrap().state, ResnapshotState::Waiting);
    assert_eq!(
        step(&cluster, &seen, &status),
        Step::Nothing,
        "it is told when it can be asked"
    );
}
