//! Days and moments: counted from 1970 here, year by year in H2's file. Proleptic Gregorian, year 0 being 1 BC.

use metaferry_domain::row_batch::Instant;
use metaferry_h2_file::{Date, TimeOfDay};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const NANOS_PER_MICRO: u64 = 1_000;

/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;
/// From the first day of March of year 0 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// The day that is `days` after 1970-01-01; `None` beyond a billion years.
pub(crate) fn date_of(days: i64) -> Option<Date> {
    let days = days.checked_add(DAYS_TO_1970)?;
    let era = days.div_euclid(DAYS_PER_ERA);
    let of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March, so that the leap day is the last of its year.
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era.checked_mul(400)? + i64::from(month <= 2);
    Some(Date {
        year: i32::try_from(year).ok()?,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    })
}

/// Days from 1970-01-01 to a day.
pub(crate) fn days_of(date: Date) -> i64 {
    let year = i64::from(date.year) - i64::from(date.month <= 2);
    let month = i64::from(date.month);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month_from_march + 2) / 5 + i64::from(date.day) - 1;
    let year_of_era = year.rem_euclid(400);
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    year.div_euclid(400) * DAYS_PER_ERA + of_era - DAYS_TO_1970
}

/// Day and time of day of a moment counted as if it were UTC.
pub(crate) fn moment_of(instant: Instant) -> Option<(Date, TimeOfDay)> {
    let date = date_of(instant.micros.div_euclid(MICROS_PER_DAY))?;
    let micros = u64::try_from(instant.micros.rem_euclid(MICROS_PER_DAY)).ok()?;
    Some((
        date,
        TimeOfDay {
            nanos: micros * NANOS_PER_MICRO + u64::from(instant.nanos),
        },
    ))
}

/// The moment of a day and a time of day as if they were UTC; `None` where 64 bits of microseconds end, about
/// 292,000 years from now.
pub(super) fn instant_of(date: Date, time: TimeOfDay) -> Option<Instant> {
    let micros = i64::try_from(time.nanos / NANOS_PER_MICRO).ok()?;
    let nanos = u16::try_from(time.nanos % NANOS_PER_MICRO).ok()?;
    Some(Instant {
        micros: days_of(date).checked_mul(MICROS_PER_DAY)?.checked_add(micros)?,
        nanos,
    })
}

/// A moment so many seconds later.
pub(super) fn later(instant: Instant, seconds: i64) -> Option<Instant> {
    Some(Instant {
        micros: instant.micros.checked_add(seconds.checked_mul(1_000_000)?)?,
        ..instant
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_days_that_are_easy_to_get_wrong() {
        for (days, (year, month, day)) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (-719_162, (1, 1, 1)),
            (-719_163, (0, 12, 31)),
            (2_932_896, (9999, 12, 31)),
            (-2_440_588, (-4713, 11, 24)),
        ] {
            assert_eq!(date_of(days), Some(Date { year, month, day }), "{days}");
            assert_eq!(days_of(Date { year, month, day }), days);
        }
        assert_eq!(date_of(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn days_come_back(days in -300_000_000_000_i64..300_000_000_000) {
            prop_assert_eq!(date_of(days).map(days_of), Some(days));
        }

        #[test]
        fn moments_come_back(micros in any::<i64>(), nanos in 0_u16..1000) {
            let instant = Instant { micros, nanos };
            let (date, time) = moment_of(instant).unwrap();
            // The very first day that 64 bits of microseconds reach is cut.
            if micros > i64::MIN + MICROS_PER_DAY {
                prop_assert_eq!(instant_of(date, time), Some(instant));
            }
        }
    }
}
