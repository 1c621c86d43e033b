//! What the operator measured at a site, in the words the page has for it. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kafka::Wide;

/// A site as the operator last measured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Measured {
    /// Whether it reaches Kafka, the ways that are cut counting where some are.
    pub phase: Phase,
    /// Since when what was wanted and measured has been so.
    pub since: Option<String>,
    /// What was measured, in words.
    pub evidence: String,
    /// From the site to its topic.
    pub uplink: Uplink,
    /// From the topics to the site.
    pub downlink: Downlink,
    /// Digest of its tables; null while it is not known.
    pub digest: Option<String>,
    /// Whether the server has the same digest; null while one of them is not known. They are measured one after the other: while something is
    /// on its way, sites that will be the same differ.
    pub same_as_server: Option<bool>,
    /// Writes that lost and are kept there.
    pub conflicts: Option<Wide>,
    /// Changes that wait there for something.
    pub parked: Option<Wide>,
    /// What is wrong there, with what to do.
    pub problem: Option<String>,
}

/// How far what was wanted of a link was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = LinkPhase)]
pub enum Phase {
    /// A fresh connection gets through.
    Connected,
    /// A cut is wanted: fresh connections are not blocked yet, or some that were made before are left.
    Cutting,
    /// Fresh connections are blocked, and none is left.
    Cut,
    /// No cut is wanted, and a fresh connection does not get through yet.
    Healing,
    /// Nobody could be asked; or it is the way left open beside one that is cut, which is not tried then.
    Unknown,
}

/// From a site to its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SiteUplink)]
pub struct Uplink {
    /// Whether it is open.
    pub phase: Phase,
    /// WAL bytes that Kafka has not acknowledged; WAL without changes counts until it is confirmed. Null while it is not known.
    pub lag_bytes: Option<Wide>,
    /// Age of the oldest change that was read and not acknowledged.
    pub lag_seconds: Option<Wide>,
}

/// From the topics to a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SiteDownlink)]
pub struct Downlink {
    /// Whether it is open.
    pub phase: Phase,
    /// Records that were not applied yet, over all topics it reads. Null while it is not known.
    pub lag_records: Option<Wide>,
    /// Age of the oldest change that was received and not applied.
    pub lag_seconds: Option<Wide>,
}

