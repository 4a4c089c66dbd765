//! Runs that commit nothing: a shadow beside the runs of a source, and a candidate over webhooks that are stored. What
//! they give is held against what was made, and forgotten.

use crate::clock::Clock;
use crate::dispatch::breaker::{Breakers, Rests};
use crate::dispatch::pipeline::{Ended, Patience};
use crate::dispatch::{Line, Lines, Step, pipeline};
use crate::model::Time;
use crate::model::delivery::DeliveryState;
use crate::model::difference::{self, Told};
use crate::model::dispatch::{Compared, Dispatch, Shadowed};
use crate::model::endpoint::Endpoint;
use crate::model::id::{EndpointId, WebhookId};
use crate::plugins::manifest::Kind;
use crate::plugins::{Plugin, WebhookInput};
use crate::store::{EventStory, Shared, StoreError, Story, WebhookLease};
use billhook_event::PluginRef;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Webhooks of a source that are remembered because its shadow made something else of them.
pub const LATEST_MAX: usize = 20;
/// Runs with a shadow at once, over all sources: so many may be under way before a shadow that loops has failed and rests.
const AT_ONCE_MAX: usize = 32;

impl Line {
    /// The line with a candidate in the places of the plugin of its name. `None`: it uses no such plugin.
    fn with_candidate(&self, candidate: &Plugin) -> Option<Line> {
        let mut line = Line { shadow: None, ..self.clone() };
        let plugins =
            [&mut line.normalizer].into_iter().chain(line.steps.iter_mut().map(|step| &mut step.plugin));
        let mut places = plugins.filter(|plugin| plugin.name() == candidate.name()).peekable();
        places.peek()?;
        places.for_each(|place| *place = candidate.clone());
        Some(line)
    }

    /// The line with its shadow in the place of the plugin that is called the same in its manifest, under that one's name,
    /// or of the normalizer. A filter or map that finds none comes after the last step.
    fn with_shadow(&self, shadow: &Plugin) -> Line {
        let is_same = |plugin: &Plugin| plugin.manifest().name == shadow.manifest().name;
        let mut line = Line { shadow: None, ..self.clone() };
        if shadow.kinds().contains(&Kind::Normalize) {
            line.normalizer = shadow.clone();
        }
        let steps = shadow.kinds().iter().any(|kind| matches!(kind, Kind::Filter | Kind::Map));
        match line.steps.iter_mut().find(|step| is_same(&step.plugin)) {
            Some(step) => (step.plugin, step.skip_on_failure) = (shadow.clone(), false),
            None if steps && !is_same(&self.normalizer) => {
                let (name, plugin) = (shadow.name().to_owned(), shadow.clone());
                line.steps.push(Step { name, plugin, skip_on_failure: false });
            }
            None => {}
        }
        line
    }
}

/// How the shadows of all sources have done since the start.
#[derive(Debug)]
pub struct Shadows {
    /// Locked for one count or one look.
    sources: Mutex<BTreeMap<String, ShadowTally>>,
    /// Apart from those of the plugins that serve: what a shadow does is held against nobody else.
    breakers: Breakers,
    turns: Semaphore,
}

impl Default for Shadows {
    fn default() -> Shadows {
        let turns = Semaphore::new(AT_ONCE_MAX);
        Shadows { sources: Mutex::default(), breakers: Breakers::default(), turns }
    }
}

/// How the shadow of a source has done. Another version of it begins anew.
#[derive(Clone, Debug)]
pub struct ShadowTally {
    /// The shadow.
    pub plugin: PluginRef,
    /// Webhooks of which it made the same.
    pub same: u64,
    /// Webhooks of which it made something else.
    pub differ: u64,
    /// Webhooks at which it failed.
    pub failed: u64,
    /// The last [`LATEST_MAX`] webhooks that are not the same, newest first.
    pub latest: VecDeque<WebhookId>,
}

impl Shadows {
    /// What the shadow of a line makes of a webhook, of which the line itself has made `real`. One that keeps failing rests,
    /// as any plugin does, and is then not asked.
    pub(super) async fn beside(
        &self,
        with: (&Shared, &[Endpoint]),
        line: &Line,
        shadow: &Plugin,
        webhook: &Arc<WebhookInput>,
        lease: &WebhookLease,
        real: &Dispatch,
    ) -> Result<Shadowed, StoreError> {
        let (plugin, now) = (shadow.reference().clone(), real.run.now);
        // They are never closed.
        let _turn = self.turns.acquire().await;
        let (line, mut admission) = (line.with_shadow(shadow), self.breakers.admission());
        let said =
            match pipeline::run(with, &line, &mut admission, webhook, lease, Patience::NONE, now).await? {
                Ok(dispatch) => {
                    self.breakers.succeeded(&dispatch.run.notes);
                    compared(&told(real), &dispatch)
                }
                Err(Ended::Rests(Rests { until, .. })) => {
                    Compared::Failed(format!("not asked: it keeps failing and rests until {until}"))
                }
                Err(Ended::Failed(failed)) => {
                    if failed.is_final() {
                        self.breakers.forget(&failed.plugin.name);
                    } else if failed.plugin.name == plugin.name {
                        self.breakers.failed(&plugin.name, lease.id, now);
                    }
                    Compared::Failed(failed.to_string())
                }
            };
        Ok(Shadowed { plugin, said })
    }

