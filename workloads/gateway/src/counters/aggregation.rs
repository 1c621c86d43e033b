//! What a window counts of an id, as the topics of aggregations have it. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::window::Window;

/// What one window counts of one id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Aggregation {
    /// Of what.
    #[schema(value_type = String)]
    pub id: Arc<str>,
    /// The window's start, in milliseconds since the Unix epoch.
    pub window_start: i64,
    /// The first millisecond after it.
    pub window_end: i64,
    /// Likes less unlikes that came in time.
    pub count: i64,
    /// Those that came when the window was final.
    pub late: i64,
    /// When it was counted so, in milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// Whether the window is final: nothing but `late` changes any more.
    pub r#final: bool,
}

impl Aggregation {
    /// Reads a record's value. `None` if it is not one of these windows.
    pub fn read(window: Window, value: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(value).ok()?;
        let whole = read.window_start.checked_add(window.millis()) == Some(read.window_end)
            && window.start(read.window_start) == read.window_start;
        whole.then_some(read)
    }

    /// A window in which nothing has been counted.
    pub fn nothing(window: Window, id: Arc<str>, start: i64) -> Self {
        Self {
            id,
            window_start: start,
            window_end: start + window.millis(),
            count: 0,
            late: 0,
            updated_at: start,
            r#final: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_and_written_as_the_topic_has_it() {
        let value = r#"{"id":"café \"x\"","window_start":60000,"window_end":120000,"count":-3,"late":2,"updated_at":99,"final":true}"#;
        let read = Aggregation::read(Window::One, value.as_bytes()).unwrap();
        assert_eq!((&*read.id, read.count, read.r#final), ("café \"x\"", -3, true));
        assert_eq!(serde_json::to_string(&read).unwrap(), value);
    }

    #[test]
    fn what_is_no_window_of_this_size_is_left_out() {
        let value = |start: i64, end: i64| {
            format!(
                r#"{{"id":"a","window_start":{start},"window_end":{end},"count":1,"late":0,"updated_at":9,"final":false}}"#
            )
        };
        for (start, end) in [(60_000, 360_000), (60_001, 120_001), (i64::MAX - 7, i64::MAX), (0, 0)] {
            assert_eq!(
                Aggregation::read(Window::One, value(start, end).as_bytes()),
                None,
                "{start}"
            );
        }
        for wrong in ["", "{}", "7", r#"{"id":7}"#, "\u{0}"] {
            assert_eq!(Aggregation::read(Window::One, wrong.as_bytes()), None, "{wrong}");
        }
    }
}
