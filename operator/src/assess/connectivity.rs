//! What is said of a site's ways to Kafka, and of a counter node's to Kafka and the others.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use synccluster_protocol::Site;
use synccluster_protocol::status::{Dial, LinkStatus, Millis};

use super::edge::Edge;
use super::{at, whole_second};
use crate::api::{Connectivity, Desired, Established, FreshDial, SyncClusterStatus};
use crate::names;
use crate::observe::Observed;
use crate::validate::ValidatedCluster;

/// Of a site.
pub fn of_site(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    site: Site,
    now: Timestamp,
) -> Connectivity {
    let desired = match (cluster.cut.uplink(site), cluster.cut.downlink(site)) {
        (false, false) => Desired::Connected,
        (true, true) => Desired::Cut,
        (true, false) => Desired::UplinkCut,
        (false, true) => Desired::DownlinkCut,
    };
    // While something is cut, what is cut is what matters.
    let of_interest = [Edge::Uplink(site), Edge::Downlink(site)]
        .into_iter()
        .filter(|edge| desired == Desired::Connected || edge.is_cut(cluster));
    let name = site.to_string();
    let before = previous.sites.iter().find(|before| before.name == name);
    connectivity(
        desired,
        of_interest,
        observed,
        before.map(|before| &before.connectivity),
        now,
    )
}

/// Of a counter node. The way to a node that is cut off says nothing of one that is not.
pub fn of_counter(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &SyncClusterStatus,
    node: u16,
    now: Timestamp,
) -> Connectivity {
    let is_cut = cluster.cut.counters.contains(&node);
    let desired = if is_cut { Desired::Cut } else { Desired::Connected };
    let of_interest = Edge::of_counter(cluster, node).filter(|edge| is_cut || !edge.is_cut(cluster));
    let name = names::counter_node(node);
    let before = previous.counters.iter().find(|before| before.name == name);
    connectivity(
        desired,
        of_interest,
        observed,
        before.map(|before| &before.connectivity),
        now,
    )
}

fn connectivity(
    desired: Desired,
    edges: impl Iterator<Item = Edge>,
    observed: &Observed,
    before: Option<&Connectivity>,
    now: Timestamp,
) -> Connectivity {
    let cut = desired != Desired::Connected;
    let links: Vec<(Edge, Option<&LinkStatus>)> = edges.map(|edge| (edge, edge.link(observed))).collect();
    let dials: Vec<FreshDial> = links
        .iter()
        .map(|(_, link)| link.map_or(FreshDial::Unknown, |link| dial(link.fresh_dial)))
        .collect();
    // For a cut the way that is open is the news, for a connection the way that is not.
    let order = if cut {
        [
            FreshDial::Open,
            FreshDial::Refused,
            FreshDial::Unknown,
            FreshDial::Blocked,
        ]
    } else {
        [
            FreshDial::Unknown,
            FreshDial::Blocked,
            FreshDial::Refused,
            FreshDial::Open,
        ]
    };
    let fresh_dial = order.into_iter().find(|dial| dials.contains(dial)).unwrap_or_default();
    let established = match links
        .iter()
        .map(|(_, link)| link.and_then(LinkStatus::connections))
        .collect::<Option<Vec<u32>>>()
    {
        None => Established::Unknown,
        Some(counts) if counts.iter().any(|&count| count > 0) => Established::Open,
        Some(_) => Established::Closed,
    };
    let same = before.filter(|b| (b.desired, b.fresh_dial, b.established) == (desired, fresh_dial, established));
    Connectivity {
        desired,
        fresh_dial,
        established,
        since: same
            .and_then(|same| same.since.clone())
            .or(Some(Time(whole_second(now)))),
        probed_at: links
            .iter()
            .filter_map(|(_, link)| link.and_then(|link| link.probed_at))
            .min()
            .and_then(at),
        evidence: links
            .iter()
            .map(|(edge, link)| evidence(*edge, *link, cut))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

fn dial(dial: Dial) -> FreshDial {
    match dial {
        Dial::Unknown => FreshDial::Unknown,
        Dial::Open => FreshDial::Open,
        Dial::Blocked => FreshDial::Blocked,
        Dial::Refused => FreshDial::Refused,
    }
}

/// What was measured, in words that stay the same while nothing happens.
fn evidence(edge: Edge, link: Option<&LinkStatus>, cut: bool) -> String {
    let way = edge.way();
    let Some(link) = link else {
        return format!("{way} could not be asked");
    };
    let time = |millis: Option<Millis>| {
        millis
            .and_then(at)
            .map_or("unknown".to_owned(), |time| time.0.to_string())
    };
    let since = time(link.fresh_dial_since);
    let mut said = if link.is_unresolved() {
        format!(
            "{way} not dialled since {since} because {} does not resolve (DNS)",
            link.peer
        )
    } else {
        format!("{way} dial {:?} since {since}", link.fresh_dial)
    };
    if cut {
        let connections = match link.connections() {
            None => "connections unknown".to_owned(),
            Some(0) => format!("no connection since {}", time(link.closed_since)),
            Some(n) => format!("{n} connections"),
        };
        let moved = link
            .last_moved_at
            .map_or("nothing moved since the process began".to_owned(), |_| {
                format!("last moved {}", time(link.last_moved_at))
            });
        said = format!("{said}, {connections}, {moved}");
    }
    said
}