    /// Another version of `plugin` begins without a record.
    pub(super) fn forget(&self, plugin: &str) {
        self.breakers.forget(plugin);
    }

    /// By source.
    pub fn read(&self) -> BTreeMap<String, ShadowTally> {
        self.sources().clone()
    }

    /// Counts what was committed.
    pub(super) fn count(&self, lease: &WebhookLease, shadowed: Option<Shadowed>) {
        let Some(Shadowed { plugin, said }) = shadowed else { return };
        let mut sources = self.sources();
        let tally = sources.entry(lease.head.source.clone()).or_insert_with(|| ShadowTally::of(&plugin));
        if tally.plugin != plugin {
            *tally = ShadowTally::of(&plugin);
        }
        match said {
            Compared::Same => {
                tally.same += 1;
                return;
            }
            Compared::Differs(_) => tally.differ += 1,
            Compared::Failed(_) => tally.failed += 1,
        }
        tally.latest.push_front(lease.id);
        tally.latest.truncate(LATEST_MAX);
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, ShadowTally>> {
        // No holder panics: each counts or clones.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShadowTally {
    fn of(plugin: &PluginRef) -> ShadowTally {
        ShadowTally { plugin: plugin.clone(), same: 0, differ: 0, failed: 0, latest: VecDeque::new() }
    }
}

/// What a candidate makes of a webhook that is stored.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// Which.
    pub webhook: WebhookId,
    /// Its source.
    pub source: String,
    /// When it came.
    pub received_at: Time,
    /// Held against what is stored.
    pub said: Compared,
}

/// Puts stored webhooks through a candidate.
#[derive(Clone)]
pub struct Rehearsal {
    store: Shared,
    clock: Clock,
    lines: Arc<Lines>,
}

impl Rehearsal {
    /// Over what is stored, with the lines that serve.
    pub fn new(store: Shared, clock: Clock, lines: Arc<Lines>) -> Rehearsal {
        Rehearsal { store, clock, lines }
    }

    /// What a reprocess of a webhook would give with `candidate` in the place of the plugin it stands in for. `None`: the
    /// source does not use that plugin, or the webhook or its body is gone.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(&self, webhook: WebhookId, candidate: &Plugin) -> Result<Option<Rehearsed>, StoreError> {
        let Some(Story { webhook, body: Some(body), events }) = self.store.story(webhook).await? else {
            return Ok(None);
        };
        let line = self.lines.lines.get(&webhook.head.source).map(Line::now);
        let Some(line) = line.and_then(|line| line.with_candidate(candidate)) else { return Ok(None) };
        let (id, head) = (webhook.id, Arc::new(webhook.head));
        let input = Arc::new(WebhookInput { id, head: Arc::clone(&head), body: body.clone() });
        // As a rerun: what an earlier run knew of an entity is what this one may know.
        let lease = WebhookLease { id, head: Arc::clone(&head), body: Some(body), failures: 0, run: 1 };
        let now = self.clock.now();
        // Nothing is known against a candidate, nor held against it.
        let (with, unknown) = ((&self.store, &*self.lines.endpoints), Breakers::default());
        let ran =
            pipeline::run(with, &line, &mut unknown.admission(), &input, &lease, Patience::NONE, now).await?;
        let said = match ran {
            Err(failed) => Compared::Failed(failed.to_string()),
            Ok(dispatch) => {
                let owed: Vec<_> = events.iter().map(owed).collect();
                let before = events.iter().zip(&owed).map(|(EventStory { event, .. }, endpoints)| Told {
                    kind: &event.kind,
                    json: &event.json,
                    dropped: event.dropped.as_ref().map(|(_, why)| why.as_str()),
                    endpoints,
                });
                compared(&before.collect::<Vec<_>>(), &dispatch)
            }
        };
        let (source, received_at) = (head.source.clone(), head.received_at);
        Ok(Some(Rehearsed { webhook: id, source, received_at, said }))
    }
}

/// Where a stored event went: what a reprocess withdrew unsent does not count.
fn owed(story: &EventStory) -> Vec<EndpointId> {
    let counts =
        |state: &DeliveryState, attempts| attempts > 0 || !matches!(state, DeliveryState::Skipped { .. });
    let deliveries = story.deliveries.iter().map(|(delivery, _)| delivery);
    let owed = deliveries.filter(|delivery| counts(&delivery.state, delivery.attempts));
    owed.map(|delivery| delivery.endpoint).collect()
}

fn told(dispatch: &Dispatch) -> Vec<Told<'_>> {
    let told = dispatch.events.iter().map(|event| Told {
        kind: &event.kind,
        json: &event.json,
        dropped: event.dropped.as_ref().map(|(_, why)| why.as_str()),
        endpoints: &event.endpoints,
    });
    told.collect()
}

fn compared(before: &[Told<'_>], after: &Dispatch) -> Compared {
    let differences = difference::between(before, &told(after));
    if differences.is_empty() { Compared::Same } else { Compared::Differs(differences) }
}
