//! Which moves make sense in a state of the queue, and how often each is made.

use super::START;
use super::queue::{End, Move, Queue, Said, TICK};
use gateway::model::endpoint::Gate;
use gateway::model::id::{EndpointId, JobId};
use gateway::model::job::{Job, JobState, Select, What};
use gateway::model::webhook::WebhookState;
use gateway::store::{AfterAttempt, AfterFailure, Redrive};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;
use std::time::Duration;

/// To whom events are owed.
const ENDPOINTS: [&str; 3] = ["app", "crm", "erp"];
/// Most things that a bulk verb moves at once here.
const BULK_MAX: usize = 4;

fn endpoints() -> Vec<EndpointId> {
    ENDPOINTS.map(EndpointId::derive).to_vec()
}

/// Seconds that the clock is set by, and waits: short ones so that things fall due together, and both ways.
fn steps() -> impl Strategy<Value = i64> {
    select(vec![1, 5, 20, 40, 3600, -1, -30, -3600])
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let endpoints = subsequence(endpoints(), 0..=ENDPOINTS.len());
    let one = (any::<bool>(), 0..2_u8, endpoints);
    vec(one.prop_map(|(urgent, text, endpoints)| Said { urgent, text, endpoints }), 0..3)
}

/// Some of `line`, so that nothing is torn apart: see [`Queue::cuts`].
fn some_of<T>(line: &[(bool, gateway::model::Time, T)]) -> BoxedStrategy<usize> {
    let mut cuts = Queue::cuts(line);
    cuts.push(line.len() + 1);
    select(cuts).boxed()
}

fn ends(queue: &Queue) -> BoxedStrategy<AfterAttempt> {
    let now = queue.now;
    Union::new([
        Just(AfterAttempt::Delivered).boxed(),
        (0..30_u64).prop_map(move |wait| AfterAttempt::RetryAt(now.plus(Duration::from_secs(wait)))).boxed(),
        (0..30_u64).prop_map(move |wait| AfterAttempt::PutOff(now.plus(Duration::from_secs(wait)))).boxed(),
        Just(AfterAttempt::Held).boxed(),
        Just(AfterAttempt::Dead("enough".into())).boxed(),
        Just(AfterAttempt::Skipped("no address".into())).boxed(),
    ])
    .boxed()
}

fn gates(queue: &Queue) -> BoxedStrategy<Gate> {
    let (since, wait) = (queue.now, Duration::from_secs(20));
    select(vec![
        Gate::Open,
        Gate::Open,
        Gate::Paused,
        Gate::Disabled,
        Gate::Trial { since, at: since.plus(wait), wait },
    ])
    .boxed()
}

fn job(queue: &Queue) -> BoxedStrategy<Job> {
    let (created, n) = (queue.now, queue.jobs.len());
    let what =
        [What::Resend, What::Redrive, What::Reprocess { resend: false }, What::Reprocess { resend: true }];
    (select(what.to_vec()), option::of(select(endpoints())), option::of(0..2_u8))
        .prop_map(move |(what, endpoint, key)| Job {
            id: JobId::new(created, n as u128),
            what,
            select: Select { endpoint, ..Select::default() },
            configured: None,
            rate: "100/s".parse().expect("a rate"),
            created,
            key: key.map(|key| [key; 16]),
            state: JobState::Running,
            cursor: None,
            looked: 0,
            moved: 0,
        })
        .boxed()
}

impl ReferenceStateMachine for Queue {
    type State = Queue;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<Queue> {
        Just(Queue::new(START)).boxed()
    }

