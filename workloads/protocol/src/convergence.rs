//! Whether every site has the same rows: a pure verdict over what connectors and sinks measured.
//!
//! Equal digests alone prove nothing. A write that is still in a site's WAL may have been displaced from its table, and every site looks the
//! same without it. So a site's digest counts only when its connector has confirmed the WAL up to where the digest was taken, and a sink's
//! empty backlog only when it asked for the topic's end after the source's last record was acknowledged.

use crate::{
    Site,
    status::{ConnectorPhase, ConnectorStatus, DigestStatus, SinkPhase, SinkStatus},
};

/// Why it is not (yet) true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConverged {
    /// A workload does not do its work.
    #[error("the {workload} of {site} is {state}")]
    NotWorking {
        /// Its site.
        site: Site,
        /// connector or sink.
        workload: &'static str,
        /// What it does instead, or the error.
        state: String,
    },
    /// Something a site wrote is not in Kafka yet, as far as is known.
    #[error("{site}: changes up to {digest_lsn} are not all in Kafka")]
    Uplink {
        /// The site.
        site: Site,
        /// Up to where they should be.
        digest_lsn: crate::Lsn,
    },
    /// Something in Kafka is not applied yet, as far as is known.
    #[error("{site}: {records} records of {topic} are not applied")]
    Downlink {
        /// The site.
        site: Site,
        /// The topic.
        topic: String,
        /// How many; 0 when it has not looked since the last one was sent.
        records: u64,
    },
    /// A sink does not read the topic of a site.
    #[error("{site} does not read the topic of {source_site} yet")]
    NotRead {
        /// The reader.
        site: Site,
        /// The site it should read.
        source_site: Site,
    },
    /// Events wait at a site.
    #[error("{site}: {count} events are parked: {reason}")]
    Parked {
        /// The site.
        site: Site,
        /// How many.
        count: u64,
        /// Why the newest waits.
        reason: String,
    },
    /// No digest yet.
    #[error("{site} has no digest yet")]
    NoDigest {
        /// The site.
        site: Site,
    },
    /// Drained, and yet not equal.
    #[error("digests differ: {0}")]
    Differ(String),
}

impl NotConverged {
    /// Drained, so that waiting will not help.
    pub fn is_difference(&self) -> bool {
        matches!(self, Self::Differ(_))
    }
}

/// The digest and the number of rows that every site has, or the first reason why that cannot be said.
pub fn judge(sites: &[(ConnectorStatus, SinkStatus)]) -> Result<(String, u64), NotConverged> {
    let mut digests = Vec::with_capacity(sites.len());
    for (connector, sink) in sites {
        let digest = at_work(connector, sink)?;
        let confirmed = connector.slot.as_ref().and_then(|slot| slot.confirmed_flush_lsn);
        if connector.lag_seconds > 0 || confirmed.is_none_or(|confirmed| confirmed < digest.lsn) {
            return Err(NotConverged::Uplink {
                site: connector.site,
                digest_lsn: digest.lsn,
            });
        }
        digests.push((connector.site, digest));
    }
    for (connector, _) in sites {
        for (_, reader) in sites.iter().filter(|(_, sink)| reads(sink.site, connector.site)) {
            drained(connector, reader)?;
        }
    }
    let equal = digests
        .windows(2)
        .all(|pair| pair[0].1.digest == pair[1].1.digest && pair[0].1.rows == pair[1].1.rows);
    match digests.first() {
        Some((_, first)) if equal => Ok((first.digest.clone(), first.rows)),
        _ => {
            let each: Vec<_> = digests
                .iter()
                .map(|(site, digest)| format!("{site} {} ({} rows)", digest.digest, digest.rows))
                .collect();
            Err(NotConverged::Differ(each.join(", ")))
        }
    }
}

/// Whose topics a site reads: the server everybody's, a client the server's.
fn reads(reader: Site, source: Site) -> bool {
    (reader == Site::Server) != (source == Site::Server)
}

fn at_work<'a>(connector: &ConnectorStatus, sink: &'a SinkStatus) -> Result<&'a DigestStatus, NotConverged> {
    let site = connector.site;
    let not_working = |workload, error: &Option<String>, phase: String| NotConverged::NotWorking {
        site,
        workload,
        state: error.clone().unwrap_or(phase),
    };
    if connector.phase != ConnectorPhase::Streaming {
        return Err(not_working(
            "connector",
            &connector.error,
            format!("{:?}", connector.phase),
        ));
    }
    if sink.phase != SinkPhase::Applying {
        return Err(not_working("sink", &sink.error, format!("{:?}", sink.phase)));
    }
    if let Some(why) = &sink.unmeasured {
        return Err(not_working("sink", &None, format!("not able to measure it: {why}")));
    }
    if sink.parked > 0 {
        return Err(NotConverged::Parked {
            site,
            count: sink.parked,
            reason: sink.parked_reason.clone().unwrap_or_default(),
        });
    }
    sink.digest.as_ref().ok_or(NotConverged::NoDigest { site })
}

