//! Times for people and programs, always UTC. Takes the present as an argument.

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// `2026-03-02T09:00:00.000Z`, for programs.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    let (year, month, day) = civil(at_ms.div_euclid(DAY_MS));
    let ms = at_ms.rem_euclid(DAY_MS);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        ms / HOUR_MS,
        ms % HOUR_MS / MINUTE_MS,
        ms % MINUTE_MS / SECOND_MS,
        ms % SECOND_MS,
    )
}

/// `2026-03-02 09:00`, for people.
pub(crate) fn minute(at_ms: i64) -> String {
    let mut text = rfc3339(at_ms).replace('T', " ");
    text.truncate(text.len() - ":00.000Z".len());
    text
}

/// How long before `now_ms` something was; a date where that is long or not before at all.
pub(crate) fn ago(now_ms: i64, at_ms: i64) -> String {
    let units =
        [(DAY_MS, 30 * DAY_MS, "day"), (HOUR_MS, DAY_MS, "hour"), (MINUTE_MS, HOUR_MS, "minute")];
    let age = now_ms.saturating_sub(at_ms);
    match units.iter().find(|(unit, ..)| age >= *unit) {
        _ if age < 0 => minute(at_ms),
        None => "just now".to_owned(),
        Some((_, limit, _)) if age >= *limit => minute(at_ms),
        Some((unit, _, name)) => {
            let number = age / unit;
            format!("{number} {name}{} ago", if number == 1 { "" } else { "s" })
        }
    }
}

/// Year, month and day of a day number since 1970-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms", 2013).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ];
        for (at_ms, text) in cases {
            assert_eq!(rfc3339(at_ms), text);
        }
        assert_eq!(minute(951_827_696_789), "2000-02-29 12:34");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(minute(extreme).contains(' '));
        }
    }

    #[test]
    fn ages_are_told_in_the_largest_whole_unit() {
        let now = 100 * DAY_MS;
        let cases = [
            (now, "just now"),
            (now - MINUTE_MS, "1 minute ago"),
            (now - HOUR_MS + 1, "59 minutes ago"),
            (now - 3 * DAY_MS, "3 days ago"),
            (0, "1970-01-01 00:00"),
            (now + 1, "1970-04-11 00:00"),
        ];
        for (at_ms, text) in cases {
            assert_eq!(ago(now, at_ms), text);
        }
    }
}
