//! One run of the pipeline: a webhook through the normalizer, then each event through the filters and maps, then to
//! its endpoints. It reads entity rows and what plugins keep, and writes nothing: what plugins would write is part of
//! what it gives.

use crate::dispatch::breaker::{Admission, Rests};
use crate::dispatch::{Line, Step};
use crate::model::dispatch::{Dispatch, Entity, EntityRead, NewEvent, Note, Remembered, Run, Said};
use crate::model::endpoint::{Endpoint, Ordering};
use crate::model::id::{EventId, WebhookId};
use crate::model::retry::PLUGIN_WAITS;
use crate::model::route;
use crate::plugins::kv::Staging;
use crate::plugins::manifest::Kind;
use crate::plugins::{Call, CallError, DRAFTS_MAX, EventInput, Failed, Kv, Plugin, Verdict, WebhookInput};
use crate::store::{Shared, StoreError, WebhookLease};
use billhook_event::decision::CANCEL_UNSCHEDULED;
use billhook_event::event::Stamp;
use billhook_event::{Draft, Event, Patch, PluginRef, Raw, Time};
use bytes::Bytes;
use std::borrow::Cow;
use std::cmp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most events of a webhook that its rerun knows as its own: no plugin may give more drafts.
const OWN_EVENTS_MAX: u32 = DRAFTS_MAX as u32;

/// The most bytes that one filter or map may add to the events of a webhook and to what is noted of it. A limit of a call
/// bounds one answer, and a run asks once for each event; a step that gave more is over its limit when it is asked again.
pub const STEP_BYTES_MAX: usize = 8 << 20;

/// The room that is made for an event's JSON at first: few are longer.
const ROOM: usize = 2048;

/// The statuses of a subscription that can go on.
const LIVE: [&str; 4] = ["trialing", "active", "past_due", "paused"];

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A plugin failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// A plugin was not asked.
    #[error(transparent)]
    Rests(#[from] Rests),
}

/// For how long a step that may be skipped is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// It is skipped when it fails: it has as often as it may.
    pub is_over: bool,
    /// Since when the webhook waits, if it is to go on without what rests. A rerun is in no hurry where an earlier run gave
    /// something, which stands.
    pub waits_since: Option<Time>,
}

impl Patience {
    /// For a run that is not made again.
    pub const NONE: Patience = Patience { is_over: true, waits_since: None };

    /// Whether the webhook has waited for what rests as long as it would for what fails.
    fn has_waited(self, rests_since: Option<Time>, now: Time) -> bool {
        let since = self.waits_since.zip(rests_since);
        since.is_some_and(|(waits, rests)| now.since(waits.max(rests)) >= PLUGIN_WAITS.iter().sum())
    }
}

