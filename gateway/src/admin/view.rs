//! Turns rows of the store into the shapes of the API.

use crate::admin::Admin;
use crate::api::delivery::{
    Attempt, Delivery, DeliveryState, DeliveryStory, EndpointRef, FailureKind, Outcome,
};
use crate::api::endpoint::Gate;
use crate::api::event::{Dropped, Event, EventStory};
use crate::api::refused::Refused;
use crate::api::rehearsal::{Compared, Difference, Part};
use crate::api::webhook::{Header, Note, Run, Said, Shadow, Webhook, WebhookState};
use crate::api::{Content, Story};
use crate::model::attempt::{self, Failure};
use crate::model::difference::{self, Change, Differences};
use crate::model::id::{AttemptId, DeliveryId, EndpointId, RefusedId};
use crate::model::refused::RefusedHead;
use crate::model::{Time, delivery, dispatch, endpoint, webhook};
use crate::store::{self, StoreError, StoredEvent, StoredWebhook};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::time::Duration;

/// What holds deliveries back besides their time.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The gates that are not open.
    gates: BTreeMap<EndpointId, Gate>,
    /// The delivery that each has to wait for.
    behind: BTreeMap<DeliveryId, DeliveryId>,
}

impl Admin {
    /// Everything about one webhook.
    pub(crate) async fn story(&self, story: store::Story, read_at: Time) -> Result<Story, StoreError> {
        let run = story.webhook.run.clone().map(|run| self.run(run));
        let rows = story.events.iter().flat_map(|event| &event.deliveries).map(|(row, _)| row);
        let held = self.held(rows).await?;
        let events = story.events.into_iter().map(|event| self.event_story(event, &held));
        let events = events.collect::<Result<_, _>>()?;
        let body = story.body.map(|body| Content::of(&body));
        Ok(Story { read_at, webhook: webhook(story.webhook), body, run, events })
    }

    fn event_story(&self, story: store::EventStory, held: &Held) -> Result<EventStory, StoreError> {
        let damaged = |why: String| StoreError::Damaged(format!("event {}: {why}", story.event.id));
        let text = std::str::from_utf8(&story.event.json).map_err(|why| damaged(why.to_string()))?.to_owned();
        let json = RawValue::from_string(text).map_err(|why| damaged(why.to_string()))?;
        let deliveries = story.deliveries.into_iter();
        let deliveries = deliveries.map(|(row, attempts)| self.delivery_story(row, attempts, held)).collect();
        Ok(EventStory { summary: event(story.event), event: json, deliveries })
    }

    /// A delivery, its attempts, and what of this holds it back.
    pub(crate) fn delivery_story(
        &self,
        row: delivery::Delivery,
        attempts: Vec<attempt::Attempt>,
        held: &Held,
    ) -> DeliveryStory {
        let gate = is_waiting(&row).then(|| held.gates.get(&row.endpoint)).flatten().cloned();
        let behind = held.behind.get(&row.id).copied();
        let attempts = attempts.into_iter().map(|attempt| self::attempt(row.id, attempt)).collect();
        DeliveryStory { delivery: self.delivery(row), attempts, held: gate, behind }
    }

    /// What holds those of these deliveries back that wait; each gate is read once.
    pub(crate) async fn held(
        &self,
        rows: impl Iterator<Item = &delivery::Delivery>,
    ) -> Result<Held, StoreError> {
        let mut held = Held::default();
        for row in rows.filter(|row| is_waiting(row)) {
            if let Entry::Vacant(entry) = held.gates.entry(row.endpoint) {
                entry.insert(gate(self.store.gate(row.endpoint).await?.gate));
            }
            if let Some(first) = self.store.ahead_of(row.id).await? {
                held.behind.insert(row.id, first);
            }
        }
        held.gates.retain(|_, gate| *gate != Gate::Open);
        Ok(held)
    }

