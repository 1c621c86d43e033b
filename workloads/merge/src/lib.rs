//! The sink's decision for one key: a pure function of what is there, what comes, and where.
//!
//! Clients never decide: a client takes the higher version, always. Only the server settles conflicts, and where its outcome is not
//! simply the higher version it writes the outcome again with a version of its own, which every client then accepts. That one rule is
//! why all sites converge; `tests/convergence.rs` tries it over random histories.

use synccluster_protocol::{Site, Version};

/// What a site has for a key. Both may be there: a tombstone stays behind when the key is inserted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The version of the row.
    pub row: Option<Version>,
    /// The version of the tombstone.
    pub tombstone: Option<Version>,
    /// The version that the later of the two replaced at its site.
    pub parent: Option<Version>,
}

/// A row or a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The key has a row.
    Row,
    /// The key was deleted.
    Tombstone,
}

/// What comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Row or tombstone.
    pub kind: Kind,
    /// Its version.
    pub version: Version,
    /// The version it replaced at its site; `None` for a key that was new there.
    pub parent: Option<Version>,
    /// It was sent before, so if it is older than what is there it lost nothing just now.
    pub resent: bool,
    /// What its site wrote of all keys and yet did not know when it wrote this.
    pub unseen: Unseen,
}

/// What a site wrote in a database that is not the one in which it made a write: a database may be lost, and the site begin again with an
/// empty one. Of what it wrote in the same one a site has seen everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unseen {
    /// It has had one database.
    #[default]
    Nothing,
    /// The write is of its present database; up to this version everything was written in earlier ones.
    UpTo(Version),
    /// The write is of an earlier database, and everything behind this version of a later one.
    Behind(Version),
}

impl Unseen {
    fn has(self, version: Version) -> bool {
        match self {
            Self::Nothing => false,
            Self::UpTo(last) => version <= last,
            Self::Behind(last) => version > last,
        }
    }
}

/// The two sides of a conflict: what is there first, what comes second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Two sites made the same key.
    InsertInsert,
    /// Two sites changed the same row.
    UpdateUpdate,
    /// Deleted there, changed here.
    DeleteUpdate,
    /// Changed there, deleted here.
    UpdateDelete,
}

impl Conflict {
    /// The word in `sync.conflicts.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InsertInsert => "insert/insert",
            Self::UpdateUpdate => "update/update",
            Self::DeleteUpdate => "delete/update",
            Self::UpdateDelete => "update/delete",
        }
    }
}

/// What the sink does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens to the key.
    pub action: Action,
    /// What has to be recorded: the loser is the side that `action` does not leave in place.
    pub conflict: Option<Conflict>,
}

/// What happens to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is there already, or something newer is.
    Keep,
    /// The incoming row or tombstone takes the place of what is there.
    Apply,
    /// The key stays deleted, and the server says so again with this version, so that the site which sent the row deletes it even if it
    /// never saw the tombstone that won.
    Rebury(Version),
}

/// The version a write by `site` has when it replaces all of `replaced`; `now` in microseconds since the Unix epoch.
pub fn own_version(site: Site, now: i64, replaced: &[Version]) -> Version {
    Version::next(now, site.node(), replaced.iter().copied().max())
}

