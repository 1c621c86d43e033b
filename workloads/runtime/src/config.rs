//! What every workload is told, by flag or environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use synccluster_protocol::{ClusterName, Site};

use crate::kafka;

/// Flags that connector and sink share.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The SyncCluster's name; topics are `<cluster>.<site>`.
    #[arg(long, env = "SYNC_CLUSTER")]
    pub cluster: ClusterName,
    /// The site: server or client-<i>.
    #[arg(long, env = "SYNC_SITE")]
    pub site: Site,
    /// Folder with username, password, host, port and dbname, as a Secret is mounted.
    #[arg(long, env = "SYNC_POSTGRES_SECRET")]
    pub postgres_secret: PathBuf,
    /// Kafka.
    #[command(flatten)]
    pub kafka: kafka::Arguments,
    /// Where /livez, /readyz, /metrics and /status are served.
    #[arg(long, env = "SYNC_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

/// A duration as the resource writes it: `250ms`, `10s`, `5m`, `720h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write a whole number and a unit, like 250ms, 10s, 5m or 720h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let millis = match &text[digits.len()..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("720h"), Ok(Duration::from_hours(720)));
        for wrong in [
            "",
            "s",
            "10",
            "-1s",
            "1.5s",
            "10 s",
            "9999999999999999999h",
            "18446744073709551615h",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
