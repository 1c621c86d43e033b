//! Whether a write that was acknowledged is accounted for at a site. Pure.

use serde::Serialize;

/// What a write was acknowledged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// This version.
    Version(i64),
    /// This version or a higher one: rows of a full load.
    AtLeast(i64),
}

impl Acknowledged {
    /// The lowest it may be.
    pub fn least(self) -> i64 {
        match self {
            Self::Version(version) | Self::AtLeast(version) => version,
        }
    }
}

/// What a site has of the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The version of the row, if it is there.
    pub row: Option<i64>,
    /// The version of its tombstone, if it has one.
    pub tombstone: Option<i64>,
    /// Versions of writes to it that lost, wherever that was recorded.
    pub lost: Vec<i64>,
    /// Whether something of it waits in `sync.parked`.
    pub parked: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The row has what it wrote.
    Present,
    /// A later write has replaced it.
    Replaced,
    /// It was a delete and the row is gone, or a later write has deleted the row.
    Deleted,
    /// It lost, and that is in `sync.conflicts`.
    Lost,
    /// It waits in `sync.parked`, with the reason.
    Parked,
    /// It is nowhere.
    Missing,
}

/// What became of it.
pub fn judge(acknowledged: Acknowledged, found: &Found) -> Outcome {
    let least = acknowledged.least();
    let lost = match acknowledged {
        Acknowledged::Version(version) => found.lost.contains(&version),
        Acknowledged::AtLeast(version) => found.lost.iter().any(|&lost| lost >= version),
    };
    match (found.row, found.tombstone) {
        (Some(row), _) if row == least || matches!(acknowledged, Acknowledged::AtLeast(_)) && row >= least => {
            Outcome::Present
        }
        (Some(row), _) if row > least => Outcome::Replaced,
        (_, Some(tombstone)) if tombstone >= least => Outcome::Deleted,
        _ if lost => Outcome::Lost,
        _ if found.parked => Outcome::Parked,
        _ => Outcome::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(row: Option<i64>, tombstone: Option<i64>, lost: &[i64], parked: bool) -> Found {
        Found {
            row,
            tombstone,
            lost: lost.to_vec(),
            parked,
        }
    }

    #[test]
    fn every_way_a_write_is_accounted_for() {
        let of = |found: &Found| judge(Acknowledged::Version(10), found);
        for (seen, outcome) in [
            (found(Some(10), None, &[], false), Outcome::Present),
            (found(Some(11), None, &[], false), Outcome::Replaced),
            (found(None, Some(10), &[], false), Outcome::Deleted),
            (found(None, Some(12), &[], false), Outcome::Deleted),
            (found(Some(9), None, &[10], false), Outcome::Lost),
            (found(None, Some(9), &[10], false), Outcome::Lost),
            (found(Some(9), None, &[], true), Outcome::Parked),
            (found(None, None, &[], false), Outcome::Missing),
            (found(Some(9), Some(8), &[7], false), Outcome::Missing),
            (found(None, Some(9), &[], false), Outcome::Missing),
        ] {
            assert_eq!(of(&seen), outcome, "{seen:?}");
        }
    }

    #[test]
    fn rows_of_a_load_are_known_by_a_lowest_version() {
        let of = |found: &Found| judge(Acknowledged::AtLeast(10), found);
        assert_eq!(of(&found(Some(15), None, &[], false)), Outcome::Present);
        assert_eq!(of(&found(None, None, &[12], false)), Outcome::Lost);
        assert_eq!(of(&found(Some(9), None, &[], false)), Outcome::Missing);
    }
}