/// Runs `webhook` through `line`, as far as `admission` lets it, and past steps that may be skipped when `patience` with
/// them is over. The outer error is the store's, the inner one the run's.
pub async fn run<'line>(
    (store, endpoints): (&Shared, &[Endpoint]),
    line: &'line Line,
    admission: &mut Admission<'line>,
    webhook: &Arc<WebhookInput>,
    lease: &WebhookLease,
    mut patience: Patience,
    now: Time,
) -> Result<Result<Dispatch, Ended>, StoreError> {
    if let Err(rests) = admission.admit(line.normalizer.name(), now) {
        return Ok(Err(rests.into()));
    }
    let staging = Arc::new(Staging::new(Arc::clone(store), lease.id, lease.run));
    let lines = Some(Arc::default());
    let call = Call { now, seed: lease.id.0, kv: Kv::Staged(Arc::clone(&staging)), lines };
    let earlier = if lease.run == 0 { None } else { store.webhook(lease.id).await?.and_then(|of| of.run) };
    patience.waits_since = patience.waits_since.filter(|_| earlier.is_none());
    let known = earlier.map(|run| run.known).unwrap_or_default();
    let mut run = Run { now, known, ..Run::default() };
    let started = tokio::time::Instant::now();
    let drafts = match line.normalizer.normalize(&call, webhook).await {
        Ok(drafts) => drafts,
        Err(source) => return Ok(Err(line.normalizer.failed(Kind::Normalize, lease.id, source).into())),
    };
    let said = Said::Drafts(drafts.len().try_into().unwrap_or(u32::MAX));
    run.notes.push(note(&line.normalizer, None, said, started));

    let mut entities: BTreeMap<String, Entity> = BTreeMap::new();
    let mut events = Vec::with_capacity(drafts.len());
    let mut given = vec![0; line.steps.len()];
    for (index, draft) in (0u32..).zip(drafts) {
        let id = EventId::derive(lease.id, index);
        let mut input = stamp(line, webhook, lease, id, draft);
        let entity = input.event.entity().map(Cow::into_owned);
        if let Some(entity) = &entity {
            if !entities.contains_key(entity) {
                let row = store.entity(&lease.head.source, entity).await?;
                let row = as_at_first(row, run.known.get(entity), lease);
                if !row.last.is_empty() {
                    run.known.insert(entity.clone(), row.last.clone());
                }
                entities.insert(entity.clone(), row);
            }
            let (input, row) = (Arc::make_mut(&mut input), &entities[entity]);
            input.event.recovers = recovered(&input.event, &row.last);
            if is_withdrawal(&input.event, row) {
                input.event.kind = CANCEL_UNSCHEDULED.to_owned();
            }
            input.seen = row.last.iter().map(|(kind, (at, _))| (kind.clone(), *at)).collect();
        }
        let own = Arc::make_mut(&mut input);
        own.json = json(&own.event);
        let asked = Asked { call: &call, webhook: lease.id, index, patience };
        let dropped = match steps(line, &asked, admission, &mut input, &mut run, &mut given).await {
            Ok(dropped) => dropped,
            Err(error) => return Ok(Err(error)),
        };
        let event = &input.event;
        let occurred_at = event.happened_at();
        if let Some(entity) = &entity
            && let Some(row) = entities.get_mut(entity)
        {
            // Events of the same webhook see those before them.
            row.note(&event.kind, occurred_at, id);
        }
        let targets = if dropped.is_some() { Vec::new() } else { route::targets(endpoints, event) };
        events.push(NewEvent {
            id,
            json: Bytes::clone(&input.json),
            entity,
            object: event.object().map(str::to_owned),
            occurred_at,
            dropped,
            endpoints: targets.into_iter().map(|endpoint| endpoint.id).collect(),
            kind: event.kind.clone(),
        });
    }
    let entities =
        entities.into_iter().map(|(entity, row)| EntityRead { entity, version: row.version }).collect();
    let in_order = |endpoint: &&Endpoint| endpoint.terms.ordering == Ordering::Entity;
    let ordered = endpoints.iter().filter(in_order).map(|endpoint| endpoint.id).collect();
    Ok(Ok(Dispatch { run, events, entities, ordered, kv: staging.take() }))
}

/// What a rerun may know of an entity: what arrived before its webhook, and not what came of the webhook itself or since.
/// The row keeps one of each type alone: where a later one came since, it is what was `known` before, as far as it was.
fn as_at_first(mut row: Entity, known: Option<&Remembered>, lease: &WebhookLease) -> Entity {
    if lease.run > 0 {
        // Ids begin with the time of their webhook: few others have the same.
        let is_own = |id: &EventId| (0..OWN_EVENTS_MAX).any(|index| EventId::derive(lease.id, index) == *id);
        row.last.retain(|_, (_, event)| match event.bytes()[..6].cmp(&lease.id.bytes()[..6]) {
            cmp::Ordering::Less => true,
            cmp::Ordering::Equal => !is_own(event),
            cmp::Ordering::Greater => false,
        });
        for (kind, before) in known.into_iter().flatten() {
            row.last.entry(kind.clone()).or_insert(*before);
        }
    }
    row
}

/// The failed payment that a recovered one makes good: the last one of its entity, unless that was made good before.
fn recovered(event: &Event, last: &Remembered) -> Option<String> {
    let (failed_at, failed) = last.get("payment.failed").filter(|_| event.kind == "payment.recovered")?;
    let before = last.get("payment.recovered").is_some_and(|(at, _)| at > failed_at);
    (!before).then(|| failed.to_string())
}

