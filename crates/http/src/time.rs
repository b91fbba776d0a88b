//! Points in time as people write them: milliseconds since the Unix epoch, RFC 3339, or a span
//! before now such as `-10m`.

use tramline_types::Timestamp;

/// Parses `1700000000000`, `2023-11-14T22:13:20Z`, `2023-11-14T22:13:20.5+01:00`,
/// `2023-11-14`, `-90s`, `-10m`, `-2h`, `-7d`.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(millis) = text.parse::<i64>() {
        return (millis >= 0).then(|| Timestamp::from_millis(millis));
    }
    match text.strip_prefix('-') {
        Some(span) => Some(now.minus_millis(parse_span(span)?)),
        None => parse_rfc3339(text),
    }
}

/// A span such as `30s` in milliseconds.
pub(crate) fn parse_span(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let millis: i64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(millis)
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month_day) = date.split_once('-')?;
    let (month, day) = month_day.split_once('-')?;
    let days = days_from_civil(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?)?;
    let millis =
        if rest.is_empty() { 0 } else { parse_clock(rest.strip_prefix(['T', 't', ' '])?)? };
    Some(Timestamp::from_millis(days * 86_400_000 + millis))
}

/// `22:13:20[.5](Z|±hh:mm)` as milliseconds since that day's midnight in UTC.
fn parse_clock(text: &str) -> Option<i64> {
    // A space is a `+` that a query string left unescaped.
    let zone_at = text.find(['Z', 'z', '+', '-', ' '])?;
    let (clock, zone) = text.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let (hours, minutes_seconds) = clock.split_once(':')?;
    let (minutes, seconds) = minutes_seconds.split_once(':')?;
    let (hours, minutes, seconds) = (digits(hours, 2)?, digits(minutes, 2)?, digits(seconds, 2)?);
    if hours > 23 || minutes > 59 || seconds > 60 || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let millis = digits(&format!("{fraction}000")[..3], 3)?;
    let east = match zone {
        "Z" | "z" => 0,
        _ => {
            let (zone_hours, zone_minutes) = zone[1..].split_once(':')?;
            let span = digits(zone_hours, 2)? * 3_600_000 + digits(zone_minutes, 2)? * 60_000;
            if zone.starts_with('-') { -span } else { span }
        }
    };
    Some(hours * 3_600_000 + minutes * 60_000 + seconds * 1_000 + millis - east)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let right = text.len() == count && text.bytes().all(|c| c.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01 in the Gregorian calendar, by counting from 0000-03-01 so that the
/// leap day is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(days + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn millis(text: &str) -> Option<i64> {
        parse(text, NOW).map(Timestamp::as_millis)
    }

    #[test]
    fn times_parse_as_people_write_them() {
        for (text, expected) in [
            ("1700000000123", 1_700_000_000_123),
            ("0", 0),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14 22:13:20z", 1_700_000_000_000),
            ("2023-11-14T23:13:20.25+01:00", 1_700_000_000_250),
            ("2023-11-14T23:13:20 01:00", 1_700_000_000_000),
            ("2023-11-14T17:43:20-04:30", 1_700_000_000_000),
            ("2024-02-29", 1_709_164_800_000),
            ("1970-01-01", 0),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("-90s", 1_699_999_910_000),
            ("-10m", 1_699_999_400_000),
            ("-7d", 1_699_395_200_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "-5",
            "-5y",
            "-5x",
            "yesterday",
            "2023-02-29",
            "2023-13-01",
            "2023-11-14T",
            "2023-11-14T22:13Z",
            "2023-11-14T22:13:20",
            "2023-11-14T24:00:00Z",
            "2023-1-14",
            "2023-11-14T22:13:20.x+01:00",
            "2023-11-14T22:13:20+0100",
            "äääääää",
            "-99999999999999999d",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
