//! Converged: nothing is on its way, and every site's digest is the same.
//!
//! A site may have written a moment before it is asked; so the digests that count are those measured after everything was seen drained.
//! Bytes of WAL that wait are no sign of a change (see `ConnectorStatus::lag_bytes`): a change that was not even read shows in the digest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::Site;
use synccluster_protocol::status::{ConnectorPhase, DigestStatus, Millis, SinkPhase};

use super::{Verdict, list, number, partition, whole_second};
use crate::api::{Convergence, SyncClusterStatus};
use crate::names::Component;
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

/// The condition, and what is remembered for the next time.
pub fn assess(cluster: &ValidatedCluster, observed: &Observed, previous: &SyncClusterStatus, now: Timestamp) -> (Verdict, Convergence) {
    let before = previous.convergence.clone().unwrap_or_default();
    let mut memory = Convergence { healed_at: healed_at(cluster, previous, now), last_heal_seconds: before.last_heal_seconds, ..Convergence::default() };
    if !cluster.cut.sites.is_empty() {
        let cut = partition::cut_sites(cluster);
        return (Verdict::no("Partitioned", format!("{cut} is cut off; remove spec.partition to let the sites become the same")), memory);
    }
    if let Some(unseen) = unseen(cluster, observed) {
        return (Verdict::unknown("CannotSee", unseen), memory);
    }
    if let Some(verdict) = on_its_way(cluster, observed) {
        return (verdict, memory);
    }
    let drained = before.drained_since.unwrap_or(Time(whole_second(now)));
    let verdict = compare(cluster, observed, drained.0.as_millisecond(), now.as_millisecond());
    memory.drained_since = Some(drained);
    let verdict = match verdict {
        Err(verdict) => verdict,
        Ok(digest) => {
            memory.digest = Some(digest.digest.clone());
            memory.rows = Some(number(digest.rows));
            memory.since = before.since.or(Some(Time(whole_second(now))));
            if let Some(healed) = memory.healed_at.take() {
                memory.last_heal_seconds = Some((now.as_second() - healed.0.as_second()).max(0));
            }
            let took = memory.last_heal_seconds.map_or(String::new(), |seconds| format!("; the last heal took {seconds} s"));
            Verdict::yes("DigestsEqual", format!("all sites have digest {} over {} rows{took}", digest.digest, digest.rows))
        }
    };
    (verdict, memory)
}

/// When the last partition ended, until the sites are the same again: now, if a site was cut before that is not any more.
fn healed_at(cluster: &ValidatedCluster, previous: &SyncClusterStatus, now: Timestamp) -> Option<Time> {
    let cut: Vec<String> = cluster.cut.sites.iter().map(ToString::to_string).collect();
    let was_cut = previous.partition.as_ref().map(|partition| &partition.sites);
    match was_cut {
        Some(was_cut) if was_cut.iter().any(|site| !cut.contains(site)) => Some(Time(whole_second(now))),
        _ => previous.convergence.as_ref().and_then(|before| before.healed_at.clone()),
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
            let why = observed.unseen.get(&(site, component)).map_or("not asked", String::as_str);
            format!("{component} of {site} ({why})")
        })
        .collect();
    (!silent.is_empty()).then(|| format!("no answer from {}", list(silent)))
}

/// What has not arrived yet.
fn on_its_way(cluster: &ValidatedCluster, observed: &Observed) -> Option<Verdict> {
    let parked: Vec<String> = observed.sinks.iter().filter(|(_, sink)| sink.parked > 0).map(|(site, sink)| {
        format!("{} at {site} ({})", sink.parked, sink.parked_reason.as_deref().unwrap_or("no reason given"))
    }).collect();
    let lagging: Vec<String> = cluster.sites().flat_map(|site| [uplink(observed, site), downlink(cluster, observed, site)]).flatten().collect();
    if !lagging.is_empty() {
        return Some(Verdict::no("Draining", format!("on the way: {}", list(lagging))));
    }
    (!parked.is_empty()).then(|| Verdict::no("Parked", format!("changes wait in sync.parked: {}", list(parked))))
}

fn uplink(observed: &Observed, site: Site) -> Option<String> {
    let connector = observed.connectors.get(&site)?;
    match connector.phase {
        ConnectorPhase::Streaming if connector.lag_seconds == 0 => None,
        ConnectorPhase::Streaming => Some(format!("changes of {site}")),
        phase => Some(format!("uplink of {site} is {phase:?}")),
    }
}

fn downlink(cluster: &ValidatedCluster, observed: &Observed, site: Site) -> Option<String> {
    let sink = observed.sinks.get(&site)?;
    if sink.phase != SinkPhase::Applying {
        return Some(format!("downlink of {site} is {:?}", sink.phase));
    }
    let unread = expected(cluster, site).find(|from| {
        let topic = cluster.name.topic(*from);
        !sink.sources.iter().any(|source| source.topic == topic && source.end_offset.is_some())
    });
    if let Some(from) = unread {
        return Some(format!("{site} has not read from {from} yet"));
    }
    let records: u64 = sink.sources.iter().filter(|source| !is_former(cluster, &source.topic)).map(|source| source.lag_records).sum();
    (records > 0).then(|| format!("{records} records to {site}"))
}

/// Whose topics a site's sink reads.
fn expected(cluster: &ValidatedCluster, site: Site) -> impl Iterator<Item = Site> {
    cluster.sites().filter(move |from| (site == Site::Server) != (*from == Site::Server))
}

/// Whether a topic is of a client that was scaled away: what it left is applied, but nothing waits for it.
fn is_former(cluster: &ValidatedCluster, topic: &str) -> bool {
    cluster.name.site_of_topic(topic).is_some_and(|site| site.node() > cluster.clients)
}

/// The digest all sites have, if they have one.
fn compare<'a>(cluster: &ValidatedCluster, observed: &'a Observed, drained: Millis, now: Millis) -> Result<&'a DigestStatus, Verdict> {
    // Three missed measurements and the time of one.
    let interval = Millis::try_from(cluster.digest_interval.as_millis()).unwrap_or(Millis::MAX / 8);
    let oldest = now.saturating_sub(interval.saturating_mul(3).saturating_add(5_000));
    let digest = |site| observed.sinks.get(&site).and_then(|sink| sink.digest.as_ref());
    let all: Vec<(Site, &DigestStatus)> = cluster.sites().filter_map(|site| Some((site, digest(site)?))).collect();
    let waiting: Vec<String> =
        cluster.sites().filter(|&site| digest(site).is_none_or(|digest| digest.measured_at < drained)).map(|site| site.to_string()).collect();
    if !waiting.is_empty() {
        return Err(Verdict::no("Comparing", format!("nothing is on the way; waiting for the digest of {}", list(waiting))));
    }
    let stale: Vec<String> = all.iter().filter(|(_, digest)| digest.measured_at < oldest).map(|(site, _)| site.to_string()).collect();
    if !stale.is_empty() {
        return Err(Verdict::unknown("DigestStale", format!("{} has not measured its digest lately: see the logs of its sink", list(stale))));
    }
    let Some((_, reference)) = all.first() else { return Err(Verdict::unknown("CannotSee", "no site has a digest")) };
    let different: Vec<String> = all.iter().filter(|(_, digest)| digest.digest != reference.digest).map(|(site, _)| site.to_string()).collect();
    if different.is_empty() {
        Ok(reference)
    } else {
        let message = format!("nothing is on the way, but {} differs from the server; see status.sites and the sinks' logs", list(different));
        Err(Verdict::no("DigestsDiffer", message))
    }
}
