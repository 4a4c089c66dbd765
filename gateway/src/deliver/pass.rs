//! One look after another at what is due, and what is under way between them.

use crate::deliver::attempt::attempt;
use crate::deliver::lane::{Lane, Room, Turn, Want, share, slots};
use crate::deliver::pace::Pace;
use crate::deliver::{Deliver, Endpoints, IN_FLIGHT_MAX, turning};
use crate::model::Time;
use crate::model::attempt::{Attempt, Failure, Outcome};
use crate::model::delivery::Delivery;
use crate::model::endpoint::Endpoint;
use crate::model::id::{DeliveryId, EndpointId};
use crate::store::crash::{Point, crash_point};
use crate::store::{AfterAttempt, Committed, DeliveryLease, Finish, Shared, StoreError};
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};

/// Endpoints with due work that one look takes in; the others come when these have less.
const DUE_MAX: usize = 4096;
/// Deliveries that a trial chooses from, beside the oldest, so that those which fail for their content do not keep the
/// gate closed.
const TRIAL_CHOICE: usize = 8;
/// How long an endpoint, or the pass, is left alone after the store refused.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// Leases in a row that gave nothing before an endpoint is left alone: the store may say that something is due a
/// little early.
const IN_VAIN_MAX: u32 = 3;
/// How often a commit is tried while the store is busy, and the first wait, which doubles.
const BUSY_TRIES: u32 = 6;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// What the loop owns.
pub(super) struct Pass<'a> {
    deliver: &'a Deliver,
    /// One for each endpoint, in the order of the configuration.
    lanes: Vec<Lane>,
    /// Attempts under way. Dropping them aborts them.
    attempts: JoinSet<Attempt>,
    /// What each of them is about.
    flights: HashMap<tokio::task::Id, Flight>,
    /// Attempts that have ended and are being recorded: they wait for a commit and need no task of their own.
    recordings: FuturesUnordered<Recording>,
    /// Endpoints with deliveries that are no longer configured: each is logged once.
    unknown: HashSet<EndpointId>,
    /// How many slots the endpoints share.
    slots: usize,
    /// Where the sharing of slots begins; moves on with each look.
    first: usize,
}

/// A delivery under way.
struct Flight {
    place: usize,
    lease: Lease,
    delivery: Delivery,
    at: Time,
    trial: bool,
}

/// The record of an attempt on its way into the store.
type Recording = Pin<Box<dyn Future<Output = Recorded> + Send>>;

/// How a recording ended.
struct Recorded {
    place: usize,
    lease: Lease,
    /// Whether a turn of the gate was recorded with it.
    turns: bool,
    result: Result<Committed, StoreError>,
}

/// A lease; it is given back when it is dropped before the attempt is recorded.
struct Lease {
    store: Shared,
    id: DeliveryId,
    recorded: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.recorded {
            self.store.release(self.id);
        }
    }
}

