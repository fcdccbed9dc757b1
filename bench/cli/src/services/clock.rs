//! The time of day, in UTC, as protocols write it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) weekday: &'static str,
    pub(crate) day: u64,
    pub(crate) month: &'static str,
    pub(crate) year: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
    /// Nanoseconds until the next second.
    pub(crate) left_ns: u64,
}

impl Civil {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            left_ns: 1_000_000_000 - u64::from(since.subsec_nanos()),
            ..Self::at(since.as_secs())
        }
    }

    /// At so many seconds since 1970.
    pub(crate) fn at(seconds: u64) -> Self {
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // The calendar repeats every 400 years, that is 146,097 days; years begin on the 1st of March, so that a leap day is
        // a year's last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = (from_march + 2) % 12;
        Self {
            // The 1st of January 1970 was a Thursday.
            weekday: WEEKDAYS[(days as usize + 4) % 7],
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            month: MONTHS[month as usize],
            year: year_of_era + era * 400 + u64::from(month < 2),
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            left_ns: 0,
        }
    }

    /// As RFC 9110 §5.6.7 has it: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) fn imf_fixdate(&self) -> String {
        let Self {
            weekday,
            day,
            month,
            year,
            hour,
            minute,
            second,
            ..
        } = self;
        format!(
            "{}, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT",
            &weekday[..3],
            &month[..3]
        )
    }
}

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), // RFC 9110's example
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), // a leap day of a century that has one
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), // a century that has none
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(Civil::at(seconds).imf_fixdate(), expected);
        }
    }
}
