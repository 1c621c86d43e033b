//! Where a topic stands, and what that says of its next event: whether it was sent before, and what its site did not know. Pure.
//!
//! Positions are those of one database. A site whose volume is lost begins again with an empty one, where positions begin anew and nothing is
//! known of what the earlier one wrote: records say by their header which it was.

use synccluster_merge::Unseen;
use synccluster_protocol::{Site, Version, event::Installation};

use crate::event::{self, Event, Place};

/// Where a site stands in a topic, as `sync.progress` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The next offset to apply.
    pub offset: i64,
    /// Which of the source's databases the record before is from.
    pub installation: Installation,
    /// The highest of its commits that was applied; 0 while only its snapshot was.
    pub lsn: i64,
    /// The newest version that the source wrote in earlier databases, if it had any.
    pub predecessor: Option<Version>,
}

/// Where a topic stands while records of it are applied.
#[derive(Debug)]
pub struct Course {
    source: Site,
    /// The highest commit that was applied before; what is not above it was sent twice.
    seen: i64,
    stand: Stand,
}

impl Course {
    /// From where a topic of `source` stands.
    pub fn begin(source: Site, stand: Stand) -> Self {
        Self {
            source,
            seen: stand.lsn,
            stand,
        }
    }

    /// Where it stands by now; the offset is that of the beginning.
    pub fn stand(&self) -> Stand {
        self.stand
    }

    /// What follows is from another database of the source's, and where that stands.
    pub fn follow(&mut self, stand: Stand) {
        (self.seen, self.stand) = (stand.lsn, stand);
    }

    /// Takes an event in, and adds to it what follows from its place.
    pub fn place(&mut self, event: &mut Event) {
        let incoming = &mut event.incoming;
        incoming.unseen = self.stand.predecessor.map_or(Unseen::Nothing, Unseen::UpTo);
        match event.place {
            Place::At(at) => {
                let at = position(at);
                if incoming.resent {
                    // A snapshot behind what was seen: the database was set back, and goes on from there.
                    if at < self.seen {
                        (self.seen, self.stand.lsn) = (at, at);
                    }
                    // A database whose stream has not begun: nobody was told of what the site has written there itself.
                    incoming.resent = self.stand.lsn > 0 || incoming.version.node() != self.source.node();
                    return;
                }
                incoming.resent = at <= self.seen;
                self.stand.lsn = self.stand.lsn.max(at);
            }
            // Commits do not overlap: where one at or behind that end was seen, this one was.
            Place::Behind(before) => {
                incoming.resent |= before.is_some_and(|before| position(before) <= self.seen);
            }
        }
    }

    /// Takes in a record that says where a transaction ends. Debezium says the end of a commit where the native connector says its beginning.
    /// The last byte of a commit is not before its own beginning, and before that of the next: so the two can be compared, and an engine can
    /// follow the other.
    pub fn ended(&mut self, raw: &str) {
        if let Some(end) = event::marker(raw).and_then(|marker| marker.commit_end()) {
            self.stand.lsn = self.stand.lsn.max(position(end) - 1);
        }
    }
}

/// What the site did not know when it made a write that was parked since, where the topic stands at `predecessor` now.
pub fn unseen_by_parked(version: Version, predecessor: Option<Version>) -> Unseen {
    match predecessor {
        None => Unseen::Nothing,
        Some(last) if version > last => Unseen::UpTo(last),
        Some(last) => Unseen::Behind(last),
    }
}

fn position(lsn: u64) -> i64 {
    i64::try_from(lsn).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: Site = Site::Client(1);

    fn event(op: &str, node: u16, lsn: i64) -> Event {
        let after = json!({"id": 1, "sync_version": Version::new(1, node).0});
        let source = json!({"name": "demo.client-1", "schema": "public", "table": "todos", "lsn": lsn});
        let raw = json!({"after": after, "op": op, "source": source}).to_string();
        event::parse(&raw).unwrap().unwrap()
    }

    fn was_sent_before(course: &mut Course, op: &str, node: u16, lsn: i64) -> bool {
        let mut event = event(op, node, lsn);
        course.place(&mut event);
        event.incoming.resent
    }

    fn at(lsn: i64) -> Course {
        let stand = Stand {
            lsn,
            ..Stand::default()
        };
        Course::begin(ONE, stand)
    }

    #[test]
    fn a_commit_that_is_not_above_what_was_seen_was_sent_before() {
        let mut course = at(70);
        assert!(was_sent_before(&mut course, "c", 1, 60));
        assert!(was_sent_before(&mut course, "c", 1, 70));
        assert!(!was_sent_before(&mut course, "c", 1, 80));
        // The next row of that transaction.
        assert!(!was_sent_before(&mut course, "c", 1, 80));
        assert_eq!(course.stand().lsn, 80);
    }

    #[test]
    fn what_a_database_of_its_own_begins_with_was_never_sent() {
        let mut course = at(0);
        assert!(!was_sent_before(&mut course, "r", 1, 60));
        assert!(was_sent_before(&mut course, "r", 0, 60), "what others wrote");
        assert!(
            !was_sent_before(&mut course, "r", 1, 60),
            "the next row of the snapshot"
        );
        assert!(!was_sent_before(&mut course, "c", 1, 70));
        assert!(was_sent_before(&mut course, "r", 1, 80), "a snapshot of a new slot");
        assert!(!was_sent_before(&mut course, "c", 1, 90));
    }

    #[test]
    fn a_database_that_was_set_back_goes_on_from_its_snapshot() {
        let mut course = at(70);
        assert!(was_sent_before(&mut course, "r", 1, 50));
        assert!(!was_sent_before(&mut course, "c", 1, 60));
    }

    #[test]
    fn another_database_has_positions_of_its_own_and_does_not_know_what_was_written_before() {
        let mut course = at(70);
        let last = Version::new(9, 1);
        course.follow(Stand {
            installation: Installation(2),
            predecessor: Some(last),
            ..Stand::default()
        });
        let mut first = event("c", 1, 20);
        course.place(&mut first);
        assert_eq!(
            (first.incoming.resent, first.incoming.unseen),
            (false, Unseen::UpTo(last))
        );
        assert_eq!(course.stand().lsn, 20);
    }

    #[test]
    fn what_was_parked_knows_what_its_own_database_wrote() {
        let [before, last, after] = [1, 2, 3].map(|micros| Version::new(micros, 1));
        assert_eq!(unseen_by_parked(after, Some(last)), Unseen::UpTo(last));
        assert_eq!(unseen_by_parked(last, Some(last)), Unseen::Behind(last));
        assert_eq!(unseen_by_parked(before, Some(last)), Unseen::Behind(last));
        assert_eq!(unseen_by_parked(before, None), Unseen::Nothing);
    }
}
