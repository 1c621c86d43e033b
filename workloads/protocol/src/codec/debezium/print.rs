//! Values as Postgres prints them.

/// The fewest digits that tell it from others, with an exponent where Postgres has one (`to_chars` of its d2s.c). At a few powers of two, of which
/// 2^-44 is one, Postgres takes a digit more.
pub(super) fn float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let parts = shortest
        .split_once('e')
        .and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    match parts {
        Some((digits, exponent)) if !(-4..15).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => value.to_string(),
    }
}

/// An interval in ISO 8601 without its parts that are zero; `None` for anything else.
pub(super) fn interval(whole: &str) -> Option<String> {
    let whole = whole.strip_prefix('P')?;
    let (days, clock) = whole.split_once('T').unwrap_or((whole, ""));
    let (days, clock) = (parts(days)?, parts(clock)?);
    Some(match (days.is_empty(), clock.is_empty()) {
        (true, true) => "PT0S".to_owned(),
        (false, true) => format!("P{days}"),
        (_, false) => format!("P{days}T{clock}"),
    })
}

fn parts(mut rest: &str) -> Option<String> {
    let mut kept = String::new();
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(['Y', 'M', 'D', 'H', 'S'])?);
        let (unit, behind) = behind.split_at(1);
        // Microseconds, of seconds that went through a double.
        let number = format!("{:.6}", number.parse::<f64>().ok()?);
        let number = number.trim_end_matches('0').trim_end_matches('.');
        if !matches!(number, "0" | "-0") {
            kept.push_str(number);
            kept.push_str(unit);
        }
        rest = behind;
    }
    Some(kept)
}

/// `-1234.5` to `-$1,234.50`; `None` for anything else.
pub(super) fn money(number: &str) -> Option<String> {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (whole, cents) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || cents.len() > 2 || !plain(whole) || !plain(cents) {
        return None;
    }
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    Some(format!("{sign}${grouped}.{cents:0<2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_postgres_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (-2.0, "-2"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-1e300, "-1e+300"),
            (5e-324, "5e-324"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn intervals_leave_out_what_is_zero() {
        for (whole, text) in [
            ("P0Y0M0DT0H0M0S", "PT0S"),
            ("P1Y2M3DT4H0M0.0S", "P1Y2M3DT4H"),
            ("P1Y2M-3DT4H5M6.78900000000000005S", "P1Y2M-3DT4H5M6.789S"),
            ("P0Y0M0DT-4H-5M-0.5S", "PT-4H-5M-0.5S"),
            ("P0Y10M0DT2562047788H0M1E-6S", "P10MT2562047788H0.000001S"),
            ("P-1D", "P-1D"),
        ] {
            assert_eq!(interval(whole).as_deref(), Some(text), "{whole}");
        }
        for other in ["", "1 day", "P1", "P1X", "infinity"] {
            assert_eq!(interval(other), None, "{other}");
        }
    }

    #[test]
    fn money_has_its_sign_and_its_groups() {
        for (number, text) in [
            ("0.00", "$0.00"),
            ("-0.01", "-$0.01"),
            ("12.3", "$12.30"),
            ("1234567", "$1,234,567.00"),
            ("123456.78", "$123,456.78"),
        ] {
            assert_eq!(money(number).as_deref(), Some(text), "{number}");
        }
        for other in ["", "-", "$1.00", "1.234", "1e5"] {
            assert_eq!(money(other), None, "{other}");
        }
    }
}
