//! Versions: one 64-bit number that orders all writes of a row, everywhere.
//!
//! Microseconds since the Unix epoch, shifted left by [`NODE_BITS`], or-ed with the number of the node that wrote. The time part is
//! a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014, section 3) with the logical counter folded into the
//! microseconds: a write takes the wall clock or, where that is not later than what it replaces, the replaced time plus one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bits of a version that hold the node.
pub const NODE_BITS: u32 = 10;
/// Nodes go from 0 (the server) to 1000; ten bits leave 23 numbers unused.
const NODE_MASK: i64 = (1 << NODE_BITS) - 1;

/// The version of a row or of a tombstone, as it stands in `sync_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

impl Version {
    /// The version with time `micros` (since the Unix epoch) written by `node`.
    pub fn new(micros: i64, node: u16) -> Self {
        Self(micros << NODE_BITS | (i64::from(node) & NODE_MASK))
    }

    /// The version a write by `node` at `now` (microseconds since the Unix epoch) has when it replaces `replaced`.
    pub fn next(now: i64, node: u16, replaced: Option<Self>) -> Self {
        Self::new(replaced.map_or(now, |old| now.max(old.micros() + 1)), node)
    }

    /// Microseconds since the Unix epoch.
    pub fn micros(self) -> i64 {
        self.0 >> NODE_BITS
    }

    /// The node that wrote: 0 is the server, i is client-i.
    pub fn node(self) -> u16 {
        u16::try_from(self.0 & NODE_MASK).unwrap_or_default()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_write_after_another_has_the_higher_version_whatever_the_clocks_say(
            now in 0..1i64 << 52, before in 0..1i64 << 52, node in 0u16..=1000, other in 0u16..=1000,
        ) {
            let replaced = Version::new(before, other);
            let written = Version::next(now, node, Some(replaced));
            prop_assert!(written > replaced);
            prop_assert_eq!(written.node(), node);
            prop_assert!(written.micros() >= now);
        }

        #[test]
        fn two_nodes_never_write_the_same_version(now in 0..1i64 << 52, a in 0u16..=1000, b in 0u16..=1000) {
            prop_assume!(a != b);
            prop_assert_ne!(Version::next(now, a, None), Version::next(now, b, None));
        }
    }
}
