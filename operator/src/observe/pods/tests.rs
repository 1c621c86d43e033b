use serde_json::{Value, json};

use super::*;
use crate::fixture::{after, now};

fn pod(status: Value) -> PodFact {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "demo-client-2-connector-x",
            "labels": { "app.kubernetes.io/component": "connector", "synccluster.dev/site": "client-2" },
            "annotations": { "synccluster.dev/template": "abc" },
        },
        "status": status,
    }))
    .unwrap();
    fact(
        &pod,
        &BTreeMap::from([((Component::Connector, Some(Site::Client(2))), "abc".to_owned())]),
        now(),
    )
    .unwrap()
}

fn waiting(name: &str, reason: &str, message: &str, last: Value) -> Value {
    let kind = if name == "schema" {
        "initContainerStatuses"
    } else {
        "containerStatuses"
    };
    json!({ kind: [{
        "name": name, "image": "synccluster:x", "imageID": "", "ready": false, "restartCount": 3,
        "state": { "waiting": { "reason": reason, "message": message } },
        "lastState": last,
    }] })
}

#[track_caller]
fn expect(status: Value, reason: &str, message: &str) {
    let problem = pod(status).problem.unwrap();
    assert!(
        problem.reason == reason && problem.message.contains(message),
        "{problem:?}"
    );
}

#[test]
fn a_pod_that_does_not_run_says_why() {
    let failed = |message: Value| json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": message } });
    expect(
        waiting(
            "schema",
            "CrashLoopBackOff",
            "back-off",
            failed(json!("V2__votes.sql: column exists already;\n remove the line")),
        ),
        "MigrationFailed",
        "V2__votes.sql: column exists already; remove the line",
    );
    expect(
        waiting("connector", "ImagePullBackOff", "not found", json!({})),
        "ImageCannotBePulled",
        "cannot get image synccluster:x: not found",
    );
    expect(
        waiting("connector", "ErrImageNeverPull", "", json!({})),
        "ImageCannotBePulled",
        "make it available",
    );
    expect(
        waiting("connector", "CreateContainerConfigError", "secret not found", json!({})),
        "ContainerCannotStart",
        "secret not found",
    );
    expect(
        waiting("connector", "CrashLoopBackOff", "", failed(json!("panicked"))),
        "CrashLooping",
        "panicked; see kubectl logs",
    );
    let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    expect(
        waiting("connector", "CrashLoopBackOff", "", killed),
        "CrashLooping",
        "raise the limit",
    );
    let unschedulable = |since: i64| {
        json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes",
            "lastTransitionTime": after(since).to_string(),
        }] })
    };
    expect(unschedulable(-10), "Unschedulable", "0/2 nodes");
    assert_eq!(pod(unschedulable(-9)).problem, None, "its volume may be on the way");
}

#[test]
fn a_migration_that_failed_is_said_before_it_is_tried_again() {
    let status = json!({ "initContainerStatuses": [{
        "name": "schema", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": 1, "message": "V1__x.sql: syntax error" } },
    }] });
    expect(status, "MigrationFailed", "V1__x.sql: syntax error");
}

/// What the pod says whose init container failed once and is in this state now.
fn failed_once(message: &str, state: Value, ready: bool) -> Option<Problem> {
    pod(json!({ "initContainerStatuses": [{
        "name": "schema", "image": "i", "imageID": "", "ready": ready, "restartCount": 1, "state": state,
        "lastState": { "terminated": { "exitCode": 1, "message": message } },
    }] }))
    .problem
}

#[test]
fn a_migration_that_succeeded_is_not_said_to_have_failed_because_one_before_it_did() {
    let said = |state: Value, ready| failed_once("V1__x.sql: syntax error", state, ready).map(|problem| problem.reason);
    assert_eq!(said(json!({ "terminated": { "exitCode": 0 } }), false), None);
    assert_eq!(said(json!({}), true), None);
    assert_eq!(
        said(json!({ "running": {} }), false),
        Some("MigrationFailed"),
        "it is tried again"
    );
    assert_eq!(
        said(json!({ "terminated": { "exitCode": 2 } }), false),
        Some("MigrationFailed")
    );
}

#[test]
fn a_postgres_that_lets_nobody_in_is_no_migration_that_failed() {
    // In the words of who says it.
    let refused = synccluster_runtime::postgres::Error::Connect {
        host: "demo-client-2.shop.svc".to_owned(),
        port: 5432,
        user: "sync_admin".to_owned(),
        reason: "connection refused".to_owned(),
    };
    let message = synccluster_schema::migrate::Error::from(refused).to_string();
    let problem = failed_once(&message, json!({ "running": {} }), false).unwrap();
    assert_eq!(problem.reason, "PostgresNotReached");
    assert!(
        problem.message.contains("connection refused; no migration ran"),
        "{problem:?}"
    );
}

#[test]
fn waiting_is_no_problem() {
    assert_eq!(pod(json!({})).problem, None);
    assert_eq!(
        pod(waiting("connector", "ContainerCreating", "", json!({}))).problem,
        None
    );
    assert_eq!(
        pod(waiting("connector", "PodInitializing", "", json!({}))).problem,
        None
    );
}

#[test]
fn a_pod_that_runs_has_no_problem_whatever_it_had_before() {
    let mut status = waiting(
        "connector",
        "CrashLoopBackOff",
        "",
        json!({ "terminated": { "exitCode": 1 } }),
    );
    status["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    let fact = pod(status);
    assert_eq!((fact.ready, fact.current, fact.problem), (true, true, None));
}

#[test]
fn a_long_message_keeps_the_end_that_matters() {
    let log = format!("{}FATAL: data directory has wrong version", "noise ".repeat(500));
    let last = json!({ "terminated": { "exitCode": 1, "message": log } });
    let problem = pod(waiting("postgres", "CrashLoopBackOff", "", last)).problem.unwrap();
    assert!(problem.message.contains("FATAL: data directory has wrong version") && problem.message.len() < 800);
}
