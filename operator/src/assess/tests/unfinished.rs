//! What is said when a look could not be finished.

use serde_json::json;

use super::*;
use crate::fixture::cut;

const WEBHOOK: (&str, &str) = (
    "ApplyFailed",
    "cannot apply StatefulSet demo-server: the webhook answered 500",
);

#[test]
fn what_was_known_stays_and_what_is_tried_again_is_said_once() {
    let before = settled(&valid(), &observed(&valid()));
    let status = unfinished(WEBHOOK, Some(&valid()), &before, 8, after(30));
    expect(
        &status,
        "Reconciling",
        "True/ApplyFailed",
        "the webhook answered 500; it is tried again",
    );
    expect(&status, "Ready", "True/Running", "");
    let generation = |type_| condition(&status, type_).unwrap().observed_generation;
    assert_eq!((generation("Reconciling"), generation("Ready")), (Some(8), Some(7)));
    assert_eq!(status.observed_generation, Some(7), "the newer one was not done");
    assert_eq!(status.sites, before.sites);
    assert!(worth_writing(&before, &status, Some(now()), after(30)));

    let again = unfinished(WEBHOOK, Some(&valid()), &status, 8, after(60));
    assert!(!worth_writing(&status, &again, Some(after(30)), after(60)));
    let well = assess(&valid(), &observed(&valid()), &again, after(70));
    expect(&well, "Reconciling", "False/Settled", "");
}

#[test]
fn a_resource_that_was_never_looked_at_has_all_conditions() {
    let status = unfinished(
        ("CannotSee", "cannot read Secrets"),
        None,
        &SyncClusterStatus::default(),
        1,
        now(),
    );
    assert_eq!(status.conditions.len(), CONDITIONS.len());
    expect(&status, "Reconciling", "True/CannotSee", "cannot read Secrets");
    expect(&status, "Ready", "Unknown/Starting", "see condition Reconciling");
    assert_eq!(status.observed_generation, None);
    assert!(crate::events::between(&SyncClusterStatus::default(), &status).is_empty());
}

#[test]
fn a_partition_begins_and_is_over_whatever_cannot_be_applied() {
    let cut = cut(json!({ "clients": [2], "healAfter": "5m" }));
    let before = settled(&valid(), &observed(&valid()));
    let first = unfinished(WEBHOOK, Some(&cut), &before, 8, now());
    let later = unfinished(WEBHOOK, Some(&cut), &first, 8, after(100));
    assert_eq!(crate::heal::seconds_left(&later, after(299)), Some(1));
    assert_eq!(crate::heal::seconds_left(&later, after(300)), Some(0));

    let healing = unfinished(WEBHOOK, Some(&valid()), &later, 9, after(310));
    assert_eq!(healing.partition, later.partition, "the look that sees the end says so");
    let unseen = unfinished(("CannotSee", "cannot read Secrets"), None, &later, 8, after(310));
    assert_eq!(unseen.partition, later.partition);
}
