//! What is stored beside the offset of the likes, in the same transaction, as its metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Enough to begin again with the windows as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The latest event time.
    pub stream_time: Option<i64>,
    /// Windows that end by then are closed.
    pub closed_until: Option<i64>,
    /// By window size: the offset in its topic before which nothing of an open window lies.
    pub from: BTreeMap<String, i64>,
}

impl Checkpoint {
    /// As Kafka stores it with the offset.
    pub fn to_metadata(&self) -> String {
        // Numbers and names into memory: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
