//! What the pass remembers of an endpoint between attempts, and how the endpoints share what may be under way.
//!
//! Pure. All of it is lost when the process ends, which costs a dead endpoint a few more tries.

use crate::deliver::pace::Pace;
use crate::model::Time;
use crate::model::attempt::{Attempt, Failure, Outcome};
use crate::model::delivery::Delivery;
use crate::model::endpoint::{FAILURES_TO_TRIAL, Gate};
use crate::model::id::DeliveryId;
use crate::model::rest::Rest;
use crate::model::retry::{self, Next, PLUGIN_WAITS, RETRY_AFTER_MAX, Schedule};
use crate::store::AfterAttempt;
use std::time::Duration;

/// Attempts of one endpoint that are being recorded at once; while there are as many, nothing more is sent.
const RECORDING_MAX: usize = 256;
/// How long an endpoint is left alone when there was no descriptor to connect to it with.
const EXHAUSTED_WAIT: Duration = Duration::from_secs(10);

/// How many times as many shared slots as are left free one endpoint may have: alone it gets three quarters of them,
/// and however many hang, some are left for another.
const TIMES_THE_REST: usize = 3;

/// One endpoint as the pass sees it.
#[derive(Debug)]
pub(super) struct Lane {
    /// Attempts under way.
    pub(super) in_flight: usize,
    /// Attempts that have ended and are being recorded: they hold no slot of the endpoint.
    pub(super) recording: usize,
    /// Changes of the gate that are being recorded: until they are, nothing is leased.
    pub(super) turning: usize,
    /// Nothing is leased before: the store refused.
    pub(super) blocked: Time,
    /// Leases in a row that gave nothing.
    pub(super) in_vain: u32,
    /// The gate as it was last read; `None`: never yet.
    gate: Option<Gate>,
    /// Failures since the last success.
    in_row: u32,
    /// The slow start: doubles with each success.
    limit: usize,
    /// How fast it may be sent to; `None`: as fast as it takes it.
    pub(super) pace: Option<Pace>,
    /// Whether its plugins keep failing.
    plugins: Rest<DeliveryId>,
    /// Which builds of them were asked last.
    asked: Vec<[u8; 32]>,
}

/// What may be leased for an endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Up to `n` deliveries now; in a trial one.
    Now { n: usize, trial: bool },
    /// Nothing before.
    At(Time),
    /// Nothing until an attempt ends or somebody opens the gate, which both have the pass look again.
    Nothing,
}

/// How a gate turns after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There was a success.
    Succeeded,
    /// There were so many failures in a row; the last one. None count of a trial: if somebody opened the gate
    /// meanwhile, it stays open.
    Failed(u32, Failure),
    /// The endpoint is gone.
    Gone,
}

impl Turn {
    /// The gate after it.
    pub(super) fn apply(&self, gate: &Gate, now: Time, disable_after: Duration) -> Gate {
        match self {
            Turn::Succeeded => gate.after_success(),
            Turn::Failed(in_row, _) => gate.after_failure(*in_row, now, disable_after),
            Turn::Gone => Gate::Disabled,
        }
    }

    /// Why the gate is then as it is.
    pub(super) fn why(&self, after: &Gate, disable_after: Duration) -> String {
        match self {
            Turn::Succeeded => "a delivery got through".to_owned(),
            Turn::Failed(_, last) if *after == Gate::Disabled => {
                let hours = disable_after.as_secs() / 3600;
                format!("nothing but failures for {hours} h, the last: {last}")
            }
            Turn::Failed(_, last) => format!("the last failure: {last}"),
            Turn::Gone => "the endpoint answered 410 Gone".to_owned(),
        }
    }
}

impl Lane {
    pub(super) fn new() -> Lane {
        Lane {
            in_flight: 0,
            recording: 0,
            turning: 0,
            blocked: Time::ZERO,
            in_vain: 0,
            gate: None,
            in_row: 0,
            limit: usize::MAX,
            pace: None,
            plugins: Rest::default(),
            asked: Vec::new(),
        }
    }

    /// Takes note of which builds of the endpoint's plugins serve: what is known against others is forgotten.
    pub(super) fn asks(&mut self, builds: Vec<[u8; 32]>) {
        if self.asked != builds {
            (self.plugins, self.asked) = (Rest::default(), builds);
        }
    }

