//! An endpoint: a configured way out, and the gate before it.

use crate::model::id::EndpointId;
use crate::model::profile::{Manner, Signature};
use crate::model::rate::Rate;
use crate::model::retry::Schedule;
use crate::model::secret::Secret;
use billhook_event::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A configured way out.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Derived from the name.
    pub id: EndpointId,
    /// Its name: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// Where deliveries are posted. Query values are secrets: see [`Endpoint::shown_url`].
    pub url: url::Url,
    /// Every live secret, newest first; each gives one signature. By [`Manner::signature`] they are `whsec_` or `whsk_`
    /// texts, or one text whose bytes are the key, or none.
    pub secrets: Vec<Secret>,
    /// What it subscribes to; empty is `*`.
    pub events: Vec<String>,
    /// The sources it takes events from; empty is all.
    pub sources: Vec<String>,
    /// Its filters and transforms, by name, in this order.
    pub plugins: Vec<String>,
    /// When failed deliveries are tried again.
    pub schedule: Schedule,
    /// How long one attempt may take, from the first byte sent to the last byte read.
    pub timeout: Duration,
    /// Attempts that may be under way at once.
    pub concurrency: usize,
    /// How its deliveries are put.
    pub manner: Manner,
    /// How long it may stay on trial, with nothing but failure, before it is disabled.
    pub disable_after: Duration,
    /// Which events it takes, how fast and in which order.
    pub terms: Terms,
}

/// On which terms an endpoint takes events, beside its subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How many attempts are made in a time; `None`: as many as there are. An answer of 429 slows it.
    pub rate: Option<Rate>,
    /// What waits for what.
    pub ordering: Ordering,
    /// What becomes of an event that comes after a later one.
    pub stale: Stale,
    /// Which mode it takes events of; `None`: of both.
    pub livemode: Option<bool>,
}

/// What waits for what at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Nothing.
    #[default]
    None,
    /// The events of one entity come one at a time, in the order in which the pipeline committed them: that of
    /// their arrival, unless a run failed. Each waits until the one before is delivered, skipped or dead. Holds for what is committed while it is set.
    Entity,
}

impl Ordering {
    /// Every ordering, by the name that the configuration gives it.
    pub const NAMED: [(&'static str, Ordering); 2] = [("none", Ordering::None), ("entity", Ordering::Entity)];
}

/// What becomes of an event that is older than one of its entity and family that the endpoint has taken already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    /// It is sent with a header that says so.
    #[default]
    Mark,
    /// It is not sent, unless it is sent again by hand.
    Skip,
}

impl Stale {
    /// Both, by the name that the configuration gives them.
    pub const NAMED: [(&'static str, Stale); 2] = [("mark", Stale::Mark), ("skip", Stale::Skip)];
}

impl Endpoint {
    /// The URL with every query value and password as `***`, for people to read.
    pub fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        if url.password().is_some() {
            // A URL that cannot hold a password has none to hide.
            let _ = url.set_password(Some("***"));
        }
        let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        if url.query().is_some() {
            url.set_query(
                (!names.is_empty())
                    .then(|| names.iter().map(|n| format!("{n}=***")).collect::<Vec<_>>().join("&"))
                    .as_deref(),
            );
        }
        url.to_string()
    }

    /// Whether its secret can be rotated while it runs: several signatures have room beside each other.
    pub fn rotates(&self) -> bool {
        self.manner.signature == Signature::Standard && !self.secrets.is_empty()
    }
}

/// Whether deliveries pass to an endpoint. A closed gate holds them without using attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Gate {
    /// Deliveries pass. Moves to `Trial` after [`FAILURES_TO_TRIAL`] failures in a row.
    #[default]
    Open,
    /// One delivery at a time is tried; a success opens the gate, a failure doubles the wait. After
    /// [`Endpoint::disable_after`] of that the endpoint is disabled.
    Trial {
        /// Since when there was nothing but failure: when it went to trial.
        since: Time,
        /// When the next one may be tried.
        at: Time,
        /// How long the next wait is.
        wait: Duration,
    },
    /// Closed by hand; opened by hand.
    Paused,
    /// Closed because the endpoint answered 410 or failed for too long; opened by hand.
    Disabled,
}

/// Who turns a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// The gateway, by what the endpoint answered.
    Gateway,
    /// A person.
    Operator,
}

