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
/// For how long others wait for what is being tried, before they ask again.
pub const TRIAL_WAIT: Duration = Duration::from_secs(1);

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
    /// When a trial was let through that has not reported.
    tried: Option<Time>,
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

    /// When to ask again whether it rests: soon, where one is being tried.
    pub fn ask_again(&self, now: Time) -> Option<Time> {
        let soon = |rests: Rests| rests.tried.map_or(rests.until, |_| rests.until.min(now.plus(TRIAL_WAIT)));
        self.rests.map(soon)
    }

    /// When it first rested since its last success. `None`: it has not.
    pub fn since(&self) -> Option<Time> {
        self.rests.map(|rests| rests.since)
    }

    /// One is tried: if it never reports, it is as long again until another may be.
    pub fn tries(&mut self, now: Time) {
        let tries = |rests: Rests| Rests { until: now.plus(rests.lasts), tried: Some(now), ..rests };
        self.rests = self.rests.map(tries);
    }

    /// The trial that began at `tried` is over and has decided nothing: another may be tried at once. Nothing, if it has
    /// reported, or another has begun since.
    pub fn undecided(&mut self, tried: Time) {
        if let Some(rests) = self.rests.as_mut().filter(|rests| rests.tried == Some(tried)) {
            (rests.until, rests.tried) = (tried, None);
        }
    }

    /// The trial went on without it: it rests on.
    pub fn rests_on(&mut self) {
        if let Some(rests) = &mut self.rests {
            rests.tried = None;
        }
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
        self.rests = Some(Rests { since, until, lasts, tried: None });
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
        let at = Time::from_secs;
        assert_eq!(rest.ask_again(at(110)), Some(at(400)));
        rest.tries(at(1000));
        assert_eq!((rest.since(), rest.until()), (Some(now), Some(at(1300))));
        assert_eq!([1000, 1299].map(|now| rest.ask_again(at(now))), [1001, 1300].map(|soon| Some(at(soon))));
        rest.undecided(at(999));
        assert_eq!(rest.until(), Some(at(1300)), "it was another trial");
        rest.undecided(at(1000));
        assert_eq!((rest.until(), rest.ask_again(at(900))), (Some(at(1000)), Some(at(1000))));
        rest.tries(at(1000));
        rest.rests_on();
        rest.undecided(at(1000));
        assert_eq!(rest.ask_again(at(1000)), Some(at(1300)), "the webhook went on without it");
        rest.tries(at(1000));
        rest.failed(12, at(1001));
        rest.undecided(at(1000));
        assert_eq!(rest.until(), Some(at(1301)), "it has reported");
    }
}
