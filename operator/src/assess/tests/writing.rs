//! When a status is worth writing.

use serde_json::json;

use super::cutting::partitioned;
use super::*;

#[test]
fn a_quiet_cluster_causes_no_writes() {
    let cluster = valid();
    let before = settled(&cluster, &observed(&cluster));
    let mut seen = observed(&cluster);
    for connector in seen.connectors.values_mut() {
        connector.link.probed_at = Some((NOW + 100) * 1000);
        connector.lag_bytes = Some(5000);
    }
    let later = assess(&cluster, &digested(seen, 100), &before, after(100));
    assert!(!worth_writing(&before, &later, Some(now()), after(100)));
    assert!(!worth_writing(&before, &later, None, after(100)));
}

#[test]
fn what_matters_is_written_at_once_and_numbers_now_and_then() {
    let cluster = valid();
    let before = settled(&cluster, &observed(&cluster));
    let mut numbers = before.clone();
    numbers.sites[1].conflicts = Some(3);
    assert!(!worth_writing(&before, &numbers, Some(now()), after(4)));
    assert!(worth_writing(&before, &numbers, Some(now()), after(5)));
    let mut important = before.clone();
    important.conditions[0].status = "False".to_owned();
    assert!(worth_writing(&before, &important, Some(now()), now()));
}

#[test]
fn a_cut_proves_every_minute_that_it_is_watched() {
    let before = partitioned(json!({ "clients": [2] }), |_| {});
    let later = |seconds: i64| {
        let mut later = before.clone();
        for site in &mut later.sites {
            site.connectivity.probed_at = at((NOW - 1 + seconds) * 1000);
        }
        worth_writing(&before, &later, Some(now()), after(seconds))
    };
    assert_eq!((later(59), later(60)), (false, true));
}
