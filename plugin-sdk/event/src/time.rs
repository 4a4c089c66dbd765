//! Instants: Unix time in milliseconds, RFC 3339 on the wire.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{self, Serialize, Serializer};
use speedate::{
    Date, DateTime, DateTimeConfig, MicrosecondsPrecisionOverflowBehavior, TimeConfig, TimestampUnit,
};
use std::fmt;

/// An instant as milliseconds since 1970-01-01T00:00:00Z. Arithmetic saturates.
///
/// Its JSON form is RFC 3339 in UTC with exactly three fraction digits: `2026-08-10T12:00:00.000Z`. In formats that nobody
/// reads as they are, such as postcard, it is the number of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The Unix epoch: the least instant there is.
    pub const ZERO: Time = Time(0);

    /// The last instant that has a name in every offset of RFC 3339, 9999-12-30T22:00:00.000Z, so that every instant
    /// can be written and read back.
    pub const MAX: Time = Time(253_402_207_200_000);

    /// From Unix milliseconds; later than [`Time::MAX`] becomes [`Time::MAX`].
    pub const fn from_millis(millis: u64) -> Time {
        Time(if millis > Self::MAX.0 { Self::MAX.0 } else { millis })
    }

    /// From Unix seconds.
    pub const fn from_secs(secs: u64) -> Time {
        Time::from_millis(secs.saturating_mul(1000))
    }

    /// Unix milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole Unix seconds, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// Its date in UTC, `2026-08-10`: for keys of what happens once a day at most.
    pub fn date(self) -> String {
        let mut text = self.to_string();
        text.truncate("2026-08-10".len());
        text
    }

    /// This instant and `duration` after it, to the millisecond.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Time {
        Time::from_millis(self.0.saturating_add(duration.as_millis().try_into().unwrap_or(u64::MAX)))
    }

    /// The instant `duration` before this one, to the millisecond.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Time {
        Time(self.0.saturating_sub(duration.as_millis().try_into().unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub fn since(self, earlier: Time) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads what providers write as a time: RFC 3339 with any offset (none is UTC) and any number of fraction digits,
    /// a date alone (midnight UTC), or digits: 9 to 11 are Unix seconds, 12 and more are Unix milliseconds.
    ///
    /// `None` for anything else, such as microseconds or `20260810`, for times before 1970 and its first instant, and
    /// for Go's zero time `0001-01-01T00:00:00Z`.
    pub fn parse(text: &str) -> Option<Time> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let number: u64 = text.parse().ok()?;
            let millis = match text.len() {
                ..9 => return None,
                9..12 => number * 1000,
                _ => number,
            };
            return (1..=Self::MAX.0).contains(&millis).then_some(Time(millis));
        }
        let config = TimeConfig {
            microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
            ..TimeConfig::default()
        };
        let millis = match DateTime::parse_bytes_rfc3339_with_config(text.as_bytes(), &config) {
            Ok(moment) => moment.timestamp_tz_ms(),
            Err(_) => Date::parse_str_rfc3339(text).ok()?.timestamp_ms(),
        };
        u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Time::from_millis)
    }

    /// Its JSON form. Always there, since [`Time::MAX`] has one.
    fn text(self) -> Option<[u8; 24]> {
        let config = DateTimeConfig { timestamp_unit: TimestampUnit::Second, ..DateTimeConfig::default() };
        let DateTime { date, time } =
            DateTime::from_timestamp_with_config(self.secs() as i64, 0, &config).ok()?;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (0..4, u64::from(date.year)),
            (5..7, u64::from(date.month)),
            (8..10, u64::from(date.day)),
            (11..13, u64::from(time.hour)),
            (14..16, u64::from(time.minute)),
            (17..19, u64::from(time.second)),
            (20..23, self.0 % 1000),
        ];
        for (place, mut number) in parts {
            for digit in text[place].iter_mut().rev() {
                *digit += (number % 10) as u8;
                number /= 10;
            }
        }
        Some(text)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text().ok_or(fmt::Error)?;
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_u64(self.0);
        }
        let text = self.text().ok_or_else(|| ser::Error::custom("a time that has no name"))?;
        serializer.serialize_str(str::from_utf8(&text).map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                // Where a provider writes the first instant it means none; here it is what `Serialize` wrote.
                Time::parse(text)
                    .or_else(|| (text == Time::ZERO.to_string()).then_some(Time::ZERO))
                    .ok_or_else(|| E::custom(format!("`{text}` is not an RFC 3339 time after 1970")))
            }
        }
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Time::from_millis);
        }
        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::Time;
    use proptest::prelude::*;

    #[test]
    fn times_as_providers_write_them() {
        let cases = [
            ("2026-08-10T12:00:00Z", Some("2026-08-10T12:00:00.000Z")),
            ("2025-10-25T09:45:12.273046Z", Some("2025-10-25T09:45:12.273Z")),
            ("2026-08-10T14:00:00+02:00", Some("2026-08-10T12:00:00.000Z")),
            ("2026-08-10 14:00:00.5+0200", Some("2026-08-10T12:00:00.500Z")),
            ("2026-08-10T12:00:00.123456789Z", Some("2026-08-10T12:00:00.123Z")),
            ("2026-08-10T12:00:00", Some("2026-08-10T12:00:00.000Z")),
            ("2024-02-29T23:59:59-01:30", Some("2024-03-01T01:29:59.000Z")),
            ("2699-12-31T23:59:59.999Z", Some("2699-12-31T23:59:59.999Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-30T22:00:00.000Z")),
            ("2026-02-29T12:00:00Z", None),
            ("2026-08-10", Some("2026-08-10T00:00:00.000Z")),
            ("1614265330", Some("2021-02-25T15:02:10.000Z")),
            ("1614265330123", Some("2021-02-25T15:02:10.123Z")),
            ("100000000", Some("1973-03-03T09:46:40.000Z")),
            ("99999999", None),
            ("20260810", None),
            ("253402207200000", Some("9999-12-30T22:00:00.000Z")),
            ("253402207200001", None),
            ("1614265330123456", None),
            ("18446744073709551615", None),
            ("18446744073709551616", None),
            ("0001-01-01T00:00:00Z", None),
            ("0", None),
            ("", None),
            ("soon", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Time::parse(text).map(|t| t.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_date_is_that_of_utc() {
        assert_eq!(Time::parse("2026-08-10T23:30:00-02:00").unwrap().date(), "2026-08-11");
        assert_eq!(Time::MAX.date(), "9999-12-30");
    }

    #[test]
    fn the_json_form_round_trips() {
        for time in [
            Time::ZERO,
            Time::from_millis(1),
            Time::from_millis(1_786_363_200_042),
            Time::from_millis(u64::MAX),
        ] {
            let json = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
        }
    }

    proptest! {
        #[test]
        fn any_time_is_written_and_read_back(millis in 1..=Time::MAX.millis()) {
            let text = Time::from_millis(millis).to_string();
            prop_assert_eq!(text.len(), "2026-08-10T12:00:00.000Z".len());
            prop_assert_eq!(Time::parse(&text), Some(Time::from_millis(millis)));
        }
    }
}
