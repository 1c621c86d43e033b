//! From which offset messages are read.

use std::str::FromStr;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first offset that is still there.
    Beginning,
    /// The last messages.
    End,
    /// The last ones before this offset.
    Before(i64),
    /// This offset, or the next one that is still there.
    Offset(i64),
    /// The first message of this time or later, in milliseconds since the Unix epoch.
    Time(i64),
}

/// The text says no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no position: write beginning, end, offset:42, before:42 or time:2026-01-31T12:00:00Z (a `+` of a zone is %2B in an address)"
)]
pub struct BadPosition(String);

/// An offset that lies outside of what a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside(pub i64);

/// Where reading begins, and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// This offset and what follows it.
    At(i64),
    /// What comes before this offset, the last first.
    Before(i64),
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is still there.
    pub low: i64,
    /// One past the last.
    pub high: i64,
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let position = match text.split_once(':') {
            None if text == "beginning" => Some(Self::Beginning),
            None if text == "end" => Some(Self::End),
            Some(("offset", offset)) => offset.parse().ok().map(Self::Offset),
            Some(("before", offset)) => offset.parse().ok().map(Self::Before),
            Some(("time", time)) => time.parse().ok().and_then(millis).map(Self::Time),
            _ => None,
        };
        position.ok_or_else(|| BadPosition(text.to_owned()))
    }
}

/// Kafka's times have milliseconds: a message of the same millisecond but before is not one of this time or later.
fn millis(time: Timestamp) -> Option<i64> {
    let up = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Ceil);
    // Kafka takes a negative time for a word of its own.
    time.round(up).ok().map(|time| time.as_millisecond().max(0))
}

impl Position {
    /// Where to begin to read; `at_time` is the first offset of the time that was asked for, if there is one.
    pub fn start(self, bounds: Bounds, at_time: Option<i64>) -> Result<Start, Outside> {
        let Bounds { low, high } = bounds;
        match self {
            Self::Beginning => Ok(Start::At(low)),
            Self::End => Ok(Start::Before(high)),
            // Retention may have taken what was there when somebody was told to go on before this: nothing is left.
            Self::Before(offset) if (0..=high).contains(&offset) => Ok(Start::Before(offset.max(low))),
            // The end itself is right: whoever has read everything goes on there.
            Self::Offset(offset) if (low..=high).contains(&offset) => Ok(Start::At(offset)),
            Self::Before(offset) | Self::Offset(offset) => Err(Outside(offset)),
            // Retention may have moved the beginning since the time was looked up.
            Self::Time(_) => Ok(Start::At(at_time.unwrap_or(high).clamp(low, high))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_word_an_offset_or_a_time() {
        let position = |text: &str| text.parse::<Position>().unwrap();
        assert_eq!(position("beginning"), Position::Beginning);
        assert_eq!(position("end"), Position::End);
        assert_eq!(position("offset:42"), Position::Offset(42));
        assert_eq!(position("before:42"), Position::Before(42));
        assert_eq!(position("time:1970-01-01T00:00:01Z"), Position::Time(1000));
        assert_eq!(position("time:1970-01-01T02:00:01.5+02:00"), Position::Time(1500));
        assert_eq!(position("time:1970-01-01T00:00:01.0000001Z"), Position::Time(1001));
        assert_eq!(position("time:1969-01-01T00:00:00Z"), Position::Time(0));
        for wrong in [
            "",
            "start",
            "offset",
            "offset:",
            "offset:x",
            "before:",
            "offset:99999999999999999999",
            "time:",
            "time:yesterday",
            "time:2026-01-01",
            "end:1",
        ] {
            let error = wrong.parse::<Position>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{wrong}` is no position")), "{error}");
        }
    }

    #[test]
    fn reading_begins_within_the_partition() {
        let bounds = Bounds { low: 10, high: 30 };
        let start = |position: Position, at_time| position.start(bounds, at_time);
        assert_eq!(start(Position::Beginning, None), Ok(Start::At(10)));
        assert_eq!(start(Position::End, None), Ok(Start::Before(30)));
        for offset in [10, 17, 30] {
            assert_eq!(start(Position::Offset(offset), None), Ok(Start::At(offset)));
            assert_eq!(start(Position::Before(offset), None), Ok(Start::Before(offset)));
        }
        for offset in [-1, 9, 31, i64::MAX] {
            assert_eq!(start(Position::Offset(offset), None), Err(Outside(offset)));
        }
        for offset in [-1, 31, i64::MAX] {
            assert_eq!(start(Position::Before(offset), None), Err(Outside(offset)));
        }
        assert_eq!(
            start(Position::Before(3), None),
            Ok(Start::Before(10)),
            "it was there once"
        );
        assert_eq!(start(Position::Time(0), Some(20)), Ok(Start::At(20)));
        assert_eq!(start(Position::Time(0), Some(3)), Ok(Start::At(10)));
        assert_eq!(
            start(Position::Time(0), None),
            Ok(Start::At(30)),
            "nothing is that late: the end"
        );
        let empty = Bounds { low: 0, high: 0 };
        assert_eq!(Position::End.start(empty, None), Ok(Start::Before(0)));
    }
}
