//! The dispatch pass: undispatched webhooks through the pipeline, and what comes of it into one commit.
//!
//! The characters: the [`Dispatcher`] leases webhooks that are due and runs them side by side; a [`Line`] is what
//! one source is put through (its normalizer, then its filters and maps); [`pipeline`] runs one webhook and gives
//! events with their endpoints; [`breaker`] stops asking a plugin that keeps failing; [`in_flight`] remembers which
//! webhooks were in the pipeline should the process die; [`turns`] keep commits in the order of arrival where it matters;
//! [`waiting`] keeps one slow source from taking all there is room for.
//!
//! A run is a function of the stored webhook, the entity rows and the time the run began: a rerun gives the same
//! ids. What it gives is committed at once with "dispatched", so a crash before the commit leaves nothing, and
//! after it nothing to do. Not guaranteed: that plugins run once. They run again after a crash, and after a commit
//! that met a changed entity row.

pub mod breaker;
pub mod in_flight;
pub mod pipeline;
pub mod rehearsal;
mod turns;
mod waiting;

use crate::clock::Clock;
use crate::dispatch::breaker::Breakers;
use crate::dispatch::in_flight::InFlight;
use crate::dispatch::pipeline::{Ended, Patience};
use crate::dispatch::rehearsal::Shadows;
use crate::dispatch::turns::{Turn, Turns};
use crate::dispatch::waiting::{Place, Waiting};
use crate::model::dispatch::{Dispatch, NewEvent};
use crate::model::endpoint::Endpoint;
use crate::model::id::WebhookId;
use crate::model::retry::PLUGIN_WAITS;
use crate::plugins::{Failed, Plugin, Slot, WebhookInput};
use crate::store::crash::{Point, crash_point};
use crate::store::{AfterFailure, Committed, Page, Shared, StoreError, WebhookLease};
use crate::worker::{Stop, Wake, Woken, said, unwound};
use billhook_event::Time;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// Webhooks of one source in the pipeline at once.
pub const SOURCE_RUNS_MAX: usize = 128;
/// Webhooks in the pipeline at once: where a plugin makes one source slow, there is room for others.
pub const RUNS_MAX: usize = 192;
/// Runs that meet a changed entity row before the webhook steps back for a second.
const CONFLICTS_MAX: u32 = 16;
/// A body of more bytes may be too much for a plugin that is well: providers send a few thousand.
const LARGE_BODY: usize = 64 << 10;
/// How long a pass waits when the store cannot answer.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// Waiting webhooks that one commit looks at when a plugin has another version.
const HURRY_LOOKS: usize = 256;

/// What the webhooks of one source are put through: the versions of one run, or the slots that they are taken from.
#[derive(Clone)]
pub struct Line<P = Plugin> {
    /// The source's provider.
    pub provider: String,
    /// Turns a webhook into drafts.
    pub normalizer: P,
    /// Filters and maps, in order.
    pub steps: Vec<Step<P>>,
    /// What is asked beside them, recorded and never delivered.
    pub shadow: Option<P>,
}

/// A filter or map of a line.
#[derive(Clone)]
pub struct Step<P = Plugin> {
    /// What its annotations stand under: the plugin's name, or that of the one in whose place it is tried.
    pub name: String,
    /// The plugin.
    pub plugin: P,
    /// Whether a run goes on without it when it keeps failing, rather than into the dead letter.
    pub skip_on_failure: bool,
}

impl Line<Slot> {
    /// The versions that serve now: one run uses these throughout, and of a plugin that stands in two places one.
    pub fn now(&self) -> Line {
        let normalizer = self.normalizer.now();
        let mut steps: Vec<Step> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let plugin = step.plugin.now();
            let mut taken = std::iter::once(&normalizer).chain(steps.iter().map(|step| &step.plugin));
            let taken = taken.find(|taken| taken.name() == plugin.name()).cloned();
            let skip_on_failure = step.skip_on_failure;
            let name = step.name.clone();
            steps.push(Step { name, plugin: taken.unwrap_or(plugin), skip_on_failure });
        }
        let shadow = self.shadow.as_ref().map(Slot::now);
        Line { provider: self.provider.clone(), normalizer, steps, shadow }
    }
}

