//! When a failed delivery is tried again: arithmetic only.

use crate::model::attempt::{Failure, Outcome};
use billhook_event::Time;
use std::time::Duration;

/// The waits between the attempts of one delivery, before jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The wait before the second attempt, the third, and so on.
    pub waits: Vec<Duration>,
    /// Whether waits are varied by up to a fifth either way.
    pub jitter: bool,
    /// The least wait after 429, 502, 504 or a timeout: the receiver is overloaded.
    pub overload_wait: Duration,
}

/// Retry-After is honoured up to this long.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// [`Schedule::overload_wait`] of every schedule that is not an ecosystem's own.
pub const OVERLOAD_WAIT_MIN: Duration = Duration::from_secs(60);

impl Schedule {
    /// `attempts` in all: the first wait is `first`, each other one `factor` times the one before, none longer than
    /// `max`.
    pub fn exponential(first: Duration, factor: u32, max: Duration, attempts: u32) -> Schedule {
        let waits = std::iter::successors(Some(first), |wait| Some(wait.saturating_mul(factor).min(max)));
        let retries = attempts.saturating_sub(1) as usize;
        Schedule { waits: waits.map(|wait| wait.min(max)).take(retries).collect(), ..Schedule::default() }
    }
}

impl Default for Schedule {
    /// The long schedule of Standard Webhooks 1.0.0: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h; ten attempts
    /// over three days.
    fn default() -> Schedule {
        let secs = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        let waits = secs.map(Duration::from_secs).to_vec();
        Schedule { waits, jitter: true, overload_wait: OVERLOAD_WAIT_MIN }
    }
}

/// What becomes of a delivery after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again then.
    RetryAt(Time),
    /// It is dead.
    GiveUp(String),
}

/// Decides what follows the failed attempt number `nth` (from 1) of the schedule.
///
/// `random` in `0.0..1.0` picks the jitter, from -20 % to +20 %. The answer is never before `now` plus
/// `retry_after` (cut to [`RETRY_AFTER_MAX`]), and at least the schedule's `overload_wait` away when the
/// receiver is overloaded.
pub fn next(
    schedule: &Schedule,
    nth: u32,
    failure: &Failure,
    retry_after: Option<Duration>,
    now: Time,
    random: f64,
) -> Next {
    let Some(wait) = schedule.waits.get(nth.saturating_sub(1) as usize) else {
        return Next::GiveUp(match schedule.waits.len() {
            0 => format!("the only attempt failed: {failure}"),
            retries => format!("all {} attempts failed, the last: {failure}", retries + 1),
        });
    };
    let wait = if schedule.jitter { wait.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0)) } else { *wait };
    let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    let overload = if failure.is_overload() { schedule.overload_wait } else { Duration::ZERO };
    Next::RetryAt(now.plus(wait.max(asked).max(overload)))
}

/// Waits before what a plugin failed at is tried again; after the last one its `on_failure` decides.
pub const PLUGIN_WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)];

/// Whether an outcome disables the endpoint: 410 Gone, as Standard Webhooks 1.0.0 asks.
pub fn disables(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(Failure::Status(410)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_followed_to_its_end() {
        let schedule = Schedule { jitter: false, ..Schedule::default() };
        let now = Time::from_secs(1_000_000);
        let failure = Failure::Status(500);
        let waits: Vec<u64> = (1..=9)
            .map(|nth| match next(&schedule, nth, &failure, None, now, 0.0) {
                Next::RetryAt(at) => at.since(now).as_secs(),
                Next::GiveUp(why) => panic!("{nth}: {why}"),
            })
            .collect();
        assert_eq!(waits, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert!(matches!(next(&schedule, 10, &failure, None, now, 0.0), Next::GiveUp(_)));
    }

    #[test]
    fn an_exponential_schedule_grows_to_its_longest_wait() {
        let waits = |first, factor, max, attempts| {
            let secs = Duration::from_secs;
            let schedule = Schedule::exponential(secs(first), factor, secs(max), attempts);
            schedule.waits.iter().map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(waits(10, 3, 10_800, 10), [10, 30, 90, 270, 810, 2430, 7290, 10_800, 10_800]);
        assert_eq!(waits(60, 1, 600, 4), [60, 60, 60]);
        assert_eq!(waits(60, 2, 30, 3), [30, 30]);
        assert_eq!(waits(10, 3, 10_800, 1), [0; 0], "one attempt has no retry");
        assert_eq!(waits(10, u32::MAX, u64::MAX, 101).len(), 100);
    }

    #[test]
    fn a_retry_after_is_never_undercut_and_cut_to_an_hour() {
        let (schedule, now) = (Schedule::default(), Time::from_secs(0));
        for (asked, random, least, most) in [(90, 0.0, 90, 90), (2, 0.0, 4, 4), (7200, 0.5, 3600, 3600)] {
            let retry_after = Some(Duration::from_secs(asked));
            let Next::RetryAt(at) = next(&schedule, 1, &Failure::Status(503), retry_after, now, random)
            else {
                panic!("a first failure is retried")
            };
            assert!((least..=most).contains(&at.since(now).as_secs()), "{asked}: {at}");
        }
    }

    #[test]
    fn an_overloaded_receiver_gets_a_minute() {
        let schedule = Schedule::default();
        let now = Time::from_secs(0);
        for failure in [Failure::Status(429), Failure::Status(502), Failure::Status(504), Failure::Timeout] {
            assert_eq!(
                next(&schedule, 1, &failure, None, now, 0.0),
                Next::RetryAt(now.plus(OVERLOAD_WAIT_MIN))
            );
        }
    }

    #[test]
    fn a_schedule_of_its_own_wins_over_that_minute_but_not_over_the_receivers_wish() {
        let schedule = Schedule { overload_wait: Duration::ZERO, jitter: false, ..Schedule::default() };
        let now = Time::from_secs(0);
        let after = |asked| next(&schedule, 1, &Failure::Status(429), asked, now, 0.0);
        assert_eq!(after(None), Next::RetryAt(Time::from_secs(5)));
        assert_eq!(after(Some(Duration::from_secs(9))), Next::RetryAt(Time::from_secs(9)));
    }
}
