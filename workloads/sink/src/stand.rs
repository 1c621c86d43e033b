//! Where a topic stands, and what that says of its next event: whether it was sent before, and what its site did not know. Pure.
//!
//! Positions are those of one database. A site whose volume is lost begins again with an empty one, where positions begin anew and nothing is
//! known of what the earlier one wrote: records say by their header which it was.
//!
//! A topic that is read again says nothing new of where its site is: what was applied here before is known by its offset, not by its position.

use synccluster_merge::Unseen;
use synccluster_protocol::{Site, Version, event::Installation};

use crate::event::{self, Event, Place};

/// Where a site stands in a topic, as `sync.progress` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The next offset to apply.
    pub offset: i64,
    /// What is before this offset was applied here, or passed by; above `offset` while the topic is read again.
    pub reached: i64,
    /// Which of the source's databases the record before is from.
    pub installation: Installation,
    /// The highest of its commits that was applied; 0 while only its snapshot was.
    pub lsn: i64,
    /// The newest version that the source wrote in earlier databases, if it had any.
    pub predecessor: Option<Version>,
}

impl Stand {
    /// The same in a topic that ends at `end`: one that ends before what was applied is another of its name, or has lost records, and of what is
    /// in it nothing is known.
    #[must_use]
    pub fn within(self, end: i64) -> Self {
        let reached = if end < self.reached { 0 } else { self.reached };
        Self { reached, ..self }
    }

    /// Whether the record right before the offset is not the one that was applied there: it is a write of the same database, from its stream and
    /// behind everything that was applied. Then this is another topic of the same name, or one that has lost its end, and has grown past the
    /// offset since. What says less of its place (a snapshot, Debezium) or was taken by compaction is no sign of anything.
    pub fn is_belied_by(self, raw: &str, installation: Installation) -> bool {
        let Ok(Some(event)) = event::parse(raw) else {
            return false;
        };
        let behind_all = matches!(event.place, Place::At(at) if position(at) > self.lsn);
        behind_all && !event.incoming.resent && installation == self.installation && self.reached == self.offset
    }

    /// In a topic that is another than the one that was read, or has lost its end: all of it is to be read, and none of it was.
    #[must_use]
    pub fn anew(self) -> Self {
        Self {
            offset: 0,
            reached: 0,
            ..self
        }
    }
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

