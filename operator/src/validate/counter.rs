//! The counter nodes, validated.

use std::net::Ipv6Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceRequirements;
use synccluster_protocol::ClusterName;

use super::{Error, duration, range};
use crate::api::{self, CounterLimits, CounterNodePort, CounterStorage, MAX_COUNTER_NODES};

/// The longest window.
const LONGEST: Duration = Duration::from_hours(24);
/// How many windows there may be.
const MOST: usize = 16;

/// The counter nodes; there may be none.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    /// How many.
    pub nodes: u16,
    /// The lengths of the windows as the topics of the counter nodes are named: `60s` is `1m`.
    pub windows: Vec<String>,
    /// How long a window waits.
    pub grace: Duration,
    /// The ways from outside the cluster, if there are any.
    pub outside: Option<Outside>,
    /// How much they keep in memory at most.
    pub limits: Limits,
    /// The volume of each.
    pub storage: CounterStorage,
    /// Bytes of that volume.
    pub volume: u64,
    /// Name of the topic of the likes.
    pub likes_topic: String,
    /// What the names of the windows' topics begin with.
    pub aggregations_topic: String,
    /// Partitions of each topic.
    pub partitions: u16,
    /// How long likes are kept.
    pub likes_retention: Duration,
    /// How long windows are kept.
    pub aggregations_retention: Duration,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
}

/// How much counter nodes keep in memory at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many ids there may be.
    pub ids: u32,
    /// How many clients a node remembers that number their requests.
    pub clients: u32,
    /// For how long, after their last one.
    pub forget_clients_after: Duration,
}

/// Ports of every node of the cluster that lead to counter nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    /// Where they are, as it is written in an address.
    pub host: String,
    /// The leader's.
    pub port: u16,
}

impl Outside {
    /// That of a counter node.
    pub fn port_of(&self, node: u16) -> u16 {
        self.port + 1 + node
    }
}

/// The counter nodes that are asked for.
pub fn counter(written: &api::Counter, cluster: &ClusterName) -> Result<Counter, Error> {
    let counter = parts(written, cluster)?;
    let longest = written.windows.iter().map(|window| duration("counter.windows", window));
    let longest = longest.collect::<Result<Vec<_>, Error>>()?.into_iter().max();
    // What is open is read back from its topic after a restart.
    if counter.aggregations_retention <= longest.unwrap_or_default() + counter.grace {
        return Err(Error::Contradiction {
            field: "counter.topics.aggregationsRetention",
            wrong: "must be longer than the longest of counter.windows and counter.grace together: a window that is open is kept nowhere else; \
                    choose a longer one such as 720h",
        });
    }
    Ok(counter)
}

fn parts(written: &api::Counter, cluster: &ClusterName) -> Result<Counter, Error> {
    let topics = &written.topics;
    Ok(Counter {
        nodes: range(
            "counter.nodes",
            written.nodes,
            0..=MAX_COUNTER_NODES,
            "between 0 and 32",
        )?,
        windows: windows(&written.windows)?,
        grace: duration("counter.grace", &written.grace)?,
        outside: written
            .expose
            .as_ref()
            .map(|expose| outside(&expose.node_port))
            .transpose()?,
        limits: limits(&written.limits)?,
        storage: written.storage.clone(),
        volume: bytes("counter.storage.size", &written.storage.size)?,
        likes_topic: topic("counter.topics.likes", topics.likes.as_deref(), cluster, "likes")?,
        aggregations_topic: topic(
            "counter.topics.aggregations",
            topics.aggregations.as_deref(),
            cluster,
            "aggregations-",
        )?,
        partitions: range(
            "counter.topics.partitions",
            topics.partitions,
            1..=100,
            "between 1 and 100",
        )?,
        likes_retention: duration("counter.topics.likesRetention", &topics.likes_retention)?,
        aggregations_retention: duration("counter.topics.aggregationsRetention", &topics.aggregations_retention)?,
        resources: written.resources.clone(),
    })
}

fn limits(written: &CounterLimits) -> Result<Limits, Error> {
    let many = |field, value| range(field, value, 1..=10_000_000, "between 1 and 10000000");
    Ok(Limits {
        ids: many("counter.limits.ids", written.ids)?,
        clients: many("counter.limits.clients", written.clients)?,
        forget_clients_after: duration("counter.limits.forgetClientsAfter", &written.forget_clients_after)?,
    })
}