impl<'a> Pass<'a> {
    pub(super) fn new(deliver: &'a Deliver) -> Pass<'a> {
        let lane = |endpoint: &Endpoint| {
            let mut lane = Lane::new();
            lane.pace = endpoint.terms.rate.map(Pace::new);
            lane
        };
        let lanes = deliver.endpoints.iter().map(lane).collect();
        let slots = slots(deliver.endpoints.iter().map(|endpoint| endpoint.concurrency), IN_FLIGHT_MAX);
        Pass {
            deliver,
            lanes,
            attempts: JoinSet::new(),
            flights: HashMap::new(),
            recordings: FuturesUnordered::new(),
            unknown: HashSet::new(),
            slots,
            first: 0,
        }
    }

    /// Starts everything that may be started now, and says when to look again if nothing else happens.
    pub(super) async fn look(&mut self) -> Result<Option<Time>, StoreError> {
        loop {
            let now = self.deliver.clock.now();
            let (mut wants, next) = self.wants(now).await?;
            let shared: usize = self.lanes.iter().map(|lane| lane.in_flight.saturating_sub(1)).sum();
            share(&mut wants, self.slots.saturating_sub(shared), self.first);
            self.first = self.first.wrapping_add(1);
            wants.retain(|want| want.n > 0);
            if wants.is_empty() {
                return Ok(next);
            }
            for want in wants {
                self.start(want, now).await?;
            }
        }
    }

    /// What every endpoint may have now, and when the first of the others may.
    async fn wants(&mut self, now: Time) -> Result<(Vec<Want>, Option<Time>), StoreError> {
        let (mut wants, mut next) = (Vec::new(), None::<Time>);
        let due = match self.deliver.store.due(DUE_MAX).await {
            Ok(due) => due,
            Err(error) => {
                bearable(error)?;
                return Ok((wants, Some(now.plus(STORE_WAIT))));
            }
        };
        for due in due {
            let Some(place) = self.deliver.endpoints.place(due.endpoint) else {
                if self.unknown.insert(due.endpoint) {
                    tracing::warn!(endpoint = %due.endpoint, "deliveries wait for an endpoint that is not configured");
                }
                continue;
            };
            let (lane, target) = (&mut self.lanes[place], self.deliver.endpoints.target(place));
            if lane.is_resting() {
                lane.asks(target.builds());
            }
            match self.deliver.store.gate(due.endpoint).await {
                Ok(row) => lane.observe(row.gate),
                Err(error) => {
                    bearable(error)?;
                    lane.blocked = now.plus(STORE_WAIT);
                }
            }
            match lane.room(target.endpoint.concurrency, due.oldest, now) {
                Room::Now { n, trial } => {
                    let (in_flight, choice) = (lane.in_flight, trial || lane.is_resting());
                    wants.push(Want { place, n, in_flight, oldest: due.oldest, trial, choice });
                }
                Room::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Room::Nothing => {}
            }
        }
        Ok((wants, next))
    }

    /// Leases for one endpoint and sends.
    async fn start(&mut self, want: Want, now: Time) -> Result<(), StoreError> {
        let Deliver { store, outbound, endpoints, .. } = self.deliver;
        let lane = &mut self.lanes[want.place];
        let endpoint = endpoints.target(want.place).endpoint.id;
        let lease = |leased: DeliveryLease| {
            (Lease { store: store.clone(), id: leased.delivery.id, recorded: false }, leased)
        };
        // The oldest too: what is urgent comes first, and all of that may be what fails.
        let oldest = want.choice.then_some((want.oldest, 1));
        let n = if want.choice { TRIAL_CHOICE } else { want.n };
        let mut leases = Vec::new();
        for (due, n) in oldest.into_iter().chain([(now, n)]) {
            match store.lease(endpoint, due, n).await {
                Ok(leased) => leases.extend(leased.into_iter().map(lease)),
                Err(error) => bearable(error)?,
            }
        }
        lane.in_vain = if leases.is_empty() { lane.in_vain + 1 } else { 0 };
        if lane.in_vain >= IN_VAIN_MAX {
            // Due and yet not to be had: somebody else has them, or the store cannot read them.
            lane.blocked = now.plus(STORE_WAIT);
        }
        if want.choice {
            let tried =
                |(_, leased): &(Lease, DeliveryLease)| (leased.delivery.attempts, rand::random::<u32>());
            // The others are given back by being dropped.
            leases = leases.into_iter().min_by_key(tried).into_iter().collect();
        }
        if let Some(pace) = &mut lane.pace {
            pace.take(now, leases.len());
        }
        for (lease, leased) in leases {
            let (delivery, at, trial, place) = (leased.delivery.clone(), now, want.trial, want.place);
            let (store, outbound, endpoints) = (store.clone(), outbound.clone(), endpoints.clone());
            let sends = async move {
                let target = endpoints.target(place);
                attempt(&store, &outbound, target, &leased, at, trial).await
            };
            let task = self.attempts.spawn(sends).id();
            lane.in_flight += 1;
            self.flights.insert(task, Flight { place, lease, delivery, at, trial });
        }
        Ok(())
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.recordings.is_empty()
    }

    /// Waits until something under way has ended and takes in all that has. Dropping the future loses nothing.
    pub(super) async fn ended(&mut self) -> Result<(), StoreError> {
        tokio::select! {
            Some(ended) = self.attempts.join_next_with_id() => self.tried(ended),
            Some(recorded) = self.recordings.next() => self.recorded(recorded)?,
        }
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.tried(ended);
        }
        while let Some(Some(recorded)) = self.recordings.next().now_or_never() {
            self.recorded(recorded)?;
        }
        Ok(())
    }

