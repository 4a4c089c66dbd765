//! How many requests are taken in a time.

use billhook_event::Time;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most requests that a rate may name.
pub const REQUESTS_MAX: u32 = 1_000_000;

const NANOS_A_MILLI: u64 = 1_000_000;

/// So many requests in a second, a minute or an hour. Its text form is `500/s`, `30/m` or `100/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    requests: u32,
    per: Duration,
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: write one such as `500/s`, `30/m` or `100/h`, of 1 to {REQUESTS_MAX} requests")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Rate, NotARate> {
        let (requests, unit) = text.split_once('/').ok_or(NotARate)?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(NotARate),
        };
        let digits = requests.bytes().all(|byte| byte.is_ascii_digit());
        let requests = requests.parse().ok().filter(|n| digits && (1..=REQUESTS_MAX).contains(n));
        Ok(Rate { requests: requests.ok_or(NotARate)?, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.requests)
    }
}

impl TryFrom<String> for Rate {
    type Error = NotARate;

    fn try_from(text: String) -> Result<Rate, NotARate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

impl Rate {
    /// How long `n` take that come as fast as may be.
    pub fn lasting(self, n: u64) -> Duration {
        Duration::from_nanos(self.interval_nanos().saturating_mul(n))
    }

    /// Between two requests that come as fast as may be, in nanoseconds.
    pub fn interval_nanos(self) -> u64 {
        u64::try_from(self.per.as_nanos()).unwrap_or(u64::MAX) / u64::from(self.requests)
    }

    /// How many may come at once: what a second is worth, at least one.
    pub fn burst(self) -> u64 {
        (u64::from(self.requests) / self.per.as_secs()).max(1)
    }
}

/// The requests that a rate still allows. It begins full and is refilled as time passes; several threads may take
/// from it.
#[derive(Debug)]
pub struct Bucket {
    interval: u64,
    burst: u64,
    /// When the bucket is full again, in nanoseconds since 1970 (the generic cell rate algorithm's arrival time).
    full_at: AtomicU64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Bucket {
        Bucket { interval: rate.interval_nanos(), burst: rate.burst(), full_at: AtomicU64::new(0) }
    }

    /// Takes one request out.
    ///
    /// # Errors
    /// There is none; the time until there is one.
    pub fn take(&self, now: Time) -> Result<(), Duration> {
        let now = now.millis().saturating_mul(NANOS_A_MILLI);
        let room = self.burst.saturating_mul(self.interval);
        let mut wait = 0;
        // Nothing else is published by this value, so no stronger order is needed; it cannot fail.
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            // A clock that was set back must not keep the source closed: a bucket is never more than empty.
            let full_at = full_at.clamp(now, now.saturating_add(room));
            let after = full_at.saturating_add(self.interval);
            wait = after.saturating_sub(now.saturating_add(room));
            Some(if wait == 0 { after } else { full_at })
        });
        if wait == 0 { Ok(()) } else { Err(Duration::from_nanos(wait)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_700_000_000);

    fn bucket(rate: &str) -> Bucket {
        Bucket::new(rate.parse().unwrap())
    }

    /// How many of `n` requests at `now` are taken.
    fn taken(bucket: &Bucket, now: Time, n: usize) -> usize {
        (0..n).filter(|_| bucket.take(now).is_ok()).count()
    }

    #[test]
    fn a_second_is_worth_what_the_rate_says_and_never_more() {
        for (rate, burst, later_millis, more) in [
            ("500/s", 500, 1000, 500),
            ("500/s", 500, 3_600_000, 500),
            ("500/s", 500, 2, 1),
            ("500/s", 500, 1, 0),
            ("1/s", 1, 999, 0),
            ("1/s", 1, 1000, 1),
            ("30/m", 1, 1999, 0),
            ("30/m", 1, 2000, 1),
            ("30/m", 1, 60_000, 1),
            ("600/m", 10, 1000, 10),
            ("1000000/s", 1_000_000, 1, 1000),
            ("60/h", 1, 59_999, 0),
            ("60/h", 1, 60_000, 1),
            ("36000/h", 10, 1000, 10),
        ] {
            let bucket = bucket(rate);
            assert_eq!(taken(&bucket, START, burst + 10), burst, "{rate}");
            let later = START.plus(Duration::from_millis(later_millis));
            assert_eq!(taken(&bucket, later, more + 10), more, "{rate} after {later_millis} ms");
        }
    }

    #[test]
    fn who_is_refused_is_told_when_there_is_room_again() {
        let bucket = bucket("30/m");
        bucket.take(START).unwrap();
        let wait = bucket.take(START).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        let early = START.plus(wait - Duration::from_millis(1));
        assert_eq!(bucket.take(early), Err(Duration::from_millis(1)), "asking costs nothing");
        assert_eq!(bucket.take(START.plus(wait)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_closes_nothing() {
        let bucket = bucket("10/s");
        assert_eq!(taken(&bucket, START.plus(Duration::from_secs(3600)), 20), 10);
        assert_eq!(taken(&bucket, START, 20), 0);
        assert_eq!(taken(&bucket, START.plus(Duration::from_secs(1)), 20), 10);
    }

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for text in ["1/s", "500/s", "30/m", "1000000/m", "1/h", "500/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", "500", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1000001/s", "5/d", "5 / s", "5/second"]
        {
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text}");
        }
    }
}
