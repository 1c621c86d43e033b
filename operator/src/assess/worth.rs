//! When a status is worth writing. Every write wakes everybody who watches; a quiet cluster causes none.

use k8s_openapi::jiff::Timestamp;

use crate::api::{Connectivity, Desired, SyncClusterStatus};

/// How often numbers that move all the time are written.
const NUMBERS_SECONDS: i64 = 5;
/// How often a cut proves that it is still watched.
const PROOF_SECONDS: i64 = 60;
/// WAL moves a little even when nothing happens; only whole segments count.
const SEGMENT: i64 = 16 << 20;

/// Whether `new` should replace `old`, which was written `written` (absent: not by this process).
pub fn worth_writing(
    old: &SyncClusterStatus,
    new: &SyncClusterStatus,
    written: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    if essence(old) != essence(new) {
        return true;
    }
    let age = written.map_or(i64::MAX, |written| now.as_second() - written.as_second());
    (age >= NUMBERS_SECONDS && numbers(old) != numbers(new))
        || (is_cut(new) && proof(new) - proof(old) >= PROOF_SECONDS)
}

/// Without the times of probes and without bytes below a segment.
fn numbers(status: &SyncClusterStatus) -> SyncClusterStatus {
    let mut status = status.clone();
    for site in &mut status.sites {
        site.connectivity.probed_at = None;
        if let Some(uplink) = &mut site.uplink {
            uplink.lag_bytes = uplink.lag_bytes.map(|bytes| bytes / SEGMENT);
            if let Some(slot) = &mut uplink.slot {
                slot.retained_bytes /= SEGMENT;
            }
        }
    }
    for node in &mut status.counters {
        node.connectivity.probed_at = None;
    }
    status
}

/// What people and programs wait for: without any number, and without messages, which have numbers in them.
fn essence(status: &SyncClusterStatus) -> SyncClusterStatus {
    let mut status = numbers(status);
    for condition in &mut status.conditions {
        condition.message = String::new();
    }
    if let Some(convergence) = &mut status.convergence {
        (convergence.digest, convergence.rows, convergence.drained_since) = (None, None, None);
    }
    for site in &mut status.sites {
        (site.uplink, site.downlink, site.digest, site.conflicts, site.parked) = (None, None, None, None, None);
        site.snapshot = None;
        site.connectivity.evidence = String::new();
    }
    if let Some(resnapshot) = &mut status.resnapshot {
        resnapshot.message = String::new();
    }
    for request in &mut status.connector_requests {
        request.message = String::new();
    }
    for topic in &mut status.topics {
        topic.message = None;
    }
    if let Some(analytics) = &mut status.analytics {
        (analytics.lag_records, analytics.lag_seconds, analytics.rebuild_percent) = (None, None, None);
        (analytics.rows_written, analytics.parked) = (0, 0);
    }
    for node in &mut status.counters {
        (node.position, node.published, node.digest) = (None, None, None);
        node.connectivity.evidence = String::new();
    }
    status
}

/// Of sites and counter nodes.
fn connectivity(status: &SyncClusterStatus) -> impl Iterator<Item = &Connectivity> {
    let sites = status.sites.iter().map(|site| &site.connectivity);
    sites.chain(status.counters.iter().map(|node| &node.connectivity))
}

fn is_cut(status: &SyncClusterStatus) -> bool {
    connectivity(status).any(|connectivity| connectivity.desired != Desired::Connected)
}

/// The oldest probe of a cut.
fn proof(status: &SyncClusterStatus) -> i64 {
    let cut = connectivity(status).filter(|connectivity| connectivity.desired != Desired::Connected);
    cut.filter_map(|connectivity| connectivity.probed_at.as_ref())
        .map(|probed| probed.0.as_second())
        .min()
        .unwrap_or_default()
}
