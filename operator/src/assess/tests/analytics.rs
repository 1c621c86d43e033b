//! AnalyticsReady.

use synccluster_protocol::status::AnalyticsPhase;

use serde_json::json;

use super::*;
use crate::dereference::Dereferenced;
use crate::fixture;
use crate::validate::validate;

fn cluster() -> ValidatedCluster {
    fixture::validated(fixture::with(
        "/spec/analytics",
        json!({ "clickhouse": { "managed": {} } }),
    ))
}

/// What is said after one thing was spoiled.
fn said(spoil: impl FnOnce(&mut Observed)) -> (String, String, String) {
    let cluster = cluster();
    let mut observed = fixture::observed(&cluster);
    spoil(&mut observed);
    let status = assess(&cluster, &observed, &SyncClusterStatus::default(), fixture::now());
    let condition = condition(&status, "AnalyticsReady").unwrap().clone();
    assert!(is(&status, "Ready", "True"), "sites do not wait for analytics");
    (condition.status, condition.reason, condition.message)
}

#[test]
fn without_clickhouse_there_is_nothing_to_be_ready() {
    let cluster = fixture::valid();
    let status = assess(
        &cluster,
        &fixture::observed(&cluster),
        &SyncClusterStatus::default(),
        fixture::now(),
    );
    assert_eq!(condition(&status, "AnalyticsReady").unwrap().reason, "NoAnalytics");
    assert_eq!(status.analytics, None);
}

#[test]
fn definitions_are_judged_before_the_sink_has_them() {
    let tables = json!({ "configMap": { "name": "mine" } });
    let clickhouse = json!({ "clickhouse": { "managed": {}, "tables": tables } });
    let judged = |text: Option<&str>| {
        let found = Dereferenced {
            definitions: text.map(|text| [("tables.yaml".to_owned(), text.to_owned())].into()),
            ..fixture::found()
        };
        let resource = fixture::with("/spec/analytics", clickhouse.clone());
        let cluster = validate(&serde_json::from_value(resource).unwrap(), found, &fixture::settings()).unwrap();
        let status = assess(
            &cluster,
            &fixture::observed(&cluster),
            &SyncClusterStatus::default(),
            fixture::now(),
        );
        assert!(is(&status, "Ready", "True"), "sites do not wait for definitions");
        status
    };
    for (text, part) in [
        (None, "ConfigMap mine does not exist: create it"),
        (
            Some("tables: [{source: public.todos, nmae: x}]"),
            "unknown field `nmae`",
        ),
        (
            Some("tables: [{source: public.tods}]"),
            "public.tods, and no enrolled table is called so",
        ),
    ] {
        expect(&judged(text), "AnalyticsReady", "False/DefinitionsInvalid", part);
    }
    let right = judged(Some("tables: [{source: public.todos, name: tasks}]"));
    expect(&right, "AnalyticsReady", "True/Writing", "");
}

#[test]
fn what_is_written_is_ready_and_its_lag_is_shown() {
    assert_eq!(said(|_| {}).0, "True");
    let cluster = cluster();
    let status = assess(
        &cluster,
        &fixture::observed(&cluster),
        &SyncClusterStatus::default(),
        fixture::now(),
    );
    let analytics = status.analytics.unwrap();
    assert_eq!(
        (
            analytics.secret.as_str(),
            analytics.lag_records,
            analytics.rebuild_percent
        ),
        ("demo-clickhouse", Some(0), None)
    );
    assert_eq!(analytics.tables[0].table, "todos");
}

#[test]
fn each_obstacle_has_its_reason_and_what_to_do() {
    type Spoil = fn(&mut Observed);
    let cases: [(Spoil, &str, &str, &str); 8] = [
        (|o| o.analytics = None, "Unknown", "CannotSee", "demo-analytics"),
        (
            |o| {
                let said = o.analytics.as_mut().unwrap();
                (said.phase, said.error) = (
                    AnalyticsPhase::Failing,
                    Some("ClickHouse at http://x: refused".to_owned()),
                );
            },
            "False",
            "Failing",
            "http://x",
        ),
        (
            |o| o.analytics.as_mut().unwrap().phase = AnalyticsPhase::Cut,
            "False",
            "KafkaUnreachable",
            "keeps",
        ),
        (
            |o| o.analytics.as_mut().unwrap().definitions_problem = Some("the definitions cannot be read".to_owned()),
            "False",
            "DefinitionsInvalid",
            "cannot be read",
        ),
        (
            |o| o.analytics.as_mut().unwrap().tables[0].problem = Some("drop table todos".to_owned()),
            "False",
            "TablesNotWritten",
            "public.todos is not written: drop table todos",
        ),
        (
            |o| o.analytics.as_mut().unwrap().rebuilding_to = Some(40),
            "False",
            "Rebuilding",
            "25 %",
        ),
        (
            |o| o.analytics.as_mut().unwrap().windows_problem = Some("likes by window: refused".to_owned()),
            "False",
            "WindowsNotWritten",
            "likes by window: refused; the sites' rows are written",
        ),
        (
            |o| o.analytics.as_mut().unwrap().parked = 3,
            "False",
            "RowsLeftOut",
            "3 rows",
        ),
    ];
    for (spoil, status, reason, part) in cases {
        let (said_status, said_reason, message) = said(spoil);
        assert_eq!(
            (said_status.as_str(), said_reason.as_str()),
            (status, reason),
            "{message}"
        );
        assert!(message.contains(part), "{message}");
    }
}