/// Decides for one key at `site`; `now` in microseconds since the Unix epoch. LastWriterWins, deletes ByVersion.
pub fn decide(site: Site, local: Local, incoming: Incoming, now: i64) -> Decision {
    let keep = Decision {
        action: Action::Keep,
        conflict: None,
    };
    let apply = Decision {
        action: Action::Apply,
        conflict: None,
    };
    let Some((current, there)) = current(local) else {
        return apply;
    };
    if current == incoming.version || local.tombstone == Some(incoming.version) || local.row == Some(incoming.version) {
        return keep;
    }
    if incoming.parent == Some(current) {
        return apply;
    }
    // What is there was written by who had seen it.
    if local.parent == Some(incoming.version) {
        return keep;
    }
    let newer = incoming.version > current;
    if site != Site::Server {
        return if newer { apply } else { keep };
    }
    // A site that writes a key again has seen its own earlier write, also where compaction has taken the writes between: neither lost. But
    // not one that had no row there, nor what it wrote in another database. (A tombstone it need not have seen: an insert that waits for a
    // delete to be committed was given its version before.)
    let began_anew = newer && incoming.parent.is_none() && there == Kind::Row;
    if current.node() == incoming.version.node() && !began_anew && !incoming.unseen.has(current) {
        return if newer { apply } else { keep };
    }
    if incoming.resent && !newer {
        return keep;
    }
    let conflict = match (there, incoming.kind) {
        (Kind::Row, Kind::Row) if incoming.parent.is_none() => Some(Conflict::InsertInsert),
        (Kind::Row, Kind::Row) => Some(Conflict::UpdateUpdate),
        (Kind::Tombstone, Kind::Row) => Some(Conflict::DeleteUpdate),
        (Kind::Row, Kind::Tombstone) => Some(Conflict::UpdateDelete),
        // Both deleted it: there is nothing to lose.
        (Kind::Tombstone, Kind::Tombstone) => None,
    };
    let action = match (newer, there, incoming.kind) {
        (true, ..) => Action::Apply,
        (false, Kind::Tombstone, Kind::Row) => Action::Rebury(own_version(site, now, &[current, incoming.version])),
        (false, ..) => Action::Keep,
    };
    Decision { action, conflict }
}