    /// Decides what follows from an attempt and has it recorded.
    fn tried(&mut self, ended: Result<(tokio::task::Id, Attempt), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let flight = self.flights.remove(&task).expect("every task has a flight until it has ended");
        let attempt = ended.map(|(_, attempt)| attempt).unwrap_or_else(|panic| {
            tracing::error!(delivery = %flight.delivery.id, %panic, "an attempt panicked");
            unmade(&flight)
        });
        let lane = &mut self.lanes[flight.place];
        let target = self.deliver.endpoints.target(flight.place);
        let endpoint = &target.endpoint;
        let now = self.deliver.clock.now();
        let rested = lane.is_resting();
        if matches!(attempt.outcome, Outcome::Failed(Failure::Plugin { .. })) {
            lane.asks(target.builds());
        }
        let part = lane.pace.as_ref().map(Pace::part);
        let (after, turn) = lane.decide(&flight.delivery, &attempt, &endpoint.schedule, now, rand::random());
        if let Some(now) = lane.pace.as_ref().map(Pace::part).filter(|now| Some(*now) != part) {
            tracing::info!(
                endpoint = endpoint.name,
                part = now,
                "the endpoint gets one part in so many of its rate"
            );
        }
        if lane.is_resting() && !rested {
            tracing::error!(endpoint = endpoint.name, "plugins of the endpoint keep failing and rest");
        }
        let turns = turn.is_some();
        lane.turning += usize::from(turns);
        lane.in_flight -= 1;
        lane.recording += 1;
        let Flight { place, lease, delivery, .. } = flight;
        tell(&delivery, &endpoint.name, &attempt, &after);
        let turn = turn.map(|turn| (turn, Arc::clone(&self.deliver.endpoints), place));
        let recording = record(self.deliver.store.clone(), Finish { delivery, attempt, after }, turn, now);
        self.recordings
            .push(Box::pin(async move { Recorded { place, lease, turns, result: recording.await } }));
    }

    fn recorded(&mut self, recorded: Recorded) -> Result<(), StoreError> {
        let Recorded { place, mut lease, turns, result } = recorded;
        let lane = &mut self.lanes[place];
        lane.recording -= 1;
        lane.turning -= usize::from(turns);
        match result {
            Ok(_) => lease.recorded = true,
            Err(error) => {
                lane.blocked = self.deliver.clock.now().plus(STORE_WAIT);
                bearable(error)?;
            }
        }
        Ok(())
    }
}

/// The record of an attempt that panicked: it counts as failed, so that it is not made for ever.
fn unmade(flight: &Flight) -> Attempt {
    Attempt {
        n: flight.delivery.attempts + 1,
        at: flight.at,
        took: Duration::ZERO,
        outcome: Outcome::Failed(Failure::Broken("the gateway failed to make the attempt".to_owned())),
        trial: flight.trial,
        webhook_id: flight.delivery.event.to_string(),
        retry_after: None,
        answer: Vec::new(),
    }
}

/// Records an attempt, then the turn of the gate, which is made of the gate as it is then.
async fn record(
    store: Shared,
    finish: Finish,
    turn: Option<(Turn, Arc<Endpoints>, usize)>,
    now: Time,
) -> Result<Committed, StoreError> {
    crash_point(Point::SentNotFinished);
    let mut wait = BUSY_WAIT;
    let mut tries = 1;
    let committed = loop {
        match store.finish(finish.clone(), now).await {
            Err(StoreError::Busy(_)) if tries < BUSY_TRIES => tokio::time::sleep(wait).await,
            ended => break ended?,
        }
        (wait, tries) = (wait * 2, tries + 1);
    };
    if let Some((turn, endpoints, place)) = turn {
        turning::turn(&*store, &endpoints.target(place).endpoint, &turn, now).await?;
    }
    Ok(committed)
}

/// Logs an error of the store that passes; returns the one that does not.
fn bearable(error: StoreError) -> Result<(), StoreError> {
    if matches!(error, StoreError::Closed(_)) {
        return Err(error);
    }
    tracing::error!(%error, wait_s = STORE_WAIT.as_secs(), "the store refused the deliver pass");
    Ok(())
}

/// The one line about an attempt.
fn tell(delivery: &Delivery, endpoint: &str, attempt: &Attempt, after: &AfterAttempt) {
    let (status, failure) = match &attempt.outcome {
        Outcome::Delivered { status } => (Some(*status), None),
        Outcome::Failed(Failure::Status(status)) => (Some(*status), None),
        Outcome::Failed(failure) => (None, Some(failure.to_string())),
        Outcome::Skipped(why) => (None, Some(why.clone())),
    };
    let next = match after {
        AfterAttempt::Delivered => "delivered".to_owned(),
        AfterAttempt::RetryAt(at) | AfterAttempt::PutOff(at) => format!("retry at {at}"),
        AfterAttempt::Held => "held".to_owned(),
        AfterAttempt::Dead(_) => "dead".to_owned(),
        AfterAttempt::Skipped(_) => "skipped".to_owned(),
    };
    // What went well is in the store, and a line for each is most of a busy gateway's log.
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                delivery = %delivery.id,
                endpoint,
                event = %delivery.event,
                attempt = attempt.n,
                trial = attempt.trial,
                status,
                failure,
                took_ms = attempt.took.as_millis() as u64,
                next,
                "attempt finished"
            )
        };
    }
    match after {
        AfterAttempt::Delivered | AfterAttempt::Skipped(_) => tell!(debug),
        AfterAttempt::RetryAt(_) | AfterAttempt::PutOff(_) => tell!(info),
        AfterAttempt::Held | AfterAttempt::Dead(_) => tell!(info),
    }
}