impl Line {
    /// Its plugins but for the shadow, as often as they stand in it.
    fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        std::iter::once(&self.normalizer).chain(self.steps.iter().map(|step| &step.plugin))
    }
}

/// Everything the pipeline needs to know about the configuration.
#[derive(Default)]
pub struct Lines {
    /// By source.
    pub lines: BTreeMap<String, Line<Slot>>,
    /// Where events can go.
    pub endpoints: Vec<Endpoint>,
}

/// Runs the dispatch pass.
pub struct Dispatcher {
    work: Arc<Work>,
    /// Webhooks that were in the pipeline when the process died: they run alone, before any other. A lock because
    /// the loop may be started again; nobody else takes it.
    suspects: Mutex<HashSet<WebhookId>>,
    /// Plugins that have another version, whose webhooks need not wait any longer.
    changed: Mutex<BTreeSet<String>>,
    /// What is under way. Here, so that a loop that is started again goes on with it.
    runs: tokio::sync::Mutex<Runs>,
}

/// What is leased.
#[derive(Default)]
struct Runs {
    running: JoinSet<()>,
    waiting: Waiting,
}

/// What every run shares.
struct Work {
    store: Shared,
    clock: Clock,
    lines: Arc<Lines>,
    deliver: Wake,
    breakers: Arc<Breakers>,
    in_flight: Arc<InFlight>,
    turns: Turns,
    shadows: Arc<Shadows>,
}

impl Dispatcher {
    /// A dispatcher that wakes `deliver` after each commit. `suspects` were in the pipeline when the process died.
    pub fn new(
        store: Shared,
        clock: Clock,
        lines: Arc<Lines>,
        deliver: Wake,
        in_flight: Arc<InFlight>,
        suspects: Vec<WebhookId>,
    ) -> Dispatcher {
        let (breakers, shadows) = (Arc::default(), Arc::default());
        let turns = Turns::default();
        let work = Work { store, clock, lines, deliver, breakers, in_flight, turns, shadows };
        let work = Arc::new(work);
        let suspects = Mutex::new(suspects.into_iter().collect());
        Dispatcher { work, suspects, changed: Mutex::default(), runs: tokio::sync::Mutex::default() }
    }

    /// How shadows have done.
    pub fn shadows(&self) -> Arc<Shadows> {
        Arc::clone(&self.work.shadows)
    }

    /// Which plugins rest.
    pub fn breakers(&self) -> Arc<Breakers> {
        Arc::clone(&self.work.breakers)
    }

    /// To be called when another version of a plugin serves, before the pass is woken: what is known against the plugin
    /// was the old one's, and webhooks that wait for it to do better are due at the next pass.
    pub fn plugin_changed(&self, plugin: &str) {
        self.work.breakers.forget(plugin);
        self.work.shadows.forget(plugin);
        self.changed.lock().expect("no holder of this lock panics").insert(plugin.to_owned());
    }