/// As much of an entry of `status.sites` as is shown. A word that is new is none that is known.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    name: String,
    connectivity: Connectivity,
    uplink: Lag,
    downlink: Lag,
    digest: Option<String>,
    conflicts: Option<i64>,
    parked: Option<i64>,
    problem: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Connectivity {
    desired: String,
    fresh_dial: String,
    established: String,
    since: Option<String>,
    evidence: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lag {
    #[serde(rename = "lagBytes")]
    bytes: Option<i64>,
    #[serde(rename = "lagRecords")]
    records: Option<i64>,
    #[serde(rename = "lagSeconds")]
    seconds: Option<i64>,
}

impl Connectivity {
    fn cuts(&self, way: &str) -> bool {
        self.desired == "Cut" || self.desired == way
    }

    fn is_cut(&self) -> bool {
        self.cuts("UplinkCut") || self.cuts("DownlinkCut")
    }

    fn phase(&self) -> Phase {
        match (self.fresh_dial.as_str(), self.established.as_str()) {
            ("Blocked", "Closed") if self.is_cut() => Phase::Cut,
            _ if self.is_cut() => Phase::Cutting,
            ("Open", _) => Phase::Connected,
            ("Blocked", _) => Phase::Healing,
            _ => Phase::Unknown,
        }
    }

    fn phase_of(&self, way: &str) -> Phase {
        if self.is_cut() && !self.cuts(way) {
            return Phase::Unknown;
        }
        self.phase()
    }
}

/// What these entries of `status.sites` say of the site of this name; none while they say nothing.
pub fn measured(sites: &[Value], name: &str) -> Option<Measured> {
    let entry = |name: &str| {
        let entries = sites.iter().map(Entry::deserialize);
        entries.filter_map(Result::ok).find(|entry| entry.name == name)
    };
    let of_server = entry("server").and_then(|server| server.digest);
    let site = entry(name)?;
    let same = site.digest.as_ref().zip(of_server);
    Some(Measured {
        phase: site.connectivity.phase(),
        uplink: Uplink {
            phase: site.connectivity.phase_of("UplinkCut"),
            lag_bytes: site.uplink.bytes.map(Wide),
            lag_seconds: site.uplink.seconds.map(Wide),
        },
        downlink: Downlink {
            phase: site.connectivity.phase_of("DownlinkCut"),
            lag_records: site.downlink.records.map(Wide),
            lag_seconds: site.downlink.seconds.map(Wide),
        },
        since: site.connectivity.since,
        evidence: site.connectivity.evidence,
        same_as_server: same.map(|(digest, server)| *digest == server),
        digest: site.digest,
        conflicts: site.conflicts.map(Wide),
        parked: site.parked.map(Wide),
        problem: site.problem,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn phases(desired: &str, fresh: &str, established: &str) -> (Phase, Phase, Phase) {
        let connectivity = json!({"desired": desired, "freshDial": fresh, "established": established});
        let site = measured(&[json!({"name": "client-1", "connectivity": connectivity})], "client-1").unwrap();
        (site.phase, site.uplink.phase, site.downlink.phase)
    }

    #[test]
    fn a_cut_counts_when_it_was_measured_and_by_way() {
        use Phase::{Connected, Cut, Cutting, Healing, Unknown};
        for (desired, fresh, established, expected) in [
            ("Connected", "Open", "Open", (Connected, Connected, Connected)),
            ("Connected", "Blocked", "Closed", (Healing, Healing, Healing)),
            ("Connected", "Refused", "Closed", (Unknown, Unknown, Unknown)),
            ("Cut", "Blocked", "Closed", (Cut, Cut, Cut)),
            ("Cut", "Blocked", "Open", (Cutting, Cutting, Cutting)),
            ("UplinkCut", "Blocked", "Closed", (Cut, Cut, Unknown)),
            ("DownlinkCut", "Open", "Open", (Cutting, Unknown, Cutting)),
            ("", "", "", (Unknown, Unknown, Unknown)),
        ] {
            assert_eq!(
                phases(desired, fresh, established),
                expected,
                "{desired} {fresh} {established}"
            );
        }
    }

    #[test]
    fn a_site_has_its_lags_and_whether_it_is_as_the_server_is() {
        let since = "2026-01-02T03:04:05Z";
        let sites = [
            json!({"name": "server", "digest": "ab"}),
            json!({"name": "client-1", "digest": "ab", "conflicts": 9_007_199_254_740_993_i64, "parked": 0,
                "connectivity": {"desired": "Connected", "freshDial": "Open", "established": "Open", "since": since, "evidence": "open"},
                "uplink": {"lagBytes": 9_007_199_254_740_993_i64, "lagSeconds": 2, "slot": {"active": true}},
                "downlink": {"lagRecords": 0, "lagSeconds": 0}, "problem": "its disk is full"}),
            json!({"name": "client-2", "digest": "cd"}),
            json!({"name": "client-3"}),
        ];
        let expected = json!({
            "phase": "Connected", "since": since, "evidence": "open",
            "uplink": {"phase": "Connected", "lag_bytes": "9007199254740993", "lag_seconds": "2"},
            "downlink": {"phase": "Connected", "lag_records": "0", "lag_seconds": "0"},
            "digest": "ab", "same_as_server": true, "conflicts": "9007199254740993", "parked": "0",
            "problem": "its disk is full",
        });
        assert_eq!(json!(measured(&sites, "client-1")), expected);
        let same = |name| measured(&sites, name).unwrap().same_as_server;
        assert_eq!(
            (same("server"), same("client-2"), same("client-3")),
            (Some(true), Some(false), None)
        );
        assert_eq!(measured(&sites[1..], "client-1").unwrap().same_as_server, None);
        assert_eq!(measured(&sites, "client-4"), None);
    }
}
