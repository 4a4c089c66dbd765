//! How fast an endpoint is sent to: the `rate` of its configuration, slowed while it answers 429.
//!
//! Pure. A bucket of attempts, as [`Bucket`](crate::model::rate::Bucket) is one of requests, for one owner who also
//! wants to know how many there are and when the next one is. It is lost when the process ends and begins full.

use crate::model::Time;
use crate::model::rate::Rate;
use std::time::Duration;

/// How often the rate is halved at most: the slowest is a sixteenth of what is configured.
const HALVED_MAX: u32 = 4;
/// Successes in a row after which the rate is doubled again, up to what is configured.
const SUCCESSES_TO_DOUBLE: u32 = 20;

const NANOS_A_MILLI: u64 = 1_000_000;

/// The attempts that an endpoint's rate still allows.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    /// When the bucket is full again, in nanoseconds since 1970.
    full_at: u64,
    /// How often the rate is halved.
    halved: u32,
    /// Since when. Attempts that began before say nothing about the rate since.
    halved_at: Time,
    /// Successes in a row since.
    successes: u32,
}

impl Pace {
    /// A full bucket.
    pub(super) fn new(rate: Rate) -> Pace {
        Pace { rate, full_at: 0, halved: 0, halved_at: Time::ZERO, successes: 0 }
    }

    /// Between two attempts, in nanoseconds.
    fn interval(&self) -> u64 {
        self.rate.interval_nanos().saturating_mul(1 << self.halved)
    }

    /// What the bucket holds when it is full, in nanoseconds.
    fn room(&self) -> u64 {
        let burst = (self.rate.burst() >> self.halved).max(1);
        burst.saturating_mul(self.interval())
    }

    /// When the bucket is full. A clock that was set back, or a rate that was slowed, must not keep it empty for longer
    /// than an empty one takes.
    fn full_at(&self, now: u64) -> u64 {
        self.full_at.clamp(now, now.saturating_add(self.room()))
    }

    /// How many attempts may begin now; if none, when the next may.
    pub(super) fn free(&self, now: Time) -> Result<usize, Time> {
        let nanos = now.millis().saturating_mul(NANOS_A_MILLI);
        let left = nanos.saturating_add(self.room()).saturating_sub(self.full_at(nanos));
        match left / self.interval() {
            0 => Err(now.plus(Duration::from_millis((self.interval() - left).div_ceil(NANOS_A_MILLI)))),
            n => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        }
    }

    /// `n` attempts begin.
    pub(super) fn take(&mut self, now: Time, n: usize) {
        let nanos = now.millis().saturating_mul(NANOS_A_MILLI);
        self.full_at = self.full_at(nanos).saturating_add(self.interval().saturating_mul(n as u64));
    }

    /// An attempt that began at `began` sent nothing.
    pub(super) fn give_back(&mut self, began: Time) {
        // What was taken at another rate is forgotten.
        if began > self.halved_at {
            self.full_at = self.full_at.saturating_sub(self.interval());
        }
    }

    /// An attempt that began at `began` was answered 429: halves the rate, once for all that began at the old one.
    pub(super) fn slow(&mut self, began: Time, now: Time) {
        self.successes = 0;
        if began > self.halved_at && self.halved < HALVED_MAX {
            (self.halved, self.halved_at) = (self.halved + 1, now);
            // Nothing of the old rate is left to use up: the next one comes after a whole wait.
            self.full_at = now.millis().saturating_mul(NANOS_A_MILLI).saturating_add(self.room());
        }
    }

    /// An attempt succeeded: with enough of them in a row, the rate is doubled.
    pub(super) fn succeeded(&mut self) {
        self.successes = self.successes.saturating_add(1);
        if self.halved > 0 && self.successes >= SUCCESSES_TO_DOUBLE {
            (self.halved, self.successes) = (self.halved - 1, 0);
        }
    }

    /// One part of so many is what is left of the configured rate.
    pub(super) fn part(&self) -> u32 {
        1 << self.halved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_700_000_000);

    fn pace(rate: &str) -> Pace {
        Pace::new(rate.parse().unwrap())
    }

    fn later(millis: u64) -> Time {
        START.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_second_is_worth_what_the_rate_says_and_the_next_is_told() {
        for (rate, burst, next_millis) in
            [("100/s", 100, 10), ("3/s", 3, 334), ("30/m", 1, 2000), ("60/h", 1, 60_000)]
        {
            let mut pace = pace(rate);
            assert_eq!(pace.free(START), Ok(burst), "{rate}");
            pace.take(START, burst);
            assert_eq!(pace.free(START), Err(later(next_millis)), "{rate}");
            assert_eq!(pace.free(later(next_millis - 1)), Err(later(next_millis)), "{rate}");
            assert_eq!(pace.free(later(next_millis)), Ok(1), "{rate}");
            assert_eq!(pace.free(later(3_600_000)), Ok(burst), "{rate}: never more");
        }
    }

    #[test]
    fn a_429_halves_the_rate_once_for_all_that_were_under_way_down_to_a_sixteenth() {
        let mut pace = pace("16/s");
        for (n, part) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 16)] {
            let (began, ends) = (later(n * 1000 - 500), later(n * 1000));
            pace.slow(began, ends);
            pace.slow(began, ends);
            assert_eq!((pace.part(), pace.free(later(60_000))), (part, Ok(16 / part as usize)), "{n}");
        }
        pace.take(later(60_000), 1);
        assert_eq!(pace.free(later(60_000)), Err(later(61_000)));
    }

    #[test]
    fn successes_in_a_row_bring_the_rate_back_step_by_step() {
        let mut pace = pace("16/s");
        pace.slow(later(1), later(2));
        pace.slow(later(3), later(4));
        (1..SUCCESSES_TO_DOUBLE).for_each(|_| pace.succeeded());
        pace.slow(later(3), later(5));
        assert_eq!(pace.part(), 4, "a straggler slows nothing, but it is no success");
        for part in [2, 1, 1] {
            let before = pace.part();
            (1..SUCCESSES_TO_DOUBLE).for_each(|_| pace.succeeded());
            assert_eq!(pace.part(), before);
            pace.succeeded();
            assert_eq!(pace.part(), part, "never more than is configured");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_closed() {
        let mut pace = pace("10/s");
        pace.take(later(3_600_000), 10);
        assert_eq!(pace.free(START), Err(later(100)));
        pace.take(START, 0);
        assert_eq!(pace.free(later(1000)), Ok(10));
    }
}
