//! Who reaches whom. Pure: what a partition should do, for tests to compare with what it does.

use std::collections::{BTreeMap, BTreeSet};

use synccluster_operator::api::{Link, Partition};
use synccluster_operator::names::Component;
use synccluster_protocol::Site;

/// For every site, the sites whose rows it has.
pub type Matrix = BTreeMap<Site, BTreeSet<Site>>;

/// Cuts clients by ordinal.
pub fn clients<const N: usize>(ordinals: [i32; N], link: Link) -> Partition {
    Partition {
        clients: ordinals.to_vec(),
        server: false,
        counters: Vec::new(),
        link,
        heal_after: None,
    }
}

/// Cuts counter nodes by ordinal.
pub fn counters<const N: usize>(ordinals: [i32; N]) -> Partition {
    Partition {
        counters: ordinals.to_vec(),
        ..clients([], Link::Both)
    }
}

/// Cuts the server.
pub fn server(link: Link) -> Partition {
    Partition {
        clients: Vec::new(),
        server: true,
        counters: Vec::new(),
        link,
        heal_after: None,
    }
}

/// Whether it cuts this way between a site and Kafka.
fn cuts(partition: &Partition, site: Site, way: Link) -> bool {
    let named = match site {
        Site::Server => partition.server,
        Site::Client(ordinal) => partition.clients.contains(&ordinal.into()),
    };
    named && (partition.link == Link::Both || partition.link == way)
}

/// The edges to Kafka that it cuts: a site's connector is its uplink, its sink the downlink.
pub fn edges(partition: &Partition, sites: &[Site]) -> Vec<(Site, Component)> {
    let ways = [(Link::Uplink, Component::Connector), (Link::Downlink, Component::Sink)];
    let all = sites
        .iter()
        .flat_map(|&site| ways.map(|(way, workload)| (site, way, workload)));
    let cut = all.filter(|&(site, way, _)| cuts(partition, site, way));
    cut.map(|(site, _, workload)| (site, workload)).collect()
}

/// Who has whose rows while this partition lasts. A row goes up its site's uplink and down the reader's downlink; between two clients
/// it passes the server, down and up again.
pub fn expected(partition: &Partition, sites: &[Site]) -> Matrix {
    let up = |site| !cuts(partition, site, Link::Uplink);
    let down = |site| !cuts(partition, site, Link::Downlink);
    let passes_server = up(Site::Server) && down(Site::Server);
    let reaches = |from: Site, to: Site| {
        from == to || (up(from) && down(to) && (from == Site::Server || to == Site::Server || passes_server))
    };
    sites
        .iter()
        .map(|&to| (to, sites.iter().copied().filter(|&from| reaches(from, to)).collect()))
        .collect()
}

/// Everybody has everybody's rows.
pub fn full(sites: &[Site]) -> Matrix {
    sites
        .iter()
        .map(|&site| (site, sites.iter().copied().collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a reader, one digit a source: `server, client-1, client-2`.
    fn table(partition: &Partition) -> String {
        let sites: Vec<Site> = Site::all(2).collect();
        let row = |has: &BTreeSet<Site>| -> String {
            sites.iter().map(|s| if has.contains(s) { '1' } else { '0' }).collect()
        };
        expected(partition, &sites)
            .values()
            .map(row)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_cut_of_one_way_has_one_edge() {
        let sites: Vec<Site> = Site::all(2).collect();
        let (up, down) = (Component::Connector, Component::Sink);
        let two = Site::Client(2);
        assert_eq!(edges(&clients([2], Link::Both), &sites), [(two, up), (two, down)]);
        assert_eq!(edges(&clients([2], Link::Uplink), &sites), [(two, up)]);
        assert_eq!(edges(&server(Link::Downlink), &sites), [(Site::Server, down)]);
        assert!(edges(&counters([1]), &sites).is_empty());
    }

    #[test]
    fn a_table_for_every_kind_of_cut() {
        assert_eq!(table(&clients([], Link::Both)), "111 111 111");
        assert_eq!(table(&clients([2], Link::Both)), "110 110 001");
        assert_eq!(table(&clients([2], Link::Uplink)), "110 110 111");
        assert_eq!(table(&clients([2], Link::Downlink)), "111 111 001");
        assert_eq!(table(&server(Link::Both)), "100 010 001");
        assert_eq!(table(&server(Link::Uplink)), "111 010 001");
        assert_eq!(table(&server(Link::Downlink)), "100 110 101");
    }
}