fn drained(source: &ConnectorStatus, reader: &SinkStatus) -> Result<(), NotConverged> {
    let topic = source.cluster.topic(source.site);
    let missing = NotConverged::NotRead {
        site: reader.site,
        source_site: source.site,
    };
    let place = reader
        .sources
        .iter()
        .find(|place| place.topic == topic)
        .ok_or(missing)?;
    let looked_since = match (source.link.last_moved_at, place.end_measured_at) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(moved), Some(looked)) => looked > moved,
    };
    if place.lag_records == 0 && looked_since {
        Ok(())
    } else {
        Err(NotConverged::Downlink {
            site: reader.site,
            topic,
            records: place.lag_records,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lsn,
        status::{LinkStatus, SlotStatus, SourceStatus},
    };

    type Sites = Vec<(ConnectorStatus, SinkStatus)>;

    fn equal_sites() -> Sites {
        Site::all(2).map(site).collect()
    }

    fn site(site: Site) -> (ConnectorStatus, SinkStatus) {
        let cluster: crate::ClusterName = "demo".parse().unwrap();
        let sources = Site::all(2)
            .filter(|source| reads(site, *source))
            .map(|source| SourceStatus {
                topic: cluster.topic(source),
                offset: 5,
                end_offset: Some(5),
                end_measured_at: Some(2000),
                lag_records: 0,
                clock_ahead_millis: None,
            });
        let slot = SlotStatus {
            name: "s".into(),
            active: true,
            wal_status: "reserved".into(),
            retained_bytes: 0,
            confirmed_flush_lsn: Some(Lsn(100)),
        };
        let link = LinkStatus {
            last_moved_at: Some(1000),
            ..LinkStatus::default()
        };
        let sink = SinkStatus {
            cluster: cluster.clone(),
            site,
            phase: SinkPhase::Applying,
            link: link.clone(),
            sources: sources.collect(),
            lag_seconds: 0,
            digest: Some(DigestStatus {
                digest: "abc".into(),
                rows: 3,
                lsn: Lsn(100),
                measured_at: 2000,
            }),
            conflicts: 0,
            parked: 0,
            parked_reason: None,
            unmeasured: None,
            transactions_applied: 1,
            error: None,
            measured_at: Some(2000),
        };
        let connector = ConnectorStatus {
            cluster,
            site,
            phase: ConnectorPhase::Streaming,
            link,
            slot: Some(slot),
            lag_bytes: Some(0),
            lag_seconds: 0,
            records_acknowledged: 1,
            snapshot_rows: 0,
            set_aside: 0,
            resnapshot: None,
            error: None,
            connect: None,
            measured_at: Some(2000),
        };
        (connector, sink)
    }

    fn with(spoil: impl Fn(&mut Sites)) -> Result<(String, u64), NotConverged> {
        let mut sites = equal_sites();
        spoil(&mut sites);
        judge(&sites)
    }

    #[test]
    fn drained_and_equal_is_converged() {
        assert_eq!(with(|_| {}), Ok(("abc".to_owned(), 3)));
    }

    #[test]
    fn a_write_that_is_only_in_a_sites_wal_is_not_converged_though_the_digests_are_equal() {
        let verdict = with(|sites| sites[2].1.digest.as_mut().unwrap().lsn = Lsn(101));
        assert_eq!(
            verdict,
            Err(NotConverged::Uplink {
                site: Site::Client(2),
                digest_lsn: Lsn(101)
            })
        );
    }

    #[test]
    fn an_empty_backlog_counts_only_if_it_was_looked_at_after_the_last_record() {
        let verdict = with(|sites| sites[1].0.link.last_moved_at = Some(2000));
        assert!(
            matches!(verdict, Err(NotConverged::Downlink { site: Site::Server, .. })),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_topic_nobody_reads_yet_is_not_drained() {
        let verdict = with(|sites| drop(sites[0].1.sources.pop()));
        assert_eq!(
            verdict,
            Err(NotConverged::NotRead {
                site: Site::Server,
                source_site: Site::Client(2)
            })
        );
    }

    #[test]
    fn a_digest_of_before_does_not_count_while_the_site_cannot_be_measured() {
        let verdict = with(|sites| sites[1].1.unmeasured = Some("out of memory".to_owned()));
        let words = verdict.unwrap_err().to_string();
        assert_eq!(words, "the sink of client-1 is not able to measure it: out of memory");
    }

    #[test]
    fn whoever_is_cut_parks_or_differs_is_named() {
        assert!(matches!(
            with(|sites| sites[1].1.phase = SinkPhase::Cut),
            Err(NotConverged::NotWorking {
                site: Site::Client(1),
                ..
            })
        ));
        assert!(matches!(
            with(|sites| sites[1].1.parked = 1),
            Err(NotConverged::Parked { count: 1, .. })
        ));
        let differ = with(|sites| sites[2].1.digest.as_mut().unwrap().digest = "abd".into()).unwrap_err();
        assert!(
            differ.is_difference() && differ.to_string().contains("client-2 abd"),
            "{differ}"
        );
    }
}
