//! Stops asking a plugin that keeps failing.
//!
//! It counts webhooks, not failures: one poisonous webhook that fails again and again is that webhook's trouble and
//! ends in the dead letter; several different ones in a row without a success are the plugin's, and then its
//! webhooks wait without being counted down.

use crate::dispatch::Line;
use crate::model::id::WebhookId;
use billhook_event::Time;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

/// Different webhooks that must fail, with no success between, before a plugin rests.
pub const WEBHOOKS_TO_REST: usize = 5;
/// The first rest.
pub const REST_MIN: Duration = Duration::from_secs(30);
/// The longest rest.
pub const REST_MAX: Duration = Duration::from_secs(300);

/// One breaker per plugin, by name.
#[derive(Debug, Default)]
pub struct Breakers(
    /// A lock because runs on several threads report to it; it is held for a few lines and no wait.
    Mutex<HashMap<String, Breaker>>,
);

#[derive(Debug, Default)]
struct Breaker {
    /// Webhooks that failed since the last success, at most [`WEBHOOKS_TO_REST`].
    failed: HashSet<WebhookId>,
    /// Until when it rests, and how long this rest is.
    rest: Option<(Time, Duration)>,
}

impl Breakers {
    /// The first plugin of `line` that rests at `now`, and until when.
    ///
    /// When a rest is over, one run is let through; until it reports, others are told to wait as long again.
    pub fn open(&self, line: &Line, now: Time) -> Option<(String, Time)> {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        for name in names(line) {
            let Some(breaker) = breakers.get_mut(name) else { continue };
            match breaker.rest {
                Some((until, _)) if now < until => return Some((name.to_owned(), until)),
                Some((_, rest)) => breaker.rest = Some((now.plus(rest), rest)),
                None => {}
            }
        }
        None
    }

    /// Whether some plugin rests, or has rested and not succeeded since.
    pub fn is_any_resting(&self) -> bool {
        let breakers = self.0.lock().expect("no holder of this lock panics");
        breakers.values().any(|breaker| breaker.rest.is_some())
    }

    /// Forgets what is known against `plugin`: it begins closed.
    pub fn forget(&self, plugin: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(plugin);
    }

    /// A run of `line` succeeded.
    pub fn succeeded(&self, line: &Line) {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        for name in names(line) {
            breakers.remove(name);
        }
    }

    /// `plugin` failed on `webhook`: until when it rests, if it does.
    pub fn failed(&self, plugin: &str, webhook: WebhookId, now: Time) -> Option<Time> {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        let breaker = breakers.entry(plugin.to_owned()).or_default();
        if breaker.failed.len() < WEBHOOKS_TO_REST {
            breaker.failed.insert(webhook);
        }
        if breaker.failed.len() < WEBHOOKS_TO_REST {
            return None;
        }
        let rest = match breaker.rest {
            None => REST_MIN,
            Some((_, rest)) => (rest * 2).min(REST_MAX),
        };
        let until = now.plus(rest);
        breaker.rest = Some((until, rest));
        tracing::error!(plugin, %until, "the plugin keeps failing and rests");
        Some(until)
    }
}

fn names(line: &Line) -> impl Iterator<Item = &str> {
    std::iter::once(line.normalizer.name()).chain(line.steps.iter().map(|step| step.plugin.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(n: u128) -> WebhookId {
        WebhookId::new(Time::from_secs(1), n)
    }

    #[test]
    fn one_poisonous_webhook_never_rests_a_plugin() {
        let breakers = Breakers::default();
        for _ in 0..100 {
            assert_eq!(breakers.failed("p", webhook(1), Time::ZERO), None);
        }
    }

    #[test]
    fn five_different_webhooks_rest_it_and_rests_double() {
        let breakers = Breakers::default();
        let now = Time::from_secs(100);
        for n in 1..5 {
            assert_eq!(breakers.failed("p", webhook(n), now), None);
        }
        let rests: Vec<_> =
            (5..11).map(|n| breakers.failed("p", webhook(n), now).unwrap().since(now).as_secs()).collect();
        assert_eq!(rests, [30, 60, 120, 240, 300, 300]);
        assert_eq!(breakers.failed("q", webhook(5), now), None, "breakers are apart");
    }
}