    /// A delivery, with what the configuration knows of its endpoint.
    pub(crate) fn delivery(&self, row: delivery::Delivery) -> Delivery {
        let endpoint = self.endpoint(row.endpoint);
        Delivery {
            id: row.id,
            event: row.event,
            endpoint: EndpointRef {
                id: row.endpoint,
                name: endpoint.map(|endpoint| endpoint.name.clone()),
                url: endpoint.map(|endpoint| endpoint.url.clone()),
            },
            resend: row.resend,
            created: row.created,
            attempts: row.attempts,
            step: row.step,
            state: match row.state {
                delivery::DeliveryState::Waiting { due } => DeliveryState::Waiting { due },
                delivery::DeliveryState::Delivered { at } => DeliveryState::Delivered { at },
                delivery::DeliveryState::Skipped { at, why } => DeliveryState::Skipped { at, why },
                delivery::DeliveryState::Dead { at, why } => DeliveryState::Dead { at, why },
            },
            stale: row.stale,
        }
    }
}

fn is_waiting(row: &delivery::Delivery) -> bool {
    matches!(row.state, delivery::DeliveryState::Waiting { .. })
}

/// Whether deliveries pass to an endpoint.
pub(crate) fn gate(gate: endpoint::Gate) -> Gate {
    match gate {
        endpoint::Gate::Open => Gate::Open,
        endpoint::Gate::Trial { since, at, wait } => Gate::Trial { since, at, wait_ms: millis(wait) },
        endpoint::Gate::Paused => Gate::Paused,
        endpoint::Gate::Disabled => Gate::Disabled,
    }
}

fn attempt(delivery: DeliveryId, row: attempt::Attempt) -> Attempt {
    Attempt {
        id: AttemptId::derive(delivery, row.n),
        n: row.n,
        at: row.at,
        took_us: micros(row.took),
        trial: row.trial,
        webhook_id: row.webhook_id,
        outcome: match row.outcome {
            attempt::Outcome::Delivered { status } => Outcome::Delivered { status },
            attempt::Outcome::Failed(failure) => failed(&failure),
            attempt::Outcome::Skipped(why) => Outcome::Skipped { why },
        },
        retry_after_ms: row.retry_after.map(millis),
        answer: (!row.answer.is_empty()).then(|| answer(&row.answer)),
    }
}

fn failed(failure: &Failure) -> Outcome {
    let (kind, status) = match failure {
        Failure::Status(status) => (FailureKind::Status, Some(*status)),
        Failure::Timeout => (FailureKind::Timeout, None),
        Failure::Connect(_) => (FailureKind::Connect, None),
        Failure::Resolve(_) => (FailureKind::Resolve, None),
        Failure::Forbidden(_) => (FailureKind::Forbidden, None),
        Failure::Broken(_) => (FailureKind::Broken, None),
        Failure::Unreadable(_) => (FailureKind::Unreadable, None),
        Failure::Plugin { .. } => (FailureKind::Plugin, None),
        Failure::Exhausted(_) => (FailureKind::Exhausted, None),
    };
    Outcome::Failed { failure: kind, status, why: failure.to_string() }
}

/// The beginning of an answer. It was cut by length, perhaps within a character: that one is left out, since the rest
/// is still text.
fn answer(bytes: &[u8]) -> Content {
    match std::str::from_utf8(bytes) {
        Err(why) if why.error_len().is_none() => Content::of(&bytes[..why.valid_up_to()]),
        Ok(_) | Err(_) => Content::of(bytes),
    }
}

/// An event's row in lists.
pub(crate) fn event(row: StoredEvent) -> Event {
    Event {
        id: row.id,
        webhook: row.webhook,
        kind: row.kind,
        source: row.source,
        occurred_at: row.occurred_at,
        webhook_id: (row.revision > 1).then(|| row.id.webhook_id(row.revision)),
        dropped: row.dropped.map(|(plugin, why)| Dropped { plugin, why }),
    }
}

/// A webhook and where it stands.
pub(crate) fn webhook(row: StoredWebhook) -> Webhook {
    let head = row.head;
    Webhook {
        id: row.id,
        source: head.source,
        provider: head.provider,
        received_at: head.received_at,
        taken_at: head.taken_at,
        remote: head.remote,
        path: head.path,
        query: head.query,
        headers: headers(head.headers),
        event_name: head.event_name,
        delivery_id: head.delivery_id,
        verified: head.verified,
        sha256: hex::encode(head.sha256),
        body_bytes: head.body_len,
        duplicates: row.duplicates,
        conflicts: row.conflicts,
        state: match row.state {
            webhook::WebhookState::Undispatched { failures, due, last } => {
                WebhookState::Undispatched { failures, due, last_failure: last }
            }
            webhook::WebhookState::Dispatched { events, at } => WebhookState::Dispatched { events, at },
            webhook::WebhookState::Dead { why, at } => WebhookState::Dead { why, at },
        },
    }
}