/// Whether what is told of an event of this kind may rest on what came of its entity before: those that [`recovered`] and
/// [`is_withdrawal`] look at.
pub(super) fn rests_on_earlier(kind: &str) -> bool {
    matches!(kind, "payment.recovered" | "subscription.updated" | CANCEL_UNSCHEDULED)
}

/// Whether an update takes a planned end back, for which not every provider has an event: the subscription lives, it
/// says that no end is planned, and the last that was told of it is that one is.
fn is_withdrawal(event: &Event, entity: &Entity) -> bool {
    let Some(subscription) = event.subscription.as_ref().filter(|_| event.kind == "subscription.updated")
    else {
        return false;
    };
    let is_live = subscription.status.as_deref().is_some_and(|status| LIVE.contains(&status));
    let goes_on =
        is_live && subscription.cancel_at_period_end == Some(false) && subscription.cancel_at.is_none();
    goes_on && entity.decided(subscription.trial_end).is_some_and(|decided| event.happened_at() > decided)
}

/// What the steps of one event share.
struct Asked<'a> {
    call: &'a Call,
    webhook: WebhookId,
    index: u32,
    patience: Patience,
}

/// A patch on its way into its note.
struct Noted {
    /// The place of the note.
    at: usize,
    /// The place of the step that gave it.
    step: usize,
    patch: Patch,
}

/// Puts one event through the filters and maps, which patch it; `given` is what each has given in this run. Returns the
/// plugin that dropped it with its reason.
async fn steps<'line>(
    line: &'line Line,
    asked: &Asked<'_>,
    admission: &mut Admission<'line>,
    input: &mut Arc<EventInput>,
    run: &mut Run,
    given: &mut [usize],
) -> Result<Option<(String, String)>, Ended> {
    let mut dropped = None;
    let mut patches: Vec<Noted> = Vec::new();
    'steps: for (step, Step { name, plugin, skip_on_failure }) in line.steps.iter().enumerate() {
        for kind in [Kind::Filter, Kind::Map] {
            if !plugin.kinds().contains(&kind) {
                continue;
            }
            let started = tokio::time::Instant::now();
            if let Err(rests) = admission.admit(plugin.name(), asked.call.now) {
                if !skip_on_failure || !asked.patience.has_waited(Some(rests.since), asked.call.now) {
                    return Err(rests.into());
                }
                run.notes.push(note(plugin, Some(asked.index), Said::Skipped(rests.to_string()), started));
                continue;
            }
            let answered = match given[step] {
                ..=STEP_BYTES_MAX => ask(plugin, kind, asked.call, input).await,
                bytes => Err(CallError::Limit(format!(
                    "{STEP_BYTES_MAX} bytes of patches and reasons for one webhook; it gave {bytes}"
                ))),
            };
            let said = match answered {
                Ok(Answered::Verdict(Verdict::Keep)) => Said::Keep,
                Ok(Answered::Verdict(Verdict::Drop(why))) => {
                    given[step] += why.len();
                    dropped = Some((plugin.name().to_owned(), why.clone()));
                    Said::Drop(why)
                }
                Ok(Answered::Patch(None)) => Said::Nothing,
                Ok(Answered::Patch(Some(mut patch))) => {
                    if patch.retention.is_some() {
                        keep_variants(input, &mut patches);
                    }
                    patches.push(Noted { at: run.notes.len(), step, patch: without_variants(&mut patch) });
                    let before = input.json.len();
                    apply(Arc::make_mut(input), name, plugin, *patch);
                    given[step] += input.json.len().saturating_sub(before);
                    Said::Patch(String::new())
                }
                Err(source) => {
                    let failed = plugin.failed(kind, asked.webhook, source);
                    let is_over = asked.patience.is_over
                        || failed.is_final()
                        || asked.patience.has_waited(admission.tries_since(plugin.name()), asked.call.now);
                    if !skip_on_failure || !is_over {
                        return Err(failed.into());
                    }
                    let why = failed.source.to_string();
                    given[step] += why.len();
                    Said::Skipped(why)
                }
            };
            run.notes.push(note(plugin, Some(asked.index), said, started));
            if dropped.is_some() {
                break 'steps;
            }
        }
    }
    record(run, patches, given);
    Ok(dropped)
}

/// What a step answered.
enum Answered {
    Verdict(Verdict),
    Patch(Option<Box<Patch>>),
}

