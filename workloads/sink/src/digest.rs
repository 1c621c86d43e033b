//! When a site's digest is computed. Pure; `measure` does it.

use std::time::Duration;

use synccluster_protocol::Lsn;

/// What is known when it has to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The site's WAL position now.
    pub lsn: Lsn,
    /// The position a second ago.
    pub before: Option<Lsn>,
    /// The position the last digest belongs to.
    pub of_last: Option<Lsn>,
    /// Time since the last digest was computed.
    pub since_last: Duration,
    /// How long that took.
    pub took: Duration,
}

/// A digest reads every row: it is due when the site has come to rest after a change, and at every `interval` while it has not; but never
/// so often that it takes more than a twentieth of the time.
pub fn is_due(moment: Moment, interval: Duration) -> bool {
    if moment.of_last == Some(moment.lsn) {
        return false;
    }
    let at_rest = moment.before == Some(moment.lsn);
    let spaced = moment.of_last.is_none() || moment.since_last >= moment.took * 20;
    spaced && (at_rest || moment.of_last.is_none() || moment.since_last >= interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Moment = Moment {
        lsn: Lsn(20),
        before: Some(Lsn(20)),
        of_last: Some(Lsn(10)),
        since_last: Duration::from_secs(2),
        took: Duration::from_millis(50),
    };
    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn a_site_where_nothing_was_written_is_not_read_again() {
        assert!(!is_due(
            Moment {
                of_last: Some(Lsn(20)),
                ..MOMENT
            },
            INTERVAL
        ));
    }

    #[test]
    fn a_site_that_came_to_rest_is_read_at_once() {
        assert!(is_due(MOMENT, INTERVAL));
    }

    #[test]
    fn a_busy_site_is_read_at_every_interval() {
        let busy = Moment {
            before: Some(Lsn(15)),
            ..MOMENT
        };
        assert!(!is_due(busy, INTERVAL));
        assert!(is_due(
            Moment {
                since_last: INTERVAL,
                ..busy
            },
            INTERVAL
        ));
    }

    #[test]
    fn a_digest_that_takes_long_is_rare() {
        assert!(!is_due(
            Moment {
                took: Duration::from_secs(1),
                ..MOMENT
            },
            INTERVAL
        ));
    }
}
