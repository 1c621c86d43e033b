//! Dates and times, by the proleptic Gregorian calendar that Postgres uses. The conversion between days and dates is Howard Hinnant's
//! ("chrono-compatible low-level date algorithms", days_from_civil and civil_from_days).

const MICROS_A_DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 of `2024-02-29` or `0044-03-15 BC`; `None` for anything else, infinity included.
pub(super) fn days(text: &str) -> Option<i64> {
    let (date, before_christ) = match text.strip_suffix(" BC") {
        Some(date) => (date, true),
        None => (text, false),
    };
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days_from_civil(if before_christ { 1 - year } else { year }, month, day))
}

/// `2024-02-29`, or with ` BC`.
pub(super) fn date_text(days: i64) -> Option<String> {
    // Postgres' dates end in 5874897; a number far beyond them is no date.
    (-3_000_000_000..3_000_000_000).contains(&days).then(|| {
        let (year, month, day) = civil_from_days(days);
        if year > 0 {
            format!("{year:04}-{month:02}-{day:02}")
        } else {
            format!("{:04}-{month:02}-{day:02} BC", 1 - year)
        }
    })
}

/// Microseconds since midnight of `23:59:59.25`.
pub(super) fn micros_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || fraction.len() > 6 {
        return None;
    }
    let micros: i64 = if fraction.is_empty() {
        0
    } else {
        format!("{fraction:0<6}").parse().ok()?
    };
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// `23:59:59` with six digits after the point unless they are zeros.
pub(super) fn time_text(micros: i64) -> Option<String> {
    (0..=MICROS_A_DAY).contains(&micros).then(|| {
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction == 0 {
            clock
        } else {
            format!("{clock}.{fraction:06}")
        }
    })
}

/// Microseconds since the epoch of `2024-02-29 12:00:00.25`, with or without ` BC`.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (stamp, era) = text.strip_suffix(" BC").map_or((text, ""), |stamp| (stamp, " BC"));
    let (date, time) = stamp.split_once(' ')?;
    days(&format!("{date}{era}"))?
        .checked_mul(MICROS_A_DAY)?
        .checked_add(micros_of_day(time)?)
}

/// `2024-02-29 12:00:00.250000`.
pub(super) fn timestamp_text(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(MICROS_A_DAY), micros.rem_euclid(MICROS_A_DAY));
    let (year, month, day) = civil_from_days(days);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let clock = format!(
        "{:02}:{:02}:{:02}.{fraction:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if year > 0 {
        format!("{year:04}-{month:02}-{day:02} {clock}")
    } else {
        format!("{:04}-{month:02}-{day:02} {clock} BC", 1 - year)
    }
}

/// `2024-02-29 12:00:00.25+00` to `2024-02-29T12:00:00.250000Z`; years before 1 as ISO 8601 counts them (1 BC is 0000).
pub(super) fn zoned_to_iso(text: &str) -> Option<String> {
    let (stamp, era) = text.strip_suffix(" BC").map_or((text, ""), |stamp| (stamp, " BC"));
    let stamp = stamp.strip_suffix("+00")?;
    let (date, time) = stamp.split_once(' ')?;
    let (year, month, day) = civil_from_days(days(&format!("{date}{era}"))?);
    let of_day = micros_of_day(time)?;
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let sign = if year < 0 { "-" } else { "" };
    Some(format!(
        "{sign}{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{fraction:06}Z",
        year.abs(),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    ))
}

/// The other way; what is not of that form is Postgres' own text already.
pub(super) fn zoned_from_iso(iso: &str) -> String {
    fn convert(iso: &str) -> Option<String> {
        let (date, time) = iso.strip_suffix('Z')?.rsplit_once('T')?;
        let (negative, date) = date.strip_prefix('-').map_or((false, date), |date| (true, date));
        let (year, rest) = date.split_once('-')?;
        let year: i64 = year.parse().ok()?;
        let year = if negative { -year } else { year };
        Some(if year > 0 {
            format!("{year:04}-{rest} {time}+00")
        } else {
            format!("{:04}-{rest} {time}+00 BC", 1 - year)
        })
    }
    convert(iso).unwrap_or_else(|| iso.to_owned())
}

/// Microseconds since the epoch of `2024-02-29T12:00:00.250000Z`, years before 1 as ISO 8601 counts them.
pub(super) fn micros_from_iso(iso: &str) -> Option<i64> {
    if let Some(micros) = micros_of_four_digit_year(iso.as_bytes()) {
        return Some(micros);
    }
    let (date, time) = iso.strip_suffix('Z')?.rsplit_once('T')?;
    let (negative, date) = date.strip_prefix('-').map_or((false, date), |date| (true, date));
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let year = if negative { -year } else { year };
    days_from_civil(year, month, day)
        .checked_mul(MICROS_A_DAY)?
        .checked_add(micros_of_day(time)?)
}

/// The same for the form nearly every instant has, without looking for its parts.
fn micros_of_four_digit_year(iso: &[u8]) -> Option<i64> {
    const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    let iso: &[u8; 27] = iso.try_into().ok()?;
    let fits = |(byte, form): (&u8, &u8)| {
        if *form == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == form
        }
    };
    if !iso.iter().zip(FORM).all(fits) {
        return None;
    }
    let number = |from: usize, digits: usize| {
        iso[from..from + digits]
            .iter()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let seconds = (number(11, 2) * 60 + number(14, 2)) * 60 + number(17, 2);
    Some(days_from_civil(number(0, 4), number(5, 2), number(8, 2)) * MICROS_A_DAY + seconds * 1_000_000 + number(20, 6))
}

/// `12:00:00+00` to `12:00:00Z` as Debezium has it; other offsets stay.
pub(super) fn time_tz_to_iso(text: &str) -> Option<String> {
    text.strip_suffix("+00").map(|time| format!("{time}Z"))
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_day_of_postgres_comes_back(day in -2_451_545i64..2_145_000_000) {
            prop_assert_eq!(days(&date_text(day).unwrap()), Some(day));
        }

        #[test]
        fn every_timestamp_comes_back(stamp in -210_866_803_200_000_000i64..i64::MAX) {
            prop_assert_eq!(micros(&timestamp_text(stamp)), Some(stamp));
        }

        #[test]
        fn every_instant_comes_back_through_iso(stamp in -210_866_803_200_000_000i64..200_000_000_000_000_000) {
            let text = timestamp_text(stamp);
            let zoned = text.strip_suffix(" BC").map_or(format!("{text}+00"), |t| format!("{t}+00 BC"));
            let iso = zoned_to_iso(&zoned).unwrap();
            prop_assert_eq!(micros_from_iso(&iso), Some(stamp));
            prop_assert_eq!(zoned_from_iso(&iso), zoned);
        }

        #[test]
        fn the_usual_form_of_an_instant_is_read_as_any_other(stamp in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let iso = zoned_to_iso(&format!("{}+00", timestamp_text(stamp))).unwrap();
            prop_assert_eq!(micros_of_four_digit_year(iso.as_bytes()), Some(stamp));
        }
    }
}