fn outside(written: &CounterNodePort) -> Result<Outside, Error> {
    const HOST: &str = "counter.expose.nodePort.host";
    let host = match written.host.as_str() {
        "" => None,
        host if host.contains(':') => host.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]")),
        host => Some(host.to_owned()),
    };
    Ok(Outside {
        host: host.ok_or_else(|| Error::Format {
            field: HOST,
            value: written.host.clone(),
            expected: "a host name or an IP address such as likes.example.org, without a port",
        })?,
        port: range(
            "counter.expose.nodePort.port",
            written.port,
            // What is left above is for as many nodes as there may be.
            30000..=32767 - MAX_COUNTER_NODES,
            "between 30000 and 32735",
        )?,
    })
}

/// A topic as it is written, or of the cluster's by default; not one in which sites' changes travel.
fn topic(field: &'static str, written: Option<&str>, cluster: &ClusterName, own: &str) -> Result<String, Error> {
    let topic = written.map_or_else(|| format!("{cluster}.{own}"), str::to_owned);
    if cluster.site_of_topic(&topic).is_some() {
        return Err(Error::Format {
            field,
            value: topic,
            expected: "free: a site's changes travel in it; take another name such as shop.likes",
        });
    }
    Ok(topic)
}

fn windows(written: &[String]) -> Result<Vec<String>, Error> {
    let wrong = |value: &str| Error::Format {
        field: "counter.windows",
        value: value.to_owned(),
        expected: "a list of 1 to 16 different lengths of at most 24h such as [1m, 5m, 10m]",
    };
    let mut lengths = written
        .iter()
        .map(|window| duration("counter.windows", window))
        .collect::<Result<Vec<_>, Error>>()?;
    lengths.sort();
    let twice = lengths
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one == other));
    let longest = lengths.last().is_none_or(|length| *length > LONGEST);
    if twice || longest || lengths.len() > MOST {
        return Err(wrong(&written.join(",")));
    }
    Ok(lengths.into_iter().map(name_of).collect())
}

fn name_of(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Bytes of a quantity as Kubernetes writes it; what is not known to be a number is left to Kubernetes to refuse.
fn bytes(field: &'static str, text: &str) -> Result<u64, Error> {
    const UNITS: [(&str, f64); 12] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, scale) = UNITS
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))
        .unwrap_or((text, 1.0));
    let bytes = number.parse::<f64>().ok().map(|number| number * scale);
    // What is above 2^64 becomes 2^64, and nobody has such a volume.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    bytes
        .filter(|bytes| *bytes >= 67_108_864.0)
        .map(|bytes| bytes as u64)
        .ok_or(Error::Format {
            field,
            value: text.to_owned(),
            expected: "a quantity of at least 64Mi such as 1Gi",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_bytes() {
        let of = |text| bytes("f", text).ok();
        assert_eq!(of("1Gi"), Some(1 << 30));
        assert_eq!(of("64Mi"), Some(64 << 20));
        assert_eq!(of("1.5Gi"), Some(3 << 29));
        assert_eq!(of("2G"), Some(2_000_000_000));
        assert_eq!(of("1e9"), Some(1_000_000_000));
        assert_eq!(of("1073741824"), Some(1 << 30));
        for wrong in ["", "much", "-1Gi", "1Mi", "1GB", "NaN"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ports_are_at_a_host_whatever_its_address() {
        let of = |host: &str| {
            let host = host.to_owned();
            outside(&CounterNodePort { host, port: 30500 }).map(|outside| (outside.host.clone(), outside.port_of(31)))
        };
        for (host, told) in [
            ("a.example.org", "a.example.org"),
            ("10.0.0.7", "10.0.0.7"),
            ("2001:db8::7", "[2001:db8::7]"),
        ] {
            assert_eq!(of(host), Ok((told.to_owned(), 30532)));
        }
        for wrong in ["", "a:80", "2001:db8::7::1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn windows_are_kept_for_longer_than_they_are_open() {
        let of = |retention: &str| {
            let mut written = api::Counter {
                windows: vec!["1h".to_owned(), "5m".to_owned()],
                grace: "30m".to_owned(),
                ..api::Counter::default()
            };
            retention.clone_into(&mut written.topics.aggregations_retention);
            counter(&written, &"demo".parse().unwrap())
        };
        assert!(of("91m").is_ok());
        let error = of("90m").unwrap_err().to_string();
        assert!(
            error.contains("counter.topics.aggregationsRetention: must be longer"),
            "{error}"
        );
    }

    #[test]
    fn windows_are_told_from_short_to_long() {
        let of = |list: &[&str]| windows(&list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["10m", "1m", "5m"]).unwrap(), ["1m", "5m", "10m"]);
        assert_eq!(of(&["120m", "60s", "90s"]).unwrap(), ["1m", "90s", "2h"]);
        for wrong in [&[][..], &["1m", "60s"], &["25h"], &["soon"]] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}