async fn ask(
    plugin: &Plugin,
    kind: Kind,
    call: &Call,
    input: &Arc<EventInput>,
) -> Result<Answered, CallError> {
    Ok(match kind {
        Kind::Filter => Answered::Verdict(plugin.filter(call, input).await?),
        _ => Answered::Patch(plugin.map(call, input).await?.map(Box::new)),
    })
}

fn apply(input: &mut EventInput, name: &str, plugin: &Plugin, patch: Patch) {
    input.event.apply(name, patch);
    input.event.plugins.push(plugin.reference().clone());
    input.json = json(&input.event);
}

/// The patch as its note keeps it: the variants of the retention that stands are in the event.
fn without_variants(patch: &mut Patch) -> Patch {
    let variants = patch.retention.as_mut().map(|retention| std::mem::take(&mut retention.variants));
    let noted = patch.clone();
    if let Some((retention, variants)) = patch.retention.as_mut().zip(variants) {
        retention.variants = variants;
    }
    noted
}

/// The retention that stands is about to be replaced: its variants go into the note of the patch that it came from.
fn keep_variants(input: &mut Arc<EventInput>, patches: &mut [Noted]) {
    let from = patches.iter_mut().rev().find_map(|noted| noted.patch.retention.as_mut());
    if let Some(from) = from
        && let Some(replaced) = Arc::make_mut(input).event.retention.take()
    {
        from.variants = replaced.variants;
    }
}

/// Writes the patches into their notes.
fn record(run: &mut Run, patches: Vec<Noted>, given: &mut [usize]) {
    for Noted { at, step, patch } in patches {
        let text = serde_json::to_string(&patch).expect("a patch has string keys only");
        given[step] += text.len();
        run.notes[at].said = Said::Patch(text);
    }
}

fn json(event: &Event) -> Bytes {
    let mut json = Vec::with_capacity(ROOM);
    serde_json::to_writer(&mut json, event).expect("an event has string keys only");
    json.into()
}

fn note(plugin: &Plugin, event: Option<u32>, said: Said, started: tokio::time::Instant) -> Note {
    let took_us = started.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
    Note { plugin: plugin.reference().clone(), event, said, took_us }
}

/// Makes an event of a draft with what the gateway knows, but for what it remembers. From here on it stays where it is.
fn stamp(
    line: &Line,
    webhook: &Arc<WebhookInput>,
    lease: &WebhookLease,
    id: EventId,
    draft: Draft,
) -> Arc<EventInput> {
    let head = &webhook.head;
    let plugins: Vec<PluginRef> = vec![line.normalizer.reference().clone()];
    let raw = Raw {
        webhook: lease.id.to_string(),
        sha256: hex::encode(head.sha256),
        content_type: head.header("content-type").map(str::to_owned),
        bytes: head.body_len,
    };
    let mut event = Event::new(
        Stamp {
            id: id.to_string(),
            source: head.source.clone(),
            provider: line.provider.clone(),
            provider_delivery_id: head.delivery_id.clone(),
            received_at: head.received_at,
            ordering_key: String::new(),
            verified: head.verified,
            replayed: lease.run > 0,
            raw,
            plugins,
        },
        draft,
    );
    event.ordering_key = format!("{}:{}:{}", event.provider, event.source, event.about());
    Arc::new(EventInput {
        event,
        json: Bytes::new(),
        webhook: Some(Arc::clone(webhook)),
        seen: BTreeMap::new(),
        replayed: lease.run > 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_is_waited_for_as_long_as_what_fails_from_when_both_began() {
        for (waits, rests, now, has_waited) in [
            (Some(0), Some(0), 370, false),
            (Some(0), Some(0), 371, true),
            (Some(0), Some(9), 371, false),
            (Some(9), Some(0), 371, false),
            (Some(9), Some(0), 380, true),
            (Some(0), None, 999, false),
            (None, Some(0), 999, false),
        ] {
            let patience = Patience { is_over: false, waits_since: waits.map(Time::from_secs) };
            let told = patience.has_waited(rests.map(Time::from_secs), Time::from_secs(now));
            assert_eq!(told, has_waited, "{waits:?}, {rests:?}, {now}");
        }
    }
}
