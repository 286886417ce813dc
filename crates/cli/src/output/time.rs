//! Times for people and programs, always UTC. Takes the present as an argument.

/// `2026-03-02T09:00:00.000Z`, for programs.
pub(crate) use treering_interchange::time::write_iso as rfc3339;

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_told_without_what_is_smaller() {
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