    /// Whether its plugins keep failing: it is then tried with one delivery by choice, since with the oldest it might
    /// be with the one that fails for ever.
    pub(super) fn is_resting(&self) -> bool {
        self.plugins.until().is_some()
    }

    /// Takes note of the gate as the store has it. Whoever opened it: it starts slowly, with a clean record.
    pub(super) fn observe(&mut self, gate: Gate) {
        if gate == Gate::Open && self.gate.as_ref().is_some_and(|before| *before != Gate::Open) {
            (self.in_row, self.limit) = (0, 1);
        }
        self.gate = Some(gate);
    }

    /// What may be leased now, given when the oldest waiting delivery is due.
    pub(super) fn room(&self, concurrency: usize, oldest: Time, now: Time) -> Room {
        let (most, from, trial) = match &self.gate {
            Some(Gate::Open) if let Some(until) = self.plugins.until() => (1, oldest.max(until), false),
            Some(Gate::Open) => (concurrency.max(1).min(self.limit), oldest, false),
            Some(Gate::Trial { at, .. }) => (1, oldest.max(*at), true),
            Some(Gate::Paused | Gate::Disabled) => return Room::Nothing,
            // It could not be read, which is why the lane is blocked.
            None => return Room::At(oldest.max(self.blocked)),
        };
        // A trial is over once it is recorded, since what is recorded with it is the gate.
        let taken = if trial || self.is_resting() { self.in_flight + self.recording } else { self.in_flight };
        match most.saturating_sub(taken) {
            0 => Room::Nothing,
            _ if self.recording >= RECORDING_MAX => Room::Nothing,
            _ if self.turning > 0 => Room::Nothing,
            n if from.max(self.blocked) <= now => match self.pace.as_ref().map(|pace| pace.free(now)) {
                None => Room::Now { n, trial },
                Some(Ok(free)) => Room::Now { n: n.min(free), trial },
                Some(Err(at)) => Room::At(at),
            },
            _ => Room::At(from.max(self.blocked)),
        }
    }

    /// Counts an attempt that ended, and says what becomes of its delivery and of the gate.
    pub(super) fn decide(
        &mut self,
        delivery: &Delivery,
        attempt: &Attempt,
        schedule: &Schedule,
        now: Time,
        random: f64,
    ) -> (AfterAttempt, Option<Turn>) {
        self.paced(attempt, now);
        if !matches!(&attempt.outcome, Outcome::Failed(Failure::Plugin { .. } | Failure::Unreadable(_))) {
            self.plugins = Rest::default();
        }
        let failure = match &attempt.outcome {
            Outcome::Delivered { .. } => {
                let was_closed = matches!(self.gate, Some(Gate::Trial { .. }));
                (self.in_row, self.limit) = (0, self.limit.saturating_mul(2));
                return (AfterAttempt::Delivered, was_closed.then_some(Turn::Succeeded));
            }
            // None of these says anything about the endpoint.
            Outcome::Skipped(why) => return (AfterAttempt::Skipped(why.clone()), None),
            Outcome::Failed(failure @ Failure::Unreadable(_)) => {
                return (after(delivery, failure, attempt, schedule, now, random), None);
            }
            Outcome::Failed(Failure::Exhausted(_)) => {
                self.blocked = now.plus(EXHAUSTED_WAIT);
                return (AfterAttempt::PutOff(self.blocked), None);
            }
            Outcome::Failed(Failure::Plugin { why, failures, ends }) => {
                let wait = PLUGIN_WAITS.get(failures.saturating_sub(1) as usize);
                // It ends before its time where the plugin says so: that is no trouble of the plugin's.
                let is_final = *ends && wait.is_some();
                if !is_final && let Some(until) = self.plugins.failed(delivery.id, now) {
                    return (AfterAttempt::PutOff(until), None);
                }
                let wait = wait.filter(|_| !ends);
                let after = wait.map_or_else(
                    || AfterAttempt::Dead(why.clone()),
                    |wait| AfterAttempt::PutOff(now.plus(*wait)),
                );
                return (after, None);
            }
            Outcome::Failed(failure) => failure,
        };
        self.in_row += 1;
        if retry::disables(&attempt.outcome) {
            return (AfterAttempt::Held, Some(Turn::Gone));
        }
        if attempt.trial {
            // Behind those that wait for longer by then: it may be the one that fails, and not the endpoint.
            let asked = attempt.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            let after = AfterAttempt::PutOff(now.plus(asked));
            return (after, Some(Turn::Failed(0, failure.clone())));
        }
        // Attempts that began before the gate closed do not make a trial's wait longer.
        let closes = self.in_row >= FAILURES_TO_TRIAL && self.gate == Some(Gate::Open) && self.turning == 0;
        let turn = closes.then(|| Turn::Failed(self.in_row, failure.clone()));
        (after(delivery, failure, attempt, schedule, now, random), turn)
    }