    fn transitions(queue: &Queue) -> BoxedStrategy<Move> {
        let now = queue.now;
        let next = now.plus(TICK);
        let mut moves: Vec<(u32, BoxedStrategy<Move>)> = vec![
            (8, (0..3_u8, option::of(0..4_u8)).prop_map(|(body, key)| Move::Accept { body, key }).boxed()),
            (8, some_of(&queue.webhook_line(next)).prop_map(Move::LeaseWebhooks).boxed()),
            (2, job(queue).prop_map(Move::AddJob).boxed()),
            (2, select(vec![End::Closed, End::Dropped, End::Crashed]).prop_map(Move::End).boxed()),
        ];
        let clock = steps().prop_map(move |by| {
            let step = Duration::from_secs(by.unsigned_abs());
            Move::Clock(if by < 0 { now.minus(step).max(START) } else { now.plus(step) })
        });
        moves.push((6, clock.boxed()));
        for endpoint in endpoints() {
            let lease = some_of(&queue.line(endpoint, next)).prop_map(move |n| Move::Lease { endpoint, n });
            moves.push((5, lease.boxed()));
            let version = queue.gate(endpoint).1;
            let gate = (gates(queue), any::<bool>()).prop_map(move |(gate, knows)| {
                let expected = if knows { version } else { version.wrapping_sub(1) };
                Move::SetGate { endpoint, gate, expected }
            });
            moves.push((1, gate.boxed()));
        }
        let mut add = |weight, of: Vec<Move>| {
            if !of.is_empty() {
                moves.push((weight, select(of).boxed()));
            }
        };
        let ids = queue.webhooks.keys();
        add(2, ids.map(|id| Move::AcceptAgain(*id)).collect());
        let late = queue.runs.iter().filter(|(id, run, _)| queue.is_run_late(*id, *run));
        add(1, late.map(|&(id, run, failures)| Move::DispatchLate { id, run, failures }).collect());
        let late = queue.leases.iter().filter(|lease| queue.is_late(lease));
        add(3, late.cloned().map(Move::FinishLate).collect());
        add(3, queue.deliveries.keys().map(|id| Move::Resend(*id)).collect());
        let dead = queue.dead(None).into_iter().map(Redrive::Delivery);
        let dead = dead.chain(queue.dead_webhooks().into_iter().map(Redrive::Webhook));
        let bulk = endpoints().into_iter().map(Redrive::Deliveries);
        let all = dead.chain(bulk).chain([Redrive::Webhooks]);
        add(2, all.map(|select| Move::Redrive { select, n: 2 }).collect());
        let running: Vec<_> = queue.jobs.values().filter(|job| job.is_running()).collect();
        add(1, running.iter().map(|job| Move::CancelJob(job.id)).collect());
        if !queue.jobs.is_empty() {
            // Also jobs that have ended: nothing comes of it.
            let ids: Vec<JobId> = queue.jobs.keys().copied().collect();
            let step = (select(ids), 1..=BULK_MAX).prop_map(|(id, n)| Move::StepJob { id, n });
            moves.push((if running.is_empty() { 1 } else { 6 }, step.boxed()));
        }
        let leased: Vec<_> = queue.webhooks.iter().filter(|(_, webhook)| webhook.is_leased).collect();
        if !leased.is_empty() {
            let ids: Vec<_> = leased.iter().map(|(id, _)| **id).collect();
            let run = (select(ids.clone()), said(), proptest::bool::weighted(0.1));
            let run = run.prop_map(|(id, events, stale)| Move::Dispatch { id, events, stale });
            moves.push((20, run.boxed()));
            let at = (0..30_u64).prop_map(move |wait| now.plus(Duration::from_secs(wait)));
            let after = Union::new([
                at.clone().prop_map(AfterFailure::RetryAt).boxed(),
                at.prop_map(AfterFailure::Defer).boxed(),
                Just(AfterFailure::Dead).boxed(),
            ]);
            moves.push((
                3,
                (select(ids.clone()), after).prop_map(|(id, after)| Move::Fail { id, after }).boxed(),
            ));
            moves.push((1, select(ids).prop_map(Move::ReleaseWebhook).boxed()));
        }
        let leased: Vec<_> = queue.deliveries.values().filter(|owed| owed.is_leased).collect();
        if !leased.is_empty() {
            let ids: Vec<_> = leased.iter().map(|owed| owed.delivery.id).collect();
            let n = 1..=ids.len();
            let ends = subsequence(ids.clone(), n).prop_flat_map({
                let end = ends(queue);
                move |ids| {
                    let n = ids.len();
                    (Just(ids), vec(end.clone(), n))
                }
            });
            let finish = ends.prop_map(|(ids, ends)| Move::Finish(ids.into_iter().zip(ends).collect()));
            moves.push((20, finish.boxed()));
            moves.push((2, select(ids).prop_map(Move::Release).boxed()));
        }
        Union::new_weighted(moves).boxed()
    }

    fn preconditions(queue: &Queue, made: &Move) -> bool {
        let next = queue.now.plus(TICK);
        let is_held = |id| queue.deliveries.get(id).is_some_and(|owed| owed.is_leased);
        let has = |id| queue.webhooks.get(id).is_some_and(|webhook| webhook.is_leased);
        let fits = |n: usize, cuts: Vec<usize>| cuts.contains(&n) || cuts.last().is_none_or(|all| n > *all);
        match made {
            Move::Clock(_) | Move::SetGate { .. } | Move::AddJob(_) | Move::End(_) => true,
            Move::Accept { key, .. } => queue.is_clear(*key),
            Move::AcceptAgain(id) => queue.webhooks.contains_key(id),
            Move::LeaseWebhooks(n) => fits(*n, Queue::cuts(&queue.webhook_line(next))),
            Move::Dispatch { id, .. } | Move::Fail { id, .. } | Move::ReleaseWebhook(id) => {
                has(id) && matches!(queue.webhooks[id].state, WebhookState::Undispatched { .. })
            }
            Move::DispatchLate { id, run, failures } => {
                queue.runs.contains(&(*id, *run, *failures)) && queue.is_run_late(*id, *run)
            }
            Move::Lease { endpoint, n } => fits(*n, Queue::cuts(&queue.line(*endpoint, next))),
            Move::Finish(ends) => ends.iter().all(|(id, _)| is_held(id)),
            Move::FinishLate(lease) => queue.leases.contains(lease) && queue.is_late(lease),
            Move::Release(id) => is_held(id),
            Move::Resend(id) => queue.deliveries.contains_key(id),
            Move::Redrive { select, .. } => match select {
                Redrive::Delivery(id) => queue.deliveries.contains_key(id),
                Redrive::Webhook(id) => queue.webhooks.contains_key(id),
                Redrive::Deliveries(_) | Redrive::Webhooks => true,
            },
            Move::StepJob { id, .. } | Move::CancelJob(id) => queue.jobs.contains_key(id),
        }
    }

    fn apply(queue: Queue, made: &Move) -> Queue {
        queue.make(made)
    }
}
