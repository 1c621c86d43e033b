//! Lengths of windows.

use std::{collections::BTreeMap, fmt, str::FromStr};

use synccluster_runtime::config::parse_duration;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const LONGEST: i64 = 24 * HOUR;
/// A checkpoint names each size, and Kafka takes 4 kB of it.
const AT_MOST: usize = 16;

/// The length of a tumbling window: whole seconds, from 1 second to 24 hours. Written as in the resource: `1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowSize(i64);

impl WindowSize {
    /// In milliseconds.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Where the window begins that `at` is in.
    pub fn start_of(self, at: i64) -> i64 {
        at - at.rem_euclid(self.0)
    }
}

impl FromStr for WindowSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = i64::try_from(parse_duration(text)?.as_millis()).unwrap_or(i64::MAX);
        if (SECOND..=LONGEST).contains(&millis) && millis % SECOND == 0 {
            Ok(Self(millis))
        } else {
            Err(format!(
                "a window of `{text}` cannot be: write whole seconds, from 1s to 24h, like 1m"
            ))
        }
    }
}

impl fmt::Display for WindowSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % HOUR == 0 => write!(f, "{}h", ms / HOUR),
            ms if ms % MINUTE == 0 => write!(f, "{}m", ms / MINUTE),
            ms => write!(f, "{}s", ms / SECOND),
        }
    }
}

/// The windows that are counted: at least one, each once, the shortest first. Written as `1m,5m,10m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<WindowSize>);

impl Sizes {
    /// Each size, by its index.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = WindowSize> + '_ {
        self.0.iter().copied()
    }

    /// Offsets in the order of the sizes, by the sizes' names.
    pub fn by_name(&self, offsets: &[i64]) -> BTreeMap<String, i64> {
        let names = self.0.iter().map(ToString::to_string);
        names.zip(offsets.iter().copied()).collect()
    }

    /// The size that a topic's suffix names.
    pub fn position(&self, size: WindowSize) -> Option<usize> {
        self.0.iter().position(|other| *other == size)
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut sizes = text
            .split(',')
            .map(|size| size.trim().parse())
            .collect::<Result<Vec<WindowSize>, _>>()?;
        sizes.sort_unstable();
        if sizes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("`{text}` has a window twice"));
        }
        if sizes.len() > AT_MOST {
            return Err(format!("`{text}` has more than {AT_MOST} windows"));
        }
        Ok(Self(sizes))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, size) in self.0.iter().enumerate() {
            write!(f, "{}{size}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_in_the_resource() {
        let sizes: Sizes = "10m, 60s,5m,90s,120m".parse().unwrap();
        assert_eq!(sizes.to_string(), "1m,90s,5m,10m,2h");
        for wrong in ["", "1m,", "1m,60s", "0s", "1500ms", "25h", "1", "-1m"] {
            assert!(wrong.parse::<Sizes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let minute: WindowSize = "1m".parse().unwrap();
        assert_eq!(minute.start_of(59_999), 0);
        assert_eq!(minute.start_of(60_000), 60_000);
    }
}