    /// What an attempt says about the pace.
    fn paced(&mut self, attempt: &Attempt, now: Time) {
        let Some(pace) = &mut self.pace else { return };
        match &attempt.outcome {
            Outcome::Delivered { .. } => pace.succeeded(),
            Outcome::Failed(Failure::Status(429)) => pace.slow(attempt.at, now),
            Outcome::Skipped(_)
            | Outcome::Failed(Failure::Plugin { .. } | Failure::Unreadable(_) | Failure::Exhausted(_)) => {
                pace.give_back(attempt.at);
            }
            Outcome::Failed(_) => {}
        }
    }
}

fn after(
    delivery: &Delivery,
    failure: &Failure,
    attempt: &Attempt,
    schedule: &Schedule,
    now: Time,
    random: f64,
) -> AfterAttempt {
    match retry::next(schedule, delivery.step + 1, failure, attempt.retry_after, now, random) {
        Next::RetryAt(at) => AfterAttempt::RetryAt(at),
        Next::GiveUp(why) => AfterAttempt::Dead(why),
    }
}

/// What an endpoint wants and gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// Which lane.
    pub(super) place: usize,
    /// How many it wants; after [`share`], how many it gets.
    pub(super) n: usize,
    /// How many it has under way.
    pub(super) in_flight: usize,
    /// When its oldest is due.
    pub(super) oldest: Time,
    /// Whether it is a trial.
    pub(super) trial: bool,
    /// Whether one is chosen among several.
    pub(super) choice: bool,
}

/// How many slots there are to share among endpoints with these concurrencies: as many as let each have all that it may
/// at the same time, within `most`.
pub(super) fn slots(concurrencies: impl Iterator<Item = usize>, most: usize) -> usize {
    let shared: usize = concurrencies.map(|concurrency| concurrency.saturating_sub(1)).sum();
    (shared + shared.div_ceil(TIMES_THE_REST)).min(most)
}

