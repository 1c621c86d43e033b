//! The windows likes are counted in, by their names. Pure.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A size of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Window {
    /// One minute.
    #[serde(rename = "1m")]
    One,
    /// Five minutes.
    #[serde(rename = "5m")]
    Five,
    /// Ten minutes.
    #[serde(rename = "10m")]
    Ten,
}

impl Window {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::One, Self::Five, Self::Ten];

    /// `1m`, as the topic's name ends.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "1m",
            Self::Five => "5m",
            Self::Ten => "10m",
        }
    }

    /// The Socket.IO event that asks for it.
    pub const fn consume(self) -> &'static str {
        match self {
            Self::One => "consume_1_min_aggregations",
            Self::Five => "consume_5_min_aggregations",
            Self::Ten => "consume_10_min_aggregations",
        }
    }

    /// The Socket.IO event that brings it.
    pub const fn live(self) -> &'static str {
        match self {
            Self::One => "live_aggregations_1",
            Self::Five => "live_aggregations_5",
            Self::Ten => "live_aggregations_10",
        }
    }

    /// Its length.
    pub const fn millis(self) -> i64 {
        match self {
            Self::One => 60_000,
            Self::Five => 300_000,
            Self::Ten => 600_000,
        }
    }

    /// Where the window begins that has this time.
    pub const fn start(self, at: i64) -> i64 {
        at - at.rem_euclid(self.millis())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There are no such windows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no windows of `{0}`: they are of 1m, 5m or 10m")]
pub struct UnknownWindow(pub String);

impl FromStr for Window {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|window| window.name() == text);
        known.ok_or_else(|| UnknownWindow(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_found_by_its_name_and_no_other() {
        for window in Window::ALL {
            assert_eq!(window.name().parse(), Ok(window));
            let minutes = (window.millis() / 60_000).to_string();
            assert_eq!(window.consume(), format!("consume_{minutes}_min_aggregations"));
            assert_eq!(window.live(), format!("live_aggregations_{minutes}"));
        }
        assert!("2m".parse::<Window>().is_err() && "".parse::<Window>().is_err());
    }

    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        assert_eq!(Window::One.start(119_999), 60_000);
        assert_eq!(Window::Five.start(300_000), 300_000);
        assert_eq!(Window::Ten.start(-1), -600_000);
    }
}