/// What the key's state is: the higher of row and tombstone.
pub fn current(local: Local) -> Option<(Version, Kind)> {
    match (local.row, local.tombstone) {
        (None, None) => None,
        (Some(row), Some(tombstone)) if tombstone > row => Some((tombstone, Kind::Tombstone)),
        (Some(row), _) => Some((row, Kind::Row)),
        (None, Some(tombstone)) => Some((tombstone, Kind::Tombstone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version(1 << 20 | 1);
    const MIDDLE: Version = Version(2 << 20 | 2);
    const NEW: Version = Version(3 << 20 | 3);

    fn row(version: Version) -> Local {
        Local {
            row: Some(version),
            ..Local::default()
        }
    }

    fn tombstone(version: Version) -> Local {
        Local {
            tombstone: Some(version),
            ..Local::default()
        }
    }

    fn incoming(kind: Kind, version: Version, parent: Option<Version>) -> Incoming {
        Incoming {
            kind,
            version,
            parent,
            resent: false,
            unseen: Unseen::Nothing,
        }
    }

    fn at_server(local: Local, event: Incoming) -> (Action, Option<Conflict>) {
        let decision = decide(Site::Server, local, event, 0);
        (decision.action, decision.conflict)
    }

    #[test]
    fn a_new_key_is_inserted() {
        assert_eq!(
            at_server(Local::default(), incoming(Kind::Row, NEW, None)),
            (Action::Apply, None)
        );
    }

    #[test]
    fn a_write_that_saw_what_is_there_is_no_conflict_even_if_its_version_were_lower() {
        for local in [row(MIDDLE), tombstone(MIDDLE)] {
            for kind in [Kind::Row, Kind::Tombstone] {
                assert_eq!(
                    at_server(local, incoming(kind, NEW, Some(MIDDLE))),
                    (Action::Apply, None)
                );
            }
        }
    }

    #[test]
    fn what_is_there_already_changes_nothing() {
        for (local, kind) in [(row(NEW), Kind::Row), (tombstone(NEW), Kind::Tombstone)] {
            assert_eq!(at_server(local, incoming(kind, NEW, None)), (Action::Keep, None));
        }
    }

    #[test]
    fn of_two_concurrent_rows_the_higher_version_stays_and_the_other_is_recorded() {
        use Conflict::{InsertInsert, UpdateUpdate};
        assert_eq!(
            at_server(row(MIDDLE), incoming(Kind::Row, NEW, Some(OLD))),
            (Action::Apply, Some(UpdateUpdate))
        );
        assert_eq!(
            at_server(row(NEW), incoming(Kind::Row, MIDDLE, Some(OLD))),
            (Action::Keep, Some(UpdateUpdate))
        );
        assert_eq!(
            at_server(row(NEW), incoming(Kind::Row, MIDDLE, None)),
            (Action::Keep, Some(InsertInsert))
        );
    }

    #[test]
    fn an_older_row_stays_deleted_and_the_server_says_so_again() {
        let (action, conflict) = at_server(tombstone(NEW), incoming(Kind::Row, MIDDLE, Some(OLD)));
        assert_eq!(conflict, Some(Conflict::DeleteUpdate));
        assert!(
            matches!(action, Action::Rebury(version) if version > NEW && version.node() == 0),
            "{action:?}"
        );
    }

    #[test]
    fn a_newer_row_survives_an_older_delete() {
        assert_eq!(
            at_server(row(NEW), incoming(Kind::Tombstone, MIDDLE, Some(OLD))),
            (Action::Keep, Some(Conflict::UpdateDelete))
        );
    }

    #[test]
    fn a_row_inserted_again_stands_before_the_tombstone_it_left_behind() {
        let again = Local {
            row: Some(NEW),
            tombstone: Some(MIDDLE),
            parent: Some(MIDDLE),
        };
        assert_eq!(
            at_server(again, incoming(Kind::Tombstone, MIDDLE, Some(OLD))),
            (Action::Keep, None)
        );
    }

    #[test]
    fn what_is_sent_twice_is_no_second_conflict() {
        let event = Incoming {
            resent: true,
            ..incoming(Kind::Row, MIDDLE, Some(OLD))
        };
        assert_eq!(at_server(row(NEW), event), (Action::Keep, None));
    }

    #[test]
    fn an_earlier_write_of_the_site_that_wrote_last_did_not_lose() {
        let (first, second) = (Version::new(1, 2), Version::new(2, 2));
        assert_eq!(
            at_server(row(second), incoming(Kind::Row, first, None)),
            (Action::Keep, None)
        );
    }

    #[test]
    fn a_site_that_had_nothing_at_the_key_has_not_seen_its_own_earlier_write() {
        let (first, second) = (Version::new(1, 2), Version::new(2, 2));
        let again = incoming(Kind::Row, second, None);
        assert_eq!(
            at_server(row(first), again),
            (Action::Apply, Some(Conflict::InsertInsert))
        );
        assert_eq!(at_server(tombstone(first), again), (Action::Apply, None));
    }

    #[test]
    fn what_was_seen_by_who_wrote_what_is_there_loses_nothing_when_it_comes_again() {
        let (first, second) = (Version::new(1, 2), Version::new(2, 0));
        let there = Local {
            parent: Some(first),
            ..row(second)
        };
        let again = incoming(Kind::Row, first, None);
        assert_eq!(at_server(there, again), (Action::Keep, None));
        assert_eq!(
            at_server(row(second), again),
            (Action::Keep, Some(Conflict::InsertInsert))
        );
    }

    #[test]
    fn a_site_has_not_seen_what_it_wrote_in_a_database_that_it_has_no_more() {
        use Conflict::{UpdateDelete, UpdateUpdate};
        let [first, second, third] = [1, 2, 3].map(|micros| Version::new(micros, 2));
        let of_present = |kind, version| Incoming {
            unseen: Unseen::UpTo(second),
            ..incoming(kind, version, Some(Version::new(0, 2)))
        };
        // Whatever the clock of the new one says.
        for (version, action) in [(third, Action::Apply), (first, Action::Keep)] {
            assert_eq!(
                at_server(row(second), of_present(Kind::Row, version)),
                (action, Some(UpdateUpdate))
            );
            assert_eq!(
                at_server(row(second), of_present(Kind::Tombstone, version)),
                (action, Some(UpdateDelete))
            );
        }
        let fourth = Version::new(4, 2);
        assert_eq!(
            at_server(row(third), of_present(Kind::Row, fourth)),
            (Action::Apply, None)
        );
        let of_earlier = Incoming {
            unseen: Unseen::Behind(second),
            ..incoming(Kind::Row, first, None)
        };
        assert_eq!(
            at_server(row(third), of_earlier),
            (Action::Keep, Some(Conflict::InsertInsert))
        );
        assert_eq!(at_server(row(second), of_earlier), (Action::Keep, None));
    }

    #[test]
    fn a_client_takes_the_higher_version_and_records_nothing() {
        let decide = |local, event| decide(Site::Client(1), local, event, 0);
        for kind in [Kind::Row, Kind::Tombstone] {
            assert_eq!(
                decide(row(MIDDLE), incoming(kind, NEW, Some(OLD))),
                Decision {
                    action: Action::Apply,
                    conflict: None
                }
            );
            assert_eq!(
                decide(row(NEW), incoming(kind, MIDDLE, Some(OLD))),
                Decision {
                    action: Action::Keep,
                    conflict: None
                }
            );
        }
    }
}
