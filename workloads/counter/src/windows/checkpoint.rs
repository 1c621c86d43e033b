//! What is stored beside the offset of the likes, in the same transaction, as its metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Enough to begin again with the windows as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The latest event time, or where the wall clock has taken it since.
    pub stream_time: Option<i64>,
    /// Windows that end by then are closed.
    pub closed_until: Option<i64>,
    /// By window size: the offset in its topic before which nothing of an open window lies.
    pub from: BTreeMap<String, i64>,
    /// When it was emitted, in milliseconds of the wall clock, but always later than the one before. Its records have it as `updated_at`.
    #[serde(default)]
    pub at: i64,
    /// By window size: the offset in its topic before which nothing lies of the last transaction that wrote there.
    #[serde(default)]
    pub tail: BTreeMap<String, i64>,
}

/// All that a transaction says of itself: with the offset, and in a header of the first record it writes to each topic. Where the end of a
/// transaction reached one of them only, that one knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The offset of the next like.
    pub next: i64,
    /// What belongs to it.
    pub checkpoint: Checkpoint,
}

impl Stored {
    /// The header's name.
    pub const HEADER: &str = "stored";

    /// As a header's value.
    pub fn to_header(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Checkpoint {
    /// As Kafka stores it with the offset.
    pub fn to_metadata(&self) -> String {
        // Numbers and names into memory: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
