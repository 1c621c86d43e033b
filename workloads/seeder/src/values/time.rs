//! Moments, within the year 2025: the clock is not asked, so that the same seed gives the same.

use jiff::{Timestamp, tz::TimeZone};

use super::random::Random;
use crate::schema::Kind;

/// 2025-01-01T00:00:00Z.
const YEAR: u64 = 1_735_689_600;
const SECONDS: u64 = 365 * 86_400;

/// When a row was made, by a number that is its own.
pub fn created(row: u64) -> u64 {
    YEAR + Random::of(row, 0).below(SECONDS)
}

/// Some decades before.
pub fn before(random: &mut Random) -> u64 {
    YEAR - 20 * SECONDS - random.below(25 * SECONDS)
}

/// Seconds since the epoch as text of a date, a timestamp or a timestamp with time zone.
pub fn moment(kind: &Kind, seconds: u64) -> String {
    let timestamp = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let timestamp = timestamp.unwrap_or(Timestamp::UNIX_EPOCH);
    let civil = timestamp.to_zoned(TimeZone::UTC).datetime();
    match kind {
        Kind::Date => civil.date().to_string(),
        Kind::Timestamp => civil.to_string().replace('T', " "),
        _ => timestamp.to_string(),
    }
}
