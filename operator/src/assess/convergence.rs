//! Converged: nothing is on its way, every site's digest is the same, and so are the totals of all counter nodes. What the workloads' measurements say together is decided by
//! `synccluster_protocol::convergence`; what is added here is time: the digests that count were measured after nothing was on its way any more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::convergence::{self, NotConverged};
use synccluster_protocol::status::Millis;

use super::{Verdict, counters, is, list, number, partition, whole_second};
use crate::api::{Convergence, SyncClusterStatus};
use crate::names::{self, Component};
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

/// The condition, and what is remembered for the next time.
pub fn assess(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    now: Timestamp,
) -> (Verdict, Convergence) {
    let before = previous.convergence.clone().unwrap_or_default();
    let mut memory = Convergence {
        healed_at: healed_at(cluster, previous, now),
        last_heal_seconds: before.last_heal_seconds,
        ..Convergence::default()
    };
    if !cluster.cut.is_empty() {
        let cut = partition::cut(cluster);
        return (
            Verdict::no(
                "Partitioned",
                format!("{cut} is cut off; remove spec.partition to let all become the same"),
            ),
            memory,
        );
    }
    if let Some(unseen) = unseen(cluster, observed) {
        return (Verdict::unknown("CannotSee", unseen), memory);
    }
    let judged = judge(cluster, observed);
    if let Err(reason) = &judged
        && !reason.is_difference()
        && !matches!(reason, NotConverged::NoDigest { .. })
    {
        return (verdict(reason), memory);
    }
    let drained = before.drained_since.unwrap_or(Time(whole_second(now)));
    memory.drained_since = Some(drained.clone());
    if let Some(outdated) = outdated(cluster, observed, drained.0.as_millisecond(), now.as_millisecond()) {
        return (outdated, memory);
    }
    let (digest, rows) = match judged {
        Ok(same) => same,
        Err(reason) => return (verdict(&reason), memory),
    };
    let totals = match counters::judge(cluster, observed) {
        Ok(totals) => totals,
        Err(verdict) => return (verdict, memory),
    };
    let was = is(previous, "Converged", "True").then_some(before.since).flatten();
    memory.since = was.or(Some(Time(whole_second(now))));
    if let Some(healed) = memory.healed_at.take() {
        memory.last_heal_seconds = Some((now.as_second() - healed.0.as_second()).max(0));
    }
    let took = memory
        .last_heal_seconds
        .map_or(String::new(), |seconds| format!("; the last heal took {seconds} s"));
    let nodes = totals.map_or(String::new(), |totals| {
        format!(
            ", all {} counter nodes {totals} over their totals",
            cluster.counter.nodes
        )
    });
    let said = Verdict::yes(
        "DigestsEqual",
        format!("all sites have digest {digest} over {rows} rows{nodes}{took}"),
    );
    (memory.digest, memory.rows) = (Some(digest), Some(number(rows)));
    (said, memory)
}

/// When the last partition ended, until the sites are the same again: now, if somebody was cut before who is not any more.
fn healed_at(cluster: &ValidatedCluster, previous: &SyncClusterStatus, now: Timestamp) -> Option<Time> {
    let sites = cluster.cut.sites.iter().map(ToString::to_string);
    let nodes = cluster.cut.counters.iter().copied().map(names::counter_node);
    let cut: Vec<String> = sites.chain(nodes).collect();
    let mut was_cut = previous
        .partition
        .iter()
        .flat_map(|partition| partition.sites.iter().chain(&partition.counters));
    match previous.partition {
        Some(_) if was_cut.any(|name| !cut.contains(name)) => Some(Time(whole_second(now))),
        _ => previous
            .convergence
            .as_ref()
            .and_then(|before| before.healed_at.clone()),
    }
}

fn unseen(cluster: &ValidatedCluster, observed: &Observed) -> Option<String> {
    let silent = cluster.sites().flat_map(|site| {
        let connector = (!observed.connectors.contains_key(&site)).then_some((site, Component::Connector));
        let sink = (!observed.sinks.contains_key(&site)).then_some((site, Component::Sink));
        [connector, sink].into_iter().flatten()
    });
    let silent: Vec<String> = silent
        .map(|(site, component)| {
            let why = observed
                .unseen
                .get(&(site, component))
                .map_or("not asked", String::as_str);
            format!("{component} of {site} ({why})")
        })
        .collect();
    (!silent.is_empty()).then(|| format!("no answer from {}", list(silent)))
}

/// What the measurements of all sites say together.
fn judge(cluster: &ValidatedCluster, observed: &Observed) -> Result<(String, u64), NotConverged> {
    let both = |site| {
        Some((
            observed.connectors.get(&site)?.clone(),
            observed.sinks.get(&site)?.clone(),
        ))
    };
    convergence::judge(&cluster.sites().filter_map(both).collect::<Vec<_>>())
}

fn verdict(reason: &NotConverged) -> Verdict {
    match reason {
        NotConverged::Differ(digests) => Verdict::no(
            "DigestsDiffer",
            format!(
                "nothing is on the way, but the sites are not the same: {digests}; see sync.conflicts at the server, and the logs of the sinks"
            ),
        ),
        NotConverged::Parked { .. } => Verdict::no("Parked", format!("{reason}; see sync.parked there")),
        NotConverged::NoDigest { .. } => Verdict::no("Comparing", reason.to_string()),
        NotConverged::NotWorking { .. }
        | NotConverged::Uplink { .. }
        | NotConverged::Downlink { .. }
        | NotConverged::NotRead { .. } => Verdict::no("Draining", reason.to_string()),
    }
}

/// Why the digests cannot be relied on: they are from before the drain, or nobody has measured for long.
fn outdated(cluster: &ValidatedCluster, observed: &Observed, drained: Millis, now: Millis) -> Option<Verdict> {
    // Three missed measurements and the time of one.
    let interval = Millis::try_from(cluster.digest_interval.as_millis()).unwrap_or(Millis::MAX / 8);
    let oldest = now.saturating_sub(interval.saturating_mul(3).saturating_add(5_000));
    let before = |limit: Millis| {
        let measured = |site| {
            observed
                .sinks
                .get(&site)
                .and_then(|sink| sink.digest.as_ref())
                .map(|digest| digest.measured_at)
        };
        let sites: Vec<String> = cluster
            .sites()
            .filter(|&site| measured(site).is_none_or(|at| at < limit))
            .map(|site| site.to_string())
            .collect();
        (!sites.is_empty()).then(|| list(sites))
    };
    if let Some(sites) = before(drained) {
        return Some(Verdict::no(
            "Comparing",
            format!("nothing is on the way; waiting for the digest of {sites}"),
        ));
    }
    let stale = before(oldest)?;
    Some(Verdict::unknown(
        "DigestStale",
        format!("{stale} has not measured its digest lately: see the logs of its sink"),
    ))
}
