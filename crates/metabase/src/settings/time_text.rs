//! Times as databases print them, the way `settings-last-updated` holds them: `2021-02-11 18:38:56.042236+00`
//! (Postgres, H2), `2021-02-11 18:38:56` (MySQL). A text is taken apart so that it can be put together again in the same
//! notation.

use super::DatabaseNow;
use metaferry_domain::schema::Dialect;
use std::fmt;

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

const SECONDS_PER_DAY: i64 = 86_400;

/// A time as text: wall clock, and what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeText {
    wall_seconds: i64,
    /// Microseconds; `None` where the notation has no fraction.
    micros: Option<i64>,
    /// The notation of the offset and its seconds; `None` where the notation has no offset.
    offset: Option<(String, i32)>,
}

impl TimeText {
    /// Takes a text apart; `None` when it has another shape, a year outside 1 to 9999, or more than six digits of
    /// fraction.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
        if separators.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
            return None;
        }
        let field = |from: usize, to: usize| digits(text.get(from..to)?);
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        let is_date =
            year >= 1 && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !is_date || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let wall_seconds =
            days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
        let (micros, rest) = fraction(text.get(19..)?)?;
        let offset = if rest.is_empty() {
            None
        } else {
            Some((rest.to_owned(), offset_seconds(rest)?))
        };
        Some(Self {
            wall_seconds,
            micros,
            offset,
        })
    }

    /// The database's present time in its own notation, rounded down to a second.
    pub(super) fn first(now: DatabaseNow, dialect: Dialect) -> Self {
        let utc_seconds = now.unix_micros.div_euclid(MICROS_PER_SECOND);
        match dialect {
            Dialect::MySql => Self {
                wall_seconds: utc_seconds + i64::from(now.server_offset_seconds),
                micros: None,
                offset: None,
            },
            Dialect::Postgres | Dialect::H2 => Self {
                wall_seconds: utc_seconds,
                micros: Some(0),
                offset: Some(("+00".to_owned(), 0)),
            },
        }
    }

    /// Offset from UTC in seconds, where the notation tells.
    #[must_use]
    pub fn offset_seconds(&self) -> Option<i32> {
        self.offset.as_ref().map(|(_, seconds)| *seconds)
    }

    /// The wall clock, in microseconds since 1970-01-01 00:00 on that clock.
    #[must_use]
    pub fn wall_micros(&self) -> i64 {
        self.wall_seconds * MICROS_PER_SECOND + self.micros.unwrap_or(0)
    }

    /// The first whole second after this time, in the same notation. Zoned times get six digits of fraction: a
    /// collation that ignores punctuation would otherwise read the offset as a fraction.
    pub(super) fn next_second(&self) -> Self {
        let micros = (self.micros.is_some() || self.offset.is_some()).then_some(0);
        Self {
            wall_seconds: self.wall_seconds + 1,
            micros,
            offset: self.offset.clone(),
        }
    }
}

impl fmt::Display for TimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.wall_seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.wall_seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )?;
        if let Some(micros) = self.micros {
            write!(f, ".{micros:06}")?;
        }
        f.write_str(self.offset.as_ref().map_or("", |(notation, _)| notation))
    }
}

fn digits(text: &str) -> Option<i64> {
    // `parse` alone would also take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Splits `.042236+00` into its microseconds and the rest.
fn fraction(text: &str) -> Option<(Option<i64>, &str)> {
    let Some(text) = text.strip_prefix('.') else {
        return Some((None, text));
    };
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (fraction, rest) = text.split_at(end);
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    Some((Some(digits(&format!("{fraction:0<6}"))?), rest))
}

/// `+00`, `-03`, `+05:30`, `+05:30:20`.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, body) = match text.split_at_checked(1)? {
        ("+", body) => (1, body),
        ("-", body) => (-1, body),
        _ => return None,
    };
    let mut parts = body
        .split(':')
        .map(|part| if part.len() == 2 { digits(part) } else { None });
    let hours = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0))?;
    let seconds = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hours > 18 || minutes > 59 || seconds > 59 {
        return None;
    }
    i32::try_from(sign * (hours * 3600 + minutes * 60 + seconds)).ok()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the leap day is a
/// year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}
