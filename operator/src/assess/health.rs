//! SlotsHealthy and ClocksAgree.

use super::{Verdict, list};
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

/// Whether every site still has the WAL its uplink needs.
pub fn slots(cluster: &ValidatedCluster, observed: &Observed) -> Verdict {
    let with = |status: &str| -> Vec<String> {
        let slots = observed
            .connectors
            .iter()
            .filter_map(|(site, connector)| Some((site, connector.slot.as_ref()?)));
        slots
            .filter(|(_, slot)| slot.wal_status == status)
            .map(|(site, _)| site.to_string())
            .collect()
    };
    let (lost, unreserved) = (with("lost"), with("unreserved"));
    if !lost.is_empty() {
        let message = format!(
            "{} has lost WAL that was not sent: it outgrew postgres.maxSlotWalKeepSize; raise it for the next time, and compare the site's rows with \
             the server's before relying on them",
            list(lost)
        );
        return Verdict::no("SlotLost", message);
    }
    if !unreserved.is_empty() {
        let message = format!(
            "{} is about to lose WAL that was not sent: end the cut, or raise postgres.maxSlotWalKeepSize",
            list(unreserved)
        );
        return Verdict::no("SlotAtRisk", message);
    }
    let unseen: Vec<String> = cluster
        .sites()
        .filter(|site| {
            observed
                .connectors
                .get(site)
                .is_none_or(|connector| connector.slot.is_none())
        })
        .map(|site| site.to_string())
        .collect();
    if unseen.is_empty() {
        Verdict::yes("WalKept", "every slot has the WAL it needs")
    } else {
        Verdict::unknown("CannotSee", format!("the slot of {} was not seen", list(unseen)))
    }
}

/// Whether no site's clock is so far ahead that its changes have to wait.
pub fn clocks(cluster: &ValidatedCluster, observed: &Observed) -> Verdict {
    let ahead = observed.sinks.iter().flat_map(|(at, sink)| {
        sink.sources
            .iter()
            .filter_map(move |source| Some((at, &source.topic, source.clock_ahead_millis?)))
    });
    let ahead: Vec<String> = ahead
        .map(|(at, topic, millis)| {
            let from = cluster
                .name
                .site_of_topic(topic)
                .map_or_else(|| topic.clone(), |site| site.to_string());
            format!("{from} by {} s, seen at {at}", millis.div_ceil(1000))
        })
        .collect();
    if !ahead.is_empty() {
        let skew = cluster.max_clock_skew.as_secs();
        let message = format!(
            "clocks are ahead by more than {skew} s, and changes wait: {}; set the clock of the node",
            list(ahead)
        );
        return Verdict::no("ClockAhead", message);
    }
    let unseen: Vec<String> = cluster
        .sites()
        .filter(|site| !observed.sinks.contains_key(site))
        .map(|site| site.to_string())
        .collect();
    if unseen.is_empty() {
        Verdict::yes(
            "WithinSkew",
            format!(
                "no clock was seen more than {} s ahead",
                cluster.max_clock_skew.as_secs()
            ),
        )
    } else {
        Verdict::unknown("CannotSee", format!("the sink of {} could not be asked", list(unseen)))
    }
}