/// Shares `free` slots evenly, one each in turn from `first` on. The first attempt of an endpoint needs none of them:
/// however many others hang, every endpoint has one slot of its own. Nor do those that hang get the last of the shared
/// ones: none has more than [`TIMES_THE_REST`] of what is left.
pub(super) fn share(wants: &mut [Want], mut free: usize, first: usize) {
    let asked: Vec<usize> = wants.iter().map(|want| want.n).collect();
    for want in wants.iter_mut() {
        want.n = want.n.min(usize::from(want.in_flight == 0));
    }
    let mut given = true;
    while given && free > 0 {
        given = false;
        for i in 0..wants.len() {
            let i = (first + i) % wants.len();
            let Want { n, in_flight, .. } = wants[i];
            // Of all that it has with one more, one is its own.
            if n < asked[i] && n + in_flight <= TIMES_THE_REST * free.saturating_sub(1) {
                (wants[i].n, free, given) = (n + 1, free - 1, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::DeliveryState;
    use crate::model::endpoint::DISABLE_AFTER;
    use crate::model::id::{DeliveryId, EndpointId, EventId, WebhookId};

    const NOW: Time = Time::from_secs(1_000_000);

    fn delivery(step: u32) -> Delivery {
        let (event, endpoint) = (EventId::derive(WebhookId::new(NOW, 1), 0), EndpointId::derive("app"));
        let id = DeliveryId::derive(event, endpoint, 0);
        let state = DeliveryState::Waiting { due: NOW };
        Delivery { id, event, endpoint, resend: 0, created: NOW, attempts: step, step, state, stale: None }
    }

    fn attempt(status: u16, trial: bool) -> Attempt {
        let outcome = match status {
            200..300 => Outcome::Delivered { status },
            _ => Outcome::Failed(Failure::Status(status)),
        };
        let (took, webhook_id) = (Duration::ZERO, "evt_1".to_owned());
        Attempt { n: 1, at: NOW, took, outcome, trial, webhook_id, retry_after: None, answer: Vec::new() }
    }

    fn decide(lane: &mut Lane, status: u16, trial: bool) -> (AfterAttempt, Option<Turn>) {
        let schedule = Schedule { jitter: false, ..Schedule::default() };
        lane.decide(&delivery(0), &attempt(status, trial), &schedule, NOW, 0.5)
    }

    fn lane(gate: Gate) -> Lane {
        let mut lane = Lane::new();
        lane.observe(gate);
        lane
    }

    #[test]
    fn a_plugin_that_keeps_failing_rests_and_nothing_is_counted_down() {
        let mut lane = lane(Gate::Open);
        let fails = |lane: &mut Lane, n: u128, failures, ends| {
            let outcome = Outcome::Failed(Failure::Plugin { why: "no".into(), failures, ends });
            let id = DeliveryId(n.to_be_bytes());
            let attempt = Attempt { outcome, ..attempt(500, false) };
            lane.decide(&Delivery { id, ..delivery(0) }, &attempt, &Schedule::default(), NOW, 0.5).0
        };
        let secs = |secs| AfterAttempt::PutOff(NOW.plus(Duration::from_secs(secs)));
        assert_eq!(fails(&mut lane, 0, 1, true), AfterAttempt::Dead("no".into()), "of its content");
        for n in 1..5 {
            assert_eq!(fails(&mut lane, n, 1, false), secs(1));
        }
        assert_eq!(fails(&mut lane, 4, 6, true), AfterAttempt::Dead("no".into()), "of one alone");
        assert_eq!(fails(&mut lane, 5, 6, true), secs(30), "the plugin's trouble");
        assert_eq!(lane.room(8, NOW, NOW), Room::At(NOW.plus(Duration::from_secs(30))));
        let later = NOW.plus(Duration::from_secs(31));
        assert_eq!(lane.room(8, NOW, later), Room::Now { n: 1, trial: false });
        lane.in_flight = 1;
        assert_eq!(lane.room(8, NOW, later), Room::Nothing, "one at a time");
        lane.in_flight = 0;
        decide(&mut lane, 500, false);
        assert_eq!(lane.room(8, NOW, NOW), Room::Now { n: 8, trial: false }, "the endpoint was asked");
    }

    #[test]
    fn what_the_gateway_has_no_descriptors_for_is_put_off_and_not_counted() {
        let outcome = Outcome::Failed(Failure::Exhausted("too many open files".to_owned()));
        let exhausted = Attempt { outcome, ..attempt(500, false) };
        let at = NOW.plus(EXHAUSTED_WAIT);
        for gate in [Gate::Open, Gate::Trial { since: NOW, at: NOW, wait: EXHAUSTED_WAIT }] {
            let mut lane = lane(gate.clone());
            for n in 0..2 * FAILURES_TO_TRIAL {
                let trial = Attempt { trial: gate != Gate::Open, ..exhausted.clone() };
                let decided = lane.decide(&delivery(0), &trial, &Schedule::default(), NOW, 0.5);
                assert_eq!(decided, (AfterAttempt::PutOff(at), None), "{gate:?}, {n}");
            }
            assert_eq!(lane.room(8, NOW, NOW), Room::At(at), "{gate:?}");
            assert_eq!(lane.in_row, 0, "{gate:?}");
        }
    }

    #[test]
    fn five_failures_in_a_row_close_the_gate_once() {
        let mut lane = lane(Gate::Open);
        for _ in 0..4 {
            assert_eq!(
                decide(&mut lane, 500, false),
                (AfterAttempt::RetryAt(NOW.plus(Duration::from_secs(5))), None)
            );
        }
        assert_eq!(decide(&mut lane, 200, false), (AfterAttempt::Delivered, None), "a success forgives them");
        for _ in 0..4 {
            assert_eq!(decide(&mut lane, 500, false).1, None);
        }
        assert_eq!(decide(&mut lane, 500, false).1, Some(Turn::Failed(5, Failure::Status(500))));
        lane.turning = 1;
        assert_eq!(decide(&mut lane, 500, false).1, None, "while it closes");
        assert_eq!(lane.room(8, NOW, NOW), Room::Nothing, "until it is closed in the store too");
        lane.turning = 0;
        lane.observe(Gate::Trial { since: NOW, at: NOW, wait: Duration::from_secs(30) });
        assert_eq!(decide(&mut lane, 500, false).1, None, "a straggler");
    }

    #[test]
    fn a_trial_puts_the_delivery_behind_the_others_or_opens_the_gate_for_a_slow_start() {
        let wait = Duration::from_secs(30);
        let mut lane = lane(Gate::Trial { since: NOW, at: NOW.plus(wait), wait });
        assert_eq!(lane.room(8, NOW, NOW), Room::At(NOW.plus(Duration::from_secs(30))));
        assert_eq!(lane.room(8, NOW, NOW.plus(Duration::from_secs(30))), Room::Now { n: 1, trial: true });
        let failed = Turn::Failed(0, Failure::Status(500));
        assert_eq!(decide(&mut lane, 500, true), (AfterAttempt::PutOff(NOW), Some(failed.clone())));
        assert_eq!(
            failed.apply(&Gate::Open, NOW, DISABLE_AFTER),
            Gate::Open,
            "an operator opened it meanwhile"
        );
        let hour = Duration::from_secs(3600);
        let asks = Attempt { retry_after: Some(2 * hour), ..attempt(503, true) };
        let (after, _) = lane.decide(&delivery(0), &asks, &Schedule::default(), NOW, 0.5);
        assert_eq!(after, AfterAttempt::PutOff(NOW.plus(hour)), "it is asked to wait");
        assert_eq!(decide(&mut lane, 204, true), (AfterAttempt::Delivered, Some(Turn::Succeeded)));
        lane.observe(Gate::Open);
        for n in [1, 2, 4, 8, 8] {
            assert_eq!(lane.room(8, NOW, NOW), Room::Now { n, trial: false });
            decide(&mut lane, 200, false);
        }
    }

    #[test]
    fn a_pace_bounds_what_the_concurrency_allows_and_a_429_halves_it() {
        let mut lane = lane(Gate::Open);
        lane.pace = Some(Pace::new("4/s".parse().unwrap()));
        for (concurrency, n) in [(8, 4), (3, 3)] {
            assert_eq!(lane.room(concurrency, NOW, NOW), Room::Now { n, trial: false });
        }
        decide(&mut lane, 429, false);
        assert_eq!(lane.room(8, NOW, NOW), Room::At(NOW.plus(Duration::from_millis(500))));
        decide(&mut lane, 503, false);
        let later = NOW.plus(Duration::from_secs(1));
        assert_eq!(lane.room(8, NOW, later), Room::Now { n: 2, trial: false }, "any other failure does not");
        assert_eq!(
            lane.room(8, NOW.plus(Duration::from_secs(9)), NOW),
            Room::At(NOW.plus(Duration::from_secs(9)))
        );
    }

    #[test]
    fn what_sends_nothing_uses_up_no_rate() {
        let mut lane = lane(Gate::Open);
        lane.pace = Some(Pace::new("1/m".parse().unwrap()));
        let skipped = Attempt { outcome: Outcome::Skipped("none of it".to_owned()), ..attempt(200, false) };
        for _ in 0..3 {
            lane.pace.as_mut().unwrap().take(NOW, 1);
            assert!(matches!(lane.room(8, NOW, NOW), Room::At(_)));
            lane.decide(&delivery(0), &skipped, &Schedule::default(), NOW, 0.5);
            assert_eq!(lane.room(8, NOW, NOW), Room::Now { n: 1, trial: false });
        }
    }

    #[test]
    fn a_closed_gate_leaves_no_room() {
        let gone = Turn::Gone.apply(&Gate::Open, NOW, DISABLE_AFTER);
        assert_eq!(gone, Gate::Disabled);
        for gate in [Gate::Paused, gone] {
            assert_eq!(lane(gate).room(8, NOW, NOW), Room::Nothing);
        }
        assert_eq!(decide(&mut lane(Gate::Open), 410, false), (AfterAttempt::Held, Some(Turn::Gone)));
    }

    #[test]
    fn what_cannot_be_sent_says_nothing_about_the_endpoint() {
        let schedule = Schedule { jitter: false, ..Schedule::default() };
        let unreadable = Outcome::Failed(Failure::Unreadable("damaged".to_owned()));
        let cases = [
            (Outcome::Skipped("no address".to_owned()), AfterAttempt::Skipped("no address".to_owned())),
            (unreadable, AfterAttempt::RetryAt(NOW.plus(Duration::from_secs(5)))),
        ];
        for (outcome, expected) in cases {
            for trial in [false, true] {
                let at = NOW.plus(Duration::from_secs(30));
                let gate = if trial {
                    Gate::Trial { at, wait: Duration::from_secs(30), since: at }
                } else {
                    Gate::Open
                };
                let mut lane = lane(gate);
                let attempt = Attempt { outcome: outcome.clone(), ..attempt(200, trial) };
                for _ in 0..=FAILURES_TO_TRIAL {
                    let decided = lane.decide(&delivery(0), &attempt, &schedule, NOW, 0.5);
                    assert_eq!(decided, (expected.clone(), None), "{trial}");
                }
            }
        }
    }

    #[test]
    fn the_end_of_the_schedule_is_the_dead_letter() {
        let schedule = Schedule { waits: vec![Duration::from_secs(5)], ..Schedule::default() };
        let (after, _) = lane(Gate::Open).decide(&delivery(1), &attempt(500, false), &schedule, NOW, 0.5);
        assert_eq!(after, AfterAttempt::Dead("all 2 attempts failed, the last: HTTP 500".to_owned()));
    }

    #[test]
    fn slots_are_shared_evenly_and_every_endpoint_has_one_of_its_own() {
        /// What each endpoint asks for, and has.
        struct Case {
            asked: &'static [(usize, usize)],
            free: usize,
            first: usize,
            gets: &'static [usize],
        }
        let cases = [
            Case { asked: &[(8, 0), (8, 0)], free: 64, first: 0, gets: &[8, 8] },
            Case { asked: &[(8, 0), (8, 0), (1, 0)], free: 6, first: 0, gets: &[4, 3, 1] },
            Case { asked: &[(8, 0), (8, 0), (1, 0)], free: 6, first: 1, gets: &[3, 4, 1] },
            Case { asked: &[(8, 3), (8, 0)], free: 0, first: 0, gets: &[0, 1] },
            Case { asked: &[(2, 1), (8, 1)], free: 7, first: 0, gets: &[2, 3] },
            Case { asked: &[(63, 1)], free: 84, first: 0, gets: &[63] },
            Case { asked: &[(1023, 1)], free: 256, first: 0, gets: &[192] },
            Case { asked: &[(99, 49), (99, 49), (16, 0)], free: 16, first: 0, gets: &[0, 0, 13] },
            Case { asked: &[], free: 7, first: 3, gets: &[] },
        ];
        for Case { asked, free, first, gets } in cases {
            let want = |(place, &(n, in_flight))| Want {
                place,
                n,
                in_flight,
                oldest: NOW,
                trial: false,
                choice: false,
            };
            let mut wants: Vec<Want> = asked.iter().enumerate().map(want).collect();
            share(&mut wants, free, first);
            assert_eq!(wants.iter().map(|want| want.n).collect::<Vec<_>>(), gets, "{asked:?} {free} {first}");
        }
    }

    #[test]
    fn there_are_slots_for_all_that_is_configured_within_a_bound() {
        let cases =
            [(vec![64], 84), (vec![1, 1, 0], 0), (vec![16, 16], 40), (vec![1024], 256), (vec![16; 30], 256)];
        for (concurrencies, expected) in cases {
            assert_eq!(slots(concurrencies.iter().copied(), 256), expected, "{concurrencies:?}");
        }
    }
}