/// How a gate came to be as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// Who did it.
    pub by: By,
    /// Why; a person need not say.
    pub why: Option<String>,
    /// When.
    pub at: Time,
}

/// Failures in a row, with no success between, after which an endpoint goes to trial.
pub const FAILURES_TO_TRIAL: u32 = 5;
/// The first wait of a trial.
pub const TRIAL_WAIT_MIN: Duration = Duration::from_secs(30);
/// The longest wait of a trial.
pub const TRIAL_WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// How long an endpoint may stay on trial unless its configuration says so: longer than the default schedule lasts, and
/// than a long weekend.
pub const DISABLE_AFTER: Duration = Duration::from_secs(120 * 3600);

impl Gate {
    /// The gate after a failure: `in_row` counts it. An endpoint is disabled only after a failure that
    /// [`Gate::notice`] could be given before.
    pub fn after_failure(&self, in_row: u32, now: Time, disable_after: Duration) -> Gate {
        match self {
            Gate::Open if in_row >= FAILURES_TO_TRIAL => {
                Gate::Trial { since: now, at: now.plus(TRIAL_WAIT_MIN), wait: TRIAL_WAIT_MIN }
            }
            Gate::Trial { since, at, wait } => {
                let was_told = self.notice(at.minus(*wait), disable_after).is_some();
                if was_told && now >= since.plus(disable_after) {
                    return Gate::Disabled;
                }
                let wait = (*wait * 2).min(TRIAL_WAIT_MAX);
                Gate::Trial { since: *since, at: now.plus(wait), wait }
            }
            Gate::Open | Gate::Paused | Gate::Disabled => self.clone(),
        }
    }

    /// When the endpoint will be disabled if nothing changes; told once half of the time is over.
    pub fn notice(&self, now: Time, disable_after: Duration) -> Option<Time> {
        match self {
            Gate::Trial { since, .. } if now >= since.plus(disable_after / 2) => {
                Some(since.plus(disable_after))
            }
            Gate::Trial { .. } | Gate::Open | Gate::Paused | Gate::Disabled => None,
        }
    }

    /// The gate after a success.
    pub fn after_success(&self) -> Gate {
        match self {
            Gate::Trial { .. } => Gate::Open,
            Gate::Open | Gate::Paused | Gate::Disabled => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_failure_in_a_row_closes_the_gate_and_waits_double_up_to_a_quarter_of_an_hour() {
        let now = Time::from_secs(1_000);
        assert_eq!(Gate::Open.after_failure(4, now, DISABLE_AFTER), Gate::Open);
        let mut gate = Gate::Open.after_failure(5, now, DISABLE_AFTER);
        let mut waits = Vec::new();
        for _ in 0..7 {
            let Gate::Trial { since, at, wait } = gate else { panic!("{gate:?}") };
            assert_eq!((since, at), (now, now.plus(wait)));
            waits.push(wait.as_secs());
            gate = gate.after_failure(6, now, DISABLE_AFTER);
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(gate.after_success(), Gate::Open);
        assert_eq!(Gate::Paused.after_failure(9, now, DISABLE_AFTER), Gate::Paused);
        assert_eq!(Gate::Paused.after_success(), Gate::Paused);
    }

    #[test]
    fn nothing_but_failure_disables_and_never_without_a_notice() {
        let since = Time::from_secs(1_000_000);
        let hour = |n: u64| since.plus(Duration::from_secs(n * 3600));
        let wait = TRIAL_WAIT_MAX;
        // The last failure, this one, and whether there is a notice of it and an end.
        let cases = [
            (1, 59, false, false),
            (1, 60, true, false),
            (60, 119, true, false),
            (61, 120, true, true),
            (1, 500, true, false),
            (500, 501, true, true),
        ];
        for (last, now, told, ends) in cases {
            let gate = Gate::Trial { since, at: hour(last).plus(wait), wait };
            let after = gate.after_failure(9, hour(now), DISABLE_AFTER);
            assert_eq!(gate.notice(hour(now), DISABLE_AFTER), told.then_some(hour(120)), "{last} {now}");
            assert_eq!(after == Gate::Disabled, ends, "{last} {now}");
        }
        let disabled = Gate::Disabled;
        assert_eq!(disabled.after_failure(9, hour(1), DISABLE_AFTER), disabled);
        assert_eq!(disabled.notice(hour(999), DISABLE_AFTER), None);
    }
}