    /// Runs until `stop`, then waits for the runs that are under way.
    ///
    /// # Errors
    /// The store's, when it is closed; anything that passes is waited for.
    pub async fn run(&self, mut woken: Woken, stop: Stop) -> Result<(), StoreError> {
        let mut runs = self.runs.lock().await;
        let mut stopped = pin!(stop.stopped());
        loop {
            let heard = woken.heard();
            let filled = match self.hurry().await {
                Ok(()) => self.fill(&mut runs).await,
                Err(error) => Err(error),
            };
            let due = match filled {
                Ok(due) => due,
                Err(error @ StoreError::Closed(_)) => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "cannot lease webhooks");
                    tokio::select! {
                        () = tokio::time::sleep(STORE_WAIT) => continue,
                        () = &mut stopped => break,
                    }
                }
            };
            if due.is_some_and(|due| due <= self.work.clock.now()) {
                continue;
            }
            if runs.running.is_empty() {
                self.work.in_flight.rest();
                woken.rest(heard);
            }
            tokio::select! {
                Some(_) = runs.running.join_next() => while runs.running.try_join_next().is_some() {},
                () = woken.woken(), if runs.room() > 0 => {}
                () = self.work.clock.sleep_until(due.unwrap_or(Time::MAX)), if due.is_some() => {}
                () = &mut stopped => break,
            }
        }
        while runs.running.join_next().await.is_some() {}
        Ok(())
    }

    /// Makes the webhooks due that wait for a plugin which has changed.
    async fn hurry(&self) -> Result<(), StoreError> {
        let changed = std::mem::take(&mut *self.changed.lock().expect("no holder of this lock panics"));
        if changed.is_empty() {
            return Ok(());
        }
        let hurried = self.hurry_those_of(&changed).await;
        if hurried.is_err() {
            self.changed.lock().expect("no holder of this lock panics").extend(changed);
        }
        hurried
    }

    async fn hurry_those_of(&self, changed: &BTreeSet<String>) -> Result<(), StoreError> {
        let sources: Vec<String> = self.work.sources_of(changed).map(str::to_owned).collect();
        let mut after = Some(Vec::new());
        while let Some(from) = after.filter(|_| !sources.is_empty()) {
            let page = Page { after: from, n: HURRY_LOOKS };
            after = self.work.store.hurry_webhooks(sources.clone(), page, self.work.clock.now()).await?;
        }
        Ok(())
    }

    /// Leases what there is room for and starts it; where room is left, says when the next webhook is due.
    /// Suspects run here, one by one, before anything else.
    async fn fill(&self, runs: &mut Runs) -> Result<Option<Time>, StoreError> {
        self.start(runs);
        while runs.room() > 0 {
            let leases = self.work.store.lease_webhooks(self.work.clock.now(), runs.room()).await?;
            if leases.is_empty() {
                break;
            }
            let (suspects, rest): (Vec<_>, Vec<_>) = {
                let mut suspects = self.suspects.lock().expect("no holder of this lock panics");
                leases.into_iter().partition(|lease| suspects.remove(&lease.id))
            };
            for lease in suspects {
                let slot = self.work.in_flight.enter(&[lease.id]).pop();
                Arc::clone(&self.work).dispatch(lease, slot, None, None).await;
            }
            runs.waiting.extend(self.work.drawn(rest));
            self.start(runs);
        }
        if runs.room() > 0 { self.work.store.next_webhook_due().await } else { Ok(None) }
    }

    /// Starts those of the leased webhooks whose sources have room.
    fn start(&self, runs: &mut Runs) {
        let leases = runs.waiting.take(RUNS_MAX - runs.running.len());
        if leases.is_empty() {
            return;
        }
        let ids: Vec<WebhookId> = leases.iter().map(|(lease, _)| lease.id).collect();
        for ((lease, place), slot) in leases.into_iter().zip(self.work.in_flight.enter(&ids)) {
            let turn = Some(self.work.turns.take(&lease.head.source));
            runs.running.spawn(Arc::clone(&self.work).dispatch(lease, Some(slot), turn, Some(place)));
        }
    }
}

impl Runs {
    /// How many more may be leased.
    fn room(&self) -> usize {
        (RUNS_MAX - self.running.len()).min(self.waiting.room())
    }
}

