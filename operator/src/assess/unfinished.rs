//! What is said when a look could not be finished, for the API server did not answer, or did not take something.

use k8s_openapi::jiff::Timestamp;

use super::{CONDITIONS, Verdict, condition, made_of, partition};
use crate::api::SyncClusterStatus;
use crate::validate::ValidatedCluster;

/// What an API server says may go on for pages.
const MAX: usize = 1000;

/// The status of a resource of this generation: what was known stays, and Reconciling says what is tried again. If the resource was understood,
/// a partition begins all the same: its policies are applied first, and `healAfter` counts.
pub fn unfinished(
    (reason, error): (&'static str, &str),
    cluster: Option<&ValidatedCluster>,
    previous: &SyncClusterStatus,
    generation: i64,
    now: Timestamp,
) -> SyncClusterStatus {
    let error: String = error.chars().take(MAX).collect();
    let tried = Verdict::yes(
        reason,
        format!(
            "{error}; it is tried again every few seconds: see what the API server needs (a webhook, a quota, the operator's rights)"
        ),
    );
    let unmeasured = || Verdict::unknown("Starting", "nothing was measured yet; see condition Reconciling");
    let said = |type_: &str, verdict| made_of(verdict, type_, previous, generation, now);
    let conditions = CONDITIONS.into_iter().map(|type_| match condition(previous, type_) {
        _ if type_ == "Reconciling" => said(type_, tried.clone()),
        Some(before) => before.clone(),
        None => said(type_, unmeasured()),
    });
    let begun = cluster.and_then(|cluster| partition::wanted(cluster, previous, now));
    SyncClusterStatus {
        conditions: conditions.collect(),
        // One that is over ends with the look that sees it.
        partition: begun.or_else(|| previous.partition.clone()),
        ..previous.clone()
    }
}
