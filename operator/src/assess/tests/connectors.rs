//! Statements about connectors and what is asked of them.

use serde_json::json;
use synccluster_protocol::status::{ConnectRequest, ConnectStatus, ConnectTask, ConnectorPhase, RequestKind};

use super::*;
use crate::api::ConnectorRequestState;
use crate::connectors::{Step, steps};
use crate::dereference::Dereferenced;
use crate::fixture::{found, set, settings, validated, with};
use crate::validate::validate;

fn debezium(annotation: Option<&str>) -> ValidatedCluster {
    let mut resource = with("/spec/connector", json!({ "engine": "Debezium" }));
    if let Some(value) = annotation {
        set(
            &mut resource,
            "/metadata/annotations",
            json!({ "synccluster.dev/connector-reset": value }),
        );
    }
    validated(resource)
}

fn look(cluster: &ValidatedCluster, seen: &Observed, previous: &SyncClusterStatus) -> SyncClusterStatus {
    assess(cluster, seen, previous, now())
}

#[test]
fn a_connector_that_fails_starts_or_waits_is_named_with_what_to_do() {
    let cases: [(ConnectorPhase, &str, &str); 4] = [
        (
            ConnectorPhase::Failing,
            "False/ConnectorFailing",
            "client-2: no such column; it is tried again",
        ),
        (ConnectorPhase::Starting, "False/Starting", "client-2 starts"),
        (
            ConnectorPhase::Paused,
            "False/Paused",
            "client-2 waits because somebody asked it to",
        ),
        (ConnectorPhase::Cut, "True/Running", ""),
    ];
    for (phase, verdict, message) in cases {
        let cluster = debezium(None);
        let mut seen = observed(&cluster);
        connector(&mut seen, Site::Client(2)).phase = phase;
        connector(&mut seen, Site::Client(2)).error = Some("no such column".to_owned());
        expect(
            &look(&cluster, &seen, &SyncClusterStatus::default()),
            "ConnectorsRun",
            verdict,
            message,
        );
    }
    let cluster = debezium(None);
    let mut seen = observed(&cluster);
    seen.connectors.remove(&Site::Client(3));
    expect(
        &look(&cluster, &seen, &SyncClusterStatus::default()),
        "ConnectorsRun",
        "Unknown/CannotSee",
        "client-3",
    );
}

#[test]
fn a_template_that_is_wrong_is_said_and_nothing_else_stops() {
    let connector = json!({ "engine": "Debezium", "templates": { "configMap": { "name": "mine" } } });
    let judged = |template: Option<&str>, keys: &[&str], verdict: &str, message: &str| {
        let found = Dereferenced {
            templates: template.map(|text| [("connector.properties".to_owned(), text.to_owned())].into()),
            template_secrets: [("tls".to_owned(), keys.iter().map(|key| (*key).to_owned()).collect())].into(),
            ..found()
        };
        let resource = serde_json::from_value(with("/spec/connector", connector.clone())).unwrap();
        let cluster = validate(&resource, found, &settings()).unwrap();
        let status = look(&cluster, &observed(&cluster), &SyncClusterStatus::default());
        expect(&status, "ConnectorsRun", verdict, message);
        expect(&status, "Ready", "True/Running", "");
    };
    let missing = "ConfigMap mine does not exist: create it";
    judged(None, &[], "False/TemplateRefused", missing);
    let with_secret = Some("database.sslpassword=${secret:tls/password}");
    let lacking = "Secret tls has no key password: add it, or name another; connectors that run go on as they are";
    judged(with_secret, &["pass"], "False/TemplateRefused", lacking);
    judged(with_secret, &["pass", "password"], "True/Running", "");
}

#[test]
fn what_connect_says_is_in_the_status_of_the_site() {
    let cluster = debezium(None);
    let mut seen = observed(&cluster);
    connector(&mut seen, Site::Client(1)).connect = Some(ConnectStatus {
        connector: "RUNNING".to_owned(),
        version: "3.7.0.Final".to_owned(),
        tasks: vec![ConnectTask {
            id: 0,
            state: "FAILED".to_owned(),
            error: Some("no route".to_owned()),
        }],
        restarts: 2,
        ..ConnectStatus::default()
    });
    let status = look(&cluster, &seen, &SyncClusterStatus::default());
    let said = status.sites[1].uplink.as_ref().unwrap().connector.as_ref().unwrap();
    assert_eq!(
        (&*said.state, said.restarts, said.tasks[0].error.as_deref()),
        ("RUNNING", 2, Some("no route"))
    );
    assert_eq!(status.sites[2].uplink.as_ref().unwrap().connector, None);
}

#[test]
fn a_request_is_told_under_one_name_until_every_site_has_done_it_and_then_its_annotation_goes() {
    let cluster = debezium(Some("client-1,client-2"));
    let mut seen = observed(&cluster);
    let first = look(&cluster, &seen, &SyncClusterStatus::default());
    let said = first.connector_requests[0].clone();
    assert_eq!((said.state, &*said.what), (ConnectorRequestState::Waiting, "reset"));
    let request = ConnectRequest {
        what: RequestKind::Reset,
        id: said.id.clone(),
    };
    let tell = |client| Step::Tell(Site::Client(client), request.clone());
    assert_eq!(steps(&cluster, &seen, &first), [tell(1), tell(2)]);
    for (client, left) in [(1, Some(tell(2))), (2, None)] {
        connector(&mut seen, Site::Client(client)).connect = Some(ConnectStatus {
            done: vec![request.clone()],
            ..ConnectStatus::default()
        });
        let next = look(&cluster, &seen, &first);
        assert_eq!(next.connector_requests[0].id, said.id);
        let finish = Step::Finish(cluster.connector_requests[0].clone());
        assert_eq!(steps(&cluster, &seen, &next), [left.unwrap_or(finish)]);
    }
    // The same again, later, is another request.
    let again = assess(&cluster, &seen, &SyncClusterStatus::default(), after(9));
    assert_ne!(again.connector_requests[0].id, said.id);
}

#[test]
fn what_cannot_be_asked_is_refused_and_stays() {
    let native = validated(with(
        "/metadata/annotations",
        json!({ "synccluster.dev/connector-pause": "client-1" }),
    ));
    for (cluster, why) in [
        (native, "spec.connector.engine is Native"),
        (debezium(Some("client-9")), "spec.clients is 3"),
    ] {
        let seen = observed(&cluster);
        let status = look(&cluster, &seen, &SyncClusterStatus::default());
        let said = &status.connector_requests[0];
        assert_eq!(said.state, ConnectorRequestState::Refused);
        assert!(said.message.contains(why), "{}", said.message);
        assert_eq!(steps(&cluster, &seen, &status), []);
    }
}
