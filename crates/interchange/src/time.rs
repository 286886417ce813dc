//! ISO 8601 times to and from milliseconds since 1970 UTC, the one place that knows the calendar. It
//! never asks what time it is.

use serde_json::Value;

const MS_PER_DAY: i64 = 86_400_000;

/// Reads `YYYY-MM-DDThh:mm:ss[.fraction][Z|+hh:mm|-hh:mm]`; `None` for anything else.
pub fn parse_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let at = |index: usize, separators: &[u8]| separators.contains(bytes.get(index)?).then_some(());
    at(4, b"-")?;
    at(7, b"-")?;
    at(10, b"Tt ")?;
    at(13, b":")?;
    at(16, b":")?;
    let number = |from: usize, to: usize, range: std::ops::RangeInclusive<i64>| {
        let digits = bytes.get(from..to)?;
        let value = digits.iter().try_fold(0, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
        })?;
        range.contains(&value).then_some(value)
    };
    let days =
        days_from_civil(number(0, 4, 0..=9999)?, number(5, 7, 1..=12)?, number(8, 10, 1..=31)?);
    let seconds =
        number(11, 13, 0..=23)? * 3600 + number(14, 16, 0..=59)? * 60 + number(17, 19, 0..=60)?;
    let rest = bytes.get(19..)?;
    let (fraction_ms, zone) = fraction(rest);
    Some(days * MS_PER_DAY + seconds * 1000 + fraction_ms - offset_ms(zone)?)
}

/// A time as tools write it: ISO 8601, or seconds or milliseconds since 1970 UTC.
pub(crate) fn time_ms(value: &Value) -> Option<i64> {
    /// Numbers below it are seconds: as milliseconds they would be a day in 1973.
    const SECONDS_BELOW: f64 = 1e11;
    match value {
        Value::String(text) => parse_ms(text),
        Value::Number(number) => {
            let number = number.as_f64().filter(|number| (0.0..1e16).contains(number))?;
            let ms = if number < SECONDS_BELOW { number * 1000.0 } else { number };
            Some(std::time::Duration::from_secs_f64(ms / 1000.0).as_millis())
                .and_then(|ms| i64::try_from(ms).ok())
        }
        _ => None,
    }
}

/// Milliseconds of a leading `.digits`, and what follows it.
fn fraction(rest: &[u8]) -> (i64, &[u8]) {
    let Some(digits) = rest.strip_prefix(b".") else { return (0, rest) };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, zone) = digits.split_at(len);
    let ms = (0..3).fold(0, |ms, place| {
        ms * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'))
    });
    (ms, zone)
}

fn offset_ms(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let [h1, h2, rest @ ..] = rest else { return None };
    let [m1, m2] = rest.strip_prefix(b":").unwrap_or(rest) else { return None };
    let two = |tens: &u8, ones: &u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    Some(sign * (two(h1, h2)? * 60 + two(m1, m2)?) * 60_000)
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (Howard Hinnant's method).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Writes `YYYY-MM-DDThh:mm:ss.mmmZ`; times outside the years 0 to 9999 are the nearest inside.
pub fn write_iso(at_ms: i64) -> String {
    let at_ms = at_ms.clamp(-62_167_219_200_000, 253_402_300_799_999);
    let (days, in_day_ms) = (at_ms.div_euclid(MS_PER_DAY), at_ms.rem_euclid(MS_PER_DAY));
    let (year, month, day) = civil_from_days(days);
    let (seconds, ms) = (in_day_ms / 1000, in_day_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The inverse of `days_from_civil`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{parse_ms, write_iso};

    proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(at_ms in -62_167_219_200_000_i64..253_402_300_800_000) {
            prop_assert_eq!(parse_ms(&write_iso(at_ms)), Some(at_ms));
        }
    }

    #[test]
    fn reads_the_shapes_that_tools_write_and_refuses_others() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-05-12T01:02:27.657Z", Some(1_778_547_747_657)),
            ("2026-05-12T03:02:27.657+02:00", Some(1_778_547_747_657)),
            ("2026-05-12T01:02:27.6571234", Some(1_778_547_747_657)),
            ("2026-05-12 01:02:27", Some(1_778_547_747_000)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500)),
            ("[trimmed for fixture]", None),
            ("2026-13-12T01:02:27Z", None),
            ("2026-05-12T01:02:27.657Zzz", None),
            ("2026-05-12T01:02", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_ms(text), expected, "{text}");
        }
        assert_eq!(write_iso(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(write_iso(-1), "1969-12-31T23:59:59.999Z");
    }
}
