//! When a plugin that keeps failing is left alone for a while.
//!
//! It counts what it was asked about, not failures: one poisonous webhook that fails again and again is that webhook's
//! trouble; several different ones in a row without a success are the plugin's.

use billhook_event::Time;
use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

/// So many different ones must fail, with no success between, before a plugin rests.
pub const FAILED_TO_REST: usize = 5;
/// The first rest.
pub const REST_MIN: Duration = Duration::from_secs(30);
/// The longest rest. Each is twice as long as the one before.
pub const REST_MAX: Duration = Duration::from_secs(300);

/// What is known against a plugin since it last succeeded.
#[derive(Debug)]
pub struct Rest<T> {
    /// What it failed on, at most [`FAILED_TO_REST`] of it.
    failed: HashSet<T>,
    rests: Option<Rests>,
}

#[derive(Clone, Copy, Debug)]
struct Rests {
    since: Time,
    until: Time,
    lasts: Duration,
}

impl<T> Default for Rest<T> {
    fn default() -> Rest<T> {
        Rest { failed: HashSet::new(), rests: None }
    }
}

impl<T: Eq + Hash> Rest<T> {
    /// Until when it rests. `None`: it never has since its last success. When the time is over, one is to be tried.
    pub fn until(&self) -> Option<Time> {
        self.rests.map(|rests| rests.until)
    }

    /// When it first rested since its last success. `None`: it has not.
    pub fn since(&self) -> Option<Time> {
        self.rests.map(|rests| rests.since)
    }

    /// It is as long again until another may be tried.
    pub fn tries(&mut self, now: Time) {
        self.rests = self.rests.map(|rests| Rests { until: now.plus(rests.lasts), ..rests });
    }

    /// It failed on `what`: until when it rests, if it does.
    pub fn failed(&mut self, what: T, now: Time) -> Option<Time> {
        if self.failed.len() < FAILED_TO_REST {
            self.failed.insert(what);
        }
        if self.failed.len() < FAILED_TO_REST {
            return None;
        }
        let lasts = self.rests.map_or(REST_MIN, |rests| (rests.lasts * 2).min(REST_MAX));
        let (since, until) = (self.since().unwrap_or(now), now.plus(lasts));
        self.rests = Some(Rests { since, until, lasts });
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_poisonous_webhook_never_rests_a_plugin() {
        let mut rest = Rest::default();
        assert!((0..100).all(|_| rest.failed("one", Time::ZERO).is_none() && rest.until().is_none()));
    }

    #[test]
    fn five_different_webhooks_rest_it_and_rests_double() {
        let (mut rest, now) = (Rest::default(), Time::from_secs(100));
        assert!((1..5).all(|n| rest.failed(n, now).is_none()));
        let rests: Vec<_> = (5..11).map(|n| rest.failed(n, now).unwrap().since(now).as_secs()).collect();
        assert_eq!(rests, [30, 60, 120, 240, 300, 300]);
        rest.tries(Time::from_secs(1000));
        assert_eq!((rest.since(), rest.until()), (Some(now), Some(Time::from_secs(1300))));
    }
}