    /// Takes an event in, and adds to it what follows from its place; its transaction ends before the offset `next`.
    pub fn place(&mut self, event: &mut Event, next: i64) {
        let again = self.again(next);
        let incoming = &mut event.incoming;
        incoming.unseen = self.stand.predecessor.map_or(Unseen::Nothing, Unseen::UpTo);
        if again {
            incoming.resent = true;
            return;
        }
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

    /// Takes in a record that says where a transaction ends, which it does in the topic before the offset `next`. Debezium says the end of a
    /// commit where the native connector says its beginning. The last byte of a commit is not before its own beginning, and before that of the
    /// next: so the two can be compared, and an engine can follow the other.
    pub fn ended(&mut self, raw: &str, next: i64) {
        if self.again(next) {
            return;
        }
        if let Some(end) = event::marker(raw).and_then(|marker| marker.commit_end()) {
            self.stand.lsn = self.stand.lsn.max(position(end) - 1);
        }
    }

    /// Whether a transaction that ends before the offset `next` was applied here before: its positions are behind us, also those of a snapshot
    /// and of a database that was set back since. Reading begins at the stored offset, so what ends at or before that is in a topic that was
    /// made anew, whose offsets begin at 0, or that has lost its end.
    fn again(&mut self, next: i64) -> bool {
        if next <= self.stand.offset {
            self.stand.reached = 0;
        }
        next <= self.stand.reached
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
        let next = course.stand().reached + 1;
        was_sent_before_as(course, op, node, lsn, next)
    }

    /// The same of an event whose transaction ends before the offset `next`.
    fn was_sent_before_as(course: &mut Course, op: &str, node: u16, lsn: i64, next: i64) -> bool {
        let mut event = event(op, node, lsn);
        course.place(&mut event, next);
        event.incoming.resent
    }

    fn at(lsn: i64) -> Course {
        let stand = Stand {
            lsn,
            ..Stand::default()
        };
        Course::begin(ONE, stand)
    }

    /// A topic of which ten records were applied, read from `offset` on.
    fn ten_applied(offset: i64, lsn: i64) -> Course {
        let stand = Stand {
            offset,
            reached: 10,
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
    fn what_is_read_again_was_sent_before_and_moves_nothing() {
        let mut course = ten_applied(0, 70);
        let before = course.stand();
        assert!(was_sent_before_as(&mut course, "r", 1, 50, 1), "its old snapshot");
        assert!(was_sent_before_as(&mut course, "c", 1, 60, 2), "what follows that");
        assert!(
            was_sent_before_as(&mut course, "c", 1, 90, 9),
            "of before the database was set back"
        );
        course.ended(r#"{"status": "END", "id": "7:95"}"#, 10);
        assert_eq!(course.stand(), before);
        assert!(!was_sent_before_as(&mut course, "c", 1, 80, 11));
        assert!(was_sent_before_as(&mut course, "c", 1, 70, 12), "sent twice");
        assert_eq!(course.stand().lsn, 80);
    }

    #[test]
    fn an_end_of_debeziums_that_was_not_here_before_moves_the_place() {
        let mut course = ten_applied(10, 70);
        course.ended(r#"{"status": "END", "id": "7:95"}"#, 11);
        assert_eq!(course.stand().lsn, 94);
    }

    #[test]
    fn what_a_database_of_its_own_begins_with_was_sent_before_where_it_is_read_again() {
        let mut course = ten_applied(0, 0);
        assert!(was_sent_before_as(&mut course, "r", 1, 60, 10));
        assert!(!was_sent_before_as(&mut course, "r", 1, 60, 11));
    }

    #[test]
    fn in_a_topic_that_was_made_anew_nothing_was_read_before() {
        let mut course = ten_applied(10, 70);
        assert!(!was_sent_before_as(&mut course, "c", 1, 80, 1));
        assert!(!was_sent_before_as(&mut course, "c", 1, 90, 2));
        assert!(was_sent_before_as(&mut course, "c", 1, 70, 3), "known by its position");
        assert_eq!(course.stand().reached, 0);
        // Also while the one before is being read again.
        let mut course = ten_applied(4, 70);
        assert!(!was_sent_before_as(&mut course, "c", 1, 80, 1));
    }

    #[test]
    fn a_topic_that_ends_before_what_was_applied_is_another() {
        let stand = ten_applied(0, 70).stand();
        assert_eq!(stand.within(10), stand);
        assert_eq!(stand.within(9), Stand { reached: 0, ..stand });
    }

    #[test]
    fn a_topic_is_another_where_its_last_record_was_never_applied() {
        let stand = ten_applied(10, 70).stand();
        let is_another = |stand: Stand, op: &str, lsn: i64, installation: i64| {
            stand.is_belied_by(&event(op, 1, lsn).raw, Installation(installation))
        };
        assert!(is_another(stand, "c", 80, 0));
        assert!(!is_another(stand, "c", 70, 0), "the one that was applied");
        assert!(!is_another(stand, "c", 60, 0), "one that was sent twice");
        assert!(!is_another(stand, "r", 80, 0), "a snapshot has a place of its own");
        assert!(!is_another(stand, "c", 80, 1), "positions of another database");
        assert!(!is_another(ten_applied(4, 70).stand(), "c", 80, 0), "it is read again");
        assert!(!stand.is_belied_by(r#"{"status": "END", "id": "7:95"}"#, Installation(0)));
        let anew = stand.anew();
        assert_eq!((anew.offset, anew.reached, anew.lsn), (0, 0, 70));
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
        course.place(&mut first, 1);
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