/// A refused request without its body.
pub(crate) fn refused(id: RefusedId, head: RefusedHead) -> Refused {
    // Credentials stand under their header twice: as they came, and decoded.
    let hidden: BTreeSet<String> =
        head.presented.into_iter().map(|presented| presented.place.into()).collect();
    Refused {
        id,
        source: head.source,
        at: head.at,
        cause: head.cause,
        remote: head.remote,
        path: head.path,
        query: head.query,
        headers: headers(head.headers),
        hidden: hidden.into_iter().collect(),
        body_bytes: head.body_len,
        whole: head.whole,
    }
}

fn headers(headers: Vec<webhook::Header>) -> Vec<Header> {
    headers.into_iter().map(|(name, value)| Header { name, value: Content::of(&value) }).collect()
}

impl Admin {
    fn run(&self, run: dispatch::Run) -> Run {
        let shadow =
            run.shadow.map(|shadow| Shadow { plugin: shadow.plugin, compared: self.compared(shadow.said) });
        Run { now: run.now, notes: run.notes.into_iter().map(note).collect(), shadow }
    }

    /// What another plugin made of a webhook.
    pub(crate) fn compared(&self, compared: dispatch::Compared) -> Compared {
        match compared {
            dispatch::Compared::Same => Compared::Same,
            dispatch::Compared::Failed(why) => Compared::Failed { why },
            dispatch::Compared::Differs(Differences { told, more }) => {
                let told = told.into_iter();
                let differences =
                    told.map(|one| Difference { event: one.event, part: self.part(one.part) }).collect();
                Compared::Differs { differences, more }
            }
        }
    }

    fn part(&self, part: difference::Part) -> Part {
        let names = |ids: Vec<EndpointId>| ids.into_iter().map(|id| self.endpoint_name(id)).collect();
        match part {
            difference::Part::Gone(kind) => Part::Gone { kind },
            difference::Part::New(kind) => Part::New { kind },
            difference::Part::Type(Change { before, after }) => {
                Part::Type { before: before.unwrap_or_default(), after: after.unwrap_or_default() }
            }
            difference::Part::Dropped(Change { before, after }) => Part::Dropped { before, after },
            difference::Part::Strategy(Change { before, after }) => Part::Strategy { before, after },
            difference::Part::Route { gained, lost } => {
                Part::Route { gained: names(gained), lost: names(lost) }
            }
            difference::Part::Field(pointer, Change { before, after }) => {
                Part::Field { pointer, before, after }
            }
        }
    }

    fn endpoint_name(&self, id: EndpointId) -> String {
        self.endpoint(id).map_or_else(|| id.to_string(), |endpoint| endpoint.name.clone())
    }
}

fn note(note: dispatch::Note) -> Note {
    let said = match note.said {
        dispatch::Said::Drafts(n) => Said::Drafts(n),
        dispatch::Said::Keep => Said::Keep,
        dispatch::Said::Drop(why) => Said::Drop(why),
        // The host checked the patch before it was stored; should it not be JSON, there is nothing to show.
        dispatch::Said::Patch(json) => RawValue::from_string(json).map_or(Said::Nothing, Said::Patch),
        dispatch::Said::Nothing => Said::Nothing,
        dispatch::Said::Skipped(why) => Said::Skipped(why),
    };
    Note { plugin: note.plugin, event: note.event, said, took_us: note.took_us }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cut_within_a_character_is_still_text() {
        let cases: [(&[u8], Content); 3] = [
            ("zu spät".as_bytes(), Content::Text("zu spät".to_owned())),
            (&"zu spä".as_bytes()[..6], Content::Text("zu sp".to_owned())),
            (&[b'a', 0xff, b'b'], Content::Base64("Yf9i".to_owned())),
        ];
        for (bytes, expected) in cases {
            assert_eq!(answer(bytes), expected);
        }
    }
}
