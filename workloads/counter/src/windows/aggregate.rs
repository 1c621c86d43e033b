//! What a window counts of an id, and how it is read back.

use std::borrow::Cow;

use serde::Deserialize;

/// What one window counts of one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate<'a> {
    /// The window's size, by its index.
    pub size: usize,
    /// Of what.
    pub id: &'a str,
    /// The window's start, in milliseconds.
    pub start: i64,
    /// Counted in time.
    pub count: i64,
    /// Counted after the window was closed.
    pub late: i64,
    /// Whether the window is closed.
    pub is_final: bool,
    /// Whether nothing but late events is new: that the window is closed was said before.
    pub late_only: bool,
}

/// A value as it is read back.
#[derive(Deserialize)]
pub struct Emitted<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    window_start: i64,
    count: i64,
    late: i64,
    updated_at: i64,
    r#final: bool,
    #[serde(default)]
    late_only: bool,
}

impl<'a> Emitted<'a> {
    /// Reads a value of a topic of aggregations.
    pub fn read(value: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(value)
    }

    /// When it was emitted.
    pub fn at(&self) -> i64 {
        self.updated_at
    }

    /// As the windows of the topic's size count it.
    pub fn aggregate(&self, size: usize) -> Aggregate<'_> {
        Aggregate {
            size,
            id: &self.id,
            start: self.window_start,
            count: self.count,
            late: self.late,
            is_final: self.r#final,
            late_only: self.late_only,
        }
    }
}
