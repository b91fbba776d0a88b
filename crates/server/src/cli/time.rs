//! Points in time and spans for people.

/// Milliseconds since 1970 as `2026-01-31T08:00:00.000Z`; `-` for none.
pub(crate) fn format(millis: i64) -> String {
    if millis < 0 {
        return "-".to_owned();
    }
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Counted from 0000-03-01, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// Milliseconds in the largest unit that leaves no rest: `7 days`, `90 minutes`, `1 second`.
pub(crate) fn span(millis: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")];
    let unit = UNITS.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "millisecond"));
    let count = millis / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_in_the_largest_unit_without_a_rest() {
        for (millis, text) in [
            (604_800_000, "7 days"),
            (86_400_000, "1 day"),
            (5_400_000, "90 minutes"),
            (61_000, "61 seconds"),
            (1, "1 millisecond"),
            (0, "0 milliseconds"),
        ] {
            assert_eq!(span(millis), text);
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "-"),
        ] {
            assert_eq!(format(millis), text);
        }
    }
}
