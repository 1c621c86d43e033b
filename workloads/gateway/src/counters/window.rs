//! The windows likes are counted in, by their names. Pure.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use synccluster_runtime::config::parse_duration;

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

/// The lengths in which the nodes count, as they are told: `1m,5m,90s`. Those that are shown here are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted(pub BTreeSet<Window>);

impl FromStr for Counted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut windows = BTreeSet::new();
        for length in text.split(',') {
            let millis = parse_duration(length.trim())?.as_millis();
            let same = |window: &Window| u128::try_from(window.millis()) == Ok(millis);
            windows.extend(Window::ALL.into_iter().find(same));
        }
        Ok(Self(windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_the_names_of_its_length() {
        for window in Window::ALL {
            let minutes = (window.millis() / 60_000).to_string();
            assert_eq!(window.consume(), format!("consume_{minutes}_min_aggregations"));
            assert_eq!(window.name(), format!("{minutes}m"));
            assert_eq!(window.live(), format!("live_aggregations_{minutes}"));
        }
    }

    #[test]
    fn of_the_lengths_that_are_counted_those_that_have_a_name_here_are_known() {
        let counted = |text: &str| text.parse::<Counted>().map(|Counted(windows)| windows);
        assert_eq!(counted("1m,5m,10m"), Ok(Window::ALL.into()));
        assert_eq!(counted("30s, 60s,1h"), Ok([Window::One].into()));
        assert_eq!(counted("24h"), Ok(BTreeSet::new()));
        assert!(counted("").is_err() && counted("1m,x").is_err());
    }

    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        assert_eq!(Window::One.start(119_999), 60_000);
        assert_eq!(Window::Five.start(300_000), 300_000);
        assert_eq!(Window::Ten.start(-1), -600_000);
    }
}