/// The entities that a run is about, and those for which it waits for the runs before it: of events that somebody takes
/// in order or that are told by what came before them, and all of a rerun, which is to find what those before it make of
/// them now.
fn in_order(lease: &WebhookLease, dispatch: &Dispatch) -> (BTreeSet<String>, BTreeSet<String>) {
    let waits = |event: &&NewEvent| {
        lease.run > 0
            || pipeline::rests_on_earlier(&event.kind)
            || event.endpoints.iter().any(|id| dispatch.ordered.contains(id))
    };
    let entity = |event: &NewEvent| event.entity.clone();
    let events = || dispatch.events.iter();
    (events().filter_map(entity).collect(), events().filter(waits).filter_map(entity).collect())
}

impl Work {
    /// The sources in whose lines one of `plugins` stands.
    fn sources_of<'a>(&'a self, plugins: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        let uses = |line: &Line| line.plugins().any(|plugin| plugins.contains(plugin.name()));
        self.lines.lines.iter().filter(move |(_, line)| uses(&line.now())).map(|(source, _)| &**source)
    }

    /// The webhooks in the order in which they are run: as they came, except that those of a line with a plugin that
    /// rests come last, one of them by lot before the others. After a rest one is tried, and the oldest may be poisonous:
    /// it would be for ever.
    fn drawn(&self, leases: Vec<WebhookLease>) -> Vec<WebhookLease> {
        let resting: BTreeSet<_> = self.breakers.resting().into_keys().collect();
        if resting.is_empty() {
            return leases;
        }
        let sources: BTreeSet<&str> = self.sources_of(&resting).collect();
        let (mut by_lot, mut drawn): (Vec<_>, Vec<_>) =
            leases.into_iter().partition(|lease| sources.contains(&*lease.head.source));
        if !by_lot.is_empty() {
            let tried = rand::random_range(..by_lot.len());
            by_lot[..=tried].rotate_right(1);
        }
        drawn.append(&mut by_lot);
        drawn
    }

    /// Takes one webhook through the pipeline and commits what comes of it, whatever happens on the way.
    async fn dispatch(
        self: Arc<Self>,
        lease: WebhookLease,
        slot: Option<in_flight::Slot>,
        turn: Option<Turn>,
        place: Option<Place>,
    ) {
        let committed = match unwound(self.attempt(&lease, turn.as_ref())).await {
            Ok(committed) => committed,
            Err(panic) => {
                let why = format!("the gateway panicked: {}", said(&*panic));
                let after = self.after_failure(&lease, self.clock.now());
                self.fail(&lease, why, after).await
            }
        };
        if let Err(error) = committed {
            tracing::error!(webhook = %lease.id, %error, "cannot commit a run: the webhook stays undispatched");
            // A store that is out for a while must not have the same run made again and again.
            tokio::time::sleep(STORE_WAIT).await;
            self.store.release_webhook(lease.id);
        }
        drop((slot, turn, place));
    }

    /// By the number of failures so far: again after a while, or the dead letter.
    fn after_failure(&self, lease: &WebhookLease, now: Time) -> AfterFailure {
        match PLUGIN_WAITS.get(lease.failures as usize) {
            Some(wait) => AfterFailure::RetryAt(now.plus(*wait)),
            None => AfterFailure::Dead,
        }
    }

    async fn attempt(&self, lease: &WebhookLease, turn: Option<&Turn>) -> Result<(), StoreError> {
        let Some(line) = self.lines.lines.get(&lease.head.source) else {
            let why = format!("the source `{}` is no longer configured", lease.head.source);
            return self.fail(lease, why, AfterFailure::Dead).await;
        };
        if lease.failures as usize > PLUGIN_WAITS.len() {
            // Only a suspect has failed more often than it may.
            let why =
                format!("it failed {} times, and then the gateway ended while it ran", lease.failures - 1);
            return self.fail(lease, why, AfterFailure::Dead).await;
        }
        let line = &line.now();
        let Some(body) = lease.body.clone() else {
            return self.fail(lease, "its body has aged out".to_owned(), AfterFailure::Dead).await;
        };
        let input = Arc::new(WebhookInput { id: lease.id, head: Arc::clone(&lease.head), body });
        let (with, mut admission) = ((&self.store, &*self.lines.endpoints), self.breakers.admission());
        for _ in 0..CONFLICTS_MAX {
            let now = self.clock.now();
            let patience = Patience {
                is_over: lease.failures as usize >= PLUGIN_WAITS.len(),
                waits_since: Some(lease.head.taken_at.unwrap_or(lease.head.received_at)),
            };
            let mut dispatch =
                match pipeline::run(with, line, &mut admission, &input, lease, patience, now).await? {
                    Ok(dispatch) => dispatch,
                    Err(Ended::Failed(error)) => return self.failed(lease, line, error, now).await,
                    Err(Ended::Rests(rests)) => {
                        return self.fail(lease, rests.to_string(), AfterFailure::Defer(rests.until)).await;
                    }
                };
            self.breakers.succeeded(&dispatch.run.notes);
            if let Some(turn) = turn {
                let (about, waits) = in_order(lease, &dispatch);
                turn.comes(about, &waits).await;
            }
            if let Some(shadow) = &line.shadow {
                // Apart: few sources have one, and its future is as large as that of the run.
                let beside = self.shadows.beside(with, line, shadow, &input, lease, &dispatch);
                dispatch.run.shadow = Some(Box::pin(beside).await?);
            }
            crash_point(Point::BeforeDispatchCommit);
            // A rerun may end what others waited for.
            let owed = lease.run > 0 || dispatch.events.iter().any(|event| !event.endpoints.is_empty());
            let shadowed = dispatch.run.shadow.clone();
            match self.store.dispatched(lease, dispatch, now).await? {
                Committed::Done => {
                    if owed {
                        self.deliver.wake();
                    }
                    self.shadows.count(lease, shadowed);
                    return Ok(());
                }
                Committed::LeaseLost => return Ok(()),
                Committed::Conflict => {}
            }
        }
        let until = self.clock.now().plus(STORE_WAIT);
        self.fail(lease, "its entity changed under every run".to_owned(), AfterFailure::Defer(until)).await
    }

    /// Decides what a failed run means for its webhook.
    async fn failed(
        &self,
        lease: &WebhookLease,
        line: &Line,
        error: Failed,
        now: Time,
    ) -> Result<(), StoreError> {
        let why = error.to_string();
        if self.has_changed(&lease.head.source, line) {
            // Whatever it was, the version that failed does not serve any more.
            return self.fail(lease, why, AfterFailure::Defer(now)).await;
        }
        if error.is_final() {
            // It has answered: nothing is wrong with it.
            self.breakers.forget(&error.plugin.name);
            return self.fail(lease, why, AfterFailure::Dead).await;
        }
        // What a large body costs is no fault of the plugin, and anybody may send one where anybody may send.
        let is_large = lease.body.as_ref().is_some_and(|body| body.len() > LARGE_BODY);
        if is_large && error.is_limit() {
            return self.fail(lease, why, self.after_failure(lease, now)).await;
        }
        if let Some(until) = self.breakers.failed(&error.plugin.name, lease.id, now) {
            return self.fail(lease, why, AfterFailure::Defer(until)).await;
        }
        self.fail(lease, why, self.after_failure(lease, now)).await
    }

    /// Whether a plugin of a run has another version by now.
    fn has_changed(&self, source: &str, line: &Line) -> bool {
        let now = self.lines.lines.get(source).map(Line::now);
        let digests = |line: &Line| line.plugins().map(Plugin::digest).collect::<Vec<_>>();
        now.is_some_and(|now| digests(&now) != digests(line))
    }

    async fn fail(&self, lease: &WebhookLease, why: String, after: AfterFailure) -> Result<(), StoreError> {
        tracing::warn!(webhook = %lease.id, source = lease.head.source, why, %after, "a run of the pipeline failed");
        self.store.dispatch_failed(lease, why, after, self.clock.now()).await.map(|_| ())
    }
}
